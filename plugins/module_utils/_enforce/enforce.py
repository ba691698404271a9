# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One run: look, judge, plan, prove, then change: the server first, redis.conf last, all undone on a failure."""

from __future__ import annotations

import dataclasses
import os
from dataclasses import dataclass, field
from typing import Any

from .._config.redact import HIDDEN, redact_conf
from .._config.writes import are_closed
from .._errors import ConfigError
from .._preflight.judge import DIRECTIVES, preflight
from .._repository.identity import HostState, require_name
from .._server.connection import Login, LoginError
from .._server.facts import Facts
from .._server.instance import Instance, Place, find_instance
from .._server.paths import command_line_settings
from .change import Changing, in_words
from .guards import conflicting_arguments
from .plan import Plan, surely_done
from .ports import require_silent
from .prepare import Prepared, prepare
from .restart import restart_refusals
from .situation import Situation, look
from .wish import Request


@dataclass
class Outcome:
    """What a run found and did, as the module returns it."""

    changed: bool = False
    actions: list[str] = field(default_factory=list)
    drift: list[dict[str, Any]] = field(default_factory=list)
    restart_required: bool = False
    restart_reasons: list[str] = field(default_factory=list)
    restart_safe: bool = False
    restart_refusals: list[str] = field(default_factory=list)
    deferred: list[str] = field(default_factory=list)
    backup_file: str | None = None
    config_file: str = ""
    state: str = ""
    keys: int | None = None
    preflight: list[dict[str, Any]] = field(default_factory=list)
    diff: dict[str, str] = field(default_factory=dict)


def find_for(login: Login, place: Place, request: Request) -> Instance:
    """The instance; where the login is refused and requirepass is wished for, with the new password or with none.

    So a run that sets the first password, or changes it, converges with the new one in the inventory.
    """
    wish = next((wish for wish in request.wishes if wish.name == "requirepass"), None)
    try:
        return find_instance(login, place, may_be_down=True)
    except LoginError:
        if wish is None or login.user not in (None, "default"):
            raise
        for password in dict.fromkeys((wish.text or None, None)):
            if password != login.password:
                try:
                    return find_instance(dataclasses.replace(login, password=password), place, may_be_down=True)
                except LoginError:
                    continue
        raise


def enforce(instance: Instance, request: Request, state: HostState, *, check_mode: bool) -> Outcome:
    """Bring an instance's redis.conf and running values to the wishes. Raises RedisBackupError; see `_errors.py`."""
    require_name(instance.name)
    situation = look(instance, request)
    _require_alone(instance, request, situation)
    outcome = Outcome(
        config_file=situation.file.path if situation.file else "",
        state="running" if situation.running else "down",
        keys=situation.facts.keys if situation.facts else None,
        preflight=preflight(instance, _wanted(request, situation)) if request.preflight else [],
    )
    if situation.file:
        text = redact_conf(situation.file.text, HIDDEN)
        outcome.diff = _diff(situation.file.path, text, text)
    if surely_done(request, situation):
        return outcome
    folder = os.path.join(state.folder, "config", instance.name)
    journal = os.path.join(folder, "carrying.json")
    prepared = prepare(instance, request, situation, journal)
    _tell(outcome, request, situation, prepared)
    outcome.actions = in_words(prepared, outcome.config_file) if outcome.changed else []
    if check_mode:
        outcome.actions = [f"would {words}" for words in outcome.actions]
    elif outcome.changed:
        changing = Changing(instance, request, situation, prepared, folder, journal)
        changing.make(state.lock_path(instance.name))
        outcome.backup_file = changing.backup_file
    return outcome


def _require_alone(instance: Instance, request: Request, situation: Situation) -> None:
    """Refuse what no edit of redis.conf can change, an open restore, and a server that is not as down as it seems."""
    if situation.file and are_closed(situation.file.text):
        raise ConfigError(
            f"{instance.title} is in the middle of a restore: {situation.file.path} keeps its writes closed",
            untouched="Nothing was changed",
            hint="Commit the restore or roll it back, then run again",
        )
    if not situation.running and situation.file:
        require_silent(situation.file, instance)
    if request.to_file:
        conflict = conflicting_arguments(command_line_settings(list(instance.command)), request.wishes)
        if conflict:
            raise ConfigError(
                f"{instance.title}: the service {instance.place.service} starts the server with {conflict}, which "
                "beats redis.conf",
                untouched="Nothing was changed",
                hint="Take it out of the unit, or the directive out of settings",
            )


def _wanted(request: Request, situation: Situation) -> dict[str, str]:
    """The values as they are to be, as far as they are known without asking."""
    names = [name for name in DIRECTIVES if not situation.running and situation.file_lines(name) is not None]
    present = {**situation.live, **{name: situation.file_text(name) or "" for name in names}}
    return {**present, **{wish.name: wish.text for wish in request.wishes if wish.text is not None}}


def _diff(path: str, before: str, after: str) -> dict[str, str]:
    return {"before": before, "after": after, "before_header": path, "after_header": path}


def _tell(outcome: Outcome, request: Request, situation: Situation, prepared: Prepared) -> None:
    """What was found, and whether a restart is due and would keep the data."""
    plan = prepared.plan
    outcome.drift = [dataclasses.asdict(each) for each in plan.drift]
    outcome.deferred = list(plan.deferred)
    outcome.changed = not plan.empty
    if prepared.edited:
        outcome.diff["after"] = redact_conf(prepared.edited.text, HIDDEN)
    if situation.facts is None:
        return
    outcome.restart_reasons = [*plan.reasons, *_older_reasons(request, situation, plan)]
    outcome.restart_required = bool(outcome.restart_reasons)
    if outcome.restart_required:
        facts, live, file_aof = _afterwards(situation.facts, situation, prepared)
        refusals = restart_refusals(facts, live, file_aof)
        outcome.restart_refusals = [*refusals, *([prepared.no_start] if prepared.no_start else [])]
        outcome.restart_safe = not outcome.restart_refusals


def _older_reasons(request: Request, situation: Situation, plan: Plan) -> list[str]:
    """Directives that only a start reads and nobody can ask for, in a redis.conf younger than the server."""
    facts, file = situation.facts, situation.file
    hidden = [wish.name for wish in request.wishes if wish.lines and not wish.readable and wish not in plan.edits]
    if not hidden or facts is None or file is None:
        return []
    started = facts.number("server_time_usec") / 1e6 - facts.number("uptime_in_seconds") - 1
    if os.stat(file.path).st_mtime <= started:
        return []
    return [f"{name}: redis.conf was written after the server started" for name in hidden]


def _afterwards(facts: Facts, situation: Situation, prepared: Prepared) -> tuple[Facts, dict[str, str], str | None]:
    """INFO, the running values and redis.conf's appendonly as they will be after the change."""
    plan = prepared.plan
    live = {**situation.live, **{change.name: change.new for change in plan.live}}
    if plan.aof:
        on = "1" if plan.aof in ("on", "confirm") else "0"
        info = {**facts.info, "aof_enabled": on, "aof_last_bgrewrite_status": "ok", "aof_rewrite_in_progress": "0"}
        facts = dataclasses.replace(facts, info=info)
    file_aof = situation.file_text("appendonly")
    if any(wish.name == "appendonly" for wish in plan.edits):
        file_aof = prepared.verdicts["appendonly"].canonical
    return facts, live, file_aof
