# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What stands in a payload. Which server takes which is shown on the servers themselves."""

from __future__ import annotations

import pytest
from ansible_collections.globalscope.redis_backup.plugins.module_utils._keys.payload import (
    checksum,
    is_intact,
    type_name,
    version_of,
    why_refused,
)
from hypothesis import given
from hypothesis import strategies as st

# DUMP of "hello" on Redis 7.0.
HELLO = bytes.fromhex("000568656c6c6f0a000000000000000000")


def slow_checksum(data: bytes) -> int:
    """CRC-64 (Jones), bit by bit."""
    crc = 0
    for byte in data:
        crc ^= byte
        for _bit in range(8):
            crc = crc >> 1 ^ (0x95AC9329AC4BC9B5 if crc & 1 else 0)
    return crc


@given(st.binary(max_size=30))
def test_checksum(data: bytes) -> None:
    assert checksum(data) == slow_checksum(data)


def test_checksum_as_the_server_tests_it() -> None:
    assert checksum(b"123456789") == 0xE9C6D914C4B8D9CA


@given(st.binary(min_size=2, max_size=20), st.integers(0, 40), st.integers(1, 255))
def test_one_changed_byte_is_seen(value: bytes, at: int, change: int) -> None:
    whole = value + b"\x0b\x00"
    payload = bytearray(whole + checksum(whole).to_bytes(8, "little"))
    assert is_intact(bytes(payload)) and version_of(bytes(payload)) == 11
    payload[at % len(payload)] ^= change
    assert not is_intact(bytes(payload))


def test_too_short() -> None:
    assert version_of(b"") == version_of(b"\x00" * 11) == 0
    assert not is_intact(b"")


@pytest.mark.parametrize(
    ("payload", "name"),
    [
        (HELLO, "string"),
        (b"\x12", "list"),
        (b"\x0b", "set"),
        (b"\x11", "zset"),
        (b"\x19", "hash"),
        (b"\x15", "stream"),
        (b"\x07\x81" + (0x123456789ABCDEF0).to_bytes(8, "big"), "EjRWeJq83"),
        (b"\xc8\x00", "type-200"),
    ],
)
def test_type_names(payload: bytes, name: str) -> None:
    assert type_name(payload) == name


@pytest.mark.parametrize(
    ("payload_version", "type_byte", "flavour", "version", "word"),
    [
        (9, 0, "redis", (6, 2, 14), None),
        (9, 0, "valkey", (9, 1, 2), None),
        (10, 0, "redis", (6, 2, 14), "loads RDB formats up to 9, this one is 10"),
        (11, 20, "redis", (7, 4, 0), None),
        (11, 20, "redis", (7, 0, 15), "loads RDB formats up to 10"),
        (12, 0, "redis", (7, 4, 0), None),
        (12, 0, "valkey", (9, 1, 2), "after the fork"),
        (12, 0, "valkey", (8, 0, 0), "after the fork"),
        (80, 0, "valkey", (9, 1, 2), None),
        (80, 0, "valkey", (8, 0, 0), "does not know the VALKEY format 80"),
        (80, 0, "redis", (8, 2, 3), "does not know the VALKEY format 80"),
        (9, 21, "redis", (7, 0, 15), "Redis 7.0.15 does not know the encoding 21"),
    ],
)
def test_who_takes_what(
    payload_version: int, type_byte: int, flavour: str, version: tuple[int, ...], word: str | None
) -> None:
    why = why_refused(payload_version, type_byte, flavour, version)
    assert why is None if word is None else word in str(why)
