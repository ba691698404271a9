# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The run over a source that writes: decided key by key, journalled ahead, and what is doubtful compared."""

from __future__ import annotations

import contextlib
import sys
import time
from typing import NamedTuple

from .._errors import ServerError
from .._server.connection import ReplyError
from .checking import size_of
from .counting import Bad, Counts
from .dump_runs import Run
from .entry import Entry
from .journal import Journal, Shelf
from .lanes import Sent, Verdict
from .plan import (
    FAIL,
    KEEP,
    REPLACE,
    AsTheyAre,
    Rules,
    decide,
    has_hidden_expiries,
    likeness,
    why_bad,
    why_not_database,
)
from .receiver import Receiver
from .sending import Sender
from .source import Source, numbered
from .writing import CREATED, EXISTED, VANISHED

_STRETCH_KEYS = 20_000
_STRETCH_FORWARDED = 100_000  # keys in runs: it is over as soon
_STRETCH_BYTES = 64 * 1024 * 1024
_TOGETHER = 500
_COMPARED = 100  # copies of so many keys are made at a time
_HELD_BYTES = 16 * 1024 * 1024
_CLOCK_EVERY = 1000
# What befalls one key befalls the next one too.
_FATAL = {
    "OOM": "Raise maxmemory, or import less of the keys (patterns)",
    "READONLY": "It is a replica now, after a failover: import into the new primary",
    "MASTERDOWN": "Wait until its primary is there again",
    "LOADING": "Wait until it has loaded",
    "MISCONF": "It cannot save to its disk, and takes no writes until it can: see its log",
    "NOREPLICAS": "It has too few replicas to take writes (min-replicas-to-write)",
    "NOPERM": "Allow this to the login user; a key that is no string is built under the name redis_backup:import:...",
    "NOAUTH": "Give login_user and login_password",
    "CLUSTERDOWN": "Mend the cluster (redis-cli --cluster check)",
    "TRYAGAIN": "Wait until its slots have settled",
    "MOVED": "Wait until its slots have settled",
    "ASK": "Wait until its slots have settled",
}


class StoppedError(Exception):
    """The server takes no more keys."""

    def __init__(self, why: str, hint: str) -> None:
        super().__init__(why)
        self.why = why
        self.hint = hint


class _Doubt(NamedTuple):
    """A key that exists and may be ours: the same came before in the source, or (`sent`) an earlier run has sent it."""

    number: int
    entry: Entry
    sent: bool


class WriteRun:
    """One run. `counts` and `bad` are right whenever all that was sent is told; `sent` counts keys."""

    def __init__(
        self,
        source: Source,
        rules: Rules,
        receiver: Receiver,
        sender: Sender,
        journal: Journal,
        shelf: Shelf,
        *,
        validated: bool,
        resumed: bool,
        keys_per_second: float | None,
    ) -> None:
        self._source = source
        self._rules = rules
        self._receiver = receiver
        self._sender = sender
        self._journal = journal
        self._shelf = shelf
        self._validated = validated
        self._limit = keys_per_second
        self._begun = time.monotonic()
        self._earlier = Counts.of(journal.counts)
        self._mine = Counts()
        self._done = journal.done  # entries before this one were confirmed by an earlier run
        self._unsure = journal.reserved if source.stable or not resumed else sys.maxsize  # and up to here may be there
        self._revisited: list[tuple[int, int, Entry]] = []
        self._doubts: list[_Doubt] = []
        self._leaving_out = False  # the rest of a value in parts
        self._resembling = False
        self._stop: ReplyError | None = None
        self._building: Entry | None = None  # a value in parts, of which more must follow
        self._over = False  # a value in parts takes the place of another
        self._bytes_held = 0
        self._trusted = validated or source.proven
        self._forwards = self._trusted and keys_per_second is None and sender.forwards
        self._forwarded = 0  # the position behind the last run that was
        self._as_they_are = AsTheyAre(rules, receiver.target, self._why_not_database)
        self.bad = Bad(source.unit)
        self.sent = 0

    @property
    def counts(self) -> Counts:
        """All that is there, by this run and those before it."""
        mine = self._mine + Counts(imported=self._sender.created, replaced=self._sender.replaced)
        mine.imported -= mine.rewritten
        mine.pending_lost = self._sender.pending_lost
        return self._earlier + mine

    def write(self) -> None:
        """Write everything. Raises StoppedError where the server takes no more, ServerError where it is gone."""
        self._remove_remains()
        position = -1
        plain, policy = self._rules.plain, self._rules.ttl_policy
        clock, check_at = self._receiver.clock, 0
        journal, trusted, put = self._journal, self._trusted, self._sender.put
        good: set[object] = set()  # what is known to be good of keys like one that was looked at
        for position, item in numbered(self._source, self._forward):
            number, entry, why = item
            if position >= check_at:
                clock = self._receiver.clock
                check_at = position + self._breathe()
            if entry is not None and entry.part:
                self._go_on(number, entry)
                continue
            if self._building is not None:
                self._abandon()
            if entry is None:
                self.bad.add(number, None, why)
                continue
            if position >= journal.reserved:
                each = max(self._sender.volume // max(self.sent, 1), 1)
                self._reserve(position, max(min(_STRETCH_KEYS, _STRETCH_BYTES // each), 1))
            self._leaving_out = False
            if not plain or entry.expires_at is not None or entry.field_expiries:
                decision = decide(entry, self._rules, clock)
                if isinstance(decision, str):
                    if position >= self._done:
                        self._mine.leave_out(decision)
                    self._leaving_out = entry.more
                    continue
                entry = decision
            alike = likeness(entry, proven=trusted)
            if alike is None or alike not in good:
                bad = self._why_bad(entry, trusted=trusted)
                if bad:
                    self.bad.add(number, entry.key, bad)
                    self._leaving_out = entry.more
                    continue
                good.add(alike)
            if (entry.field_expiries or policy != KEEP) and position >= self._done:
                self._note(entry)
            if entry.more:
                self._begin_large(position, number, entry)
            elif position < self._unsure:
                self._revisit(position, number, entry)
            else:
                put(number, entry)
                self.sent += 1
        if self._building is not None:
            self._abandon()
        self._settle()
        if self.bad.count:
            journal.done, journal.reserved, journal.counts = 0, max(position + 1, self._forwarded), {}
            self._shelf.save(self._journal)
        else:
            self._shelf.forget()

    def distrust(self) -> None:
        """What came of the source may be wrong: when it is run again, all that is there is compared."""
        self._journal.done, self._journal.counts = 0, {}
        self._shelf.save(self._journal)

    def _forward(self, position: int, run: Run) -> bool:
        """Pass a run on as it is, where each of its keys would be written as it stands there."""
        if not self._forwards or position < self._unsure or self._building is not None:
            return False
        if not self._as_they_are.take(run, self._receiver.clock):
            return False
        self._require_going()
        behind = position + run.keys
        if behind > self._journal.reserved:
            each = len(run.data) // run.keys
            self._reserve(position, max(min(_STRETCH_FORWARDED, _STRETCH_BYTES // each), run.keys))
        elif len(self._doubts) >= _TOGETHER:
            self._settle()
        self._sender.forward(run)
        self.sent += run.keys
        self._forwarded = behind
        return True

    def _why_bad(self, entry: Entry, *, trusted: bool) -> str | None:
        return why_bad(entry, self._receiver.target, proven=trusted) or self._why_not_database(entry.database)

    def _why_not_database(self, database: int) -> str | None:
        receiver = self._receiver
        return why_not_database(database, cluster=receiver.target.cluster, databases=receiver.databases)

    # --- the journal ---

    def _reserve(self, position: int, stretch: int) -> None:
        """All before `position` is written and told; from there on a stretch of so many keys may be sent."""
        self._settle()
        journal = self._journal
        if self._limit:
            stretch = max(min(stretch, int(self._limit * 5)), 1)
        journal.done, journal.reserved, journal.building = position, position + stretch, []
        journal.counts = self.counts.as_dict()
        self._shelf.save(journal)

    def _remove_remains(self) -> None:
        """What an earlier run has left of a value that it was building."""
        if self._journal.building:
            database, key = self._journal.building
            self._sender.forget(int(database), bytes.fromhex(key))
            self._journal.building = []

    def _settle(self) -> None:
        self._look_again()
        self._sender.drain()
        self._resolve()
        self._sender.drain()
        self._require_going()

    def _breathe(self) -> int:
        """Stop where the server takes no more, wait where a limit asks for it; for how many keys not to ask again."""
        self._require_going()
        if not self._limit:
            return _CLOCK_EVERY
        ahead = self.sent / self._limit - (time.monotonic() - self._begun)
        if ahead > 0:
            self._sender.flush()
            time.sleep(ahead)
        return max(min(int(self._limit / 20), _CLOCK_EVERY), 1)

    def _require_going(self) -> None:
        if self._stop is None:
            return
        with contextlib.suppress(ServerError):
            self._sender.drain()
        raise StoppedError(f"the server refused a key: {self._stop.message}", _FATAL[self._stop.code])

    # --- keys that may be there already ---

    def _revisit(self, position: int, number: int, entry: Entry) -> None:
        """Write a key of an earlier run if it is not there."""
        self._revisited.append((position, number, entry))
        self._bytes_held += size_of(entry)
        if len(self._revisited) >= _TOGETHER or self._bytes_held > _HELD_BYTES:
            self._look_again()

    def _look_again(self) -> None:
        revisited, self._revisited, self._bytes_held = self._revisited, [], 0
        if not revisited:
            return
        there = self._sender.exist([entry for _position, _number, entry in revisited])
        for (position, number, entry), exists in zip(revisited, there):
            if position < self._done:
                if exists:
                    continue
                self._mine.rewritten += 1
            elif exists and self._rules.on_conflict != REPLACE:
                self._doubts.append(_Doubt(number, entry, True))
                continue
            self._sender.put(number, entry)
            self.sent += 1
        self._resolve()

    def _resolve(self) -> None:
        """Compare the keys that exist with what we have for them."""
        doubts, self._doubts = self._doubts, []
        for start in range(0, len(doubts), _COMPARED):
            some = doubts[start : start + _COMPARED]
            for doubt, same in zip(some, self._sender.hold([doubt.entry for doubt in some])):
                if isinstance(same, ReplyError):
                    self._refused(doubt.number, doubt.entry, same)
                else:
                    self._judge(doubt, same)

    def _judge(self, doubt: _Doubt, same: bool) -> None:
        if same and doubt.sent:
            self._mine.imported += 1
        elif same:
            self._mine.repeated += 1
        elif self._rules.on_conflict == FAIL:
            why = "a key of this name exists, with another value than this one"
            self.bad.add(doubt.number, doubt.entry.key, why, conflict=True)
        else:
            self._mine.skipped += 1

    # --- values in parts ---

    def _begin_large(self, position: int, number: int, entry: Entry) -> None:
        """The first part of a large value."""
        self._look_again()
        self._sender.drain()
        self._require_going()
        self._resembling = False
        (self._over,) = self._sender.exist([entry])
        if self._over and position < self._unsure and (self._rules.on_conflict != REPLACE or position < self._done):
            self._leaving_out, self._resembling = True, position >= self._done
            return
        if self._over and self._rules.on_conflict != REPLACE:
            self._leaving_out = True
            self._exists(number, entry)
            return
        if position < self._done:
            self._mine.rewritten += 1
        self._journal.building = [entry.database, entry.key.hex()]
        self._shelf.save(self._journal)
        self._add_part(number, entry)

    def _go_on(self, number: int, entry: Entry) -> None:
        """A later part. It was decided about with the first; what has expired since is left to the server."""
        if self._leaving_out and not self._resembling:
            return
        decision = decide(entry, self._rules, 0)
        if isinstance(decision, str):
            return
        if not self._resembling:
            self._note(decision)
            self._add_part(number, decision)
        elif not entry.more:
            self._resembling = False
            self._judge(_Doubt(number, decision, True), self._sender.resembles(decision))

    def _abandon(self) -> None:
        """The rest of a value in parts does not come: what there is of it goes. The source has told why."""
        if self._building is not None:
            self._sender.forget(self._building.database, self._building.key)
            self._building = None

    def _add_part(self, number: int, entry: Entry) -> None:
        verdict = self._sender.part(entry)
        self._building = entry._replace(value=b"") if entry.more and verdict == CREATED else None
        if verdict != CREATED:
            self._leaving_out = True
            if verdict == VANISHED and entry.expires_at is None:
                self.bad.add(number, entry.key, "it took too long to come, and was removed before it was whole")
            elif verdict == EXISTED:
                self._exists(number, entry)
            else:
                self.hear(Sent(number, entry, 0), verdict)
            self._require_going()
        elif not entry.more:
            self._mine.imported += 1
            self._mine.replaced += self._over
            self.sent += 1

    def _exists(self, number: int, entry: Entry) -> None:
        if self._rules.on_conflict == FAIL:
            self.bad.add(number, entry.key, "a key of this name exists", conflict=True)
        else:
            self._mine.skipped += 1

    # --- what the server says ---

    def hear(self, sent: Sent, verdict: Verdict) -> None:
        """What became of a key that was not simply created."""
        if isinstance(verdict, ReplyError):
            self._refused(sent.number, sent.entry, verdict)
        elif verdict == VANISHED:
            self._mine.expired += 1
        elif self._rules.on_conflict == FAIL and self._validated:
            self._doubts.append(_Doubt(sent.number, sent.entry, False))  # it was not there when we looked
        else:
            self._exists(sent.number, sent.entry)

    def _refused(self, number: int, entry: Entry, refusal: ReplyError) -> None:
        if refusal.code in _FATAL:
            self._stop = self._stop or refusal
        else:
            self.bad.add(number, entry.key, f"the server refused it: {refusal.message}")

    def _note(self, entry: Entry) -> None:
        """Count what cannot be as it was."""
        if entry.field_expiries and not self._receiver.target.field_expiries:
            self._mine.fields_lost += len(entry.field_expiries)
        elif self._rules.ttl_policy != KEEP and has_hidden_expiries(entry):
            self._mine.fields_kept += 1
