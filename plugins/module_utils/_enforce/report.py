# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The report over a fleet: which server drifts from the policy in which directive, and what stands in the way. Pure.

Only what is named here is taken from the hosts' results, so that nothing else (arguments, files) gets into a report.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from .._table import WIDTH, aligned, visible

_GAP = "  "
_WIDEST = 24
_ALL = "(all)"
# How many hosts are named that share a remark.
_NAMED = 10
_COLUMNS = ("host", "instance", "directive", "wanted", "running", "redis.conf", "state")

# What became of a directive that was not as wanted.
DRIFT = "drift"
MENDED = "mended"
NEEDS_RESTART = "needs a restart"
NEEDS_STOP = "needs a stop"


def drift_report(hosts: Sequence[Mapping[str, Any]], options: Mapping[str, Any]) -> dict[str, Any]:
    """The report. The filter of this name documents `hosts` and `options`."""
    check_mode = bool(options.get("check_mode"))
    instances = [_judged(instance, options) for host in hosts for instance in _instances(host, check_mode=check_mode)]
    report: dict[str, Any] = {
        "format": 1,
        "generated": options.get("generated", ""),
        "check_mode": check_mode,
        "ok": all(_is_ok(instance) for instance in instances),
        "summary": _summary(hosts, instances),
        "instances": instances,
        "failures": [words for instance in instances for words in instance["failures"]],
    }
    report["table"] = _table(report)
    report["markdown"] = _markdown(report)
    return report


# --- what the hosts say ---


def _instances(host: Mapping[str, Any], *, check_mode: bool) -> list[dict[str, Any]]:
    name = str(host["host"])
    result = host.get("result")
    if not isinstance(result, Mapping):
        if host.get("active", True):
            return [_blank(name, "", "not visited")]
        return [_blank(name, "", "failed", "it failed, or did not answer, before its instances were looked at")]
    items = result.get("results")
    if not isinstance(items, Sequence):
        return [_blank(name, "", "failed", str(result.get("msg", "the task failed")))]
    silent = next((item for item in items if item.get("unreachable")), None)
    if silent is not None:
        return [_blank(name, "", "unreachable", str(silent.get("msg", "")).removeprefix("Task failed: "))]
    restarts = host.get("restarts") or {}
    return [_instance(name, item, restarts, check_mode=check_mode) for item in items]


def _blank(host: str, name: str, state: str, error: str = "") -> dict[str, Any]:
    return {
        "host": host,
        "name": name,
        "state": state,
        "changed": False,
        "drift": [],
        "restarted": False,
        "restart_required": False,
        "restart_reasons": [],
        "restart_safe": None,
        "restart_refusals": [],
        "deferred": [],
        "preflight": [],
        "error": " ".join(error.split()),
    }


def _instance(host: str, item: Mapping[str, Any], restarts: Mapping[str, Any], *, check_mode: bool) -> dict[str, Any]:
    name = str(item.get("redis_persistence_name", ""))
    if "drift" not in item:
        return _blank(host, name, "failed", str(item.get("msg", "the module said nothing")))
    found = _blank(host, name, str(item.get("state", "")))
    found["changed"] = bool(item.get("changed"))
    found["restart_safe"] = bool(item.get("restart_safe"))
    found["restart_refusals"] = [str(words) for words in item.get("restart_refusals", [])]
    found["preflight"] = [
        {key: str(check.get(key, "")) for key in ("name", "found", "wanted", "hint")}
        for check in item.get("preflight", [])
        if not check.get("ok")
    ]
    after: Mapping[str, Any] = item
    restart = restarts.get(name) if item.get("restart_required") or item.get("deferred") else None
    if restart:
        found["restarted"] = bool(restart.get("restarted"))
        found["state"] = str(restart.get("state") or found["state"])
        found["error"] = " ".join(str(restart.get("error", "")).split())
        if not found["error"]:
            after = restart
    found["restart_required"] = bool(after.get("restart_required"))
    found["restart_reasons"] = [str(words) for words in after.get("restart_reasons", [])]
    found["deferred"] = [str(words) for words in after.get("deferred", [])]
    if item.get("failed") and not found["error"]:
        found["state"], found["error"] = "failed", " ".join(str(item.get("msg", "")).split())
    found["drift"] = [_drift(entry, found, check_mode=check_mode) for entry in item["drift"]]
    return found


def _drift(entry: Mapping[str, Any], instance: Mapping[str, Any], *, check_mode: bool) -> dict[str, Any]:
    directive = str(entry["directive"])
    if directive in instance["deferred"]:
        state = NEEDS_STOP
    elif any(words.partition(":")[0] == directive for words in instance["restart_reasons"]):
        state = NEEDS_RESTART
    else:
        state = DRIFT if check_mode or instance["error"] else MENDED
    texts = {key: None if entry.get(key) is None else visible(entry[key]) for key in ("wanted", "running", "in_file")}
    return {"directive": visible(directive), **texts, "state": state}


# --- what to think of it ---


def _left(instance: Mapping[str, Any]) -> bool:
    """Whether the instance is not as the policy says, now that the run is over."""
    pending = instance["restart_required"] or instance["deferred"]
    return bool(pending) or any(entry["state"] != MENDED for entry in instance["drift"])


def _is_ok(instance: Mapping[str, Any]) -> bool:
    return instance["state"] == "running" and not instance["error"] and not _left(instance)


def _judged(instance: dict[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """The instance with `failures`: for what its host is to fail, as the options say."""
    title = instance["name"] or instance["host"]
    failures = []
    if instance["state"] == "unreachable":
        failures.append(f"{title} did not answer: {instance['error']}")
    elif instance["error"]:
        failures.append(instance["error"] if instance["error"].startswith(title) else f"{title}: {instance['error']}")
    if options.get("fail_on_drift") and not instance["error"] and _left(instance):
        names = [entry["directive"] for entry in instance["drift"] if entry["state"] != MENDED]
        words = ", ".join(names) or "; ".join(instance["restart_reasons"]) or ", ".join(instance["deferred"])
        failures.append(f"{title} drifts: {words}.")
    if options.get("fail_on_drift") and not instance["error"] and instance["state"] == "down":
        failures.append(f"{title} is down.")
    if options.get("preflight") == "fail":
        failures += [f"{title}: {_preflight_words(check)}" for check in instance["preflight"]]
    return {**instance, "failures": failures}


def _summary(hosts: Sequence[Mapping[str, Any]], instances: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    known = [instance for instance in instances if instance["name"]]
    whole = [instance for instance in instances if not instance["name"]]
    sound = [instance for instance in known if not instance["error"]]
    left = [instance for instance in sound if _left(instance)]
    return {
        "hosts": len(hosts),
        "instances": len(known),
        "as_wanted": sum(_is_ok(instance) and not instance["drift"] for instance in sound),
        "drifting": len(left),
        "mended": sum(bool(instance["drift"]) and not _left(instance) for instance in sound),
        "restart_required": sum(instance["restart_required"] for instance in known),
        "down": sum(instance["state"] == "down" for instance in known),
        "failed": sum(bool(instance["error"]) for instance in known)
        + sum(instance["state"] == "failed" for instance in whole),
        "unreachable_hosts": sum(instance["state"] == "unreachable" for instance in whole),
        "hosts_not_visited": sum(instance["state"] == "not visited" for instance in whole),
        "drifting_directives": sum(entry["state"] != MENDED for instance in left for entry in instance["drift"]),
        "preflight_findings": sum(len(instance["preflight"]) for instance in known),
    }


# --- on screen ---


def _count(number: int, word: str) -> str:
    return f"{number} {word}" if number == 1 else f"{number} {word}s"


def _summary_line(report: Mapping[str, Any]) -> str:
    summary = report["summary"]
    mode = " (check mode)" if report["check_mode"] else ""
    parts = [f"{_count(summary['hosts'], 'host')}, {_count(summary['instances'], 'instance')}{mode}"]
    parts.append(f"{summary['as_wanted']} as wanted")
    for key, words in (
        ("drifting", f"drifting in {_count(summary['drifting_directives'], 'directive')}"),
        ("mended", "mended"),
        ("restart_required", "to be restarted"),
        ("down", "down"),
        ("failed", "failed"),
    ):
        if summary[key]:
            parts.append(f"{summary[key]} {words}")
    for key, word, words in (
        ("unreachable_hosts", "host", " unreachable"),
        ("hosts_not_visited", "host", " not visited"),
        ("preflight_findings", "preflight finding", ""),
    ):
        if summary[key]:
            parts.append(_count(summary[key], word) + words)
    return ", ".join(parts)


def _rows(report: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """A row for each directive that is, or was, not as wanted."""
    return [
        (
            instance["host"],
            instance["name"],
            entry["directive"],
            *("-" if entry[key] is None else entry[key] or '""' for key in ("wanted", "running", "in_file")),
            entry["state"],
        )
        for instance in report["instances"]
        for entry in instance["drift"]
    ]


def _remarks(report: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What is to be said of hosts and instances beside their directives, as (who, words)."""
    found = []
    for instance in report["instances"]:
        who = f"{instance['host']} {instance['name'] or _ALL}"
        if instance["state"] == "not visited":
            pass  # told together, below
        elif instance["state"] == "unreachable":
            found.append((who, f"UNREACHABLE: {instance['error']}"))
        elif instance["error"]:
            found.append((who, f"FAILED: {instance['error']}"))
        elif instance["state"] != "running":
            found.append((who, f"{instance['state'].upper()}: only redis.conf counts"))
        elif instance["restarted"]:
            found.append((who, "RESTARTED, and serves its keys again"))
        named = {entry["directive"] for entry in instance["drift"]}
        reasons = [words for words in instance["restart_reasons"] if words.partition(":")[0] not in named]
        if reasons:
            found.append((who, f"NEEDS A RESTART: {'; '.join(reasons)}"))
        pending = instance["restart_required"] or instance["deferred"]
        if pending and instance["restart_refusals"]:
            found.append((who, f"RESTART NOT SAFE: {'; '.join(instance['restart_refusals'])}"))
    shared: dict[str, list[str]] = {}
    for instance in report["instances"]:
        words = [f"PREFLIGHT {_preflight_words(check)}" for check in instance["preflight"]]
        for said in [*words, *(["NOT VISITED"] if instance["state"] == "not visited" else [])]:
            hosts = shared.setdefault(said, [])
            if instance["host"] not in hosts:
                hosts.append(instance["host"])
    for said, hosts in shared.items():
        more = f" and {len(hosts) - _NAMED} more" if len(hosts) > _NAMED else ""
        found.append((", ".join(hosts[:_NAMED]) + more, said))
    return found


def _preflight_words(check: Mapping[str, Any]) -> str:
    hint = f" {check['hint']}" if check["hint"] else ""
    return " ".join(f"{check['name']}: found {check['found']}, wanted {check['wanted']}.{hint}".split())


def _table(report: Mapping[str, Any]) -> list[str]:
    lines = textwrap.wrap(_summary_line(report), WIDTH)
    rows = _rows(report)
    if rows:
        short = [(*row[:3], "below", "below", "below", row[6]) if _is_wide(row) else row for row in rows]
        lines += ["", *aligned([tuple(column.upper() for column in _COLUMNS), *short])]
        for row in filter(_is_wide, rows):
            lines += ["", *aligned([row[1:3]])]
            for title, value in zip(_COLUMNS[3:6], row[3:6]):
                lines += textwrap.wrap(f"  {title:12}{value}", WIDTH, subsequent_indent=" " * 14)
    remarks = _remarks(report)
    if remarks:
        lines.append("")
    for who, words in remarks:
        lines += textwrap.wrap(f"{who}{_GAP}{words}", WIDTH, subsequent_indent="    ", break_on_hyphens=False)
    return lines


def _is_wide(row: tuple[str, ...]) -> bool:
    """Whether the values of a row are told on lines of their own: cut short, they would not show what differs."""
    return max(map(len, row[3:6])) > _WIDEST


# --- as a document ---


def _markdown(report: Mapping[str, Any]) -> str:
    lines = ["# Redis persistence: drift", "", f"{report['generated']}: {_summary_line(report)}.".lstrip(": "), ""]
    rows = _rows(report)
    if rows:
        lines += [_line([column.capitalize() for column in _COLUMNS]), "|" + "---|" * len(_COLUMNS)]
        lines += [_line([*map(_text, row[:2]), *map(_code, row[2:-1]), row[-1]]) for row in rows]
    else:
        lines.append("No directive drifts.")
    remarks = _remarks(report)
    if remarks:
        lines += ["", "## Remarks", "", *(f"- **{_text(who)}** {_text(words)}" for who, words in remarks)]
    return "\n".join(lines) + "\n"


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _text(text: str) -> str:
    """One line in which nothing begins a tag or a code span."""
    return " ".join(text.split()).replace("<", "&lt;").replace("`", "'")


def _code(text: str) -> str:
    """One line as a code span."""
    return f"`{' '.join(text.split()).replace('`', chr(39))}`"
