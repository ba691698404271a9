# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One run: look, judge, plan, prove, then change: the server first, redis.conf last, all undone on a failure."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable

from .._config.writes import FREEZE, LAG, SETTING, are_closed
from .._errors import ConfigError
from .._preflight.judge import DIRECTIVES, preflight
from .._repository.identity import HostState, require_name
from .._server.connection import Login, LoginError
from .._server.instance import Instance, Place, find_instance
from .._server.paths import command_line_settings
from .outcome import Outcome
from .same import conflicting_arguments, surely_done
from .situation import Situation, look
from .wish import Request

# Imports inside functions: most runs find everything as wished, and need not pay for what is seldom used. Ansible's
# modules come without compiled bytecode, so that each import costs every call.


def find_for(login: Login, place: Place, request: Request, warn: Callable[[str], object]) -> Instance:
    """The instance; where the login is refused and requirepass is wished for, with the new password or with none.

    So a run that sets the first password, or changes it, converges whichever stands in the inventory; `warn` is told.
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
                    found = find_instance(dataclasses.replace(login, password=password), place, may_be_down=True)
                except LoginError:
                    continue
                if password:
                    warn(f"{place.name}: login_password is not the password in effect; put that into the inventory")
                return found
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
    if request.diff and situation.file:
        outcome.diff = _no_diff(situation.file.path, situation.file.text)
    if surely_done(request, situation):
        return outcome
    from .change import Changing, in_words
    from .prepare import prepare
    from .tell import tell

    folder = os.path.join(state.folder, "config", instance.name)
    journal = os.path.join(folder, "carrying.json")
    prepared = prepare(instance, request, situation, journal)
    tell(outcome, request, situation, prepared)
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
    closing = [wish.name for wish in request.wishes if {SETTING, LAG} & set(wish.names)]
    if closing and situation.file and are_closed(situation.file.text, FREEZE):
        raise ConfigError(
            f"{instance.title} is frozen, and {' and '.join(closing)} keeps its writes closed",
            untouched="Nothing was changed",
            hint="Thaw it with redis_freeze (or the playbook thaw), or leave the directive out of settings",
        )
    if not situation.running and situation.file:
        from .ports import require_silent

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


def _no_diff(path: str, text: str) -> dict[str, str]:
    from .._config.redact import HIDDEN, redact_conf

    shown = redact_conf(text, HIDDEN)
    return {"before": shown, "after": shown, "before_header": path, "after_header": path}
