# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A tar archive as a stream: plain `tar -x` opens it, and we read it without a seek. Pure.

`tarfile` makes and reads the headers; the bytes between them pass as they come, in constant memory.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterable, Iterator

_BLOCK = tarfile.BLOCKSIZE
_MODE = 0o640
_NAME_LIMIT = 4096
_LONG_NAME = tarfile.GNUTYPE_LONGNAME
END = bytes(2 * _BLOCK)
"""What ends an archive."""


class TarError(ValueError):
    """The bytes are no archive of ours."""


def header(name: str, size: int, mtime: int) -> bytes:
    """The header of a file; names beyond 100 bytes and sizes beyond 8 GB are told in GNU's way."""
    member = tarfile.TarInfo(name)
    member.size, member.mtime, member.mode = size, mtime, _MODE
    return member.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape")


def padding(size: int) -> bytes:
    """What follows a file of `size` bytes."""
    return bytes(-size % _BLOCK)


class Untar:
    """An archive that is read while it comes, in `chunks`, whose views need only be valid until the next is asked for.

    `members` gives each name and size; what `data` yields then is the file's content. What was not read is skipped.
    """

    def __init__(self, chunks: Iterable[memoryview]) -> None:
        self._chunks = iter(chunks)
        self._view = memoryview(b"")
        self._left = 0
        self._pad = 0

    def members(self) -> Iterator[tuple[str, int]]:
        """Name and size of each file in turn. Raises TarError for anything that is no file, or no archive."""
        long_name = ""
        while True:
            for _rest in self.data():
                pass
            self._take(self._pad)
            self._pad = 0
            block = self._take(_BLOCK)
            if not any(block):
                self._end()
                return
            try:
                member = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
            except tarfile.HeaderError as error:
                raise TarError(f"it is no archive: {error}") from None
            if member.type == _LONG_NAME and not long_name and 0 < member.size <= _NAME_LIMIT:
                raw = self._take(member.size)
                self._take(-member.size % _BLOCK)
                long_name = raw.rstrip(b"\0").decode("utf-8", "surrogateescape")
                continue
            if member.type != tarfile.REGTYPE or member.size < 0:
                raise TarError(f"it holds {member.name!r}, which is no file")
            self._left, self._pad = member.size, -member.size % _BLOCK
            yield long_name or member.name, member.size
            long_name = ""

    def data(self) -> Iterator[memoryview]:
        """The content of the file whose name was given last."""
        while self._left:
            if not self._view:
                self._next()
            piece = self._view[: self._left]
            self._view = self._view[len(piece) :]
            self._left -= len(piece)
            yield piece

    def _next(self) -> None:
        for chunk in self._chunks:
            if chunk:
                self._view = chunk
                return
        raise TarError("it ends too early")

    def _take(self, count: int) -> bytes:
        found = bytearray()
        while len(found) < count:
            if not self._view:
                self._next()
            piece = self._view[: count - len(found)]
            self._view = self._view[len(piece) :]
            found += piece
        return bytes(found)

    def _end(self) -> None:
        """Read on to the very end: whoever hands us the bytes finds only there whether they are the right ones."""
        if any(self._take(_BLOCK)) or self._view:
            raise TarError("something follows its end")
        for chunk in self._chunks:
            if chunk:
                raise TarError("something follows its end")
