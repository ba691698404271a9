# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From a module's options to one step of a restore."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from .._errors import RestoreError
from .._repository.info import moment
from .._repository.open import open_store
from .._server.instance import Instance
from .commit import commit
from .journal import Workspace
from .point import stage_point
from .point_plan import parse_point
from .request import Options, Outcome, Selection
from .swap import activate, roll_back


def selection_of(params: Mapping[str, Any], instance: str) -> Selection | None:
    """The backup that the options name; None when they name no repository. Raises RedisBackupError."""
    if not params["repository"]:
        return None
    entry = {**params["repository"], "create": False}
    point = parse_point(params["at"], params["before_command"])
    if point is not None and params["label"] != "latest":
        other = "at" if params["at"] is not None else "before_command"
        raise RestoreError(f"label and {other} exclude each other", untouched="Nothing was changed")
    at = None if point is None or point.second is None else moment(params["at"])
    return Selection(open_store(entry), params["source_instance"] or instance, params["label"], at, point)


def restore_step(state: str, instance: Instance, selection: Selection | None, options: Options) -> Outcome:
    """Do what `state` asks for, and tell the difference it makes. Raises RedisBackupError."""
    before = _open_restore(instance)
    outcome = _step(state, instance, selection, options)
    if outcome.diff is None:
        after = before
        if outcome.changed:
            after = _open_restore(instance) if not options.check_mode else f"{state}\n"
        outcome.diff = {"before": before, "after": after}
    return outcome


def _open_restore(instance: Instance) -> str:
    """The newest restore and its state, in a line: one side of a diff."""
    directory = instance.paths.dir
    newest = next(iter(Workspace(directory).journals()), None) if directory and os.path.isdir(directory) else None
    return f"{newest.label}: {newest.state}\n" if newest else "no restore\n"


def _step(state: str, instance: Instance, selection: Selection | None, options: Options) -> Outcome:
    if state == "staged":
        if selection is None:
            raise RestoreError("state: staged needs a repository", untouched="Nothing was changed")
        return stage_point(instance, selection, options)
    if state == "active":
        return activate(instance, selection, options)
    if state == "rolled_back":
        return roll_back(instance, options)
    return commit(instance, options)
