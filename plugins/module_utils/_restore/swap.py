# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The swap, its undoing and its closing. Every step looks at what is there and may be repeated after a crash."""

from __future__ import annotations

import contextlib
import os

from .._errors import RestoreError
from .._files import PRIVATE_DIR, fsync_dir, locked, remove_tree, write_atomic
from .._server.instance import Instance
from .._server.occupied import require_stopped
from .closing import as_frozen_as, edit_writes
from .cluster_node import require_place
from .data_dir import data_entries
from .ending import to_undo
from .fence import fence_is_up, lower_fence, raise_fence
from .guards import require_data_dir, require_own, require_renamable, restore_running
from .journal import SWAPPED, Journal, Placed, Workspace
from .layout import aof_at_next_start
from .ownership import give_directory
from .request import Options, Outcome, Selection
from .results import data_listing, result_of


def _move(source: str, target: str) -> bool:
    """Rename, unless it was done before. Raises RestoreError when both names are taken."""
    if not os.path.lexists(source):
        return False
    if os.path.lexists(target):
        raise RestoreError(
            f"both {source} and {target} exist: something was written into the data directory during the swap",
            untouched="Nothing was deleted",
            hint="Find out what started or wrote there; state: rolled_back brings the previous data back",
        )
    os.rename(source, target)
    fsync_dir(os.path.dirname(source))
    fsync_dir(os.path.dirname(target))
    return True


def _make_folder(path: str) -> None:
    with contextlib.suppress(FileExistsError):
        os.mkdir(path, PRIVATE_DIR)
        fsync_dir(os.path.dirname(path))


def activate(instance: Instance, selection: Selection | None, options: Options) -> Outcome:
    """Swap the staged data in, the current data aside. The server must be stopped. Idempotent."""
    directory = require_data_dir(instance)
    workspace = Workspace(directory)
    journal = workspace.current()
    if options.check_mode and (journal is None or journal.state in ("staged", "activating")):
        return Outcome(True, [f"would swap the staged data into {directory}, and keep the current data aside"])
    journal = _to_activate(instance, workspace, selection, options)
    if journal.state == "active":
        return Outcome(*_settle(workspace, journal, dry=options.check_mode), result_of(workspace, journal))
    require_place(instance, journal.slots, journal.label)
    require_renamable(directory, journal.data_names)
    require_stopped(instance.server.login, directory, instance.title, options.wait)
    with locked(workspace.lock_path, busy=restore_running(instance)):
        journal = _to_activate(instance, workspace, selection, options)  # another run may have come first
        if journal.state == "active":
            return Outcome(*_settle(workspace, journal), result_of(workspace, journal))
        diff = data_listing(journal, workspace)
        raise_fence(workspace, journal.service)
        if journal.state == "staged":
            try:
                require_stopped(instance.server.login, directory, instance.title, 0)
            except RestoreError:  # it was started again before the fence stood
                lower_fence(workspace, journal.service)
                raise
            journal.aside = data_entries(os.listdir(directory), journal.data_names)
            journal.writes_closed = options.close_writes
            journal.config_file = instance.paths.config_file or journal.config_file
            workspace.save(journal, "activating")
        actions = _swap_in(workspace, journal, directory)
        if journal.owner and give_directory(directory, journal.owner[0], journal.owner[1]):
            actions.append(f"gave {directory} to the server's user, who could not write there")
        for place in journal.placed:
            actions += _put_in_place(workspace, journal, place)
        if journal.writes_closed and edit_writes(journal.config_file, close=True):
            actions.append(f"closed writes in {journal.config_file}")
        older = workspace.find(journal.over) if journal.over else None
        if older is not None and older.state == "active":
            workspace.save(older, "superseded")
        workspace.save(journal, "active")
        lower_fence(workspace, journal.service)
    return Outcome(True, actions, result_of(workspace, journal), diff)


def _to_activate(
    instance: Instance, workspace: Workspace, selection: Selection | None, options: Options
) -> Journal:
    """The open restore, if it is one that may be activated, or is active. Raises RestoreError."""
    journal = workspace.current()
    newest = next(iter(workspace.journals()), None)
    if journal is None or (newest is not None and newest.state == "staging"):
        raise RestoreError(
            f"nothing is staged for {instance.title}", untouched="Nothing was changed", hint="Run state: staged first"
        )
    require_own(instance, journal)
    require_same(instance, journal, selection)
    if journal.state == "committing":
        raise RestoreError(
            f"the restore {journal.id} of {instance.title} is being committed",
            untouched="Nothing was changed",
            hint="Finish that with state: committed",
        )
    if journal.state == "rolling_back":
        raise RestoreError(
            f"the restore {journal.id} of {instance.title} is being rolled back",
            untouched="Nothing was changed",
            hint="Finish that with state: rolled_back",
        )
    if journal.state == "staged":
        _require_layout(instance, journal)
        path = instance.paths.config_file or journal.config_file
        if options.close_writes and not (os.path.exists(path) or path in [p.path for p in journal.placed]):
            raise RestoreError(
                f"{instance.title} has no redis.conf {path}, so that writes cannot be closed before its first start",
                untouched="Nothing was changed",
                hint="Give config_file, or run with close_writes: false",
            )
    return journal


def _require_layout(instance: Instance, journal: Journal) -> None:
    """The server will read what redis.conf says now: was that staged? Raises RestoreError when it was not."""
    paths = instance.paths
    if instance.facts is not None or not os.path.exists(paths.config_file):
        return
    aof, rdb = aof_at_next_start({}, instance.next_start, config_known=True)
    staged = set(journal.install)
    if (aof and not staged & {paths.appenddirname, paths.appendfilename}) or (rdb and paths.dbfilename not in staged):
        raise RestoreError(
            f"{paths.config_file} was changed after {journal.label} was staged: {instance.title} would not load "
            f"{', '.join(journal.install)} at its next start",
            untouched="Nothing was changed",
            hint="Run state: staged again",
        )


def _settle(workspace: Workspace, journal: Journal, *, dry: bool = False) -> tuple[bool, list[str]]:
    """Take down a fence that a crash left up behind a finished swap: (changed, actions)."""
    if dry or not fence_is_up(workspace, journal.service):
        return False, []
    lower_fence(workspace, journal.service)
    return True, ["took down the fence that an interrupted run had left up"]


def require_same(instance: Instance, journal: Journal, selection: Selection | None) -> None:
    """Raise RestoreError when another backup is selected than the one that is open."""
    if selection is None:
        return
    wanted = selection.label if selection.label and selection.label != "latest" else journal.label
    if (wanted, selection.instance, selection.store.name) != (
        journal.label,
        journal.source_instance,
        journal.repository,
    ):
        raise RestoreError(
            f"the open restore of {instance.title} is {journal.label} of {journal.source_instance} from repository "
            f"{journal.repository}, not {wanted} of {selection.instance} from {selection.store.name}",
            untouched="Nothing was changed",
            hint="Stage the one you want first, or name the open one",
        )
    if selection.point is not None and journal.point and journal.point["asked"] != selection.point.asked:
        raise RestoreError(
            f"the open restore of {instance.title} is of {journal.point['words']}, not of {selection.point.words}",
            untouched="Nothing was changed",
            hint="Stage the one you want first, or leave at and before_command out",
        )


def _swap_in(workspace: Workspace, journal: Journal, directory: str) -> list[str]:
    previous, staged = workspace.previous(journal), workspace.staged(journal)
    _make_folder(previous)
    actions = []
    for name in journal.aside:
        kept = os.path.join(previous, name)
        if not os.path.lexists(kept) and _move(os.path.join(directory, name), kept):
            actions.append(f"moved {name} aside into {previous}")
    for name in journal.install:
        if _move(os.path.join(staged, name), os.path.join(directory, name)):
            actions.append(f"put the restored {name} into {directory}")
    return actions


def _put_in_place(workspace: Workspace, journal: Journal, place: Placed) -> list[str]:
    """Write one server file, after its previous content has been kept. The order makes it repeatable."""
    kept = os.path.join(workspace.folder(journal), "server", f"{place.staged}.previous")
    if place.existed is None:
        place.existed = os.path.exists(place.path)
        if place.existed:
            with open(place.path, "rb") as stream:
                write_atomic(kept, stream.read())
        workspace.save(journal)
    with open(os.path.join(workspace.folder(journal), "server", place.staged), "rb") as stream:
        data = stream.read()
    write_atomic(place.path, _still_frozen(journal, place, data), mode=place.mode, owner=_owner(place))
    return [f"put {place.path} in place"]


def _still_frozen(journal: Journal, place: Placed, data: bytes) -> bytes:
    """Whatever redis.conf is brought, only a thaw ends a freeze."""
    return as_frozen_as(place.path, data) if place.path == journal.config_file else data


def _owner(place: Placed) -> tuple[int, int] | None:
    return (place.uid, place.gid) if os.geteuid() == 0 else None


def _take_back(workspace: Workspace, journal: Journal, place: Placed) -> list[str]:
    if place.existed is None:
        return []
    kept = os.path.join(workspace.folder(journal), "server", f"{place.staged}.previous")
    if place.existed:
        with open(kept, "rb") as stream:
            data = stream.read()
        write_atomic(place.path, _still_frozen(journal, place, data), mode=place.mode, owner=_owner(place))
        return [f"put the previous {place.path} back"]
    with contextlib.suppress(FileNotFoundError):
        os.unlink(place.path)
    return [f"took {place.path} away again"]


def roll_back(instance: Instance, options: Options) -> Outcome:
    """Put the previous data back, the restored aside. The server must be stopped if data was swapped. Idempotent."""
    directory = require_data_dir(instance)
    workspace = Workspace(directory)
    journal, answer = to_undo(instance, workspace, options)
    if answer is not None:
        return answer
    if journal is not None and journal.state in SWAPPED:
        require_stopped(instance.server.login, directory, instance.title, options.wait)
    with locked(workspace.lock_path, busy=restore_running(instance)):
        remains = [f"removed the remains of {name}" for name in workspace.forget_unfinished()]
        found, journal = journal, workspace.current()
        if journal is None:
            last = next(iter(workspace.journals()), None)
            settled, actions = _settle(workspace, last) if last else (False, [])
            return Outcome(settled or bool(remains), remains + actions, result_of(workspace, last) if last else None)
        if found is None or (found.id, found.state) != (journal.id, journal.state):
            raise restore_running(instance)
        if journal.state not in SWAPPED:
            remove_tree(workspace.staged(journal))
            workspace.save(journal, "rolled_back")
            lower_fence(workspace, journal.service)
            return Outcome(True, [*remains, f"removed the staged {journal.label}"], result_of(workspace, journal))
        raise_fence(workspace, journal.service)
        previous, discarded = workspace.previous(journal), workspace.discarded(journal)
        if journal.state != "rolling_back":
            journal.discard = [
                name
                for name in data_entries(os.listdir(directory), journal.data_names)
                if name not in journal.aside or os.path.lexists(os.path.join(previous, name))
            ]
            workspace.save(journal, "rolling_back")
        _make_folder(discarded)
        actions = remains
        for name in journal.discard:
            gone = os.path.join(discarded, name)
            if not os.path.lexists(gone) and _move(os.path.join(directory, name), gone):
                actions.append(f"moved the restored {name} into {discarded}")
        for name in journal.aside:
            if _move(os.path.join(previous, name), os.path.join(directory, name)):
                actions.append(f"put the previous {name} back into {directory}")
        for place in journal.placed:
            actions += _take_back(workspace, journal, place)
        config_file = journal.config_file
        if journal.writes_closed and os.path.exists(config_file) and edit_writes(config_file, close=False):
            actions.append(f"opened writes in {config_file}")
        older = workspace.find(journal.over) if journal.over else None
        if older is not None and older.state == "superseded":
            workspace.save(older, "active")
        remove_tree(workspace.staged(journal))
        workspace.save(journal, "rolled_back")
        lower_fence(workspace, journal.service)
    return Outcome(True, actions, result_of(workspace, journal))
