# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Large files through rclone: `rclone rcat` takes one from a pipe, `rclone cat` gives one to a pipe.

Some remotes (SFTP) show such a file under its name while it grows: the manifest, written last, tells whether it counts.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import subprocess
import tempfile
import time
from typing import TYPE_CHECKING, Any, cast

from .._errors import RepositoryError
from .._run import enlarge
from .rclone_program import words_of

if TYPE_CHECKING:
    from .rclone import RcloneStore

_GRACE = 10.0  # seconds that rclone has to take back what it began
_TRIES = 3
_PAUSE = 0.5  # seconds; doubled each time


class RcloneSink:
    """One file in the making."""

    def __init__(self, store: RcloneStore, path: str) -> None:
        self._store = store
        self._path = path
        self._sent = 0
        self._done = False
        self._complaints = tempfile.TemporaryFile()
        self._process = store.rclone.start(
            "rcat",
            target=store.place.full(path),
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=self._complaints,
        )
        self._pipe = cast("io.FileIO", self._process.stdin)
        enlarge(self._pipe)

    def write(self, data: bytes) -> None:
        view = memoryview(data)
        try:
            while view:
                count = os.write(self._pipe.fileno(), view)
                self._sent += count
                view = view[count:]
        except BrokenPipeError:
            raise self._failure() from None

    def commit(self) -> None:
        """Let rclone finish, and compare what is stored with what was sent."""
        with contextlib.suppress(BrokenPipeError):
            self._pipe.close()
        if self._process.wait():
            raise self._failure()
        stored = self._store.size(self._path)
        if stored != self._sent:
            raise RepositoryError(
                f"{self._store.where(self._path)} has {stored} bytes, {self._sent} were sent",
                untouched=self._store.untouched,
                hint="Look whether the place is full, then run again",
            )
        self._done = True
        self._close()

    def abort(self) -> None:
        """End rclone before it sees the end of the data: it would take what came for the whole."""
        if self._done:
            return
        self._done = True
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(_GRACE)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._close()
        self._store.forget(self._path)

    def _failure(self) -> RepositoryError:
        code = self._process.wait()
        self._complaints.seek(0)
        return self._store.error(code, self._complaints.read(), self._path, sent=self._sent)

    def _close(self) -> None:
        with contextlib.suppress(OSError):
            self._pipe.close()
        self._complaints.close()


class RcloneReader(io.RawIOBase):
    """The bytes of a stored file, from its beginning. Raises OSError when they end before rclone ended well.

    What breaks off in the middle is taken up where it broke.
    """

    def __init__(self, store: RcloneStore, path: str) -> None:
        super().__init__()
        self._store = store
        self._path = path
        self._at = 0
        self._failures = 0
        self._ended = False
        self._resumed = False
        self._start()
        self._head = self._output.read(64 * 1024) or b""  # what is not there is told now
        if not self._head:
            self._first_end()

    def _start(self) -> None:
        self._complaints = tempfile.TemporaryFile()
        offset = [f"--offset={self._at}"] if self._at else []
        self._process = self._store.rclone.start(
            "cat",
            *offset,
            target=self._store.place.full(self._path),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self._complaints,
        )
        self._output = cast("io.FileIO", self._process.stdout)
        enlarge(self._output)

    def _first_end(self) -> None:
        """Nothing came. Some remotes give that for what is not there, without a word."""
        code = self._process.wait()
        if code:
            error = self._store.error(code, self._words(), self._path)
            self._stop()
            raise error
        self._stop()
        if self._store.size(self._path):
            raise RepositoryError(
                f"{self._store.where(self._path)}: rclone gives none of its bytes", untouched=self._store.untouched
            )
        self._ended = True

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer; 0 at the end."""
        view = memoryview(buffer).cast("B")
        if self._head:
            count = min(len(view), len(self._head))
            view[:count] = self._head[:count]
            self._head = self._head[count:]
            self._at += count
            return count
        while not self._ended and len(view):
            count = self._output.readinto(view) or 0
            if count:
                self._at += count
                self._failures = 0
                return count
            self._end()
        return 0

    def _end(self) -> None:
        """rclone says no more: the end, or a break."""
        code = self._process.wait()
        where = self._store.where(self._path)
        if not code:
            if self._resumed:  # some remotes give nothing for what has gone meanwhile, without a word
                self._compare(where)
            self._ended = True
            return
        words, _hint = words_of(code, self._words())
        self._stop()
        self._failures += 1
        if self._failures >= _TRIES:
            raise OSError(errno.EIO, f"it broke off at byte {self._at}, {_TRIES} times: {words}", where)
        time.sleep(_PAUSE * 2 ** (self._failures - 1))
        self._resumed = True
        self._start()

    def _compare(self, where: str) -> None:
        """Hold what came against the size that is stored."""
        try:
            size = self._store.size(self._path)
        except RepositoryError as error:
            raise OSError(errno.EIO, f"it broke off at byte {self._at}: {error.what}", where) from None
        if size != self._at:
            raise OSError(errno.EIO, f"it broke off at byte {self._at} of {size}", where)

    def _words(self) -> bytes:
        self._complaints.seek(0)
        return self._complaints.read()

    def _stop(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        self._output.close()
        self._complaints.close()

    def close(self) -> None:
        if not self.closed:
            self._stop()
        super().close()
