# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the archive is built anew from when the host's state is lost: the links in the data directory, and the listing.

A link's folder tells the epoch of its file, the listing how far that file was shipped. How long the last object of a
file is cannot be seen without an age identity: it is stored again, longer, under its own name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from .._repository.archived import Listed
from .._repository.layout import epoch_key, epoch_time, is_epoch
from .._times import from_iso
from .spool import Pin
from .state import ArchiveState, Track

_SEQ = re.compile(r"\.(\d+)\.incr\.aof$")
_BASE = re.compile(r"\.(\d+)\.base\.(rdb|aof)$")


def proves(pins: Iterable[Pin], objects: Iterable[Listed]) -> bool:
    """Whether the links in the data directory are of the archive in the repository. Pure."""
    epochs = {name.epoch for name, _object in objects}
    return any(pin.epoch in epochs for pin in pins)


def rebuilt(instance: str, pins: Sequence[Pin], objects: Sequence[Listed]) -> ArchiveState:
    """The state as far as it can be known. Pure."""
    state = ArchiveState(instance)
    offsets: dict[tuple[str, str], int] = {}
    whole: set[tuple[str, str]] = set()
    for name, _object in objects:
        place = (name.epoch, name.file)
        offsets[place] = max(offsets.get(place, 0), name.offset)
        if name.last:
            whole.add(place)
    for pin in (each for each in pins if is_epoch(each.epoch)):
        place = (pin.epoch, pin.name)
        seq = _SEQ.search(pin.name)
        base = _BASE.search(pin.name)
        if not base:
            kind = "incr" if seq else "single"
            number = int(seq[1]) if seq else 1
            track = Track(pin.epoch, pin.name, kind, number, pin.inode, offsets.get(place, 0), pin.size)
            track.again, track.after, track.time = place in offsets, pin.after, pin.time
            if kind == "single" and track.time is None:
                track.time = from_iso(epoch_time(pin.epoch)) + 1.0  # names tell the second
            state.tracks.append(track)
    state.tracks.sort(key=lambda track: epoch_key(track.epoch))
    for earlier, later in zip(state.tracks, state.tracks[1:]):
        if later.seq == earlier.seq + 1 and later.after is None and (later.epoch, later.name) not in offsets:
            later.after = {"epoch": earlier.epoch, "file": earlier.name, "size": earlier.size, "proven": False}
    known = sorted((place for place in whole if _BASE.search(place[1])), key=lambda place: epoch_key(place[0]))
    if state.tracks and known:
        state.based = known[-1][0]
        state.base_key = [known[-1][1], 0]
        state.covered_from = from_iso(epoch_time(state.based))
    for track in state.tracks[:1]:
        state.covered_from = track.time if track.time is not None else state.covered_from
    last_epoch = max((name.epoch for name, _object in objects), key=epoch_key, default="")
    newest = max((each.modified for _name, each in objects), default=None)
    if newest is not None and not any((track.epoch, track.name) in offsets for track in state.tracks):
        return _broken(instance, newest, last_epoch)
    state.last_epoch = last_epoch
    return state


def _broken(instance: str, newest: float, last_epoch: str) -> ArchiveState:
    """A chain of its own, with a gap since the newest object."""
    state = ArchiveState(instance, last_epoch=last_epoch)
    state.broken = {"from": newest, "reason": "the host's state and its links were lost"}
    return state
