# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The reader of a file of commands agrees with a model that reads as the servers' loader does, whatever it is fed."""

from __future__ import annotations

import io
import re
from dataclasses import dataclass, field
from typing import Any

import pytest
from ansible_collections.globalscope.redis_backup.plugins.module_utils._aof.resp import (
    Cut,
    Reader,
    Watch,
    encode,
)
from hypothesis import given
from hypothesis import strategies as st

AWKWARD = [b"", b"\r\n", b"*1\r\n$4\r\nEXEC\r\n", b"#TS:1\r\n", b"\x00\xff", b"$-1\r\n", b"MULTI", b"exec", b"x" * 127]
LENGTHS = st.one_of(st.integers(0, 12), st.sampled_from([99, 100, 101, 126, 127, 128, 999, 1000, 5000]))
WORD = st.one_of(st.sampled_from(AWKWARD), st.binary(max_size=40), LENGTHS.map(lambda length: b"\r\n$3" * length))
NAME = st.sampled_from([b"SET", b"set", b"DEL", b"HSET", b"ZREMRANGEBYSCORE", b"x" * 30, b"INCR", b"LPUSH"])
COMMAND = st.one_of(
    st.builds(lambda name, words: [name, *words], NAME, st.lists(WORD, max_size=9)),
    st.builds(lambda name, words: [name, *words], NAME, st.lists(st.binary(max_size=3), min_size=5, max_size=40)),
    st.lists(WORD, min_size=1, max_size=4).filter(lambda words: words[0] != b""),
    st.sampled_from(
        [[b"MULTI"], [b"EXEC"], [b"multi"], [b"eXec"], [b"MULTI", b"x"], [b"FLUSHALL"], [b"FLUSHALL", b"a"]]
    ),
)
STAMP = st.integers(0, 30).map(lambda stamp: b"#TS:%d\r\n" % stamp)
NOTE = st.sampled_from([b"#\r\n", b"#TS:x\r\n", b"#TS:5\n", b"# a note *3\r\n", b"#" + b"y" * 200 + b"\n"])
PIECE = st.one_of(COMMAND.map(encode), COMMAND.map(encode), STAMP, NOTE)
FILE = st.lists(PIECE, max_size=14).map(b"".join)
CHUNKS = st.lists(st.one_of(st.integers(1, 9), st.integers(1, 400)), min_size=1, max_size=5)


@dataclass
class Model:
    """What loadSingleAppendOnlyFile in aof.c makes of a file, and what our callers want to know beside."""

    until: int | None = None
    watched: tuple[bytes, bytes | None] | None = None
    damaged: bool = False
    torn: bool = False
    whole: int = 0
    commands: int = 0
    whole_commands: int = 0
    stamps: list[int] = field(default_factory=list)
    late: Cut | None = None
    found: list[tuple[int, int | None]] = field(default_factory=list)

    def read(self, data: bytes) -> Model:
        stream, multi = io.BytesIO(data), False
        while True:
            line = stream.readline(1023)
            if not line:
                self.torn = multi
                return self
            if line[:1] == b"#":
                if line[-1:] != b"\n" and stream.tell() == len(data) and len(line) < 1023:
                    self.torn = True
                    return self
                stamp = re.fullmatch(rb"#TS:(\d{1,18})\r\n", line)
                if stamp:
                    self.stamps.append(int(stamp[1]))
                    if self.until is not None and int(stamp[1]) > self.until and not self.late:
                        self.late = Cut(self.whole, int(stamp[1]))
                if not multi:
                    self.whole = stream.tell()
                continue
            words = self.words(stream, line)
            if words is None:
                return self
            self.commands += 1
            if self.watched and self.late is None and words[0].lower() == self.watched[0]:
                keys = words[1:] if words[0].lower() == b"del" else words[1:2]
                if self.watched[1] is None or any(re.fullmatch(self.watched[1], key, re.DOTALL) for key in keys):
                    self.found.append((self.whole, self.stamps[-1] if self.stamps else None))
            if words[0].lower() in (b"multi", b"exec"):
                multi = words[0].lower() == b"multi"
            if not multi:
                self.whole, self.whole_commands = stream.tell(), self.commands

    def words(self, stream: io.BytesIO, line: bytes) -> list[bytes] | None:
        if line == b"*":
            self.torn = True
            return None
        count = (number(line) + 2**31) % 2**32 - 2**31
        if line[:1] != b"*" or line[1:2] == b"\0" or count < 1:
            self.damaged = True
            return None
        words = []
        for _each in range(count):
            line = stream.readline(1023)
            length = number(line)
            nameless = not (length or words) and line.endswith(b"\n")
            if line and (line[:1] != b"$" or not 0 <= length < 2**47 or nameless):
                self.damaged = True
                return None
            word = stream.read(length)
            if not line or len(word) < length or len(stream.read(2)) < 2:
                self.torn = True
                return None
            words.append(word)
        return words


def number(line: bytes) -> int:
    found = re.match(rb"\s*([+-]?\d+)", line[1:])
    return max(-(2**63), min(2**63 - 1, int(found[1]))) if found else 0


class SlowReader(Reader):
    """The step by step path alone."""

    def _commands_at_once(self, buffer: bytes, at: int) -> int:
        return at

    def _words_at_once(self, buffer: bytes, at: int) -> int:
        return at


def fed(reader: Reader, data: bytes, chunks: list[int]) -> Reader:
    at = turn = 0
    while at < len(data):
        size = chunks[turn % len(chunks)]
        reader.feed(memoryview(data)[at : at + size] if turn % 2 else data[at : at + size])
        at, turn = at + size, turn + 1
    reader.finish()
    return reader


def seen(reader: Reader) -> dict[str, Any]:
    names = "offset whole commands whole_commands first_stamp last_stamp damage odd torn in_multi cut backward"
    return {name: getattr(reader, name) for name in names.split()}


def agrees(data: bytes, chunks: list[int], until: int | None = None, watched: Any = None) -> Reader:
    """Both paths and the model say the same of a file."""
    model = Model(until, watched).read(data)
    readers = []
    for kind in (Reader, SlowReader):
        watch = (
            Watch(watched[0], None if watched[1] is None else re.compile(watched[1], re.DOTALL)) if watched else None
        )
        reader = fed(kind(until=until, watch=watch), data, chunks)
        readers.append(seen(reader))
        assert (
            (watch.count, watch.last) == (len(model.found), model.found[-1] if model.found else None) if watch else True
        )
        assert (reader.damage is not None, reader.torn) == (model.damaged, model.whole if model.torn else None)
        assert (reader.whole, reader.commands) == (model.whole, model.commands)
        assert reader.whole_commands == model.whole_commands
        assert (reader.first_stamp, reader.last_stamp) == ((model.stamps or [None])[0], (model.stamps or [None])[-1])
        assert reader.backward == any(
            later < stamp for stamp, later in zip(model.stamps, model.stamps[1:], strict=False)
        )
        assert reader.cut == (model.found[-1] if model.found else model.late)
        assert reader.offset == len(data)
    assert readers[0] == readers[1]
    return reader


@given(FILE, CHUNKS, st.one_of(st.none(), st.integers(0, 30)))
def test_whole_files(data: bytes, chunks: list[int], until: int | None) -> None:
    assert agrees(data, chunks, until).damage is None


@given(FILE, CHUNKS, st.data())
def test_cut_files(data: bytes, chunks: list[int], draw: st.DataObject) -> None:
    reader = agrees(data[: draw.draw(st.integers(0, len(data)))], chunks)
    assert reader.damage is None


@given(FILE, CHUNKS, st.data())
def test_flipped_bytes(data: bytes, chunks: list[int], draw: st.DataObject) -> None:
    marks = [match.start() for match in re.finditer(rb"[*$#\r\n0-9]", data)] or [0]
    changed = bytearray(data or b"x")
    for at in draw.draw(st.lists(st.sampled_from(marks), min_size=1, max_size=2)):
        changed[at] = draw.draw(st.one_of(st.sampled_from(b"*$#\r\n\0 -+0123456789"), st.integers(0, 255)))
    agrees(bytes(changed), chunks)


@given(FILE, FILE, st.one_of(st.binary(max_size=20), st.just(b"\0" * 100), st.just(b"#" * 1500)), CHUNKS)
def test_rubbish_in_the_middle(before: bytes, behind: bytes, rubbish: bytes, chunks: list[int]) -> None:
    agrees(before + rubbish + behind, chunks)


WATCHED = st.sampled_from(
    [(b"flushall", None), (b"set", rb".*\n.*"), (b"del", rb"..?"), (b"multi", None), (b"lpush", b"")]
)


@given(FILE, CHUNKS, st.one_of(st.none(), st.integers(0, 30)), WATCHED)
def test_watched_commands(
    data: bytes, chunks: list[int], until: int | None, watched: tuple[bytes, bytes | None]
) -> None:
    agrees(data, chunks, until, watched)


SET = encode([b"SET", b"k", b"v"])


@pytest.mark.parametrize(
    ("data", "damage", "odd"),
    [
        (b"*3x\r\n" + SET[4:], None, 0),
        (SET[:-2] + b"XY" + SET, None, len(SET) - 2),
        (b"*03\r\n" + SET[4:], None, 0),
        (SET + b"EXEC\r\n", len(SET), None),
        (SET + b"\0" * 64, len(SET), None),
        (b"*1\r\n$-1\r\n", 4, None),
        (b"*1\r\n$999999999999999999999\r\n", 4, None),
        (b"*0\r\n", 0, None),
        (b"*4294967296\r\n", 0, None),
        (b"*\0\r\n", 0, None),
        (b"*1\r\nPING\r\n", 4, None),
        (encode([b"EXEC"]), None, 14),
        (encode([b"MULTI"]) * 2 + encode([b"EXEC"]), None, 30),
        (b"REDIS0011", 0, None),
    ],
)
def test_what_is_damage_and_what_is_only_odd(data: bytes, damage: int | None, odd: int | None) -> None:
    reader = agrees(data, [7])
    assert (reader.damage and reader.damage.offset) == damage
    assert (reader.odd and reader.odd.offset) == odd


def test_offsets_go_on_from_where_the_file_was_opened() -> None:
    reader = Reader(1000)
    reader.feed(SET + SET[:9])
    reader.finish()
    assert (reader.whole, reader.offset, reader.torn) == (1000 + len(SET), 1009 + len(SET), 1000 + len(SET))


def test_annotations_are_damage_to_redis_6_2() -> None:
    reader = fed(Reader(annotations=False), SET + b"#TS:1700000000\r\n" + SET, [1000])
    assert reader.damage is not None
    assert (reader.damage.offset, reader.whole, reader.commands) == (len(SET), len(SET), 1)


def test_of_a_large_word_nothing_is_held() -> None:
    reader, piece, pieces = Reader(), bytes(65536), 8192  # 512 MB
    reader.feed(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$%d\r\n" % (len(piece) * pieces))
    for _piece in range(pieces):
        reader.feed(piece)
        assert not reader._rest
    reader.feed(b"\r\n" + SET)
    reader.finish()
    assert (reader.torn, reader.damage, reader.odd, reader.commands) == (None, None, None, 2)
