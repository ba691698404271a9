# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keys that come twice within the window are given once; a scan over a table that changes its size, as SCAN walks."""

from __future__ import annotations

import random
from collections.abc import Iterator

from ansible_collections.globalscope.redis_backup.plugins.module_utils._keys.seen import LastSeen
from hypothesis import given
from hypothesis import strategies as st

PAGES = st.lists(st.lists(st.integers(0, 30).map(lambda number: b"%d" % number), max_size=6), max_size=30)


@given(PAGES)
def test_each_key_once(pages: list[list[bytes]]) -> None:
    seen = LastSeen()
    given_out = [key for page in pages for key in seen.fresh(page)]
    assert len(given_out) == len(set(given_out))
    assert set(given_out) == {key for page in pages for key in page}


@given(PAGES, st.integers(1, 5))
def test_a_small_window_loses_nothing(pages: list[list[bytes]], window: int) -> None:
    seen = LastSeen(window)
    given_out = [key for page in pages for key in seen.fresh(page)]
    assert set(given_out) == {key for page in pages for key in page}


def reverse(number: int, bits: int) -> int:
    return int(f"{number:0{bits}b}"[::-1], 2) if bits else 0


def walk(hashes: dict[bytes, int], bits: list[int]) -> Iterator[list[bytes]]:
    """The buckets of a table, as dictScan of the server visits them; `bits` is its size, which may change between."""
    cursor = 0
    while True:
        size = bits[0]
        bucket = cursor & ((1 << size) - 1)
        yield [key for key, value in hashes.items() if value & ((1 << size) - 1) == bucket]
        cursor = reverse((reverse(bucket, size) + 1) % (1 << size), size)
        if not cursor:
            return


def test_keys_of_a_table_that_shrinks_come_twice_and_are_given_once() -> None:
    chance = random.Random(3)
    twice = 0
    for _round in range(100):
        hashes = {b"%d" % number: chance.getrandbits(32) for number in range(300)}
        bits, seen, shown, found = [9], LastSeen(), [], []
        stop = chance.randrange(1, 400)
        for number, keys in enumerate(walk(hashes, bits)):
            if number == stop:
                bits[0] = chance.randrange(2, 9)
            shown += keys
            found += seen.fresh(keys)
        twice += len(shown) - len(set(shown))
        assert sorted(found) == sorted(hashes)
    assert twice


def test_keys_that_come_again_were_seen_a_little_while_ago() -> None:
    """Why the window may be small: at most the ratio of both sizes, times the keys in one place."""
    chance = random.Random(4)
    for _round in range(50):
        hashes = {b"%d" % number: chance.getrandbits(32) for number in range(1000)}
        bits, last = [10], {}
        stop = chance.randrange(1, 1000)
        position = 0
        for number, keys in enumerate(walk(hashes, bits)):
            if number == stop:
                bits[0] = 7
            for key in keys:
                assert position - last.get(key, position) <= 8 * 8
                last[key] = position
                position += 1


def test_the_window_is_bounded_in_bytes() -> None:
    seen = LastSeen(keys=1000, size=100)
    key = b"x" * 60
    assert seen.fresh([key + b"1", key + b"2"]) == [key + b"1", key + b"2"]
    assert seen.fresh([key + b"1"]) == []
    seen.fresh([key + b"3", key + b"4"])
    assert seen.fresh([key + b"1"]) == [key + b"1"]
