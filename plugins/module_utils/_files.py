# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that survive a crash: atomic writes, directory syncs, advisory locks, free space."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import shutil
import time
from collections.abc import Iterator
from typing import Any

from ._errors import RedisBackupError

PRIVATE_FILE = 0o600
PRIVATE_DIR = 0o700
_TURN = 0.1  # seconds


def fsync_dir(path: str) -> None:
    """Make the names in directory `path` durable. File systems that cannot (SMB, some FUSE) are left alone."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EBADF):
            raise
    finally:
        os.close(fd)


def make_dirs(path: str, mode: int = PRIVATE_DIR) -> None:
    """Create `path` and its missing parents with `mode`, each name durable."""
    missing = []
    while not os.path.isdir(path):
        missing.append(path)
        path = os.path.dirname(path) or "."
    for name in reversed(missing):
        with contextlib.suppress(FileExistsError):
            os.mkdir(name, mode)
        fsync_dir(os.path.dirname(name) or ".")


def write_atomic(path: str, data: bytes, *, mode: int = PRIVATE_FILE, owner: tuple[int, int] | None = None) -> None:
    """Replace `path` by `data` in one step: readers see the old bytes or the new, also after a power cut."""
    directory = os.path.dirname(path) or "."
    # One fixed name: what a crash leaves is replaced by the next write. Made anew, so that no planted link is followed.
    temporary = os.path.join(directory, f".{os.path.basename(path)}.tmp")
    with contextlib.suppress(FileNotFoundError):
        os.unlink(temporary)
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, PRIVATE_FILE)
    try:
        with os.fdopen(fd, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fchmod(stream.fileno(), mode)
            if owner is not None:
                os.fchown(stream.fileno(), *owner)
            os.fsync(stream.fileno())
        os.rename(temporary, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise
    fsync_dir(directory)


def read_json(path: str) -> Any:
    """The JSON document in `path`. Raises OSError and ValueError."""
    with open(path, "rb") as stream:
        return json.loads(stream.read())


def write_json(path: str, document: Any, *, mode: int = PRIVATE_FILE) -> None:
    """Write `document` as readable JSON, atomically."""
    write_atomic(path, json.dumps(document, indent=2, sort_keys=True).encode() + b"\n", mode=mode)


def free_bytes(path: str) -> int:
    """Bytes that this user may still write on the file system of `path`."""
    found = os.statvfs(path)
    return found.f_bavail * found.f_frsize


def remove_tree(path: str) -> None:
    """Remove a directory tree, if it is there."""
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(path)


@contextlib.contextmanager
def locked_dir(path: str, *, busy: RedisBackupError) -> Iterator[int]:
    """Hold an exclusive flock on the directory `path`, or raise `busy` at once; gives it open. No link is followed.

    Below `/proc/self/fd/<it>` it stays the same directory, whatever somebody puts in its place.
    """
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        _flock(fd, busy)
        yield fd
    finally:
        os.close(fd)


def _flock(fd: int, busy: RedisBackupError) -> None:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
            raise busy from None
        if error.errno not in (errno.ENOTSUP, errno.ENOLCK, errno.EBADF):
            raise


def is_at(path: str, found: os.stat_result) -> bool:
    """Whether the file that `found` tells of is the one at `path`."""
    try:
        return os.path.samestat(os.stat(path), found)
    except FileNotFoundError:
        return False


@contextlib.contextmanager
def locked(path: str, *, busy: RedisBackupError) -> Iterator[None]:
    """Hold an exclusive flock on the file `path` (created when missing), or raise `busy` at once.

    The kernel drops the lock with the process, so a crash never leaves it behind; the file itself stays, unless whoever
    holds it removes it.
    """
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, PRIVATE_FILE)
    try:
        _flock(fd, busy)
        if not is_at(path, os.fstat(fd)):  # it was removed between the two: the next one makes a lock of its own
            raise busy
        yield
    finally:
        os.close(fd)


@contextlib.contextmanager
def locked_in_turn(path: str, *, busy: RedisBackupError, patience: float) -> Iterator[None]:
    """As `locked`, but wait for the lock, and raise `busy` only after so many seconds."""
    deadline = time.monotonic() + patience
    with contextlib.ExitStack() as held:
        while True:
            try:
                held.enter_context(locked(path, busy=busy))
                break
            except RedisBackupError as error:
                if error is not busy or time.monotonic() >= deadline:
                    raise
                time.sleep(_TURN)
        yield
