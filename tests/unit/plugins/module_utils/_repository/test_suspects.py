# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Backups that must not stand for what was lost."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.globalscope.redis_backup.plugins.module_utils._errors import RedisBackupError
from ansible_collections.globalscope.redis_backup.plugins.module_utils._repository.catalog import list_backups
from ansible_collections.globalscope.redis_backup.plugins.module_utils._repository.suspects import (
    by_age,
    require_ratio,
    suspects,
)
from ansible_collections.globalscope.redis_backup.tests.unit.helpers.backups import T0, document, put
from ansible_collections.globalscope.redis_backup.tests.unit.helpers.memory_store import MemoryStore
from hypothesis import given
from hypothesis import strategies as st

NAME = "db-6379"


def history(*keys: int, verified: tuple[int, ...] = (), acknowledged: tuple[int, ...] = (), **over: Any) -> MemoryStore:
    """Backups with so many keys, one a day; the positions of the verified and the acknowledged ones."""
    store = MemoryStore()
    for number, count in enumerate(keys):
        said = {"keys": {"total": count, "expires": 0}, "serial": number + 1, **over}
        label = put(store, T0 + number * 86400, **said)
        folder = f"{NAME}/backup/{label}"
        if number in verified:
            store.contents[f"{folder}/verification/1.json"] = b'{"level": "restore", "ok": true, "time": "t"}'
        if number in acknowledged:
            store.contents[f"{folder}/acknowledged.json"] = b'{"time": "2026-11-22T00:00:00Z"}'
    return store


def found(store: MemoryStore, ratio: float = 0.5) -> list[int]:
    """The positions of the suspects."""
    entries = list_backups([store], NAME)
    why = suspects(entries, ratio)
    return [number for number, entry in enumerate(entries) if entry.label in why]


def test_an_emptied_server() -> None:
    assert found(history(100, 100, 0, 0, 0)) == [2, 3, 4]
    assert found(history(100, 50, 49)) == []
    assert found(history(100, 50, 49), 0.999) == [1, 2]
    assert found(history(100, 50, 49, verified=(0,))) == [2]
    assert found(history(100, 49, 24)) == [1, 2]
    assert found(history(0, 0, 5, 5, 0)) == [4]
    assert found(history()) == []


def test_one_word_for_the_first_holds_for_those_after_it() -> None:
    assert found(history(100, 0, 0, 0, verified=(0,), acknowledged=(1,))) == []
    assert found(history(100, 0, 0, 0, verified=(0,), acknowledged=(3,))) == [1, 2]
    assert found(history(100, 30, 90, 30, acknowledged=(1,))) == [3]


def test_measured_by_the_newest_verified_one() -> None:
    """What was not verified does not lower the measure step by step."""
    assert found(history(100, 60, 40, verified=(0,))) == [2]
    assert found(history(100, 60, 40, verified=(0, 1))) == []
    assert found(history(100, 60, 40)) == []


def test_bytes_count_too() -> None:
    """Those of keys that expire set aside."""
    for expires, fewest in ((0, 500), (10, 450)):
        for size in (fewest, fewest - 1):
            store = MemoryStore()
            said = {"keys": {"total": 100, "expires": expires}}
            put(store, T0, serial=1, files=[{**document()["files"][0], "size": 1000}], **said)
            label = put(store, T0 + 60, serial=2, files=[{**document()["files"][0], "size": size}], **said)
            why = suspects(list_backups([store], NAME))
            assert list(why) == ([label] if size < fewest else [])
            assert all(f"its data has {size} bytes" in words for words in why.values())


def test_keys_that_expire_come_and_go() -> None:
    store = MemoryStore()
    put(store, T0, serial=1, keys={"total": 100, "expires": 95})
    put(store, T0 + 60, serial=2, keys={"total": 5, "expires": 0})
    assert suspects(list_backups([store], NAME)) == {}


def test_none_left_of_those_that_expire() -> None:
    """Whether they expired or were lost, nobody knows: a human is asked."""
    store = MemoryStore()
    put(store, T0, serial=1, keys={"total": 100, "expires": 100})
    few = put(store, T0 + 60, serial=2, keys={"total": 1, "expires": 1})
    none = put(store, T0 + 120, serial=3, keys={"total": 0, "expires": 0})
    entries = list_backups([store], NAME)
    assert list(suspects(entries)) == [none] and few != none
    assert suspects(entries, 0) == {}


@pytest.mark.parametrize("ratio", [float("nan"), -0.1, 1.1, float("inf")])
def test_ratios_that_are_none(ratio: float) -> None:
    with pytest.raises(RedisBackupError, match=f"shrink_ratio is {ratio:g}"):
        require_ratio(ratio)


def test_serials_tell_what_came_first() -> None:
    store = MemoryStore()
    later = put(store, T0, serial=2, keys={"total": 0, "expires": 0})
    earlier = put(store, T0 + 60, serial=1)
    entries = list_backups([store], NAME)
    assert [entry.label for entry in by_age(entries)] == [earlier, later]
    assert list(suspects(entries)) == [later]


@given(st.lists(st.integers(0, 100), min_size=1, max_size=8), st.floats(0.01, 1))
def test_the_first_is_never_suspect_and_ratios_are_monotonic(keys: list[int], ratio: float) -> None:
    store = history(*keys, verified=(0,))
    assert 0 not in found(store, ratio)
    assert set(found(store, ratio / 2)) <= set(found(store, ratio))


def test_bytes_of_an_aof_tell_nothing() -> None:
    """It shrinks when it is rewritten; its keys count, and those of an RDB after it are held against its own kind."""
    store = MemoryStore()
    made = [("rdb", 100, 1000), ("aof", 100, 90_000), ("aof", 100, 10), ("rdb", 100, 900), ("rdb", 100, 300)]
    made += [("aof", 10, 10)]
    for number, (engine, keys, size) in enumerate(made):
        said = {"keys": {"total": keys, "expires": 0}, "serial": number + 1, "engine": engine}
        files = document(T0)["files"]
        data = {**files[0], "size": size}
        put(store, T0 + number * 86400, **said, files=[data, *files[1:]])
    assert found(store) == [4, 5]
