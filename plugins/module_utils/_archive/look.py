# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The AOF as it lies on the disk at one moment: manifest read, files opened and measured, manifest read again.

The server goes on writing meanwhile. What is read of a file is held to the size that was measured, so that the clock
taken around it bounds when those bytes were written.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import TracebackType

from .._aof.manifest import ManifestError, parse_manifest
from .._errors import DamagedError, ServerError
from .._server.paths import Paths
from .._snapshot.rdb_header import HEADER_BYTES, parse_header
from .._times import now

MULTI = "multi"
SINGLE = "single"
_TRIES = 20
_PAUSE = 0.02
_LARGEST_MANIFEST = 1024 * 1024
_INCREMENT = re.compile(r"\.\d+\.incr\.aof$")


@dataclass(frozen=True)
class Seen:
    """One file: its size was taken between the times `before` and `after`.

    Of a base, `ctime` is the time of its fork as it tells itself (0 where it does not), `mtime` that of its last byte.
    """

    name: str
    kind: str
    seq: int
    inode: int
    size: int
    before: float
    after: float
    ctime: float = 0.0
    mtime: float = 0.0

    @property
    def key(self) -> tuple[str, int]:
        return self.name, self.inode


@dataclass(frozen=True)
class Look:
    """What a server would load. `increments` are in their order; of a single file it is the only one.

    `past` are increments that the server keeps although it has done with them (`aof-disable-auto-gc yes`). `folder` is
    the inode of the folder that is the AOF's own, else 0: a restore puts another in its place.
    """

    layout: str
    base: Seen | None
    increments: tuple[Seen, ...]
    before: float
    after: float
    past: tuple[Seen, ...] = ()
    folder: int = 0


@dataclass
class Files:
    """The open files of a look, by name and inode. They stay readable whatever the server renames or removes."""

    fds: dict[tuple[str, int], int] = field(default_factory=dict)

    def __enter__(self) -> Files:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.close()

    def add(self, key: tuple[str, int], fd: int) -> None:
        """Own an open file; where it is there already, the new descriptor is closed."""
        if key in self.fds:
            os.close(fd)
        else:
            self.fds[key] = fd

    def close(self) -> None:
        for fd in self.fds.values():
            os.close(fd)
        self.fds.clear()


def layout_of(paths: Paths, version: tuple[int, ...]) -> str:
    """How the server keeps its AOF; where its version is not known, the disk tells."""
    if version:
        return MULTI if version >= (7,) else SINGLE
    return MULTI if os.path.exists(paths.manifest) or not os.path.exists(paths.aof_file) else SINGLE


def look_at(paths: Paths, layout: str, files: Files, beyond: int | None = None) -> Look:
    """Look at the AOF; its files are opened into `files`. Raises ServerError when there is none, or it never rests.

    With `beyond`, increments of the past with a higher number are looked at too.
    """
    for _try in range(_TRIES):
        with contextlib.suppress(_Moved):
            return _look_multi(paths, files, beyond) if layout == MULTI else _look_single(paths, files)
        files.close()
        time.sleep(_PAUSE)
    raise ServerError(
        f"the AOF in {paths.dir} changed in the middle of each of {_TRIES} looks at it",
        untouched="Nothing was changed",
        hint="Look whether something else renames its files; the next pass tries again",
    )


class _Moved(Exception):
    """The server rewrote its AOF between two steps."""


def _look_multi(paths: Paths, files: Files, beyond: int | None) -> Look:
    folder = os.path.dirname(paths.manifest)
    before = now()
    raw = _read_manifest(paths.manifest)
    inode = _inode(folder)
    try:
        manifest = parse_manifest(raw)
    except ManifestError as error:
        raise ServerError(
            f"{paths.manifest} cannot be understood: {error}",
            untouched="Nothing was changed",
            hint="The server would not start with it; look with redis_aof, state checked",
        ) from None
    past: list[Seen] = []
    for each in sorted(manifest.history, key=lambda each: each.seq):
        if beyond is not None and each.seq > beyond and _INCREMENT.search(each.name):
            with contextlib.suppress(_Moved):  # the server removes these at any time
                past.append(_open(folder, each.name, "incr", each.seq, files))
    base = _open(folder, manifest.base.name, "base", manifest.base.seq, files) if manifest.base else None
    increments = tuple(_open(folder, each.name, "incr", each.seq, files) for each in manifest.increments)
    if _read_manifest(paths.manifest) != raw or _inode(folder) != inode:
        raise _Moved
    _refuse_while_switched_on(folder, paths.appendfilename, files, increments)
    return Look(MULTI, base, increments, before, now(), tuple(past), inode)


def _inode(path: str) -> int:
    try:
        return os.stat(path).st_ino
    except OSError:
        return 0


def mark_of(paths: Paths, layout: str) -> tuple[int, int]:
    """What changes with every rewrite and with nothing else: that of the manifest, or which file a single one is."""
    try:
        found = os.stat(paths.manifest if layout == MULTI else paths.aof_file)
    except OSError:
        return 0, 0
    return found.st_ino, found.st_mtime_ns if layout == MULTI else 0


def _refuse_while_switched_on(folder: str, name: str, files: Files, increments: tuple[Seen, ...]) -> None:
    """A server whose AOF was just switched on writes to a file of another name until its first rewrite has ended.

    What the manifest names is then as old as the day the AOF was switched off. A crash may leave such a file behind: it
    is older than what the server writes.
    """
    with contextlib.suppress(FileNotFoundError):
        written = os.stat(os.path.join(folder, f"temp-{name}.incr")).st_mtime
        if written >= max((os.fstat(files.fds[each.key]).st_mtime for each in increments), default=0.0):
            raise ServerError(
                f"the AOF in {folder} is being switched on: its first rewrite has not ended",
                untouched="Nothing was archived",
                hint="The pass after the rewrite begins with the new base",
            )


def _look_single(paths: Paths, files: Files) -> Look:
    before = now()
    folder, name = os.path.split(paths.aof_file)
    try:
        seen = _open(folder, name, "single", 1, files)
    except _Moved:
        raise _none(paths.aof_file) from None
    return Look(SINGLE, None, (seen,), before, now())


def _read_manifest(path: str) -> bytes:
    try:
        with open(path, "rb", opener=_opener) as stream:
            return stream.read(_LARGEST_MANIFEST)
    except FileNotFoundError:
        raise _none(path) from None
    except OSError as error:
        raise _unreadable(path, error) from None


def _none(path: str) -> ServerError:
    return ServerError(
        f"there is no AOF: {path} does not exist",
        untouched="Nothing was changed",
        hint="Turn the AOF on (appendonly yes), or correct config_file and data_dir",
    )


def _unreadable(path: str, error: OSError) -> ServerError:
    return ServerError(
        f"{path} cannot be read: {error.strerror}",
        untouched="Nothing was changed",
        hint="Run as the user of the server, or as root",
    )


def _opener(path: str, flags: int) -> int:
    """Plain files only, and never by a link: another user owns the folder where root may look."""
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)


def open_plain(path: str) -> int:
    """A descriptor of a plain file to read. Raises OSError."""
    fd = _opener(path, os.O_RDONLY)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise OSError(22, "it is no plain file", path)
    return fd


def _open(folder: str, name: str, kind: str, seq: int, files: Files) -> Seen:
    path = os.path.join(folder, name)
    try:
        fd = open_plain(path)
    except FileNotFoundError:
        raise _Moved from None
    except OSError as error:
        raise _unreadable(path, error) from None
    before = now()
    found = os.fstat(fd)
    after = now()
    key = (name, found.st_ino)
    files.add(key, fd)
    ctime = _ctime(files.fds[key], path) if kind == "base" else 0.0
    return Seen(name, kind, seq, found.st_ino, found.st_size, before, after, ctime, found.st_mtime)


def _ctime(fd: int, path: str) -> float:
    """The time of the fork, as an RDB says; 0 where it does not, or is none."""
    try:
        return float(parse_header(os.pread(fd, HEADER_BYTES, 0), path).ctime)
    except DamagedError:
        return 0.0


def bytes_of(fd: int, start: int, end: int, chunk: int = 1024 * 1024) -> Iterator[memoryview]:
    """The bytes of an open file from `start` up to `end`. Raises ServerError when it is shorter."""
    while start < end:
        data = os.pread(fd, min(chunk, end - start), start)
        if not data:
            raise ServerError(
                f"a file of the AOF became shorter than {end} bytes while it was read",
                untouched="Nothing was changed",
                hint="The next pass begins a new epoch of the archive",
            )
        start += len(data)
        yield memoryview(data)
