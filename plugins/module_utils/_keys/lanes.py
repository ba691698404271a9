# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keys on their way to one server: batches on one connection, the next one made while the server works on the last."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, Union

from .._server.connection import ReplyError
from .dump_runs import Run
from .entry import Entry
from .wire import Wire, pack
from .writing import CREATED, EXISTED, Packed, Writer

BATCH_KEYS = 1000
BATCH_BYTES = 2 * 1024 * 1024
_UNDER_WAY = 2  # so many batches are sent before the replies to the first are read
_RUNS_UNDER_WAY = 4 * 1024 * 1024  # and runs of so many bytes: a server that waits for us has less time to work

Verdict = Union[str, ReplyError]


class Sent(NamedTuple):
    """A key that was sent: what the user knows it by, and how many replies it gets."""

    number: int
    entry: Entry
    replies: int


Told = Callable[[Sent, Verdict], None]
"""What a lane tells of a key that was not simply created."""


class _Batch(NamedTuple):
    sent: Iterable[tuple[int, Entry, int]]  # as Sent, which takes longer to make
    keys: int
    replies: int
    counted: bool  # the first reply is that of EXISTS
    run_bytes: int = 0


class Lane:
    """One connection for writing. `created` counts the keys that were made, `replaced` those that were there before.

    `counting` has the server asked how many of a batch's keys exist, in the same round trip; a cluster answers that
    only for keys of one slot. All else that becomes of a key is told to `told`.
    """

    def __init__(self, wire: Wire, writer: Writer, told: Told, *, counting: bool = False) -> None:
        self.wire = wire
        self.created = 0
        self.replaced = 0
        self.bytes = 0
        self._writer = writer
        self._told = told
        self._counting = counting
        self._database = 0
        self._sent: list[tuple[int, Entry, int]] = []
        self._data: list[bytes] = []
        self._bytes = 0
        self._replies = 0
        self._under_way: deque[_Batch] = deque()
        self._transacts = False

    def put(self, number: int, entry: Entry, data: bytes, replies: int = 1) -> None:
        """Send a key, by commands that get so many replies, now or with the ones that follow."""
        if replies > 1 and not self._transacts:
            self.require_transactions()
        if entry.database != self._database:
            self.select(entry.database)
        self._sent.append((number, entry, replies))
        self._data.append(data)
        self._bytes += len(data)
        self._replies += replies
        if len(self._sent) >= BATCH_KEYS or self._bytes >= BATCH_BYTES:
            self.flush()

    def flush(self) -> None:
        """Send what is there."""
        if not self._sent:
            return
        if self._counting:
            asked = pack(self.wire.renamed("EXISTS"), *(entry.key for _number, entry, _replies in self._sent))
            self._data.insert(0, asked)
        batch = _Batch(self._sent, len(self._sent), self._replies + self._counting, self._counting)
        data = b"".join(self._data)
        self._sent, self._data, self._bytes, self._replies = [], [], 0, 0
        self._send(batch, data)

    def forward(self, run: Run) -> None:
        """Send a run by the commands that it consists of, which get one reply of one line each."""
        if run.database != self._database:
            self.select(run.database)
        self.flush()
        data = run.reworded(*self._writer.forms.around)
        sent = ((number, entry, 1) for number, entry, _why in run.items() if entry)
        if data is None:
            for number, entry, _one in sent:
                self.put(number, entry, self._writer.single(entry))
            return
        if self._counting:
            data = pack(self.wire.renamed("EXISTS"), *run.names()) + data
        self._send(_Batch(sent, run.keys, run.keys + self._counting, self._counting, len(data)), data)

    def _send(self, batch: _Batch, data: bytes) -> None:
        self._under_way.append(batch)
        self.bytes += len(data)
        self.wire.send(data, "the keys")
        while len(self._under_way) >= _UNDER_WAY:
            if batch.run_bytes and sum(each.run_bytes for each in self._under_way) < _RUNS_UNDER_WAY:
                break
            self._collect()

    def drain(self) -> None:
        """Send what is there and wait for all replies."""
        self.flush()
        self.collect_all()

    def collect_all(self) -> None:
        """Wait for the replies to all that was sent; what was not sent yet stays."""
        while self._under_way:
            self._collect()

    def select(self, database: int) -> None:
        """Go to another database. Raises ReplyError where there is none such."""
        if database != self._database:
            self.drain()
            self.wire.call("SELECT", database)
            self._database = database

    def require_transactions(self) -> None:
        """Raise ReplyError where MULTI or EXEC is refused: what should stand between them would happen one by one."""
        if not self._transacts:
            self.drain()
            for command in ("MULTI", "EXEC"):
                self.wire.call(command)
            self._transacts = True

    def exchange(self, packed: Packed, what: str) -> list[Any]:
        """The replies to commands beside the batches, in the database that is selected."""
        self.drain()
        return self.wire.exchange(packed.data, packed.replies, what)

    def _collect(self) -> None:
        batch = self._under_way[0]
        if batch.replies == batch.keys + batch.counted:
            self._collect_single(batch)
        else:
            self._collect_mixed(batch)

    def _collect_single(self, batch: _Batch) -> None:
        """Every key gets one reply, of one line: mostly all are alike."""
        if not batch.counted and self.wire.receive_alike(b"+OK", batch.replies):
            self._under_way.popleft()
            self.created += batch.keys
            return
        lines = self.wire.receive_lines(batch.replies)
        self._under_way.popleft()
        if batch.counted:
            self._count(lines.pop(0))
        fine = lines.count(b"+OK")
        self.created += fine
        if fine == len(lines):
            return
        for sent, line in zip(batch.sent, lines):
            if line != b"+OK":
                refused = line.startswith(b"-") and not line.startswith(b"-BUSYKEY")
                self._told(Sent(*sent), self.wire.refused(line) if refused else EXISTED)

    def _collect_mixed(self, batch: _Batch) -> None:
        replies = self.wire.receive(batch.replies)
        self._under_way.popleft()
        if batch.counted:
            count = replies.pop(0)
            self.replaced += count if isinstance(count, int) else 0
        at = 0
        for number, entry, count in batch.sent:
            verdict = self._writer.verdict(entry, replies[at : at + count])
            at += count
            if verdict == CREATED:
                self.created += 1
            else:
                self._told(Sent(number, entry, count), verdict)

    def _count(self, line: bytes) -> None:
        if line.startswith(b":"):
            self.replaced += int(line[1:])
