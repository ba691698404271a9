# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is added to a backup after it was made."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.globalscope.redis_backup.plugins.module_utils._repository.records import (
    LEVELS,
    Record,
    newest_names,
    parse_record,
    record_name,
    standing,
)
from hypothesis import given
from hypothesis import strategies as st

times = st.integers(0, 59).map(lambda minute: f"2026-11-22T10:{minute:02}:00Z")
records = st.builds(Record, st.sampled_from(LEVELS), times, st.booleans(), st.just(("why",)))


def test_name() -> None:
    assert record_name("2026-11-22T23:51:41Z", "restore") == "20261122T235141Z-restore.json"


@pytest.mark.parametrize("document", [None, [], 1, "x", {}, {"level": "other"}, {"level": ["stored"]}])
def test_no_record(document: Any) -> None:
    assert parse_record(document, "n") is None


def test_parsed() -> None:
    assert parse_record({"level": "stored", "ok": True, "time": "t"}, "n") == Record("stored", "t", True)
    assert parse_record({"level": "stored", "ok": "yes"}, "n") == Record("stored", "n", False)
    found = parse_record({"level": "content", "problems": ["a", 1]}, "n")
    assert found == Record("content", "n", False, ("a", "1"))


@given(st.lists(records, max_size=12, unique_by=lambda record: (record.time, record.level)))
def test_the_newest_of_each_level_tell_the_same(found: list[Record]) -> None:
    """Nothing that matters is lost by reading the newest of each level only."""
    named = {record_name(record.time, record.level): record for record in found}
    few = newest_names([*named, ".20261122T235141Z-restore.json.tmp", "README"])
    assert len(few) <= len(LEVELS)
    whole, short = standing(found), standing(named[name] for name in few)
    last = max((record.time for record in found), default="")
    if sum(record.time == last for record in found) == 1:
        assert bool(whole.failure) is bool(short.failure)
    assert not short.failure or not short.at


def _healed(bad: Record, found: list[Record]) -> bool:
    """Whether a later verification, as deep, found all well."""
    return any(r.ok and r.time > bad.time and LEVELS.index(r.level) >= LEVELS.index(bad.level) for r in found)


@given(st.lists(records, max_size=8, unique_by=lambda record: record.time))
def test_standing(found: list[Record]) -> None:
    judged = standing(found)
    bad = [record for record in found if not record.ok]
    assert bool(judged.failure) is any(not _healed(record, found) for record in bad)
    for record in found:
        if record.ok and not judged.failure:
            assert all(judged.at[level] >= record.time for level in LEVELS[: LEVELS.index(record.level) + 1])


def test_levels_hold_those_before() -> None:
    good = standing([Record("restore", "t1", True), Record("stored", "t2", True)])
    assert good.at == {"stored": "t2", "content": "t1", "restore": "t1"}
    assert good.level == "restore"
    bad = standing([Record("restore", "t1", True), Record("stored", "t2", False, ("a", "b"))])
    assert (bad.level, bad.failure) == ("", "its verification (stored) failed at t2: a; b")
    assert standing([]).level == ""
    shallow = standing([Record("restore", "t1", False, ("a",)), Record("stored", "t2", True)])
    assert shallow.failure == "its verification (restore) failed at t1: a"
    assert standing([Record("restore", "t1", False), Record("restore", "t2", True)]).level == "restore"


def test_good_word_from_the_future_lifts_no_failure() -> None:
    """A clock was ten years ahead when all was well; the damage was found afterwards."""
    present = "2026-11-23T00:00:00Z"
    good, bad = Record("restore", "2036-11-01T00:00:00Z", True), Record("restore", "2026-11-02T00:00:00Z", False)
    assert standing([good, bad], present).failure
    assert not standing([good], present).failure
    later = Record("restore", "2026-11-03T00:00:00Z", True)
    assert standing([good, bad, later], present).level == "restore"
    stored = Record("stored", "2036-10-31T00:00:00Z", False)
    assert standing([later, stored], present).failure
    assert not standing([later, stored, good], present).failure
    names = [record_name(record.time, record.level) for record in (good, bad, later)]
    assert newest_names(names, present) == [names[2], names[0]]
