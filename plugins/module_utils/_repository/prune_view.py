# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What retention has to look at before it decides: the backups of all instances that belong together. Reading only."""

from __future__ import annotations

import calendar
import math
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from .._errors import RepositoryError
from .annotations import kept_until
from .cache import CatalogCache
from .catalog import list_backups, list_instances
from .entry import Entry
from .manifest import Manifest
from .retention import DAY, Candidate, Doubts, doubts_of
from .store import Store
from .suspects import suspects_together
from .together import Key, Part, Piece, in_order, whole_sets

_AT_ONCE = 8


@dataclass
class View:
    """The backups under all names that belong together, and what is wrong with them.

    `shards` are the names that hold the same data each, that of the instance among them. `unseen` tells, by store, why
    not all of it could be searched for the parts of sets. `blocked` says why nothing may go.
    """

    instance: str
    shards: list[list[str]]
    entries: dict[str, list[Entry]] = field(default_factory=dict)
    doubtful: dict[Key, str] = field(default_factory=dict)
    doubts: dict[str, Doubts] = field(default_factory=dict)
    unseen: dict[str, str] = field(default_factory=dict)
    blocked: str = ""

    @property
    def own(self) -> list[Entry]:
        """Those of the instance itself."""
        return self.entries[self.instance]

    @property
    def shard(self) -> list[str]:
        """All names that hold the data of the instance."""
        return next(names for names in self.shards if self.instance in names)


def look(
    stores: Sequence[Store],
    instance: str,
    shards: Sequence[Sequence[str]],
    shrink_ratio: float,
    cache: CatalogCache,
    errors: dict[str, RepositoryError],
) -> View:
    """Look at the backups of an instance, and of those that belong together with it.

    A store that cannot be listed, or whose records cannot be read, is noted in `errors` by its name.
    """
    given = [list(dict.fromkeys(names)) for names in shards if names]
    view = View(instance, given if any(instance in names for names in given) else [*given, [instance]])
    with ThreadPoolExecutor(_AT_ONCE) as workers:

        def listed(names: Iterable[str], noted: dict[str, RepositoryError]) -> dict[str, list[Entry]]:
            names = list(names)
            return dict(zip(names, workers.map(lambda name: list_backups(stores, name, cache, noted), names)))

        view.entries = listed(dict.fromkeys([instance, *(name for names in view.shards for name in names)]), errors)
        if any(_lacking(view, store.name) for store in stores):
            noted: dict[str, RepositoryError] = {}
            wanted = {str(entry.manifest.set["id"]) for entry in _readable(view.entries.values()) if entry.manifest}
            others = [name for name in _names(stores, noted) if name not in view.entries]
            for name, entries in listed(others, noted).items():
                if wanted & {str(entry.manifest.set["id"]) for entry in _readable([entries]) if entry.manifest}:
                    view.entries[name] = entries
            view.unseen = {name: error.what for name, error in noted.items()}
    for entries in view.entries.values():
        for entry in entries:
            errors.update(entry.unread)  # a failure that is not known must not pass for a good backup
    _judge(view, shrink_ratio)
    return view


def _names(stores: Sequence[Store], noted: dict[str, RepositoryError]) -> list[str]:
    """All instances of all stores that can be listed."""
    found: dict[str, None] = {}
    for store in stores:
        try:
            found.update(dict.fromkeys(list_instances([store])))
        except RepositoryError as error:
            noted[store.name] = error
    return list(found)


def _readable(catalogs: Iterable[Iterable[Entry]]) -> list[Entry]:
    """The parts of sets."""
    return [entry for entries in catalogs for entry in entries if entry.manifest and entry.manifest.set]


def _lacking(view: View, store: str) -> list[Piece]:
    """What belongs to sets that are not whole in a store, as far as is seen."""
    pieces = pieces_of(view, store)
    whole = whole_sets(pieces)
    return [piece for piece in pieces if piece.part is not None and piece.part.set not in whole]


def _judge(view: View, shrink_ratio: float) -> None:
    """Find what is suspect, and which clocks were wrong."""
    strange = {name: doubts_of(_candidates(entries, {})).strange for name, entries in view.entries.items()}
    pieces = [
        _piece(entry, entry.manifest, {}) for entries in view.entries.values() for entry in entries if entry.manifest
    ]
    rank = in_order(pieces, {(name, label) for name, labels in strange.items() for label in labels})
    listed = {name for names in view.shards for name in names}
    for names in [*view.shards, *([name] for name in view.entries if name not in listed)]:
        usable = [entry for name in names for entry in view.entries[name] if entry.manifest]
        usable.sort(key=lambda entry: rank[(entry.instance, entry.label)])
        view.doubtful.update(suspects_together(usable, shrink_ratio))
    for name, entries in view.entries.items():
        doubts = doubts_of(_candidates(entries, view.doubtful))
        view.doubts[name] = doubts
        if doubts.blocked and not view.blocked:  # those of the instance itself come first
            view.blocked = doubts.blocked if name == view.instance else f"of {name}, {doubts.blocked}"


def _candidates(entries: Iterable[Entry], doubtful: Mapping[Key, str]) -> list[Candidate]:
    return [
        candidate_of(entry, entry.manifest, doubtful.get((entry.instance, entry.label), ""))
        for entry in entries
        if entry.manifest
    ]


def pieces_of(view: View, store: str) -> list[Piece]:
    """What one store has of all of them, without the copies that cannot be used. Pure."""
    return [
        _piece(entry, entry.manifests[store], view.doubtful)
        for entries in view.entries.values()
        for entry in entries
        if store in entry.manifests
    ]


def held_of(view: View, store: str) -> dict[Key, str]:
    """The parts of sets that are not whole here, and perhaps only because a part cannot be read. Pure."""
    lacking = _lacking(view, store)
    if store in view.unseen:
        return {piece.key: f"its set lacks a part here, and {view.unseen[store]}" for piece in lacking}
    found: dict[Key, str] = {}
    for entry in (entry for entries in view.entries.values() for entry in entries):
        if store in entry.problems and not is_unfinished(entry, store):
            words = f"its set lacks a part here, and {entry.label} of {entry.instance} cannot be used"
            for piece in lacking:
                if _may_be_one_set(entry, piece):
                    found.setdefault(piece.key, words)
    return found


def _may_be_one_set(entry: Entry, piece: Piece) -> bool:
    """Whether a copy that cannot be used may belong to the set of another: where nothing tells, by its label's time."""
    if piece.part is None or entry.instance == piece.instance:
        return False
    if entry.manifest is not None:
        return entry.manifest.set.get("id") == piece.part.set
    return abs(_time_of(entry.label) - _time_of(piece.candidate.label)) <= DAY


def _time_of(label: str) -> float:
    return float(calendar.timegm(time.strptime(label.partition("_")[0], "%Y%m%dT%H%M%SZ")))


def is_unfinished(entry: Entry, store: str) -> bool:
    """Whether a copy is one that was never finished."""
    return entry.problems.get(store, "").startswith("incomplete")


# --- one backup for the decision ---


def _piece(entry: Entry, manifest: Manifest, doubtful: Mapping[Key, str]) -> Piece:
    part = manifest.set
    return Piece(
        entry.instance,
        manifest.engine,
        candidate_of(entry, manifest, doubtful.get((entry.instance, entry.label), "")),
        Part(
            str(part["id"]),
            int(part["shards"]),
            str(part["shard"]),
            tuple((int(first), int(last)) for first, last in part["slots"]),
        )
        if part
        else None,
    )


def candidate_of(entry: Entry, manifest: Manifest, suspect: str) -> Candidate:
    """A backup as a policy sees it. Pure."""
    return Candidate(
        label=entry.label,
        time=manifest.snapshot_time,
        order=manifest.serial,
        verified=_is_verified(entry, manifest),
        suspect=suspect,
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


def oldest_kept(view: View, store: str, kept: Collection[Key], whole: Collection[Key]) -> float | None:
    """The time of the oldest data that stays of the instance's shard; None where nothing does. Pure."""
    times = [
        entry.manifests[store].snapshot_time
        for name, entries in view.entries.items()
        for entry in entries
        if store in entry.manifests
        and (name, entry.label) in kept
        and (name in view.shard or (name, entry.label) in whole)
    ]
    return min(times, default=None)
