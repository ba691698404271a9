# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Make a backup: what the server must be for one, and which snapshot it is made of."""

from __future__ import annotations

from .._aof.pin import require_aof
from .._errors import ServerError
from .._repository.catalog import BACKUPS
from .._server.instance import Instance
from .._times import in_words
from .request import AOF, BackupRequest, BackupResult
from .standing import Standing
from .turn import Subject, in_turn
from .write import result_of, write_backup


def make_backup(instance: Instance, request: BackupRequest, *, check_mode: bool = False) -> BackupResult:
    """Back `instance` up as `request` says, as `in_turn` tells. Raises what that raises."""
    facts = instance.require_running()
    if not facts.link_up:
        down = in_words(facts.number("master_link_down_since_seconds"))
        raise ServerError(
            f"{instance.title} is a replica whose link to its primary has been down for {down}: its data is that old",
            untouched="Nothing was changed",
            hint="Back up the primary, or another replica, or mend the link first",
        )
    if request.engine == AOF:
        require_aof(instance)

    def write(identity: str, serial: int, standing: Standing, actions: list[str]) -> BackupResult:
        return write_backup(instance, facts, identity, serial, request, standing, actions)

    subject = Subject(
        name=instance.name,
        title=instance.title,
        kind=BACKUPS,
        what=request.engine,
        doing=f"back up {instance.name}",
        write=write,
        result_of=result_of,
        fits=lambda found: request.part is None or request.part.is_of(found.set),
        siblings=request.siblings,
    )
    return in_turn(subject, request, check_mode=check_mode)
