# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""When a file is not taken as the next one by its number, and what a clock does that goes back."""

from __future__ import annotations

import pytest
from ansible_collections.globalscope.redis_backup.plugins.module_utils._archive.follow import (
    Held,
    apart,
    follow,
    leapt,
    note_server,
)
from ansible_collections.globalscope.redis_backup.plugins.module_utils._archive.look import MULTI, SINGLE, Look, Seen
from ansible_collections.globalscope.redis_backup.plugins.module_utils._archive.state import ArchiveState
from ansible_collections.globalscope.redis_backup.plugins.module_utils._repository.layout import epoch_key


def look(at: float, seq: int, *, name: str = "aof", folder: int = 7, kind: str = MULTI) -> Look:
    base = Seen(f"{name}.{seq}.base.rdb", "base", seq, 200 + seq, 50, at, at, at - 2, at - 1)
    incr = Seen(f"{name}.{seq}.incr.aof", "incr", seq, 100 + seq, 10, at, at)
    return Look(kind, base, (incr,), at, at, folder=folder)


def followed(second: Look, server: dict[str, str] | None = None, *, off: bool = False) -> ArchiveState:
    """A state behind number 1, all of it shipped, then a second look that finds number 2 alone."""
    state = ArchiveState("x")
    first = look(1000.0, 1)
    follow(state, first, Held())
    state.tracks[0].ship(10)
    state.base = None
    state.covered_to = 1000.0
    state.off = off
    sizes = {first.increments[0].key: 10, second.increments[0].key: 10}
    follow(state, second, Held(sizes, apart=apart(state, second, server or {})))
    return state


def test_a_rewrite_goes_on() -> None:
    state = followed(look(1015.0, 2), {"role": "master"})
    assert state.tracks[-1].after is not None and not state.gaps


@pytest.mark.parametrize(
    ("second", "server", "off", "words"),
    [
        (look(1015.0, 2), {"role": "slave"}, False, "is a replica"),
        (look(1015.0, 2), {}, True, "the AOF was off"),
        (look(1015.0, 2, folder=8), {}, False, "folder is another one"),
        (look(1015.0, 2, name="other"), {}, False, "does not go on from"),
    ],
)
def test_what_is_not_believed(second: Look, server: dict[str, str], off: bool, words: str) -> None:
    state = followed(second, server, off=off)
    assert state.tracks[-1].after is None and not state.off
    (gap,) = state.gaps
    assert words in gap["reason"] and gap["from"] <= gap["to"]


def test_an_exchange_of_the_data_is_remembered_until_a_file_begins_with_the_new() -> None:
    """A restore into the running server: its offset leaps. The new file may come looks later."""
    state = ArchiveState("x", run_id="a", offset=500)
    leap = {"run_id": "a", "offset": str(500 + 2**40)}
    assert not leapt(state, {"run_id": "a", "offset": "900"})
    assert not leapt(state, {"run_id": "b", "offset": str(2**41)})
    assert not leapt(state, {}) and not leapt(ArchiveState("x"), leap)
    assert leapt(state, leap) and "was exchanged" in apart(state, look(1.0, 1), leap)
    note_server(state, leap, begun=False)
    assert not leapt(state, leap) and "was exchanged" in apart(state, look(1.0, 1), leap)
    note_server(state, leap, begun=True)
    assert not apart(state, look(1.0, 2), leap)


def test_a_single_file_that_was_replaced_by_a_restart() -> None:
    state = ArchiveState("x", run_id="a")
    seen = look(1.0, 1, kind=SINGLE)
    assert not apart(state, seen, {"run_id": "a"}) and not apart(state, seen, {})
    assert "started in between" in apart(state, seen, {"run_id": "b"})
    assert not apart(state, look(1.0, 1), {"run_id": "b"})


def test_a_clock_that_goes_back_begins_anew_behind_a_gap() -> None:
    """The gap is the time of which there are two kinds of data; names of epochs go on as they did."""
    state = ArchiveState("x")
    follow(state, look(5000.0, 1), Held())
    old = state.tracks[0].epoch
    state.tracks[0].ship(10)
    told = follow(state, look(1400.0, 1), Held())
    assert any("the clock went back by 3600 s" in words for words in told)
    (gap,) = state.gaps
    assert (gap["from"], gap["to"]) == (1400.0, 5000.0)
    (track,) = state.tracks
    assert track.shipped == 0 and epoch_key(track.epoch) > epoch_key(old)
    assert state.covered_to is None or state.covered_to <= 1400.0
    assert state.base is not None and state.base.time <= 1401.0


def test_a_small_step_of_the_clock_is_no_event() -> None:
    state = ArchiveState("x")
    follow(state, look(5000.0, 1), Held())
    follow(state, look(4999.5, 1), Held())
    assert not state.gaps and len(state.tracks) == 1
