# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a prepared change means, put into the outcome: drift, whether a restart is due, and would keep the data."""

from __future__ import annotations

import dataclasses
import os

from .._config.redact import HIDDEN, redact_conf
from .._server.facts import Facts
from .outcome import Outcome
from .plan import Plan
from .prepare import Prepared
from .restart import restart_refusals
from .situation import Situation
from .wish import Request


def tell(outcome: Outcome, request: Request, situation: Situation, prepared: Prepared) -> None:
    """What was found, and whether a restart is due and would keep the data."""
    plan = prepared.plan
    outcome.drift = [dataclasses.asdict(each) for each in plan.drift]
    outcome.deferred = list(plan.deferred)
    outcome.changed = not plan.empty
    if prepared.edited and outcome.diff:
        outcome.diff["after"] = redact_conf(prepared.edited.text, HIDDEN)
    if situation.facts is None:
        return
    outcome.restart_reasons = [*plan.reasons, *_older_reasons(request, situation, plan)]
    outcome.restart_required = bool(outcome.restart_reasons)
    if outcome.restart_required:
        facts, live, file_aof = _afterwards(situation.facts, situation, prepared)
        refusals = restart_refusals(facts, live, file_aof, prepared.strays)
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
