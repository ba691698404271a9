# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Make a backup: who may write, what is due, and the order in which it becomes real."""

from __future__ import annotations

import contextlib
from dataclasses import replace

from .._errors import RepositoryError, ServerError
from .._files import locked
from .._repository.catalog import read_entry
from .._repository.identity import agree, require_name
from .._repository.layout import (
    MANIFEST,
    backup_path,
    backups_path,
    is_label,
)
from .._repository.manifest import Manifest
from .._repository.store import Store
from .._server.instance import Instance
from .._times import in_words, now
from .request import BackupRequest, BackupResult
from .write import ENGINE, result_of, some_failed, write_backup

_REMAINS_LOOKED_AT = 32
_CLOCK_SKEW = 300.0
_SHRUNK = 0.5


def make_backup(instance: Instance, request: BackupRequest, *, check_mode: bool = False) -> BackupResult:
    """Back `instance` up as `request` says. Idempotent within `max_age`.

    Raises RedisBackupError; then no repository shows an incomplete backup, and the server is as it was.
    """
    facts = instance.require_running()
    name = instance.name
    if not facts.link_up:
        down = in_words(facts.number("master_link_down_since_seconds"))
        raise ServerError(
            f"{instance.title} is a replica whose link to its primary has been down for {down}: its data is that old",
            untouched="Nothing was changed",
            hint="Back up the primary, or another replica, or mend the link first",
        )
    require_name(name)
    asked = request
    request, absent = _usable_stores(request, check_mode)
    # Asked before anything is written: the place may be somebody else's.
    agree(list(request.stores), name, request.state, adopt=request.adopt, dry=True)
    if check_mode:
        if absent:
            raise some_failed(instance, "that would be made", absent, [])
        return _planned(name, request)
    busy = RepositoryError(
        f"another task is at work on {instance.title} on this host",
        untouched="Nothing was changed",
        hint="Wait until it has ended, then run again",
    )
    with contextlib.ExitStack() as held:
        held.enter_context(locked(request.state.lock_path(name), busy=busy))
        for store in request.stores:
            held.enter_context(store.lock(name))
        identity = agree(list(request.stores), name, request.state, adopt=request.adopt)
        actions = [action for store in request.stores for action in _clean(store, name)]
        young = _young_enough(name, request)
        if young is not None and not absent:
            return BackupResult(bool(actions), actions, result_of(young, [s.name for s in asked.stores]))
        _refuse_when_full(name, request)
        before, last = _newest_lines(name, request), newest_manifest(request.stores[0], name)
        result = write_backup(instance, facts, identity, request, actions)
        backup = result.backup or {}
        if absent:
            raise some_failed(instance, backup["label"], absent, backup["repositories"])
        result.diff = {"before": before, "after": _newest_lines(name, request)}
        if last is not None and backup["keys"] < (last.keys - last.expires) * _SHRUNK:
            result.warnings.append(
                f"the backup {backup['label']} of {instance.title} holds {backup['keys']} keys, {last.label} before it "
                f"{last.keys}: look whether the server has lost data"
            )
        return result


def _usable_stores(request: BackupRequest, check_mode: bool) -> tuple[BackupRequest, dict[str, RepositoryError]]:
    """The request with those stores only that can be written, and why the others cannot. Raises when none can."""
    absent: dict[str, RepositoryError] = {}
    for store in request.stores:
        try:
            store.prepare(dry=check_mode)
        except RepositoryError as error:
            absent[store.name] = error
    usable = tuple(store for store in request.stores if store.name not in absent)
    if not usable:
        raise next(iter(absent.values()))
    return replace(request, stores=usable), absent


def newest_manifest(store: Store, instance: str) -> Manifest | None:
    """The newest usable backup of this engine in one store: read from the newest label down, not the whole catalog."""
    for label in sorted((n for n in store.names(backups_path(instance)) if is_label(n)), reverse=True):
        if label.endswith(f"_{ENGINE}"):
            with contextlib.suppress(RepositoryError):
                return read_entry(store, instance, label)
    return None


def _young_enough(name: str, request: BackupRequest) -> Manifest | None:
    """The backup that makes a new one needless: no older than max_age, in every store."""
    if request.max_age is None:
        return None
    newest = [newest_manifest(store, name) for store in request.stores]
    oldest = None
    for manifest in newest:
        age = now() - manifest.snapshot_time if manifest is not None else None
        if manifest is None or age is None or not -_CLOCK_SKEW <= age <= request.max_age:
            return None  # dated in the future, it was made by a clock that was wrong
        if oldest is None or manifest.snapshot_time < oldest.snapshot_time:
            oldest = manifest
    return oldest


def _planned(name: str, request: BackupRequest) -> BackupResult:
    young = None
    with contextlib.suppress(RepositoryError):
        young = _young_enough(name, request)
    if young is not None:
        return BackupResult(False, [], result_of(young, [s.name for s in request.stores]))
    after = "".join(f"{store.name}: a new backup\n" for store in request.stores)
    diff = {"before": _newest_lines(name, request), "after": after}
    return BackupResult(True, [f"would back up {name} to {s.where()}" for s in request.stores], None, diff)


def _newest_lines(name: str, request: BackupRequest) -> str:
    """The newest backup of each store, a line each: the two sides of a diff."""
    lines = []
    for store in request.stores:
        newest = newest_manifest(store, name)
        lines.append(f"{store.name}: {newest.label}, {newest.keys} keys\n" if newest else f"{store.name}: no backup\n")
    return "".join(lines)


def _clean(store: Store, name: str) -> list[str]:
    """Remove what writers that died left of this instance. We hold its lock: nobody writes there now."""
    actions = []
    labels = [n for n in store.names(backups_path(name)) if is_label(n)]
    for label in labels[-_REMAINS_LOOKED_AT:]:
        if MANIFEST not in store.names(backup_path(name, label)):
            store.remove(backup_path(name, label))
            actions.append(f"removed the remains of the unfinished backup {label} from {store.where()}")
    return actions


def _refuse_when_full(name: str, request: BackupRequest) -> None:
    """A store with less room than the last backup took is refused before anything is written."""
    for store in request.stores:
        free = store.free_bytes()
        last = newest_manifest(store, name) if free is not None else None
        if last is not None and free is not None:
            needed = sum(f.stored_size for f in last.files)
            if free < needed:
                raise RepositoryError(
                    f"{store.where()} has {free} bytes left, the last backup of {name} took {needed}",
                    untouched="The server and the earlier backups are as they were",
                    hint="Free or add room there, or prune old backups",
                )
