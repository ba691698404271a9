# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keys that take more than one step to read: large ones, hashes with fields that expire, a clock that moved on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from .._server.connection import ReplyError
from .entry import TYPED_KINDS, Entry
from .parts import Large
from .tally import Tally
from .values import Found, Reads, milliseconds, pairs
from .wire import Wire, require_good

_HASHES = 100
_HASHES_BYTES = 1024 * 1024
_TRIES = 5


class SlowReads:
    """Such keys of one database, read while nothing else is under way on the wire."""

    def __init__(self, wire: Wire, reads: Reads, database: int, tally: Tally, *, exact: bool, field_ttls: bool) -> None:
        self._wire = wire
        self._reads = reads
        self._database = database
        self._tally = tally
        self._exact = exact
        self._field_ttls = field_ttls
        self.other_type: list[Found] = []  # hashes that are something else now
        self._large = Large(wire, field_ttls=field_ttls, expiry=self.expiry)

    def expiry(self, key: bytes) -> int:
        """When a key expires, in UTC milliseconds; -1 never, -2 gone.

        6.2 tells only the time left: it is taken between two looks at its clock, until both show one millisecond.
        """
        if self._exact:
            return int(self._wire.call("PEXPIRETIME", key))
        clock = self._wire.packed("TIME")
        asked = clock + self._wire.packed("PTTL", key) + clock
        while True:
            before, left, after = require_good(self._wire.exchange(asked, 3, "PTTL"))
            if left < 0:
                return int(left)
            if milliseconds(before) == milliseconds(after):
                return milliseconds(before) + int(left)

    def read(self, found: Found) -> Iterator[Entry]:
        """One key, in as many parts as it takes. Raises ReplyError, with WRONGTYPE when its type has changed."""
        if found.kind in TYPED_KINDS and found.size:
            count = self._large.count(found)
            if not self._large.fits_one_piece(found, count):
                yield from self._in_parts(found, count)
                return
            if found.kind == "hash" and self._field_ttls:
                for made in self.hashes([found]):
                    yield from made
                return
        packed, replies = self._reads.packed([found])
        while True:
            errors = self._wire.refusals
            answers = self._wire.exchange(packed, replies, "a large value")
            errors = self._wire.refusals - errors
            made, unread = self._reads.entries(self._database, [found], answers, errors=bool(errors))
            if errors and (unread.changed or unread.refused):
                require_good(answers)
            if not unread.unsure:
                break
            # The value takes longer than a millisecond: its time to live is asked for by itself.
            at = self.expiry(found.key)
            if at < 0:
                continue
            clock, _left, value, _later = answers
            made, unread = self._reads.entries(self._database, [found], [clock, -1, value, clock], errors=False)
            made = [entry._replace(expires_at=at) for entry in made]
            break
        self._tally.gone += unread.gone
        yield from made

    def _in_parts(self, found: Found, count: int) -> Iterator[Entry]:
        there = False
        try:
            for part in self._large.parts(self._database, found, count):
                there = True
                yield part
        except ReplyError as error:
            if "no such key" not in error.message:
                self._large.unchanged()
                raise
        unchanged = self._large.unchanged()
        if there:
            self._tally.in_parts += 1
            if not unchanged:
                self._tally.change(found.key)
        else:
            self._tally.gone += 1

    def hashes(self, wanted: Sequence[Found]) -> Iterator[list[Entry]]:
        """Hashes with the expiry times of their fields, each at one moment; `other_type` gets those that are none."""
        some: list[Found] = []
        for found in wanted:
            some.append(found)
            if len(some) == _HASHES or sum(each.size for each in some) > _HASHES_BYTES:
                yield self._some_hashes(some)
                some = []
        if some:
            yield self._some_hashes(some)

    def _some_hashes(self, wanted: Sequence[Found]) -> list[Entry]:
        made: list[Entry] = []
        for tries in range(_TRIES, 0, -1):
            missed = []
            asked = b"".join(self._wire.packed("HKEYS", found.key) for found in wanted)
            names = self._hashes_only(wanted, self._wire.exchange(asked, len(wanted), "HKEYS"))
            there = [(found, fields) for found, fields in names if fields]
            self._tally.gone += len(names) - len(there)
            asked = b"".join(self._one_moment(found.key, fields) for found, fields in there)
            replies = require_good(self._wire.exchange(asked, 5 * len(there), "HGETALL"))
            moments = ((found, fields, *reply) for (found, fields), reply in zip(there, replies[4::5]))
            for found, fields, at, times, flat in moments:
                if isinstance(flat, ReplyError):
                    self._hashes_only([found], [flat])
                    continue
                if not flat or at == -2:
                    self._tally.gone += 1
                    continue
                told = dict(zip(fields, times))
                if any(name not in told for name in flat[::2]):
                    if tries > 1:
                        missed.append(found)
                        continue
                    told.update(self._times_of([name for name in flat[::2] if name not in told], found.key))
                expiries = tuple((name, told[name]) for name in flat[::2] if told.get(name, -1) >= 0)
                expires_at = at if at >= 0 else None
                made.append(Entry(self._database, found.key, "hash", pairs(flat), expires_at, expiries))
            wanted = missed
            if not wanted:
                break
        return made

    def _hashes_only(self, wanted: Sequence[Found], replies: Sequence[Any]) -> list[tuple[Found, Any]]:
        """Those of the keys that are hashes, with the replies. Raises ReplyError when another one is refused."""
        there = []
        for found, reply in zip(wanted, replies):
            if not isinstance(reply, ReplyError):
                there.append((found, reply))
            elif reply.code == "WRONGTYPE":
                self.other_type.append(found)
            else:
                raise reply
        return there

    def _one_moment(self, key: bytes, fields: Sequence[bytes]) -> bytes:
        packed = self._wire.packed
        asked = packed("HPEXPIRETIME", key, "FIELDS", len(fields), *fields)
        return packed("MULTI") + packed("PEXPIRETIME", key) + asked + packed("HGETALL", key) + packed("EXEC")

    def _times_of(self, fields: Sequence[bytes], key: bytes) -> dict[bytes, Any]:
        times = self._wire.call("HPEXPIRETIME", key, "FIELDS", len(fields), *fields)
        return dict(zip(fields, times or []))
