# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From a module's options to keys that are back: chosen ones, out of a backup that is not restored."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .._errors import RedisBackupError
from .._restore.step import selection_of
from .._server.connection import Login
from .._server.instance import Place
from .._verify.find_host import HostFinder
from .._verify.loaded import Bounds
from .backup_source import backup_source
from .from_backup import FromBackup
from .importing import Imported, ImportRequest, import_keys
from .receiver import find_receiver

_MB = 1024 * 1024
_LATEST = "latest"
_UNTOUCHED = "Nothing was changed"


def from_backup_of(params: Mapping[str, Any], login: Login, place: Place) -> FromBackup:
    """The backup that the options name. Raises RedisBackupError."""
    if not params["patterns"]:
        raise RedisBackupError(
            "patterns says which keys are taken out of a backup, and is missing",
            untouched=_UNTOUCHED,
            hint='Name them, such as user:*; to take all keys, say "*"; to replace all data, restore the backup',
        )
    selection = selection_of({**params, "label": params["label"] or _LATEST}, place.name)
    if selection is None:
        raise RedisBackupError("a backup needs a repository", untouched=_UNTOUCHED, hint="Name it with repository")
    limit = params["memory_limit_mb"]
    return FromBackup(
        selection=selection,
        host=HostFinder(login, place),
        identities=tuple(params["identities"] or ()),
        bounds=Bounds(params["work_dir"] or "", None if limit is None else limit * _MB, params["wait_timeout"]),
    )


def import_from_backup(
    wanted: FromBackup, request: ImportRequest, *, check_mode: bool = False
) -> tuple[Imported, dict[str, Any]]:
    """Take the chosen keys out of a backup; what came of it, and what they were taken from.

    Raises RedisBackupError; what is wrong with the backup is found before any key is written.
    """
    receiver = find_receiver(request.login)
    receiver.close()
    with backup_source(wanted, request.rules, request.patterns, receiver.target) as source:
        done = import_keys(source, request, check_mode=check_mode)
        done.actions = [*source.told, *done.actions]
        return done, source.origin
