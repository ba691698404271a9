# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A backup as one shard's part of a cluster's set: the slots are those the set was begun with, before and after.

The shards are backed up beside each other, not in one instant. A slot that moves between two of them would be in both
backups, or in neither. So each one asks the node that owns its shard's slots (itself, or the primary it copies) right
before the snapshot and once the data is stored: the same slots, the same epoch, nothing on its way. A backup that finds
a change gets no manifest, and the set stays incomplete.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .._errors import RedisBackupError, ServerError
from .._server.cluster import Node, migrations, moves, parse_nodes
from .._server.connection import ReplyError, Server, UnreachableError, parse_info
from .._server.facts import Facts
from .._server.instance import Instance
from .._server.slots import in_words, merged_ranges, why_no_ranges

_NOTHING = "No backup was made; the earlier ones and the server are as they were"
_POLL = 0.05
_PATIENCE = 60.0
"""Seconds for a replica to get what its primary had when it was looked at."""


@dataclass(frozen=True)
class SetPart:
    """Which part of which set a backup is: one shard of `shards`, with the slots it had when the set was begun."""

    identity: str
    shards: int
    shard: str
    slots: tuple[tuple[int, int], ...]

    def is_of(self, told: Mapping[str, Any]) -> bool:
        """Whether what a manifest tells of its set is this very part of it."""
        return bool(told) and (told["id"], told["shard"]) == (self.identity, self.shard)


def part_of(option: Mapping[str, Any] | None) -> SetPart | None:
    """The option `set` of redis_backup. Raises RedisBackupError for what makes no sense."""
    if not option:
        return None
    why = why_no_ranges(option["slots"])
    if why or option["shards"] < 1 or not option["id"] or not option["shard"]:
        raise RedisBackupError(
            f"set makes no sense: {f'slots: {why}' if why else 'it needs an id, a shard, and one shard or more'}",
            untouched=_NOTHING,
            hint="Write for example set: {id: cluster-1a2b3c4d-20261122T235141Z, shards: 3, shard: db1-6379, "
            "slots: [[0, 5460]]}",
        )
    slots = tuple((first, last) for first, last in merged_ranges(option["slots"]))
    return SetPart(option["id"], option["shards"], option["shard"], slots)


@dataclass(frozen=True)
class _Owner:
    """The node that owns the shard's slots, at one look; `offset` is where its replication stream stood."""

    node: Node
    moving: tuple[str, ...]
    offset: int


class SlotWatch:
    """The slots of one shard, from before its snapshot until its data is stored."""

    def __init__(self, instance: Instance, part: SetPart) -> None:
        """Look for the first time; a replica is waited for until it has what its primary had at that moment.

        Raises ServerError where slots move or are others than the set was begun with.
        """
        self._instance = instance
        self._part = part
        facts = instance.require_running()
        if facts.mode != "cluster":
            raise ServerError(
                f"{instance.title} is no node of a cluster, and cannot be part of the set {part.identity}",
                untouched=_NOTHING,
                hint="Leave the option set away",
            )
        self._replica = facts.role == "replica"
        self._first = self._look()
        self._require_rest(self._first)
        if self._replica:
            self._require_caught_up(self._first.offset)

    def require_same(self) -> None:
        """Look again. Raises ServerError where anything is not as it was before the snapshot."""
        last = self._look()
        self._require_rest(last)
        if (last.node.identity, last.node.epoch) != (self._first.node.identity, self._first.node.epoch):
            raise self._refusal(f"{last.node.where} took over, or slots moved and came back, while it was taken")

    def document(self) -> dict[str, Any]:
        """What the manifest keeps of it."""
        return {
            "id": self._part.identity,
            "shards": self._part.shards,
            "shard": self._part.shard,
            "slots": [list(each) for each in self._part.slots],
            "node": self._first.node.identity,
            "epoch": self._first.node.epoch,
            "role": "replica" if self._replica else "primary",
        }

    def _look(self) -> _Owner:
        server = self._instance.server
        told = server.call("CLUSTER", "NODES")
        nodes = parse_nodes(told, server.login.host)
        me = next((node for node in nodes if node.is_myself), None)
        if me is None or (me.is_replica and not me.primary):
            raise self._refusal("the node knows no place of its own in its cluster")
        if not me.is_replica:
            self._replica = False
            return self._owner(server, me.identity)
        owner = next((node for node in nodes if node.identity == me.primary), None)
        if owner is None or not owner.host:
            raise self._refusal("the node does not know where its primary is")
        login = dataclasses.replace(server.login, host=owner.host, port=owner.port, unix_socket=None)
        try:
            with Server(login) as primary:
                return self._owner(primary, owner.identity)
        except UnreachableError as error:
            raise self._refusal(f"its primary cannot be asked about its slots: {error.what}") from None

    def _owner(self, server: Server, identity: str) -> _Owner:
        """What a node that owns slots tells of itself."""
        where = server.login.where
        told, more, info = server.pipeline(
            [("CLUSTER", "NODES"), ("CLUSTER", "GETSLOTMIGRATIONS"), ("INFO", "replication")]
        )
        if isinstance(told, ReplyError):
            raise told
        nodes = parse_nodes(told, server.login.host)
        me = next((node for node in nodes if node.is_myself), None)
        if me is None or me.identity != identity:
            raise self._refusal(f"{where} is another node than the one that its replica follows")
        offset = 0 if isinstance(info, ReplyError) else Facts(parse_info(info)).number("master_repl_offset")
        # GETSLOTMIGRATIONS is Valkey 9's; an error of the others tells of nothing.
        return _Owner(me, (*moves(nodes), *migrations(more, where)), offset)

    def _require_rest(self, owner: _Owner) -> None:
        if owner.moving:
            raise self._refusal(f"slots are being moved ({', '.join(owner.moving[:3])})")
        serves = merged_ranges(owner.node.slots)
        if serves != [list(each) for each in self._part.slots]:
            raise self._refusal(
                f"{owner.node.where} serves the slots {in_words(serves) or 'none'}, and served "
                f"{in_words(self._part.slots) or 'none'} when the set was begun"
            )

    def _require_caught_up(self, offset: int) -> None:
        deadline = time.monotonic() + _PATIENCE
        while True:
            facts = Facts(self._instance.server.info())
            if not facts.link_up or facts.syncing:
                raise self._refusal("it is a replica that has lost its primary, or is being fed anew")
            behind = offset - facts.number("slave_repl_offset")
            if behind <= 0:
                return
            if time.monotonic() > deadline:
                raise self._refusal(f"it is a replica {behind} bytes behind its primary, and was for {_PATIENCE:g} s")
            time.sleep(_POLL)

    def _refusal(self, why: str) -> ServerError:
        return ServerError(
            f"{self._instance.title} cannot be backed up as a part of the set {self._part.identity}: {why}",
            untouched=f"It got no backup, and the set stays incomplete; {_NOTHING.partition('; ')[2]}",
            hint="Wait until the cluster is at rest (redis-cli --cluster check), then back it up again",
        )
