# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a chain ends: by annotations, by clocks where they lack or lie, before a command."""

from __future__ import annotations

import pytest
from ansible_collections.globalscope.redis_backup.plugins.module_utils._aof.resp import encode
from ansible_collections.globalscope.redis_backup.plugins.module_utils._archive.frame import Segment
from ansible_collections.globalscope.redis_backup.plugins.module_utils._errors import DamagedError, RestoreError
from ansible_collections.globalscope.redis_backup.plugins.module_utils._restore.point_cut import Decision, Follower
from ansible_collections.globalscope.redis_backup.plugins.module_utils._restore.point_plan import Point, parse_point
from hypothesis import given
from hypothesis import strategies as st

LAST = 1000.0


def stamp(second: int) -> bytes:
    return b"#TS:%d\r\n" % second


def command(*words: str) -> bytes:
    return encode(word.encode() for word in words)


def segments(data: bytes, sizes: list[int], clocks: list[tuple[int, float, float]]) -> list[tuple[Segment, bytes]]:
    """A file archived in pieces of these sizes, with these samples of its size."""
    found, at = [], 0
    for size in [*sizes, len(data)]:
        piece = data[at : at + size]
        if piece:
            within = tuple(each for each in clocks if at < each[0] <= at + len(piece))
            lower = max((before for end, before, _after in clocks if end <= at), default=None)
            written = max((after for end, _before, after in clocks if end <= at + len(piece)), default=LAST)
            found.append(
                (Segment("i", "u", "e", "f", "incr", 1, at, len(piece), "", written, lower=lower, clocks=within), piece)
            )
        at += len(piece)
    return found


def decide(files: list[list[tuple[Segment, bytes]]], point: Point) -> Decision:
    follower = Follower(point, 0.0, LAST)
    for number, file in enumerate(files):
        follower.begin(f"file {number}")
        for segment, data in file:
            follower.feed(segment, data)
            if follower.enough:
                break
        if follower.enough:
            break
    return follower.decide()


def before(text: str, second: int | None = None) -> Point:
    found = parse_point(None if second is None else f"@{second}", text)
    assert found is not None
    return found


@given(st.lists(st.integers(1, 40), max_size=10), st.integers(9, 31))
def test_by_annotations_wherever_the_pieces_end(sizes: list[int], second: int) -> None:
    parts = [(number, stamp(number) + command("SET", "k", f"\r\n{stamp(99).decode()}")) for number in range(10, 30)]
    data = b"".join(part for _number, part in parts)
    found = decide([segments(data, sizes, [(len(data), 40.0, 40.1)])], Point(second))
    assert found.position.offset == sum(len(part) for number, part in parts if number <= second)
    if second < 29:
        assert (found.precision, found.by, found.recovered_to) == (0.0, "timestamps", second)


def test_commands_before_the_first_annotation_of_a_file_are_of_the_second_before() -> None:
    first = stamp(10) + command("SET", "a", "1")
    rest = command("SET", "b", "1")
    second = rest + stamp(12) + command("SET", "c", "1")
    files = [segments(first, [], []), segments(second, [], [(len(second), 20.0, 20.1)])]
    assert decide(files, Point(10)).position == (1, len(rest))
    assert decide(files, Point(11)).position == (1, len(rest))
    assert decide(files, Point(9)).position == (0, 0)
    assert decide(files, Point(15)).position == (1, len(second))


def test_by_clocks_without_annotations() -> None:
    one = command("SET", "a", "1")
    data = one * 4
    clocks = [(len(one), 10.0, 10.1), (2 * len(one) + 3, 11.0, 11.1), (4 * len(one), 13.0, 13.1)]
    found = decide([segments(data, [], clocks)], Point(11))
    # A write that was executed by 11.0 may have been held back for two seconds.
    assert found == Decision((0, 2 * len(one)), 9.0, 3.0, "clocks")
    found = decide([segments(data, [], clocks)], Point(9))
    assert found.position.offset == 0 and found.precision == 11.0
    # All of it was written in time.
    assert decide([segments(data, [], clocks)], Point(20)).position.offset == len(data)


def test_annotations_that_were_switched_off_are_not_believed() -> None:
    data = stamp(10) + command("SET", "a", "1")
    late = command("SET", "b", "1") * 3
    clocks = [(len(data), 10.0, 10.1), (len(data) + len(late) // 3, 20.0, 20.1), (len(data + late), 30.0, 30.1)]
    found = decide([segments(data + late, [], clocks)], Point(12))
    assert (found.position.offset, found.by, found.recovered_to) == (len(data), "clocks", 8.0)


def test_a_clock_that_contradicts_the_annotations() -> None:
    data = stamp(10) + command("SET", "a", "1") + stamp(50) + command("SET", "b", "1") + stamp(11) + command("PING")
    with pytest.raises(RestoreError, match="went backwards"):
        decide([segments(data, [], [(len(data), 60.0, 60.1)])], Point(20))
    forward = stamp(10) + command("SET", "a", "1") + stamp(50) + command("SET", "b", "1")
    with pytest.raises(RestoreError, match="went backwards"):
        decide([segments(forward, [], [(len(forward), 12.0, 12.1)])], Point(20))


def test_before_a_command() -> None:
    head = stamp(10) + command("SET", "a", "1") + command("FLUSHALL")
    multi = stamp(11) + command("SET", "b", "1")
    inside = command("MULTI") + command("INCR", "n") + command("flushall") + command("EXEC")
    data = head + multi + inside + stamp(12) + command("SET", "c", "1")
    file = [segments(data, [17, 5], [])]
    found = decide(file, before("FLUSHALL"))
    assert found.position.offset == len(head + multi) and found.stamp == 11
    found = decide(file, before("FLUSHALL", 10))
    assert found.position.offset == len(head) - len(command("FLUSHALL")) and found.stamp == 10
    assert decide(file, before("FLUSHDB")).stamp is None
    assert decide(file, before("SET b*")).position.offset == len(head + stamp(11))
    assert decide(file, before("SET A")).stamp is None


def test_the_time_of_a_command_without_annotations_is_the_last_look_before_it() -> None:
    one, flush = command("SET", "a", "1"), command("FLUSHALL")
    data = one + flush + one + flush + one
    clocks = [(len(one), 10.0, 10.1), (len(one + flush + one), 20.0, 20.1), (len(data), 30.0, 30.1)]
    for sizes in ([], [len(one)], [len(one + flush) + 3, 7]):
        file = [segments(data, sizes, clocks)]
        assert decide(file, before("FLUSHALL")) == Decision((0, len(one + flush + one)), 20.0, 0.0, "end", 20)
        # Only where an object ends soon behind it is it known to be in time; else the end is the last look before it.
        in_time = sizes == [len(one + flush) + 3, 7]
        found = decide(file, before("FLUSHALL", 12))
        assert (found.recovered_to, found.stamp) == ((10.0, 10) if in_time else (8.0, None))
    assert decide([segments(flush, [], [(len(flush), 10.0, 10.1)])], before("FLUSHALL")).recovered_to == 0.0


def test_damage_and_torn_ends() -> None:
    whole = stamp(10) + command("SET", "a", "1")
    torn = whole + b"*2\r\n$3\r\nGE"
    assert decide([segments(torn, [], [])], Point()).position.offset == len(whole)
    with pytest.raises(DamagedError, match="ends within a command"):
        decide([segments(torn, [], []), segments(whole, [], [])], Point())
    bad = whole + b"no command\r\n"
    with pytest.raises(DamagedError, match="holds no command at byte"):
        decide([segments(bad, [], [])], Point())
    # Behind the cut it is no matter.
    behind = whole + stamp(20) + b"no command\r\n"
    assert decide([segments(behind, [], [])], Point(15)).position.offset == len(whole)
