# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Staging: all that a restore needs is fetched, checked and laid ready beside the live data, which stays untouched."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

from .._errors import DamagedError, NotFoundError, RestoreError
from .._files import locked, remove_tree
from .._repository.catalog import list_backups, read_entry
from .._repository.choose import choose, passed_over
from .._repository.identity import require_name
from .._repository.layout import is_label
from .._repository.manifest import DATA_KINDS, Manifest, StoredFile
from .._server.instance import Instance
from .._times import now, to_iso
from .aof import fetch_aof, fetch_as_rdb
from .closing import writes_are_closed
from .cluster_node import require_slots, slots_of
from .commit import commit
from .conversion import convert_data, plan_conversion, require_memory, space_to_convert, space_to_load
from .fetch import fetch_data, fetch_server_files
from .guards import (
    check_identities,
    require_data_dir,
    require_loadable,
    require_openable,
    require_own,
    require_renamable,
    require_restorable_role,
    require_space,
    require_startup_agrees,
    require_unwatched,
    restore_running,
    target_of,
)
from .journal import Journal, Workspace, new_id
from .layout import DataLayout, aof_at_next_start, data_layout
from .ownership import Ownership, find_ownership
from .request import Options, Outcome, Selection
from .results import data_listing, planned_listing, result_of
from .swap import roll_back

_UNTOUCHED = "The live data was not touched"
GOES_ON = ("staged", "activating", "active")
INTERRUPTED = ("activating", "rolling_back")


def stage(instance: Instance, selection: Selection, options: Options) -> Outcome:
    """Lay a backup ready below the data directory. Idempotent for one selection.

    Raises RedisBackupError, and then leaves nothing behind; the server keeps running whatever happens.
    """
    manifest, notes = find_backup(selection)
    directory, layout, workspace = look(instance, options)
    verdict = require_loadable(instance, manifest, options)
    require_slots(instance, slots_of(manifest), manifest.label)
    check_identities(manifest, options)
    data = _data(manifest)

    def is_selected(journal: Journal) -> bool:
        return _is_selected(journal, manifest, selection)

    standing = standing_restore(instance, workspace, layout, is_selected, notes, options)
    if standing is not None:
        return standing
    conversion = None if verdict.loads else plan_conversion(instance, manifest, data, options)
    as_it_is = conversion is None and (data.kind == "rdb" or _takes_aof(instance, manifest, layout))
    more = 0 if as_it_is else space_to_load(manifest, data)
    if not as_it_is:
        require_memory(manifest, data)
    require_space(directory, data, layout, space_to_convert(manifest, data) if conversion else more)
    what = f"{manifest.label} of {manifest.instance} from {selection.store.where()}"
    if options.check_mode:
        undo = ["would roll the interrupted restore back"] if is_interrupted(workspace) else []
        diff = planned_listing(directory, instance.paths.data_names(), layout.top_names, manifest)
        convert = [f"would convert it, because {verdict.words}; {conversion.words}"] if conversion else []
        return Outcome(True, [*notes, *undo, f"would stage {what} into {workspace.root}", *convert], None, diff)
    values = {
        "source_instance": manifest.instance,
        "repository": selection.store.name,
        "label": manifest.label,
        "snapshot_time": manifest.document["snapshot_time"],
        "target_time": to_iso(selection.at if selection.at is not None else now()),
        "keys": manifest.keys,
        "expires": manifest.expires,
        "uuid": manifest.uuid if manifest.instance == instance.name else "",
        "room": manifest.key_room if as_it_is else 0,
        "loads": data.kind if as_it_is else "rdb",
        "slots": slots_of(manifest),
    }

    def fill(journal: Journal, owner: Ownership) -> list[str]:
        told: list[str] = []
        places = (selection.store, manifest, data, workspace.staged(journal), layout, owner, options)
        if conversion:
            journal.converted = conversion.words
            journal.keys, journal.expires, told = convert_data(conversion, *places)
        elif data.kind == "rdb":
            fetch_data(instance, *places)
        elif as_it_is:
            fetch_aof(instance, selection.store, manifest, data, workspace.staged(journal), owner, options)
        else:
            report = fetch_as_rdb(instance, *places)
            journal.keys, journal.expires = report.keys, report.expires
            told.append("made an RDB of the AOF, which the server will start from")
        journal.placed = fetch_server_files(instance, selection.store, manifest, workspace, journal, options)
        return [*told, f"staged {what}"]

    return lay_ready(instance, workspace, layout, values, fill, notes, options)


def look(instance: Instance, options: Options) -> tuple[str, DataLayout, Workspace]:
    """The data directory, the files to stage, and the workspace. Raises RestoreError where nothing may be restored."""
    directory = require_data_dir(instance, create=not options.check_mode)
    require_restorable_role(instance, options)
    if not options.sentinels_held:
        require_unwatched(instance)
    require_startup_agrees(instance)
    if options.close_writes:
        require_openable(instance)
    require_renamable(directory, instance.paths.data_names())
    return directory, plan_layout(instance), Workspace(directory)


def standing_restore(
    instance: Instance,
    workspace: Workspace,
    layout: DataLayout,
    is_selected: Callable[[Journal], bool],
    notes: list[str],
    options: Options,
) -> Outcome | None:
    """What to answer when the very same was staged, or restored, before; None when there is something to do.

    A restore that was about to be closed is closed, which `notes` then tell.
    """
    open_now = workspace.current() if os.path.isdir(workspace.data_dir) else None
    if open_now is not None:
        require_own(instance, open_now)
    if open_now is not None and open_now.state == "committing" and not options.check_mode:
        notes += commit(instance, options).actions
        open_now = None
    fits = open_now is not None and (open_now.state != "staged" or open_now.install == layout.top_names)
    if fits and open_now is not None and open_now.state in GOES_ON and is_selected(open_now):
        require_no_new_writes(instance, open_now)
        return Outcome(False, [], with_live(result_of(workspace, open_now), instance))
    last = next(iter(workspace.journals()), None)
    if last is not None and last.state == "committed" and not options.force and is_selected(last):
        told = [*notes, f"{last.label} was restored before; force: true restores it again"]
        return Outcome(bool(notes), told, with_live(result_of(workspace, last), instance))
    return None


def is_interrupted(workspace: Workspace) -> bool:
    """Whether a swap was cut short."""
    open_now = workspace.current() if os.path.isdir(workspace.data_dir) else None
    return open_now is not None and open_now.state in INTERRUPTED


def lay_ready(
    instance: Instance,
    workspace: Workspace,
    layout: DataLayout,
    values: Mapping[str, Any],
    fill: Callable[[Journal, Ownership], list[str]],
    notes: list[str],
    options: Options,
) -> Outcome:
    """Open a restore with the `values` of its journal, and have `fill` lay its data ready; what that raises undoes it.

    A swap that was cut short is undone first: the previous data is back in place, whatever becomes of the new.
    """
    workspace.prepare()
    actions = roll_back(instance, options).actions if is_interrupted(workspace) else []
    with locked(workspace.lock_path, busy=restore_running(instance)):
        actions += [*notes, *(f"removed the remains of {name}" for name in workspace.forget_unfinished())]
        replaced = [j for j in workspace.journals() if j.state == "staged"]
        active = next((j for j in workspace.journals() if j.state == "active"), None)
        journal = Journal(
            id=new_id(),
            state="staging",
            instance=instance.name,
            created=to_iso(now()),
            data_names=instance.paths.data_names(),
            install=layout.top_names,
            config_file=instance.paths.config_file,
            service=instance.place.service,
            over=active.id if active else "",
            **values,
        )
        workspace.save(journal)
        try:
            owner = find_ownership(instance)
            journal.owner = [owner.uid, owner.gid]
            actions += fill(journal, owner)
            workspace.save(journal, "staged")
        except BaseException:
            remove_tree(workspace.folder(journal))
            raise
        for older in replaced:
            remove_tree(workspace.folder(older))
            actions.append(f"removed what {older.id} had staged of {older.label}")
    actions += [f"will put {p.path} in place" for p in journal.placed]
    restore = with_live(result_of(workspace, journal), instance)
    return Outcome(True, actions, restore, data_listing(journal, workspace))


def require_no_new_writes(instance: Instance, journal: Journal) -> None:
    """Raise RestoreError for an active restore whose server takes writes: going on could throw them away."""
    if journal.state == "active" and instance.facts is not None and not writes_are_closed(instance):
        raise RestoreError(
            f"the restore {journal.id} of {journal.label} is in place and {instance.title} takes writes already",
            untouched="Nothing was changed",
            hint="Keep it with state: committed, or undo it with state: rolled_back",
        )


def with_live(restore: dict[str, Any], instance: Instance) -> dict[str, Any]:
    """The result with what the running server would lose if it were just stopped: `persisted` is false when it holds
    data that neither an AOF nor a save at its end would keep."""
    facts = instance.facts
    persisted = True
    if facts is not None and facts.keys:
        saves = bool(instance.config.get("save", "unknown"))
        healthy = all(facts.flag_ok(f"{n}_status") for n in ("rdb_last_bgsave", "aof_last_write", "aof_last_bgrewrite"))
        persisted = (facts.persistence()["aof_enabled"] or saves) and healthy
    return {**restore, "live": {"state": instance.state, "keys": facts.keys if facts else None, "persisted": persisted}}


def find_backup(selection: Selection) -> tuple[Manifest, list[str]]:
    """The manifest of the selected backup, and what newer ones were passed over. Raises NotFoundError, DamagedError."""
    store, name = selection.store, selection.instance
    require_name(name)
    if is_label(selection.label or ""):
        try:
            return read_entry(store, name, selection.label or ""), []
        except NotFoundError:
            pass  # the words below say what is there instead
    entries = list_backups([store], name)
    entry = choose(entries, name, store.where(), label=selection.label, at=selection.at)
    if entry.manifest is None:
        raise DamagedError(f"{entry.label} of {name} has no manifest", untouched=_UNTOUCHED)
    notes = passed_over(entries, entry, selection.at) if selection.label in (None, "", "latest") else []
    return entry.manifest, [f"passed over the newer backup {note}" for note in notes]


def _is_selected(journal: Journal, manifest: Manifest, selection: Selection) -> bool:
    return not journal.point and (journal.label, journal.source_instance, journal.repository) == (
        manifest.label,
        manifest.instance,
        selection.store.name,
    )


def plan_layout(instance: Instance) -> DataLayout:
    """The files that make this instance load the backup at its next start."""
    known = bool(instance.paths.config_file) and os.path.exists(instance.paths.config_file)
    aof, rdb = aof_at_next_start(instance.config, instance.next_start, config_known=known)
    paths = instance.paths
    # A command line that nobody tells may switch the AOF on: one that is there gives it away.
    if instance.facts is None and not aof:
        aof = any(os.path.exists(os.path.join(paths.dir, n)) for n in (paths.appenddirname, paths.appendfilename))
    return data_layout(instance.paths, instance.version()[1], aof=aof, rdb=rdb)


def _data(manifest: Manifest) -> StoredFile:
    found = next((file for file in manifest.files if file.kind in DATA_KINDS), None)
    if found is None:
        raise DamagedError(f"{manifest.label} of {manifest.instance} has no RDB and no AOF", untouched=_UNTOUCHED)
    return found


def _takes_aof(instance: Instance, manifest: Manifest, layout: DataLayout) -> bool:
    """Whether the AOF can be laid where the instance loads it, as it is."""
    there, needed = target_of(instance).databases, manifest.aof.get("databases")
    return layout.aof_only and (there is None or not isinstance(needed, int) or needed <= there)
