# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which backups stay and which go: examples, and what must hold for every history and policy."""

from __future__ import annotations

import math
from dataclasses import fields, replace

import pytest
from ansible_collections.globalscope.redis_backup.plugins.module_utils._errors import RedisBackupError
from ansible_collections.globalscope.redis_backup.plugins.module_utils._repository.layout import make_label
from ansible_collections.globalscope.redis_backup.plugins.module_utils._repository.retention import (
    Candidate,
    Decision,
    Policy,
    decide,
    doubts_of,
    policy_of,
)
from ansible_collections.globalscope.redis_backup.plugins.module_utils._times import from_iso
from hypothesis import assume, given
from hypothesis import strategies as st

DAY = 86400.0
HOUR = 3600.0
TEN_YEARS = 3652.5 * DAY
T0 = from_iso("2026-11-18T10:26:40Z")
RULES = ("last", "hourly", "daily", "weekly", "monthly", "yearly")


def backup(seconds: float, order: int, **over: object) -> Candidate:
    return Candidate(f"{order:04}", seconds, order, **over)  # type: ignore[arg-type]


def every(step: float, count: int, **over: object) -> list[Candidate]:
    """So many backups at equal distances, the newest at T0."""
    return [backup(T0 - (count - number) * step, number, **over) for number in range(1, count + 1)]


def kept(history: list[Candidate], policy: Policy) -> set[str]:
    return set(decide(history, policy).kept)


# --- examples ---


def test_each_rule_keeps_the_newest_of_its_periods() -> None:
    history = every(6 * HOUR, 200)
    assert kept(history, Policy(last=3, minimum_verified=0)) == {"0198", "0199", "0200"}
    times = {each.label: each.time for each in history}
    assert times["0200"] == T0 and T0 % DAY == 10 * HOUR + 26 * 60 + 40
    # of each day the one at 22:26 is the newest; today there are those of 04:26 and 10:26
    assert kept(history, Policy(daily=3, minimum_verified=0)) == {"0200", "0198", "0194"}
    assert kept(history, Policy(hourly=2, minimum_verified=0)) == {"0200", "0199"}
    monday = from_iso("2026-11-16T00:00:00Z")
    before = max((each for each in history if each.time < monday), key=lambda each: each.time)
    assert kept(history, Policy(weekly=2, minimum_verified=0)) == {"0200", before.label}
    assert decide(history, Policy(monthly=1)).kept["0200"] == ["monthly 2026-11", "in place of a verified one"]
    assert len(kept(history, Policy(monthly=12, minimum_verified=0))) == 3
    assert kept(history, Policy(yearly=9, minimum_verified=0)) == {"0200"}
    assert kept(history, Policy(within=0.5, minimum_verified=0)) == {"0198", "0199", "0200"}


def test_reasons_and_order() -> None:
    history = [backup(T0 - DAY, 2, keep_until=math.inf), backup(T0 - 9 * DAY, 1), backup(T0, 3)]
    decision = decide(history, Policy(last=1))
    assert decision.kept == {
        "0002": ["pinned", "in place of a verified one"],
        "0003": ["one of the last 1", "in place of a verified one"],
    }
    assert (decision.removed, decision.blocked) == (["0001"], "")


def test_a_pin_holds_until_its_date_by_the_newest_backup() -> None:
    history = every(DAY, 10)
    for until, stays in ((T0 + 1, True), (T0, True), (T0 - 1, False)):
        history[0] = replace(history[0], keep_until=until)
        assert ("0001" in kept(history, Policy(last=1))) is stays


def test_verified_ones_stay_however_old() -> None:
    history = every(DAY, 30)
    history[3] = replace(history[3], verified=True)
    decision = decide(history, Policy(last=1))
    assert decision.kept == {
        "0004": ["one of the newest verified"],
        "0030": ["one of the last 1", "in place of a verified one"],
    }
    history[5] = replace(history[5], verified=True)
    assert kept(history, Policy(last=1)) == {"0004", "0006", "0030"}
    assert kept(history, Policy(last=1, minimum_verified=1)) == {"0006", "0030"}


def test_what_must_stay_stays() -> None:
    history = [backup(T0 - DAY, 1, why_kept="the archive needs it"), *every(HOUR, 3)[1:]]
    assert decide(history, Policy(last=1, minimum_verified=0)).kept["0001"] == ["the archive needs it"]


def test_a_suspect_holds_everything_until_it_is_acknowledged() -> None:
    history = every(DAY, 9)
    for number in (6, 7):
        history[number] = replace(history[number], suspect="it is empty")
    decision = decide(history, Policy(last=1))
    assert decision.removed == []
    assert "0007 (and 1 after it) is suspect" in decision.blocked
    assert decision.kept["0001"] == [decision.blocked]
    assert decision.kept["0007"] == ["suspect: it is empty"]
    assert decide(every(DAY, 9), Policy(last=1)).removed


def test_an_empty_policy_removes_nothing() -> None:
    assert "name at least one rule" in decide(every(DAY, 9), Policy()).blocked
    assert decide([], Policy(last=1)) == Decision()


@pytest.mark.parametrize("years", [10, -10])
def test_one_wrong_clock_in_the_middle(years: int) -> None:
    """It counts for `last`, which knows no time, and is kept while it could count for another rule."""
    history = every(DAY, 20)
    history[10] = replace(history[10], time=history[10].time + years * 365 * DAY)
    assert doubts_of(history).strange == {"0011"}
    assert kept(history, Policy(last=12, minimum_verified=0)) == {f"{n:04}" for n in range(9, 21)}
    decision = decide(history, Policy(daily=12, minimum_verified=0))
    assert set(decision.kept) == {f"{n:04}" for n in range(8, 21)}
    assert decision.kept["0011"] == ["its time does not fit those of its neighbours"]
    assert set(decide(history, Policy(daily=9, minimum_verified=0)).kept) == {f"{n:04}" for n in range(12, 21)}
    assert "0011" in kept(history, Policy(within=8.5, minimum_verified=0))
    assert "0011" not in kept(history, Policy(within=7.5, minimum_verified=0))


@pytest.mark.parametrize("years", [10, -10])
def test_a_clock_that_stays_wrong_holds_everything_until_it_is_acknowledged(years: int) -> None:
    history = every(DAY, 20)
    history[15:] = [replace(each, time=each.time + years * 365 * DAY) for each in history[15:]]
    decision = decide(history, Policy(within=3))
    assert decision.removed == []
    assert "a clock jumped between 0015 and 0016" in decision.blocked
    history[15] = replace(history[15], accepted=True)
    decision = decide(history, Policy(last=2))
    assert not decision.blocked
    assert decision.removed[:9] == [f"{n:04}" for n in range(1, 10)]


def test_the_first_ones_were_wrong() -> None:
    """Nobody knows which clock was right, until a human says so: then the earlier ones are those without a time."""
    history = every(DAY, 20)
    history[:5] = [replace(each, time=each.time + TEN_YEARS) for each in history[:5]]
    assert "between 0005 and 0006" in decide(history, Policy(last=2)).blocked
    history[5] = replace(history[5], accepted=True)
    assert doubts_of(history).strange == {f"{n:04}" for n in range(1, 6)}
    assert decide(history, Policy(within=5)).removed == [f"{n:04}" for n in range(1, 15)]
    assert decide(history, Policy(daily=99)).removed == []


def test_gaps_that_pruning_made_are_no_jumps() -> None:
    """A pinned backup of long ago, and the newest: what lay between is told by their serials."""
    history = every(DAY, 1000)
    history[0] = replace(history[0], keep_until=math.inf)
    decision = decide(history, Policy(last=3))
    stays = [each for each in history if each.label in decision.kept]
    assert len(stays) == 4 and not doubts_of(stays).blocked
    assert "a clock jumped" in doubts_of([backup(T0 - 999 * DAY, 1), backup(T0, 2)]).blocked


def test_an_accepted_pause_stays_explained() -> None:
    """What was acknowledged behind a pause of years stays as long as anything from before it."""
    history = [backup(T0 - 900 * DAY, 1, keep_until=math.inf), *every(DAY, 20)[2:]]
    history[1] = replace(history[1], accepted=True)
    decision = decide(history, Policy(last=2))
    assert decision.kept["0003"] == ["it was acknowledged after a jump of the clock"]
    stays = [each for each in history if each.label in decision.kept]
    assert not doubts_of(stays).blocked


def test_small_steps_back_are_no_jumps() -> None:
    history = every(10.0, 20)
    history[10] = replace(history[10], time=history[10].time + 600)
    assert doubts_of(history) == doubts_of(every(10.0, 20))


def test_doubts_may_come_from_elsewhere() -> None:
    """What another repository knows holds here too."""
    history = every(DAY, 9)
    local = [*history, replace(history[-1], label="0010", order=10, suspect="it is empty")]
    assert decide(history, Policy(last=1), doubts_of(local)).blocked
    assert "0005" in decide(history, Policy(daily=9), replace(doubts_of([]), strange=frozenset({"0005"}))).kept


@pytest.mark.parametrize(
    ("keep", "minimum"),
    [({"last": -1}, 2), ({"within": -0.5}, 2), ({"within": math.nan}, 2), ({"within": math.inf}, 2), ({"last": 1}, -1)],
)
def test_senseless_numbers(keep: dict[str, float | None], minimum: int) -> None:
    with pytest.raises(RedisBackupError, match=r"keep: \w+ is (-|nan|inf).*Nothing was removed"):
        policy_of(keep, minimum)


def test_policy_of_options() -> None:
    assert policy_of({"last": 3, "daily": None, "within": 1.5, "unknown": 9}, 1) == Policy(
        last=3, within=1.5, minimum_verified=1
    )
    assert policy_of(dict.fromkeys(RULES), 2).empty
    assert not any(policy_of({rule: 1}, 2).empty for rule in (*RULES, "within"))


# --- what holds for every history and policy ---


@st.composite
def histories(draw: st.DrawFn, clean: bool = False) -> list[Candidate]:
    """Backups of a steady clock, some verified, pinned or (unless `clean`) suspect or acknowledged."""
    steps = draw(st.lists(st.sampled_from([10.0, HOUR, 6 * HOUR, DAY, 7 * DAY, 31 * DAY]), min_size=1, max_size=24))
    holes = draw(st.lists(st.sampled_from([1, 1, 1, 2, 30]), min_size=len(steps), max_size=len(steps)))
    found, at, order = [], T0 + draw(st.floats(0, 400 * DAY)), 0
    for step, hole in zip(steps, holes):
        at, order = at + step, order + hole
        often = draw(st.integers(0, 9))
        found.append(
            Candidate(
                make_label(at, "rdb"),
                at,
                order,
                verified=draw(st.booleans()),
                suspect="too small" if often == 0 and not clean else "",
                keep_until={1: math.inf, 2: at + 20 * DAY, 3: at - DAY}.get(often, 0.0),
                accepted=often in (4, 5) and not clean,
            )
        )
    return found


@st.composite
def jumps(draw: st.DrawFn, history: list[Candidate]) -> list[Candidate]:
    """The same history as clocks told it that were wrong by ten years: now and then, and from some backup on."""
    wrong = draw(st.sets(st.integers(1, len(history) - 2), max_size=6)) if len(history) > 2 else set()
    last = draw(st.integers(1, len(history)))
    moved = []
    for number, each in enumerate(history):
        shift = draw(st.sampled_from([TEN_YEARS, -TEN_YEARS])) if number in wrong and number < last else 0.0
        shift = TEN_YEARS if number >= last and last % 2 else -TEN_YEARS if number >= last else shift
        moved.append(replace(each, time=each.time + shift))
    return moved


policies = st.builds(
    Policy,
    **{rule: st.integers(0, 8) for rule in RULES},
    within=st.sampled_from([0.0, 0.0, 0.1, 1.0, 10.0, 100.0, 1000.0]),
    minimum_verified=st.integers(0, 4),
)


@st.composite
def anything(draw: st.DrawFn) -> list[Candidate]:
    """Histories of every kind: also such as no clock could make."""
    history = draw(histories())
    kind = draw(st.sampled_from(["steady", "jumped", "wild", "no serials"]))
    if kind == "jumped":
        return draw(jumps(history))
    if kind == "wild":
        times = draw(st.lists(st.floats(0, 4e9), min_size=len(history), max_size=len(history)))
        return [replace(each, time=time) for each, time in zip(history, times)]
    return [replace(each, order=0) for each in history] if kind == "no serials" else history


@given(anything(), policies)
def test_kept_and_removed_are_all_and_never_all_go(history: list[Candidate], policy: Policy) -> None:
    decision = decide(history, policy)
    assert sorted([*decision.kept, *decision.removed]) == sorted(each.label for each in history)
    assert decision.kept
    assert all(decision.kept.values())
    assert not (decision.blocked and decision.removed)


@given(anything(), policies)
def test_the_newest_verified_stay(history: list[Candidate], policy: Policy) -> None:
    decision = decide(history, policy)
    trusted = sorted((each for each in history if not each.suspect), key=lambda each: (each.order, each.time))
    verified = [each.label for each in trusted if each.verified]
    assert set(verified[max(len(verified) - policy.minimum_verified, 0) :]) <= set(decision.kept)
    assert len([each for each in trusted if each.label in decision.kept]) >= min(policy.minimum_verified, len(trusted))


@given(anything(), policies)
def test_suspects_and_pins_stay(history: list[Candidate], policy: Policy) -> None:
    decision = decide(history, policy)
    assert {each.label for each in history if each.suspect or each.keep_until == math.inf} <= set(decision.kept)
    if any(each.suspect for each in history):
        assert decision.removed == []


@given(anything(), policies, st.data())
def test_a_larger_number_never_removes_more(history: list[Candidate], policy: Policy, data: st.DataObject) -> None:
    """An empty policy is set apart: it removes nothing."""
    assume(not policy.empty)
    more = {rule.name: getattr(policy, rule.name) + data.draw(st.integers(0, 3)) for rule in fields(Policy)}
    assert kept(history, policy) <= kept(history, Policy(**more))


@given(anything(), policies)
def test_deciding_again_removes_nothing(history: list[Candidate], policy: Policy) -> None:
    first = decide(history, policy)
    again = decide([each for each in history if each.label in first.kept], policy)
    assert again.removed == []
    assert bool(again.blocked) <= bool(first.blocked), "what was left needs a human, though nothing had before"


@given(histories(clean=True), policies, st.data())
def test_a_jump_removes_nothing_that_a_steady_clock_keeps(
    history: list[Candidate], policy: Policy, data: st.DataObject
) -> None:
    jumped = data.draw(jumps(history))
    assert kept(history, policy) <= kept(jumped, policy)


@given(histories(clean=True), policies)
def test_a_steady_history_is_not_blocked(history: list[Candidate], policy: Policy) -> None:
    assert policy.empty or not decide(history, policy).blocked
