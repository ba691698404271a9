# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An AOF on disk as one thing: 6.2's single file and the directory of later servers, an ordered list of parts."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from typing import BinaryIO

from .._errors import AofError
from .manifest import BASE, AofFile, AofManifest, ManifestError, parse_manifest
from .resp import Reader

BASE_RDB = "base-rdb"
BASE_AOF = "base-aof"
INCREMENT = "incr"
SINGLE = "single"
MANIFEST_SUFFIX = ".manifest"
_TEMPORARY = "temp-"  # a manifest that the server is writing
RDB_MARKS = (b"REDIS", b"VALKEY")
_CHUNK = 256 * 1024  # a piece that stays in the processor's cache
_LARGEST_MANIFEST = 1024 * 1024
_UNTOUCHED = "Nothing was changed"


@dataclass(frozen=True)
class Part:
    """One file that the server loads. `file` is its line in the manifest, None for a single file."""

    path: str
    kind: str
    file: AofFile | None = None

    @property
    def name(self) -> str:
        return os.path.basename(self.path)


@dataclass(frozen=True)
class AofSet:
    """An AOF: its directory, its manifest (None for a single file), and its parts in the order of loading."""

    directory: str
    manifest: AofManifest | None
    parts: tuple[Part, ...]
    manifest_path: str = ""

    @property
    def title(self) -> str:
        """The path that stands for the whole, for messages."""
        return self.manifest_path or self.parts[0].path


def open_set(path: str) -> AofSet:
    """The AOF at `path`: its manifest, the directory in which that lies, or a single file. Raises AofError.

    A file that the manifest names may be missing: that is for the check to find.
    """
    if os.path.isdir(path):
        path = _manifest_in(path)
    if not path.endswith(MANIFEST_SUFFIX):
        if not os.path.isfile(path):
            raise AofError(f"There is no AOF at {path}", untouched=_UNTOUCHED, hint="Give its path as `path`")
        return AofSet(os.path.dirname(path), None, (Part(path, SINGLE),))
    return set_of(read_manifest(path), path)


def set_of(manifest: AofManifest, path: str) -> AofSet:
    """The files of a manifest that lies, or is to lie, at `path`."""
    directory = os.path.dirname(path)
    loaded = ((manifest.base,) if manifest.base else ()) + manifest.increments
    return AofSet(directory, manifest, tuple(_part(directory, each) for each in loaded), path)


def read_manifest(path: str) -> AofManifest:
    """The manifest at `path`. Raises AofError when it cannot be read, or no server would start with it."""
    try:
        return parse_manifest(manifest_data(path))
    except ManifestError as error:
        raise AofError(
            f"No server would start with the manifest {path}: {error}",
            untouched=_UNTOUCHED,
            hint="Compare it with the files beside it: each line is `file NAME seq NUMBER type b|i|h`",
            line=error.line,
            reason=error.reason,
        ) from None


def manifest_data(path: str) -> bytes:
    """The bytes of a manifest. Raises AofError."""
    try:
        with open_plain(path) as stream:
            data = stream.read(_LARGEST_MANIFEST + 1)
    except OSError as error:
        raise AofError(f"The manifest {path} cannot be read: {error.strerror}", untouched=_UNTOUCHED) from None
    if len(data) > _LARGEST_MANIFEST:
        raise AofError(f"The manifest {path} is larger than {_LARGEST_MANIFEST} bytes", untouched=_UNTOUCHED)
    return data


def open_plain(path: str) -> BinaryIO:
    """Open a file to read. Raises OSError; and AofError for a directory, a device, or a pipe, which would never end."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise AofError(f"{path} is no file", untouched=_UNTOUCHED, hint="Look who put it there")
    return os.fdopen(fd, "rb")


def begins_with_rdb(stream: BinaryIO) -> bool:
    """Whether a file begins with an RDB (the servers look at its first bytes, not at its name); rewinds it."""
    stream.seek(0)
    start = stream.read(max(map(len, RDB_MARKS)))
    stream.seek(0)
    return start.startswith(RDB_MARKS)


def read_into(reader: Reader, stream: BinaryIO, size: int | None = None) -> None:
    """Feed the file from its position on, `size` bytes at most; ends early at damage. `finish` is the caller's."""
    left = size
    while left != 0 and reader.damage is None:
        data = stream.read(_CHUNK if left is None else min(_CHUNK, left))
        if not data:
            return
        reader.feed(data)
        if left is not None:
            left -= len(data)


def _part(directory: str, file: AofFile) -> Part:
    path = os.path.join(directory, file.name)
    if file.type != BASE:
        return Part(path, INCREMENT, file)
    try:
        with open_plain(path) as stream:
            rdb = begins_with_rdb(stream)
    except (OSError, AofError):  # missing, or no file
        rdb = file.name.endswith(".rdb")
    return Part(path, BASE_RDB if rdb else BASE_AOF, file)


def _manifest_in(directory: str) -> str:
    """The only manifest of a directory."""
    try:
        names = sorted(os.listdir(directory))
    except OSError as error:
        raise AofError(f"The directory {directory} cannot be read: {error.strerror}", untouched=_UNTOUCHED) from None
    found = [name for name in names if name.endswith(MANIFEST_SUFFIX) and not name.startswith(_TEMPORARY)]
    if len(found) != 1:
        many = f"{len(found)} manifests: {', '.join(found)}" if found else "no manifest"
        raise AofError(
            f"The directory {directory} holds {many}", untouched=_UNTOUCHED, hint="Give a manifest's path as `path`"
        )
    return os.path.join(directory, found[0])
