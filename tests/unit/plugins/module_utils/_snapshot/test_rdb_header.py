# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The first bytes of an RDB, built here as rdb.c writes them."""

from __future__ import annotations

import struct

import pytest
from ansible_collections.globalscope.redis_backup.plugins.module_utils._errors import DamagedError
from ansible_collections.globalscope.redis_backup.plugins.module_utils._server.versions import RdbFormat
from ansible_collections.globalscope.redis_backup.plugins.module_utils._snapshot.rdb_header import parse_header
from hypothesis import given
from hypothesis import strategies as st

NAMES = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=80)
VALUES = st.one_of(st.text(st.characters(blacklist_categories=["Cs"]), max_size=300), st.integers(-(2**31), 2**31 - 1))


def raw_string(value: str | int) -> bytes:
    """rdbSaveRawString: whole numbers in 1, 2 or 4 bytes, other strings behind their length."""
    if isinstance(value, int):
        for code, form, low in ((0xC0, "<b", 2**7), (0xC1, "<h", 2**15), (0xC2, "<i", 2**31)):
            if -low <= value < low:
                return bytes([code]) + struct.pack(form, value)
    data = str(value).encode()
    if len(data) < 64:
        return bytes([len(data)]) + data
    assert len(data) < 16384
    return bytes([0x40 | len(data) >> 8, len(data) & 0xFF]) + data


def aux(name: str, value: str | int) -> bytes:
    return b"\xfa" + raw_string(name) + raw_string(value)


def header(fields: dict[str, str | int], magic: bytes = b"REDIS0010") -> bytes:
    return magic + b"".join(aux(name, value) for name, value in fields.items())


@given(st.dictionaries(NAMES, VALUES, max_size=8), st.sampled_from([b"\xfe\x00", b"\xf5", b"\xff", b"\x00", b""]))
def test_fields_come_back(fields: dict[str, str | int], behind: bytes) -> None:
    found = parse_header(header(fields) + behind, "x")
    assert found.format == RdbFormat("REDIS", 10)
    assert found.aux == {name: str(value) for name, value in fields.items()}


@given(st.dictionaries(NAMES, VALUES, min_size=1, max_size=5), st.data())
def test_a_cut_leaves_the_last_fields_out(fields: dict[str, str | int], data: st.DataObject) -> None:
    whole = header(fields)
    cut = data.draw(st.integers(9, len(whole) - 1))
    found = parse_header(whole[:cut], "x").aux
    names = list(fields)
    assert list(found) == names[: len(found)]
    assert len(found) < len(names)
    assert found == {name: str(fields[name]) for name in found}


@given(st.binary(max_size=200))
def test_any_bytes_behind_the_magic(rest: bytes) -> None:
    found = parse_header(b"REDIS0012" + rest, "x")
    assert isinstance(found.ctime, int)
    assert isinstance(found.writer, tuple)


@given(st.text(max_size=20))
def test_any_words_for_a_time(text: str) -> None:
    fields: dict[str, str | int] = {"ctime": text.encode("utf-8", "replace").decode()}
    assert isinstance(parse_header(header(fields), "x").ctime, int)


@pytest.mark.parametrize("text", ["", "soon", "-1", "²", "1.5"])
def test_no_time(text: str) -> None:
    assert parse_header(header({"ctime": text}), "x").ctime == 0


@pytest.mark.parametrize(
    ("magic", "found"),
    [
        (b"REDIS0009", RdbFormat("REDIS", 9)),
        (b"REDIS0012", RdbFormat("REDIS", 12)),
        (b"VALKEY080", RdbFormat("VALKEY", 80)),
        (b"VALKEY081", RdbFormat("VALKEY", 81)),
    ],
)
def test_magic(magic: bytes, found: RdbFormat) -> None:
    assert parse_header(magic, "x").format == found


@pytest.mark.parametrize(
    "data", [b"", b"REDIS", b"REDIS001", b"redis0010", b"VALKEY08", b"*2\r\n$6\r\nSELECT", b"\0" * 9]
)
def test_no_rdb(data: bytes) -> None:
    with pytest.raises(DamagedError, match=r"dump.rdb is no RDB: it begins with"):
        parse_header(data, "dump.rdb")


def test_redis() -> None:
    found = parse_header(
        header({"redis-ver": "7.0.15", "redis-bits": 64, "ctime": 1795385360, "used-mem": 898888, "aof-base": 0}), "x"
    )
    assert found.ctime == 1795385360
    assert found.writer == ("redis", "7.0.15")
    assert found.aux["used-mem"] == "898888"


@pytest.mark.parametrize("length", [0, 63, 64, 255, 256, 700])
def test_lengths_of_one_and_two_bytes(length: int) -> None:
    found = parse_header(header({"x": "a" * length, "ctime": 7}), "x")
    assert found.aux == {"x": "a" * length, "ctime": "7"}


def test_valkey() -> None:
    assert parse_header(header({"valkey-ver": "9.1.2"}, b"VALKEY080"), "x").writer == ("valkey", "9.1.2")


def test_nothing_known() -> None:
    found = parse_header(b"REDIS0009\xfe\x00", "x")
    assert (found.ctime, found.writer) == (0, ("redis", ""))


def test_a_compressed_or_huge_string_ends_the_reading() -> None:
    good = header({"redis-ver": "7.0.15"})
    for strange in (b"\xfa\x04abcd\xc3\x05\x20xxxxx", b"\xfa\x80\x00\x00\x00\x01ab", b"\xfa\x01"):
        assert parse_header(good + strange, "x").aux == {"redis-ver": "7.0.15"}
