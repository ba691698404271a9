# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The end of a restore that went well."""

from __future__ import annotations

from .._errors import RepositoryError
from .._files import locked, remove_tree
from .._server.instance import Instance
from .closing import open_all_writes
from .ending import to_close
from .guards import require_data_dir, restore_running
from .journal import Journal, Workspace
from .request import Options, Outcome
from .results import result_of


def commit(instance: Instance, options: Options) -> Outcome:
    """Close the restore: writes are opened, what was staged is removed, the previous data stays. Idempotent."""
    directory = require_data_dir(instance)
    workspace = Workspace(directory)
    journal, answer = to_close(instance, workspace, options, lambda last: result_of(workspace, last))
    if journal is None:
        return answer or Outcome(False)
    with locked(workspace.lock_path, busy=restore_running(instance)):
        now = workspace.find(journal.id)
        if now is None or now.state != journal.state:  # another run came first
            raise restore_running(instance)
        # From here on writes may be open: a crash must never lead back to a rollback.
        workspace.save(journal, "committing")
        actions = open_all_writes(instance, journal)
        actions += continue_history(journal, options)
        workspace.save(journal, "committed")
        remove_tree(workspace.staged(journal))
        actions.append(f"closed the restore {journal.id}; the previous data stays in {workspace.previous(journal)}")
    return Outcome(True, actions, result_of(workspace, journal))


def continue_history(journal: Journal, options: Options) -> list[str]:
    """Let a host that lost its memory go on with its own history: its next backup is no stranger's."""
    try:
        if options.state is None or not journal.uuid or options.state.read(journal.instance):
            return []
        options.state.write(journal.instance, journal.uuid)
    except RepositoryError as error:
        return [f"this host could not be told whose history it continues, its next backup will ask: {error.what}"]
    return [f"this host continues the history of {journal.instance} ({journal.uuid})"]
