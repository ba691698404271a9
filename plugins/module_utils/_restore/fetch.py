# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fetching what a restore needs: hashed, opened, checked, written and given to the server's user in one reading."""

from __future__ import annotations

import grp
import os
import pwd
import shutil
from collections.abc import Sequence

from .._backup.server_files import ServerFile, read_archive
from .._config.quoting import ENCODING, ERRORS
from .._errors import DamagedError, IncompatibleError
from .._files import PRIVATE_DIR, fsync_dir, make_dirs
from .._repository.catalog import check_sums
from .._repository.layout import backup_path
from .._repository.manifest import DATA_KINDS, Manifest, StoredFile
from .._repository.pipeline import check_stored, load_chunks, load_into
from .._repository.store import Store
from .._server.facts import parse_version
from .._server.instance import Instance
from .._server.paths import Paths
from .._server.programs import program_version
from .._snapshot.checker import TOOL as CHECK_TOOL
from .._snapshot.checker import RdbChecker
from .._snapshot.proof import CheckReport
from .journal import Journal, Placed, Workspace
from .layout import DataLayout
from .ownership import Ownership, own_files
from .request import Options

_UNTOUCHED = "The live data was not touched"


def fetch_data(
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
    os.mkdir(staged, PRIVATE_DIR)
    first = os.path.join(staged, layout.rdb[0].name)
    make_dirs(os.path.dirname(first))
    program = instance.program()
    # A server that is down waits for every second of this; beside one that serves there is time to ask twice.
    known = instance.facts is None and was_accepted(manifest, program_version(program))
    fetch_rdb(store, manifest, rdb, first, program, instance.title, options, known=known)
    lay_out(staged, layout, owner)


def fetch_rdb(
    store: Store,
    manifest: Manifest,
    rdb: StoredFile,
    path: str,
    program: str,
    title: str,
    options: Options,
    *,
    known: bool = False,
) -> None:
    """Write the backup's RDB to `path`: hashed, opened and checked by the server's `program` (`title`) on its way.

    `known`: its verdict is known, it need not be asked.
    """
    folder = backup_path(manifest.instance, manifest.label)
    check_sums(store, manifest)
    where = store.where(f"{folder}/{rdb.name}")
    report: CheckReport | None = None
    with store.open(f"{folder}/{rdb.name}") as stream, open(path, "xb", buffering=0) as out:
        if known:
            load_into(out, stream, rdb, where, encrypted=manifest.encrypted, identities=options.identities)
        else:
            with RdbChecker(program) as checker:
                chunks = load_chunks(stream, rdb, where, encrypted=manifest.encrypted, identities=options.identities)
                for chunk in chunks:
                    checker.write(chunk)
                    view = chunk
                    while view:
                        view = view[out.write(view) :]
                report = checker.finish()
        os.fsync(out.fileno())
    if report is None:
        return
    if not report.ok:
        raise IncompatibleError(
            f"{where} is what was stored, but {title} would not load it: {report.words}",
            untouched=_UNTOUCHED,
            hint="Restore into a server of the version that made it",
        )
    if report.keys != manifest.keys:
        raise DamagedError(
            f"{where} holds {report.keys} keys, its manifest says {manifest.keys}", untouched=_UNTOUCHED
        )


def was_accepted(manifest: Manifest, program: tuple[str, tuple[int, ...]]) -> bool:
    """Whether redis-check-rdb of this very version (flavour and numbers) has accepted these very bytes before. Pure.

    The SHA-256 proves the bytes to be the same, so its verdict would be too: asking again would cost a recovery more
    time than all else before the load.
    """
    server = manifest.document["server"]
    said = [check.get("ok") for check in manifest.document.get("checks", []) if check.get("name") == CHECK_TOOL]
    return said == [True] and (server.get("flavour"), parse_version(str(server.get("version")))) == program


def lay_out(staged: str, layout: DataLayout, owner: Ownership) -> None:
    """Give the RDB, which lies under the layout's first name, its other names and files, and all to the server."""
    first = os.path.join(staged, layout.rdb[0].name)
    for link in layout.rdb[1:]:
        target = os.path.join(staged, link.name)
        make_dirs(os.path.dirname(target))
        if link.copy or layout.rdb[0].copy:
            shutil.copyfile(first, target)
            sync(target)
        else:
            os.link(first, target)
    for text in layout.texts:
        with open(os.path.join(staged, text.name), "x", encoding=ENCODING, errors=ERRORS) as out_text:
            out_text.write(text.text)
            out_text.flush()
            os.fsync(out_text.fileno())
    settle(staged, owner)


def settle(staged: str, owner: Ownership) -> None:
    """Give all that is staged to the server's user, and make its names durable."""
    for fd in own_files(staged):
        owner.give(fd)
        os.fsync(fd)
    fsync_dir(staged)


def sync(path: str) -> None:
    with open(path, "rb") as stream:
        os.fsync(stream.fileno())


def fetch_server_files(
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
        elif file.kind not in DATA_KINDS:
            with store.open(path) as stream:
                check_stored(stream, file, store.where(path))
    return placed


def wanted_files(files: Sequence[ServerFile], paths: Paths, policy: str) -> list[tuple[ServerFile, str]]:
    """The server files to put in place, and where: only at paths of the target's own, never at one a backup names.

    redis.conf comes back only where the target has none; includes only beside it. The ACL file that such a redis.conf
    names, and without which the server would not start, comes back beside it or in the data directory.
    """
    chosen: list[tuple[ServerFile, str]] = []
    bare = bool(paths.config_file) and not os.path.exists(paths.config_file)
    beside = os.path.dirname(paths.config_file)
    for file in files:
        path = os.path.normpath(file.path)
        if file.kind == "acl" and paths.aclfile:
            if policy == "replace" or not os.path.exists(paths.aclfile) or not os.path.getsize(paths.aclfile):
                chosen.append((file, paths.aclfile))
        elif file.kind == "acl" and bare:
            at_home = os.path.dirname(path) in (beside, paths.dir) and os.path.basename(path) not in paths.data_names()
            if at_home and not os.path.exists(path):
                chosen.append((file, path))
        elif file.kind == "conf" and bare:
            chosen.append((file, paths.config_file))
        elif file.kind == "include" and bare and path.startswith(f"{beside}/") and not os.path.exists(path):
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
