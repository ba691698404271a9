# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is added to a backup after it was made: records of its verifications, and a human's word for it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

LEVELS = ("stored", "content", "restore")
"""How far a verification goes; each holds those before it."""
_NO_FUTURE = "~"  # sorts behind all times


@dataclass(frozen=True)
class Record:
    """One verification: how far it went, when (ISO 8601, UTC), whether all was well, what was not."""

    level: str
    time: str
    ok: bool
    problems: tuple[str, ...] = ()


def parse_record(document: Any, name: str) -> Record | None:
    """The record in the JSON document of the file `name`; None when it is none."""
    if not isinstance(document, dict):
        return None
    level, time, problems = document.get("level"), document.get("time"), document.get("problems")
    if level not in LEVELS:
        return None
    words = tuple(str(problem) for problem in problems) if isinstance(problems, list) else ()
    return Record(str(level), str(time or name), document.get("ok") is True, words)


def record_name(time: str, level: str) -> str:
    """The file's name of a record made at `time` (ISO 8601): names sort by time."""
    return f"{time.replace('-', '').replace(':', '')}-{level}.json"


def newest_names(names: Iterable[str], present: str = _NO_FUTURE) -> list[str]:
    """Of the records' names, those that can matter: the newest of each level, up to `present` and dated after it."""
    newest: dict[tuple[str, bool], str] = {}
    for name in sorted(name for name in names if name.endswith(".json")):
        newest[name[: -len(".json")].rpartition("-")[2], name <= record_name(present, "")] = name
    return sorted(newest.values())


@dataclass(frozen=True)
class Standing:
    """What the records of one stored copy come to. `at` holds, for each level, when it was last found good at that
    level or a higher one; `failure` tells in words that the newest verification failed, empty when it did not."""

    at: Mapping[str, str]
    failure: str = ""

    @property
    def level(self) -> str:
        """The highest level that holds; empty when the copy was never found good."""
        return next((level for level in reversed(LEVELS) if level in self.at), "")


def standing(records: Iterable[Record], present: str = _NO_FUTURE) -> Standing:
    """The standing of a copy by all of its records: a failure holds until a verification as deep finds all well.

    What is dated after `present` was written by a clock that was wrong: it is judged apart, and good word of the one
    kind lifts no failure of the other.
    """
    ordered = sorted(records, key=lambda record: record.time)
    at: dict[str, str] = {}
    failures: list[Record] = []
    for ahead in (True, False):
        held: dict[str, Record] = {}
        for record in (record for record in ordered if (record.time > present) is ahead):
            depth = LEVELS.index(record.level)
            if record.ok:
                at.update(dict.fromkeys(LEVELS[: depth + 1], record.time))
                held = {level: last for level, last in held.items() if LEVELS.index(level) > depth}
            else:
                held[record.level] = record
        failures += held.values()
    if not failures:
        return Standing(at)
    last = max(failures, key=lambda record: record.time)
    words = "; ".join(last.problems) or "no reason was recorded"
    return Standing({}, f"its verification ({last.level}) failed at {last.time}: {words}")
