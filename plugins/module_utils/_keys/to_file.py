# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A file that is there whole or not at all; its name tells how it is packed.

`keys.jsonl` is plain, `keys.jsonl.zst` compressed with zstd, `.age` behind either encrypted with age.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import fcntl
import hashlib
import os
import stat
from collections.abc import Callable, Iterable, Iterator

from .._errors import ProgramError, RedisBackupError, RepositoryError
from .._files import PRIVATE_FILE, fsync_dir, is_at
from .._repository.pipeline import Packing, Stored, store_chunks
from .._repository.store import Sink

PART = ".part"
_NOTHING = "No file was written; one that was there is as it was"


def packing_for(path: str, packing: Packing) -> Packing:
    """How the file is packed, by the end of its name. Raises RedisBackupError when that is not what is asked."""
    name = os.path.basename(path)
    encrypted = name.endswith(".age")
    if encrypted and not packing.recipients:
        raise RedisBackupError(
            f"{path} is named as an encrypted file, and encryption has no recipients",
            untouched=_NOTHING,
            hint="Give encryption.recipients, or a name without .age",
        )
    if packing.recipients and not encrypted:
        raise RedisBackupError(
            f"{path} is to be encrypted, and its name does not say so",
            untouched=_NOTHING,
            hint=f"Name it {name}.age, or leave encryption out",
        )
    inner = name[: -len(".age")] if encrypted else name
    return dataclasses.replace(packing, compress=inner.endswith(".zst"))


def why_not_writable(path: str, *, force: bool) -> str | None:
    """The reason why no file can be made at `path`; None when it can."""
    folder = os.path.dirname(path)
    if not os.path.isdir(folder):
        return f"the folder {folder} does not exist"
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(mode):
        return "there is something of that name which is no file"
    return None if force else "it exists already"


def require_writable(path: str, *, force: bool) -> None:
    """Raise RedisBackupError when no file can be made at `path`."""
    why = why_not_writable(path, force=force)
    if why:
        hint = "Give another path, or force: true to replace it" if "exists" in why else "Correct path"
        raise RedisBackupError(f"{path} cannot be written: {why}", untouched=_NOTHING, hint=hint)


def write_file(
    path: str, chunks: Iterable[memoryview], packing: Packing, *, force: bool, proven: Callable[[], None]
) -> Stored:
    """Write `chunks` to `path`, mode 0600; what `proven` raises may still refuse it before it has its name.

    Raises RedisBackupError, and what `chunks` raises; then there is no new file.
    """
    require_writable(path, force=force)
    sink = _FileSink(path, force=force)
    try:
        stored = _store(chunks, packing, sink)
        proven()
        sink.commit()
        return stored
    finally:
        sink.abort()


def _store(chunks: Iterable[memoryview], packing: Packing, sink: _FileSink) -> Stored:
    if packing.compress or packing.recipients:
        sinks: dict[str, Sink] = {"file": sink}
        try:
            return store_chunks(chunks, packing, sinks)[0]
        except ProgramError as error:
            raise ProgramError(error.what, untouched=_NOTHING, hint=error.hint, **error.details) from None
    digest, size = hashlib.sha256(), 0
    for chunk in chunks:
        digest.update(chunk)
        size += len(chunk)
        sink.write(chunk)
    return Stored(size, size, digest.hexdigest())


@contextlib.contextmanager
def _told(path: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        hint = "Free or add room there" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "Look at the folder's owner"
        raise RepositoryError(f"{path} cannot be written: {error.strerror}", untouched=_NOTHING, hint=hint) from None


class _FileSink:
    """A file beside the one that is wanted, which gets its name at the end. One process at a time has it.

    What a process that was killed left is taken over; what somebody else laid there is refused.
    """

    def __init__(self, path: str, *, force: bool) -> None:
        self._path = path
        self._force = force
        folder, name = os.path.split(path)
        self._part = os.path.join(folder, f".{name}{PART}")
        flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        with _told(self._part):
            self._fd = os.open(self._part, flags, PRIVATE_FILE)
            try:
                self._take_over()
            except BaseException:
                os.close(self._fd)
                raise

    def _take_over(self) -> None:
        busy = RedisBackupError(
            f"another process is writing {self._path} now", untouched=_NOTHING, hint="Wait for it, then run again"
        )
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise busy from None
        except OSError as error:
            if error.errno not in (errno.ENOTSUP, errno.ENOLCK, errno.EBADF):
                raise
        found = os.fstat(self._fd)
        if not is_at(self._part, found):  # whoever had it has just given it its name, or taken it away
            raise busy
        if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid() or found.st_nlink != 1:
            raise RedisBackupError(
                f"{self._part} is in the way, and somebody else's", untouched=_NOTHING, hint="Remove it, then run again"
            )
        os.fchmod(self._fd, PRIVATE_FILE)
        os.ftruncate(self._fd, 0)

    def write(self, data: bytes | memoryview) -> None:
        view = memoryview(data)
        with _told(self._path):
            while view:
                view = view[os.write(self._fd, view) :]

    def commit(self) -> None:
        with _told(self._path):
            os.fsync(self._fd)
            if not self._force:
                require_writable(self._path, force=False)
            os.rename(self._part, self._path)
            os.close(self._fd)
            self._fd = -1
            fsync_dir(os.path.dirname(self._path))

    def abort(self) -> None:
        """Remove what is unfinished."""
        if self._fd >= 0:
            with contextlib.suppress(OSError):
                os.unlink(self._part)
            os.close(self._fd)
            self._fd = -1
