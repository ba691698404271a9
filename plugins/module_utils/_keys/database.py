# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One database of a server while its keys are read. `reading.py` tells how."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, repeat
from typing import Any

from .._errors import ServerError
from .._server.compatibility import knows_field_ttls
from .._server.connection import ReplyError, parse_info
from .._server.facts import Facts
from .entry import DUMP, Entry
from .glob import Patterns
from .pace import PAGE, Pace
from .seen import LastSeen
from .selection import Selection, scan_words
from .slow import SlowReads
from .tally import Tally, kind_of_dump
from .values import TYPED, Found, Reads, Unread
from .wire import KEY, Wire

_PAGE_MOST = 4000  # where few of the keys that are scanned come back
_BATCH_BYTES = 1024 * 1024
_SLOW_BYTES = 256 * 1024
_SAMPLES = 1000  # elements that MEMORY USAGE looks at: all of those it would be wrong about
_TRIES = 5


@dataclass(frozen=True)
class _Request:
    """What one request asks for, in this order."""

    scan: bool = False
    page: Sequence[bytes] = ()
    info: bool = False
    batch: Sequence[Found] = ()
    replies: int = 0  # of the batch

    @property
    def empty(self) -> bool:
        return not (self.scan or self.page or self.batch)


class Database:
    """One database while it is read."""

    def __init__(
        self,
        wire: Wire,
        facts: Facts,
        database: int,
        selection: Selection,
        kind: str,
        tally: Tally,
        patterns: Patterns,
        unfit: Callable[[str], str | None] | None,
        pace: Pace,
    ) -> None:
        self._wire, self._database, self._kind = wire, database, kind
        self._tally, self._patterns, self._pace = tally, patterns, pace
        self._types, self._unfit = selection.types, unfit
        self._whys: dict[str, str | None] = {}
        exact = facts.version >= (7, 0)
        self._reads = Reads(wire, exact=exact)
        # Hashes are looked at twice only where fields expire, which INFO tells.
        self._asks_for_fields = kind == TYPED and knows_field_ttls(facts.flavour, facts.version)
        self._fields_expire = self._asks_for_fields and facts.hashes_with_field_ttls > 0
        self._slow_reads = SlowReads(wire, self._reads, database, tally, exact=exact, field_ttls=self._asks_for_fields)
        # --- how things are asked for ---
        self._scan = scan_words(selection, patterns)
        self._count = pace.most
        self._asks_for_types = kind == TYPED or (bool(selection.types) and "TYPE" not in self._scan)
        self._type = wire.template("TYPE", KEY)
        self._memory = wire.template("MEMORY", "USAGE", KEY, "SAMPLES", _SAMPLES)
        self._info = wire.packed("INFO", "keyspace")
        # --- where we are ---
        self._cursor: bytes | None = b"0"  # None: the scan is over
        self._seen = LastSeen()
        self._pages: deque[list[bytes]] = deque()  # scanned
        self._todo: deque[Found] = deque()  # type and size are known
        self._slow: list[Found] = []
        self._retried: Counter[bytes] = Counter()  # how often a key was of another type when it was read

    def read(self) -> Iterator[list[Entry]]:
        """The entries of the database."""
        request = self._send()
        while not request.empty:
            if request.scan:
                self._take_scan(self._wire.receive(1)[0])
            if request.page:
                self._take_page(request.page)
            following = _Request() if self._slow else self._send()
            made = self._take_batch(request)
            if made:
                self._count_in(made)
                yield made
            while following.empty:
                for made in self._read_slow():
                    self._count_in(made)
                    yield made
                following = self._send()
                if not self._slow:
                    break
            request = following

    # --- requests ---

    def _send(self) -> _Request:
        """Ask for what can be asked for now."""
        batch = self._next_batch()
        page = self._pages.popleft() if self._pages and len(self._todo) < PAGE else []
        scan = self._cursor is not None and not self._pages and len(self._todo) < 2 * PAGE
        info = self._asks_for_fields and not self._fields_expire and any(found.kind == "hash" for found in batch)
        parts, replies = [], 0
        if scan:
            parts.append(self._wire.packed("SCAN", self._cursor or b"0", *self._scan, "COUNT", self._count))
        if page:
            holes = tuple(chain.from_iterable(zip(map(len, page), page)))
            if self._asks_for_types:
                parts.append(self._type * len(page) % holes)
            parts.append(self._memory * len(page) % holes)
        if batch:
            values, replies = self._reads.packed(batch)
            parts += [self._info, values, self._info] if info else [values]
        request = _Request(scan, page, info, batch, replies)
        if not request.empty:
            self._pace.wait_for(len(batch))
            self._wire.send(b"".join(parts), "SCAN, TYPE, MEMORY USAGE or the reading of values")
        return request

    def _next_batch(self) -> list[Found]:
        """So many keys as may be under way at once; large ones are put aside."""
        todo, batch, left = self._todo, list[Found](), _BATCH_BYTES
        most = self._pace.most
        if todo and len(todo) <= most and not self._fields_expire:
            sizes = [found[2] for found in todo]
            if max(sizes) <= _SLOW_BYTES and sum(sizes) <= _BATCH_BYTES:
                batch = list(todo)
                todo.clear()
                return batch
        while todo and left > 0 and len(batch) < most:
            found = todo.popleft()
            if found.size > _SLOW_BYTES or (self._fields_expire and found.kind == "hash"):
                self._slow.append(found)
                left -= 1024  # so that not all of a server's large keys are put aside at once
                continue
            batch.append(found)
            left -= found.size
        return batch

    # --- replies ---

    def _take_scan(self, reply: Any) -> None:
        if isinstance(reply, ReplyError):
            raise reply
        cursor, keys = reply
        self._cursor = None if cursor == b"0" else cursor
        if len(self._scan) and len(keys) < self._count // 8 and self._pace.rate is None:
            self._count = min(self._count * 2, _PAGE_MOST)
        fresh = self._seen.fresh(keys)
        self._tally.repeated += len(keys) - len(fresh)
        keys = self._patterns.matching(fresh)
        for start in range(0, len(keys), PAGE):
            self._pages.append(keys[start : start + PAGE])

    def _take_page(self, page: Sequence[bytes]) -> None:
        count = len(page)
        lines = self._wire.receive_lines(2 * count if self._asks_for_types else count)
        sizes = lines[-count:]
        kinds = lines[:count] if self._asks_for_types else [b"+" + DUMP.encode()] * count
        names = {line: self._type_of(line) for line in set(kinds)}
        whys = {line: self._why_left_out(name) for line, name in names.items()}
        told = b"".join(sizes)
        if b"-" not in told and "none" not in names.values() and not any(why is not None for why in whys.values()):
            read_as = [names[line] for line in kinds] if self._kind == TYPED else repeat(DUMP)
            self._todo.extend(map(Found, page, read_as, map(int, told[1:].split(b":"))))
            return
        for key, line, size in zip(page, kinds, sizes):
            kind, why = names[line], whys[line]
            if kind == "none":
                self._tally.gone += 1
            elif why is None:
                if size[:1] == b"-":
                    raise self._wire.refused(size)
                self._todo.append(Found(key, kind if self._kind == TYPED else DUMP, max(int(size[1:]), 0)))
            elif why:
                self._tally.skip(self._database, key, kind, why)

    def _type_of(self, line: bytes) -> str:
        if line[:1] != b"+":
            raise self._wire.refused(line)
        return line[1:].decode("utf-8", "replace")

    def _why_left_out(self, kind: str) -> str | None:
        """Why keys of a type are left out: empty when they are not asked for; None when they are read."""
        if self._asks_for_types and self._types and kind not in self._types:
            return ""
        if self._unfit is None or kind == "none":
            return None
        return self._unfit(kind)

    def _take_batch(self, request: _Request) -> list[Entry]:
        if not request.batch:
            return []
        wire, batch = self._wire, request.batch
        errors = wire.refusals
        before = wire.receive(1) if request.info else []
        replies = wire.receive(request.replies)
        if request.info:
            self._look_for_fields(before + wire.receive(1))
        if self._fields_expire and request.info:
            return self._without_hashes(batch, replies, errors=wire.refusals != errors)
        made, unread = self._reads.entries(self._database, batch, replies, errors=wire.refusals != errors)
        self._note(unread)
        return made

    def _look_for_fields(self, replies: Sequence[Any]) -> None:
        """Fields that expire before or behind the reading of a batch: nobody knows which of its hashes have them."""
        for reply in replies:
            if isinstance(reply, ReplyError):
                raise reply
            self._fields_expire = self._fields_expire or Facts(parse_info(reply)).hashes_with_field_ttls > 0

    def _without_hashes(self, batch: Sequence[Found], replies: Sequence[Any], *, errors: bool) -> list[Entry]:
        """The entries of a batch but for the hashes, which are read again."""
        self._slow += [found for found in batch if found.kind == "hash"]
        kept = [number for number, found in enumerate(batch) if found.kind != "hash"]
        replies = [reply for number in kept for reply in replies[2 * number : 2 * number + 2]]
        made, unread = self._reads.entries(self._database, [batch[each] for each in kept], replies, errors=errors)
        self._note(unread)
        return made

    def _note(self, unread: Unread) -> None:
        self._tally.gone += unread.gone
        self._slow += unread.unsure
        self._again(unread.changed)
        for error in unread.refused:
            if error.code in ("MOVED", "ASK", "CLUSTERDOWN"):
                raise ServerError(
                    f"the slots of the cluster moved while {self._wire.login.where} was read: {error.message}",
                    hint="Export again when the cluster is at rest",
                )
            raise error

    def _again(self, changed: Sequence[Found]) -> None:
        """Ask once more of what type keys are; one that changes each time is given up."""
        page = []
        for found in changed:
            self._retried[found.key] += 1
            if self._retried[found.key] < _TRIES:
                page.append(found.key)
            else:
                self._tally.skip(self._database, found.key, found.kind, "its type changed each time it was read")
        if page:
            self._pages.append(page)

    def _read_slow(self) -> Iterator[list[Entry]]:
        """What was put aside. Nothing else is under way."""
        slow, self._slow = self._slow, []
        self._pace.wait_for(len(slow))
        hashes: list[Found] = []
        for found in slow:
            if self._fields_expire and found.kind == "hash" and found.size <= _SLOW_BYTES:
                hashes.append(found)
                continue
            try:
                for entry in self._slow_reads.read(found):
                    yield [entry]
            except ReplyError as error:
                if error.code != "WRONGTYPE":
                    raise
                self._again([found])
        yield from self._slow_reads.hashes(hashes)
        self._again(self._slow_reads.other_type)
        self._slow_reads.other_type.clear()

    def _count_in(self, made: Sequence[Entry]) -> None:
        """Count keys, not their parts."""
        tally = self._tally
        whole = made if len(made) > 1 else [entry for entry in made if not entry.more]  # parts come alone
        tally.exported += len(whole)
        tally.by_database[self._database] += len(whole)
        kinds = Counter([entry[2] for entry in whole])
        if DUMP in kinds:
            del kinds[DUMP]
            kinds.update(map(kind_of_dump, [entry[3] for entry in whole if entry[2] == DUMP]))
        tally.by_type.update(kinds)
        tally.with_expiry += len(whole) - [entry[4] for entry in whole].count(None)
