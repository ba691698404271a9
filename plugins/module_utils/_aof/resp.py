# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An AOF of commands, read by the lengths that stand in it: its values may hold anything. Pure.

`*3 $3 SET $1 a $2 xy` is one command of three words. A line that begins with `#` where a command may begin is an
annotation (`#TS:1700000000`: what follows was executed in that second).

`Reader` follows loadSingleAppendOnlyFile in aof.c step by step, so that its verdict is the server's. That function is
lax: it does not look at what ends a line of a number, nor at the two bytes behind a word. What no server writes but all
load is told as `odd`; what they refuse as `damage`; what they cut off (aof-load-truncated) as `torn`.
Only there we differ on purpose: within an open MULTI a server cuts behind the last whole command, and leaves half a
transaction in the file; `torn` is where the MULTI begins. Annotations before it stay.

Step by step in Python that takes longer than the server's loading. So there are two paths with one result: regular
expressions eat what looks as servers write it, and the step by step path has the rest (see shapes.py).
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import BinaryIO, NamedTuple

from .shapes import shapes

_CHUNK = 1024 * 1024
_LONGEST_LINE = 1023  # AOF_ANNOTATION_LINE_MAX_LEN less the NUL
_LONGEST_LINE_62 = 127
_LONGEST_WORD = 2**47  # more than a process can address: a server that is told to read it ends
_LARGEST = 2**63 - 1
_KEPT = 100
_NUMBER = re.compile(rb"[ \t\n\v\f\r]*([+-]?[0-9]+)")
_STAMP = re.compile(rb"#TS:([0-9]{1,11})\r\n")  # up to the year 5138: what is longer is no time
_KEYS_ONLY = (b"del", b"unlink")
_MULTI, _EXEC = b"multi", b"exec"


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


class Damage(NamedTuple):
    """Where bytes stand that are no command, and what is wrong with them."""

    offset: int
    what: str


class Cut(NamedTuple):
    """Where to cut the file, and the second that stands there (of the last annotation before it, for a command)."""

    offset: int
    stamp: int | None


class Found(NamedTuple):
    """A command that was watched for: where to cut to be rid of it, and the second of the annotation before it."""

    offset: int
    stamp: int | None


class Watch:
    """Looks for a command, and for its key where a pattern is given (matched against the whole key).

    The key is the first argument; of DEL and UNLINK each. `found` keeps the newest hundred, `count` counts all.
    """

    def __init__(self, command: bytes, key: re.Pattern[bytes] | None = None) -> None:
        self.command = command.lower()
        self.key = key
        self.count = 0
        self.found: deque[Found] = deque(maxlen=_KEPT)

    @property
    def last(self) -> Found | None:
        """The newest."""
        return self.found[-1] if self.found else None

    def wants(self, index: int) -> bool:
        """Whether the word of that index has to be seen."""
        return self.key is not None and (index == 1 or (index > 1 and self.command in _KEYS_ONLY))

    def matches(self, word: bytes) -> bool:
        """Whether a word that had to be seen is a key that is looked for."""
        return self.key is not None and self.key.fullmatch(word) is not None

    def note(self, found: Found) -> None:
        """A command matched."""
        self.found.append(found)
        self.count += 1


class Reader:
    """What stands in a file of commands, which comes in pieces of any size; it holds none of a word in memory.

    `offset` is where the first piece begins in its file. `until` is a time in UTC seconds: `cut` becomes the place of
    the first annotation of a later second, or of the MULTI that is open there. With a `watch`, `cut` is the place of
    its last match before that. Without `annotations` a line that begins with `#` is damage, as it is to Redis 6.2.
    """

    def __init__(
        self, offset: int = 0, *, until: int | None = None, watch: Watch | None = None, annotations: bool = True
    ) -> None:
        self.offset = offset  # behind the last byte that was fed
        self.whole = offset  # behind the last whole command that is in no open MULTI, and the annotations there
        self.commands = 0  # whole ones, MULTI and EXEC and those in an open MULTI counted
        self.whole_commands = 0  # those before `whole`
        self.first_stamp: int | None = None
        self.last_stamp: int | None = None
        self.backward = False  # a stamp was smaller than the one before
        self.damage: Damage | None = None
        self.odd: Damage | None = None  # the first thing that no server writes but every server loads
        self.torn: int | None = None
        self.in_multi = False
        self._until = until
        self._watch = watch
        self._annotations = annotations
        self._longest_line = _LONGEST_LINE if annotations else _LONGEST_LINE_62
        self._late: Cut | None = None
        self._rest = b""  # fed, but not yet understood
        self._words = 0  # still to come of the command that is being read
        self._index = 0  # of the next of them
        self._skip = 0  # bytes still to come of the word that is being read
        self._ending = False  # the two bytes behind a word come next
        self._held: bytearray | None = None  # the word that is being read, where it matters
        self._name = b""  # of the command that is being read, in lower case, where it matters
        self._hit = False  # it is what the watch looks for
        self._shapes = shapes((watch.command,) if watch else (), annotations)

    @property
    def cut(self) -> Cut | None:
        """Where to cut, by the watch and by `until`; None when nothing is to be cut."""
        if self._watch is not None and self._watch.last is not None:
            return Cut(*self._watch.last)
        return self._late

    @property
    def late(self) -> Cut | None:
        """Where to cut by `until` alone."""
        return self._late

    def feed(self, data: bytes | memoryview) -> None:
        """The next bytes of the file."""
        self.offset += len(data)
        if self.damage is not None:
            return
        if self._skip >= len(data) and self._held is None:
            self._skip -= len(data)
            return
        buffer = self._rest + bytes(data)
        self._rest = buffer[self._read(buffer) :]

    def finish(self) -> None:
        """There is no more: is the last command whole?"""
        if self.damage is not None:
            return
        rest, self._rest = self._rest, b""
        begun = bool(self._words or self._skip or self._ending)
        if rest and not self._ending:
            # As the server does, with the end of the file for the end of the line.
            self._line(rest, self.offset - len(rest), at_end=True)
        if self.damage is None and (rest or begun or self.in_multi):
            self.torn = self.whole

    def _read(self, buffer: bytes) -> int:
        """Understand what can be understood; returns how many bytes that were."""
        base = self.offset - len(buffer)
        at, size = 0, len(buffer)
        while at < size and self.damage is None:
            if self._skip:
                taken = min(self._skip, size - at)
                if self._held is not None:
                    self._held += buffer[at : at + taken]
                self._skip -= taken
                at += taken
            elif self._ending:
                if size - at < 2:
                    break
                if buffer[at : at + 2] != b"\r\n":
                    self._strange(base + at, f"{buffer[at : at + 2]!r} behind a word")
                at += 2
                self._word_read(base + at)
            else:
                begun = at
                at = self._words_at_once(buffer, at) if self._words else self._commands_at_once(buffer, at)
                if at > begun:
                    continue
                end = buffer.find(b"\n", at, at + self._longest_line) + 1
                if not end:
                    if size - at < self._longest_line:
                        break
                    end = at + self._longest_line
                self._line(buffer[at:end], base + at)
                at = end
        return at

    def _commands_at_once(self, buffer: bytes, at: int) -> int:
        """Eat what looks as servers write it from the beginning of a command on; returns where that ends.

        That may be within a command, before a long word or behind the first of many words.
        """
        shape = self._shapes
        base = self.offset - len(buffer)
        count = 0
        while True:
            for match in shape.command.finditer(buffer, at):
                group = match.lastindex
                if group is None:
                    count += 1
                elif group not in shape.marks:
                    break
                else:
                    self._count(count, base + match.start())
                    count = 0
                    self._mark(group, match, base)
            else:
                self._count(count, self.offset)
                return len(buffer)
            if group == shape.other:
                self._count(count, base + match.start())
                return match.start()
            number = int(match[group])
            at = match.end()
            if group == shape.many:
                self._within(number - 1)
            elif buffer[at + number : at + number + 2] == b"\r\n":
                at += number + 2
                if not shape.left[group]:
                    count += 1
                    continue
                self._within(shape.left[group])
            else:
                self._count(count, base + match.start())
                self._within(shape.left[group] + 1)
                self._skip, self._ending, self._held = number, True, None
                return at
            self._count(count, base + match.start())
            count = 0
            at = self._words_at_once(buffer, at)
            if self._words:
                return at

    def _words_at_once(self, buffer: bytes, at: int) -> int:
        """Eat the words of the command that is being read, behind its first one; returns where that ends."""
        if not self._index or (self._watch is not None and self._name == self._watch.command):
            return at
        shape = self._shapes
        for match in islice(shape.run.finditer(buffer, at), self._words // shape.words_in_a_run):
            if match.lastindex is not None:
                break
            self._words -= shape.words_in_a_run
            at = match.end()
        while self._words:
            for match in islice(shape.word.finditer(buffer, at), self._words):
                if match.lastindex is not None:
                    break
                self._words -= 1
                at = match.end()
            else:
                break  # the command ends, or the buffer
            if match.lastindex != shape.long:
                return at
            behind = match.end() + int(match[shape.long])
            if buffer[behind : behind + 2] != b"\r\n":
                return at
            self._words -= 1
            at = behind + 2
        if not self._words:
            self._command_read(self.offset - len(buffer) + at)
        return at

    def _within(self, words: int) -> None:
        """A command is being read that is of no special name: so many words are to come."""
        self._words, self._index, self._name, self._hit = words, 1, b"", False

    def _count(self, commands: int, end: int) -> None:
        """So many commands are whole, the last of which ends there."""
        if commands:
            self.commands += commands
            if not self.in_multi:
                self.whole, self.whole_commands = end, self.commands

    def _mark(self, group: int, match: re.Match[bytes], base: int) -> None:
        """An annotation, MULTI or EXEC is whole."""
        if group == self._shapes.stamp:
            self._annotation(match[0], base + match.start())
            return
        self._name = _MULTI if group == self._shapes.multi else _EXEC
        self._hit = self._watch is not None and self._watch.key is None and self._watch.command == self._name
        self._command_read(base + match.end())

    def _strange(self, offset: int, what: str) -> None:
        if self.odd is None:
            self.odd = Damage(offset, what)

    def _line(self, line: bytes, offset: int, at_end: bool = False) -> None:
        """An annotation, the head of a command or of a word."""
        mark = line[:1]
        if self._words:
            if mark != b"$":
                self.damage = Damage(offset, f"{line[:20]!r} where a word should begin")
            else:
                self._word(line, offset, at_end)
        elif mark == b"#" and self._annotations:
            if not at_end:
                self._annotation(line, offset)
        elif at_end and line[:2] in (b"*", b"*\0"):
            pass  # torn: a server takes a NUL for the end of the line, and the end of the file for the cause
        elif mark != b"*" or line[1:2] == b"\0":
            self.damage = Damage(offset, f"{line[:20]!r} where a command should begin")
        else:
            self._head(line, offset, at_end)

    def _annotation(self, line: bytes, offset: int) -> None:
        found = _STAMP.fullmatch(line)
        if found:
            self._stamp(int(found.group(1)))
        elif line.startswith(b"#TS:"):
            self._strange(offset, f"{line[:20]!r} where a time should stand")
        if not self.in_multi:
            self.whole = offset + len(line)

    def _stamp(self, stamp: int) -> None:
        if self.last_stamp is None:
            self.first_stamp = stamp
        elif stamp < self.last_stamp:
            self.backward = True
        if self._until is not None and stamp > self._until and self._late is None:
            self._late = Cut(self.whole, stamp)
        self.last_stamp = stamp

    def _head(self, line: bytes, offset: int, at_end: bool) -> None:
        count = (_strtol(line) + 2**31) % 2**32 - 2**31  # atoi: an int of 32 bits
        if count < 1:
            self.damage = Damage(offset, f"{line[:20]!r} where the number of a command's words should stand")
            return
        if not at_end and line != b"*%d\r\n" % count:
            self._strange(offset, f"{line[:20]!r} where the number of a command's words should stand")
        self._words, self._index, self._name, self._hit = count, 0, b"", False

    def _word(self, line: bytes, offset: int, at_end: bool) -> None:
        length = _strtol(line)
        if not 0 <= length < _LONGEST_WORD or not (length or self._index or at_end):  # a command has a name
            self.damage = Damage(offset, f"{line[:20]!r} where the length of a word should stand")
            return
        if not at_end and line != b"$%d\r\n" % length:
            self._strange(offset, f"{line[:20]!r} where the length of a word should stand")
        self._skip, self._ending = length, True
        watch = self._watch
        if self._index == 0:
            wanted = length in (4, 5) or (watch is not None and length == len(watch.command))
        else:
            wanted = watch is not None and self._name == watch.command and not self._hit and watch.wants(self._index)
        self._held = bytearray() if wanted else None

    def _word_read(self, end: int) -> None:
        """A word is whole."""
        if self._held is not None:
            word, self._held = bytes(self._held), None
            if self._index == 0:
                self._name = word.lower()
                self._hit = self._watch is not None and self._name == self._watch.command and self._watch.key is None
            elif self._watch is not None:
                self._hit = self._watch.matches(word)
        self._ending = False
        self._index += 1
        self._words -= 1
        if not self._words:
            self._command_read(end)

    def _command_read(self, end: int) -> None:
        """A command is whole."""
        self.commands += 1
        if self._hit and self._watch is not None and self._late is None:
            self._watch.note(Found(self.whole, self.last_stamp))
        if self._name == _MULTI:
            if self.in_multi:
                self._strange(end, "a MULTI within a MULTI ends")
            self.in_multi = True
        elif self._name == _EXEC:
            if not self.in_multi:
                self._strange(end, "an EXEC without a MULTI ends")
            self.in_multi = False
        if not self.in_multi:
            self.whole, self.whole_commands = end, self.commands


def _strtol(line: bytes) -> int:
    """What C's strtol makes of the line behind its mark."""
    found = _NUMBER.match(line, 1)
    return max(-_LARGEST - 1, min(_LARGEST, int(found.group(1)))) if found else 0


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
