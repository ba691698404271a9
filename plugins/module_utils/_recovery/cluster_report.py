# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the report of a recovery says of a cluster: each shard for itself, and all of them as one. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .._server.slots import in_words as slots_in_words
from .._times import from_iso


def shards_told(run: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The shards of the cluster that a run was about, with what became of each; empty for anything else."""
    plan = run.get("group") or {}
    return [_shard(shard, run) for shard in plan.get("shards") or []]


def _shard(shard: Mapping[str, Any], run: Mapping[str, Any]) -> dict[str, Any]:
    name = shard["primary"]
    assessed = (run.get("assessments") or {}).get(name) or {}
    restore = ((run.get("restores") or {}).get(name) or {}).get("restore") or {}
    backup = shard["backup"] or {}
    moment = restore.get("recovered_to") if str(restore.get("label", "")).endswith("_point") else None
    time = moment or backup.get("time")
    rpo = None
    if time and assessed.get("failed_at"):
        rpo = max(round(from_iso(assessed["failed_at"]) - from_iso(time), 1), 0.0)
    return {
        "slots": slots_in_words(shard["slots"]),
        "primary": name,
        "action": shard["action"],
        "why": shard["why"],
        "backup": {
            "label": restore.get("label") or backup["label"],
            "instance": backup["instance"],
            "repository": backup["repository"],
            "set": backup["set"],
            "time": time,
            "keys": restore.get("keys") or backup["keys"].get("total"),
        }
        if backup
        else None,
        "failed_at": assessed.get("failed_at"),
        "failed_at_source": assessed.get("failed_at_source"),
        "rpo_seconds": rpo,
        "previous_data": restore.get("previous_dir") or None,
    }


def as_one(run: Mapping[str, Any], shards: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """The run with the worst of its shards for all of them: the longest loss, the oldest backup, all keys."""
    if (run.get("group") or {}).get("kind") != "cluster":
        return run
    assessed = run.get("assessments") or {}
    lost = [shard for shard in shards if shard["action"] == "recover" and shard["backup"]]
    damage = [
        {**each, "says": f"{name}: {each['says']}"}
        for name, found in assessed.items()
        for each in found.get("damage", [])
    ]
    worst = max(lost, key=lambda shard: shard["rpo_seconds"] or 0.0, default=None)
    problems = {name: why for found in assessed.values() for name, why in found.get("repository_problems", {}).items()}
    sets = sorted({shard["backup"]["set"] or shard["backup"]["label"] for shard in lost})
    backup = {}
    if worst is not None:
        backup = {
            "label": ", ".join(sets),
            "time": min(shard["backup"]["time"] for shard in lost),
            "keys": {"total": sum(int(shard["backup"]["keys"] or 0) for shard in lost)},
        }
    return {
        **run,
        "instance": run["group"]["id"],
        "source_instance": ", ".join(shard["backup"]["instance"] for shard in lost),
        "repository": ", ".join(sorted({shard["backup"]["repository"] for shard in lost})),
        "backup": backup,
        "restore": {},
        "assessment": {
            "damage": damage,
            "failed_at": worst["failed_at"] if worst else None,
            "failed_at_source": worst["failed_at_source"] if worst else None,
            "rpo_seconds": worst["rpo_seconds"] if worst else None,
            "passed_over": list(run["group"].get("findings") or []),
            "repository_problems": problems,
        },
    }
