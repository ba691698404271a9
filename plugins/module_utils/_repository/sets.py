# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The backups of a cluster: one of each shard, that belong together by the identifier of their set. Pure.

The shards of one set hold every key once, or none of them is the cluster's data: a set is usable whole or not at all.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from .._server.cluster import SLOTS
from .._server.slots import count, in_words, merged_ranges, uncovered
from .._times import to_iso
from .entry import Entry
from .manifest import Manifest


def list_sets(entries: Iterable[Entry]) -> list[dict[str, Any]]:
    """The sets that backups of any instances make up, the oldest first."""
    grouped: dict[str, list[Entry]] = {}
    for entry in entries:
        manifest = entry.manifest
        if manifest is not None and manifest.set:
            grouped.setdefault(str(manifest.set["id"]), []).append(entry)
    return sorted((_set(name, members) for name, members in grouped.items()), key=lambda found: found["time"])


def _set(name: str, entries: Sequence[Entry]) -> dict[str, Any]:
    chosen = _one_of_each_shard(entries)
    manifests = [entry.manifest for entry in chosen if entry.manifest is not None]
    times = [manifest.snapshot_time for manifest in manifests]
    wanted = max(int(manifest.set["shards"]) for manifest in manifests)
    slots = [each for manifest in manifests for each in manifest.set["slots"]]
    missing = []
    if len(chosen) < wanted:
        missing.append(f"{wanted - len(chosen)} of {wanted} shards")
    holes = uncovered(slots)
    if holes:
        missing.append(f"the slots {in_words(holes)}")
    twice = count(slots) > count(merged_ranges(slots))
    everywhere = [{store.name for store in entry.stores} for entry in chosen]
    return {
        "id": name,
        "time": to_iso(min(times)),
        "complete": not missing,
        "usable": not missing and not twice,
        "missing": missing,
        "problems": ["slots are in two of its backups"] if twice else [],
        "spread_seconds": round(max(times) - min(times), 3),
        "shards": wanted,
        "repositories": sorted(set.intersection(*everywhere)),
        "members": [_member(entry, manifest) for entry, manifest in zip(chosen, manifests)],
    }


def _one_of_each_shard(entries: Sequence[Entry]) -> list[Entry]:
    """The newest backup of each shard, by their slots: a second try may have left two."""
    newest: dict[str, Entry] = {}
    for entry in sorted(entries, key=lambda each: each.order):
        manifest = entry.manifest
        if manifest is not None:
            newest[str(manifest.set["shard"])] = entry
    return sorted(newest.values(), key=lambda each: _first_slot(each.manifest))


def _first_slot(manifest: Manifest | None) -> tuple[int, str]:
    if manifest is None:
        return SLOTS, ""
    ranges = merged_ranges(manifest.set["slots"])
    return (ranges[0][0] if ranges else SLOTS), str(manifest.set["shard"])


def _member(entry: Entry, manifest: Manifest) -> dict[str, Any]:
    return {
        "instance": entry.instance,
        "label": entry.label,
        "shard": str(manifest.set["shard"]),
        "slots": merged_ranges(manifest.set["slots"]),
        "time": manifest.document["snapshot_time"],
        "keys": manifest.keys,
        "repositories": [store.name for store in entry.stores],
    }
