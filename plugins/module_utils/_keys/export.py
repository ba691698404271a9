# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keys of a server or cluster as the bytes of a file, while they are read."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from .._errors import RedisBackupError
from .._server.connection import Login
from .._times import now, to_iso
from .entry import DUMP, Entry
from .formats import why_unfit, writer
from .glob import Patterns
from .matching import count_keys
from .nodes import GIVEN, Nodes, open_nodes
from .reading import TYPED, Selection, read_keys
from .selection import databases_of, facts_of
from .tally import Tally, kind_of_dump

_CHUNK_BYTES = 64 * 1024
_NOTHING = "Nothing was exported; the server is as it was"
_NOT_HELD = "the format json holds strings only"


@dataclass(frozen=True)
class Wanted:
    """What to export, and from whom."""

    login: Login
    selection: Selection
    format: str = "jsonl"
    read_from: str = GIVEN
    allow_unmatched: bool = False


class KeysExport:
    """One export. `chunks` reads and gives the bytes once; then `require_good` says whether they are worth a name."""

    def __init__(self, wanted: Wanted) -> None:
        self.wanted = wanted
        self.tally = Tally()
        self.patterns = Patterns(wanted.selection.patterns)
        self.started = self.finished = 0.0
        self.source = ""

    def chunks(self) -> Iterator[memoryview]:
        """The bytes of the file. Raises RedisBackupError; what was given by then is worth nothing."""
        self.started = now()
        with contextlib.ExitStack() as stack:
            nodes = stack.enter_context(open_nodes(self.wanted.login, self.wanted.read_from))
            self.source = nodes.words
            if self.wanted.format == "json":
                self._require_one_database(nodes)
            yield from self._encoded(nodes)
            nodes.require_same()
        self.finished = now()

    def _encoded(self, nodes: Nodes) -> Iterator[memoryview]:
        wanted, made = self.wanted, writer(self.wanted.format)
        kind = DUMP if wanted.format == "dump" else TYPED
        unfit = _unfit_for_json if wanted.format == "json" else None
        held: list[bytes] = []
        size = 0
        reading = read_keys(nodes.wires, wanted.selection, kind, tally=self.tally, patterns=self.patterns, unfit=unfit)
        for entries in reading:
            data = made.encode(self._fitting(entries))
            held.append(data)
            size += len(data)
            if size >= _CHUNK_BYTES:
                yield memoryview(b"".join(held) if len(held) > 1 else data)
                held, size = [], 0
        held.append(made.end())
        yield memoryview(b"".join(held))

    def _fitting(self, entries: list[Entry]) -> Sequence[Entry]:
        """Those of the entries that the format can hold; the others are counted."""
        name = self.wanted.format
        if name == "dump" or (name == "jsonl" and not any(entry[2] == DUMP for entry in entries)):
            return entries  # what a server gives fits by its shape
        kept = []
        for entry in entries:
            why = why_unfit(name, entry)
            if why is None:
                kept.append(entry)
            else:
                self.tally.unfit(entry, kind_of_dump(entry.value) if entry.kind == DUMP else entry.kind, why)
        return kept

    def _require_one_database(self, nodes: Nodes) -> None:
        found = {each for wire in nodes.wires for each in databases_of(facts_of(wire), self.wanted.selection)}
        if len(found) > 1:
            raise RedisBackupError(
                f"the format json knows no databases, and {len(found)} of them hold keys "
                f"({', '.join(map(str, sorted(found)))}): keys of one would overwrite those of another",
                untouched=_NOTHING,
                hint="Name one of them with db, or use the format jsonl",
            )

    def require_good(self) -> None:
        """Raise RedisBackupError when a pattern has matched nothing, and that is not allowed."""
        require_matched(self.patterns, self.wanted)

    @property
    def unmatched(self) -> list[str]:
        """The patterns that matched no key."""
        return _texts(self.patterns.unmatched)

    def result(self) -> dict[str, Any]:
        """What came of it, as the module returns it."""
        tally = self.tally
        seconds = max(self.finished - self.started, 0.001)
        return {
            "exported": tally.exported,
            "by_type": {name: count for name, count in sorted(tally.by_type.items()) if count},
            "by_database": {str(name): count for name, count in sorted(tally.by_database.items()) if count},
            "with_expiry": tally.with_expiry,
            "skipped_count": tally.skipped,
            "failed_keys": tally.failed,
            "gone": tally.gone,
            "in_parts": tally.in_parts,
            "changed_in_parts": tally.changed,
            "changed_keys": tally.changed_keys,
            "patterns_unmatched": self.unmatched,
            "keys_per_second": round(tally.exported / seconds),
            "started": to_iso(self.started),
            "finished": to_iso(self.finished),
            "point_in_time": False,
            "format": self.wanted.format,
            "source": self.source,
        }

    def warnings(self) -> list[str]:
        """What the user should know of a file that was written nevertheless."""
        tally, found = self.tally, []
        if self.unmatched:
            found.append(f"no key matched {', '.join(self.unmatched)}")
        if tally.skipped:
            found.append(f"{tally.skipped} keys were left out (failed_keys names the first of them)")
        if self.wanted.format == "json" and tally.with_expiry:
            found.append(f"{tally.with_expiry} of the keys expire, which the format json does not keep")
        if tally.changed:
            found.append(
                f"{tally.changed} large keys changed while they were read in parts: what was exported of them was "
                "never there at one moment (changed_keys names the first of them)"
            )
        return found


def count_matching(wanted: Wanted) -> tuple[int, Patterns]:
    """How many keys an export would look at, and which patterns match: SCAN alone, no value is read."""
    patterns = Patterns(wanted.selection.patterns)
    with open_nodes(wanted.login, wanted.read_from) as nodes:
        return count_keys(nodes.wires, wanted.selection, patterns), patterns


def require_matched(patterns: Patterns, wanted: Wanted) -> None:
    """Raise RedisBackupError when a pattern has matched nothing, unless that is allowed."""
    if patterns.unmatched and not wanted.allow_unmatched:
        texts = _texts(patterns.unmatched)
        what = f"no key of {wanted.login.where} matches {', '.join(texts[:20])}"
        if texts == ["*"]:
            what = f"{wanted.login.where} holds no key of those asked for"
        raise RedisBackupError(
            what,
            untouched=_NOTHING,
            hint="Correct patterns, db and types, or set allow_unmatched: true if there may be none",
        )


def _texts(patterns: Sequence[bytes]) -> list[str]:
    return [pattern.decode("utf-8", "backslashreplace") for pattern in patterns]


def _unfit_for_json(kind: str) -> str | None:
    return None if kind == "string" else _NOT_HELD
