# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Retention carried out: what a policy lets go is removed, the manifest first, and the remains of dead writers.

All instances that belong together are looked at; only what carries the instance's own name is removed. Exports of keys
are kept by the same rules, those of each name by themselves.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from .._errors import RedisBackupError, RepositoryError
from .._files import locked
from .._times import now
from .archived import prune_archive
from .cache import CatalogCache
from .catalog import BACKUPS, EXPORTS, Kind, kind_of, list_exports
from .entry import Entry
from .identity import HostState, require_name, stored_identity
from .layout import MANIFEST, folder_of
from .manifest import EXPORT
from .prune_view import View, candidate_of, held_of, is_unfinished, look, oldest_kept, pieces_of
from .remains import clean
from .retention import Candidate, Policy, decide, doubts_of
from .store import Store
from .suspects import SHRINK_RATIO, by_name, require_ratio, suspect_exports
from .together import Together, decide_together

REMAINS_AGE = 86400.0
"""Seconds for which the remains of an unfinished backup are left alone."""

_UNTOUCHED = "Nothing was removed from it"


@dataclass(frozen=True)
class PruneRequest:
    """What to prune: `policies` by the name of the store. `shrink_ratio` makes a backup suspect.

    `shards` are the instances that belong together: lists of those that hold the same data.
    """

    stores: Sequence[Store]
    instance: str
    policies: Mapping[str, Policy]
    state: HostState
    shrink_ratio: float = SHRINK_RATIO
    adopt: bool = False
    check_mode: bool = False
    shards: Sequence[Sequence[str]] = ()


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
    for name in (request.instance, *(name for names in request.shards for name in names)):
        require_name(name)
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
        view = look(ready, request.instance, request.shards, request.shrink_ratio, cache, errors)
        exports = list_exports(ready, request.instance, cache, errors)
        for entry in exports:
            errors.update(entry.unread)
        for store in ready:
            one = pruned[store.name]
            if store.name in errors:
                one.failed = _words(errors[store.name])
                continue
            with _failing(one):
                _prune_backups(store, view, request, one, actions)
                _prune_exports(store, exports, request, one, actions)
    return PruneResult(request.instance, list(pruned.values()), actions)


def _prune_backups(store: Store, view: View, request: PruneRequest, one: Pruned, actions: list[str]) -> None:
    """Remove the instance's backups that no rule keeps, and what else they leave."""
    decision = decide_together(
        pieces_of(view, store.name),
        view.shards,
        request.policies[store.name],
        view.doubts,
        blocked=view.blocked,
        held=held_of(view, store.name),
    )
    own = request.instance
    kept = {label: reasons for (name, label), reasons in decision.kept.items() if name == own}
    one.kept.update(kept)
    one.blocked = decision.blocked if [decision.blocked] in kept.values() else ""
    others = {
        label: _paths_of_set(store, view, decision, decision.whole[own, label])
        for name, label in decision.removed
        if name == own and (name, label) in decision.whole
    }
    removed = [label for name, label in decision.removed if name == own]
    _remove_backups(store, removed, view.own, request, one, actions, others)
    _keep_unusable(store, view.own, one)
    _remove_remains(BACKUPS, store, view.own, request, one, actions)
    if not (one.failed or decision.blocked):
        stays = {*decision.kept, *((own, label) for label in one.kept)} - decision.last
        _prune_archive(store, oldest_kept(view, store.name, stays, decision.whole), request, one, actions)


def _paths_of_set(store: Store, view: View, decision: Together, name: str) -> list[str]:
    """The files of all backups of a set."""
    return [
        path
        for entries in view.entries.values()
        for entry in entries
        if decision.whole.get((entry.instance, entry.label)) == name
        for path in _paths(store, entry)
    ]


def _paths(store: Store, entry: Entry) -> list[str]:
    """The files of a backup, its manifest first."""
    manifest = entry.manifests.get(store.name)
    names = [MANIFEST, *(file.name for file in manifest.files)] if manifest is not None else [MANIFEST]
    return [f"{folder_of(entry.instance, entry.label)}/{name}" for name in names]


def _prune_archive(store: Store, oldest: float | None, request: PruneRequest, one: Pruned, actions: list[str]) -> None:
    """Remove what the archive of the AOF holds of times before the oldest backup of the shard that stays."""
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
        doubts = doubts_of(
            [candidate_of(entry, entry.manifest, doubtful.get(entry.label, "")) for entry in named if entry.manifest]
        )
        candidates = with_newest_kept(candidates_of(named, store, EXPORT, doubtful))
        decision = decide(candidates, request.policies[store.name], doubts)
        one.kept.update(decision.kept)
        one.blocked = one.blocked or decision.blocked
        _remove_backups(store, decision.removed, named, request, one, actions, {})
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
    """What one repository has of an engine, for the decision; not the copies that cannot be used. Pure."""
    there = ((entry, entry.manifests.get(store.name)) for entry in entries)
    return [
        candidate_of(entry, copy, doubtful.get(entry.label, ""))
        for entry, copy in there
        if copy is not None and copy.engine == engine
    ]


def with_newest_kept(candidates: Sequence[Candidate]) -> list[Candidate]:
    """The same, of which the newest stays whatever the rules say. Pure."""
    newest = max(candidates, key=lambda each: (each.order, each.time, each.label), default=None)
    return [replace(each, why_kept="the newest of its name") if each is newest else each for each in candidates]


def _remove_backups(
    store: Store,
    labels: Sequence[str],
    entries: Sequence[Entry],
    request: PruneRequest,
    one: Pruned,
    actions: list[str],
    others: Mapping[str, Sequence[str]],
) -> None:
    """Remove what was decided, but for what the store has locked. What it refuses without a lock is a failure, told
    when all others are done.

    `others` are the files of the set that one is part of, by label: where one of them is locked, all stay.
    """
    known = {entry.label: entry for entry in entries}
    verb = "would remove" if request.check_mode else "removed"
    for label in labels:
        folder = folder_of(request.instance, label)
        paths = dict.fromkeys([*_paths(store, known[label]), *others.get(label, ())])
        locked_words = next(filter(None, map(store.why_locked, paths)), "")
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
        one.freed += known[label].stored_bytes.get(store.name, 0)
        actions.append(f"{verb} {label} from {store.where()}")


def _keep_unusable(store: Store, entries: Sequence[Entry], one: Pruned) -> None:
    """Copies that cannot be used are for a human to look at."""
    for entry in entries:
        if store.name in entry.problems and not is_unfinished(entry, store.name):
            one.kept[entry.label] = [f"cannot be used: {entry.problems[store.name]}"]


def _remove_remains(
    kind: Kind, store: Store, entries: Sequence[Entry], request: PruneRequest, one: Pruned, actions: list[str]
) -> None:
    """Remove what writers that died left more than a day ago. We hold the lock: nobody writes there now."""
    root = kind.root(request.instance)
    unfinished = {entry.label for entry in entries if is_unfinished(entry, store.name)}
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
