# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Backups that must not stand for what was lost: a server that came up empty goes on making them. Pure."""

from __future__ import annotations

import json
from collections.abc import Sequence

from .._errors import RedisBackupError
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
    found: dict[str, str] = {}
    good: Entry | None = None
    good_rdb: Entry | None = None  # an AOF shrinks whenever it is rewritten: its bytes tell nothing
    for entry in by_age(entries):
        manifest = entry.manifest
        if manifest is None:
            continue
        is_rdb = manifest.engine == "rdb"
        why = why_fewer_keys(manifest, good.manifest, shrink_ratio) if good and good.manifest else ""
        if not why and is_rdb and good_rdb and good_rdb.manifest:
            why = _why_bytes(manifest, good_rdb.manifest, shrink_ratio)
        if why and not entry.acknowledged:
            found[entry.label] = why
            continue
        if _is_better(entry, good):
            good = entry
        if is_rdb and _is_better(entry, good_rdb):
            good_rdb = entry
    return found


def by_name(entries: Sequence[Entry]) -> dict[str, list[Entry]]:
    """Exports of keys by the name that they were made under."""
    found: dict[str, list[Entry]] = {}
    for entry in entries:
        found.setdefault(export_name(entry.label), []).append(entry)
    return found


def suspect_exports(entries: Sequence[Entry], shrink_ratio: float = SHRINK_RATIO) -> dict[str, str]:
    """The same of exports of keys. One is held against those before it that had the same name and looked for the same.
    """
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
            f"it holds {manifest.keys} keys, {good.label} before it {good.keys}: "
            "the data was lost before it was made (name its label to use it)"
        )
    return ""


def _why_bytes(manifest: Manifest, good: Manifest, ratio: float) -> str:
    lasting = good.keys - good.expires
    if good.keys and manifest.size < good.size * (lasting / good.keys) * ratio:
        return (
            f"its data has {manifest.size} bytes, that of {good.label} before it {good.size}: "
            "values were lost before it was made (name its label to use it)"
        )
    return ""
