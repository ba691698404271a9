# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Backups that must not stand for what was lost: a server that came up empty goes on making them. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence

from .._errors import RedisBackupError
from .._server.slots import count, merged_ranges
from .entry import Entry
from .layout import export_name
from .manifest import Manifest

SHRINK_RATIO = 0.5
"""The default of what share of keys and bytes a backup may fall to before it is suspect."""


def require_ratio(ratio: float) -> None:
    """Raise RedisBackupError for a ratio that would make nothing suspect unnoticed, or everything."""
    if not 0 <= ratio <= 1:  # NaN is neither
        raise RedisBackupError(
            f"shrink_ratio is {ratio:g}", untouched="Nothing was changed", hint="Give a share from 0 to 1"
        )


def by_age(entries: Sequence[Entry]) -> list[Entry]:
    """The usable backups in the order in which they were made; where manifests have serials, no clock can change it."""
    there = [(entry.manifest, entry) for entry in entries if entry.manifest is not None]
    ordered = sorted(there, key=lambda each: (each[0].serial, each[0].snapshot_time, each[0].label))
    return [entry for _manifest, entry in ordered]


def suspects(entries: Sequence[Entry], shrink_ratio: float = SHRINK_RATIO) -> dict[str, str]:
    """The backups that hold far less than the newest verified one before them, by label, with the reason.

    Where none before was verified, the newest one that is not suspect stands in its place. Keys that expire come and
    go: they, and their share of the bytes, do not count. Where no key at all is left, nobody knows why, and it is. What
    was acknowledged is not suspect.
    """
    return {entry.label: why for entry, why in _suspects(by_age(entries), shrink_ratio)}


def suspects_together(entries: Sequence[Entry], shrink_ratio: float = SHRINK_RATIO) -> dict[tuple[str, str], str]:
    """The same of the backups of several instances that hold the same data, given in the order in which they were made,
    by instance and label."""
    return {(entry.instance, entry.label): why for entry, why in _suspects(entries, shrink_ratio)}


def _suspects(ordered: Iterable[Entry], shrink_ratio: float) -> Iterator[tuple[Entry, str]]:
    good: Entry | None = None
    good_rdb: Entry | None = None  # an AOF shrinks whenever it is rewritten: its bytes tell nothing
    for entry in ordered:
        manifest = entry.manifest
        if manifest is None:
            continue
        is_rdb = manifest.engine == "rdb"
        why = ""
        if good and good.manifest:
            why = why_fewer_keys(manifest, good.manifest, shrink_ratio * _share(manifest, good.manifest))
        if not why and is_rdb and good_rdb and good_rdb.manifest:
            why = _why_bytes(manifest, good_rdb.manifest, shrink_ratio * _share(manifest, good_rdb.manifest))
        if why and not entry.acknowledged:
            yield entry, why
            continue
        if _is_better(entry, good):
            good = entry
        if is_rdb and _is_better(entry, good_rdb):
            good_rdb = entry


def _share(manifest: Manifest, good: Manifest) -> float:
    """How much of an older backup's data belongs into a newer one: less than all where a cluster's slots were moved."""
    if not (manifest.set and good.set):
        return 1.0
    before = merged_ranges(good.set["slots"])
    both = [
        (max(first, other), min(last, end))
        for first, last in before
        for other, end in merged_ranges(manifest.set["slots"])
        if max(first, other) <= min(last, end)
    ]
    return count(both) / count(before) if before else 1.0


def by_name(entries: Sequence[Entry]) -> dict[str, list[Entry]]:
    """Exports of keys by the name that they were made under."""
    found: dict[str, list[Entry]] = {}
    for entry in entries:
        found.setdefault(export_name(entry.label), []).append(entry)
    return found


def suspect_exports(entries: Sequence[Entry], shrink_ratio: float = SHRINK_RATIO) -> dict[str, str]:
    """The same of exports of keys. One is held against those before it of the same name that looked for the same."""
    found: dict[str, str] = {}
    alike: dict[str, list[Entry]] = {}
    for entry in entries:
        alike.setdefault(_sought(entry), []).append(entry)
    for group in alike.values():
        found.update(suspects(group, shrink_ratio))
    return found


def _sought(entry: Entry) -> str:
    told = entry.manifest.export if entry.manifest is not None else {}
    return json.dumps([told.get(name) for name in ("name", "patterns", "types", "databases")])


def _is_better(entry: Entry, good: Entry | None) -> bool:
    """Whether a newer backup is the one to hold those after it against."""
    return good is None or bool(entry.verified or entry.acknowledged) or not good.verified


def why_fewer_keys(manifest: Manifest, good: Manifest, ratio: float) -> str:
    """Why a backup is suspect beside an older one of the same data that is good; empty when it is not."""
    lasting = good.keys - good.expires
    emptied = manifest.keys == 0 < good.keys and ratio > 0
    if emptied or manifest.keys - manifest.expires < lasting * ratio:
        return (
            f"it holds {manifest.keys} keys, {_named(good, manifest)} before it {good.keys}: "
            "the data was lost before it was made (name its label to use it)"
        )
    return ""


def _named(good: Manifest, beside: Manifest) -> str:
    """The label of a backup, with its instance where that is another."""
    return good.label if good.instance == beside.instance else f"{good.label} of {good.instance}"


def _why_bytes(manifest: Manifest, good: Manifest, ratio: float) -> str:
    lasting = good.keys - good.expires
    if good.keys and manifest.size < good.size * (lasting / good.keys) * ratio:
        return (
            f"its data has {manifest.size} bytes, that of {_named(good, manifest)} before it {good.size}: "
            "values were lost before it was made (name its label to use it)"
        )
    return ""
