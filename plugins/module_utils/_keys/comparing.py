# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Does a key that exists hold what we would have written? A copy of it is made beside the key, and the two compared."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .._server.connection import ReplyError, Server
from .._server.facts import Facts
from .digest import same_value
from .entry import Entry
from .lanes import Lane
from .writing import SAFETY_MS, Packed, Writer

_NEAR_MS = 1000


class Beside:
    """Keys of one node and database, which is selected on both of its connections. `clock` is theirs."""

    def __init__(self, lane: Lane, writer: Writer, server: Server, facts: Facts, clock: int) -> None:
        self._lane = lane
        self._writer = writer
        self._server = server
        self._facts = facts
        self._clock = clock

    def compare(self, entries: Sequence[Entry], names: Sequence[bytes]) -> list[bool | ReplyError]:
        """Whether each entry's key holds the same. The copies get the `names`, and are gone afterwards."""
        copies = [e._replace(key=name, expires_at=self._clock + SAFETY_MS) for e, name in zip(entries, names)]
        packed: list[Packed] = []
        for entry, copy in zip(entries, copies):
            packed.append(self._writer.whole(copy, copy.key))
            expiry = expiry_commands(entry.key, self._facts.version)
            packed.append(self._writer.packed([[b"DUMP", entry.key], [b"DUMP", copy.key], *expiry]))
        data, count = b"".join(each.data for each in packed), sum(each.replies for each in packed)
        replies = self._lane.exchange(Packed(data, count), "a comparison")
        found: list[bool | ReplyError] = []
        at = 0
        for entry, copy, made, asking in zip(entries, copies, packed[::2], packed[1::2]):
            verdict = self._writer.verdict(copy, replies[at : at + made.replies])
            at += made.replies
            asked = replies[at : at + asking.replies]
            at += asking.replies
            found.append(verdict if isinstance(verdict, ReplyError) else self._same(entry, copy, asked))
        self._lane.exchange(self._writer.packed([[b"UNLINK", name] for name in names]), "UNLINK")
        return found

    def _same(self, entry: Entry, copy: Entry, asked: Sequence[Any]) -> bool:
        """Alike payloads are enough; others may tell the same in another order."""
        theirs, ours, *expiry = asked
        alike = isinstance(theirs, bytes) and theirs == ours
        if not alike and not same_value(self._server, self._facts, entry.key, copy.key):
            return False
        return same_expiry(entry, expiry)


def expiry_commands(key: bytes, version: tuple[int, ...]) -> list[list[bytes]]:
    """What to ask for a key's expiry: from 7.0 on the very moment, before what is left of now."""
    if version >= (7, 0):
        return [[b"PEXPIRETIME", key]]
    return [[b"TIME"], [b"PTTL", key]]


def same_expiry(entry: Entry, replies: Sequence[Any]) -> bool:
    """Whether the replies to `expiry_commands` say what an entry says. Pure."""
    *times, left = replies
    if not isinstance(left, int):
        return False
    if entry.expires_at is None or left < 0:
        return entry.expires_at is None and left == -1
    if not times:
        return left == entry.expires_at
    seconds, micros = times[0]
    return abs(int(seconds) * 1000 + int(micros) // 1000 + left - entry.expires_at) < _NEAR_MS
