# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run has backed up, and what it has not: the rows of its table, and for what each host is to fail. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from .backing_up import FAILED, YOUNG

MADE, WOULD, TIMED_OUT, UNREACHABLE = "backed up", "would be backed up", "TIMED OUT", "UNREACHABLE"
INSTEAD = "gave way"


def failed_names(results: Iterable[Mapping[str, Any]]) -> list[str]:
    """The instances whose backup has failed, of the results of the loops over them."""
    return [str(each["redis_backup_name"]) for each in results if each.get("failed")]


def backup_report(hosts: Sequence[Mapping[str, Any]], plan: Mapping[str, Any], timeout: float = 0) -> dict[str, Any]:
    """`rows`, `remarks`, `failures` (by host), and `ask`: the instances, by host, of whose older backups is to be told.

    Each of `hosts` has `host`, `active`, `looked` (whether its instances were), the `results` of its loops, and
    `known`: how old the newest backup of an instance is, in seconds, by its name.
    """
    rows: list[dict[str, Any]] = []
    failures = {str(host): list(words) for host, words in plan["failures"].items()}
    for host in hosts:
        found = {str(each["redis_backup_name"]): each for each in host.get("results") or []}
        for phase in plan["work"].values():
            for name in phase.get(host["host"], []):
                row = _row(name, found[name], timeout) if name in found else _unvisited(name, host)
                rows.append({**row, "host": host["host"], "names": plan["siblings"].get(name, [name])})
        if not host.get("active") and not host.get("looked", True):
            words = "no backup was made, as it failed or did not answer before its instances were looked at."
            rows.append({**_bad(str(host["host"]), UNREACHABLE, words), "host": host["host"], "names": []})
    good = [row["instance"] for row in rows if not row["failed"]]
    for row in rows:
        name = row["instance"]
        better = next((other for other in row["names"] if other != name and other in good), None)
        if row["failed"] and better is not None:
            row.update(result=INSTEAD, failed=False, says=f"{row['says']} {better} was backed up in its place.")
        elif row["failed"]:
            failures.setdefault(row["host"], []).append(f"{name}: {row['says']}")
    known = {name: age for host in hosts for name, age in (host.get("known") or {}).items() if age is not None}
    told = [_with_age(row, known) for row in (*rows, *plan["rows"])]
    ask: dict[str, list[str]] = {}
    for row in told:
        if row["failed"] and row.get("host"):
            ask[row["host"]] = list(dict.fromkeys([*ask.get(row["host"], []), *row["names"]]))
    return {
        "rows": told,
        "remarks": [*plan["remarks"], *_passed(plan["passed"])],
        "failures": failures,
        "ask": ask,
    }


def _with_age(row: Mapping[str, Any], known: Mapping[str, float]) -> dict[str, Any]:
    """A row that failed, with the age of the newest backup of its shard that there is."""
    ages = [known[name] for name in row.get("names") or [] if name in known]
    return {**row, "rpo_seconds": min(ages)} if row["failed"] and ages else dict(row)


def _row(name: str, result: Mapping[str, Any], timeout: float) -> dict[str, Any]:
    backup = result.get("backup")
    if result.get("unreachable"):
        return _bad(name, UNREACHABLE, _words(result))
    if result.get("timedout"):
        words = (
            f"its backup did not end within {timeout:g} s (redis_backup_timeout) and was given up. What was begun on "
            "the host may go on by itself; without its manifest it is no backup."
        )
        return _bad(name, TIMED_OUT, words)
    if result.get("failed"):
        return _bad(name, FAILED, _words(result))
    if not isinstance(backup, Mapping):
        return {"instance": name, "result": WOULD, "failed": False}
    row = {
        "instance": backup["instance"],
        "result": MADE if result.get("changed") else YOUNG,
        "failed": False,
        "label": backup["label"],
        "keys": backup["keys"],
        "size": backup["stored_size"],
        "rpo_seconds": float(backup["age_seconds"]),
        "says": _remark(backup) if result.get("changed") else "",
    }
    return {**row, "seconds": backup["duration_s"]} if result.get("changed") else row


def _remark(backup: Mapping[str, Any]) -> str:
    said = [] if backup.get("encrypted") else ["NOT encrypted."]
    for name, why in (backup.get("failed") or {}).items():
        said.append(f"not in repository {name}: {why}")
    return " ".join(said)


def _bad(name: str, result: str, words: str) -> dict[str, Any]:
    return {"instance": name, "result": result, "failed": True, "says": words.removeprefix(f"{name}: ")}


def _words(result: Mapping[str, Any]) -> str:
    words = " ".join(str(result.get("msg") or "the task failed and said nothing").split())
    return words if words.endswith((".", "!", "?")) else f"{words}."


def _unvisited(name: str, host: Mapping[str, Any]) -> dict[str, Any]:
    why = "was not come to" if host.get("active") else "did not answer any more"
    return _bad(name, FAILED if host.get("active") else UNREACHABLE, f"no backup was made, as {host['host']} {why}.")


def _passed(names: Sequence[str]) -> list[str]:
    """One line about those that were not asked."""
    unique = list(dict.fromkeys(names))
    if not unique:
        return []
    more = f" and {len(unique) - 8} more" if len(unique) > 8 else ""
    return [f"Not asked, as another of the same shard was, or as they hold no data: {', '.join(unique[:8])}{more}."]
