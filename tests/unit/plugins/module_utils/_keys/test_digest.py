# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The canonical bytes of values: any order of one value alike, any two values different."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from ansible_collections.globalscope.redis_backup.plugins.module_utils._keys.digest import (
    AgedDigest,
    Fingerprint,
    _knows_field_expiry,
    _pack,
    _read_command,
    pack_score,
    pack_value,
)
from ansible_collections.globalscope.redis_backup.plugins.module_utils._server.facts import Facts
from hypothesis import given
from hypothesis import strategies as st

# Short words over few letters, so that two of them are often alike, or alike when joined.
WORDS = st.text("ab\0", max_size=3).map(str.encode)
SCORES = st.sampled_from([b"0", b"1", b"-1", b"inf", b"-inf", b"0.1", b"1e300", b"5e-324"])


def flat(pairs: dict[bytes, bytes]) -> list[bytes]:
    return [word for pair in pairs.items() for word in pair]


@given(st.lists(WORDS), st.lists(WORDS))
def test_packing_is_injective(one: list[bytes], two: list[bytes]) -> None:
    assert (_pack(one) == _pack(two)) == (one == two)


@given(st.lists(WORDS, max_size=4), st.lists(WORDS, max_size=4))
def test_lists(one: list[bytes], two: list[bytes]) -> None:
    assert (pack_value(b"list", one) == pack_value(b"list", two)) == (one == two)


@given(st.sets(WORDS, max_size=5), st.sets(WORDS, max_size=5), st.randoms())
def test_sets(one: set[bytes], two: set[bytes], random: Any) -> None:
    shuffled = list(one)
    random.shuffle(shuffled)
    assert pack_value(b"set", list(one)) == pack_value(b"set", shuffled)
    assert (pack_value(b"set", list(one)) == pack_value(b"set", list(two))) == (one == two)


@pytest.mark.parametrize("kind", [b"hash", b"zset"])
@given(data=st.data(), random=st.randoms())
def test_hashes_and_sorted_sets(kind: bytes, data: st.DataObject, random: Any) -> None:
    values = SCORES if kind == b"zset" else WORDS
    one, two = (data.draw(st.dictionaries(WORDS, values, max_size=4)) for _which in range(2))
    shuffled = list(one.items())
    random.shuffle(shuffled)
    assert pack_value(kind, flat(one)) == pack_value(kind, flat(dict(shuffled)))
    assert (pack_value(kind, flat(one)) == pack_value(kind, flat(two))) == (one == two)


ENTRIES = st.lists(st.tuples(st.sampled_from([b"1-0", b"1-1", b"2-0"]), st.lists(WORDS, max_size=4)), max_size=3)


@given(ENTRIES, ENTRIES)
def test_streams(one: list[tuple[bytes, list[bytes]]], two: list[tuple[bytes, list[bytes]]]) -> None:
    assert (pack_value(b"stream", one) == pack_value(b"stream", two)) == (one == two)


@given(st.binary(), st.binary(min_size=10, max_size=10), st.binary(min_size=10, max_size=10))
def test_strings_and_modules(value: bytes, footer: bytes, other: bytes) -> None:
    assert pack_value(b"string", value) == value
    assert pack_value(b"graphdata", value + footer) == pack_value(b"graphdata", value + other) == value


@given(st.floats(allow_nan=False))
def test_scores_are_doubles(score: float) -> None:
    (back,) = struct.unpack(">d", pack_score(repr(score).encode()))
    assert back == score
    assert pack_score(b"%.17g" % score) == pack_score(repr(score).encode())  # as 7.0 prints it, and as 7.2


def test_zero_has_no_sign() -> None:
    assert pack_score(b"-0") == pack_score(b"0")
    assert pack_score(b"inf") != pack_score(b"-inf")


@pytest.mark.parametrize(
    ("kind", "command"),
    [
        (b"string", ("GET", b"k")),
        (b"list", ("LRANGE", b"k", 0, -1)),
        (b"zset", ("ZRANGE", b"k", 0, -1, "WITHSCORES")),
        (b"stream", ("XRANGE", b"k", "-", "+")),
        (b"graphdata", ("DUMP", b"k")),
    ],
)
def test_read_commands(kind: bytes, command: tuple[Any, ...]) -> None:
    assert _read_command(kind, b"k") == command


@pytest.mark.parametrize(
    ("info", "knows"),
    [
        ({"redis_version": "7.2.6"}, False),
        ({"redis_version": "7.4.1"}, True),
        ({"redis_version": "8.2.3"}, True),
        ({"redis_version": "7.2.4", "valkey_version": "8.0.1"}, False),
        ({"redis_version": "7.2.4", "valkey_version": "9.1.2"}, True),
    ],
)
def test_field_expiry(info: dict[str, str], knows: bool) -> None:
    assert _knows_field_expiry(Facts(info)) is knows


def test_digests_by_age() -> None:
    """Keys that may change between two readings are left out, all others must agree."""
    start = 1_000_000

    def reading(*keys: tuple[int, int]) -> AgedDigest:
        found = AgedDigest(start)
        for number, until in keys:
            found.add(Fingerprint(0, b"k", b"string", number, until))
        return found

    lasting, soon, late = (1, -1), (2, start + 100), (3, start + 100_000)
    assert reading(lasting, soon, late).agrees(reading(late, soon, lasting), start)
    assert reading(lasting, soon, late).agrees(reading(lasting, late), start + 200)
    assert reading(lasting, soon).agrees(reading(lasting, soon), start + 1)
    assert not reading(lasting, soon).agrees(reading(lasting), start + 1)
    assert not reading(lasting, late).agrees(reading(lasting), start + 200)
    assert not reading(lasting, late).agrees(reading(lasting, (4, start + 100_000)), start + 200)
    assert not reading(lasting).agrees(reading(), start + 10**9)
    assert reading(lasting, (5, start - 1), (6, start)).agrees(reading(lasting), start + 1)
