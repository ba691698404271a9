# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which backup (or export) is meant: the newest that can be trusted, or the one that was named. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from .._errors import DamagedError, NotFoundError
from .._times import CLOCK_SKEW, now, to_iso
from .entry import Entry
from .layout import is_export_label, make_label


def newest_before(entries: Sequence[Entry], at: float | None = None, engine: str | None = None) -> Entry | None:
    """The usable backup with the newest data, of those whose data is not newer than `at` (UTC seconds). Pure.

    Without `at`, data that is dated in the future (a clock was wrong) counts only where there is no other.
    """
    if at is None:
        present = newest_before(entries, now() + CLOCK_SKEW, engine)
        if present is not None:
            return present
    fitting = [
        e
        for e in entries
        if e.manifest is not None
        and (at is None or e.manifest.snapshot_time <= at)
        and (engine is None or e.manifest.engine == engine)
    ]
    return max(fitting, key=lambda e: e.order, default=None)


def passed_over(
    entries: Sequence[Entry], chosen: Entry, at: float | None, doubtful: Mapping[str, str] | None = None
) -> list[str]:
    """The backups newer than the chosen one that cannot be used, or are `doubtful` (by label), and why. Pure."""
    last = make_label(at, "zzz") if at is not None else "9"
    newer = [e for e in entries if chosen.label < e.label <= last]
    why = {e.label: next(iter(e.problems.values()), "it cannot be used") for e in newer if not e.usable}
    why.update({e.label: doubtful[e.label] for e in newer if doubtful and e.label in doubtful})
    return [f"{label}: {reason}" for label, reason in sorted(why.items())]


def choose(
    entries: Sequence[Entry], instance: str, where: str, *, label: str | None, at: float | None, noun: str = "backup"
) -> Entry:
    """The backup to restore: the one of `label`, else the newest (not newer than `at`). Pure.

    Raises NotFoundError or DamagedError that names what is there instead.
    """
    there = ", ".join(e.label for e in entries if e.usable)
    untouched = "The live data was not touched"
    if label and label != "latest":
        entry = next((e for e in entries if e.label == label), None)
        if entry is None:
            raise NotFoundError(
                f"{where} holds no {noun} {label} of {instance}",
                untouched=untouched,
                hint="That is an export of keys, which redis_import takes"
                if noun == "backup" and is_export_label(label)
                else f"It holds: {there or 'none'}",
            )
        if not entry.usable:
            problem = next(iter(entry.problems.values()), "it has no manifest")
            raise DamagedError(
                f"the {noun} {label} of {instance} cannot be used: {problem}",
                untouched=untouched,
                hint=f"Usable are: {there or 'none'}",
            )
        return entry
    found = newest_before(entries, at)
    if found is None:
        moment = f" that is not newer than {to_iso(at)}" if at is not None else ""
        broken = "; ".join(f"{e.label}: {p}" for e in entries for p in e.problems.values())
        raise NotFoundError(
            f"{where} holds no usable {noun} of {instance}{moment}",
            untouched=untouched,
            hint=f"Usable are: {there or 'none'}" + (f". Not usable: {broken}" if broken else ""),
        )
    return found
