# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One pass of the archive: look, hold on to what is there, and ship at most one object."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .._errors import RedisBackupError, RepositoryError
from .._repository.archived import listed
from .._repository.identity import HostState, require_name
from .._repository.layout import archive_path
from .._repository.pipeline import Packing
from .._repository.posix import PosixStore
from .._repository.store import Store
from .._server.paths import Paths
from .._times import now
from .follow import follow, let_go, lost_sight, note_server
from .look import Files, Look
from .owner import acting_as_owner
from .rebuild import proves, rebuilt
from .see import foresee, see
from .ship import SEGMENT_BYTES, committed_before, count, hash_of, next_object, ship, still_wanted, taken
from .spool import Pin, Spool
from .state import ArchiveHost, ArchiveState, Pending
from .status import told
from .waiting import drop_waiting, hold_waiting, waiting_names
from .whose import agree_archive, still_known, tell_backups

SPOOL_BYTES = 1024**3
"""So much room may be held in the data's file system for files that the server has removed."""

_LEAST_FREE = 0.05
"""The share of that file system that stays free: below it nothing is held."""


@dataclass
class ArchiveRequest:
    """What to archive where. `identity` is the UUID that backups on this host use, None where it may not be read.

    `agreed` is set by the first pass that asked the repository whose archive it keeps; a long-lived caller asks once.
    """

    instance: str
    paths: Paths
    layout: str
    store: Store
    packing: Packing
    host: ArchiveHost
    backups: HostState
    identity: str | None = ""
    server: Mapping[str, str] = field(default_factory=dict)
    adopt: bool = False
    spool_bytes: int = SPOOL_BYTES
    segment_bytes: int = SEGMENT_BYTES
    agreed: bool = False


@dataclass
class ArchivePass:
    """What a pass did. `more`: something is left that the next one can ship at once."""

    changed: bool
    more: bool
    actions: list[str]
    archive: dict[str, Any]
    warnings: list[str]
    object: dict[str, Any] | None = None


def archive_pass(request: ArchiveRequest) -> ArchivePass:
    """Make one pass.

    What there is is looked at and held before the repository is asked for anything: nothing is lost while it is away.
    Raises RedisBackupError; the state then says why, and the next pass goes on where this one was.
    """
    require_name(request.instance)
    request.host.prepare(request.instance)
    with request.host.lock(request.instance), Files() as files:
        spool = Spool(request.paths.dir, request.instance)
        with acting_as_owner(request.paths.dir):
            pins = spool.pins(files)
        state = request.host.read(request.instance) or ArchiveState(request.instance, unsure=True)
        try:
            if state.unsure:
                state = _first(request, pins, state)
            return _pass(request, state, spool, pins, files)
        except (RedisBackupError, OSError) as error:
            state.last_error = " ".join(str(error).split())
            state.last_pass = now()
            with contextlib.suppress(RedisBackupError):
                request.host.write(state)
            raise


def archive_held(request: ArchiveRequest) -> list[str]:
    """Look, and hold on to what is there; the repository is asked for nothing. Returns what happened in words.

    For the time between passes when they fail: what the server removes meanwhile must be held all the same. Where it
    is not known yet what the repository keeps, nothing is done. Raises RedisBackupError.
    """
    with request.host.lock(request.instance), Files() as files:
        state = request.host.read(request.instance)
        if state is None or state.unsure:
            return []
        spool = Spool(request.paths.dir, request.instance)
        with acting_as_owner(request.paths.dir):
            pins = spool.pins(files)
        warnings: list[str] = []
        actions = _observe(request, state, spool, pins, files, warnings)
        request.host.write(state)
        return [*actions, *(f"warning: {warning}" for warning in warnings)]


def hold_beside(request: ArchiveRequest) -> None:
    """Hold on to what there is while a pass hangs in the repository, from another thread. Raises RedisBackupError."""
    least = _LEAST_FREE
    hold_waiting(request.paths, request.layout, request.instance, bound=request.spool_bytes, least_free=least)


def note_off(host: ArchiveHost, instance: str) -> None:
    """Remember that the server was seen with its AOF off: what it writes meanwhile stands nowhere."""
    with contextlib.suppress(RedisBackupError):  # what the caller has to tell is that the AOF is off
        state = host.read(instance)
        if state is not None and not state.off:
            with host.lock(instance):
                state = host.read(instance)
                if state is not None:
                    state.off = True
                    host.write(state)


def archive_planned(request: ArchiveRequest) -> ArchivePass:
    """What a pass would ship, as far as the host can tell: nothing is held, written or asked of the repository."""
    require_name(request.instance)
    state = request.host.read(request.instance) or ArchiveState(request.instance)
    with Files() as files:
        with acting_as_owner(request.paths.dir):
            words = foresee(state, request.paths, request.layout, files, request.server)
        actions = [f"would begin: {word}" for word in words]
        pending = next_object(state, encrypted=bool(request.packing.recipients), limit=request.segment_bytes)
    if pending is not None:
        actions.append(f"would store {pending.path} ({pending.length} bytes) in {request.store.where()}")
    return ArchivePass(bool(actions), pending is not None, actions, told(state, request.paths), [])


def _prepare(request: ArchiveRequest) -> None:
    """Make sure that the repository is there. The agent need not write anywhere in it but in the archive's folder."""
    try:
        request.store.prepare()
    except RepositoryError:
        store = request.store
        folder = os.path.join(store.root, archive_path(request.instance)) if isinstance(store, PosixStore) else ""
        if not folder or not os.access(folder, os.W_OK | os.X_OK, effective_ids=True):
            raise


def _first(request: ArchiveRequest, pins: list[Pin], unsure: ArchiveState) -> ArchiveState:
    """A state where there is none: nothing was archived yet, or what is known of it was lost."""
    _prepare(request)
    objects = listed(request.store, request.instance)
    state = rebuilt(request.instance, pins, objects)
    _ask(request, unsure, proven=proves(pins, objects))
    state.uuid = unsure.uuid
    state.repository = request.store.where()
    return state


def _ask(request: ArchiveRequest, state: ArchiveState, *, proven: bool = False) -> bool:
    """Ask the repository whose archive it keeps; whether it keeps one. The UUID is in the state then."""

    def remember(identity: str) -> None:
        if state.uuid != identity:
            state.uuid = identity
            request.host.write(state)
        if request.identity is not None:
            tell_backups(request.backups, request.instance, identity)

    mine = state.uuid or request.identity
    _identity, known = agree_archive(
        request.store, request.instance, mine, remember, adopt=request.adopt, proven=proven
    )
    request.agreed = True
    return known


def _agree(request: ArchiveRequest, state: ArchiveState) -> bool:
    """Ask the repository whose archive it keeps. False when it holds nothing of what the state tells."""
    _prepare(request)
    known = _ask(request, state)
    return (known or not state.objects) and state.repository == request.store.where()


def _pass(
    request: ArchiveRequest, state: ArchiveState, spool: Spool, pins: list[Pin], files: Files
) -> ArchivePass:
    warnings: list[str] = []
    actions = _observe(request, state, spool, pins, files, warnings)
    if actions or not request.agreed:
        request.host.write(state)
    if request.agreed and next_object(state, encrypted=True) is not None:
        still_known(request.store, request.instance)
    if not request.agreed and not _agree(request, state):
        fresh = ArchiveState(request.instance, state.uuid, request.store.where(), gaps=state.gaps)
        state.__dict__.update(fresh.__dict__)
        actions = ["the repository holds no archive yet", *_observe(request, state, spool, [], files, warnings)]
    pending = _pending(request, state, files, actions)
    if pending is not None and pending is not state.pending and taken(state, pending, request.store):
        words = "the repository holds more than this host knows of, by another that writes to it or from its future"
        actions.append(words)
        lost_sight(state, words)
        actions += _observe(request, state, spool, [], files, warnings)
        pending = _pending(request, state, files, actions)
    done: dict[str, Any] | None = None
    state.pending = pending
    if pending is not None:
        pending.sha256 = hash_of(state, pending, files)
        request.host.write(state)
        _prepare(request)
        shipped = ship(state, pending, request.store, request.packing, files, request.server)
        done = {"path": shipped.path, "size": shipped.length, "stored_size": shipped.stored}
        actions.append(f"stored {shipped.path} ({shipped.length} bytes) in {request.store.where()}")
        with acting_as_owner(request.paths.dir):
            spool.hold(_wanted(state), files, _notes(state))
    state.last_error = ""
    state.last_pass = state.last_success = now()
    request.host.write(state)
    more = next_object(state, encrypted=True) is not None
    return ArchivePass(bool(actions), more, actions, told(state, request.paths), warnings, done)


def _observe(
    request: ArchiveRequest, state: ArchiveState, spool: Spool, pins: list[Pin], files: Files, warnings: list[str]
) -> list[str]:
    """Look at the AOF, follow it, and hold on to its files within the bound. Returns what happened in words."""
    with acting_as_owner(request.paths.dir):
        waiting = waiting_names(spool)
        look, held = see(state, request.paths, request.layout, pins, files, request.server)
    last_epoch = state.last_epoch
    actions = follow(state, look, held)
    note_server(state, request.server, begun=state.last_epoch != last_epoch)
    with acting_as_owner(request.paths.dir):
        why = spool.hold(_wanted(state), files, _notes(state))
        if why:
            warnings.append(f"bytes that the server removes before they are shipped will be lost: {why}")
        elif waiting:
            drop_waiting(spool, waiting)
        actions += _bound(request, state, look, spool, files)
    return actions


def _pending(request: ArchiveRequest, state: ArchiveState, files: Files, actions: list[str]) -> Pending | None:
    """The object to ship: the one that was under way, unless it was stored before or cannot be read; else the next."""
    sizes = {key: os.fstat(fd).st_size for key, fd in files.fds.items()}
    pending = state.pending
    if pending is not None and still_wanted(state, pending, sizes):
        stored = committed_before(request.store, pending)
        if stored is None:
            return pending
        if pending.sha256 in ("", hash_of(state, pending, files)):
            count(state, pending, stored, files)
            actions.append(f"{pending.path} was stored before")
    state.pending = None
    return next_object(state, encrypted=bool(request.packing.recipients), limit=request.segment_bytes)


def _wanted(state: ArchiveState) -> dict[tuple[str, str], tuple[str, int]]:
    """The links to hold: by epoch and name, the file's key."""
    wanted = {(track.epoch, track.name): track.key for track in state.tracks}
    if state.base is not None:
        wanted[(state.base.epoch, state.base.name)] = state.base.key
    return wanted


def _notes(state: ArchiveState) -> dict[str, dict[str, Any]]:
    """What each epoch goes on from, and since when it gives data: should the state be lost, nothing else tells it."""
    return {track.epoch: {"after": track.after, "time": track.time} for track in state.tracks}


def _bound(request: ArchiveRequest, state: ArchiveState, look: Look, spool: Spool, files: Files) -> list[str]:
    """Let go of what the server has removed, where it takes more room than it may."""
    held = sum(pin.room for pin in spool.pins() if pin.alone)
    if not held:
        return []
    disk = os.statvfs(request.paths.dir)
    crowded = disk.f_bavail < disk.f_blocks * _LEAST_FREE
    if held <= request.spool_bytes and not crowded:
        return []
    reason = "the disk was almost full" if crowded else f"the spool reached its bound of {request.spool_bytes} bytes"
    if not let_go(state, look, f"{reason} before all was archived"):
        return []
    spool.hold(_wanted(state), files, _notes(state))
    return [f"let go of {held} bytes in {spool.root}: {reason}"]
