# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that the server has done with: what they tell of the time, and those that it keeps. The decisions alone."""

from __future__ import annotations

from dataclasses import replace

from ansible_collections.globalscope.redis_backup.plugins.module_utils._archive.follow import (
    Held,
    follow,
    newest_number,
)
from ansible_collections.globalscope.redis_backup.plugins.module_utils._archive.look import MULTI, Look, Seen
from ansible_collections.globalscope.redis_backup.plugins.module_utils._archive.state import ArchiveState


def incr(seq: int, size: int, at: float) -> Seen:
    return Seen(f"aof.{seq}.incr.aof", "incr", seq, 100 + seq, size, at, at)


def base(seq: int, at: float) -> Seen:
    return Seen(f"aof.{seq}.base.rdb", "base", seq, 200 + seq, 50, at, at, float(int(at) - 2), at - 1)


def multi(at: float, base_seen: Seen, *increments: Seen) -> Look:
    return Look(MULTI, base_seen, increments, at, at)


def begun() -> ArchiveState:
    state = ArchiveState("x")
    follow(state, multi(1000.0, base(1, 900.0), incr(1, 300, 1000.0)), Held())
    return state


def test_a_closed_file_holds_everything_up_to_the_last_look_and_no_further() -> None:
    """What was written between its end and the next look stands in files that may be lost."""
    state = begun()
    for at in (1010.0, 1020.0):
        follow(state, multi(at, base(3, 1009.0), incr(3, 10, at)), Held({incr(1, 0, 0).key: 400}))
        assert state.tracks[0].closed and state.tracks[0].size == 400
        assert all(before <= 1000.0 for _size, before, _after in state.tracks[0].clocks)


def test_neither_does_one_beside_the_next() -> None:
    state = begun()
    for at in (1010.0, 1020.0):
        follow(state, multi(at, base(1, 900.0), incr(1, 400, at), incr(2, 10, at)), Held())
        assert all(before <= 1000.0 for _size, before, _after in state.tracks[0].clocks)
        assert state.tracks[1].clocks[-1][1] == at


def test_files_of_the_past_that_the_server_keeps_go_on_without_a_gap() -> None:
    state = begun()
    assert newest_number(state) == 1
    look = replace(multi(1010.0, base(4, 1009.0), incr(4, 10, 1010.0)), past=(incr(2, 20, 0), incr(3, 30, 0)))
    follow(state, look, Held({incr(1, 0, 0).key: 400}))
    assert state.gaps == [] and state.broken is None
    assert [(track.seq, track.closed, bool(track.after)) for track in state.tracks] == [
        (1, True, False),
        (2, True, True),
        (3, True, True),
        (4, False, True),
    ]
    assert state.base is not None and state.base.epoch == state.tracks[3].epoch


def test_a_hole_in_them_is_a_gap() -> None:
    state = begun()
    look = replace(multi(1010.0, base(4, 1009.0), incr(4, 10, 1010.0)), past=(incr(3, 30, 0),))
    follow(state, look, Held({incr(1, 0, 0).key: 400}))
    assert [track.seq for track in state.tracks] == [1, 4]
    assert len(state.gaps) == 1
