# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The report of a recovery: what was lost, RTO and RPO against their targets, checks, what to do next. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .._times import from_iso, in_words, to_iso
from .cluster_report import as_one, shards_told


def timed_phases(marks: Sequence[Mapping[str, Any]], ended_at: float, *, failed: bool) -> list[dict[str, Any]]:
    """Phases with their durations: each lasts until the next begins, the last until `ended_at` (UTC seconds)."""
    phases = []
    for mark, end in zip(marks, [*(m["at"] for m in marks[1:]), ended_at]):
        phases.append(
            {
                "name": mark["name"],
                "started": to_iso(mark["at"]),
                "seconds": round(max(end - mark["at"], 0.0), 2),
                "ok": True,
            }
        )
    if failed and phases:
        phases[-1]["ok"] = False
    return phases


def _against(value: float | None, wanted: Any) -> dict[str, Any]:
    target = None if wanted is None else float(wanted)
    return {
        "reached_seconds": value,
        "target_seconds": target,
        "met": None if value is None or target is None else value <= target,
    }


def recovery_report(run: Mapping[str, Any]) -> dict[str, Any]:
    """The report of an instance or a group. Times are UTC, durations seconds. The filter documents `run`."""
    shards = shards_told(run)
    run = as_one(run, shards)
    outcome = run["outcome"]
    failed = outcome == "failed"
    recovered = outcome == "recovered"
    # ansible-core 2.18 hands numbers on as texts.
    marks = [{"name": mark["name"], "at": float(mark["at"])} for mark in run["phases"]]
    ended_at = float(run["ended_at"])
    assessment: Mapping[str, Any] = run.get("assessment") or {}
    backup: Mapping[str, Any] = run.get("backup") or {}
    restore: Mapping[str, Any] = run.get("restore") or {}
    served_at = float(run.get("served_at") or 0) or ended_at
    rto = round(served_at - marks[0]["at"], 2) if outcome in ("recovered", "promoted") and marks else None
    rpo = assessment.get("rpo_seconds") if recovered else None
    moment = _moment(restore)
    if recovered and moment and assessment.get("failed_at"):
        rpo = max(from_iso(assessment["failed_at"]) - from_iso(moment), 0.0)
    targets = run.get("targets") or {}
    report = {
        "format": 1,
        "instance": run["instance"],
        "host": run["host"],
        "source_instance": run.get("source_instance") or run["instance"],
        "started_by": run.get("started_by", ""),
        "outcome": outcome,
        "ok": not failed,
        "error": run.get("error", ""),
        "started": to_iso(marks[0]["at"]) if marks else to_iso(ended_at),
        "ended": to_iso(ended_at),
        "tier": run.get("tier", ""),
        "rto_seconds": rto,
        "rpo_seconds": rpo,
        "rto": _against(rto, targets.get("rto_seconds")),
        "rpo": _against(rpo, targets.get("rpo_seconds")),
        "failed_at": assessment.get("failed_at"),
        "failed_at_source": assessment.get("failed_at_source"),
        "damage": list(assessment.get("damage", [])),
        "keys_before": (assessment.get("instance") or {}).get("keys"),
        "findings": list(assessment.get("findings", [])),
        "ways": list(assessment.get("ways", [])),
        "passed_over": list(assessment.get("passed_over", [])),
        "repository_problems": dict(assessment.get("repository_problems", {})),
        "backup": {
            "label": restore["label"] if moment else backup.get("label"),
            "time": moment or backup.get("time"),
            "repository": run.get("repository"),
            "keys": restore.get("keys") if moment else (backup.get("keys") or {}).get("total"),
            "encrypted": backup.get("encrypted"),
            "server": (backup.get("server") or {}).get("version"),
        }
        if backup
        else None,
        "source": dict(restore.get("source") or {}),
        "precision_seconds": restore.get("precision_seconds"),
        "previous_data": restore.get("previous_dir") or None,
        "phases": timed_phases(marks, ended_at, failed=failed),
        "checks": list(run.get("checks", [])),
    }
    if run.get("group"):
        report["group"] = _group(run["group"], run.get("members") or [])
        report["ok"] = report["ok"] and not report["group"]["left_over"]
    if shards:
        report["shards"] = shards
    report["lost"] = _lost_of_shards(report) if shards and recovered else _lost(report)
    report["next_steps"] = _next_steps(report)
    return report


def _group(plan: Mapping[str, Any], members: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The group that was recovered as one: who was brought into his place, and what is left over."""
    brought = [{name: each[name] for name in ("name", "role", "ok", "says")} for each in members]
    return {
        "id": plan.get("id", ""),
        "action": plan.get("action", ""),
        "primary": plan.get("lead") or plan.get("primary", ""),
        "members": brought,
        "left_over": [*plan.get("skipped", []), *(each["says"] for each in brought if not each["ok"])],
    }


def _lost_of_shards(report: Mapping[str, Any]) -> str:
    """What each recovered shard of a cluster has lost."""
    words = []
    for shard in report["shards"]:
        if shard["action"] == "recover":
            rpo = shard["rpo_seconds"]
            span = "not settled how much" if rpo is None else in_words(rpo) if rpo else "no write"
            words.append(f"slots {shard['slots']} ({shard['primary']}): {span}, from {shard['backup']['time']} on")
    return f"The writes of these times, shard by shard: {'; '.join(words)}. Other shards have lost nothing."


def _moment(restore: Mapping[str, Any]) -> str:
    """The time to which commands were replayed, where it was not a backup that was restored as it is."""
    return str(restore.get("recovered_to", "")) if str(restore.get("label", "")).endswith("_point") else ""


def _lost(report: Mapping[str, Any]) -> str:
    if report["outcome"] == "nothing lost":
        return "Nothing was found lost."
    if report["outcome"] == "fed":
        return "No write: the primary held all of its data."
    if report["outcome"] == "promoted":
        return "The writes that had not reached the replica that became the primary when the old one was lost."
    backup = report["backup"]
    if not backup:
        return "Not known: no usable backup was found."
    if report["rpo_seconds"] is None:
        return f"Not settled. The backup {backup['label']} holds the data of {backup['time']}."
    if not report["rpo_seconds"]:
        return f"No write: the backup {backup['label']} is not older than the failure."
    if str(backup["label"]).endswith("_point"):
        return (
            f"The writes of {in_words(report['rpo_seconds'])}: from {backup['time']}, up to which the AOF was "
            f"replayed, to the failure at {report['failed_at']} (as told by {report['failed_at_source']})."
        )
    return (
        f"The writes of {in_words(report['rpo_seconds'])}: from {backup['time']}, when the backup {backup['label']} "
        f"was taken, to the failure at {report['failed_at']} (as told by {report['failed_at_source']})."
    )


def _next_steps(report: Mapping[str, Any]) -> list[str]:
    if report["outcome"] == "nothing lost":
        return ["Nothing to do. To restore all the same, set redis_disaster_recovery_force: true."]
    if report["outcome"] == "failed":
        steps = ["Read the error above; nothing was deleted, and running again is safe."]
        if report["backup"]:
            steps.append(
                "To use another backup, set redis_disaster_recovery_label or redis_disaster_recovery_at; to use "
                "another repository's copy of it, redis_disaster_recovery_repository."
            )
        return steps
    steps = ["Find the cause of the failure before it comes again.", "Make a new backup now: playbook backup.yml."]
    if report["outcome"] == "promoted":
        steps.insert(0, f"Point the clients to {report['instance']}, unless they ask Sentinels who the primary is.")
    if report["outcome"] == "fed":
        steps.pop()
    steps += [f"Left over: {words}" for words in (report.get("group") or {}).get("left_over", [])]
    if report["previous_data"]:
        kept = f"The data that was there before is kept in {report['previous_data']}"
        steps.append(f"{kept}; remove it when nobody misses it.")
    for name, what in (("rto", "RTO"), ("rpo", "RPO")):
        if report[name]["met"] is False:
            reached, target = (in_words(report[name][f"{word}_seconds"]) for word in ("reached", "target"))
            steps.append(f"The {what} target of the tier {report['tier']} was missed: {reached} against {target}.")
    return steps
