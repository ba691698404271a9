# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which moment is asked for, and what gives it."""

from __future__ import annotations

import fnmatch
import re

import pytest
from ansible_collections.globalscope.redis_backup.plugins.module_utils._archive.coverage import Chain, Coverage, Epoch
from ansible_collections.globalscope.redis_backup.plugins.module_utils._archive.frame import Segment
from ansible_collections.globalscope.redis_backup.plugins.module_utils._errors import RestoreError
from ansible_collections.globalscope.redis_backup.plugins.module_utils._restore.point_plan import (
    Point,
    chains_for,
    clock_steps,
    glob,
    nearest_words,
    parse_point,
    require_one_time,
    seconds_of,
)
from hypothesis import given
from hypothesis import strategies as st


def test_points() -> None:
    assert parse_point(None, None) is None
    assert parse_point("latest", None) == Point()
    found = parse_point("2026-11-22T23:51:41.9Z", "del user:*")
    assert found is not None and found.second == 1795391501 and found.command == b"del"
    assert found.key is not None and found.key.fullmatch(b"user:\r\n\xff") and not found.key.fullmatch(b"xuser:1")
    assert found.asked == "at=1795391501 before=DEL user:*"
    for bad in ("*", "", "DEL;x", "1"):
        with pytest.raises(RestoreError, match="before_command"):
            parse_point(None, bad)
    with pytest.raises(RestoreError, match="zone"):
        parse_point("2026-11-22T23:51:41", None)


def test_patterns() -> None:
    for pattern, yes, no in (
        (b"user:?", b"user:1", b"user:12"),
        (b"h[^e]llo", b"hallo", b"hello"),
        (b"h[a-c]llo", b"hbllo", b"hdllo"),
        (b"h[c-a]llo", b"hbllo", b"hdllo"),
        (rb"a\*b", b"a*b", b"axb"),
        (rb"[\]]", b"]", b"["),
        (b"[ab", b"a", b"c"),
        (b"a[]b", b"never", b"ab"),
    ):
        found = glob(pattern)
        assert found.fullmatch(yes) or yes == b"never"
        assert not found.fullmatch(no)


@given(st.text("ab*?.\n", max_size=8), st.text("ab.\n", max_size=8))
def test_stars_are_those_of_a_shell(pattern: str, text: str) -> None:
    wanted = re.compile(fnmatch.translate(pattern)).match(text) is not None
    assert (glob(pattern.encode()).fullmatch(text.encode()) is not None) == wanted


@given(st.binary(max_size=20), st.binary(max_size=20))
def test_any_bytes_are_a_pattern(pattern: bytes, text: bytes) -> None:
    glob(pattern).fullmatch(text)


def chain(first: float, last: float) -> Chain:
    return Chain((Epoch("e"),), first, last)


def test_the_cheapest_chain_that_reaches_the_seconds_end() -> None:
    old, new = chain(10.0, 100.0), chain(51.0, 100.0)
    found = Coverage((old, new), ((10.0, 100.0),), (), ())
    assert chains_for(found, Point(49)) == [old]
    assert chains_for(found, Point(50)) == [new, old]
    assert chains_for(found, Point(99)) == [new, old]
    assert chains_for(found, Point(100)) == []
    assert chains_for(found, Point()) == [new, old]
    assert seconds_of(found.ranges) == [(9, 99)]
    assert nearest_words([(9, 99), (200, 300)], 150) == "times are 1970-01-01T00:01:39Z and 1970-01-01T00:03:20Z"
    assert nearest_words([(9, 99), (200, 300)], 301) == "time is 1970-01-01T00:05:00Z"


def segment(number: int, *clocks: tuple[int, float, float]) -> Segment:
    return Segment("i", "u", "e", "f", "incr", 1, number, 1, "", 0.0, clocks=clocks)


def test_a_second_that_was_there_twice() -> None:
    steady = [segment(0, (1, 10.0, 10.1)), segment(1, (2, 12.0, 12.1)), segment(2, (3, 11.8, 11.9))]
    assert clock_steps(steady) == []
    stepped = [*steady, segment(3, (4, 5.0, 5.1)), segment(4, (5, 30.0, 30.1))]
    assert clock_steps(stepped) == [(5.1, 12.1)]
    require_one_time(clock_steps(stepped), 2)
    require_one_time(clock_steps(stepped), 14)
    with pytest.raises(RestoreError, match="there twice"):
        require_one_time(clock_steps(stepped), 8)
