# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A dump file read while the server still writes it, so that a backup ends with the save and not behind it.

The server's child writes `temp-<its pid>.rdb` from front to back and renames it when all is on disk. The open
descriptor pins the file; that it is the very one which became the dump file is proven at the end, by its inode.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
import time
from collections.abc import Iterator

from .._server.process import parent_of
from .bgsave import DiskSave
from .source import CHUNK_BYTES, FileSource

_PAUSE = 0.02  # seconds between two looks at a file that has not grown
_ASK_EVERY = 0.25  # seconds between two questions to the server
_LOOKS = 50  # at processes that may be a container's, which we cannot tell by their numbers
_PART = re.compile(r"temp-(\d+)\.rdb")


class GrowingDump:
    """The RDB of a save under way. Where its unfinished file cannot be found here, the finished one is read instead."""

    def __init__(self, save: DiskSave) -> None:
        self._save = save
        self._fd = -1
        self._done: FileSource | None = None
        self.origin = save.origin

    def __enter__(self) -> GrowingDump:
        return self

    def __exit__(self, *_unused: object) -> None:
        if self._fd >= 0:
            os.close(self._fd)
        if self._done is not None:
            self._done.close()

    def chunks(self) -> Iterator[memoryview]:
        """The RDB's bytes. Raises SnapshotError when the save fails, at once or at its end."""
        ended = self._find()
        if self._fd < 0:
            self._done = self._save.wait()
            yield from self._done.chunks()
            return
        buffer = bytearray(CHUNK_BYTES)
        view = memoryview(buffer)
        asked = time.monotonic()
        while True:
            count = os.readv(self._fd, [buffer])
            if count:
                yield view[:count]
            elif ended:
                break
            elif time.monotonic() - asked > _ASK_EVERY or self._is_in_place():
                ended = self._save.ended()  # what was written before the answer is read in the next round
                asked = time.monotonic()
            else:
                time.sleep(_PAUSE)
        found = os.fstat(self._fd)
        if self._save.require_good() != (found.st_dev, found.st_ino):
            raise self._save.failed("another save has replaced the one that was asked for")
        self.origin.size = found.st_size

    def _find(self) -> bool:
        """Open the unfinished file, which is there as soon as the server has forked; True when the save has ended."""
        for _look in range(_LOOKS):
            path = unfinished_dump(os.path.dirname(self._save.place.path), self._save.server_pid)
            if path:
                with contextlib.suppress(OSError):  # renamed since, or not readable for us
                    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
                    if stat.S_ISREG(os.fstat(fd).st_mode):
                        self._fd = fd
                        return False
                    os.close(fd)  # a pipe would be waited for without end: no server makes one
            if self._save.ended():
                return True
            time.sleep(_PAUSE)
        return False

    def _is_in_place(self) -> bool:
        """Whether our file has its final name: then the server will say very soon that it is done."""
        try:
            return os.path.samestat(os.fstat(self._fd), os.stat(self._save.place.path))
        except OSError:
            return False


def unfinished_dump(directory: str, server_pid: int) -> str | None:
    """The file that a child of this server is saving to; None where there is none, or processes cannot be seen."""
    for name in os.listdir(directory):
        match = _PART.fullmatch(name)
        if match and parent_of(int(match.group(1))) == server_pid:
            return os.path.join(directory, name)
    return None
