# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The sets that backups of a cluster's shards make up."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.globalscope.redis_backup.plugins.module_utils._errors import DamagedError
from ansible_collections.globalscope.redis_backup.plugins.module_utils._repository.catalog import list_backups
from ansible_collections.globalscope.redis_backup.plugins.module_utils._repository.info import show_catalog
from ansible_collections.globalscope.redis_backup.plugins.module_utils._repository.manifest import open_manifest, seal
from ansible_collections.globalscope.redis_backup.plugins.module_utils._repository.sets import list_sets
from ansible_collections.globalscope.redis_backup.plugins.module_utils._server.slots import (
    in_words,
    merged_ranges,
    uncovered,
)
from ansible_collections.globalscope.redis_backup.tests.unit.helpers.backups import T0, document, put
from ansible_collections.globalscope.redis_backup.tests.unit.helpers.memory_store import MemoryStore
from hypothesis import given
from hypothesis import strategies as st

THIRDS = ([0, 5460], [5461, 10922], [10923, 16383])


def part(number: int, **over: Any) -> dict[str, Any]:
    return {"id": "set-1", "shards": 3, "shard": f"s{number}", "slots": [list(THIRDS[number])], **over}


def stored(*parts: dict[str, Any] | None) -> MemoryStore:
    """A store with a backup of each instance db0, db1 ..., taken a second after each other."""
    store = MemoryStore()
    for number, each in enumerate(parts):
        put(store, T0 + number, instance=f"db{number}", **({"set": each} if each else {}))
    return store


def sets(store: MemoryStore) -> list[dict[str, Any]]:
    return list_sets(entry for n in range(4) for entry in list_backups([store], f"db{n}"))


def test_a_whole_set() -> None:
    (found,) = sets(stored(part(0), part(1), part(2), None))
    assert found["complete"] and found["usable"] and found["missing"] == [] == found["problems"]
    assert [member["instance"] for member in found["members"]] == ["db0", "db1", "db2"]
    assert (found["shards"], found["spread_seconds"], found["repositories"]) == (3, 2.0, ["memory"])


def test_a_part_is_missing() -> None:
    (found,) = sets(stored(part(0), part(2)))
    assert not found["complete"] and not found["usable"]
    assert found["missing"] == ["1 of 3 shards", "the slots 5461-10922"]


def test_a_damaged_part_is_missing() -> None:
    store = stored(part(0), part(1), part(2))
    (path,) = [path for path in store.contents if path.startswith("db1/") and path.endswith("dump.rdb.zst")]
    del store.contents[path]
    (found,) = sets(store)
    assert not found["usable"] and found["missing"][1] == "the slots 5461-10922"


def test_a_slot_that_is_in_two_of_them() -> None:
    (found,) = sets(stored(part(0), part(1), part(2, slots=[[10922, 16383]])))
    assert found["complete"] and not found["usable"] and found["problems"]


def test_of_two_tries_the_later_one_counts() -> None:
    store = stored(part(0), part(1), part(2), part(1))
    (found,) = sets(store)
    assert [member["instance"] for member in found["members"]] == ["db0", "db3", "db2"] and found["usable"]


def test_an_instance_shows_its_sets_whole() -> None:
    store = stored(part(0), part(1), part(2), part(0, id="set-2"))
    shown = show_catalog([store], "db1", at=None, usable_only=False, query=None)
    assert [found["id"] for found in shown["sets"]] == ["set-1"] and shown["sets"][0]["complete"]
    everything = show_catalog([store], None, at=None, usable_only=False, query=None)
    assert [(found["id"], found["usable"]) for found in everything["sets"]] == [("set-1", True), ("set-2", False)]
    usable = show_catalog([store], None, at=None, usable_only=True, query=None)
    assert [found["id"] for found in usable["sets"]] == ["set-1"]


@pytest.mark.parametrize(
    "over",
    [{"id": 7}, {"shards": -1}, {"shards": "3"}, {"slots": 5}, *({"slots": [x]} for x in ([0], [0, 16384], [5, 4]))],
)
def test_a_part_that_makes_no_sense_is_no_manifest(over: dict[str, Any]) -> None:
    with pytest.raises(DamagedError):
        open_manifest(seal(document(set=part(0, **over))), "here")


RANGES = st.lists(st.tuples(st.integers(0, 16383), st.integers(0, 16383)).map(sorted))


@given(RANGES)
def test_ranges_and_what_they_lack(ranges: list[list[int]]) -> None:
    every = set(range(16384))
    covered = {slot for first, last in ranges for slot in range(first, last + 1)}
    merged = merged_ranges(ranges)
    assert {slot for first, last in merged for slot in range(first, last + 1)} == covered
    assert all(one[1] + 1 < other[0] for one, other in zip(merged, merged[1:], strict=False))
    assert {slot for first, last in uncovered(ranges) for slot in range(first, last + 1)} == every - covered
    assert bool(in_words(ranges)) == bool(ranges)
