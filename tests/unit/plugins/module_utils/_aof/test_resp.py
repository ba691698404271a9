# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Commands as they stand in an AOF, read by their lengths whatever they hold and however the file comes in."""

from __future__ import annotations

import io

import pytest
from ansible_collections.globalscope.redis_backup.plugins.module_utils._aof.resp import (
    RespError,
    encode,
    read_commands,
)
from hypothesis import given
from hypothesis import strategies as st

AWKWARD = [b"", b"\r\n", b"*1\r\n$4\r\nPING\r\n", b"#TS:1\r\n", b"\x00\xff", b"$-1\r\n"]
WORDS = st.lists(st.one_of(st.sampled_from(AWKWARD), st.binary(max_size=80)), min_size=1, max_size=6)


@given(st.lists(WORDS, max_size=8), st.integers(1, 200))
def test_what_was_written_is_read(commands: list[list[bytes]], chunk: int) -> None:
    data = b"".join(encode(words) for words in commands)
    found = list(read_commands(io.BytesIO(data), chunk))
    assert [command.words for command in found] == commands
    assert b"".join(command.raw for command in found) == data
    assert [data[command.offset : command.offset + len(command.raw)] for command in found] == [c.raw for c in found]


@given(st.lists(WORDS, min_size=1, max_size=4), st.data(), st.integers(1, 64))
def test_a_cut_is_told_with_the_command_it_hits(commands: list[list[bytes]], data: st.DataObject, chunk: int) -> None:
    whole = [encode(words) for words in commands]
    cut = data.draw(st.integers(1, len(whole[-1]) - 1))
    text = b"".join(whole[:-1]) + whole[-1][:cut]
    found = []
    with pytest.raises(RespError) as error:
        for command in read_commands(io.BytesIO(text), chunk):
            found.append(command.words)
    assert found == commands[:-1]
    assert error.value.offset == sum(map(len, whole[:-1]))


@pytest.mark.parametrize("chunk", [1, 7, 1000])
def test_annotations_are_passed_over(chunk: int) -> None:
    long = b"#TS:1700000001\r\n#" + b"x" * 200 + b"\r\n"
    text = b"#TS:1700000000\r\n" + encode([b"PING"]) + long + encode([b"A", b"b"])
    assert [command.words for command in read_commands(io.BytesIO(text), chunk)] == [[b"PING"], [b"A", b"b"]]


@pytest.mark.parametrize(
    ("text", "offset"),
    [
        (b"REDIS0011\xfa", 0),
        (b"*0\r\n", 0),
        (b"*-1\r\n", 0),
        (b"*1\r\n:4\r\nPING\r\n", 4),
        (b"*1\r\n$3\r\nPING\r\n", 11),
        (b"*1\r\n$x\r\n", 4),
        (b"*" + b"1" * 100, 0),
        (encode([b"PING"]) + b"junk\r\n", 14),
    ],
)
def test_what_is_no_command(text: bytes, offset: int) -> None:
    with pytest.raises(RespError) as error:
        list(read_commands(io.BytesIO(text)))
    assert error.value.offset == offset


def test_a_large_word_is_not_read_again_and_again() -> None:
    class Counting(io.BytesIO):
        calls = 0

        def read(self, size: int | None = -1) -> bytes:
            self.calls += 1
            return super().read(size)

    stream = Counting(encode([b"SET", b"k", b"x" * 5_000_000]))
    assert len(next(read_commands(stream, 1000)).words[2]) == 5_000_000
    assert stream.calls < 10
