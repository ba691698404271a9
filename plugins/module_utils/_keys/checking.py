# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""All keys of an import read once before anything is written: what is bad, what exists, whether there is room."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from .counting import Bad, Counts
from .dump_runs import Run
from .entry import Entry
from .plan import FAIL, REPLACE, SKIP, AsTheyAre, Rules, decide, likeness, why_bad, why_not_database
from .receiver import Receiver
from .sending import Sender
from .source import Source, numbered
from .tally import shown

_TOGETHER = 1000
_PER_KEY = 48  # so much memory a key takes at the very least beside its name and value


@dataclass
class Findings:
    """What a first reading has found. `counts.imported` are the keys that would be taken, the replaced among them."""

    bad: Bad
    counts: Counts = field(default_factory=Counts)
    needed: Counter[tuple[str, int]] = field(default_factory=Counter)
    warnings: list[str] = field(default_factory=list)


def check(
    source: Source, rules: Rules, receiver: Receiver, sender: Sender, *, counting: bool, settled: int = 0
) -> Findings:
    """Read a source, and ask the target for the keys that exist: under `fail`, or to count them (`counting`).

    The first `settled` entries may be there already: an earlier run has sent them.
    """
    if source.proving and not source.proven:
        found = _Check(source, rules, receiver, sender, counting, settled).read(proven=True)
        if source.proven:
            return found  # its last bytes have proven all others
    return _Check(source, rules, receiver, sender, counting, settled).read(proven=source.proven)


class _Check:
    """One reading."""

    def __init__(
        self, source: Source, rules: Rules, receiver: Receiver, sender: Sender, counting: bool, settled: int
    ) -> None:
        self._source = source
        self._rules = rules
        self._receiver = receiver
        self._sender = sender
        self._settled = settled
        self._found = Findings(Bad(source.unit))
        self._presence = _Presence(self._found, rules, sender)
        self._occupied = {address: node.facts.keyspace for address, node in receiver.nodes.items()}
        self._asking = (counting or rules.on_conflict == FAIL) and any(self._occupied.values())
        self._limited = any(node.room is not None for node in receiver.nodes.values())
        self._as_they_are = AsTheyAre(rules, receiver.target, self._why_not_database)
        self._proven = False

    def read(self, *, proven: bool) -> Findings:
        """Look at everything. `proven`: payloads need no look at their checksums."""
        self._proven = proven
        rules, receiver, found = self._rules, self._receiver, self._found
        good: set[object] = set()  # what is known to be good of keys like one that was looked at
        plain, counts, asking, limited = rules.plain, found.counts, self._asking, self._limited
        clock, looked = receiver.clock, 0
        skipping = False
        meetings = _Meetings(rules)
        for position, item in numbered(self._source, self._take):
            number, entry, unreadable = item
            if entry is None:
                found.bad.add(number, None, unreadable)
                continue
            if skipping and entry.part:
                continue
            skipping = False
            if not plain or entry.expires_at is not None or entry.field_expiries:
                if position - looked >= _TOGETHER:
                    clock, looked = receiver.clock, position
                decision = decide(entry, rules, clock)
                if isinstance(decision, str):
                    counts.leave_out(decision)
                    skipping = entry.more
                    continue
                if not plain:
                    meetings.note(entry, decision)
                entry = decision
            alike = likeness(entry, proven=proven)
            if alike is None or alike not in good:
                why = why_bad(entry, receiver.target, proven=proven) or self._why_not_database(entry.database)
                if why:
                    found.bad.add(number, entry.key, why)
                    skipping = entry.more
                    continue
                good.add(alike)
            if not entry.part:
                counts.imported += 1
            if not asking and not limited:
                continue
            address = receiver.address_of(entry.key)
            if limited and receiver.nodes[address].room is not None:
                found.needed[address] += size_of(entry) + len(entry.key) + _PER_KEY
            if asking and not entry.part and position >= self._settled and self._holds(address, entry.database):
                self._presence.ask(number, entry)
        self._presence.answer()
        found.warnings += meetings.warnings
        return found

    def _take(self, position: int, run: Run) -> bool:
        """Look at a run as a whole, where that is enough."""
        receiver, found = self._receiver, self._found
        several = receiver.routes is not None and (self._asking or self._limited)
        if not self._proven or several or not self._as_they_are.take(run, receiver.clock):
            return False
        if self._asking and position + run.keys > self._settled and self._holds(receiver.only, run.database):
            astride = position < self._settled
            if astride or self._sender.any_of(run.database, run.names()):
                return False
        found.counts.imported += run.keys
        if self._limited:
            found.needed[receiver.only] += run.size + run.keys * _PER_KEY
        return True

    def _why_not_database(self, database: int) -> str | None:
        receiver = self._receiver
        why = why_not_database(database, cluster=receiver.target.cluster, databases=receiver.databases)
        if why is None and receiver.databases is None:
            why = self._sender.why_no_database(database)
        return why

    def _holds(self, address: tuple[str, int], database: int) -> bool:
        return f"db{database}" in self._occupied[address]


def size_of(entry: Entry) -> int:
    """The bytes of a value, or part of one, without what a server adds."""
    value = entry.value
    if isinstance(value, bytes):
        return len(value)
    if entry.kind in ("list", "set"):
        return sum(map(len, value))
    if entry.kind == "hash":
        return sum(len(name) + len(content) for name, content in value)
    if entry.kind == "zset":
        return sum(len(member) + 8 for member, _score in value)
    return sum(sum(map(len, fields)) for _identifier, fields in value.entries)


class _Meetings:
    """Whether keys that get another name or database may meet others of the source there. Not which: there are many."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._renamed = self._called_so = False
        self._databases: set[int] = set()

    def note(self, before: Entry, after: Entry) -> None:
        if self._rules.rename is not None:
            old, new = self._rules.rename
            if before.key.startswith(old):
                self._renamed = True
            elif before.key.startswith(new):
                self._called_so = True
        if after.database != before.database or self._rules.into_db is not None:
            self._databases.add(before.database)

    @property
    def warnings(self) -> list[str]:
        found = []
        one = {SKIP: "the first is kept", REPLACE: "the last is kept"}
        kept = one.get(self._rules.on_conflict, "the import ends with an error after the first was written")
        if self._renamed and self._called_so and self._rules.rename is not None:
            name = shown(self._rules.rename[1])
            found.append(f"keys are renamed to {name}, and others are called so already: of two of one name {kept}")
        if len(self._databases) > 1:
            found.append(f"keys of {len(self._databases)} databases come into one: of two of one name {kept}")
        return found


class _Presence:
    """Keys that are asked for many at a time, and counted by what on_conflict makes of those that exist."""

    def __init__(self, found: Findings, rules: Rules, sender: Sender) -> None:
        self._found = found
        self._conflict = rules.on_conflict
        self._sender = sender
        self._asked: list[tuple[int, Entry]] = []

    def ask(self, number: int, entry: Entry) -> None:
        self._asked.append((number, entry._replace(value=b"")))
        if len(self._asked) >= _TOGETHER:
            self.answer()

    def answer(self) -> None:
        there = self._sender.exist([entry for _number, entry in self._asked])
        counts = self._found.counts
        for (number, entry), exists in zip(self._asked, there):
            if not exists:
                continue
            if self._conflict == REPLACE:
                counts.replaced += 1
                continue
            counts.imported -= 1
            if self._conflict == FAIL:
                self._found.bad.add(number, entry.key, "a key of this name exists", conflict=True)
            else:
                counts.skipped += 1
        self._asked = []
