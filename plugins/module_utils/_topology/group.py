# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The shape of a group, and what is found of any of its members. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from .members import RUNNING, UNKNOWN, UNREACHABLE, Member

STANDALONE, REPLICATION, CLUSTER, SENTINELS = "standalone", "replication", "cluster", "sentinels"


@dataclass
class Shard:
    """A primary and its replicas. `owner` is the id of the cluster node that has the slots."""

    id: str
    primary: Member | None = None
    replicas: list[Member] = field(default_factory=list)
    slots: list[list[int]] = field(default_factory=list)
    owner: str = ""

    def result(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "slots": self.slots,
            "primary": self.primary.name if self.primary else None,
            "replicas": [member.name for member in self.replicas],
            "slot_owner_id": self.owner,
        }


@dataclass
class Group:
    """Servers that hold one data set together.

    `harm` is what keeps it from being healthy, `notes` what an operator should know besides; `missing` names those that
    it has and the inventory lacks, by address.
    """

    id: str
    kind: str
    members: list[Member]
    shards: list[Shard] = field(default_factory=list)
    sentinels: list[Member] = field(default_factory=list)
    master_name: str = ""
    missing: dict[str, str] = field(default_factory=dict)
    harm: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    moving: list[str] = field(default_factory=list)

    def lack(self, address: str, who: str) -> None:
        """Note a server that the inventory lacks; the first word about it stands."""
        self.missing.setdefault(address, f"{address} ({who}) is not in the inventory")

    @property
    def lead(self) -> Member | None:
        """Through whom it is worked on: a primary whose host is reachable, one that serves before one that does not."""
        primaries = [shard.primary for shard in self.shards if shard.primary]
        others = [member for shard in self.shards for member in shard.replicas]
        reachable = [member for member in [*primaries, *others, *self.members, *self.sentinels] if member.reachable]
        serving = [member for member in primaries if member.running]
        return next(iter([*serving, *reachable]), None)

    def result(self) -> dict[str, Any]:
        """The group in the words of the filter `topology`."""
        lead = self.lead
        everybody = [*self.members, *self.sentinels]
        return {
            "id": self.id,
            "kind": self.kind,
            "shards": [shard.result() for shard in self.shards],
            "sentinels": [member.name for member in self.sentinels],
            "master_name": self.master_name,
            "lead": lead.name if lead else None,
            "lead_host": lead.host if lead else None,
            "members": [self._told(member) for member in everybody],
            "missing": list(self.missing.values()),
            "unreachable": [member.name for member in everybody if not member.reachable],
            "moving": self.moving,
            "findings": [*self.harm, *self.notes],
            "healthy": not self.harm,
        }

    def _told(self, member: Member) -> dict[str, Any]:
        own = next((s for s in self.shards if member is s.primary or member in s.replicas), None)
        role = "sentinel" if member in self.sentinels else "primary" if own and member is own.primary else "replica"
        return {
            "name": member.name,
            "host": member.host,
            "machine": member.machine,
            "reachable": member.reachable,
            "state": member.state,
            "role": role if own or role == "sentinel" else "",
            "shard": own.id if own else "",
        }


def harm_of(members: Iterable[Member]) -> list[str]:
    """What is wrong with members as such."""
    found = []
    for member in members:
        if member.state == UNREACHABLE:
            found.append(f"{member.name}: its host {member.host} cannot be reached")
        elif member.state == UNKNOWN:
            found.append(f"{member.name} does not let us look: {member.error or 'nothing is known of it'}")
        elif member.state != RUNNING:
            why = str((member.instance or {}).get("state_reason") or "")
            found.append(f"{member.name} is {member.state}" + (f": {why}" if why else ""))
        elif member.says_replica:
            found += [f"{member.name}: {words}" for words in [broken(member)] if words]
    return found


def notes_of(members: Iterable[Member]) -> list[str]:
    """What members refused to tell."""
    return [f"{member.name}: {words}" for member in members for words in member.topology.get("problems") or []]


def broken(member: Member) -> str:
    """What is wrong with a running replica's link to its primary; empty when it works."""
    if member.primary.get("sync_in_progress"):
        return "it is receiving its primary's data"
    if not member.primary.get("link_up"):
        return "its link to the primary is down"
    return ""
