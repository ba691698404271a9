# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a running server holds restored data that is not proven yet."""

from __future__ import annotations

import os

from .._errors import RestoreError
from .._restore.journal import SWAPPED, Journal, Workspace
from .._server.instance import Instance
from .seat import seat_path


def unproven(instance: Instance, state_dir: str) -> Journal | None:
    """The live restore that is played and not proven. It is known on the host from which it was restored."""
    workspace = Workspace(seat_path(state_dir, instance.name))
    if not os.access(workspace.root, os.R_OK | os.X_OK):
        return None
    journal = workspace.current()
    ours = journal is not None and journal.instance == instance.name and journal.state in SWAPPED
    return journal if ours else None


def require_proven(instance: Instance, state_dir: str) -> None:
    """Raise RestoreError while a live restore is played and not proven: a backup of it would pass for a good one."""
    journal = unproven(instance, state_dir)
    if journal is not None:
        raise RestoreError(
            f"the live restore {journal.id} of {instance.title} is {journal.state}: its data is not proven yet",
            untouched="No backup was made; the earlier ones are as they were",
            hint="Commit it or roll it back first, by running the restore again",
        )
