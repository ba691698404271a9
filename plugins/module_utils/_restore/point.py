# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Staging a moment: the archive, or a backup of the AOF, laid as an AOF that ends there, and loaded once as proof."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any

from .._archive.sparse import Archived
from .._errors import IncompatibleError, RestoreError
from .._files import PRIVATE_DIR, make_dirs, remove_tree
from .._repository.identity import require_name
from .._repository.layout import make_label
from .._repository.manifest import Manifest
from .._server.instance import Instance
from .._server.programs import program_version
from .._times import now, to_iso
from .aof import DIR, FILE, Loader, loaded_aof, save_rdb
from .cluster_node import require_slots, slots_of
from .fetch import fetch_server_files, lay_out, settle, sync
from .guards import target_of
from .journal import Journal
from .ownership import Ownership
from .point_cut import Decision
from .point_fetch import Target
from .point_guards import require_fit, require_memory, require_room
from .point_lay import (
    Laid,
    Work,
    archive_end,
    candidates_for,
    companion_of,
    lay_point,
    newest_is_backup,
    no_history,
    require_sure_clock,
    sources_of,
)
from .point_plan import Point
from .point_sources import not_covered
from .request import Options, Outcome, Selection
from .stage import is_interrupted, lay_ready, look, stage, standing_restore

_UNTOUCHED = "The live data was not touched"
_DATABASES = 1024


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
    sources, archived = sources_of(store, selection.instance, options)
    if not sources.exact or newest_is_backup(sources, point):
        if point.command:
            raise no_history(sources, point)
        return stage(instance, replace(selection, point=None), options)
    candidates = candidates_for(sources, archived, point)
    if not candidates:
        raise not_covered(sources, point)
    directory, layout, workspace = look(instance, options)
    require_fit(instance, archived, candidates, options)
    require_sure_clock(archived, candidates, point)

    def is_selected(journal: Journal) -> bool:
        asked = (journal.source_instance, journal.repository) == (selection.instance, store.name)
        moved = journal.state == "staged" and journal.point.get("archived_to") != archive_end(sources)
        return asked and journal.point.get("asked") == point.asked and not (moved and point.second is None)

    notes: list[str] = []
    standing = standing_restore(instance, workspace, layout, is_selected, notes, options)
    if standing is not None:
        return standing
    companion = companion_of(sources, point)
    slots = slots_of(companion) if companion else []
    require_slots(instance, slots, point.words)
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
        "slots": slots,
    }

    def fill(journal: Journal, owner: Ownership) -> list[str]:
        staged = workspace.staged(journal)
        folder = os.path.join(workspace.folder(journal), "load")
        root = staged if as_aof else folder
        names = (instance.paths.appenddirname, instance.paths.appendfilename) if as_aof else (DIR, FILE)
        program = instance.program()
        version = instance.version()[1] if as_aof else program_version(program)[1]
        target = Target(root, names, program, version, instance.title)
        laid, told = lay_point(Work(store, sources, archived, point, target, options), candidates)
        _note(journal, laid, point, archive_end(sources))
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
        archived_to = archive_end(sources)
        if point.command and archived_to is not None:
            told.append(f"looked for {point.command_text} up to {to_iso(archived_to)}, where the archive ends")
        return [*told, f"staged {what}: {_ends(laid.decision)}, {journal.keys} keys"]

    return lay_ready(instance, workspace, layout, values, fill, notes, options)


def _ends(decision: Decision) -> str:
    exact = "exactly" if not decision.precision else f"short by at most {decision.precision:g} s"
    return f"all that was executed up to {to_iso(decision.recovered_to)}, {exact}"


def _uuid(archived: Archived | None, companion: Manifest | None) -> str:
    newest = archived.newest() if archived is not None else None
    return newest.uuid if newest is not None else companion.uuid if companion is not None else ""


def _note(journal: Journal, laid: Laid, point: Point, archived_to: float | None) -> None:
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
