# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""All keys of an import read once before anything is written: what is bad, what exists, whether there is room."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from .counting import Bad, Counts
from .entry import Entry
from .plan import FAIL, REPLACE, SKIP, Rules, decide, likeness, why_bad, why_not_database
from .receiver import Receiver
from .sending import Sender
from .source import Source
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
    found = Findings(Bad(source.unit))
    presence = _Presence(found, rules, sender)
    asking = counting or rules.on_conflict == FAIL
    occupied = {address: node.facts.keyspace for address, node in receiver.nodes.items()}
    empty = not asking or not any(occupied.values())
    limited = any(node.room is not None for node in receiver.nodes.values())
    plain, proven, counts = rules.plain, source.proven, found.counts
    good: set[object] = set()  # what is known to be good of keys like one that was looked at
    clock, looked = receiver.clock, 0
    skipping = False
    meetings = _Meetings(rules)
    for position, item in enumerate(source.entries()):
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
            why = why_bad(entry, receiver.target, proven=proven) or why_not_database(
                entry.database, cluster=receiver.target.cluster, databases=receiver.databases
            )
            if why is None and receiver.databases is None:
                why = sender.why_no_database(entry.database)
            if why:
                found.bad.add(number, entry.key, why)
                skipping = entry.more
                continue
            good.add(alike)
        if not entry.part:
            counts.imported += 1
        if empty and not limited:
            continue
        address = receiver.address_of(entry.key)
        if limited and receiver.nodes[address].room is not None:
            found.needed[address] += size_of(entry) + len(entry.key) + _PER_KEY
        if not empty and not entry.part and position >= settled and f"db{entry.database}" in occupied[address]:
            presence.ask(number, entry)
    presence.answer()
    found.warnings += meetings.warnings
    return found


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
