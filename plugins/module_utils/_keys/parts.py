# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A value that is too large for one piece, read in steps: neither the server nor we ever hold all of it as a reply.

What is read so is no moment of the value when somebody changes it meanwhile; WATCH tells whether somebody did.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from .._server.connection import ReplyError
from .entry import PART_BYTES, Entry, Group, Pending, Stream
from .values import Found, milliseconds, pairs, scored, weight
from .wire import Wire, require_good

_STEP_BYTES = 1024 * 1024
_STEP_MOST = 10_000  # elements in one step
_PENDING = 1000  # pending entries in one step
_COUNTS = {"string": "STRLEN", "list": "LLEN", "set": "SCARD", "zset": "ZCARD", "hash": "HLEN", "stream": "XLEN"}
_OVERHEAD = {"string": 0, "stream": 200}  # of our own memory, for each element; others 50


class Piece(NamedTuple):
    """What one step brought, how much memory it takes, and the expiry times of fields in it."""

    value: Any
    weight: int
    field_expiries: tuple[tuple[bytes, int], ...] = ()


class Large:
    """Large values of one server. `field_ttls`: fields of its hashes can expire."""

    def __init__(self, wire: Wire, *, field_ttls: bool, expiry: Callable[[bytes], int]) -> None:
        self._wire = wire
        self._field_ttls = field_ttls
        self._expiry = expiry

    def count(self, found: Found) -> int:
        """Elements of a collection or stream, bytes of a string; 0 when it is gone. Raises ReplyError."""
        return int(self._wire.call(_COUNTS[found.kind], found.key))

    def fits_one_piece(self, found: Found, count: int) -> bool:
        """Whether a value may be read as one reply."""
        if found.kind == "string":
            return count <= PART_BYTES
        return found.size + count * _OVERHEAD.get(found.kind, 50) <= 2 * PART_BYTES

    def parts(self, database: int, found: Found, count: int) -> Iterator[Entry]:
        """The value in parts; none when it is gone. Whoever asks `unchanged` behind the last learns what it is worth.

        Raises ReplyError, with WRONGTYPE when the key is of another type meanwhile.
        """
        key, kind = found.key, found.kind
        self._wire.call("WATCH", key)
        at = self._expiry(key)
        if at == -2:
            return
        expires_at = at if at >= 0 else None
        number, held = 0, _Held(kind)
        stream = self._stream_without_entries(key) if kind == "stream" else None
        for piece in self._until_gone(self._pieces(found, count, stream)):
            if held.weight and held.weight + piece.weight > PART_BYTES:
                value = stream._replace(entries=held.value(), groups=()) if stream else held.value()
                yield Entry(database, key, kind, value, expires_at, tuple(held.field_expiries), number, True)
                number, held = number + 1, _Held(kind)
            held.add(piece)
        value = stream._replace(entries=held.value()) if stream else held.value()
        if number or value:
            yield Entry(database, key, kind, value, expires_at, tuple(held.field_expiries), number)

    def unchanged(self) -> bool:
        """Whether the last key was left alone while it was read; ends the watch over it."""
        replies = self._wire.exchange(self._wire.packed("MULTI") + self._wire.packed("EXEC"), 2, "EXEC")
        return require_good(replies)[1] is not None

    # --- steps ---

    def _until_gone(self, pieces: Iterator[Piece]) -> Iterator[Piece]:
        """The pieces, up to where the key became something else: what was begun is ended."""
        begun = False
        try:
            for piece in pieces:
                yield piece
                begun = True
        except ReplyError as error:
            if not begun or error.code != "WRONGTYPE":
                raise

    def _pieces(self, found: Found, count: int, stream: Stream | None) -> Iterator[Piece]:
        if found.kind == "string":
            return self._ranges(found.key, count)
        step = max(1, min(_STEP_MOST, count * _STEP_BYTES // max(found.size, 1)))
        if found.kind == "list":
            return self._list(found.key, count, step)
        if stream is not None:
            return self._stream(found.key, stream.last_id, step)
        return self._scanned(found, step)

    def _ranges(self, key: bytes, size: int) -> Iterator[Piece]:
        for start in range(0, size, PART_BYTES):
            data = self._wire.call("GETRANGE", key, start, start + PART_BYTES - 1)
            if not data:
                return
            yield Piece(data, len(data))

    def _list(self, key: bytes, count: int, step: int) -> Iterator[Piece]:
        for start in range(0, count, step):
            values = self._wire.call("LRANGE", key, start, start + step - 1)
            if not values:
                return
            yield Piece(values, weight(values))

    def _scanned(self, found: Found, step: int) -> Iterator[Piece]:
        command = {"set": "SSCAN", "zset": "ZSCAN", "hash": "HSCAN"}[found.kind]
        cursor = b"0"
        while True:
            cursor, flat = self._wire.call(command, found.key, cursor, "COUNT", step)
            if found.kind == "hash":
                yield Piece(pairs(flat), weight(flat), self._fields(found.key, flat[::2]))
            else:
                yield Piece(scored(flat) if found.kind == "zset" else flat, weight(flat))
            if cursor == b"0":
                return

    def _fields(self, key: bytes, fields: list[bytes]) -> tuple[tuple[bytes, int], ...]:
        if not self._field_ttls or not fields:
            return ()
        times = self._wire.call("HPEXPIRETIME", key, "FIELDS", len(fields), *fields)
        return tuple((field, at) for field, at in zip(fields, times or []) if at >= 0)

    def _stream(self, key: bytes, last: bytes, step: int) -> Iterator[Piece]:
        start = b"-"
        while True:
            entries = self._wire.call("XRANGE", key, start, last, "COUNT", step)
            if not entries:
                return
            sizes = sum(weight(fields) + 200 for _entry, fields in entries)
            yield Piece([*map(tuple, entries)], sizes)
            start = b"(" + entries[-1][0]

    # --- what a stream has beside its entries ---

    def _stream_without_entries(self, key: bytes) -> Stream:
        told = dict(pairs(self._wire.call("XINFO", "STREAM", key)))
        groups = [dict(pairs(group)) for group in self._wire.call("XINFO", "GROUPS", key)]
        return Stream(
            [],
            told[b"last-generated-id"],
            told.get(b"entries-added"),
            told.get(b"max-deleted-entry-id"),
            tuple(found for found in (self._group(key, group) for group in groups) if found is not None),
        )

    def _group(self, key: bytes, told: dict[bytes, Any]) -> Group | None:
        """A group with its consumers and what they have not acknowledged; None when it is no more."""
        try:
            return self._group_there(key, told)
        except ReplyError as error:
            if error.code != "NOGROUP":
                raise
            return None

    def _group_there(self, key: bytes, told: dict[bytes, Any]) -> Group:
        name = told[b"name"]
        consumers = [dict(pairs(each))[b"name"] for each in self._wire.call("XINFO", "CONSUMERS", key, name)]
        pending: list[Pending] = []
        start = b"-"
        ask_time = self._wire.packed("TIME")
        while True:
            ask = self._wire.packed("XPENDING", key, name, start, "+", _PENDING)
            clock, some = require_good(self._wire.exchange(ask_time + ask, 2, "XPENDING"))
            present = milliseconds(clock)
            pending += [Pending(entry, consumer, present - idle, times) for entry, consumer, idle, times in some]
            if len(some) < _PENDING:
                break
            start = b"(" + some[-1][0]
        return Group(name, told[b"last-delivered-id"], told.get(b"entries-read"), tuple(consumers), tuple(pending))


class _Held:
    """Pieces that wait to become one part."""

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self._pieces: list[Any] = []
        self.weight = 0
        self.field_expiries: list[tuple[bytes, int]] = []

    def add(self, piece: Piece) -> None:
        self._pieces.append(piece.value)
        self.weight += piece.weight
        self.field_expiries += piece.field_expiries

    def value(self) -> Any:
        if self._kind == "string":
            return b"".join(self._pieces)
        joined = [each for piece in self._pieces for each in piece]
        if self._kind in ("hash", "zset"):
            return list(dict(joined).items())  # a table that grows meanwhile may show an element twice
        return list(dict.fromkeys(joined)) if self._kind == "set" else joined
