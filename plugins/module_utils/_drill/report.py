# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run of drills over many hosts comes to: a row for each instance, and what each host fails for. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .._times import in_words
from .._topology.named import all_shards

GOOD, LATE, FAILED, NONE, WOULD, LOST = "good", "target missed", "FAILED", "none", "would drill", "not reached"


def drill_report(
    hosts: Sequence[Mapping[str, Any]], groups: Sequence[Mapping[str, Any]], *, enforce: bool = False
) -> dict[str, Any]:
    """`rows` for the table, and `failures` by host, each with `instance`, `reason` and `drill`.

    A host has `host`, `active`, `results`. With `enforce`, a missed target is a failure.
    """
    results = [each for host in hosts for each in host.get("results") or []]
    stored = {str(each["instance"]) for each in results if not each.get("nothing_stored")}
    shards = all_shards(groups)
    rows: list[dict[str, Any]] = []
    failures: dict[str, list[dict[str, Any]]] = {}
    for host in hosts:
        if not host["active"] and not host.get("results"):
            rows.append({"instance": host["host"], "result": LOST, "failed": True, "says": "its host did not answer"})
        for each in host.get("results") or []:
            row = _row(each, _others(str(each["instance"]), shards, stored), enforce=enforce)
            rows.append(row)
            if row["failed"]:
                drill = each.get("drill")
                failure = {"instance": row["instance"], "reason": row["says"], "drill": drill}
                failures.setdefault(str(host["host"]), []).append(failure)
    return {"rows": rows, "failures": failures}


def _others(name: str, shards: Sequence[Sequence[str]], stored: set[str]) -> list[str]:
    """Under which other names of its shard there are backups."""
    shard = next((names for names in shards if name in names), ())
    return [other for other in shard if other != name and other in stored]


def _row(each: Mapping[str, Any], others: Sequence[str], *, enforce: bool) -> dict[str, Any]:
    row: dict[str, Any] = {"instance": each["instance"], "failed": False, "says": ""}
    drill: Mapping[str, Any] | None = each.get("drill")
    if drill is None:
        if each.get("nothing_stored") and others:
            return {**row, "result": NONE, "says": f"its shard is backed up as {', '.join(others)}"}
        if each.get("would"):
            return {**row, "result": WOULD, "says": each["would"]}
        return {**row, "result": FAILED, "failed": True, "says": each.get("msg") or "the drill did not come to an end"}
    row.update({name: drill.get(name) for name in ("keys", "size", "rto_seconds", "rpo_seconds")})
    row.update(label=drill.get("label") or drill.get("moment"), repository=drill.get("repository"))
    row["target"] = {True: "met", False: "MISSED"}.get(drill.get("target_met"))  # type: ignore[arg-type]
    if not drill.get("ok"):
        return {**row, "result": FAILED, "failed": True, "says": str(drill.get("reason"))}
    if drill.get("target_met") is False:
        return {**row, "result": LATE, "failed": enforce, "says": _missed(drill)}
    return {**row, "result": GOOD, "says": _passed_over(drill)}


def _missed(drill: Mapping[str, Any]) -> str:
    """Which target was missed, by how much."""
    found = []
    for name in ("rto", "rpo"):
        reached, target = drill.get(f"{name}_seconds"), drill.get(f"{name}_target_seconds")
        if target is not None and (reached is None or reached > target):
            was = "is not known" if reached is None else f"is {in_words(reached)}"
            found.append(f"the {name.upper()} {was}, promised are {in_words(target)}")
    return "; ".join(found)


def _passed_over(drill: Mapping[str, Any]) -> str:
    newer = drill.get("passed_over") or []
    return f"newer backups cannot be used: {'; '.join(newer)}" if newer else ""
