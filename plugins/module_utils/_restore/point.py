# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Staging a moment: the archive, or a backup of the AOF, laid as an AOF that ends there, and loaded once as proof."""

from __future__ import annotations

import itertools
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from .._archive.coverage import Chain, Epoch
from .._archive.sparse import Archived, survey_archive
from .._errors import DamagedError, IncompatibleError, NotFoundError, RestoreError
from .._files import PRIVATE_DIR, make_dirs, remove_tree
from .._repository.catalog import list_backups
from .._repository.choose import newest_before
from .._repository.identity import require_name
from .._repository.layout import make_label
from .._repository.manifest import Manifest
from .._repository.store import Store
from .._server.instance import Instance
from .._server.programs import program_version
from .._times import now, to_iso
from .aof import DIR, FILE, Loader, loaded_aof, save_rdb
from .fetch import fetch_server_files, lay_out, settle, sync
from .guards import target_of
from .journal import Journal
from .ownership import Ownership
from .point_backup import lay_backup
from .point_cut import Decision
from .point_fetch import Target, lay_chain, lay_up_to, needed_bytes, search_chain
from .point_guards import Candidate, require_fit, require_memory, require_room
from .point_plan import Point, clock_steps, require_one_time
from .point_sources import Sources, not_covered, not_found
from .request import Options, Outcome, Selection
from .stage import is_interrupted, lay_ready, look, stage, standing_restore

_UNTOUCHED = "The live data was not touched"
_DATABASES = 1024
_WAYS = 8  # so many chains of the archive are tried at most, where objects are damaged


@dataclass(frozen=True)
class _Work:
    """All that laying takes."""

    store: Store
    sources: Sources
    archived: Archived | None
    point: Point
    target: Target
    options: Options


@dataclass(frozen=True)
class _Laid:
    """What was laid: where it ends, and what it was made of."""

    decision: Decision
    source: dict[str, Any]


def stage_point(instance: Instance, selection: Selection, options: Options) -> Outcome:
    """Lay the data of a moment ready below the data directory. Idempotent for one selection.

    Where there is neither an archive nor a backup of the AOF, it is the newest backup not after the moment. Raises
    RedisBackupError, and then leaves nothing behind; the server keeps running whatever happens.
    """
    point = selection.point
    if point is None:
        return stage(instance, selection, options)
    require_name(selection.instance)
    store = selection.store
    entries = list_backups([store], selection.instance)
    archived = survey_archive(store, selection.instance, options.identities)
    coverage = archived.coverage if archived is not None else None
    sources = Sources(selection.instance, store.where(), coverage, entries)
    if not sources.exact or _newest_is_backup(sources, point):
        if point.command:
            raise _no_history(sources, point)
        return stage(instance, replace(selection, point=None), options)
    candidates = _candidates(sources, archived, point)
    if not candidates:
        raise not_covered(sources, point)
    directory, layout, workspace = look(instance, options)
    require_fit(instance, archived, candidates, options)
    if point.second is not None and archived is not None:
        chain = candidates[0].chain
        require_one_time(clock_steps(_known(archived, chain)) if chain is not None else [], point.second)

    def is_selected(journal: Journal) -> bool:
        asked = (journal.source_instance, journal.repository) == (selection.instance, store.name)
        moved = journal.state == "staged" and journal.point.get("archived_to") != _archived_to(sources)
        return asked and journal.point.get("asked") == point.asked and not (moved and point.second is None)

    notes: list[str] = []
    standing = standing_restore(instance, workspace, layout, is_selected, notes, options)
    if standing is not None:
        return standing
    companion = _companion(sources, point)
    as_aof = layout.aof_only
    require_room(directory, candidates[0].size, layout, as_aof=as_aof)
    require_memory(candidates[0], companion)
    what = f"{point.words} of {selection.instance} from {store.where()}"
    if options.check_mode:
        undo = ["would roll the interrupted restore back"] if is_interrupted(workspace) else []
        return Outcome(True, [*notes, *undo, f"would stage {what} into {workspace.root}"], None, None)
    values: dict[str, Any] = {
        "source_instance": selection.instance,
        "repository": store.name,
        "label": make_label(now() if point.second is None else point.second, "point"),
        "snapshot_time": to_iso(now()),
        "target_time": to_iso(now() if point.second is None else point.second),
        "uuid": _uuid(archived, companion) if selection.instance == instance.name else "",
        "loads": "aof" if as_aof else "rdb",
    }

    def fill(journal: Journal, owner: Ownership) -> list[str]:
        staged = workspace.staged(journal)
        folder = os.path.join(workspace.folder(journal), "load")
        root = staged if as_aof else folder
        names = (instance.paths.appenddirname, instance.paths.appendfilename) if as_aof else (DIR, FILE)
        program = instance.program()
        version = instance.version()[1] if as_aof else program_version(program)[1]
        target = Target(root, names, program, version, instance.title)
        laid, told = _lay(_Work(store, sources, archived, point, target, options), candidates)
        _note(journal, laid, point, _archived_to(sources))
        loader = Loader(program, instance.title, (owner.uid, owner.gid))
        databases = target_of(instance).databases or _DATABASES
        if as_aof:
            _settle(staged, owner)
            journal.keys, journal.expires = _prove(workspace.folder(journal), target, databases, loader, point)
        else:
            os.mkdir(staged, PRIVATE_DIR)
            first = os.path.join(staged, layout.rdb[0].name)
            make_dirs(os.path.dirname(first))
            report = save_rdb(folder, first, databases, loader)
            if not report.ok:
                raise IncompatibleError(f"the RDB of {point.words} is not good: {report.words}", untouched=_UNTOUCHED)
            journal.keys, journal.expires = report.keys, report.expires
            lay_out(staged, layout, owner)
            told.append("made an RDB of the AOF, which the server will start from")
        if companion is not None:
            journal.placed = fetch_server_files(instance, store, companion, workspace, journal, options)
        archived_to = _archived_to(sources)
        if point.command and archived_to is not None:
            told.append(f"looked for {point.command_text} up to {to_iso(archived_to)}, where the archive ends")
        return [*told, f"staged {what}: {_ends(laid.decision)}, {journal.keys} keys"]

    return lay_ready(instance, workspace, layout, values, fill, notes, options)


def _ends(decision: Decision) -> str:
    exact = "exactly" if not decision.precision else f"short by at most {decision.precision:g} s"
    return f"all that was executed up to {to_iso(decision.recovered_to)}, {exact}"


def _archived_to(sources: Sources) -> float | None:
    return max((last for _first, last in sources.coverage.ranges), default=None) if sources.coverage else None


def _newest_is_backup(sources: Sources, point: Point) -> bool:
    """Whether the newest moment is that of a backup, made after all that is archived."""
    if point.second is not None or point.command:
        return False
    newest = newest_before(sources.entries)
    archived_to = _archived_to(sources)
    taken = newest.manifest.snapshot_time if newest is not None and newest.manifest is not None else None
    return taken is not None and (archived_to is None or taken > archived_to)


def _no_history(sources: Sources, point: Point) -> NotFoundError:
    return NotFoundError(
        f"{sources.where} has no archive and no backup of the AOF of {sources.instance}, in which "
        f"{point.command_text} could be found",
        untouched=_UNTOUCHED,
        hint="Restore a backup from before it: give its time with at alone, or its label",
    )


def _candidates(sources: Sources, archived: Archived | None, point: Point) -> list[Candidate]:
    """All ways to the moment, those of the fewest bytes first; for a command, the archive before the backups."""
    found = []
    if archived is not None:
        chains = sources.chains(point)[:_WAYS]
        found = [Candidate(needed_bytes(archived, chain.epochs, point), chain=chain) for chain in chains]
    reach = _archived_to(sources) or 0.0
    for manifest in sources.backups(point):
        data = next((file for file in manifest.files if file.kind == "aof"), None)
        newer = manifest.snapshot_time > reach
        if data is not None and (point.second is not None or not found or newer):
            found.append(Candidate(data.size, backup=manifest))
    if point.second is not None and not point.command:
        return sorted(found, key=lambda each: each.size)
    return found


def _known(archived: Archived, chain: Chain) -> list[Any]:
    """The headers that are known of a chain, in the order in which they were written."""
    names = [name for epoch in chain.epochs for name in archived.increments(epoch)]
    return [archived.headers[name] for name in names if name in archived.headers]


def _companion(sources: Sources, point: Point) -> Manifest | None:
    """The backup whose server files come back with the moment: the newest before it, else the oldest there is."""
    found = newest_before(sources.entries, point.end if point.second is not None else None)
    if found is None:
        found = next((each for each in sources.entries if each.usable), None)
    return found.manifest if found is not None else None


def _uuid(archived: Archived | None, companion: Manifest | None) -> str:
    newest = archived.newest() if archived is not None else None
    return newest.uuid if newest is not None else companion.uuid if companion is not None else ""


def _lay(work: _Work, candidates: Sequence[Candidate]) -> tuple[_Laid, list[str]]:
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


def _lay_one(work: _Work, candidate: Candidate) -> _Laid:
    chain = candidate.chain
    if chain is not None and work.archived is not None:
        decision, _paths = lay_chain(work.archived, chain, chain.epochs, work.point, work.target)
        return _Laid(decision, _archive_source(chain.epochs, candidate.size, decision))
    if candidate.backup is None:
        raise not_covered(work.sources, work.point)
    decision = lay_backup(work.store, candidate.backup, work.point, work.target, work.options)
    source = {"kind": "backup", "label": candidate.backup.label, "bytes": candidate.size, "by": decision.by}
    return _Laid(decision, source)


def _search_older(work: _Work, searched: set[str]) -> _Laid | None:
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
            return _Laid(decision, _archive_source(epochs, needed_bytes(archived, epochs, whole), decision))
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


def _note(journal: Journal, laid: _Laid, point: Point, archived_to: float | None) -> None:
    """Write into the journal what came of it."""
    decision = laid.decision
    recovered = to_iso(decision.recovered_to)
    journal.snapshot_time = recovered
    journal.label = make_label(decision.recovered_to, "point")
    if point.command:
        journal.target_time = recovered
    journal.point = {
        "asked": point.asked,
        "words": point.words,
        "recovered_to": recovered,
        "precision_seconds": decision.precision,
        "archived_to": archived_to,
        "source": {**laid.source, "repository": journal.repository},
    }


def _settle(staged: str, owner: Ownership) -> None:
    for root, _folders, files in os.walk(staged):
        for name in files:
            sync(os.path.join(root, name))
    settle(staged, owner)


def _prove(folder: str, target: Target, databases: int, loader: Loader, point: Point) -> tuple[int, int]:
    """Have a throw-away server load what is staged, by second names of its files; (keys, those that expire).

    It writes nothing into them: nothing expires in it, and nobody can write to it.
    """
    home = os.path.join(folder, "proof")
    os.mkdir(home, PRIVATE_DIR)
    sizes: dict[str, int] = {}
    for root, _folders, files in os.walk(target.root):
        for name in files:
            path = os.path.join(root, name)
            other = os.path.join(home, os.path.relpath(path, target.root))
            make_dirs(os.path.dirname(other))
            os.link(path, other)
            sizes[path] = os.path.getsize(path)
    with loaded_aof(home, databases, loader, target.names) as loaded:
        facts = loaded.facts()
    keys, expires = (sum(db[name] for db in facts.keyspace.values()) for name in ("keys", "expires"))
    remove_tree(home)
    changed = [path for path, size in sizes.items() if os.path.getsize(path) != size]
    if changed:
        raise RestoreError(
            f"{', '.join(changed)} changed while {point.words} was proven",
            untouched=_UNTOUCHED,
            hint="Look who writes below the data directory",
        )
    return keys, expires
