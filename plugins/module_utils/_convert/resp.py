# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An AOF of commands, read by the lengths that stand in it: its values may hold anything. Pure.

`*3 $3 SET $1 a $2 xy` is one command of three words. Lines that begin with `#` are annotations (`#TS:1700000000`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import BinaryIO, NamedTuple

_CHUNK = 1024 * 1024
_LONGEST_LINE = 64


class RespError(ValueError):
    """The bytes at `offset` are no command."""

    def __init__(self, offset: int, what: str) -> None:
        self.offset = offset
        super().__init__(f"{what} at byte {offset}")


class Command(NamedTuple):
    """One command: its words, its bytes as they stand in the file, and where they begin."""

    words: list[bytes]
    raw: bytes
    offset: int


class _Short(Exception):
    """More bytes are needed: at least so many in the buffer."""

    def __init__(self, needed: int) -> None:
        self.needed = needed
        super().__init__()


def encode(words: Iterable[bytes]) -> bytes:
    """A command as it stands in an AOF."""
    listed = list(words)
    return b"*%d\r\n" % len(listed) + b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in listed)


def read_commands(stream: BinaryIO, chunk: int = _CHUNK) -> Iterator[Command]:
    """All commands of a file, annotations passed over; in memory is one of them at a time.

    Raises RespError for what is no command, and for one that is cut off at the end.
    """
    buffer, at, base = b"", 0, 0
    needed = 1
    while True:
        data = stream.read(max(chunk, needed - (len(buffer) - at)))
        if not data:
            if at < len(buffer):
                raise RespError(base + at, "a command is cut off")
            return
        buffer, base, at = buffer[at:] + data, base + at, 0
        try:
            while at < len(buffer):
                if buffer[at] == 0x23:  # '#'
                    end = buffer.find(b"\n", at)
                    if end < 0:
                        raise _Short(len(buffer) - at + 1)
                    at = end + 1
                    continue
                words, behind = _words(buffer, at, base)
                yield Command(words, buffer[at:behind], base + at)
                at = behind
            needed = 1
        except _Short as short:
            needed = short.needed


def _words(buffer: bytes, start: int, base: int) -> tuple[list[bytes], int]:
    """The words of the command at `start`, and where it ends. Raises _Short when it ends behind the buffer."""
    count, at = _number(buffer, start, start, base, b"*")
    if count < 1:
        raise RespError(base + start, "a command without words")
    words = []
    size = len(buffer)
    for _each in range(count):
        length, at = _number(buffer, at, start, base, b"$")
        end = at + length
        if end + 2 > size:
            raise _Short(end + 2 - start)
        if buffer[end : end + 2] != b"\r\n":
            raise RespError(base + end, "a word is longer than its length says")
        words.append(buffer[at:end])
        at = end + 2
    return words, at


def _number(buffer: bytes, at: int, start: int, base: int, mark: bytes) -> tuple[int, int]:
    """The number in the line at `at`, which begins with `mark`, and where the next line begins."""
    end = buffer.find(b"\r\n", at, at + _LONGEST_LINE)
    if end < 0:
        if len(buffer) - at < _LONGEST_LINE:
            raise _Short(len(buffer) - start + 1)
        raise RespError(base + at, "no number")
    digits = buffer[at + 1 : end]
    if buffer[at : at + 1] != mark or not digits.isdigit():
        raise RespError(base + at, f"{buffer[at:end]!r} where {mark.decode()} and a number should stand,")
    return int(digits), end + 2
