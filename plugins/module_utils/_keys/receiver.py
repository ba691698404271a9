# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The server or cluster that keys are written to: looked at first, and refused where writing would fail."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from .._errors import ServerError
from .._server.compatibility import title_of
from .._server.connection import Login, Server, parse_info
from .._server.facts import Facts
from .._times import now
from .routes import Routes
from .temporary import slot_of
from .writing import Target

_UNTOUCHED = "Nothing was changed"


@dataclass
class Node:
    """One primary: its address and what it said when it was looked at. `room` is None without a maxmemory."""

    login: Login
    facts: Facts
    server: Server = field(repr=False)
    room: int | None = None
    evicts: bool = False

    def keys_in(self, database: int) -> int:
        """Its keys in a database, when it was looked at."""
        return self.facts.keyspace.get(f"db{database}", {}).get("keys", 0)


@dataclass
class Receiver:
    """All that is written to. `routes` is None for a single server; `ahead` is its clock less ours, in milliseconds."""

    nodes: dict[tuple[str, int], Node]
    target: Target
    routes: Routes | None = None
    ahead: int = 0
    databases: int | None = None
    only: tuple[str, int] = ("", 0)

    @property
    def title(self) -> str:
        return title_of(self.target.flavour, self.target.version)

    @property
    def run(self) -> str:
        """What stays the same as long as nothing that was confirmed can have been lost."""
        runs = [
            f"{n.facts.info.get('run_id', '')}/{n.facts.info.get('master_replid', '')}" for n in self.nodes.values()
        ]
        return " ".join(sorted(runs))

    @property
    def clock(self) -> int:
        """Its clock now, in UTC milliseconds."""
        return round(now() * 1000) + self.ahead

    def address_of(self, key: bytes) -> tuple[str, int]:
        """The node that serves a key."""
        return self.only if self.routes is None else self.routes.owner(slot_of(key))

    def node(self, address: tuple[str, int]) -> Node:
        """A node, known or new."""
        if address not in self.nodes:
            login = self.nodes[self.only].login if self.routes is None else self.routes.login(address)
            self.nodes[address] = _look_at(login)
        return self.nodes[address]

    def require_room(self, needed: Mapping[tuple[str, int], int]) -> list[str]:
        """Warnings about memory. Raises ServerError where more bytes are `needed` at least than a node has left."""
        warnings = []
        for address, size in needed.items():
            node = self.nodes[address]
            if node.room is None or size <= node.room:
                continue
            what = (
                f"the keys need {size} bytes at least, and the server at {node.login.where} has {max(node.room, 0)} "
                f"left below its maxmemory"
            )
            if not node.evicts:
                raise ServerError(what, untouched=_UNTOUCHED, hint="Raise maxmemory, or import less of them (patterns)")
            policy = node.facts.info.get("maxmemory_policy", "")
            warnings.append(f"{what}: by its policy {policy} it may drop other keys for them, or these")
        return warnings

    def close(self) -> None:
        """End the connections."""
        for node in self.nodes.values():
            node.server.close()


def find_receiver(login: Login) -> Receiver:
    """Look at what answers at `login`. Raises ServerError where keys cannot be written."""
    node = _look_at(login)
    facts = node.facts
    target = Target(facts.flavour, facts.version, facts.mode == "cluster")
    seconds, micros = node.server.call("TIME")
    ahead = int(seconds) * 1000 + int(micros) // 1000 - round(now() * 1000)
    if not target.cluster:
        only = (login.host, login.port)
        config = node.server.config_get_if_allowed("databases").get("databases", "")
        databases = int(config) if config.isdecimal() else None
        return Receiver({only: node}, target, None, ahead, databases, only)
    routes = Routes(login)
    routes.learn(node.server)
    _require_settled(node)
    node.server.close()
    nodes = {address: _look_at(routes.login(address)) for address in routes.nodes}
    for each in nodes.values():
        _require_settled(each)
    versions = [each.facts.version for each in nodes.values()]
    return Receiver(nodes, Target(facts.flavour, min(versions), True), routes, ahead, 1)


def _look_at(login: Login) -> Node:
    server = Server(login)
    try:
        facts = Facts(parse_info(server.call("INFO")))
        _require_writable(login, facts)
    except BaseException:
        server.close()
        raise
    limit = facts.number("maxmemory")
    room = limit - facts.number("used_memory") if limit else None
    policy = facts.info.get("maxmemory_policy", "noeviction")
    return Node(login, facts, server, room, policy != "noeviction")


def _require_writable(login: Login, facts: Facts) -> None:
    where = f"the server at {login.where}"
    if facts.mode == "sentinel":
        raise ServerError(f"{where} is a Sentinel, which holds no keys", untouched=_UNTOUCHED, hint="Name a server")
    if facts.loading:
        raise ServerError(f"{where} is still loading", untouched=_UNTOUCHED, hint="Wait until it has loaded")
    if facts.role == "replica" and facts.mode != "cluster":
        primary = f"{facts.info.get('master_host', '?')}:{facts.info.get('master_port', '?')}"
        raise ServerError(
            f"{where} is a replica: what is written there is refused, or lost",
            untouched=_UNTOUCHED,
            hint=f"Import into its primary, {primary}",
        )


def _require_settled(node: Node) -> None:
    """Refuse a cluster that does not serve, or whose slots are on their way."""
    state = parse_info(node.server.call("CLUSTER", "INFO"))
    if state.get("cluster_state") != "ok":
        raise ServerError(
            f"the cluster at {node.login.where} is in state {state.get('cluster_state')}",
            untouched=_UNTOUCHED,
            hint="Mend it (redis-cli --cluster check), then run again",
        )
    for line in node.server.call("CLUSTER", "NODES").decode("utf-8", "replace").splitlines():
        if "myself" in line and ("->-" in line or "-<-" in line):
            raise ServerError(
                f"slots of the cluster are on their way to or from {node.login.where}",
                untouched=_UNTOUCHED,
                hint="Wait until that is done, or end it (redis-cli --cluster fix), then run again",
            )
