# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whose turn it is: what is due in which repository, the right to write it, and the order of the steps.

Backups and exports of keys come into repositories by this one way.
"""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass
from typing import Any, Callable, Optional

from .._errors import RepositoryError
from .._files import locked
from .._repository.annotations import check_annotations
from .._repository.catalog import BACKUPS, Kind, read_usable
from .._repository.identity import HostState, agree, require_name
from .._repository.layout import folder_of, make_label
from .._repository.manifest import Manifest
from .._repository.remains import clean_newest
from .._repository.store import Store
from .._repository.suspects import SHRINK_RATIO
from .._times import CLOCK_SKEW, now
from .request import ENGINES, RDB, BackupResult, WriteRequest
from .standing import Standing

_GIVE_WAY = 0.5  # seconds

Newest = dict[str, Optional[Manifest]]
"""The newest usable backup (or export of one name) of each repository, by the repository's name."""


@dataclass(frozen=True)
class Subject:
    """What is to be written of the instance `name`: backups of the engine `what`, or exports of that name.

    `write(identity, serial, standing, actions)` writes one to the repositories that are still in; `result_of` makes the
    module's return value of a manifest and the names of repositories. `doing` tells it in check mode. `fits` says
    whether one that is there may stand for a new one, if it is young enough; those of `siblings`, instances that hold
    the same data, may as well.
    """

    name: str
    title: str
    kind: Kind
    what: str
    doing: str
    write: Callable[[str, int, Standing, list[str]], BackupResult]
    result_of: Callable[[Manifest, list[str]], dict[str, Any]]
    fits: Callable[[Manifest], bool] = lambda _manifest: True
    siblings: tuple[str, ...] = ()

    @property
    def export(self) -> str:
        """The name of the exports; empty for backups."""
        return "" if self.what in ENGINES else self.what


def in_turn(subject: Subject, request: WriteRequest, *, check_mode: bool = False) -> BackupResult:
    """Write what is asked for, when it is due and nobody else is at work. Idempotent within `max_age`.

    Raises RedisBackupError; then no repository shows anything incomplete, and the server is as it was. A repository
    that fails fails alone, but for one that knows the name as another server's: then nothing is done at all.
    """
    name, noun = subject.name, subject.kind.word
    require_name(name)
    standing = Standing(request.stores, request.least, subject.title, noun)
    for store in standing.each():
        with standing.trying(store):
            store.prepare(dry=check_mode)
    # Asked before anything is written: the place may be somebody else's.
    agree(standing.alive, name, request.state, adopt=request.adopt, dry=True, lose=standing.lose)
    standing.require_one()
    if check_mode:
        return _planned(subject, request, standing)
    busy = RepositoryError(
        f"another task is at work on {subject.title} on this host",
        untouched="Nothing was changed",
        hint="Wait until it has ended, then run again",
    )
    with contextlib.ExitStack() as held:
        held.enter_context(locked(request.state.lock_path(name), busy=busy))
        actions: list[str] = []
        warnings: list[str] = []
        lock_each(held, name, standing, actions)
        identity = agree(standing.alive, name, request.state, adopt=request.adopt, lose=standing.lose)
        newest: Newest = {}
        for store in standing.each():
            with standing.trying(store):
                done, stays = clean_newest(store, name, subject.kind)
                actions += done
                warnings += stays
                newest[store.name] = newest_manifest(store, name, subject.what, subject.kind)
        fitting = _with_siblings(subject, request, standing, _fitting(subject, newest))
        young = settled(request, standing, fitting)
        if young is None:
            for store in standing.each():
                with standing.trying(store):
                    refuse_when_full(name, store, newest[store.name])
            young = settled(request, standing, fitting)
        if young is not None:
            result = subject.result_of(young, standing.names)
            kept = BackupResult(bool(actions), actions, result, warnings=warnings)
            return standing.judged(kept, young.label, young=True)
        before = newest_lines(standing, newest, noun)
        others = {**newest, **_of_others(subject, request, standing)}
        serial = next_serial(name, request.state, others, warnings, subject.export)
        done_now = subject.write(identity, serial, standing, actions)
        made = done_now.backup or {}
        after = dict.fromkeys(standing.names, f"{made['label']}, {made['keys']} keys")
        done_now.diff = {"before": before, "after": newest_lines(standing, newest, noun, after)}
        last = last_of(newest)
        if last is not None and made["keys"] < (last.keys - last.expires) * SHRINK_RATIO:
            warnings.append(
                f"the {noun} {made['label']} of {subject.title} holds {made['keys']} keys, {last.label} before it "
                f"{last.keys}: look whether the server has lost data"
            )
        done_now.warnings = [*done_now.warnings, *warnings]
        return standing.judged(done_now, made["label"])


def _planned(subject: Subject, request: WriteRequest, standing: Standing) -> BackupResult:
    newest: Newest = {}
    for store in standing.each():
        with standing.trying(store):
            newest[store.name] = newest_manifest(store, subject.name, subject.what, subject.kind)
    fitting = _with_siblings(subject, request, standing, _fitting(subject, newest))
    young = settled(request, standing, fitting)
    if young is not None:
        kept = BackupResult(False, [], subject.result_of(young, standing.names))
        return standing.judged(kept, young.label, young=True)
    noun = subject.kind.word
    after = dict.fromkeys(standing.names, f"a new {noun}")
    diff = {"before": newest_lines(standing, newest, noun), "after": newest_lines(standing, newest, noun, after)}
    plan = [f"would {subject.doing} to {store.where()}" for store in standing.alive]
    return standing.judged(BackupResult(True, plan, None, diff), "")


def _fitting(subject: Subject, newest: Newest) -> Newest:
    return {name: found if found is not None and subject.fits(found) else None for name, found in newest.items()}


def _with_siblings(subject: Subject, request: WriteRequest, standing: Standing, fitting: Newest) -> Newest:
    """The newest ones of siblings where these are newer. They are looked for only where age matters."""
    if request.max_age is None and not request.max_ages:
        return fitting
    found = dict(fitting)
    for store in standing.alive:
        for sibling in subject.siblings:
            with standing.trying(store):
                other, own = newest_manifest(store, sibling, subject.what, subject.kind), found.get(store.name)
                newer = other is not None and (own is None or own.snapshot_time < other.snapshot_time)
                if other is not None and newer and subject.fits(other):
                    found[store.name] = other
    return found


def _of_others(subject: Subject, request: WriteRequest, standing: Standing) -> Newest:
    """The newest backups of other engines, where this host does not remember the last serial."""
    found: Newest = {}
    if subject.export or request.state.serial(subject.name):
        return found
    for engine in ENGINES:
        if engine != subject.what:
            for store in standing.each():
                with standing.trying(store):
                    found[f"{store.name} {engine}"] = newest_manifest(store, subject.name, engine)
    return found


def check_request(request: WriteRequest) -> None:
    """Refuse what can be refused before anything is asked or written. Raises RedisBackupError."""
    check_annotations(request.annotations)
    if not 1 <= request.least <= len(request.stores):
        raise RepositoryError(
            f"repositories_min is {request.least}, with {len(request.stores)} repositories",
            untouched="Nothing was changed",
            hint="Give a number from 1 to that of the repositories",
        )


def newest_manifest(store: Store, instance: str, what: str = RDB, kind: Kind = BACKUPS) -> Manifest | None:
    """The newest usable backup of an engine, or export of a name, in one store: read from the newest label down, not
    the whole catalog."""
    for label in sorted((n for n in store.names(kind.root(instance)) if kind.is_label(n)), reverse=True):
        if label.partition("_")[2] == what:
            with contextlib.suppress(RepositoryError):
                return read_usable(store, instance, label)
    return None


def lock_each(held: contextlib.ExitStack, name: str, standing: Standing, actions: list[str]) -> None:
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


def free_label(standing: Standing, name: str, what: str) -> str:
    """A label that no store has. Labels have seconds: a second backup within one waits for the next."""
    while True:
        label = make_label(now(), what)
        taken = False
        for store in standing.each():
            with standing.trying(store):
                taken = bool(store.names(folder_of(name, label))) or taken
        if not taken:
            return label
        time.sleep(0.1)


def settled(request: WriteRequest, standing: Standing, newest: Newest) -> Manifest | None:
    """Let those rest that are young enough for their tier; the backup that makes a new one needless, if there is one.

    Raises when only tiers that rest are left, since every repository that was due has failed: its tier goes without.
    """
    rested = _rested(request, standing, newest)
    young = young_enough(request, standing, newest)
    if young is not None and standing.failed and len(rested) == len(standing.alive):
        raise standing.refusal(young.label, young=True)
    standing.rest(rested)
    return young


def young_enough(request: WriteRequest, standing: Standing, newest: Newest) -> Manifest | None:
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


def _rested(request: WriteRequest, standing: Standing, newest: Newest) -> dict[str, str]:
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


def next_serial(name: str, state: HostState, newest: Newest, warnings: list[str], export: str = "") -> int:
    """A number above those of all before, remembered by the host: no clock can make it fall."""
    known = [manifest.serial for manifest in newest.values() if manifest is not None]
    serial = 1 + max([state.serial(name, export), *known])
    try:
        state.write_serial(name, serial, export)
    except RepositoryError as error:  # a full disk of the host is no reason to make no backup
        warnings.append(f"the serial of this backup could not be remembered: {error}")
    return serial


def refuse_when_full(name: str, store: Store, last: Manifest | None) -> None:
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


def newest_lines(standing: Standing, newest: Newest, noun: str, new: dict[str, str] | None = None) -> str:
    """The newest one of each store, a line each: one side of a diff."""
    lines = []
    for name in standing.asked:
        last = newest.get(name)
        told = f"{last.label}, {last.keys} keys" if last else f"no {noun}"
        lines.append(f"{name}: {(new or {}).get(name, told)}\n")
    return "".join(lines)


def last_of(newest: Newest) -> Manifest | None:
    """The newest backup of all repositories."""
    found = [manifest for manifest in newest.values() if manifest is not None]
    return max(found, key=lambda manifest: manifest.label, default=None)
