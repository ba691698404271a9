# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From which backups the lost shards of a cluster come back. Pure.

One shard: from its newest. Several: from the newest set that has them all, so that their data is of one time. A backup
counts only where it holds exactly the slots that the shard has now: of others a server would miss keys, or delete them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .._repository.suspects import SHRINK_RATIO
from .._server.slots import in_words, merged_ranges
from .._times import from_iso
from .plan import Wish

Found = Mapping[str, Any]


@dataclass(frozen=True)
class Chosen:
    """The backup of a shard, or why there is none."""

    backup: dict[str, Any] | None
    why: str = ""


def choose_backups(
    lost: Mapping[str, tuple[Sequence[Sequence[int]], Sequence[str]]], catalog: Mapping[str, Any], wish: Wish
) -> tuple[dict[str, Chosen], list[str]]:
    """For each lost shard (id of its primary: its slots, the names of its members) its backup; and remarks.

    `catalog` is what redis_backup_info returns, without an instance.
    """
    given = [each for each in catalog.get("backups") or [] if each.get("usable") and _wished_repository(each, wish)]
    single = {name: _newest(slots, names, given, catalog, wish) for name, (slots, names) in lost.items()}
    if len(lost) < 2 or wish.label != "latest":
        return single, []
    found = _of_set(lost, given, catalog, wish)
    if found is None:
        remark = f"no usable set has backups of all {len(lost)} lost shards: each comes back from its own newest"
        several = any(each.backup for each in single.values())
        return single, [remark] if several and catalog.get("sets") else []
    remarks = []
    for name, each in found.items():
        newer = single[name].backup
        if newer is not None and each.backup is not None and newer["time"] > each.backup["time"]:
            remarks.append(
                f"{newer['label']} of {newer['instance']} is newer than {each.backup['label']}, which belongs to the "
                f"set {each.backup['set']} that all lost shards are recovered from"
            )
    return found, remarks


def _wished_repository(backup: Found, wish: Wish) -> bool:
    return not wish.repository or wish.repository in backup["repositories"]


def _slots_of(backup: Found, catalog: Mapping[str, Any]) -> list[list[int]] | None:
    """The slots whose keys a backup holds; None where it does not say."""
    part = backup.get("set")
    if part:
        return merged_ranges(part["slots"])
    for table in catalog.get("tables") or []:
        if (table["instance"], table["label"]) == (backup["instance"], backup["label"]):
            rows = {row["id"]: row for row in table["cluster"]["nodes"]}
            mine = rows.get(table["cluster"]["my_id"])
            owner = rows.get(mine["primary_id"]) if mine and mine["role"] == "replica" else mine
            return merged_ranges(owner["slots"]) if owner else None
    return None


def _newest(
    slots: Sequence[Sequence[int]],
    names: Sequence[str],
    given: Sequence[Found],
    catalog: Mapping[str, Any],
    wish: Wish,
) -> Chosen:
    own = [each for each in given if each["instance"] in names]
    other = ""
    best: Found | None = None
    for backup in sorted(own, key=lambda each: (str(each["time"]), str(each["label"]))):
        if not _wanted(backup, wish):
            continue
        if _slots_of(backup, catalog) != merged_ranges(slots):
            has = _slots_of(backup, catalog)
            other = f"{backup['label']} of {backup['instance']} has {'slots ' + in_words(has) if has else 'no slots'}"
            continue
        if best is None or wish.label != "latest" or not _shrunk(backup, best):
            best = backup
    if best is not None:
        return Chosen(_told(best, wish))
    if other:
        return Chosen(
            None,
            f"none of its backups holds the slots that it has now ({in_words(merged_ranges(slots))}); {other}. A "
            "server would lack keys, or delete those of foreign slots. Build an empty cluster, and import a set into "
            "it (redis_restore_import_set)",
        )
    return Chosen(None, f"no usable backup of {', '.join(names)} was found")


def _wanted(backup: Found, wish: Wish) -> bool:
    if wish.label != "latest":
        return bool(backup["label"] == wish.label)
    if backup.get("suspect"):
        return False
    return not wish.at or wish.at == "latest" or from_iso(backup["time"]) <= from_iso(wish.at)


def _shrunk(backup: Found, before: Found) -> bool:
    """Whether a backup under another member's name was made when the data was lost already."""
    if backup["instance"] == before["instance"] or backup.get("acknowledged_at"):
        return False
    held, lasting = (int(each["keys"]["total"]) - int(each["keys"].get("expires") or 0) for each in (backup, before))
    return held < lasting * SHRINK_RATIO


def _of_set(
    lost: Mapping[str, tuple[Sequence[Sequence[int]], Sequence[str]]],
    given: Sequence[Found],
    catalog: Mapping[str, Any],
    wish: Wish,
) -> dict[str, Chosen] | None:
    """The backups of the newest set that holds all lost shards."""
    by_label = {(each["instance"], each["label"]): each for each in given}
    for candidate in reversed(catalog.get("sets") or []):
        if not candidate["usable"]:
            continue
        found = {}
        for name, (slots, _names) in lost.items():
            for member in candidate["members"]:
                backup = by_label.get((member["instance"], member["label"]))
                if (
                    backup is not None
                    and merged_ranges(member["slots"]) == merged_ranges(slots)
                    and _wanted(backup, wish)
                ):
                    found[name] = Chosen(_told(backup, wish))
        if len(found) == len(lost):
            return found
    return None


def _told(backup: Found, wish: Wish) -> dict[str, Any]:
    return {
        "instance": backup["instance"],
        "label": backup["label"],
        "time": backup["time"],
        "keys": backup["keys"],
        "encrypted": backup.get("encrypted"),
        "server": backup.get("server") or {},
        "repository": wish.repository or backup["repositories"][0],
        "set": (backup.get("set") or {}).get("id", ""),
    }
