# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A tar archive as a stream, against Python's tarfile."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator

import pytest
from ansible_collections.globalscope.redis_backup.plugins.module_utils._aof.tar import (
    END,
    TarError,
    Untar,
    header,
    padding,
)
from hypothesis import given
from hypothesis import strategies as st

NAMES = st.text(st.characters(blacklist_characters="\0", blacklist_categories=("Cs",)), min_size=1, max_size=300)
FILES = st.lists(st.tuples(NAMES, st.binary(max_size=2000)), max_size=4)


def packed(files: list[tuple[str, bytes]]) -> bytes:
    parts = [part for name, data in files for part in (header(name, len(data), 7), data, padding(len(data)))]
    return b"".join([*parts, END])


def pieces(data: bytes, size: int) -> Iterator[memoryview]:
    """In views of one buffer that is used again: what is kept of an old view has changed."""
    buffer = bytearray(size)
    for at in range(0, len(data), size):
        piece = data[at : at + size]
        buffer[: len(piece)] = piece
        yield memoryview(buffer)[: len(piece)]


def unpacked(data: bytes, size: int) -> list[tuple[str, bytes]]:
    archive = Untar(pieces(data, size))
    return [(name, b"".join(bytes(p) for p in archive.data())) for name, _size in archive.members()]


@given(FILES, st.integers(1, 3000))
def test_there_and_back(files: list[tuple[str, bytes]], size: int) -> None:
    files = [(name.rstrip("/") or "x", data) for name, data in files]
    data = packed(files)
    assert unpacked(data, size) == files
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        members = archive.getmembers()
        assert [(m.name, m.size, m.mtime, m.mode) for m in members] == [(n, len(d), 7, 0o640) for n, d in files]
        streams = [archive.extractfile(member) for member in members]
        assert [stream.read() for stream in streams if stream is not None] == [content for _name, content in files]


@given(FILES, st.data())
def test_cut_or_longer(files: list[tuple[str, bytes]], data: st.DataObject) -> None:
    """One byte less, or more, is no archive."""
    files = [(name.rstrip("/") or "x", content) for name, content in files]
    whole = packed(files)
    for wrong in (whole[: data.draw(st.integers(0, len(whole) - 1))], whole + b"\0"):
        with pytest.raises(TarError):
            unpacked(wrong, 700)


def test_what_is_not_read_is_skipped() -> None:
    archive = Untar(pieces(packed([("a", b"x" * 1000), ("b", b"y")]), 100))
    assert [name for name, _size in archive.members()] == ["a", "b"]


def test_a_large_file() -> None:
    block = header("big", 2**40, 0)
    assert next(Untar([memoryview(block)]).members()) == ("big", 2**40)


@pytest.mark.parametrize("kind", [tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE])
def test_only_files(kind: bytes) -> None:
    member = tarfile.TarInfo("name")
    member.type = kind
    with pytest.raises(TarError, match="no file"):
        unpacked(member.tobuf(tarfile.GNU_FORMAT) + END, 512)


def test_a_damaged_header() -> None:
    block = bytearray(header("name", 1, 0))
    block[3] ^= 1
    with pytest.raises(TarError, match="no archive"):
        unpacked(bytes(block) + END, 512)
