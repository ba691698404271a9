# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Make a backup: who may write, what is due, and the order in which it becomes real."""

from __future__ import annotations

import contextlib
import time
from typing import Optional

from .._aof.pin import require_aof
from .._errors import RepositoryError, ServerError
from .._files import locked
from .._repository.annotations import check_annotations
from .._repository.catalog import read_usable
from .._repository.identity import HostState, agree, require_name
from .._repository.layout import backups_path, is_label
from .._repository.manifest import Manifest
from .._repository.remains import clean_newest
from .._repository.store import Store
from .._repository.suspects import SHRINK_RATIO
from .._server.instance import Instance
from .._times import CLOCK_SKEW, in_words, now
from .request import AOF, ENGINES, RDB, BackupRequest, BackupResult
from .standing import Standing
from .write import result_of, write_backup

_GIVE_WAY = 0.5  # seconds

Newest = dict[str, Optional[Manifest]]
"""The newest usable backup of each repository, by the repository's name."""


def make_backup(instance: Instance, request: BackupRequest, *, check_mode: bool = False) -> BackupResult:
    """Back `instance` up as `request` says. Idempotent within `max_age`.

    Raises RedisBackupError; then no repository shows an incomplete backup, and the server is as it was. A repository
    that fails fails alone, but for one that knows the name as another server's: then nothing is done at all.
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
    if request.engine == AOF:
        require_aof(instance)
    standing = Standing(request.stores, request.least, instance.title)
    for store in standing.each():
        with standing.trying(store):
            store.prepare(dry=check_mode)
    # Asked before anything is written: the place may be somebody else's.
    agree(standing.alive, name, request.state, adopt=request.adopt, dry=True, lose=standing.lose)
    standing.require_one()
    if check_mode:
        return _planned(name, request, standing)
    busy = RepositoryError(
        f"another task is at work on {instance.title} on this host",
        untouched="Nothing was changed",
        hint="Wait until it has ended, then run again",
    )
    with contextlib.ExitStack() as held:
        held.enter_context(locked(request.state.lock_path(name), busy=busy))
        actions: list[str] = []
        warnings: list[str] = []
        _lock_each(held, name, standing, actions)
        identity = agree(standing.alive, name, request.state, adopt=request.adopt, lose=standing.lose)
        newest: Newest = {}
        for store in standing.each():
            with standing.trying(store):
                done, stays = clean_newest(store, name)
                actions += done
                warnings += stays
                newest[store.name] = newest_manifest(store, name, request.engine)
        young = _settled(request, standing, newest)
        if young is None:
            for store in standing.each():
                with standing.trying(store):
                    _refuse_when_full(name, store, newest[store.name])
            young = _settled(request, standing, newest)
        if young is not None:
            kept = BackupResult(bool(actions), actions, result_of(young, standing.names), warnings=warnings)
            return standing.judged(kept, young.label, young=True)
        before = _lines(standing, newest)
        serial = _next_serial(name, request.state, {**newest, **_of_others(name, request, standing)}, warnings)
        result = write_backup(instance, facts, identity, serial, request, standing, actions)
        backup = result.backup or {}
        after = dict.fromkeys(standing.names, f"{backup['label']}, {backup['keys']} keys")
        result.diff = {"before": before, "after": _lines(standing, newest, after)}
        last = _last(newest)
        if last is not None and backup["keys"] < (last.keys - last.expires) * SHRINK_RATIO:
            warnings.append(
                f"the backup {backup['label']} of {instance.title} holds {backup['keys']} keys, {last.label} before it "
                f"{last.keys}: look whether the server has lost data"
            )
        result.warnings = warnings
        return standing.judged(result, backup["label"])


def _lock_each(held: contextlib.ExitStack, name: str, standing: Standing, actions: list[str]) -> None:
    """Take the locks of all repositories, in one order for all controllers.

    Whoever comes second somewhere gives way: the first one shall get the rest too, and not share it with us by chance.
    """
    for store in sorted(standing.alive, key=lambda store: store.where()):
        before = len(standing.failed)
        with standing.trying(store):
            word = held.enter_context(store.lock(name))
            actions += [f"{word} ({store.where()})"] if word else []
        if len(standing.failed) > before:
            time.sleep(_GIVE_WAY)
    standing.require_one()


def check_request(request: BackupRequest) -> None:
    """Refuse what can be refused before anything is asked or written. Raises RedisBackupError."""
    check_annotations(request.annotations)
    if not 1 <= request.least <= len(request.stores):
        raise RepositoryError(
            f"repositories_min is {request.least}, with {len(request.stores)} repositories",
            untouched="Nothing was changed",
            hint="Give a number from 1 to that of the repositories",
        )


def newest_manifest(store: Store, instance: str, engine: str = RDB) -> Manifest | None:
    """The newest usable backup of an engine in one store: read from the newest label down, not the whole catalog."""
    for label in sorted((n for n in store.names(backups_path(instance)) if is_label(n)), reverse=True):
        if label.endswith(f"_{engine}"):
            with contextlib.suppress(RepositoryError):
                return read_usable(store, instance, label)
    return None


def _settled(request: BackupRequest, standing: Standing, newest: Newest) -> Manifest | None:
    """Let those rest that are young enough for their tier; the backup that makes a new one needless, if there is one.

    Raises when only tiers that rest are left, since every repository that was due has failed: its tier goes without.
    """
    rested = _rested(request, standing, newest)
    young = _young_enough(request, standing, newest)
    if young is not None and standing.failed and len(rested) == len(standing.alive):
        raise standing.refusal(young.label, young=True)
    standing.rest(rested)
    return young


def _young_enough(request: BackupRequest, standing: Standing, newest: Newest) -> Manifest | None:
    """The backup that makes a new one needless: no older than max_age, in every store that could take one.

    Where one of those lacks it, all get a new one: so the repositories keep one step, and the server is read once.
    """
    oldest = None
    for name in standing.names:
        manifest = newest.get(name)
        limits = [limit for limit in (request.max_age, request.max_ages.get(name)) if limit is not None]
        if manifest is None or not limits or not _is_young(manifest, max(limits)):
            return None
        if oldest is None or manifest.snapshot_time < oldest.snapshot_time:
            oldest = manifest
    return oldest


def _rested(request: BackupRequest, standing: Standing, newest: Newest) -> dict[str, str]:
    """The repositories whose newest backup is young enough for their own tier, with its label."""
    found = {}
    for name in standing.names:
        manifest, limit = newest.get(name), request.max_ages.get(name)
        if manifest is not None and limit is not None and _is_young(manifest, limit):
            found[name] = manifest.label
    return found


def _is_young(manifest: Manifest, limit: float) -> bool:
    """Whether its data is at most so many seconds old; what is dated in the future was made by a wrong clock."""
    return -CLOCK_SKEW <= now() - manifest.snapshot_time <= limit


def _planned(name: str, request: BackupRequest, standing: Standing) -> BackupResult:
    newest: Newest = {}
    for store in standing.each():
        with standing.trying(store):
            newest[store.name] = newest_manifest(store, name, request.engine)
    young = _settled(request, standing, newest)
    if young is not None:
        return standing.judged(BackupResult(False, [], result_of(young, standing.names)), young.label, young=True)
    after = dict.fromkeys(standing.names, "a new backup")
    diff = {"before": _lines(standing, newest), "after": _lines(standing, newest, after)}
    plan = [f"would back up {name} to {store.where()}" for store in standing.alive]
    return standing.judged(BackupResult(True, plan, None, diff), "")


def _lines(standing: Standing, newest: Newest, new: dict[str, str] | None = None) -> str:
    """The newest backup of each store, a line each: one side of a diff."""
    lines = []
    for name in standing.asked:
        last = newest.get(name)
        told = f"{last.label}, {last.keys} keys" if last else "no backup"
        lines.append(f"{name}: {(new or {}).get(name, told)}\n")
    return "".join(lines)


def _last(newest: Newest) -> Manifest | None:
    """The newest backup of all repositories."""
    found = [manifest for manifest in newest.values() if manifest is not None]
    return max(found, key=lambda manifest: manifest.label, default=None)


def _of_others(name: str, request: BackupRequest, standing: Standing) -> Newest:
    """The newest backups of other engines, where this host does not remember the last serial."""
    found: Newest = {}
    for engine in ENGINES:
        if engine != request.engine and not request.state.serial(name):
            for store in standing.each():
                with standing.trying(store):
                    found[f"{store.name} {engine}"] = newest_manifest(store, name, engine)
    return found


def _next_serial(name: str, state: HostState, newest: Newest, warnings: list[str]) -> int:
    """A number above those of all backups before, remembered by the host: no clock can make it fall."""
    serial = 1 + max([state.serial(name), *(manifest.serial for manifest in newest.values() if manifest is not None)])
    try:
        state.write_serial(name, serial)
    except RepositoryError as error:  # a full disk of the host is no reason to make no backup
        warnings.append(f"the serial of this backup could not be remembered: {error}")
    return serial


def _refuse_when_full(name: str, store: Store, last: Manifest | None) -> None:
    """A store with less room than the last backup took is refused before anything is written to it."""
    free = store.free_bytes() if last is not None else None
    if last is not None and free is not None:
        needed = sum(f.stored_size for f in last.files)
        if free < needed:
            raise RepositoryError(
                f"{store.where()} has {free} bytes left, the last backup of {name} took {needed}",
                untouched="The server and the earlier backups are as they were",
                hint="Free or add room there, or prune old backups",
            )
