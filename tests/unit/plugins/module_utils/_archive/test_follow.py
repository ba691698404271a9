# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is followed, where epochs begin, and what is lost: the decisions alone."""

from __future__ import annotations

from ansible_collections.globalscope.redis_backup.plugins.module_utils._archive.follow import (
    Held,
    covered,
    follow,
    let_go,
    shipped_base,
)
from ansible_collections.globalscope.redis_backup.plugins.module_utils._archive.look import MULTI, SINGLE, Look, Seen
from ansible_collections.globalscope.redis_backup.plugins.module_utils._archive.ship import next_object
from ansible_collections.globalscope.redis_backup.plugins.module_utils._archive.state import ArchiveState


def incr(seq: int, size: int, at: float) -> Seen:
    return Seen(f"aof.{seq}.incr.aof", "incr", seq, 100 + seq, size, at, at)


def base(seq: int, at: float, size: int = 50) -> Seen:
    return Seen(f"aof.{seq}.base.rdb", "base", seq, 200 + seq, size, at, at, float(int(at) - 2), at - 1)


def multi(at: float, base_seen: Seen | None, *increments: Seen) -> Look:
    return Look(MULTI, base_seen, increments, at, at)


def single(at: float, inode: int, size: int) -> Look:
    return Look(SINGLE, None, (Seen("aof", "single", 1, inode, size, at, at),), at, at)


def held(*seen: Seen) -> Held:
    return Held({each.key: each.size for each in seen})


def ship_all(state: ArchiveState) -> list[tuple[str, int, int]]:
    """Take everything as shipped: (file, offset, length) in the order in which it goes."""
    done = []
    while True:
        pending = next_object(state, encrypted=True)
        if pending is None:
            state.covered_to = covered(state)
            return done
        done.append((pending.name, pending.offset, pending.length))
        if pending.kind == "base":
            assert state.base is not None
            state.base.shipped += pending.length
            state.turn = ""
            if pending.last:
                shipped_base(state)
        else:
            track = next(each for each in state.tracks if each.name == pending.name and each.epoch == pending.epoch)
            track.ship(pending.offset + pending.length)
            state.turn = "base"


def test_the_first_look_begins_an_epoch_with_its_base() -> None:
    state = ArchiveState("x")
    follow(state, multi(1000.0, base(1, 900.0), incr(1, 300, 1000.0)), Held())
    (track,) = state.tracks
    assert track.after is None and not track.closed and state.base is not None and state.base.epoch == track.epoch
    assert state.base.time == 899.0
    assert covered(state) is None and state.covered_from is None
    assert ship_all(state) == [("aof.1.incr.aof", 0, 300), ("aof.1.base.rdb", 0, 50)]
    assert state.covered_from == 899.0 and state.covered_to == 1000.0


def test_a_rewrite_that_was_seen_is_a_proven_link() -> None:
    state = ArchiveState("x")
    follow(state, multi(1000.0, base(1, 900.0), incr(1, 300, 1000.0)), Held())
    ship_all(state)
    follow(state, multi(1010.0, base(1, 900.0), incr(1, 400, 1010.0), incr(2, 10, 1010.0)), Held())
    first, second = state.tracks
    assert first.closed and second.after == {
        "epoch": first.epoch, "file": first.name, "size": 400, "proven": True,
    }
    assert ship_all(state) == [("aof.1.incr.aof", 300, 100), ("aof.2.incr.aof", 0, 10)]
    follow(state, multi(1020.0, base(2, 1018.5), incr(2, 30, 1020.0)), held(incr(1, 400, 0)))
    assert [track.name for track in state.tracks] == ["aof.2.incr.aof"]
    assert state.base is not None and state.base.epoch == second.epoch and state.base.time == 1017.0
    assert not state.gaps and state.broken is None


def test_a_rewrite_between_two_looks_is_an_assumed_link_and_loses_nothing() -> None:
    state = ArchiveState("x")
    follow(state, multi(1000.0, base(1, 900.0), incr(1, 300, 1000.0)), Held())
    ship_all(state)
    follow(state, multi(1010.0, base(2, 1009.0), incr(2, 10, 1010.0)), held(incr(1, 400, 0)))
    assert state.tracks[0].size == 400 and state.tracks[1].after is not None
    assert not state.tracks[1].after["proven"] and state.broken is None
    assert ship_all(state)[0] == ("aof.1.incr.aof", 300, 100)


def test_a_file_that_nobody_held_is_a_gap_until_the_new_base() -> None:
    state = ArchiveState("x")
    follow(state, multi(1000.0, base(1, 900.0), incr(1, 300, 1000.0)), Held())
    ship_all(state)
    follow(state, multi(1010.0, base(2, 1009.0), incr(2, 10, 1010.0)), Held())
    assert state.gaps == [{"from": 1000.0, "to": 1008.0, "reason": state.gaps[0]["reason"]}]
    assert "gone before" in state.gaps[0]["reason"]
    assert [track.after for track in state.tracks] == [None]
    assert state.covered_from is None
    ship_all(state)
    assert state.covered_from == 1008.0


def test_an_increment_in_between_that_was_never_seen_is_a_gap() -> None:
    """The old file is shipped to its end nevertheless."""
    state = ArchiveState("x")
    follow(state, multi(1000.0, base(1, 900.0), incr(1, 300, 1000.0)), Held())
    ship_all(state)
    follow(state, multi(1010.0, base(3, 1009.0), incr(3, 10, 1010.0)), held(incr(1, 400, 0)))
    assert len(state.gaps) == 1 and state.gaps[0]["from"] == 1000.0
    assert [track.after for track in state.tracks] == [None, None]
    assert ship_all(state)[0] == ("aof.1.incr.aof", 300, 100)


def test_a_changed_file_begins_anew_from_its_first_byte() -> None:
    state = ArchiveState("x")
    look = multi(1000.0, base(1, 900.0), incr(1, 300, 1000.0))
    follow(state, look, Held())
    ship_all(state)
    before = state.tracks[0].epoch
    after = multi(1010.0, base(1, 900.0), incr(1, 290, 1010.0))
    follow(state, after, Held({}, [incr(1, 0, 0).key]))
    assert state.tracks[0].epoch != before and state.tracks[0].shipped == 0
    assert sorted(ship_all(state)) == [("aof.1.base.rdb", 0, 50), ("aof.1.incr.aof", 0, 290)]


def test_a_base_under_way_is_finished_before_a_newer_one() -> None:
    state = ArchiveState("x")
    follow(state, multi(1000.0, base(1, 900.0), incr(1, 0, 1000.0)), Held())
    follow(
        state,
        multi(1010.0, base(2, 1009.0), incr(2, 0, 1010.0)),
        held(incr(1, 0, 0), base(1, 900.0)),
    )
    assert state.base is not None and state.base.name == "aof.1.base.rdb"
    shipped = ship_all(state)
    assert ("aof.1.incr.aof", 0, 0) in shipped, "an empty file is told: the next epoch names it"
    follow(state, multi(1020.0, base(2, 1009.0), incr(2, 0, 1020.0)), held(incr(1, 0, 0)))
    assert state.base is not None and state.base.name == "aof.2.base.rdb"


def test_the_base_and_the_writes_take_turns() -> None:
    state = ArchiveState("x")
    follow(state, multi(1000.0, base(1, 900.0, 250), incr(1, 300, 1000.0)), Held())
    kinds = []
    while True:
        pending = next_object(state, encrypted=False, limit=100)
        if pending is None:
            break
        kinds.append((pending.kind, pending.offset, pending.last))
        if pending.kind == "base":
            assert state.base is not None
            state.base.shipped += pending.length
            state.turn = ""
            if pending.last:
                shipped_base(state)
        else:
            state.tracks[0].ship(pending.offset + pending.length)
            state.turn = "base"
    assert kinds == [
        ("incr", 0, False),
        ("base", 0, False),
        ("incr", 100, False),
        ("base", 100, False),
        ("incr", 200, False),
        ("base", 200, True),
    ]


def test_letting_go_is_a_gap_that_ends_with_the_newest_base() -> None:
    state = ArchiveState("x")
    follow(state, multi(1000.0, base(1, 900.0), incr(1, 300, 1000.0)), Held())
    ship_all(state)
    follow(state, multi(1010.0, base(2, 1009.0), incr(2, 10, 1010.0)), held(incr(1, 400, 0)))
    look = multi(1020.0, base(3, 1019.0), incr(3, 10, 1020.0))
    follow(state, look, held(incr(1, 400, 0), incr(2, 20, 0), base(2, 1009.0)))
    assert len(state.tracks) == 3 and state.base is not None and state.base.name == "aof.2.base.rdb"
    assert let_go(state, look, "no room")
    assert [track.name for track in state.tracks] == ["aof.3.incr.aof"] and state.tracks[0].after is None
    assert state.base is not None and state.base.name == "aof.3.base.rdb"
    (gap,) = state.gaps
    assert gap["from"] == 1000.0 and gap["to"] >= 1018.0 and gap["reason"] == "no room"
    assert not let_go(state, look, "no room")


def test_a_single_file_that_was_replaced_is_two_epochs_without_a_gap() -> None:
    state = ArchiveState("x")
    follow(state, single(1000.0, 7, 300), Held())
    assert state.covered_from == 1000.0
    ship_all(state)
    follow(state, single(1010.0, 8, 200), Held({("aof", 7): 350}))
    assert [(track.inode, track.size) for track in state.tracks] == [(7, 350), (8, 200)]
    assert not state.gaps and state.covered_from == 1000.0
    assert ship_all(state) == [("aof", 300, 50), ("aof", 0, 200)]
    follow(state, single(1020.0, 9, 200), Held())
    assert len(state.gaps) == 1 and state.covered_from == 1020.0
