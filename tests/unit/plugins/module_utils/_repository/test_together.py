# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Retention over several names: members of a shard that took turns, and sets of a cluster. Examples, and what must hold
for every history and policy."""

from __future__ import annotations

import math
from dataclasses import replace

from ansible_collections.globalscope.redis_backup.plugins.module_utils._repository.retention import (
    DAY,
    Candidate,
    Doubts,
    Policy,
    decide,
    doubts_of,
)
from ansible_collections.globalscope.redis_backup.plugins.module_utils._repository.together import (
    Key,
    Part,
    Piece,
    Together,
    decide_together,
    whole_sets,
)
from ansible_collections.globalscope.redis_backup.plugins.module_utils._times import from_iso
from hypothesis import assume, given
from hypothesis import strategies as st

T0 = from_iso("2026-11-18T10:26:40Z")
HOUR = 3600.0
TEN_YEARS = 3652.5 * DAY
RULES = ("last", "hourly", "daily", "weekly", "monthly", "yearly")
HALVES = (((0, 8191),), ((8192, 16383),))
GROUP = [["a", "b", "c"]]
CLUSTER = [["p1", "r1"], ["p2", "r2"]]


def piece(instance: str, day: float, order: int, part: Part | None = None, **over: object) -> Piece:
    return Piece(instance, "rdb", Candidate(f"{order:04}", T0 + day * DAY, order, **over), part)  # type: ignore[arg-type]


def part(day: float, number: int) -> Part:
    return Part(f"set-{day:g}", 2, f"s{number}", HALVES[number])


def nightly(names: str) -> list[Piece]:
    """A backup a night, each under the name of whom it was taken from; each name counts its own."""
    counted: dict[str, int] = {}
    found = []
    for day, name in enumerate(names):
        counted[name] = counted.get(name, 0) + 1
        found.append(piece(name, day, counted[name]))
    return found


def sets(nights: list[str], members: tuple[str, str] = ("r1", "r2"), start: int = 0) -> list[Piece]:
    """Sets of two shards; `both`, or only `one` of them."""
    found = []
    for day, kind in enumerate(nights, start):
        found.append(piece(members[0], day, day + 1, part(day, 0)))
        if kind == "both":
            found.append(piece(members[1], day + 0.01, day + 1, part(day, 1)))
    return found


def decided(pieces: list[Piece], shards: list[list[str]], policy: Policy, **more: object) -> Together:
    doubts = doubts_by_name(pieces)
    blocked = next((each.blocked for each in doubts.values() if each.blocked), "")
    return decide_together(pieces, shards, policy, doubts, blocked=blocked, **more)  # type: ignore[arg-type]


def doubts_by_name(pieces: list[Piece]) -> dict[str, Doubts]:
    names = dict.fromkeys(each.instance for each in pieces)
    return {name: doubts_of([each.candidate for each in pieces if each.instance == name]) for name in names}


# --- a shard under several names ---


def test_the_last_are_those_of_all_names() -> None:
    """Not so many of each member; and the newest good one of each name, which may have held other data."""
    pieces = nightly("aaabbbccccbb")
    found = decided(pieces, GROUP, Policy(last=4, minimum_verified=0))
    assert list(found.kept) == [("a", "0003"), ("c", "0003"), ("c", "0004"), ("b", "0004"), ("b", "0005")]
    assert found.kept["a", "0003"] == ["the newest good one of a"]
    assert found.kept["b", "0005"] == ["one of the last 4", "the newest good one of b"]
    assert found.last == {("a", "0003")}
    assert found.removed[:2] == [("a", "0001"), ("a", "0002")]
    alone = decided(pieces, [["a"], ["b"], ["c"]], Policy(last=4, minimum_verified=0))
    assert len(alone.kept) == 3 + 4 + 4


def test_a_verified_one_is_the_good_one_of_its_name() -> None:
    pieces = nightly("aaaabbbbbb")
    pieces[1] = replace(pieces[1], candidate=replace(pieces[1].candidate, verified=True))
    found = decided(pieces, GROUP, Policy(last=2, minimum_verified=1))
    assert list(found.kept) == [("a", "0002"), ("b", "0005"), ("b", "0006")]
    assert found.kept["a", "0002"] == ["one of the newest verified", "the newest good one of a"]


def test_a_period_is_kept_once_whoever_was_asked() -> None:
    pieces = [piece("a", 0, 1), piece("b", 0.1, 1), piece("a", 1, 2), piece("b", 1.1, 2), piece("b", 2, 3)]
    found = decided(pieces, GROUP, Policy(daily=3, minimum_verified=0))
    assert found.removed == [("a", "0001")]
    assert found.kept["a", "0002"] == ["the newest good one of a"]


def test_engines_are_counted_apart() -> None:
    pieces = nightly("ababab")
    pieces += [replace(each, engine="aof") for each in nightly("cc")]
    found = decided(pieces, GROUP, Policy(last=1, minimum_verified=0))
    assert list(found.kept) == [("c", "0002"), ("a", "0003"), ("b", "0003")]


def test_a_wrong_clock_of_one_member() -> None:
    """What is dated ten years ahead, between others of its name, pushes nobody out, and its witness stays."""
    pieces = nightly("aabbaabb")
    wrong = next(each for each in pieces if each.key == ("b", "0003"))
    pieces[pieces.index(wrong)] = replace(wrong, candidate=replace(wrong.candidate, time=T0 + TEN_YEARS))
    found = decided(pieces, GROUP, Policy(last=2, minimum_verified=0))
    assert list(found.kept) == [("b", "0002"), ("a", "0004"), ("b", "0003"), ("b", "0004")]
    assert found.kept["b", "0002"] == ["it shows that the clock was wrong after it"]


def test_what_stands_against_one_holds_all() -> None:
    pieces = nightly("aaabbb")
    found = decided(pieces, GROUP, Policy(last=1, minimum_verified=0))
    assert len(found.removed) == 4
    pieces[-1] = replace(pieces[-1], candidate=replace(pieces[-1].candidate, suspect="it is empty"))
    found = decided(pieces, GROUP, Policy(last=1, minimum_verified=0))
    assert found.removed == [] and "is suspect" in found.blocked
    assert found.kept["a", "0001"] == [found.blocked]


# --- sets ---


def test_the_last_sets_are_kept_whole() -> None:
    pieces = sets(["both"] * 6)
    found = decided(pieces, CLUSTER, Policy(last=2, minimum_verified=0))
    assert {label for _name, label in found.kept} == {"0005", "0006"} and len(found.kept) == 4
    assert found.kept["r1", "0006"] == ["one of the last 2 (set set-5)"]


def test_a_set_that_is_not_whole_counts_for_nothing_and_goes_first() -> None:
    pieces = sets(["both", "one", "both", "one", "one", "both"])
    found = decided(pieces, CLUSTER, Policy(last=2, minimum_verified=2))
    assert sorted(found.kept) == sorted((name, label) for name in ("r1", "r2") for label in ("0003", "0006"))
    assert decided(pieces, CLUSTER, Policy(last=3)).removed == [("r1", "0002"), ("r1", "0004"), ("r1", "0005")]


def test_what_is_newer_than_the_last_whole_set_stays_by_the_rules() -> None:
    """One shard has failed for a week: the other one's backups are all there is of these days."""
    pieces = sets(["both", "both", *["one"] * 7])
    found = decided(pieces, CLUSTER, Policy(last=3, minimum_verified=0))
    assert list(found.kept) == [
        ("r1", "0001"),
        ("r2", "0001"),
        ("r1", "0002"),
        ("r2", "0002"),
        ("r1", "0007"),
        ("r1", "0008"),
        ("r1", "0009"),
    ]


def test_where_no_set_is_whole_each_shard_has_its_own_history() -> None:
    """So it is in a repository that only one host sees."""
    pieces = sets(["one"] * 9)
    found = decided(pieces, CLUSTER, Policy(last=3, minimum_verified=0))
    assert [label for _name, label in found.kept] == ["0007", "0008", "0009"]


def test_verified_means_all_of_it() -> None:
    pieces = [
        replace(each, candidate=replace(each.candidate, verified=each.instance == "r1" or each.candidate.order == 2))
        for each in sets(["both"] * 5)
    ]
    found = decided(pieces, CLUSTER, Policy(last=1, minimum_verified=1))
    assert {label for _name, label in found.kept} == {"0002", "0005"}
    assert found.kept["r2", "0002"] == ["one of the newest verified (set set-1)"]


def test_a_pin_on_one_holds_its_set() -> None:
    pieces = sets(["both"] * 5)
    pieces[0] = replace(pieces[0], candidate=replace(pieces[0].candidate, keep_until=math.inf))
    found = decided(pieces, CLUSTER, Policy(last=1, minimum_verified=0))
    assert found.kept["r2", "0001"] == ["pinned (set set-0)"]


def test_of_what_is_spent_pins_and_young_ones_stay() -> None:
    pieces = sets(["both", "one", "one", "one", "both"])
    pieces[2] = replace(pieces[2], candidate=replace(pieces[2].candidate, keep_until=math.inf))
    held = {("r1", "0003"): "a part of its set cannot be read"}
    found = decided(pieces, CLUSTER, Policy(within=1.5, minimum_verified=0), held=held)
    assert found.kept["r1", "0002"] == ["pinned"]
    assert found.kept["r1", "0003"] == ["a part of its set cannot be read"]
    assert found.kept["r1", "0004"] == ["within 1.5 days"]
    assert found.removed == [("r1", "0001"), ("r2", "0001")]


def test_a_second_try_belongs_to_its_set() -> None:
    pieces = [*sets(["both"] * 3), piece("p1", 0.02, 1, part(0, 0)), piece("p1", 2.02, 2, part(2, 0))]
    found = decided(pieces, CLUSTER, Policy(last=1, minimum_verified=0))
    assert sorted(found.kept) == [("p1", "0002"), ("r1", "0003"), ("r2", "0003")]


def test_parts_under_names_that_nobody_gave() -> None:
    """A node that the inventory no longer has: its sets are as whole as before."""
    pieces = [*sets(["both"] * 3, ("old", "r2")), *sets(["both"] * 3, start=3)]
    found = decided(pieces, CLUSTER, Policy(last=4, minimum_verified=0))
    assert sorted(label for _name, label in found.removed) == ["0001", "0001", "0002", "0002"]


def test_what_stands_alone_in_a_cluster_has_its_own_history() -> None:
    """A backup made by hand pushes no set out, and none of another shard."""
    pieces = [*sets(["both"] * 3), piece("p1", 1.5, 1), piece("p2", 1.6, 1), piece("p1", 2.5, 2)]
    found = decided(pieces, CLUSTER, Policy(last=1, minimum_verified=0))
    assert sorted(found.kept) == [("p1", "0002"), ("p2", "0001"), ("r1", "0003"), ("r2", "0003")]


# --- what holds for every history and policy ---

policies = st.builds(
    Policy,
    **{rule: st.integers(0, 6) for rule in RULES},
    within=st.sampled_from([0.0, 0.0, 0.1, 1.0, 10.0, 100.0]),
    minimum_verified=st.integers(0, 3),
).filter(lambda policy: not policy.empty)


@st.composite
def histories(draw: st.DrawFn, clean: bool = False) -> list[Piece]:
    """What members of a cluster (two shards) left: whole sets, parts of others, and backups that stand alone."""
    found: list[Piece] = []
    counted: dict[str, int] = {}
    at = 0.0

    def add(name: str, of: Part | None) -> None:
        often = draw(st.integers(0, 14))
        counted[name] = counted.get(name, 0) + draw(st.sampled_from([1, 1, 2]))
        found.append(
            piece(
                name, at, counted[name], of,
                verified=draw(st.booleans()),
                suspect="too small" if often == 0 and not clean else "",
                keep_until=math.inf if often == 1 and not clean else 0.0,
                accepted=often == 2 and not clean,
            )
        )  # fmt: skip

    for number in range(draw(st.integers(1, 14))):
        at += draw(st.sampled_from([0.01, 0.25, 1.0, 7.0, 31.0]))
        kind = draw(st.sampled_from(["whole", "whole", "part", "alone", "alone"]))
        if kind == "alone":
            add(draw(st.sampled_from(["p1", "r1", "p2", "r2", "other"])), None)
            continue
        for shard, names in enumerate(CLUSTER):
            if kind == "whole" or draw(st.booleans()):
                at += 0.001
                add(draw(st.sampled_from(names)), replace(part(0, shard), set=f"set-{number}"))
    if not clean and draw(st.booleans()):
        moved = draw(st.sets(st.integers(0, len(found) - 1), max_size=3)) if found else set()
        for number in moved:
            shift = draw(st.sampled_from([TEN_YEARS, -TEN_YEARS]))
            candidate = found[number].candidate
            found[number] = replace(found[number], candidate=replace(candidate, time=candidate.time + shift))
    return found


def without(pieces: list[Piece], keys: set[Key]) -> list[Piece]:
    return [each for each in pieces if each.key not in keys]


@given(histories(), policies)
def test_sets_stay_or_go_whole_and_all_is_told(pieces: list[Piece], policy: Policy) -> None:
    found = decided(pieces, CLUSTER, policy)
    assert sorted([*found.kept, *found.removed]) == sorted(each.key for each in pieces)
    assert all(found.kept.values()) and (found.kept or not pieces)
    for members in whole_sets(pieces).values():
        assert len({each.key in found.kept for each in members}) == 1


@given(histories(), policies, st.data())
def test_whoever_comes_first_all_decide_the_same(pieces: list[Piece], policy: Policy, data: st.DataObject) -> None:
    """Each removes its own; whatever some of them have removed, nothing goes that was to stay."""
    found = decided(pieces, CLUSTER, policy)
    done = set(data.draw(st.lists(st.sampled_from(found.removed), unique=True))) if found.removed else set()
    again = decided(without(pieces, done), CLUSTER, policy)
    assert set(found.kept) <= set(again.kept)
    ended = decided(without(pieces, set(found.removed)), CLUSTER, policy)
    assert ended.removed == [] and bool(ended.blocked) <= bool(found.blocked)


@given(histories(), policies)
def test_the_newest_whole_sets_and_the_newest_of_every_slot_stay(pieces: list[Piece], policy: Policy) -> None:
    found = decided(pieces, CLUSTER, policy)
    good = {
        name: members
        for name, members in whole_sets(pieces).items()
        if not any(each.candidate.suspect for each in members)
    }
    stay = [name for name, members in good.items() if all(each.key in found.kept for each in members)]
    assert len(stay) >= min(max(policy.minimum_verified, 1), len(good))
    for shard in ("s0", "s1"):
        own = [each for each in pieces if each.part and each.part.shard == shard and not each.candidate.suspect]
        if own and not any(each.strange for each in doubts_by_name(pieces).values()):
            assert max(own, key=lambda each: each.candidate.time).key in found.kept


@given(histories(), policies)
def test_what_is_not_whole_pushes_no_set_out(pieces: list[Piece], policy: Policy) -> None:
    whole = {each.key for members in whole_sets(pieces).values() for each in members}
    assume(not any(each.strange or each.blocked for each in doubts_by_name(pieces).values()))
    found = decided(pieces, CLUSTER, policy)
    alone = decided([each for each in pieces if each.key in whole], CLUSTER, policy)
    assert set(alone.kept) == {key for key in found.kept if key in whole}


@given(histories(clean=True), policies)
def test_the_newest_good_one_of_each_name_stays(pieces: list[Piece], policy: Policy) -> None:
    alone = [each for each in pieces if each.part is None]
    found = decided(alone, CLUSTER, policy)
    for name in {each.instance for each in alone}:
        own = [each for each in alone if each.instance == name]
        several = len({each.instance for each in alone for shard in CLUSTER if {name, each.instance} <= set(shard)}) > 1
        verified = [each for each in own if each.candidate.verified]
        # a name that is alone is decided as one instance is, whose policy may ask for no verified one
        best = verified if verified and (several or policy.minimum_verified) else own
        assert any(each.key in found.kept for each in best)
    assert found.last <= set(found.kept)


@given(histories(clean=True), st.integers(1, 5))
def test_a_number_is_that_of_the_shard(pieces: list[Piece], last: int) -> None:
    found = decided(pieces, CLUSTER, Policy(last=last, minimum_verified=0))
    for shard in CLUSTER:
        alone = [each for each in pieces if each.instance in shard and each.part is None]
        assert len([each for each in alone if each.key in found.kept]) <= last + len(shard)
    whole = whole_sets(pieces)
    assert len([name for name, members in whole.items() if members[0].key in found.kept]) == min(last, len(whole))


@given(histories(), policies)
def test_one_name_without_sets_is_decided_as_alone(pieces: list[Piece], policy: Policy) -> None:
    own = [each for each in pieces if each.instance == "p1" and each.part is None]
    found = decided(own, [["p1"]], policy)
    same = decide([each.candidate for each in own], policy)
    assert {label: reasons for (_name, label), reasons in found.kept.items()} == same.kept
    assert ([label for _name, label in found.removed], found.blocked) == (same.removed, same.blocked)


@given(histories(), policies, st.data())
def test_a_larger_number_never_removes_more(pieces: list[Piece], policy: Policy, data: st.DataObject) -> None:
    more = {rule: getattr(policy, rule) + data.draw(st.integers(0, 3)) for rule in (*RULES, "within")}
    larger = Policy(**more, minimum_verified=policy.minimum_verified)
    assert set(decided(pieces, CLUSTER, policy).kept) <= set(decided(pieces, CLUSTER, larger).kept)
