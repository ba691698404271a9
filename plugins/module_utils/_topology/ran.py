# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run of exports or verifications did: the rows of its table, and for what each host is to fail. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

EXPORT, VERIFY = "export", "verify"
_FAILED, _TIMED_OUT, _UNREACHABLE = "FAILED", "TIMED OUT", "UNREACHABLE"
_NOUNS = {EXPORT: "export", VERIFY: "verification"}
_NAMED = 8

Row = dict[str, Any]


def run_report(
    kind: str,
    hosts: Sequence[Mapping[str, Any]],
    shards: Collection[Sequence[str]] = (),
    timeout: float = 0,
    variable: str = "",
) -> dict[str, Any]:
    """`rows`, `remarks` and `failures` (by host) of a run of `kind`.

    Each of `hosts` has `host`, `active` (whether it takes part still), `asked` (the names of its instances, None where
    it was never come to) and `ran`: the results of its tasks, by instance. `shards` are the names that hold the same
    data, `timeout` the seconds that `variable` gave each task.
    """
    rows: list[Row] = []
    idle: list[str] = []
    for host in hosts:
        if host.get("asked") is None:
            if not host.get("active"):
                rows.append(_away(str(host["host"]), str(host["host"]), kind))
            continue
        for name in map(str, host["asked"]):
            if name not in host["ran"]:
                rows.append({**_away(name, str(host["host"]), kind), "host": host["host"]})
                continue
            results = [result for result in host["ran"][name] if not result.get("skipped")]
            idle += [] if results else [name]
            for result in results:
                found = _rows_of(kind, name, result, timeout, variable)
                rows += [{**row, "host": host["host"]} for row in found]
    if kind == VERIFY:
        _excuse(rows, shards)
    failures: dict[str, list[str]] = {}
    for row in rows:
        if row["failed"] and row.get("host"):
            failures.setdefault(str(row["host"]), []).append(f"{row['instance']}: {row['says']}")
    return {"rows": rows, "remarks": _idle(idle), "failures": failures}


def _rows_of(kind: str, name: str, result: Mapping[str, Any], timeout: float, variable: str) -> list[Row]:
    if result.get("timedout"):
        words = (
            f"its {_NOUNS[kind]} did not end within {timeout:g} s ({variable}) and was given up. What was begun on the "
            "host may go on by itself."
        )
        return [_bad(name, _TIMED_OUT, words, _export_name(result))]
    if result.get("unreachable"):
        return [_bad(name, _UNREACHABLE, _words(result), _export_name(result))]
    if kind == EXPORT:
        return [_export(name, result)]
    copies = result.get("results") or []
    if copies:
        return [_copy(name, copy) for copy in copies]
    if result.get("failed"):
        return [_bad(name, _FAILED, _words(result))]
    told = [str(action) for action in result.get("actions") or []]
    return [{"instance": name, "result": "would be verified", "failed": False, "says": "; ".join(told)}]


# --- exports ---


def _export(name: str, result: Mapping[str, Any]) -> Row:
    if result.get("failed"):
        return _bad(name, _FAILED, _words(result), _export_name(result))
    made = result.get("export")
    if not isinstance(made, Mapping):
        return {
            "instance": name,
            "result": "would be exported",
            "failed": False,
            "label": _export_name(result),
            "keys": result.get("exported"),
        }
    row = {
        "instance": name,
        "result": "exported" if result.get("changed") else "young enough",
        "failed": False,
        "label": made["label"],
        "keys": made["keys"],
        "size": made["stored_size"],
        "rpo_seconds": float(made["age_seconds"]),
        "says": "",
    }
    if not result.get("changed"):
        return row
    said = [] if made.get("encrypted") else ["NOT encrypted."]
    said += [f"not in repository {place}: {why}" for place, why in (made.get("failed") or {}).items()]
    return {**row, "seconds": made["duration_s"], "says": " ".join(said)}


def _export_name(result: Mapping[str, Any]) -> str:
    """Which of an instance's exports a result is about."""
    return str((result.get("redis_backup_export") or {}).get("name") or "")


# --- verifications ---


def _copy(name: str, copy: Mapping[str, Any]) -> Row:
    problems = [str(problem) for problem in copy.get("problems") or []]
    good = "good" if copy["ok"] else "NOT good" if copy.get("recorded") else "no verdict"
    about = f"{copy['label']} in {copy['repository']}: " if copy.get("label") else ""
    return {
        "instance": name,
        "result": good,
        "failed": not copy["ok"],
        "label": copy.get("label") or "",
        "repository": copy.get("repository") or "",
        "keys": copy.get("keys"),
        "size": copy.get("stored_size"),
        "seconds": copy.get("duration_s"),
        "says": (about + " ".join(problems)) if problems else "",
    }


def _excuse(rows: Sequence[Row], shards: Collection[Sequence[str]]) -> None:
    """An instance without a backup of its own is no failure where another of its shard has good ones."""
    good = {row["instance"] for row in rows if row["result"] in ("good", "would be verified")}
    for row in rows:
        mates = {other for names in shards if row["instance"] in names for other in names} - {row["instance"]}
        better = sorted(mates & good)
        if row["result"] == "no verdict" and not row["label"] and not row["repository"] and better:
            words = f"it has no backup of its own; those of {', '.join(better)} hold the same data."
            row.update(result="none of its own", failed=False, says=words, seconds=None)


# --- what failed ---


def _bad(name: str, result: str, words: str, label: str = "") -> Row:
    return {
        "instance": name,
        "result": result,
        "failed": True,
        "label": label,
        "says": words[len(name) + 2 :] if words.startswith(f"{name}: ") else words,
    }


def _away(name: str, host: str, kind: str) -> Row:
    words = f"no {_NOUNS[kind]} was made, as {host} did not answer (any more), or failed before."
    return _bad(name, _UNREACHABLE, words)


def _words(result: Mapping[str, Any]) -> str:
    words = " ".join(str(result.get("msg") or "the task failed and said nothing").split())
    return words if words.endswith((".", "!", "?")) else f"{words}."


def _idle(names: Sequence[str]) -> list[str]:
    """One line about those for which nothing was to be done."""
    if not names:
        return []
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return [f"Nothing was due for {', '.join(names[:_NAMED])}{more}."]
