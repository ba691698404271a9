# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which restore a step that ends one means, and what may not be ended. Whatever the data is brought in by."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .._errors import RestoreError
from .._server.instance import Instance
from .guards import require_own
from .journal import Journal, Workspace
from .request import Options, Outcome
from .results import result_of

_UNTOUCHED = "Nothing was changed"


def to_undo(instance: Instance, workspace: Workspace, options: Options) -> tuple[Journal | None, Outcome | None]:
    """The open restore to roll back, if there is one; or the answer where nothing is to be done. Raises RestoreError.

    A restore that was proven good is undone only by its name: its writes may be open already.
    """
    journal = workspace.current()
    if not workspace.journals():
        return None, Outcome(False)
    if journal is not None and not _is_meant(workspace, journal, options):
        open_one = f"the older restore {journal.id} of {journal.label}"
        note = f"{open_one} is still open; name it with restore_id to undo it too"
        return None, Outcome(False, [note], result_of(workspace, workspace.journals()[0]))
    if journal is not None:
        require_own(instance, journal)
        if journal.state == "committing" and not options.restore_id:
            raise RestoreError(
                f"the restore {journal.id} of {instance.title} was proven good and its writes may be open already",
                untouched=_UNTOUCHED,
                hint="Finish it with state: committed; to undo it all the same, name it with restore_id",
            )
    if not options.check_mode:
        return journal, None
    if journal is not None:
        return None, Outcome(True, [f"would roll the restore {journal.id} of {journal.label} back"])
    return None, Outcome(False, [], result_of(workspace, workspace.journals()[0]))


def _is_meant(workspace: Workspace, journal: Journal, options: Options) -> bool:
    """Whether the open restore is the one to roll back: asked twice, we must not go one restore further back."""
    if options.restore_id:
        return journal.id == options.restore_id
    newest = next(j for j in workspace.journals() if j.state != "staging")
    return newest.id == journal.id


def to_close(
    instance: Instance,
    workspace: Workspace,
    options: Options,
    shown: Callable[[Journal], dict[str, Any]],
    kind: str = "",
    how: str = "",
) -> tuple[Journal | None, Outcome | None]:
    """The active restore to close, or the answer where nothing is to be done. Raises RestoreError.

    `shown` makes the result of one; `kind` and `how` tell in words of what kind it has to be, and how it is begun.
    """
    journal = workspace.current()
    if journal is None:
        last = next(iter(workspace.journals()), None)
        if last is not None and last.state == "committed":
            return None, Outcome(False, [], shown(last))
        if options.check_mode:
            return None, Outcome(True, ["would close the restore"])
        raise RestoreError(
            f"{instance.title} has no {kind}restore to commit",
            untouched=_UNTOUCHED,
            hint=f"Run state: staged and active first{how}",
        )
    if options.check_mode:
        return None, Outcome(True, [f"would close the restore {journal.id} of {journal.label}"])
    require_own(instance, journal)
    if journal.state not in ("active", "committing"):
        raise RestoreError(
            f"the restore {journal.id} of {instance.title} is {journal.state}, not active",
            untouched=_UNTOUCHED,
            hint="Activate it and look at the data before it is committed",
        )
    return journal, None
