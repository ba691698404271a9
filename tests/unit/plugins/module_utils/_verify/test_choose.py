# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which backups are verified now: every backup gets its turn, whatever is added, and whatever clocks said."""

from __future__ import annotations

import math

import pytest
from ansible_collections.globalscope.redis_backup.plugins.module_utils._errors import RedisBackupError
from ansible_collections.globalscope.redis_backup.plugins.module_utils._repository.layout import make_label
from ansible_collections.globalscope.redis_backup.plugins.module_utils._repository.records import LEVELS, record_name
from ansible_collections.globalscope.redis_backup.plugins.module_utils._times import to_iso
from ansible_collections.globalscope.redis_backup.plugins.module_utils._verify.choose import (
    LATEST,
    Copy,
    Wish,
    choose,
    copies_in,
    turn,
)
from hypothesis import given
from hypothesis import strategies as st

T0 = 1_795_000_000
HOUR = 3600
YEARS = 10 * 365 * 24 * HOUR


def moment(seconds: float) -> str:
    return make_label(seconds, "rdb")[:15]


def copy(seconds: float, *records: tuple[str, float]) -> Copy:
    return Copy(make_label(seconds, "rdb"), tuple(record_name(to_iso(at), level) for level, at in records))


def test_a_listing() -> None:
    one, two, three = (make_label(T0 + n, "rdb") for n in range(3))
    names = [
        f"{two}/manifest.json",
        f"{two}/dump.rdb.zst",
        f"{two}/verification/20261122T235141Z-stored.json",
        f"{one}/manifest.json",
        f"{three}/dump.rdb.zst",
        f"{three}/verification/20261122T235141Z-stored.json",
        "notes/manifest.json",
        "manifest.json",
    ]
    assert copies_in(names) == [Copy(one), Copy(two, ("20261122T235141Z-stored.json",))]


def test_the_turn_counts_higher_levels_too() -> None:
    found = copy(T0, ("restore", T0 + 10), ("stored", T0 + 20), ("content", T0 + 15))
    times = {level: turn(found, level, moment(T0 + 100)) for level in LEVELS}
    assert times == {"stored": moment(T0 + 20), "content": moment(T0 + 15), "restore": moment(T0 + 10)}


def test_what_is_dated_in_the_future_does_not_count() -> None:
    now = moment(T0)
    assert turn(copy(T0 - 5, ("stored", T0 + YEARS)), "stored", now) == moment(T0 - 5)
    assert turn(copy(T0 + YEARS), "stored", now) == ""
    assert turn(copy(T0 + YEARS, ("stored", T0 - 1)), "stored", now) == moment(T0 - 1)


def test_other_files_are_no_records() -> None:
    good = "20261122T235141Z-stored.json"
    names = ("x.json", f".{good}.tmp", good.replace("stored", "other"), f"{good}.1")
    assert turn(Copy(make_label(T0, "rdb"), names), "stored", moment(T0)) == moment(T0)


def test_the_latest() -> None:
    copies = [copy(T0 - 7), copy(T0 - 5), copy(T0 + YEARS)]
    assert choose(copies, Wish(), "stored", moment(T0)) == [copies[1].label]
    assert choose(copies[2:], Wish(), "stored", moment(T0)) == [copies[2].label]  # there is no other
    assert choose([], Wish(), "stored", moment(T0)) == []


def test_labels_by_name() -> None:
    copies = [copy(T0 + n) for n in range(3)]
    lacking = make_label(T0 + 9, "rdb")
    wish = Wish((LATEST, copies[0].label, lacking, copies[0].label))
    assert choose(copies, wish, "stored", moment(T0 + 10)) == [copies[0].label, copies[2].label]


@pytest.mark.parametrize("share, number", [(1, 1), (10, 1), (11, 2), (30, 3), (99, 10), (100, 10)])
def test_a_share_is_rounded_up(share: float, number: int) -> None:
    copies = [copy(T0 + n) for n in range(10)]
    assert len(choose(copies, Wish(share=share), "stored", moment(T0 + 99))) == number


@pytest.mark.parametrize(
    "wish", [{"labels": ("yesterday",)}, {"count": 0}, {"share": 0.0}, {"share": 101.0}, {"share": float("nan")}]
)
def test_what_cannot_be_asked_for(wish: dict[str, object]) -> None:
    with pytest.raises(RedisBackupError, match="Nothing was changed"):
        Wish(**wish)  # type: ignore[arg-type]


wishes = st.one_of(st.builds(Wish, count=st.integers(1, 12)), st.builds(Wish, share=st.floats(0.1, 100)))
moments = st.integers(-YEARS, 0) | st.integers(YEARS // 10, YEARS)  # of the past, or of a clock that was wrong
histories = st.lists(
    st.tuples(
        moments,
        st.lists(st.tuples(st.sampled_from(LEVELS), moments), max_size=4),
    ),
    min_size=1,
    max_size=12,
    unique_by=lambda entry: entry[0],
)


@given(histories, wishes, st.sampled_from(LEVELS), st.integers(0, 3))
def test_every_backup_gets_its_turn(
    history: list[tuple[int, list[tuple[str, int]]]], wish: Wish, level: str, added: int
) -> None:
    """Whatever lies there, by whatever clock, and however many are added at each run."""
    copies = {made.label: made for made in (copy(T0 + at, *((lv, T0 + t) for lv, t in found)) for at, found in history)}
    first = set(copies)
    each = wish.count or math.ceil(len(first) * (wish.share or 0) / 100)
    left = set(first)
    for run in range(math.ceil(len(first) / each)):
        now = T0 + 1 + run * HOUR
        chosen = choose(list(copies.values()), wish, level, moment(now))
        assert chosen == choose(sorted(copies.values(), key=lambda c: c.label, reverse=True), wish, level, moment(now))
        assert len(chosen) >= min(each, len(copies)) and len(set(chosen)) == len(chosen)
        for label in chosen:
            copies[label] = Copy(label, (*copies[label].records, record_name(to_iso(now), level)))
        left -= set(chosen)
        for number in range(added):
            new = copy(now + 1 + number)
            copies.setdefault(new.label, new)
    assert not left
