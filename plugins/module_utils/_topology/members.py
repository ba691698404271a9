# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The instances of an inventory with what is known of each, and who is meant by an address. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .._server.facts import parse_version
from .._server.network import is_loopback
from .._server.topology import BACKUP, FILES, PRIMARY, REPLICA, SENTINEL, SERVER

RUNNING, UNREACHABLE, UNKNOWN = "running", "unreachable", "unknown"
_DEFAULT_PORT = 6379


@dataclass(frozen=True, eq=False)
class Member:
    """One instance of the inventory.

    `entry` is what the inventory says of it (an element of redis_common_instances), `instance` the result of
    redis_instance_info; None where its host is not reachable, or where the server did not let us in (`error` says why).
    `address` is how Ansible reaches the host.
    """

    name: str
    host: str
    reachable: bool
    entry: Mapping[str, Any] = field(default_factory=dict)
    instance: Mapping[str, Any] | None = None
    error: str = ""
    address: str = ""

    @property
    def topology(self) -> Mapping[str, Any]:
        """Its place among others; empty when nothing is known."""
        return (self.instance or {}).get("topology") or {}

    @property
    def state(self) -> str:
        """`running`, `loading` or `down`; `unreachable` for its host, `unknown` where it does not let us in."""
        if not self.reachable:
            return UNREACHABLE
        return str(self.instance["state"]) if self.instance else UNKNOWN

    @property
    def running(self) -> bool:
        return self.state == RUNNING

    @property
    def live(self) -> bool:
        """What is known of it was told by the server itself."""
        return self.topology.get("source") == SERVER

    @property
    def known(self) -> bool:
        """There is a word of the server, of its files, or of its backups."""
        return self.topology.get("source") in (SERVER, FILES, BACKUP)

    @property
    def role(self) -> str:
        """`primary`, `replica`, `sentinel`; empty when it is not known."""
        return str(self.topology.get("role", "")) if self.known else ""

    @property
    def primary(self) -> Mapping[str, Any]:
        """What it says of its primary; empty when it has none."""
        return self.topology.get("primary") or {} if self.known else {}

    @property
    def is_cluster(self) -> bool:
        return self.known and self.topology.get("mode") == "cluster"

    @property
    def cluster(self) -> Mapping[str, Any]:
        """The cluster as it sees it; empty when it is in none."""
        return self.topology.get("cluster") or {} if self.is_cluster else {}

    @property
    def masters(self) -> Sequence[Mapping[str, Any]]:
        """The primaries that it watches as a Sentinel."""
        return (self.topology.get("sentinel") or {}).get("masters") or []

    @property
    def is_sentinel(self) -> bool:
        """It is a Sentinel; where nobody can tell, its service's name decides."""
        if self.known:
            return self.role == SENTINEL
        return "sentinel" in str(self.entry.get("service") or "").lower()

    @property
    def says_primary(self) -> bool:
        return self.role == PRIMARY

    @property
    def says_replica(self) -> bool:
        return self.role == REPLICA

    @property
    def machine(self) -> str:
        """The machine it runs on; its host's name where that is not known."""
        return str(self.topology.get("machine") or self.host)

    @property
    def network(self) -> str:
        """The network in which 127.0.0.1 means the same; empty when it is not known."""
        return str(self.topology.get("network") or "")

    @property
    def flavour(self) -> str:
        return str((self.instance or {}).get("flavour") or "")

    @property
    def version(self) -> tuple[int, ...]:
        return parse_version(str((self.instance or {}).get("version") or ""))

    @property
    def port(self) -> int:
        return int((self.entry.get("module_args") or {}).get("login_port") or _DEFAULT_PORT)

    @property
    def addresses(self) -> list[str]:
        """Every `host:port` by which others may mean it."""
        told = [str(each) for each in self.topology.get("addresses") or []]
        by_inventory = [f"{name}:{self.port}" for name in (self.address, self.host) if name and not is_loopback(name)]
        return list(dict.fromkeys([*told, *by_inventory]))

    @property
    def where(self) -> str:
        """The first address, for messages."""
        return next(iter(self.addresses), f"{self.host}:{self.port}")


def member_of(given: Mapping[str, Any]) -> Member:
    """A member from what the role gathered of it."""
    entry = given.get("entry") or {}
    return Member(
        name=str(entry.get("name") or given["host"]),
        host=str(given["host"]),
        reachable=bool(given.get("reachable", True)),
        entry=entry,
        instance=given.get("instance") or None,
        error=str(given.get("error") or ""),
        address=str(given.get("address") or ""),
    )


def members_of(given: Iterable[Mapping[str, Any] | Member]) -> list[Member]:
    """All members, in the order of the inventory."""
    return [each if isinstance(each, Member) else member_of(each) for each in given]


class Book:
    """Who is meant by an address."""

    def __init__(self, members: Sequence[Member]) -> None:
        self.members = members
        self._at: dict[str, list[tuple[str, Member]]] = {}
        for member in members:
            for address in member.addresses:
                self._at.setdefault(address, []).append((member.network, member))

    def find(self, host: str, port: int | str, seen_by: Member, also: Iterable[str] = ()) -> Member | None:
        """The member that `seen_by` calls `host:port`; None where it is nobody of the inventory, or not one alone.

        A loopback address means `seen_by`'s own network. `also` are other addresses of the same host.
        """
        own_network = seen_by.network
        for each in (host, *also):
            found = self._at.get(f"{each}:{port}", [])
            near = [member for network, member in found if network and network == own_network]
            if near:
                return near[0]
            if found and not is_loopback(each):
                named = [
                    (network, member) for network, member in found if each in (member.address, member.host)
                ] or found
                if len({network or member.host for network, member in named}) == 1:
                    return named[0][1]
        return None

    def find_text(self, address: str, seen_by: Member) -> Member | None:
        """As `find`, for `host:port`."""
        host, _colon, port = address.rpartition(":")
        return self.find(host, port, seen_by)

    def primary_of(self, member: Member) -> Member | None:
        """Whom a replica follows, or will when it starts."""
        told = member.primary
        return self.find(told["host"], told["port"], member, told.get("addresses") or ()) if told.get("host") else None


class Circles:
    """Members that belong together: whoever is joined with one of a circle is in it."""

    def __init__(self, members: Sequence[Member]) -> None:
        self._members = members
        self._of = {member: {member} for member in members}

    def join(self, one: Member, other: Member) -> None:
        if self._of[one] is self._of[other]:
            return
        together = self._of[one] | self._of[other]
        for each in together:
            self._of[each] = together

    def all(self) -> list[list[Member]]:
        """Every circle, and who is in it, in the order of the inventory."""
        circles: dict[int, list[Member]] = {}
        for member in self._members:
            circles.setdefault(id(self._of[member]), []).append(member)
        return list(circles.values())
