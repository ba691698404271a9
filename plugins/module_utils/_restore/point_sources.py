# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What can give a moment: chains of the archive and backups of the AOF; and what to say where nothing does. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from .._archive.coverage import Chain, Coverage
from .._errors import NotFoundError
from .._repository.choose import newest_before
from .._repository.entry import Entry
from .._repository.manifest import Manifest
from .._times import from_iso, to_iso
from .point_plan import WRITE_DELAY, Point, chains_for, nearest_words, ranges_words, seconds_of

_UNTOUCHED = "The live data was not touched"


@dataclass(frozen=True)
class Sources:
    """What a repository has of one instance. `coverage` is that of the archive, None where there is none.

    `where` is the repository in words.
    """

    instance: str
    where: str
    coverage: Coverage | None
    entries: Sequence[Entry]

    @property
    def aofs(self) -> list[Manifest]:
        """The usable backups of the AOF in which seconds can be found."""
        return [e.manifest for e in self.entries if e.usable and e.manifest is not None and backup_range(e.manifest)]

    @property
    def exact(self) -> bool:
        """Whether there is anything that a moment can be recovered from."""
        return bool(self.aofs) or self.coverage is not None

    def ranges(self) -> list[tuple[int, int]]:
        """The seconds to whose end a recovery is possible."""
        found = seconds_of(self.coverage.ranges) if self.coverage is not None else []
        found += [each for each in map(backup_range, self.aofs) if each is not None]
        joined: list[tuple[int, int]] = []
        for first, last in sorted(found):
            if joined and first <= joined[-1][1] + 1:
                joined[-1] = (joined[-1][0], max(last, joined[-1][1]))
            else:
                joined.append((first, last))
        return joined

    def chains(self, point: Point) -> list[Chain]:
        """The chains of the archive that give the moment, the cheapest first."""
        return chains_for(self.coverage, point) if self.coverage is not None else []

    def backups(self, point: Point) -> list[Manifest]:
        """The backups of the AOF that give the moment, the newest first."""
        found = []
        for manifest in self.aofs:
            reach = backup_range(manifest)
            if reach is not None and (point.second is None or reach[0] <= point.second <= reach[1]):
                found.append(manifest)
        return sorted(found, key=lambda manifest: manifest.snapshot_time, reverse=True)


def backup_range(manifest: Manifest) -> tuple[int, int] | None:
    """The seconds that a backup of an AOF can be cut at; None where it carries no timestamps.

    What is before its first timestamp may be from before a restore: the server had other data then.
    """
    if manifest.engine != "aof":
        return None
    first, last = (manifest.aof.get(name) for name in ("first_timestamp", "last_timestamp"))
    if not isinstance(first, str) or not isinstance(last, str):
        return None
    begin = math.floor(from_iso(first))
    end = max(math.floor(from_iso(last)) - 1, math.floor(manifest.snapshot_time - WRITE_DELAY) - 1)
    return (begin, end) if end >= begin else None


def not_covered(sources: Sources, point: Point) -> NotFoundError:
    """The refusal of a moment that nothing covers: the nearest ones, all ranges, the gap, and what else there is."""
    ranges = sources.ranges()
    second = point.second
    gaps = sources.coverage.gaps if sources.coverage is not None else ()
    within = [gap for gap in gaps if second is not None and _within(second, gap.get("from"), gap.get("to"))]
    why = f", which lies in a gap of the archive: {within[-1].get('reason')}" if within else ""
    hints = []
    if second is not None and ranges:
        hints.append(f"The nearest covered {nearest_words(ranges, second)}")
    covered = f"covered are {ranges_words(ranges)}" if ranges else "covered is nothing yet"
    hints.append(covered if hints else covered.replace("c", "C", 1))
    if second is not None:
        older = newest_before(sources.entries, float(second + 1))
        if older is not None and older.manifest is not None:
            taken = older.manifest.snapshot_time
            hints.append(
                f"label: {older.label} gives the data of {to_iso(taken)}, {max(second + 1 - taken, 0.0):.0f} s earlier"
            )
    if ranges:
        hints.append("at: latest gives the newest")
    return NotFoundError(
        f"{sources.where} cannot give {point.words} of {sources.instance}{why}",
        untouched=_UNTOUCHED,
        hint="; ".join(hints),
        covered=[[to_iso(first), to_iso(last)] for first, last in ranges],
    )


def not_found(sources: Sources, point: Point) -> NotFoundError:
    """The refusal where the command was not found in anything that was looked through."""
    return NotFoundError(
        f"{sources.where} holds no {point.command_text} of {sources.instance}"
        + (f" up to {to_iso(point.second)}" if point.second is not None else ""),
        untouched=_UNTOUCHED,
        hint=f"Looked through were {ranges_words(sources.ranges())}; an AOF holds what a script or EXPIRE comes to, "
        "such as DEL, and commands under their own names. What was written since the last pass of the archive is "
        "not in it yet",
        covered=[[to_iso(first), to_iso(last)] for first, last in sources.ranges()],
    )


def _within(second: int, start: object, end: object) -> bool:
    """Whether a second touches a gap."""
    low = start if isinstance(start, (int, float)) else -math.inf
    high = end if isinstance(end, (int, float)) else math.inf
    return low < second + 1 and second <= high
