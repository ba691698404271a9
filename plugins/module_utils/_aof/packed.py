# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The archive of one AOF: made of a pinned set, and read back, each file held against what a server accepts.

    appendonlydir/appendonly.aof.manifest       or, of servers before 7.0,      appendonly.aof
    appendonlydir/appendonly.aof.2.base.rdb
    appendonlydir/appendonly.aof.2.incr.aof
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import BinaryIO, Callable, Optional, cast

from .._files import PRIVATE_DIR, PRIVATE_FILE
from .manifest import BASE, INCREMENT, AofFile, AofManifest, ManifestError, parse_manifest
from .pin import SINGLE, PinnedSet, pinned_chunks
from .scan import FileFound, FileScan
from .tar import END, TarError, Untar, header, padding

ENGINE = "aof"
_MANIFEST_LIMIT = 1024 * 1024
_SUFFIX = ".manifest"


class SetError(ValueError):
    """What is in the archive is no AOF that a server loads as a whole."""


class TornError(Exception):
    """The last file ends within a command or a transaction; `whole` is where what can be used of it ends."""

    def __init__(self, whole: int) -> None:
        self.whole = whole
        super().__init__(f"the last file is whole up to byte {whole}")


@dataclass
class SetFound:
    """What an AOF holds: its files in the order in which they are loaded."""

    manifest: AofManifest | None = None
    files: dict[str, FileFound] = field(default_factory=dict)

    @property
    def commands(self) -> int:
        return sum(each.commands for each in self.files.values())

    @property
    def first_stamp(self) -> int | None:
        return next((each.first_stamp for each in self.files.values() if each.first_stamp is not None), None)

    @property
    def last_stamp(self) -> int | None:
        found = [each.last_stamp for each in self.files.values() if each.last_stamp is not None]
        return found[-1] if found else None


def packed_chunks(pinned: PinnedSet, sizes: Mapping[str, int], program: str, found: SetFound) -> Iterator[memoryview]:
    """The archive of a pinned set, of each file as many bytes as `sizes` says; `found` gains what was read.

    Raises SetError when a file is damaged, TornError (at the end) when the last one has to be cut shorter.
    """
    found.manifest, found.files = pinned.manifest, {}
    if pinned.manifest is not None and pinned.manifest.base is None:
        raise SetError("its manifest names no base")
    _require_distinct([file.name for file in pinned.files])
    mtime = int(pinned.taken_at)
    folder = "" if pinned.manifest is None else f"{pinned.paths.appenddirname}/"
    if pinned.manifest is not None:
        data = pinned.manifest.without_history().data()
        yield memoryview(header(f"{folder}{pinned.paths.appendfilename}{_SUFFIX}", len(data), mtime))
        yield memoryview(data + padding(len(data)))
    for file in pinned.files:
        size = sizes[file.name]
        yield memoryview(header(f"{folder}{file.name}", size, mtime))
        with FileScan(program, file.name) as scan:
            for chunk in pinned_chunks(file, size):
                scan.write(chunk)
                yield chunk
                if scan.hopeless:
                    break
            held = found.files[file.name] = scan.finish()
        _require_whole(file.name, held, last=file is pinned.files[-1])
        yield memoryview(padding(size))
    if held.torn:
        raise TornError(held.whole)
    yield memoryview(END)


def _require_whole(name: str, held: FileFound, *, last: bool) -> None:
    """Raise SetError for a file that no server loads; only the last one may be torn."""
    if held.wrong:
        raise SetError(f"{name} is damaged {held.wrong}" if held.wrong.startswith("at ") else f"{name}: {held.wrong}")
    if held.torn and not last:
        raise SetError(f"{name} is cut at byte {held.whole}, and it is not the last file")


@dataclass(frozen=True)
class Placement:
    """Where the files of an archive go, by their names in it, and the text of the new manifest, if there is one.

    Paths are relative to the data directory; `top` is its entry that holds all.
    """

    top: str
    files: Mapping[str, str]
    manifest: str = ""
    text: bytes = b""


def place_set(
    manifest: AofManifest | None, member: str, version: tuple[int, ...], dirname: str, filename: str
) -> Placement:
    """Where an AOF goes on a server of `version` that calls its directory and files so. Pure.

    The one file of an older server (`member`) becomes the base of a newer one. Raises SetError where that server cannot
    load several files.
    """
    if version < (7, 0):
        if manifest is not None:
            raise SetError("an AOF of several files is not loaded by a server before 7.0")
        return Placement(filename, {member: filename})
    wanted = manifest.without_history().files if manifest is not None else (AofFile(member, 1, BASE),)
    named, lines = {}, []
    for file in wanted:
        rdb = file.type == BASE and file.name.endswith(".rdb")
        kind = f"base.{'rdb' if rdb else 'aof'}" if file.type == BASE else "incr.aof"
        name = f"{filename}.{file.seq}.{kind}"
        named[file.name] = f"{dirname}/{name}"
        lines.append(AofFile(name, file.seq, file.type))  # offsets of another server's replication mean nothing here
    return Placement(dirname, named, f"{dirname}/{filename}{_SUFFIX}", AofManifest(tuple(lines)).data())


Opener = Callable[[str], BinaryIO]


def opener_in(root: str) -> Opener:
    """Opens new files below `root`, private to us, and makes the directory they lie in."""

    def opener(path: str) -> BinaryIO:
        whole = os.path.join(root, path)
        os.makedirs(os.path.dirname(whole), mode=PRIVATE_DIR, exist_ok=True)
        fd = os.open(whole, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, PRIVATE_FILE)
        return cast("BinaryIO", os.fdopen(fd, "wb", buffering=0))

    return opener


Placing = Callable[[Optional[AofManifest], str], Placement]


def read_packed(chunks: Iterable[memoryview], program: str, placing: Placing | None, opener: Opener | None) -> SetFound:
    """Read an archive once, and write its files where `placing` says, into what `opener` opens. All its bytes are read.

    Raises SetError when it is none, or when a server would not load all of it.
    """
    try:
        return _read(Untar(chunks), program, placing, opener)
    except TarError as error:
        raise SetError(str(error)) from None


def _read(archive: Untar, program: str, placing: Placing | None, opener: Opener | None) -> SetFound:
    found = SetFound()
    wanted: list[str] = []
    placed: Placement | None = None
    for name, size in archive.members():
        folder, _slash, base = name.rpartition("/")
        if not wanted:
            found.manifest, wanted = _begin(archive, name, size)
            placed = placing(found.manifest, base) if placing else None
            if placed is not None and placed.manifest and opener is not None:
                with opener(placed.manifest) as out:
                    _write(out, memoryview(placed.text))
            if found.manifest is not None:
                top = folder
                continue
            top = ""
        number = len(found.files)
        if number >= len(wanted) or base != wanted[number] or folder != top:
            raise SetError(f"it holds {name!r}, which its manifest does not name at that place")
        with ExitStack() as stack:
            scan = stack.enter_context(FileScan(program, base))
            out_file = stack.enter_context(opener(placed.files[base])) if placed is not None and opener else None
            for chunk in archive.data():
                scan.write(chunk)
                if out_file is not None:
                    _write(out_file, chunk)
            found.files[base] = scan.finish()
        _require_whole(base, found.files[base], last=False)
    if not wanted or len(found.files) < len(wanted):
        raise SetError(f"it lacks {', '.join(wanted[len(found.files) :]) or 'everything'}")
    return found


def _begin(archive: Untar, name: str, size: int) -> tuple[AofManifest | None, list[str]]:
    """The manifest, if the first file is one, and the names that must follow."""
    folder, _slash, base = name.rpartition("/")
    if not folder:
        return None, [base]
    if "/" in folder or folder in (".", "..") or not base.endswith(_SUFFIX) or size > _MANIFEST_LIMIT:
        raise SetError(f"it begins with {name!r}, which is no manifest")
    try:
        manifest = parse_manifest(b"".join(bytes(chunk) for chunk in archive.data()))
    except ManifestError as error:
        raise SetError(f"its manifest is none: {error}") from None
    if manifest.history or manifest.base is None:
        raise SetError("its manifest names no base, or files that are no part of the data")
    names = [manifest.base.name, *(file.name for file in manifest.increments)]
    _require_distinct(names)
    return manifest, names


def _require_distinct(names: Sequence[str]) -> None:
    if len(set(names)) < len(names):
        raise SetError("its manifest names one file twice")


def _write(out: BinaryIO, view: memoryview) -> None:
    while view:
        view = view[out.write(view) :]


def kind_words(manifest: AofManifest | None, name: str) -> str:
    """What a file is, in a word: `base`, `incr`, or `single`."""
    if manifest is None:
        return SINGLE
    return {BASE: "base", INCREMENT: "incr"}[next(f.type for f in manifest.files if f.name == name)]
