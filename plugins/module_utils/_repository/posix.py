# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A repository in a directory: a local disk, or any network file system that is mounted."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import socket
import stat
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from typing import BinaryIO

from .._errors import NotFoundError, RepositoryError
from .._files import PRIVATE_DIR, PRIVATE_FILE, free_bytes, fsync_dir, locked, make_dirs, write_atomic
from .layout import LOCK, PART
from .store import StoredObject, each_read

_UNTOUCHED = "The server and the earlier backups are as they were"


def _open_file(path: str, flags: int) -> int:
    """Open a file to read. Raises OSError for a pipe or a device, where a reader might wait for ever."""
    fd = os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC)
    if stat.S_ISREG(os.fstat(fd).st_mode) or stat.S_ISDIR(os.fstat(fd).st_mode):
        return fd
    os.close(fd)
    raise OSError(errno.EINVAL, "it is no plain file", path)


class PosixSink:
    """A file written beside its name and renamed onto it when complete and on disk."""

    def __init__(self, store: PosixStore, path: str) -> None:
        self._store = store
        self._path = path
        self._part = path + PART
        with store.told(path):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._part)  # left by a run that was killed, or laid there: never written through
            self._fd = os.open(self._part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, PRIVATE_FILE)

    def write(self, data: bytes) -> None:
        view = memoryview(data)
        with self._store.told(self._path):
            while view:
                view = view[os.write(self._fd, view) :]

    def commit(self) -> None:
        with self._store.told(self._path):
            os.fsync(self._fd)
            os.close(self._fd)
            self._fd = -1
            os.rename(self._part, self._path)
            fsync_dir(os.path.dirname(self._path))

    def abort(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        with contextlib.suppress(OSError):
            os.unlink(self._part)


class PosixStore:
    """The directory `root`. It is never created unless `create`: a share that is not mounted must not be filled."""

    def __init__(self, name: str, root: str, *, create: bool = False) -> None:
        self.name = name
        self.root = root
        self._create = create

    def where(self, path: str = "") -> str:
        return f"repository {self.name} ({os.path.join(self.root, path)})" if path else (
            f"repository {self.name} ({self.root})"
        )

    @contextlib.contextmanager
    def told(self, path: str = "") -> Iterator[None]:
        """Turn OSError into a RepositoryError that names the file and the way out."""
        try:
            yield
        except OSError as error:
            place = self.where(os.path.relpath(path, self.root) if path else "")
            if error.errno == errno.ENOENT:
                raise NotFoundError(f"{place} does not exist", untouched=_UNTOUCHED) from None
            hint = {
                errno.ENOSPC: "Free or add room there, or prune old backups",
                errno.EDQUOT: "Raise the quota there, or prune old backups",
                errno.EACCES: "Run as a user who may write there, or correct owner and mode",
                errno.EPERM: "Run as a user who may write there, or correct owner and mode",
                errno.EROFS: "Mount it read-write",
                errno.ESTALE: "Mount the share again",
            }.get(error.errno or 0, "")
            raise RepositoryError(f"{place}: {error.strerror}", untouched=_UNTOUCHED, hint=hint) from None

    def _full(self, path: str) -> str:
        full = os.path.normpath(os.path.join(self.root, path))
        if full != self.root and not full.startswith(self.root.rstrip("/") + "/"):
            raise RepositoryError(f"{path!r} leads out of {self.where()}", untouched=_UNTOUCHED)
        return full

    def prepare(self, *, dry: bool = False) -> None:
        if not os.path.isdir(self.root):
            if not self._create:
                raise RepositoryError(
                    f"{self.where()} does not exist",
                    untouched=_UNTOUCHED,
                    hint="Mount it, or create it once (install -d -m 700), or set create: true for this repository",
                )
            if dry:
                return
            with self.told():
                make_dirs(self.root)
        if not os.access(self.root, os.W_OK | os.X_OK):
            raise RepositoryError(
                f"{self.where()} is not writable for this user",
                untouched=_UNTOUCHED,
                hint="Run as a user who may write there, or correct owner and mode",
            )

    def free_bytes(self) -> int | None:
        with self.told():
            return free_bytes(self.root)

    def names(self, path: str) -> list[str]:
        if not os.path.isdir(self.root):
            if self._create:
                return []
            raise NotFoundError(
                f"{self.where()} does not exist", untouched=_UNTOUCHED, hint="Mount it, or correct its path"
            )
        try:
            return sorted(os.listdir(self._full(path)))
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError:
            with self.told(self._full(path)):
                raise
        return []

    def files(self, path: str) -> list[StoredObject]:
        found: list[StoredObject] = []
        todo = [self._full(path)] if self.names(path) else []
        above = len(self.root.rstrip("/")) + 1
        while todo:
            with self.told(todo[-1]), contextlib.suppress(FileNotFoundError), os.scandir(todo.pop()) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        todo.append(entry.path)
                        continue
                    with contextlib.suppress(FileNotFoundError):  # a writer has just put it in place or away
                        seen = entry.stat()
                        tag = f"{seen.st_size}-{seen.st_mtime_ns}-{seen.st_ino}"
                        found.append(StoredObject(entry.path[above:], seen.st_size, tag, seen.st_mtime))
        return sorted(found, key=lambda each: each.path)

    def read(self, path: str, limit: int = 16 * 1024 * 1024) -> bytes:
        full = self._full(path)
        with self.told(full), open(full, "rb", opener=_open_file) as stream:
            data = stream.read(limit + 1)
        if len(data) > limit:
            raise RepositoryError(f"{self.where(path)} is larger than {limit} bytes", untouched=_UNTOUCHED)
        return data

    def read_many(self, paths: Sequence[str]) -> Iterator[tuple[str, bytes | RepositoryError]]:
        return (each_read(self, path) for path in paths)

    def open(self, path: str) -> BinaryIO:
        full = self._full(path)
        with self.told(full):
            return open(full, "rb", buffering=0, opener=_open_file)

    def size(self, path: str) -> int:
        full = self._full(path)
        with self.told(full):
            return os.stat(full).st_size

    def create(self, path: str) -> PosixSink:
        full = self._full(path)
        with self.told(os.path.dirname(full)):
            make_dirs(os.path.dirname(full))
        return PosixSink(self, full)

    def write(self, path: str, data: bytes) -> None:
        full = self._full(path)
        with self.told(full):
            make_dirs(os.path.dirname(full))
            write_atomic(full, data)

    def remove(self, path: str) -> None:
        full = self._full(path)
        with self.told(full), contextlib.suppress(FileNotFoundError):
            if os.path.isdir(full) and not os.path.islink(full):
                shutil.rmtree(full)
            else:
                os.unlink(full)
            fsync_dir(os.path.dirname(full))

    def why_locked(self, path: str) -> str:
        return ""

    def assure(self, instance: str) -> None:
        """Nothing to ask: the kernel keeps a lock until its process ends."""

    def lock(self, instance: str) -> AbstractContextManager[None]:
        folder = self._full(instance)
        with self.told(folder):
            make_dirs(folder, PRIVATE_DIR)
        busy = RepositoryError(
            f"another backup of {instance} is being written to {self.where()} (seen from {socket.gethostname()})",
            untouched=_UNTOUCHED,
            hint="Wait until it has ended, then run again",
        )
        return self._locked(os.path.join(folder, LOCK), busy)

    @contextlib.contextmanager
    def _locked(self, path: str, busy: RepositoryError) -> Iterator[None]:
        with contextlib.ExitStack() as held:
            with self.told(path):
                held.enter_context(locked(path, busy=busy))
            yield
