# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Staging a backup of an AOF: its files under the target's names; or, where that starts from its dump file, an RDB.

The RDB is made by a throw-away server that has loaded the AOF. So is one for a target with fewer databases than the
server that was backed up: its AOF may select one that is empty now, and the target would not start.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass

from .._aof.manifest import AofManifest
from .._aof.packed import Placement, SetError, SetFound, opener_in, place_set, read_packed
from .._config.quoting import quote_arg
from .._convert.convert import DUMP
from .._convert.holder import Holder, holder, new_home, open_plain
from .._errors import IncompatibleError
from .._files import PRIVATE_DIR, make_dirs, remove_tree
from .._repository.catalog import check_sums
from .._repository.layout import backup_path
from .._repository.manifest import Manifest, StoredFile
from .._repository.pipeline import load_chunks
from .._repository.store import Store
from .._server.connection import ReplyError
from .._server.instance import Instance
from .._server.programs import program_version
from .._snapshot.checker import check_file
from .._snapshot.proof import CheckReport
from .fetch import lay_out, settle, sync
from .layout import DataLayout
from .ownership import Ownership, own_files
from .request import Options

_UNTOUCHED = "The live data was not touched"
_DATABASES = 1024
DIR, FILE = "appendonlydir", "appendonly.aof"


@dataclass(frozen=True)
class Loader:
    """A server program, in words, and the user it runs as where we may choose."""

    program: str
    title: str
    user: tuple[int, int]


def fetch_aof(
    instance: Instance,
    store: Store,
    manifest: Manifest,
    data: StoredFile,
    staged: str,
    owner: Ownership,
    options: Options,
) -> None:
    """Fetch the AOF in one reading: hashed, opened, followed, written under the target's names, given to the server."""
    os.mkdir(staged, PRIVATE_DIR)
    paths, version = instance.paths, instance.version()[1]
    names = (paths.appenddirname, paths.appendfilename)
    loader = Loader(instance.program(), instance.title, (0, 0))
    fetch_set(store, manifest, data, staged, version, names, loader, options)
    for root, _folders, files in os.walk(staged):
        for name in files:
            sync(os.path.join(root, name))
    settle(staged, owner)


def fetch_as_rdb(
    instance: Instance,
    store: Store,
    manifest: Manifest,
    data: StoredFile,
    staged: str,
    layout: DataLayout,
    owner: Ownership,
    options: Options,
) -> CheckReport:
    """Fetch the AOF, have the target's own program make an RDB of it, and lay that ready."""
    loader = Loader(instance.program(), instance.title, (owner.uid, owner.gid))
    folder = os.path.join(os.path.dirname(staged), "load")
    os.mkdir(folder, PRIVATE_DIR)
    os.mkdir(staged, PRIVATE_DIR)
    first = os.path.join(staged, layout.rdb[0].name)
    make_dirs(os.path.dirname(first))
    report = make_rdb(store, manifest, data, folder, first, loader, options)
    remove_tree(folder)
    lay_out(staged, layout, owner)
    return report


def make_rdb(
    store: Store, manifest: Manifest, data: StoredFile, folder: str, path: str, loader: Loader, options: Options
) -> CheckReport:
    """Fetch an AOF, have a throw-away server load it and write an RDB to `path`; what that holds.

    All of it happens in `folder`. Raises IncompatibleError when it is not what the manifest says.
    """
    home = new_home(folder, "aof")
    version = program_version(loader.program)[1]
    fetch_set(store, manifest, data, home, version, (DIR, FILE), loader, options)
    report = save_rdb(home, path, max(_DATABASES, int(manifest.aof.get("databases") or 0)), loader)
    if not report.ok or abs(report.keys - manifest.keys) > manifest.key_room:
        raise IncompatibleError(
            f"{manifest.label} of {manifest.instance} was loaded by {loader.title} into {report.keys} of its "
            f"{manifest.keys} keys: {report.words}",
            untouched=_UNTOUCHED,
            hint="Restore into a server of the version that made it",
        )
    return report


@contextlib.contextmanager
def loaded_aof(home: str, databases: int, loader: Loader, names: tuple[str, str] = (DIR, FILE)) -> Iterator[Holder]:
    """A throw-away server that has loaded the AOF in `home`, which lies there under `names`."""
    if os.geteuid() == 0:
        for fd in own_files(home):
            os.fchown(fd, *loader.user)
    lines = ["appendonly yes", f"appendfilename {quote_arg(names[1])}"]
    lines += [f"appenddirname {quote_arg(names[0])}"] if program_version(loader.program)[1] >= (7, 0) else []
    with holder(loader.program, home, loader.user, databases, lines) as loaded:
        yield loaded


def save_rdb(home: str, path: str, databases: int, loader: Loader) -> CheckReport:
    """Have a throw-away server load the AOF in `home` and write an RDB to `path`; what that holds. `home` goes."""
    with loaded_aof(home, databases, loader) as loaded:
        try:
            loaded.server.call("SAVE")
        except ReplyError:
            raise loaded.failed("could not save what it had loaded") from None
    made = os.path.join(home, DUMP)
    fd = open_plain(made)
    try:
        report = check_file(loader.program, fd)
        os.fsync(fd)
        checked = os.fstat(fd)
    finally:
        os.close(fd)
    os.rename(made, path)
    if not os.path.samestat(checked, os.lstat(path)):
        raise IncompatibleError(
            f"{path} is not the file that was checked",
            untouched=_UNTOUCHED,
            hint="Look who writes below the data directory",
        )
    remove_tree(home)
    return report


def fetch_set(
    store: Store,
    manifest: Manifest,
    data: StoredFile,
    root: str,
    version: tuple[int, ...],
    names: tuple[str, str],
    loader: Loader,
    options: Options,
) -> SetFound:
    """Read the stored AOF once and write its files below `root`, where a server of `version` looks for `names`."""

    def placing(found: AofManifest | None, member: str) -> Placement:
        return place_set(found, member, version, *names)

    check_sums(store, manifest)
    path = f"{backup_path(manifest.instance, manifest.label)}/{data.name}"
    where = store.where(path)
    with store.open(path) as stream:
        chunks = load_chunks(stream, data, where, encrypted=manifest.encrypted, identities=options.identities)
        try:
            return read_packed(chunks, loader.program, placing, opener_in(root))
        except SetError as error:
            for _rest in chunks:  # damaged bytes are told as such: the last one tells
                pass
            raise IncompatibleError(
                f"{where} is what was stored, but {loader.title} would not load it: {error}",
                untouched=_UNTOUCHED,
                hint="Restore into a server of the version that made it",
            ) from None
