# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the archive of an instance stands, from the host's state and the live files. Nothing is changed, nobody asked."""

from __future__ import annotations

import copy
import os
from typing import Any

from .._errors import RedisBackupError
from .._server.paths import Paths
from .._times import now, to_iso
from .look import Files, layout_of
from .owner import acting_as_owner
from .see import foresee
from .spool import spool_bytes
from .state import ArchiveHost, ArchiveState


def archive_status(host: ArchiveHost, instance: str, paths: Paths) -> dict[str, Any]:
    """The module's `archive` for an instance; all empty where nothing was archived yet."""
    state = host.read(instance)
    return told(state if state is not None else ArchiveState(instance), paths)


def told(state: ArchiveState, paths: Paths) -> dict[str, Any]:
    """A state as `archive`, with the lag and the gaps as the live files are at this moment."""
    recoverable = state.covered_from is not None and state.covered_to is not None
    ahead = _ahead(state, paths)
    lag_bytes = sum(track.left for track in ahead.tracks)
    lag: float | None = None
    if state.covered_to is not None:
        lag = 0.0 if lag_bytes == 0 else round(max(now() - state.covered_to, 0.0), 3)
    gaps = [_gap(each["from"], each["to"], each["reason"]) for each in ahead.gaps]
    if ahead.broken is not None and ahead.broken["from"] is not None:
        gaps.append(_gap(ahead.broken["from"], None, ahead.broken["reason"]))
    return {
        "epoch": state.tracks[-1].epoch if state.tracks else state.left.epoch if state.left else None,
        "first_time": _iso(state.covered_from) if recoverable else None,
        "last_time": _iso(state.covered_to),
        "lag_seconds": lag,
        "lag_bytes": lag_bytes,
        "base_bytes_left": ahead.base.size - ahead.base.shipped if ahead.base else 0,
        "gaps": gaps,
        "spool_bytes": _room(paths, state.instance),
        "last_pass": _iso(state.last_pass),
        "last_success": _iso(state.last_success),
        "last_error": state.last_error or None,
        "objects": state.objects,
        "bytes": state.plain_bytes,
        "stored_bytes": state.stored_bytes,
        "repository": state.repository or None,
    }


def _ahead(state: ArchiveState, paths: Paths) -> ArchiveState:
    """The state as the next pass would find it; as it is where the AOF cannot be looked at."""
    ahead = copy.deepcopy(state)
    if paths.dir:
        try:
            with Files() as files, acting_as_owner(paths.dir):
                foresee(ahead, paths, layout_of(paths, ()), files)
        except (RedisBackupError, OSError):
            return state
    return ahead


def _room(paths: Paths, instance: str) -> int:
    try:
        return spool_bytes(paths.dir, instance) if paths.dir and os.path.isdir(paths.dir) else 0
    except (RedisBackupError, OSError):
        return 0


def _gap(start: float | None, end: float | None, reason: str) -> dict[str, Any]:
    return {"from": _iso(start), "to": _iso(end), "reason": reason}


def _iso(seconds: float | None) -> str | None:
    return None if seconds is None else to_iso(seconds)
