# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a Sentinel watches a primary, in its replies and its sentinel.conf, and the commands that change it. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .journal import Watch

DOWN_AFTER = "down-after-milliseconds"
REBOOT = "master-reboot-down-after-period"
# A day, and a little to know it by: a Sentinel that finds its primary silent for so long was forgotten by us.
HELD_MS = "86400007"

_IN_REPLY = (DOWN_AFTER, "failover-timeout", "parallel-syncs")
_IN_CONF = (REBOOT, "auth-user", "auth-pass", "rename-command")
_SCRIPTS = ("notification-script", "client-reconfig-script")

Command = tuple[str, ...]


def watch_of(fields: Mapping[str, str], lines: Sequence[Sequence[str]]) -> Watch:
    """The watch that SENTINEL MASTER tells, with what only the `sentinel` lines of sentinel.conf know (passwords)."""
    name = fields["name"]
    mine = [line for line in lines if len(line) > 2 and line[1] == name]
    told = [[option, fields[option]] for option in _IN_REPLY if fields.get(option)]
    written = [[line[0].lower(), *line[2:]] for line in mine if line[0].lower() in _IN_CONF]
    scripts = [[line[0].lower(), *line[2:]] for line in mine if line[0].lower() in _SCRIPTS]
    return Watch(name, fields["ip"], int(fields["port"]), int(fields["quorum"]), [*told, *written], scripts)


def watch_like(master: str, address: str, told: Mapping[str, Any], auth_user: str = "", auth_pass: str = "") -> Watch:
    """How a Sentinel is to watch that has lost its sentinel.conf: as `told` of another one."""
    host, _colon, port = address.rpartition(":")
    numbers = ((DOWN_AFTER, "down_after_ms"), ("failover-timeout", "failover_timeout_ms"))
    options = [
        [option, str(told[key])] for option, key in (*numbers, ("parallel-syncs", "parallel_syncs")) if told.get(key)
    ]
    options += [["auth-user", auth_user]] if auth_user else []
    options += [["auth-pass", auth_pass]] if auth_pass else []
    return Watch(master, host.strip("[]"), int(port), int(told["quorum"]), options)


def is_held(fields: Mapping[str, str]) -> bool:
    """Whether the thresholds are those of a hold."""
    return fields.get(DOWN_AFTER) == HELD_MS


def lifting(watch: Watch) -> list[Command]:
    """The commands that keep a Sentinel from finding its primary down."""
    commands: list[Command] = [("SENTINEL", "SET", watch.master, DOWN_AFTER, HELD_MS)]
    if watch.value(REBOOT, "0") != "0":
        commands.append(("SENTINEL", "SET", watch.master, REBOOT, "0"))
    return commands


def undoing(watch: Watch) -> list[Command]:
    """The commands that put the thresholds back."""
    return [("SENTINEL", "SET", watch.master, *words) for words in watch.options if words[0] in (DOWN_AFTER, REBOOT)]


def monitoring(watch: Watch, host: str, port: int, *, known: bool) -> list[Command]:
    """The commands that make a Sentinel watch its primary at another address, held, all else as before.

    A Sentinel runs the commands of one packet without a timer's tick between them.
    """
    commands: list[Command] = [("SENTINEL", "REMOVE", watch.master)] if known else []
    commands.append(("SENTINEL", "MONITOR", watch.master, host, str(port), str(watch.quorum)))
    kept = [words for words in watch.options if words[0] not in (DOWN_AFTER, REBOOT)]
    commands += [("SENTINEL", "SET", watch.master, *words) for words in kept]
    return [*commands, ("SENTINEL", "SET", watch.master, DOWN_AFTER, HELD_MS)]


def why_not_seen(fields: Mapping[str, str], addresses: Sequence[str]) -> str:
    """Why a Sentinel cannot be let go yet: it would take its primary for dead at once; empty when it can."""
    where = f"{fields.get('ip', '')}:{fields.get('port', '')}"
    if addresses and where not in addresses:
        return f"it watches {where}, not {addresses[0]}"
    if fields.get("flags") != "master":
        return f"it sees the primary {where} as {fields.get('flags', 'unknown')}"
    if not fields.get("runid"):  # known from the first INFO alone: one it was just told to watch looks well until then
        return f"the primary {where} has not told it anything yet"
    if fields.get("role-reported", "master") != "master":
        return f"{where} tells it that it is a replica"
    silent = fields.get("last-ok-ping-reply", "")
    if not silent.isdigit() or int(silent) >= 2000:
        return f"the primary {where} has not answered it for {silent or 'some'} ms"
    return ""
