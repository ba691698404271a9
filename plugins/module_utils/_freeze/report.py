# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run has frozen or thawed, and what not: the rows of its table, and for what each host is to fail. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

NOT_FROZEN, STILL_FROZEN = "NOT FROZEN", "STILL FROZEN"
_NO_DATA = "holds no data"
_GUESS = "is not known whether it takes writes"


def freeze_report(
    hosts: Iterable[Mapping[str, Any]],
    groups: Iterable[Mapping[str, Any]],
    *,
    state: str = "frozen",
    check: bool = False,
    missing: str = "fail",
    timeout: float = 0,
) -> dict[str, Any]:
    """`rows`, `remarks`, `failures` (words for the run to fail with, by host) and `frozen` (names).

    Each of `hosts` has `host`, the `names` of its instances, and the `results` of the loop over them. What `groups`
    have and the inventory lacks may take writes: that is a failure of the run, unless `missing` is `warn`.
    """
    rows: list[dict[str, Any]] = []
    remarks: list[str] = []
    failures: dict[str, list[str]] = {}
    hosts = list(hosts)
    for host in hosts:
        found = {str(each.get("redis_freeze_name")): each for each in host.get("results") or []}
        for name in host["names"]:
            row = _row(name, found.get(name, {"unreachable": True}), state, timeout, check=check)
            rows.append(row)
            if row["failed"]:
                failures.setdefault(str(host["host"]), []).append(f"{name}: {row['says']}")
            remarks += [f"{name}: {words}" for words in _warnings(found.get(name, {}), name)]
    lacking = list(dict.fromkeys(words for group in groups for words in group.get("missing") or []))
    for words in lacking if state == "frozen" else []:
        remarks.append(f"{words}: it {_GUESS}.")
        if missing == "fail" and hosts:
            failures.setdefault(str(hosts[0]["host"]), []).append(f"{words}.")
    frozen = [row["instance"] for row in rows if row["result"] in ("frozen", "paused", STILL_FROZEN)]
    return {"rows": rows, "remarks": list(dict.fromkeys(remarks)), "failures": failures, "frozen": frozen}


def _row(name: str, result: Mapping[str, Any], state: str, timeout: float, *, check: bool) -> dict[str, Any]:
    bad = NOT_FROZEN if state == "frozen" else STILL_FROZEN
    view = result.get("freeze")
    if result.get("unreachable") and not isinstance(view, Mapping):
        return _bad(name, "UNREACHABLE", str(result.get("msg") or "its host does not answer") + f"; it {_GUESS}")
    if result.get("timedout"):
        return _bad(name, "TIMED OUT", f"it did not answer within {timeout:g} s (redis_freeze_timeout); it {_GUESS}")
    if result.get("failed") or not isinstance(view, Mapping):
        words = str(result.get("msg") or "the task failed and said nothing")
        return _bad(name, bad, words.removeprefix(f"{name}: "))
    row = {
        "instance": name,
        "failed": False,
        "role": view["role"] or view["state"],
        "keys": view["keys"],
        "offset": view["offset"],
        "unsaved": view["unsaved_changes"],
        "aof": view["aof"],
    }
    if view["role"] == "sentinel":
        return {"instance": name, "failed": False, "role": "sentinel", "result": _NO_DATA}
    if check and result.get("changed"):
        return {**row, "result": "would be frozen" if state == "frozen" else "would be thawed"}
    if view["frozen"] != (state == "frozen"):
        return {**row, "failed": True, "result": bad, "says": "it is not what it was told to be: look who else sets it"}
    if not view["frozen"]:
        return {**row, "result": "thawed" if result.get("changed") else "takes writes"}
    return {**row, "result": "paused" if view["method"] == "pause" else "frozen", "says": _says(view)}


def _says(view: Mapping[str, Any]) -> str:
    """Since when, by whom and until when."""
    since = f"since {view['since']}" if view["since"] else "since nobody knows when"
    by = f" by {view['by']}" if view["by"] else ""
    end = f"until {view['until']}" if view["until"] else "until it is thawed"
    return f"{since}{by}, {end}."


def _warnings(result: Mapping[str, Any], name: str) -> Sequence[str]:
    """The module's warnings, as they are registered."""
    words = [str(each) for each in result.get("warnings") or []]
    return [each.removeprefix(f"{name}: ") for each in words]


def _bad(name: str, result: str, words: str) -> dict[str, Any]:
    text = " ".join(words.split())
    says = text if text.endswith((".", "!", "?")) else f"{text}."
    return {"instance": name, "result": result, "failed": True, "says": says}
