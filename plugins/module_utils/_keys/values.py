# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How values are asked for, and what their replies mean. Pure.

The time at which a key expires is asked for right before its value, in the same batch: between the two the server
serves somebody else at most where its buffer of commands ends.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain, repeat
from typing import Any, NamedTuple

from .._server.connection import ReplyError
from .entry import DUMP, Entry, Group, Pending, Stream
from .wire import KEY, Wire

TYPED = "typed"
"""Values are read by the commands of their types, which every version and flavour understands."""

_READS: dict[str, tuple[Any, ...]] = {
    "string": ("GET", KEY),
    "list": ("LRANGE", KEY, 0, -1),
    "set": ("SMEMBERS", KEY),
    "zset": ("ZRANGE", KEY, 0, -1, "WITHSCORES"),
    "hash": ("HGETALL", KEY),
    "stream": ("XINFO", "STREAM", KEY, "FULL", "COUNT", 0),
    DUMP: ("DUMP", KEY),
}


class Found(NamedTuple):
    """A key that a scan has shown: what TYPE says of it and how many bytes of memory it takes."""

    key: bytes
    kind: str
    size: int


class Unread(NamedTuple):
    """What came of a batch beside entries: keys that are no more, and those to look at again, with why."""

    gone: int
    unsure: list[Found]  # the clock moved on while their time of expiry was read
    changed: list[Found]  # of another type than they were
    refused: list[ReplyError]


def pairs(flat: Sequence[Any]) -> list[tuple[Any, Any]]:
    """A flat list of names and values as pairs."""
    return list(zip(flat[::2], flat[1::2]))


def scored(flat: Sequence[bytes]) -> list[tuple[bytes, float]]:
    """A flat list of members and scores as pairs."""
    return list(zip(flat[::2], map(float, flat[1::2])))


def stream_of(reply: Sequence[Any]) -> Stream:
    """A stream as XINFO STREAM FULL replied."""
    told = dict(pairs(reply))
    return Stream(
        [(entry, list(fields)) for entry, fields in told[b"entries"]],
        told[b"last-generated-id"],
        told.get(b"entries-added"),
        told.get(b"max-deleted-entry-id"),
        tuple(_group(dict(pairs(group))) for group in told[b"groups"]),
    )


def _group(told: dict[bytes, Any]) -> Group:
    waiting = told[b"pending" if b"pending" in told else b"pel"]
    return Group(
        told[b"name"],
        told[b"last-delivered-id"],
        told.get(b"entries-read"),
        tuple(dict(pairs(consumer))[b"name"] for consumer in told[b"consumers"]),
        tuple(Pending(entry, consumer, at, times) for entry, consumer, at, times in waiting),
    )


def value_of(kind: str, reply: Any) -> Any:
    """A value as an Entry has it, of the reply to its read command. What is not there gives something empty."""
    if kind == "zset":
        return scored(reply)
    if kind == "hash":
        return pairs(reply)
    if kind == "stream":
        return stream_of(reply)
    return reply


def milliseconds(reply: Sequence[bytes]) -> int:
    """The reply to TIME as UTC milliseconds."""
    return int(reply[0]) * 1000 + int(reply[1]) // 1000


class Reads:
    """The read commands for one server. `exact`: it tells when a key expires, and not only the time left (6.2)."""

    def __init__(self, wire: Wire, *, exact: bool) -> None:
        self._exact = exact
        self._time = wire.packed("TIME")
        asked = (
            wire.template("PEXPIRETIME", KEY) if exact else self._time.replace(b"%", b"%%") + wire.template("PTTL", KEY)
        )
        self._templates = {kind: asked + wire.template(*words) for kind, words in _READS.items()}
        self._else = self._templates[DUMP]

    def packed(self, batch: Sequence[Found]) -> tuple[bytes, int]:
        """The commands that read a batch, and how many replies they get."""
        templates, default = self._templates, self._else
        keys = [found[0] for found in batch]
        sizes = list(map(len, keys))
        holes = tuple(chain.from_iterable(zip(sizes, keys, sizes, keys)))
        commands = b"".join([templates.get(found[1], default) for found in batch]) % holes
        if self._exact:
            return commands, 2 * len(batch)
        return commands + self._time, 3 * len(batch) + 1

    def entries(
        self, database: int, batch: Sequence[Found], replies: Sequence[Any], *, errors: bool
    ) -> tuple[list[Entry], Unread]:
        """The entries of a batch. `errors`: there may be error replies among them."""
        unread = Unread(0, [], [], [])
        if self._exact:
            expiries, values = replies[::2], replies[1::2]
        else:
            clock = list(map(milliseconds, replies[::3]))
            values = replies[2::3]
            expiries = [
                left if left < 0 else before + left if before == after else None
                for left, before, after in zip(replies[1::3], clock, clock[1:])
            ]
        if errors:
            batch, expiries, values = _sorted_out(batch, expiries, values, unread)
        elif self._exact and None not in values and -2 not in expiries and all(found[1] == DUMP for found in batch):
            return _payloads(database, batch, expiries, values), unread
        made: list[Entry] = []
        add, entry, templates = made.append, Entry, self._templates
        for (key, kind, _size), at, value in zip(batch, expiries, values):
            if not value and (value is None or kind != "string"):
                continue  # the server has no empty collections
            if at is None:
                unread.unsure.append(Found(key, kind, 0))
                continue
            if kind in ("zset", "hash", "stream"):
                value = value_of(kind, value)
            elif kind not in templates:
                kind = DUMP
            if at == -1:
                add(entry(database, key, kind, value))
            elif at >= 0:
                add(entry(database, key, kind, value, at))
        gone = len(batch) - len(made) - len(unread.unsure)
        return made, unread._replace(gone=unread.gone + gone)


def _payloads(database: int, batch: Sequence[Found], expiries: Sequence[int], values: Sequence[bytes]) -> list[Entry]:
    """The entries of a batch of payloads, all of whose keys are there."""
    keys = [found[0] for found in batch]
    lasting = [None if at < 0 else at for at in expiries]
    words = zip(repeat(database), keys, repeat(DUMP), values, lasting, repeat(()), repeat(0), repeat(False))
    return list(map(Entry._make, words))


def _sorted_out(
    batch: Sequence[Found], expiries: Sequence[Any], values: Sequence[Any], unread: Unread
) -> tuple[list[Found], list[Any], list[Any]]:
    """The keys of a batch whose replies are values; the others are noted in `unread`, or counted as gone."""
    good = []
    for found, at, value in zip(batch, expiries, values):
        error = next((reply for reply in (at, value) if isinstance(reply, ReplyError)), None)
        if error is None:
            good.append((found, at, value))
        elif error.code == "WRONGTYPE":
            unread.changed.append(found)
        elif "no such key" in error.message:
            good.append((found, -2, None))
        else:
            unread.refused.append(error)
    return [each[0] for each in good], [each[1] for each in good], [each[2] for each in good]


def weight(values: Iterable[bytes]) -> int:
    """Bytes that values take in our own memory, roughly."""
    return sum(len(value) + 50 for value in values)
