# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Staging a backup that the target refuses as it is: planned before a byte moves, converted beside the staged data."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace

from .._convert.convert import DUMP, Conversion, convert, source_home
from .._convert.holder import open_plain
from .._convert.program import find_loader
from .._errors import IncompatibleError, RestoreError
from .._files import PRIVATE_DIR, make_dirs, remove_tree
from .._repository.manifest import Manifest, StoredFile
from .._repository.store import Store
from .._server.compatibility import REFUSES, compatibility, made_of
from .._server.instance import Instance
from .._server.memory import available_memory
from .._snapshot.checker import check_file
from .aof import Loader, make_rdb
from .fetch import fetch_rdb, lay_out
from .guards import target_of
from .layout import DataLayout
from .ownership import Ownership
from .request import Options

_UNTOUCHED = "The live data was not touched"
_MEMORY_MARGIN = 64 * 1024 * 1024
_UNPACKED = 3  # how much larger than its RDB a data set is, where the manifest does not tell


@dataclass(frozen=True)
class PlannedConversion:
    """A conversion that nothing known beforehand speaks against; for the instance `title`."""

    wanted: Conversion
    title: str

    @property
    def words(self) -> str:
        wanted = self.wanted
        return f"by {wanted.loader_title} ({wanted.loader}) for {wanted.target.title}"


def _used_memory(manifest: Manifest, size: int) -> int:
    told = manifest.document["server"].get("used_memory_bytes")
    return told if isinstance(told, int) and told > 0 else size * _UNPACKED


def space_to_convert(manifest: Manifest, data: StoredFile) -> int:
    """Bytes that the files of a conversion take beside the staged data: the data as commands, twice."""
    used = _used_memory(manifest, data.size)
    return 2 * max(used, data.size * _UNPACKED if data.kind == "rdb" else used)


def space_to_load(manifest: Manifest, data: StoredFile) -> int:
    """Bytes that the RDB takes which is made of an AOF."""
    return _used_memory(manifest, data.size)


def require_memory(manifest: Manifest, data: StoredFile) -> None:
    """Raise RestoreError when this host has too little memory for a throw-away server that loads the backup."""
    needed = _used_memory(manifest, data.size) * 6 // 5 + _MEMORY_MARGIN
    available = available_memory()
    if available is not None and available < needed:
        raise RestoreError(
            f"this host has {available} bytes of memory left; {manifest.label} has to be loaded by a throw-away server "
            f"beside the running one first, which needs about {needed}",
            untouched=_UNTOUCHED,
            hint="Do it on another host: restore it there (with convert: true where needed), and back that server up",
        )


def plan_conversion(
    instance: Instance, manifest: Manifest, data: StoredFile, options: Options
) -> PlannedConversion:
    """How the backup is converted. Raises RedisBackupError for what would not do, or would lose too much."""
    made, target = made_of(manifest.document), target_of(instance)
    verdict = compatibility(made, target, options.convert_drop)
    loader, title = find_loader(options.convert_executable, made)
    if options.check_mode and verdict.result == REFUSES:
        lost = [loss for loss in verdict.losses if loss.certain and loss.name not in options.convert_drop]
        raise IncompatibleError(
            f"{manifest.label} of {manifest.instance} would lose {', '.join(loss.words for loss in lost)} when it is "
            f"converted for {target.title}",
            untouched=_UNTOUCHED,
            hint=f"To do without them, give convert_drop: [{', '.join(loss.name for loss in lost)}]",
        )
    what = f"{manifest.label} of {manifest.instance}"
    wanted = Conversion(what, made, target, loader, title, instance.program(), options.convert_drop)
    return PlannedConversion(wanted, instance.title)


def convert_data(
    planned: PlannedConversion,
    store: Store,
    manifest: Manifest,
    data: StoredFile,
    staged: str,
    layout: DataLayout,
    owner: Ownership,
    options: Options,
) -> tuple[int, int, list[str]]:
    """Fetch the backup, convert it, and lay the result ready: its keys, those that expire, and what is to be told.

    All of it happens in the folder of this restore, on the data's own file system.
    """
    wanted = replace(planned.wanted, user=(owner.uid, owner.gid))
    folder = os.path.join(os.path.dirname(staged), "convert")
    os.mkdir(folder, PRIVATE_DIR)
    path = os.path.join(source_home(folder), DUMP)
    keys = manifest.keys
    if data.kind == "rdb":
        fetch_rdb(store, manifest, data, path, wanted.loader, wanted.loader_title, options)
    else:
        loader = Loader(wanted.loader, wanted.loader_title, (owner.uid, owner.gid))
        keys = make_rdb(store, manifest, data, folder, path, loader, options).keys
    done = convert(wanted, folder, keys)
    fd = open_plain(done.path)
    try:
        report = check_file(wanted.program, fd)
        os.fsync(fd)
        checked = os.fstat(fd)
    finally:
        os.close(fd)
    if not report.ok or not keys - done.may_lack <= report.keys <= keys:
        raise IncompatibleError(
            f"{wanted.what} was converted to {report.keys} of its {keys} keys, and {planned.title} would not "
            f"load them as a whole: {report.words}",
            untouched=_UNTOUCHED,
            hint="Restore into a server of the version that made it, and tell us",
        )
    os.mkdir(staged, PRIVATE_DIR)
    first = os.path.join(staged, layout.rdb[0].name)
    make_dirs(os.path.dirname(first))
    os.rename(done.path, first)
    if not os.path.samestat(checked, os.lstat(first)):
        why = f"{first} is not the file that was checked"
        raise RestoreError(why, untouched=_UNTOUCHED, hint="Look who writes below the data directory")
    remove_tree(folder)
    lay_out(staged, layout, owner)
    return report.keys, report.expires, done.notes
