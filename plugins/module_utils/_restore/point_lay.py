# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The ways to a moment, and the data of it laid by the first of them that is whole: for whoever is to load it."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from .._archive.coverage import Chain, Epoch
from .._archive.sparse import Archived, survey_archive
from .._errors import DamagedError, NotFoundError
from .._files import make_dirs, remove_tree
from .._repository.catalog import list_backups
from .._repository.choose import newest_before
from .._repository.manifest import Manifest
from .._repository.store import Store
from .._times import to_iso
from .point_backup import lay_backup
from .point_cut import Decision
from .point_fetch import Target, lay_chain, lay_up_to, needed_bytes, search_chain
from .point_guards import Candidate
from .point_plan import Point, clock_steps, require_one_time
from .point_sources import Sources, not_covered, not_found
from .request import Options

_UNTOUCHED = "The live data was not touched"
_WAYS = 8  # so many chains of the archive are tried at most, where objects are damaged


@dataclass(frozen=True)
class Work:
    """All that laying takes."""

    store: Store
    sources: Sources
    archived: Archived | None
    point: Point
    target: Target
    options: Options


@dataclass(frozen=True)
class Laid:
    """What was laid: where it ends, and what it was made of."""

    decision: Decision
    source: dict[str, Any]


def sources_of(store: Store, instance: str, options: Options) -> tuple[Sources, Archived | None]:
    """What the repository has of an instance, and its archive where there is one."""
    entries = list_backups([store], instance)
    archived = survey_archive(store, instance, options.identities)
    coverage = archived.coverage if archived is not None else None
    return Sources(instance, store.where(), coverage, entries), archived


def archive_end(sources: Sources) -> float | None:
    """Up to when the archive reaches; None where there is none."""
    return max((last for _first, last in sources.coverage.ranges), default=None) if sources.coverage else None


def newest_is_backup(sources: Sources, point: Point) -> bool:
    """Whether the newest moment is that of a backup, made after all that is archived."""
    if point.second is not None or point.command:
        return False
    newest = newest_before(sources.entries)
    archived_to = archive_end(sources)
    taken = newest.manifest.snapshot_time if newest is not None and newest.manifest is not None else None
    return taken is not None and (archived_to is None or taken > archived_to)


def no_history(sources: Sources, point: Point) -> NotFoundError:
    """The refusal of a command where nothing holds any."""
    return NotFoundError(
        f"{sources.where} has no archive and no backup of the AOF of {sources.instance}, in which "
        f"{point.command_text} could be found",
        untouched=_UNTOUCHED,
        hint="Restore a backup from before it: give its time with at alone, or its label",
    )


def candidates_for(sources: Sources, archived: Archived | None, point: Point) -> list[Candidate]:
    """All ways to the moment, those of the fewest bytes first; for a command, the archive before the backups."""
    found = []
    if archived is not None:
        chains = sources.chains(point)[:_WAYS]
        found = [Candidate(needed_bytes(archived, chain.epochs, point), chain=chain) for chain in chains]
    reach = archive_end(sources) or 0.0
    for manifest in sources.backups(point):
        data = next((file for file in manifest.files if file.kind == "aof"), None)
        newer = manifest.snapshot_time > reach
        if data is not None and (point.second is not None or not found or newer):
            found.append(Candidate(data.size, backup=manifest))
    if point.second is not None and not point.command:
        return sorted(found, key=lambda each: each.size)
    return found


def require_sure_clock(archived: Archived | None, candidates: Sequence[Candidate], point: Point) -> None:
    """Raise RestoreError for a second that the host's clock showed twice."""
    chain = candidates[0].chain
    if point.second is not None and archived is not None and chain is not None:
        require_one_time(clock_steps(_known(archived, chain)), point.second)


def _known(archived: Archived, chain: Chain) -> list[Any]:
    """The headers that are known of a chain, in the order in which they were written."""
    names = [name for epoch in chain.epochs for name in archived.increments(epoch)]
    return [archived.headers[name] for name in names if name in archived.headers]


def companion_of(sources: Sources, point: Point) -> Manifest | None:
    """The backup whose server files come back with the moment: the newest before it, else the oldest there is."""
    found = newest_before(sources.entries, point.end if point.second is not None else None)
    if found is None:
        found = next((each for each in sources.entries if each.usable), None)
    return found.manifest if found is not None else None


def lay_point(work: Work, candidates: Sequence[Candidate]) -> tuple[Laid, list[str]]:
    """Lay the moment by the first way that is whole; (what was laid, what is to be told)."""
    told: list[str] = []
    first: DamagedError | None = None
    searched: set[str] = set()
    for candidate in candidates:
        try:
            make_dirs(work.target.root)
            laid = _lay_one(work, candidate)
        except DamagedError as error:
            first = first or error
            told.append(f"passed over what is damaged: {error.what}")
            remove_tree(work.target.root)
            continue
        if laid.decision.stamp is not None or not work.point.command:
            return laid, told
        remove_tree(work.target.root)
        if candidate.chain is not None:
            searched |= {epoch.name for epoch in candidate.chain.epochs}
            break
    if first is not None and (not work.point.command or not searched):
        raise _damaged(work.sources, first)
    older = _search_older(work, searched) if work.point.command else None
    if older is None:
        raise not_found(work.sources, work.point)
    return older, told


def _damaged(sources: Sources, error: DamagedError) -> DamagedError:
    covered = sources.ranges()
    return DamagedError(
        error.what,
        untouched=error.untouched or _UNTOUCHED,
        hint=f"{error.hint}; by their headers, {_ranges(covered)} are covered",
        covered=[[to_iso(first), to_iso(last)] for first, last in covered],
    )


def _ranges(ranges: Sequence[tuple[int, int]]) -> str:
    return ", ".join(f"{to_iso(first)} to {to_iso(last)}" for first, last in ranges[-8:])


def _lay_one(work: Work, candidate: Candidate) -> Laid:
    chain = candidate.chain
    if chain is not None and work.archived is not None:
        decision, _paths = lay_chain(work.archived, chain, chain.epochs, work.point, work.target)
        return Laid(decision, _archive_source(chain.epochs, candidate.size, decision))
    if candidate.backup is None:
        raise not_covered(work.sources, work.point)
    decision = lay_backup(work.store, candidate.backup, work.point, work.target, work.options)
    source = {"kind": "backup", "label": candidate.backup.label, "bytes": candidate.size, "by": decision.by}
    return Laid(decision, source)


def _search_older(work: Work, searched: set[str]) -> Laid | None:
    """Look for the command in what lies before: epoch by epoch back, each read once; then lay what it ends."""
    archived, target = work.archived, work.target
    if archived is None:
        return None
    whole = replace(work.point, second=None)
    early = [chain for chain in archived.coverage.chains if chain.first < work.point.end]
    for chain in sorted(early, key=lambda each: each.first, reverse=True):
        epochs = _before(chain, searched)
        if not epochs:
            continue
        searched |= {epoch.name for epoch in epochs}
        make_dirs(target.root)
        if chain.epochs[0].single:
            decision, _paths = lay_chain(archived, chain, epochs, whole, target)
        else:
            decision = search_chain(archived, epochs, chain, whole)
            if decision.stamp is not None:
                lay_up_to(archived, chain, epochs, decision, target)
        if decision.stamp is not None:
            return Laid(decision, _archive_source(epochs, needed_bytes(archived, epochs, whole), decision))
        remove_tree(target.root)
    return None


def _before(chain: Chain, searched: set[str]) -> list[Epoch]:
    """The epochs of a chain up to the first one that was searched."""
    return list(itertools.takewhile(lambda epoch: epoch.name not in searched, chain.epochs))


def _archive_source(epochs: Sequence[Epoch], size: int, decision: Decision) -> dict[str, Any]:
    used = epochs[: decision.position.file + 1]
    return {
        "kind": "archive",
        "label": None,
        "base": used[0].base[0].file if used[0].base and not used[0].single else None,
        "base_time": to_iso(used[0].time or 0.0),
        "epochs": [epoch.name for epoch in used],
        "bytes": size,
        "by": decision.by,
    }
