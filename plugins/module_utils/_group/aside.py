# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The data of a stopped replica moved aside before it copies its primary, and back when that is undone.

It goes where a restore keeps previous data, with a journal of the same kind, which no restore takes for its own.
"""

from __future__ import annotations

import os

from .._errors import GroupError
from .._files import PRIVATE_DIR, fsync_dir, locked, make_dirs
from .._restore.data_dir import data_entries
from .._restore.guards import require_renamable, restore_running
from .._restore.journal import OPEN_STATES, Journal, Workspace, new_id
from .._server.instance import Instance
from .._server.occupied import require_stopped
from .._times import now, to_iso

LABEL = "replica"
KEPT = "set_aside"
PUT_BACK = "put_back"


def set_aside(instance: Instance, wait: float, *, check_mode: bool = False) -> list[str]:
    """Move what a stopped replica holds on disk aside. Idempotent. Raises GroupError, RestoreError."""
    directory = instance.paths.dir
    if not directory or not os.path.isdir(directory):
        return []
    names = data_entries(os.listdir(directory), instance.paths.data_names())
    workspace = Workspace(directory)
    if not names:
        return []
    if check_mode:
        return [f"would move {', '.join(names)} of {instance.title} aside"]
    require_renamable(directory, names)
    require_stopped(instance.server.login, directory, instance.title, wait)
    workspace.prepare()
    with locked(workspace.lock_path, busy=restore_running(instance)):
        open_now = workspace.current()
        if open_now is not None and open_now.state in OPEN_STATES[1:]:
            raise GroupError(
                f"{instance.title} has an open restore, {open_now.id}, which is {open_now.state}",
                untouched="Nothing was changed",
                hint="Commit it or roll it back first, by running the restore again",
            )
        journal = _standing(workspace)
        if journal is None:
            moment = to_iso(now())
            journal = Journal(
                id=new_id(),
                state=KEPT,
                instance=instance.name,
                source_instance=instance.name,
                repository="",
                label=LABEL,
                snapshot_time=moment,
                created=moment,
                target_time=moment,
                data_names=instance.paths.data_names(),
                aside=names,
            )
            workspace.save(journal)
        previous = workspace.previous(journal)
        make_dirs(previous, PRIVATE_DIR)
        # What a run that was cut short has moved already is kept; what came since is worth nothing, and goes nowhere.
        moved = [name for name in names if not os.path.lexists(os.path.join(previous, name))]
        for name in moved:
            os.rename(os.path.join(directory, name), os.path.join(previous, name))
        fsync_dir(directory)
        fsync_dir(previous)
    return [f"moved {', '.join(moved)} of {instance.title} aside into {previous}"] if moved else []


def put_back(instance: Instance, wait: float) -> list[str]:
    """Put back what the newest `set_aside` moved, if that was not closed. The replica must be stopped."""
    directory = instance.paths.dir
    workspace = Workspace(directory)
    journal = _standing(workspace) if directory and os.path.isdir(workspace.root) else None
    if journal is None:
        return []
    require_stopped(instance.server.login, directory, instance.title, wait)
    with locked(workspace.lock_path, busy=restore_running(instance)):
        previous, discarded = workspace.previous(journal), workspace.discarded(journal)
        back = [name for name in journal.aside if os.path.lexists(os.path.join(previous, name))]
        make_dirs(discarded, PRIVATE_DIR)
        for name in back:
            live = os.path.join(directory, name)
            if os.path.lexists(live):
                os.rename(live, os.path.join(discarded, name))
            os.rename(os.path.join(previous, name), live)
        fsync_dir(directory)
        workspace.save(journal, PUT_BACK)
    return [f"put {', '.join(back)} of {instance.title} back"] if back else []


def close(instance: Instance) -> str:
    """The replica follows: what was moved aside stays for good. The folder, empty when nothing was."""
    directory = instance.paths.dir
    workspace = Workspace(directory)
    journal = _standing(workspace) if directory and os.path.isdir(workspace.root) else None
    if journal is None:
        return ""
    workspace.save(journal, "superseded")
    return workspace.previous(journal)


def _standing(workspace: Workspace) -> Journal | None:
    return next((each for each in workspace.journals() if each.label == LABEL and each.state == KEPT), None)
