# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the archive of an instance stands, from the host's state and the live files. Nothing is changed, nobody asked."""

from __future__ import annotations

import os
from typing import Any

from .._errors import RedisBackupError
from .._server.paths import Paths
from .._times import now, to_iso
from .look import Files, layout_of, look_at
from .spool import spool_bytes
from .state import ArchiveHost, ArchiveState


def archive_status(host: ArchiveHost, instance: str, paths: Paths) -> dict[str, Any]:
    """The module's `archive` for an instance; all empty where nothing was archived yet."""
    state = host.read(instance)
    return told(state if state is not None else ArchiveState(instance), paths)


def told(state: ArchiveState, paths: Paths) -> dict[str, Any]:
    """A state as `archive`, with the lag as the live files are at this moment."""
    recoverable = state.covered_from is not None and state.covered_to is not None
    lag_bytes = _lag_bytes(state, paths)
    lag: float | None = None
    if state.covered_to is not None:
        lag = 0.0 if lag_bytes == 0 else round(max(now() - state.covered_to, 0.0), 3)
    gaps = [_gap(each["from"], each["to"], each["reason"]) for each in state.gaps]
    if state.broken is not None and state.broken["from"] is not None:
        gaps.append(_gap(state.broken["from"], None, state.broken["reason"]))
    return {
        "epoch": state.tracks[-1].epoch if state.tracks else state.left.epoch if state.left else None,
        "first_time": _iso(state.covered_from) if recoverable else None,
        "last_time": _iso(state.covered_to),
        "lag_seconds": lag,
        "lag_bytes": lag_bytes,
        "base_bytes_left": state.base.size - state.base.shipped if state.base else 0,
        "gaps": gaps,
        "spool_bytes": _room(paths),
        "last_pass": _iso(state.last_pass),
        "last_success": _iso(state.last_success),
        "last_error": state.last_error or None,
        "objects": state.objects,
        "bytes": state.plain_bytes,
        "stored_bytes": state.stored_bytes,
        "repository": state.repository or None,
    }


def _lag_bytes(state: ArchiveState, paths: Paths) -> int:
    """Bytes of increments that are not in the repository: of the files as they are now, else as they were seen."""
    left = {track.key: track.left for track in state.tracks}
    shipped = {track.key: track.shipped for track in state.tracks}
    done = (state.left.name, state.left.inode) if state.left else None
    if paths.dir:
        try:
            with Files() as files:
                for seen in look_at(paths, layout_of(paths, ()), files).increments:
                    if seen.key != done:
                        left[seen.key] = max(seen.size - shipped.get(seen.key, 0), 0)
        except (RedisBackupError, OSError):
            pass
    return sum(left.values())


def _room(paths: Paths) -> int:
    try:
        return spool_bytes(paths.dir) if paths.dir and os.path.isdir(paths.dir) else 0
    except (RedisBackupError, OSError):
        return 0


def _gap(start: float | None, end: float | None, reason: str) -> dict[str, Any]:
    return {"from": _iso(start), "to": _iso(end), "reason": reason}


def _iso(seconds: float | None) -> str | None:
    return None if seconds is None else to_iso(seconds)
