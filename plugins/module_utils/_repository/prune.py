# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Retention carried out: what a policy lets go is removed, the manifest first, and the remains of dead writers.

Exports of keys are kept by the same rules, those of each name by themselves.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from .._errors import RedisBackupError, RepositoryError
from .._files import locked
from .._times import now
from .annotations import kept_until
from .archived import prune_archive
from .cache import CatalogCache
from .catalog import BACKUPS, EXPORTS, Kind, kind_of, list_backups, list_exports
from .entry import Entry
from .identity import HostState, require_name, stored_identity
from .layout import MANIFEST, folder_of
from .manifest import EXPORT, Manifest
from .remains import clean
from .retention import Candidate, Policy, decide, doubts_of
from .store import Store
from .suspects import SHRINK_RATIO, by_name, require_ratio, suspect_exports, suspects

REMAINS_AGE = 86400.0
"""Seconds for which the remains of an unfinished backup are left alone."""

_UNTOUCHED = "Nothing was removed from it"
_ENGINES = ("rdb", "aof")


@dataclass(frozen=True)
class PruneRequest:
    """What to prune: `policies` by the name of the store. `shrink_ratio` makes a backup suspect."""

    stores: Sequence[Store]
    instance: str
    policies: Mapping[str, Policy]
    state: HostState
    shrink_ratio: float = SHRINK_RATIO
    adopt: bool = False
    check_mode: bool = False


@dataclass
class Pruned:
    """What became of one repository. `kept` holds the reasons by label; `freed` counts bytes."""

    name: str
    kept: dict[str, list[str]] = field(default_factory=dict)
    removed: list[str] = field(default_factory=list)
    remains: list[str] = field(default_factory=list)
    epochs: list[str] = field(default_factory=list)
    blocked: str = ""
    freed: int = 0
    failed: str = ""
    notes: list[str] = field(default_factory=list)


@dataclass
class PruneResult:
    """What became of all repositories, and what was done in words."""

    instance: str
    repositories: list[Pruned]
    actions: list[str]

    @property
    def changed(self) -> bool:
        return any(each.removed or each.remains or each.epochs for each in self.repositories)

    @property
    def failed(self) -> dict[str, str]:
        return {each.name: each.failed for each in self.repositories if each.failed}

    @property
    def failure(self) -> str:
        """What to tell when a repository failed."""
        good = ", ".join(each.name for each in self.repositories if not each.failed)
        return RedisBackupError(
            f"{self.instance}: pruning failed in {', '.join(self.failed)}: {'; '.join(self.failed.values())}",
            untouched=f"What was not removed stays whole. Pruned: {good or 'none'}",
        ).paragraph()

    @property
    def warnings(self) -> list[str]:
        """What an operator should look at: nothing was pruned although a rule would let it, remains that stay."""
        blocked = [
            f"{each.name}: nothing was removed, {each.blocked}. Where that is as it should be, say so with "
            "redis_backup_acknowledge"
            for each in self.repositories
            if each.blocked
        ]
        return blocked + [note for each in self.repositories for note in each.notes]

    def as_result(self) -> dict[str, Any]:
        """The module's return values."""
        kept = [
            {"label": label, "repository": each.name, "reasons": reasons}
            for each in self.repositories
            for label, reasons in sorted(each.kept.items())
        ]
        before = [_line(each, label) for each in self.repositories for label in sorted([*each.kept, *each.removed])]
        before += [f"{one.name}: epoch {epoch} of the archive\n" for one in self.repositories for epoch in one.epochs]
        after = [_line(each, label) for each in self.repositories for label in sorted(each.kept)]
        return {
            "kept": kept,
            "removed": sorted({label for each in self.repositories for label in each.removed}),
            "freed_bytes": sum(each.freed for each in self.repositories),
            "repositories": [
                {
                    "name": each.name,
                    "kept": sorted(each.kept),
                    "removed": each.removed,
                    "remains": each.remains,
                    "epochs": each.epochs,
                    "blocked": each.blocked or None,
                    "freed_bytes": each.freed,
                    "failed": each.failed or None,
                }
                for each in self.repositories
            ],
            "diff": {"before": "".join(before), "after": "".join(after)},
        }


def _line(one: Pruned, label: str) -> str:
    """A line of a diff: a backup, and why it stays where it does."""
    return f"{one.name}: {', '.join([label, *one.kept.get(label, [])])}\n"


def prune(request: PruneRequest) -> PruneResult:
    """Remove what the policies let go. A repository that fails keeps what it has, and the others go on.

    Raises RedisBackupError when nothing may be done at all: policies without a rule, another task at work.
    """
    require_name(request.instance)
    require_ratio(request.shrink_ratio)
    empty = [name for name, policy in request.policies.items() if policy.empty]
    if empty:
        raise RedisBackupError(
            f"keep names no rule for {', '.join(empty)}: all backups would go",
            untouched="Nothing was removed",
            hint="Name at least one of last, hourly, daily, weekly, monthly, yearly and within",
        )
    actions: list[str] = []
    pruned = {store.name: Pruned(store.name) for store in request.stores}
    with contextlib.ExitStack() as held:
        if not request.check_mode:
            held.enter_context(locked(request.state.lock_path(request.instance), busy=_busy(request.instance)))
        ready: list[Store] = []
        for store in request.stores:
            with _failing(pruned[store.name]):
                _require_own(store, request)
                if not request.check_mode and store.names(request.instance):
                    word = held.enter_context(store.lock(request.instance))
                    actions += [f"{word} ({store.where()})"] if word else []
                ready.append(store)
        errors: dict[str, RepositoryError] = {}
        cache = CatalogCache(request.state.folder)
        entries = list_backups(ready, request.instance, cache, errors)
        exports = list_exports(ready, request.instance, cache, errors)
        for entry in (*entries, *exports):
            errors.update(entry.unread)  # a failure that is not known must not pass for a good backup
        doubtful = suspects(entries, request.shrink_ratio)
        doubts = doubts_of([_candidate(entry, entry.manifest, doubtful) for entry in entries if entry.manifest])
        for store in ready:
            one = pruned[store.name]
            if store.name in errors:
                one.failed = _words(errors[store.name])
                continue
            with _failing(one):
                for engine in _ENGINES:
                    decision = decide(
                        candidates_of(entries, store, engine, doubtful), request.policies[store.name], doubts
                    )
                    one.kept.update(decision.kept)
                    one.blocked = one.blocked or decision.blocked
                    _remove_backups(store, decision.removed, entries, request, one, actions)
                _keep_unusable(store, entries, one)
                _remove_remains(BACKUPS, store, entries, request, one, actions)
                _prune_archive(store, entries, request, one, actions)
                _prune_exports(store, exports, request, one, actions)
    return PruneResult(request.instance, list(pruned.values()), actions)


def _prune_archive(
    store: Store, entries: Sequence[Entry], request: PruneRequest, one: Pruned, actions: list[str]
) -> None:
    """Remove what the archive of the AOF holds of times before the oldest backup that stays."""
    if one.failed or one.blocked:
        return
    kept = (entry.manifests.get(store.name) for entry in entries if entry.label in one.kept)
    oldest = min((manifest.snapshot_time for manifest in kept if manifest is not None), default=None)
    removed, freed, stays = prune_archive(store, request.instance, oldest, check_mode=request.check_mode)
    one.epochs += removed
    one.freed += freed
    one.notes += stays
    verb = "would remove" if request.check_mode else "removed"
    actions += [f"{verb} epoch {epoch} of the archive from {store.where()}" for epoch in removed]


def _prune_exports(
    store: Store, exports: Sequence[Entry], request: PruneRequest, one: Pruned, actions: list[str]
) -> None:
    """Remove the exports of keys that no rule keeps. Each name has its own history, and its newest one stays."""
    doubtful = suspect_exports(exports, request.shrink_ratio)
    for named in by_name(exports).values():
        doubts = doubts_of([_candidate(entry, entry.manifest, doubtful) for entry in named if entry.manifest])
        candidates = with_newest_kept(candidates_of(named, store, EXPORT, doubtful))
        decision = decide(candidates, request.policies[store.name], doubts)
        one.kept.update(decision.kept)
        one.blocked = one.blocked or decision.blocked
        _remove_backups(store, decision.removed, named, request, one, actions)
    _keep_unusable(store, exports, one)
    _remove_remains(EXPORTS, store, exports, request, one, actions)


@contextlib.contextmanager
def _failing(one: Pruned) -> Iterator[None]:
    try:
        yield
    except RepositoryError as error:
        one.failed = one.failed or _words(error)


def _words(error: RepositoryError) -> str:
    """An error as a part of a sentence."""
    return f"{error.what} ({error.hint})" if error.hint else error.what


def _busy(instance: str) -> RepositoryError:
    return RepositoryError(
        f"another task is at work on {instance} on this host",
        untouched="Nothing was removed",
        hint="Wait until it has ended, then run again",
    )


def _require_own(store: Store, request: PruneRequest) -> None:
    """Raise RepositoryError where the repository keeps another server's backups under this name."""
    mine, found = request.state.read(request.instance), stored_identity(store, request.instance)
    if found and found != mine and not request.adopt:
        told = f"this host's is {mine}" if mine else "this host has none"
        raise RepositoryError(
            f"{store.where()} keeps backups of another server under the name {request.instance} "
            f"(its UUID is {found}, {told})",
            untouched=_UNTOUCHED,
            hint="Prune where the backups are made, or set adopt: true when these are really meant",
        )


def candidates_of(entries: Sequence[Entry], store: Store, engine: str, doubtful: Mapping[str, str]) -> list[Candidate]:
    """One repository's backups of an engine, or its exports, for the decision; not the copies that cannot be used.
    Pure."""
    there = ((entry, entry.manifests.get(store.name)) for entry in entries)
    return [_candidate(entry, copy, doubtful) for entry, copy in there if copy is not None and copy.engine == engine]


def with_newest_kept(candidates: Sequence[Candidate]) -> list[Candidate]:
    """The same, of which the newest stays whatever the rules say. Pure."""
    newest = max(candidates, key=lambda each: (each.order, each.time, each.label), default=None)
    return [replace(each, why_kept="the newest of its name") if each is newest else each for each in candidates]


def _candidate(entry: Entry, manifest: Manifest, doubtful: Mapping[str, str]) -> Candidate:
    return Candidate(
        label=entry.label,
        time=manifest.snapshot_time,
        order=manifest.serial,
        verified=_is_verified(entry, manifest),
        suspect=doubtful.get(entry.label, ""),
        keep_until=_pinned_until(manifest),
        accepted=bool(entry.acknowledged),
    )


def _pinned_until(manifest: Manifest) -> float:
    try:
        return kept_until(manifest.annotations)
    except ValueError:
        return math.inf  # a word that nobody understands was meant to keep


def _is_verified(entry: Entry, manifest: Manifest) -> bool:
    """Whether these very bytes were proven good, here or where a copy of them lies: by a load in a real server."""
    same = (name for name, other in entry.manifests.items() if other.seal == manifest.seal)
    return any(entry.proof in entry.standings[name].at for name in same)


def _remove_backups(
    store: Store,
    labels: Sequence[str],
    entries: Sequence[Entry],
    request: PruneRequest,
    one: Pruned,
    actions: list[str],
) -> None:
    """Remove what was decided, but for what the store has locked. What it refuses without a lock is a failure, told
    when all others are done."""
    sizes = {entry.label: entry.stored_bytes.get(store.name, 0) for entry in entries}
    manifests = {entry.label: entry.manifests[store.name] for entry in entries if store.name in entry.manifests}
    verb = "would remove" if request.check_mode else "removed"
    for label in labels:
        folder = folder_of(request.instance, label)
        names = [MANIFEST, *(file.name for file in manifests[label].files)] if label in manifests else [MANIFEST]
        locked_words = next(filter(None, (store.why_locked(f"{folder}/{name}") for name in names)), "")
        if locked_words:
            one.kept[label] = [locked_words]
            continue
        if not request.check_mode:
            try:
                store.remove(f"{folder}/{MANIFEST}")  # from then on it is none
            except RepositoryError as error:
                one.kept[label] = [f"it could not be removed: {error.what}"]
                one.failed = one.failed or _words(error)
                continue
            try:
                store.remove(folder)
            except RepositoryError as error:  # remains, which the next run removes
                one.notes.append(f"what is left of {label} in {store.where()} could not be removed yet: {error}")
        one.removed.append(label)
        one.freed += sizes[label]
        actions.append(f"{verb} {label} from {store.where()}")


def _keep_unusable(store: Store, entries: Sequence[Entry], one: Pruned) -> None:
    """Copies that cannot be used are for a human to look at."""
    for entry in entries:
        if store.name in entry.problems and not _is_unfinished(entry, store):
            one.kept[entry.label] = [f"cannot be used: {entry.problems[store.name]}"]


def _is_unfinished(entry: Entry, store: Store) -> bool:
    return entry.problems.get(store.name, "").startswith("incomplete")


def _remove_remains(
    kind: Kind, store: Store, entries: Sequence[Entry], request: PruneRequest, one: Pruned, actions: list[str]
) -> None:
    """Remove what writers that died left more than a day ago. We hold the lock: nobody writes there now."""
    root = kind.root(request.instance)
    unfinished = {entry.label for entry in entries if _is_unfinished(entry, store)}
    known = {entry.label for entry in entries if store.name in entry.stored_bytes}
    empty = {name for name in store.names(root) if kind.is_label(name)} - known  # folders without a file
    newest = dict.fromkeys(empty, 0.0)
    sizes: dict[str, int] = {}
    for file in store.files(root) if unfinished else []:
        label = file.path[len(root) + 1 :].partition("/")[0]
        newest[label] = max(newest.get(label, 0.0), file.modified)
        sizes[label] = sizes.get(label, 0) + file.size
    old = [label for label in sorted((unfinished | empty) & newest.keys()) if now() - newest[label] >= REMAINS_AGE]
    for label in old:
        done = [f"would remove the remains of the unfinished {kind_of(label).word} {label} from {store.where()}"]
        stays: list[str] = []
        if not request.check_mode:
            done, stays = clean(store, request.instance, [label])
        actions += done
        one.notes += stays
        if done:
            one.remains.append(label)
            one.freed += sizes.get(label, 0)
