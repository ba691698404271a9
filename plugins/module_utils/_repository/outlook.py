# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the drills of the past say about the next disaster: RTO and RPO against their targets, the worst first. Pure.

The RTO grows with the data. Its trend is the median of the slopes between all pairs of drills (Theil and Sen), which
one slow day does not bend.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from .._times import from_iso, in_words, to_iso

_NEWEST = 24  # drills that count: the machine and the data of years ago tell nothing of today's
_FEWEST = 3
_LARGEST = 1e12  # seconds
_SPAN = 7 * 86400.0  # seconds between the first and the last: the trend of an afternoon is noise
_FARTHEST = 5 * 365 * 86400.0  # seconds ahead, behind which nobody knows


def outlook(drills: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """One element for each instance that was ever drilled, the worst first. `drills` are records, oldest first.

    Those whose newest drill failed come first, then by how much of a target is used up.
    """
    by_instance: dict[str, list[Mapping[str, Any]]] = {}
    for drill in drills:
        by_instance.setdefault(str(drill.get("instance")), []).append(drill)
    return sorted((_of(name, found) for name, found in by_instance.items()), key=_badness)


def _badness(row: Mapping[str, Any]) -> tuple[bool, bool, float, str]:
    used = [share for share in (row["rto_used"], row["rpo_used"]) if share is not None]
    return bool(row["ok"]), row["rto_missed_on"] is None, -max(used, default=0.0), str(row["instance"])


def _of(name: str, drills: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    newest = drills[-1]
    good = [each for each in drills if each.get("ok") and not each.get("patterns") and not each.get("export")]
    last = good[-1] if good else {}
    rto, rpo = _number(last.get("rto_seconds")), _number(last.get("rpo_seconds"))
    rto_target, rpo_target = _number(newest.get("rto_target_seconds")), _number(newest.get("rpo_target_seconds"))
    missed_on = _missed_on(good, rto_target)
    found = {
        "instance": name,
        "drills": len(drills),
        "failed": sum(not each.get("ok") for each in drills),
        "last_time": newest.get("time"),
        "ok": bool(newest.get("ok")),
        "rto_seconds": rto,
        "rto_target_seconds": rto_target,
        "rto_used": _share(rto, rto_target),
        "rpo_seconds": rpo,
        "rpo_target_seconds": rpo_target,
        "rpo_used": _share(rpo, rpo_target),
        "rto_missed_on": None if missed_on is None else to_iso(missed_on),
    }
    return {**found, "says": _says(found, newest)}


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return float(value) if 0 <= value <= _LARGEST else None


def _share(value: float | None, target: float | None) -> float | None:
    return None if value is None or not target else round(value / target, 3)


def _missed_on(good: Sequence[Mapping[str, Any]], target: float | None) -> float | None:
    """When the RTO reaches its target if it goes on as it did, UTC seconds; None where it does not, or nobody knows."""
    points = [(moment, rto) for each in good[-_NEWEST:] for moment, rto in _point(each)]
    if target is None or len(points) < _FEWEST or points[-1][0] - points[0][0] < _SPAN:
        return None
    slopes = [
        (later[1] - earlier[1]) / (later[0] - earlier[0])
        for number, earlier in enumerate(points)
        for later in points[number + 1 :]
        if later[0] > earlier[0]
    ]
    slope = statistics.median(slopes) if slopes else 0.0
    level = statistics.median(rto - slope * moment for moment, rto in points)
    newest = points[-1][0]
    if level + slope * newest > target:
        return newest
    if slope <= 0:
        return None
    reached = (target - level) / slope
    return reached if reached - newest <= _FARTHEST else None


def _point(drill: Mapping[str, Any]) -> list[tuple[float, float]]:
    rto = _number(drill.get("rto_seconds"))
    try:
        return [] if rto is None else [(from_iso(str(drill["time"])), rto)]
    except (KeyError, ValueError):
        return []


def _says(found: Mapping[str, Any], newest: Mapping[str, Any]) -> str:
    if not found["ok"]:
        return f"the newest drill failed: {newest.get('reason') or 'no reason was recorded'}"
    words = []
    for name in ("rto", "rpo"):
        reached, target = found[f"{name}_seconds"], found[f"{name}_target_seconds"]
        if reached is not None:
            wanted = "" if target is None else f" of {in_words(target)}"
            words.append(f"{name.upper()} {in_words(reached)}{wanted}")
            if target is not None and reached > target:
                words[-1] += ", missed"
    if found["rto_missed_on"]:
        words.append(f"at its growth the RTO is missed from {found['rto_missed_on'][:10]} on")
    return "; ".join(words) or "nothing was measured"
