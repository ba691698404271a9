# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A member of a replication group brought into its place: fenced, following, detached, or as it was."""

from __future__ import annotations

import os
from typing import Any

from .._config import replica as conf
from .._config.replica import Primary
from .._errors import GroupError
from .._server.facts import Facts
from .._server.instance import Instance
from .._server.occupied import require_stopped
from .aside import close, put_back, set_aside
from .member import (
    Order,
    Outcome,
    await_in_step,
    call,
    compare,
    edited,
    follows,
    look,
    names_of,
    own_stale,
    read_conf,
    require_conf,
    set_live,
)

_UNTOUCHED = "Nothing was changed"


def fenced(instance: Instance, order: Order) -> Outcome:
    """See to it that the instance, when it starts, answers nothing before it has copied its primary. Idempotent."""
    primary = order.primary
    require_conf(instance)
    if order.down and not order.check_mode:
        require_stopped(instance.server.login, instance.paths.dir, instance.title, order.wait)
        instance.facts = None
    outcome = edited(instance, order, lambda text: conf.fence(text, primary), "fenced")
    if instance.facts is not None:
        outcome.actions += set_live(instance, order, "no")
    elif order.set_aside:
        outcome.actions += set_aside(instance, order.wait, check_mode=order.check_mode)
    outcome.view = _view(instance)
    return outcome


def following(instance: Instance, order: Order) -> Outcome:
    """Have a running instance copy the primary, and take its fence away when it has. Idempotent."""
    facts = _require_running(instance)
    names = names_of(order)
    actions: list[str] = []
    if not follows(facts, names):
        _require_replaceable(instance, facts, order)
        if order.check_mode:
            return Outcome([f"would make {instance.title} a replica of {order.addresses[0]}"], _view(instance))
        host, port = order.primary
        call(instance, "REPLICAOF", host, port)
        actions.append(f"made {instance.title} a replica of {host}:{port}")
    if order.check_mode:
        outcome = edited(instance, order, lambda text: conf.follow(text, order.primary), "opened")
        outcome.view = _view(instance)
        return outcome
    facts = await_in_step(instance, order, names)
    compare(instance, facts, order)
    primary = _named_so(instance, order, names)
    outcome = edited(instance, order, lambda text: conf.follow(text, primary), "opened")
    outcome.actions = [*actions, *outcome.actions, *set_live(instance, order, own_stale(instance))]
    kept = close(instance)
    outcome.view = {**_view(instance, facts), "previous_dir": kept}
    return outcome


def promoted(instance: Instance, order: Order) -> Outcome:
    """A primary: live when it runs, else at its next start, which `released` undoes. Idempotent."""
    if instance.facts is None:
        require_conf(instance)
        outcome = edited(instance, order, conf.detach, "detached")
        _require_detached(instance, order)
        outcome.view = _view(instance)
        return outcome
    actions = []
    if instance.facts.role == "replica":
        actions.append(f"{'would make' if order.check_mode else 'made'} {instance.title} a primary")
        if not order.check_mode:
            call(instance, "REPLICAOF", "NO", "ONE")
    outcome = edited(instance, order, lambda text: conf.forget_detached(conf.detach(text)), "detached")
    outcome.actions = actions + outcome.actions + set_live(instance, order, own_stale(instance))
    outcome.view = _view(instance, None if order.check_mode else look(instance))
    return outcome


def released(instance: Instance, order: Order) -> Outcome:
    """Everything as it was before `fenced` or `promoted`. Idempotent."""
    outcome = edited(instance, order, conf.before, "opened")
    if instance.facts is not None:
        outcome.actions += set_live(instance, order, own_stale(instance))
    elif not order.check_mode:
        outcome.actions += put_back(instance, order.wait)
    outcome.view = _view(instance)
    return outcome


def _require_running(instance: Instance) -> Facts:
    if instance.facts is None:
        hint = "Start it, then run again"
        raise GroupError(f"{instance.title} is down: {instance.why}", untouched=_UNTOUCHED, hint=hint)
    if instance.facts.mode != "standalone":
        raise GroupError(
            f"{instance.title} is a {instance.facts.mode} node",
            untouched=_UNTOUCHED,
            hint="This is for replication groups alone",
        )
    return instance.facts


def _require_detached(instance: Instance, order: Order) -> None:
    """An include may make it a replica all the same."""
    wanted = "" if order.check_mode else instance.next_start.get("replicaof", "")
    if (
        wanted
        and conf.own_primary(read_conf(instance.paths.config_file)) is None
        and not conf.is_detached(read_conf(instance.paths.config_file))
    ):
        raise GroupError(
            f"{instance.title} is made a replica by an include of {instance.paths.config_file}, or by its command line",
            untouched="Its data was not touched",
            hint="Take replicaof out there, then run again",
        )


def _require_replaceable(instance: Instance, facts: Facts, order: Order) -> None:
    if facts.role == "primary" and facts.keys and not order.replace_data:
        raise GroupError(
            f"{instance.title} is a primary with {facts.keys} keys of its own, which copying another would replace",
            untouched=_UNTOUCHED,
            hint="Back it up; then allow that with replace_data: true",
        )


def _named_so(instance: Instance, order: Order, names: set[str]) -> Primary:
    """The primary as the instance names it already, if it does: no line is changed for another spelling."""
    named = conf.own_primary(read_conf(instance.paths.config_file)) if instance.paths.config_file else None
    return named if named is not None and f"{named[0]}:{named[1]}" in names else order.primary


def _view(instance: Instance, facts: Facts | None = None) -> dict[str, Any]:
    """The value `replica` of the module."""
    facts = facts or instance.facts
    path = instance.paths.config_file
    text = read_conf(path) if path and os.path.exists(path) else ""
    following = facts is not None and facts.role == "replica"
    return {
        "role": facts.role if facts else "",
        "primary": f"{facts.info.get('master_host')}:{facts.info.get('master_port')}" if facts and following else "",
        "in_step": bool(facts and following and facts.link_up and not facts.syncing),
        "offset": facts.number("slave_repl_offset") if facts and following else None,
        "keys": facts.keys if facts else None,
        "fenced": conf.is_fenced(text),
        "previous_dir": "",
    }
