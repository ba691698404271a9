# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One object of the archive: chosen, packed, stored, and counted exactly once whatever dies in between."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .._errors import NotFoundError, RepositoryError, ServerError
from .._repository.layout import ArchiveName, archived_path
from .._repository.pipeline import Packing, quietly_abort, store_chunks
from .._repository.store import Store
from .._times import now
from .follow import covered, shipped_base
from .frame import After, Segment
from .look import Files, bytes_of
from .state import TAIL_BYTES, ArchiveState, Pending, Track, tail_hash

SEGMENT_BYTES = 8 * 1024 * 1024
"""So many bytes of the AOF are stored as one object at most: memory and the work of one pass are bounded."""

_TOLD_GAPS = 20


@dataclass
class Shipped:
    """What came of one object."""

    path: str
    length: int
    stored: int


class _Hash:
    """A tap that hashes what passes."""

    def __init__(self) -> None:
        self.digest = hashlib.sha256()

    def write(self, data: memoryview) -> None:
        self.digest.update(data)


def next_object(state: ArchiveState, *, encrypted: bool, limit: int = SEGMENT_BYTES) -> Pending | None:
    """What is to be shipped next; None when all is there. Pure.

    The oldest bytes of increments go first. Where a base waits as well, they take turns: neither a large base nor many
    writes may keep the other from arriving.
    """
    track = next((each for each in state.tracks if each.due), None)
    if state.base is not None and (track is None or state.turn == "base"):
        base = state.base
        length = min(base.size - base.shipped, limit)
        last = base.shipped + length == base.size
        name = ArchiveName(base.epoch, base.name, base.shipped, last, encrypted)
        path = archived_path(state.instance, name)
        return Pending(path, base.epoch, base.name, "base", base.shipped, length, last)
    if track is None:
        return None
    path = archived_path(state.instance, ArchiveName(track.epoch, track.name, track.shipped, False, encrypted))
    return Pending(path, track.epoch, track.name, track.kind, track.shipped, min(track.left, limit))


def still_wanted(state: ArchiveState, pending: Pending, sizes: Mapping[tuple[str, int], int]) -> bool:
    """Whether the file of an object that was under way can still be read that far. Pure."""
    if pending.kind == "base":
        base = state.base
        return base is not None and (base.epoch, base.name, base.shipped) == _place(pending)
    track = _track(state, pending)
    return (
        track is not None
        and track.shipped == pending.offset
        and sizes.get(track.key, 0) >= pending.offset + pending.length
    )


def _place(pending: Pending) -> tuple[str, str, int]:
    return pending.epoch, pending.name, pending.offset


def _track(state: ArchiveState, pending: Pending) -> Track | None:
    return next((each for each in state.tracks if (each.epoch, each.name) == (pending.epoch, pending.name)), None)


def committed_before(store: Store, pending: Pending) -> str | None:
    """The SHA-256 of an object that was under way when its writer died; None when it is not there."""
    folder, _slash, name = pending.path.rpartition("/")
    if name not in store.names(folder):
        return None
    digest = hashlib.sha256()
    with store.open(pending.path) as stream:
        while True:
            data = stream.read(1024 * 1024)
            if not data:
                return digest.hexdigest()
            digest.update(data)


def taken(state: ArchiveState, pending: Pending, store: Store) -> bool:
    """Whether an object stands already where one is to be stored that this host never began to store."""
    track = None if pending.kind == "base" else _track(state, pending)
    if track is not None and track.again:
        return False
    try:
        store.size(pending.path)
    except NotFoundError:
        return False
    return True


def hash_of(state: ArchiveState, pending: Pending, files: Files) -> str:
    """The SHA-256 of the bytes of an object as they stand in the file now."""
    found = _Hash()
    for chunk in bytes_of(_descriptor(state, pending, files), pending.offset, pending.offset + pending.length):
        found.write(chunk)
    return found.digest.hexdigest()


def ship(
    state: ArchiveState, pending: Pending, store: Store, packing: Packing, files: Files, server: Mapping[str, str]
) -> Shipped:
    """Store one object, its hash known, and count it.

    Raises RedisBackupError; then nothing is stored, and nothing counted.
    """
    fd = _descriptor(state, pending, files)
    end = pending.offset + pending.length
    sha256 = pending.sha256
    segment = _segment(state, pending, sha256, server)
    second = _Hash()
    sink = store.create(pending.path)
    try:
        stored, _lost = store_chunks(
            bytes_of(fd, pending.offset, end), packing, {store.name: sink}, taps=[second], prefix=segment.frame()
        )
        if second.digest.hexdigest() != sha256:
            raise ServerError(
                f"{pending.name} changed below {end} bytes while it was read", untouched="Nothing was archived of it"
            )
        sink.commit()
    except BaseException:
        quietly_abort([sink])
        raise
    count(state, pending, stored.sha256, files)
    state.stored_bytes += stored.stored_size
    return Shipped(pending.path, pending.length, stored.stored_size)


def count(state: ArchiveState, pending: Pending, stored_sha256: str, files: Files) -> None:
    """Take an object as shipped."""
    fd = _descriptor(state, pending, files)
    end = pending.offset + pending.length
    state.previous = stored_sha256
    state.pending = None
    state.objects += 1
    state.plain_bytes += pending.length
    if pending.kind == "base":
        if state.base is not None:
            state.base.shipped = end
            if pending.last:
                shipped_base(state)
        state.turn = ""
    else:
        track = _track(state, pending)
        if track is not None:
            track.ship(end)
            track.tail = tail_of(fd, end)
        state.turn = "base"
    state.covered_to = covered(state)


def tail_of(fd: int, end: int) -> str:
    """The hash of the bytes before `end`."""
    start = max(end - TAIL_BYTES, 0)
    return tail_hash(os.pread(fd, end - start, start))


def _descriptor(state: ArchiveState, pending: Pending, files: Files) -> int:
    track = _track(state, pending)
    key = state.base.key if pending.kind == "base" and state.base is not None else track.key if track else None
    if key is None or key not in files.fds:
        raise RepositoryError(f"{pending.name} cannot be read any more", untouched="Nothing was archived of it")
    return files.fds[key]


def _segment(state: ArchiveState, pending: Pending, sha256: str, server: Mapping[str, str]) -> Segment:
    end = pending.offset + pending.length
    gaps = tuple(state.gaps[-_TOLD_GAPS:])
    track = None if pending.kind == "base" else _track(state, pending)
    base = state.base if pending.kind == "base" else None
    clocks: Sequence[Sequence[float]] = track.clocks if track else ()
    within = [clock for clock in clocks if clock[0] <= end]
    beyond = [clock for clock in clocks if clock[0] > end][:1]  # the first that bounds the last of these bytes
    return Segment(
        instance=state.instance,
        uuid=state.uuid,
        epoch=pending.epoch,
        file=pending.name,
        kind=pending.kind,
        seq=track.seq if track else base.seq if base else 0,
        offset=pending.offset,
        length=pending.length,
        sha256=sha256,
        written=now(),
        previous=state.previous,
        total=base.size if base else None,
        lower=track.lower if track else None,
        clocks=tuple((int(size), before, after) for size, before, after in (*within, *beyond)),
        time=track.time if track else base.time if base else None,
        after=After(**track.after) if track and track.after else None,
        gaps=gaps,
        server={name: value for name, value in server.items() if name != "offset"},  # which tells of no file
    )
