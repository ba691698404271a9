# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""DUMP payloads as commands: `SELECT 0`, `RESTORE key time payload ABSTTL`, ..., in the server's own protocol.

So `redis-cli --pipe` loads such a file without us. The last command is an ECHO, the end mark: it tells how many keys
there are, so that a file that was cut between two commands is known by its lack, and the SHA-256 of all bytes before
it, so that the checksum of each payload needs no look. Of other commands none is taken, and none is ever sent.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, Union

from .dump_runs import BEGIN, BOUND, END, Run, span
from .entry import DUMP, Entry, Item, shown
from .lines import LONGEST, Chunk
from .payload import SHORTEST

_LINES = {mark: re.compile(re.escape(mark) + rb"([0-9]{1,10})\r\n") for mark in (b"*", b"$")}
_LINE = 13  # no line of a count or a length is longer
_END = re.compile(rb"end of export, ([0-9]{1,20}) keys(?:, sha256 ([0-9a-f]{64}))?")
_MOST_WORDS = 16
_DATABASES = 1 << 31

Piece = Union[Item, Run]
"""What a file holds at one place: one key, many in a run, or the reason that none can be read there."""


class Proof:
    """Whether a file proved itself: each of its keys stands before an end mark with the right SHA-256."""

    def __init__(self) -> None:
        self.given = False


class _BrokenError(ValueError):
    """The bytes from here on are no commands."""


class _Command(NamedTuple):
    words: list[bytes]
    end: int


class _Lack(NamedTuple):
    """So many bytes must be there before it is worth to look again."""

    needed: int


def _number(data: bytes, at: int, mark: bytes, what: str) -> tuple[int, int] | None:
    """The number of a line that begins with `mark`, and where the line ends; None when more must be read."""
    match = _LINES[mark].match(data, at)
    if match:
        return int(match[1]), match.end()
    seen = data[at : at + _LINE]
    if len(seen) < _LINE and b"\n" not in seen and seen[:1] in (b"", mark):
        return None
    raise _BrokenError(f"{what} should stand")


def _command(data: bytes, at: int) -> _Command | _Lack:
    """The command that begins there. Raises _BrokenError."""
    found = _number(data, at, b"*", "a command")
    if found is None:
        return _Lack(len(data) + 1)
    count, place = found
    if not 0 < count <= _MOST_WORDS:
        raise _BrokenError(f"a command of {count} words is none of an export")
    words = []
    for _word in range(count):
        found = _number(data, place, b"$", "the length of a word")
        if found is None:
            return _Lack(len(data) + 1)
        length, begin = found
        if length > LONGEST:
            raise _BrokenError(f"a word of {length} bytes is longer than any value")
        place = begin + length + 2
        if place > len(data):
            return _Lack(place)
        if data[place - 2 : place] != b"\r\n":
            raise _BrokenError(f"a word is not {length} bytes long as it says")
        words.append(data[begin : place - 2])
    return _Command(words, place)


def _restored(words: list[bytes], database: int) -> Entry:
    """The key of a RESTORE in any of its forms. Raises ValueError with the reason against it."""
    if len(words) < 4:
        raise ValueError("a RESTORE of too few words")
    key, time, payload = words[1:4]
    options = {word.upper() for word in words[4:]}
    if not re.fullmatch(rb"[0-9]{1,19}", time) or int(time) >= BOUND:
        raise ValueError(f"key {shown(key)}: its expiry is no time")
    if int(time) and b"ABSTTL" not in options:
        raise ValueError(f"key {shown(key)}: its expiry is relative to a time that is not known (no ABSTTL)")
    if len(payload) < SHORTEST:
        raise ValueError(f"key {shown(key)}: its payload is too short for what DUMP makes")
    return Entry(database, key, DUMP, payload, int(time) or None)


class _State:
    """What the commands so far mean for the next one."""

    def __init__(self) -> None:
        self.database = 0
        self.number = 0
        self.since_mark = 0
        self.ended = False
        self.unproven = 0
        self._hash = hashlib.sha256()

    def take(self, words: list[bytes]) -> Item | None:
        """What a command that is in no run says; None: nothing to tell."""
        name = words[0].upper()
        is_select = name == b"SELECT" and len(words) == 2 and re.fullmatch(rb"[0-9]{1,10}", words[1])
        if is_select and int(words[1]) < _DATABASES:
            self.database = int(words[1])
            return None
        if name == b"RESTORE":
            self.count(1)
            try:
                return Item(self.number, _restored(words, self.database), "")
            except ValueError as error:
                return Item(self.number, None, str(error))
        mark = _END.fullmatch(words[1]) if name == b"ECHO" and len(words) == 2 else None
        if mark:
            return self._end(int(mark[1]), mark[2])
        return Item(self.number + 1, None, f"the command {shown(words[0])} is no part of an export, and is not sent")

    def count(self, keys: int) -> None:
        """More keys."""
        self.number += keys
        self.since_mark += keys
        self.ended = False

    def pass_by(self, data: memoryview) -> None:
        """Bytes that were understood, in their order."""
        self._hash.update(data)

    def _end(self, keys: int, digest: bytes | None) -> Item | None:
        """An end mark. All bytes before it have passed."""
        seen, self.since_mark, self.ended = self.since_mark, 0, True
        found, self._hash = self._hash.hexdigest().encode(), hashlib.sha256()
        if keys != seen:
            return Item(self.number + 1, None, f"the end mark says {keys} keys, {seen} stand before it")
        if digest is None:
            self.unproven += seen
        elif digest != found:
            return Item(self.number + 1, None, "the bytes before the end mark are not those of its SHA-256")
        return None


def read(chunks: Iterable[Chunk]) -> Iterator[Item]:
    """The keys of a file, one by one. A command that is none of ours is told and passed over; broken bytes end it."""
    for piece in pieces(chunks):
        if isinstance(piece, Run):
            yield from piece.items()
        else:
            yield piece


def pieces(chunks: Iterable[Chunk], proof: Proof | None = None) -> Iterator[Piece]:
    """The same with keys in runs where that can be. `proof` is told at the end, when no error came."""
    state = _State()
    source = iter(chunks)
    data, at, passed = b"", 0, 0
    needed, errors = 1, 0
    while True:
        # Read until so many bytes are there.
        held, size = [data[at:]], len(data) - at
        passed, at = passed + at, 0
        while size < needed:
            chunk = next(source, None)
            if chunk is None:
                break
            held.append(bytes(chunk))
            size += len(chunk)
        data = b"".join(held)
        if size < needed:
            break
        hashed = 0
        while True:
            found = span(data, at)
            if found:
                number = state.number + 1
                state.count(found.keys)
                run = data[at : found.end]
                at = found.end
                yield Run(number, state.database, run, found.keys, found.version, found.earliest, found.size)
                continue
            try:
                command = _command(data, at)
            except _BrokenError as error:
                yield Item(state.number + 1, None, f"no commands from byte {passed + at} on: {error}")
                return
            if isinstance(command, _Lack):
                needed = command.needed - at
                break
            if command.words[0].upper() == b"ECHO":
                state.pass_by(memoryview(data)[hashed:at])
                hashed = command.end
            item = state.take(command.words)
            if item:
                errors += item.entry is None
                yield item
            at = command.end
        state.pass_by(memoryview(data)[hashed:at])
    if size:
        yield Item(state.number + 1, None, f"the file ends in the middle of a command, at byte {passed + size}")
    elif not state.ended or state.since_mark:
        what = f"the file ends after {state.number} keys without its end mark" if passed else "the file is empty"
        yield Item(state.number + 1, None, f"{what}: it is not whole")
    elif proof is not None:
        proof.given = not errors and not state.unproven


def why_unfit(entry: Entry) -> str | None:
    """The reason why a file of payloads cannot hold an entry; None when it can."""
    if entry.kind != DUMP:
        return f"it is a {entry.kind} that was read piece by piece, and this format holds payloads"
    if len(entry.value) < SHORTEST:
        return "its payload is too short for what DUMP makes"
    return None


class Writer:
    """Writes a file of commands: what `encode` and then `end` return, one behind the other."""

    def __init__(self) -> None:
        self._database: int | None = None
        self._keys = 0
        self._hash = hashlib.sha256()

    def encode(self, entries: Sequence[Entry]) -> bytes:
        """The bytes of some entries."""
        parts: list[bytes] = []
        add = parts.append
        for database, key, _kind, value, at, _fields, _part, _more in entries:
            if database != self._database:
                self._database = database
                add(b"*2\r\n$6\r\nSELECT\r\n$%d\r\n%d\r\n" % (len(str(database)), database))
            if at is None:
                time = b"$1\r\n0"
            else:
                # 0 would mean that it never expires.
                text = b"%d" % max(at, 1)
                time = b"$%d\r\n%b" % (len(text), text)
            add(BEGIN)
            add(b"%d\r\n%b\r\n%b\r\n$%d\r\n" % (len(key), key, time, len(value)))
            add(value)
            add(END)
        self._keys += len(entries)
        data = b"".join(parts)
        self._hash.update(data)
        return data

    def end(self) -> bytes:
        """The last bytes: the end mark."""
        mark = b"end of export, %d keys, sha256 %b" % (self._keys, self._hash.hexdigest().encode())
        return b"*2\r\n$4\r\nECHO\r\n$%d\r\n%b\r\n" % (len(mark), mark)
