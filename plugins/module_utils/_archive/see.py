# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a state is brought up to: a look at the AOF, and what is known of the files that can still be read."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace

from .._server.paths import Paths
from .follow import Held, apart, follow, newest_number
from .look import Files, Look, look_at
from .ship import tail_of
from .spool import Pin, Spool
from .state import ArchiveState
from .waiting import take_waiting


def see(
    state: ArchiveState, paths: Paths, layout: str, pins: Sequence[Pin], files: Files, server: Mapping[str, str]
) -> tuple[Look, Held]:
    """Look at the AOF. Its files are opened into `files`, where those of the links are already. Raises ServerError."""
    sizes = {pin.key: pin.size for pin in pins}
    with Files() as looked:
        look = look_at(paths, layout, looked, newest_number(state))
        for key in list(looked.fds):
            files.add(key, looked.fds.pop(key))
    waited = take_waiting(Spool(paths.dir, state.instance), look, newest_number(state), files)
    if waited:
        look = replace(look, past=tuple(sorted((*look.past, *waited), key=lambda seen: seen.seq)))
    for seen in (*look.past, *look.increments, *((look.base,) if look.base else ())):
        sizes[seen.key] = seen.size
    return look, Held(sizes, _changed(state, files), apart(state, look, server))


def foresee(
    state: ArchiveState, paths: Paths, layout: str, files: Files, server: Mapping[str, str] | None = None
) -> list[str]:
    """Bring a state up to the AOF as the next pass would; nothing is held. Returns what would happen in words."""
    pins = Spool(paths.dir, state.instance).pins(files)
    look, held = see(state, paths, layout, pins, files, server or {})
    return follow(state, look, held)


def _changed(state: ArchiveState, files: Files) -> list[tuple[str, int]]:
    """The files that do not hold any more what was shipped of them."""
    return [
        track.key
        for track in state.tracks
        if track.key in files.fds and track.tail and _is_changed(files.fds[track.key], track.shipped, track.tail)
    ]


def _is_changed(fd: int, shipped: int, tail: str) -> bool:
    return os.fstat(fd).st_size < shipped or tail_of(fd, shipped) != tail
