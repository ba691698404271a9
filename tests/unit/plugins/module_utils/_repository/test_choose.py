# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which backup is meant."""

from __future__ import annotations

import pytest
from ansible_collections.globalscope.redis_backup.plugins.module_utils._errors import DamagedError, NotFoundError
from ansible_collections.globalscope.redis_backup.plugins.module_utils._repository.catalog import list_backups
from ansible_collections.globalscope.redis_backup.plugins.module_utils._repository.choose import (
    choose,
    newest_before,
    passed_over,
)
from ansible_collections.globalscope.redis_backup.plugins.module_utils._times import now
from ansible_collections.globalscope.redis_backup.tests.unit.helpers.backups import T0, put
from ansible_collections.globalscope.redis_backup.tests.unit.helpers.memory_store import MemoryStore
from hypothesis import given
from hypothesis import strategies as st

NAME = "db-6379"


@given(st.lists(st.integers(T0, T0 + 100), unique=True, max_size=6), st.integers(T0 - 10, T0 + 110))
def test_newest_before(times: list[int], at: int) -> None:
    store = MemoryStore()
    for seconds in times:
        put(store, seconds)
    entries = list_backups([store], NAME)
    found = newest_before(entries, at)
    fitting = [seconds for seconds in times if seconds <= at]
    assert (found.manifest.snapshot_time if found and found.manifest else None) == max(fitting, default=None)
    newest = newest_before(entries)
    assert (newest.manifest.snapshot_time if newest and newest.manifest else None) == max(times, default=None)
    assert newest_before(entries, engine="aof") is None


def test_of_one_second_the_later_one_is_newer() -> None:
    """An AOF and an RDB may carry one time: their labels do not tell which came later."""
    store = MemoryStore()
    put(store, label="20261122T000000Z_rdb", serial=7)
    later = put(store, label="20261122T000000Z_aof", serial=8)
    entries = list_backups([store], NAME)
    newest = newest_before(entries)
    assert newest is not None and newest.label == entries[-1].label == later


def test_choose() -> None:
    store = MemoryStore()
    first, second = put(store, T0), put(store, T0 + 60)
    broken = put(store, T0 + 120)
    del store.contents[f"{NAME}/backup/{broken}/dump.rdb.zst"]
    entries = list_backups([store], NAME)

    def chosen(label: str | None = None, at: float | None = None) -> str:
        return choose(entries, NAME, "here", label=label, at=at).label

    assert chosen() == chosen("latest") == chosen(at=T0 + 60) == second
    assert chosen(first) == chosen(at=T0 + 59.9) == first
    with pytest.raises(NotFoundError, match=rf"here holds no backup nope of {NAME}.*It holds: {first}, {second}\."):
        chosen("nope")
    with pytest.raises(DamagedError, match=rf"{broken}.*cannot be used: .*lacks dump.rdb.zst.*Usable are: {first}"):
        chosen(broken)
    with pytest.raises(NotFoundError, match=r"no usable backup of .* that is not newer than 2026-11-18T11:06:39Z"):
        chosen(at=T0 - 1)
    with pytest.raises(NotFoundError, match="Usable are: none"):
        choose([], NAME, "here", label=None, at=None)


def test_the_future_counts_only_where_there_is_nothing_else() -> None:
    store = MemoryStore()
    future = put(store, now() + 3600)
    assert choose(list_backups([store], NAME), NAME, "here", label=None, at=None).label == future
    present = put(store, T0)
    entries = list_backups([store], NAME)
    assert choose(entries, NAME, "here", label=None, at=None).label == present
    assert choose(entries, NAME, "here", label=None, at=now() + 7200).label == future


def test_passed_over() -> None:
    store = MemoryStore()
    old, chosen, broken, doubtful = (put(store, T0 + 60 * number) for number in range(4))
    del store.contents[f"{NAME}/backup/{broken}/dump.rdb.zst"]
    del store.contents[f"{NAME}/backup/{old}/dump.rdb.zst"]
    entries = list_backups([store], NAME)
    entry = next(each for each in entries if each.label == chosen)
    first, second = passed_over(entries, entry, None, {doubtful: "it is empty"})
    assert first.startswith(broken) and "lacks dump.rdb.zst" in first
    assert second == f"{doubtful}: it is empty"
    assert len(passed_over(entries, entry, T0 + 120)) == 1
    assert passed_over(entries, entry, T0 + 60) == []
