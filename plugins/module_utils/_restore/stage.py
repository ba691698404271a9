# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Staging: all that a restore needs is fetched, checked and laid ready beside the live data, which stays untouched."""

from __future__ import annotations

import grp
import os
import pwd
import shutil
from collections.abc import Sequence
from typing import Any

from .._backup.server_files import ServerFile, read_archive
from .._errors import DamagedError, IncompatibleError, NotFoundError, ProgramError, RestoreError
from .._files import PRIVATE_DIR, free_bytes, fsync_dir, locked, make_dirs, remove_tree
from .._repository.catalog import check_sums, choose, list_backups, read_entry
from .._repository.layout import backup_path
from .._repository.manifest import Manifest, StoredFile
from .._repository.pipeline import check_stored, load_chunks
from .._repository.store import Store
from .._server.instance import Instance
from .._server.paths import Paths
from .._server.versions import why_not_loadable
from .._snapshot.checker import RdbChecker
from .._times import now, to_iso
from .data_dir import why_no_data_dir
from .journal import Journal, Placed, Workspace, new_id
from .layout import DataLayout, aof_at_next_start, data_layout
from .ownership import Ownership, find_ownership, unit_user
from .request import Options, Outcome, Selection
from .results import data_listing, result_of

_MARGIN = 16 * 1024 * 1024
_UNTOUCHED = "The live data was not touched"


def stage(instance: Instance, selection: Selection, options: Options) -> Outcome:
    """Lay a backup ready below the data directory. Idempotent for one selection.

    Raises RedisBackupError, and then leaves nothing behind; the server keeps running whatever happens.
    """
    manifest = find_backup(selection)
    directory = require_data_dir(instance, create=not options.check_mode)
    require_loadable(instance, manifest)
    check_identities(manifest, options)
    layout = plan_layout(instance)
    rdb = _rdb(manifest)
    workspace = Workspace(directory)
    open_now = workspace.current() if os.path.isdir(directory) else None
    same = open_now is not None and open_now.state == "staged" and _is_selected(open_now, manifest, selection)
    if same and open_now is not None:
        return Outcome(False, [], _with_live(result_of(workspace, open_now), instance))
    last = next(iter(workspace.journals()), None)
    if last is not None and last.state == "committed" and not options.force and _is_selected(last, manifest, selection):
        return Outcome(False, [f"{last.label} was restored before"], _with_live(result_of(workspace, last), instance))
    _require_space(directory, rdb, layout)
    what = f"{manifest.label} of {manifest.instance} from {selection.store.where()}"
    if options.check_mode:
        return Outcome(True, [f"would stage {what} into {workspace.root}"])
    workspace.prepare()
    with locked(workspace.lock_path, busy=restore_running(instance)):
        current = workspace.current()
        if current is not None and current.state in ("activating", "rolling_back"):
            raise RestoreError(
                f"a restore of {instance.title} ({current.id}, {current.label}) stopped in the middle of its swap",
                untouched=_UNTOUCHED,
                hint="Finish it with state: active, or undo it with state: rolled_back, before another one is staged",
            )
        actions = [f"removed the remains of {name}" for name in workspace.forget_unfinished()]
        replaced = current if current is not None and current.state == "staged" else None
        active = next((j for j in workspace.journals() if j.state == "active"), None)
        journal = Journal(
            id=new_id(),
            state="staging",
            instance=instance.name,
            source_instance=manifest.instance,
            repository=selection.store.name,
            label=manifest.label,
            snapshot_time=manifest.document["snapshot_time"],
            created=to_iso(now()),
            target_time=to_iso(selection.at if selection.at is not None else now()),
            keys=manifest.keys,
            expires=manifest.expires,
            data_names=instance.paths.data_names(),
            install=layout.top_names,
            config_file=instance.paths.config_file,
            service=instance.place.service,
            over=active.id if active else "",
        )
        workspace.save(journal)
        try:
            owner = find_ownership(instance)
            _fetch_data(instance, selection.store, manifest, rdb, workspace.staged(journal), layout, owner, options)
            actions.append(f"staged {what}")
            journal.placed = _fetch_server_files(instance, selection.store, manifest, workspace, journal, options)
            workspace.save(journal, "staged")
        except BaseException:
            remove_tree(workspace.folder(journal))
            raise
        if replaced is not None:
            remove_tree(workspace.folder(replaced))
            actions.append(f"removed what {replaced.id} had staged of {replaced.label}")
    actions += [f"will put {p.path} in place" for p in journal.placed]
    restore = _with_live(result_of(workspace, journal), instance)
    return Outcome(True, actions, restore, data_listing(journal, workspace))


def _with_live(restore: dict[str, Any], instance: Instance) -> dict[str, Any]:
    """The result with what the running server would lose if it were just stopped: `persisted` is false when it holds
    data that neither an AOF nor a save at its end would keep."""
    facts = instance.facts
    persisted = True
    if facts is not None and facts.keys:
        saves = bool(instance.config.get("save", "unknown"))
        persisted = facts.persistence()["aof_enabled"] or saves
    return {**restore, "live": {"state": instance.state, "keys": facts.keys if facts else None, "persisted": persisted}}


def find_backup(selection: Selection) -> Manifest:
    """The manifest of the selected backup. Raises NotFoundError, DamagedError."""
    store, name = selection.store, selection.instance
    if selection.label and selection.label != "latest":
        try:
            return read_entry(store, name, selection.label)
        except NotFoundError:
            pass  # the words below say what is there instead
    entries = list_backups([store], name)
    entry = choose(entries, name, store.where(), label=selection.label, at=selection.at)
    if entry.manifest is None:
        raise DamagedError(f"{entry.label} of {name} has no manifest", untouched=_UNTOUCHED)
    return entry.manifest


def _is_selected(journal: Journal, manifest: Manifest, selection: Selection) -> bool:
    return (journal.label, journal.source_instance, journal.repository) == (
        manifest.label,
        manifest.instance,
        selection.store.name,
    )


def restore_running(instance: Instance) -> RestoreError:
    """The refusal while another task holds the workspace."""
    return RestoreError(
        f"another restore of {instance.title} is running on this host",
        untouched="Nothing was changed",
        hint="Wait until it has ended, then run again",
    )


def require_data_dir(instance: Instance, *, create: bool = False) -> str:
    """The instance's data directory, made when only its last part is missing. Raises RestoreError when it is none."""
    directory = instance.paths.dir
    if not directory or not os.path.isabs(directory):
        raise RestoreError(
            f"the data directory of {instance.title} is not known: {instance.why or 'the server does not tell it'}",
            untouched="Nothing was changed",
            hint="Give data_dir, or config_file, or service",
        )
    if not os.path.isdir(directory):
        parent = os.path.dirname(directory)
        if os.path.lexists(directory) or not os.path.isdir(parent):
            raise RestoreError(
                f"the data directory {directory} of {instance.title} is no directory, or its parent is missing",
                untouched="Nothing was changed",
                hint="Mount or create it, owned by the server's user",
            )
        if create:
            _make_data_dir(instance, directory)
        return directory
    why = why_no_data_dir(os.listdir(directory), instance.paths)
    if why:
        raise RestoreError(
            f"{directory} is no Redis data directory: {why}",
            untouched="Nothing was changed",
            hint="Correct data_dir, or move the foreign files away",
        )
    for name in instance.paths.data_names():
        if os.path.ismount(os.path.join(directory, name)):
            raise RestoreError(
                f"{os.path.join(directory, name)} is a mount point of its own and cannot be swapped by a rename",
                untouched="Nothing was changed",
                hint="Mount the data directory as a whole",
            )
    return directory


def _make_data_dir(instance: Instance, directory: str) -> None:
    wanted = unit_user(instance.place.service)
    parent = os.stat(os.path.dirname(directory))
    uid, gid = wanted or (parent.st_uid, parent.st_gid)
    make_dirs(directory, 0o750)
    if os.geteuid() == 0:
        os.chown(directory, uid, gid)


def require_loadable(instance: Instance, manifest: Manifest) -> None:
    """Raise IncompatibleError when the target would refuse the backup: asked before a byte moves."""
    flavour, version = instance.version()
    why = why_not_loadable(manifest.rdb_format, flavour, version)
    if why:
        raise IncompatibleError(
            f"{instance.title} cannot load {manifest.label} of {manifest.instance}: {why}",
            untouched=_UNTOUCHED,
            hint="Restore into a server of the version that made it, or newer of the same flavour",
        )
    modules = [m["name"] for m in manifest.document["server"].get("modules", [])]
    loaded = instance.facts.info.get("module", "") if instance.facts else None
    lacking = [name for name in modules if loaded is not None and f"name={name}," not in loaded]
    if lacking:
        raise IncompatibleError(
            f"{manifest.label} was made with the modules {', '.join(lacking)}, which {instance.title} has not loaded",
            untouched=_UNTOUCHED,
            hint="Load them (loadmodule in redis.conf), then run again",
        )


def check_identities(manifest: Manifest, options: Options) -> None:
    """Raise ProgramError when an encrypted backup has no readable identity to open it."""
    if not manifest.encrypted:
        return
    hint = "Give identities: paths of age identity files on this host, readable for this user only"
    if not options.identities:
        raise ProgramError(f"{manifest.label} is encrypted and no identity is given", untouched=_UNTOUCHED, hint=hint)
    for path in options.identities:
        if not os.access(path, os.R_OK):
            raise ProgramError(f"the age identity {path} is missing or not readable", untouched=_UNTOUCHED, hint=hint)


def plan_layout(instance: Instance) -> DataLayout:
    """The files that make this instance load the backup at its next start."""
    known = bool(instance.paths.config_file) and os.path.exists(instance.paths.config_file)
    aof, rdb = aof_at_next_start(instance.config, instance.next_start, config_known=known)
    return data_layout(instance.paths, instance.version()[1], aof=aof, rdb=rdb)


def _rdb(manifest: Manifest) -> StoredFile:
    found = manifest.file("rdb")
    if found is None:
        raise DamagedError(f"{manifest.label} of {manifest.instance} has no RDB", untouched=_UNTOUCHED)
    return found


def _require_space(directory: str, rdb: StoredFile, layout: DataLayout) -> None:
    place = directory if os.path.isdir(directory) else os.path.dirname(directory)
    needed = rdb.size * layout.copies + _MARGIN
    free = free_bytes(place)
    if free < needed:
        raise RestoreError(
            f"{place} has {free} bytes left, staging needs {needed} (the current data is kept beside the restored)",
            untouched="Nothing was changed",
            hint="Free or add room there; closed restores below .redis_backup keep previous data that may go",
        )


def _fetch_data(
    instance: Instance,
    store: Store,
    manifest: Manifest,
    rdb: StoredFile,
    staged: str,
    layout: DataLayout,
    owner: Ownership,
    options: Options,
) -> None:
    """Fetch the RDB in one reading: hashed, opened, checked by the target's own tool, written, given to the server."""
    folder = backup_path(manifest.instance, manifest.label)
    check_sums(store, manifest)
    os.mkdir(staged, PRIVATE_DIR)
    first = os.path.join(staged, layout.rdb[0].name)
    make_dirs(os.path.dirname(first))
    where = store.where(f"{folder}/{rdb.name}")
    with RdbChecker(instance.program()) as checker, store.open(f"{folder}/{rdb.name}") as stream:
        with open(first, "xb", buffering=0) as out:
            chunks = load_chunks(stream, rdb, where, encrypted=manifest.encrypted, identities=options.identities)
            for chunk in chunks:
                checker.write(chunk)
                view = chunk
                while view:
                    view = view[out.write(view) :]
            os.fsync(out.fileno())
        report = checker.finish()
    if not report.ok:
        raise IncompatibleError(
            f"{where} is what was stored, but {instance.title} would not load it: {report.words}",
            untouched=_UNTOUCHED,
            hint="Restore into a server of the version that made it",
        )
    if report.keys != manifest.keys:
        raise DamagedError(
            f"{where} holds {report.keys} keys, its manifest says {manifest.keys}", untouched=_UNTOUCHED
        )
    for link in layout.rdb[1:]:
        target = os.path.join(staged, link.name)
        make_dirs(os.path.dirname(target))
        if link.copy or layout.rdb[0].copy:
            shutil.copyfile(first, target)
            _sync(target)
        else:
            os.link(first, target)
    for text in layout.texts:
        with open(os.path.join(staged, text.name), "x", encoding="utf-8") as out_text:
            out_text.write(text.text)
            out_text.flush()
            os.fsync(out_text.fileno())
    for root, _folders, files in os.walk(staged):
        for name in files:
            owner.give(os.path.join(root, name))
        if root != staged:
            owner.give(root)
        fsync_dir(root)


def _sync(path: str) -> None:
    with open(path, "rb") as stream:
        os.fsync(stream.fileno())


def _fetch_server_files(
    instance: Instance, store: Store, manifest: Manifest, workspace: Workspace, journal: Journal, options: Options
) -> list[Placed]:
    """Check the other artefacts, and lay ready those server files that are wanted."""
    folder = backup_path(manifest.instance, manifest.label)
    placed: list[Placed] = []
    for file in manifest.files:
        path = f"{folder}/{file.name}"
        if file.kind == "server" and options.server_files != "none":
            with store.open(path) as stream:
                chunks = load_chunks(
                    stream, file, store.where(path), encrypted=manifest.encrypted, identities=options.identities
                )
                _index, files = read_archive(b"".join(bytes(chunk) for chunk in chunks))
            placed += _lay_ready(files, instance.paths, workspace.folder(journal), options.server_files)
        elif file.kind != "rdb":
            with store.open(path) as stream:
                check_stored(stream, file, store.where(path))
    return placed


def wanted_files(files: Sequence[ServerFile], paths: Paths, policy: str) -> list[tuple[ServerFile, str]]:
    """The server files to put in place, and where: only at paths of the target's own, never at one a backup names.

    redis.conf comes back only where the target has none; includes only beside it.
    """
    chosen: list[tuple[ServerFile, str]] = []
    bare = bool(paths.config_file) and not os.path.exists(paths.config_file)
    for file in files:
        if file.kind == "acl" and paths.aclfile:
            if policy == "replace" or not os.path.exists(paths.aclfile) or not os.path.getsize(paths.aclfile):
                chosen.append((file, paths.aclfile))
        elif file.kind == "conf" and bare:
            chosen.append((file, paths.config_file))
        elif file.kind == "include" and bare:
            path = os.path.normpath(file.path)
            beside = os.path.dirname(paths.config_file) + "/"
            if path.startswith(beside) and not os.path.exists(path):
                chosen.append((file, path))
    return chosen


def _lay_ready(files: Sequence[ServerFile], paths: Paths, folder: str, policy: str) -> list[Placed]:
    placed = []
    ready = os.path.join(folder, "server")
    os.mkdir(ready, PRIVATE_DIR)
    for number, (file, path) in enumerate(wanted_files(files, paths, policy)):
        name = f"{number}-{file.kind}"
        with open(os.path.join(ready, name), "xb") as out:
            out.write(file.data)
            out.flush()
            os.fsync(out.fileno())
        mode, uid, gid = file.mode, *_ids(file)
        if os.path.exists(path):
            there = os.stat(path)
            mode, uid, gid = there.st_mode & 0o7777, there.st_uid, there.st_gid
        if os.geteuid() != 0:
            uid, gid = os.geteuid(), os.getegid()
        placed.append(Placed(path, file.kind, name, mode, uid, gid))
    fsync_dir(ready)
    return placed


def _ids(file: ServerFile) -> tuple[int, int]:
    """The owner's and group's numbers on this host; root where it has no such names."""
    try:
        return pwd.getpwnam(file.owner).pw_uid, grp.getgrnam(file.group).gr_gid
    except KeyError:
        return 0, 0
