# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a backup finds in its repositories before it writes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.globalscope.redis_backup.plugins.module_utils._backup import turn
from ansible_collections.globalscope.redis_backup.plugins.module_utils._backup.request import BackupRequest
from ansible_collections.globalscope.redis_backup.plugins.module_utils._backup.standing import Standing
from ansible_collections.globalscope.redis_backup.plugins.module_utils._errors import RepositoryError
from ansible_collections.globalscope.redis_backup.plugins.module_utils._repository.catalog import BACKUPS
from ansible_collections.globalscope.redis_backup.plugins.module_utils._repository.identity import HostState
from ansible_collections.globalscope.redis_backup.plugins.module_utils._repository.layout import is_label
from ansible_collections.globalscope.redis_backup.plugins.module_utils._repository.manifest import Manifest
from ansible_collections.globalscope.redis_backup.plugins.module_utils._repository.pipeline import Packing
from ansible_collections.globalscope.redis_backup.plugins.module_utils._repository.remains import clean_newest
from ansible_collections.globalscope.redis_backup.plugins.module_utils._times import now
from ansible_collections.globalscope.redis_backup.tests.unit.helpers.backups import T0, put
from ansible_collections.globalscope.redis_backup.tests.unit.helpers.memory_store import MemoryStore


def request(*stores: MemoryStore, max_age: float | None = None, **more: Any) -> BackupRequest:
    return BackupRequest(stores, HostState("/nonexistent"), Packing(), max_age=max_age, **more)


def young(*stores: MemoryStore, max_age: float | None = None, lost: str = "") -> Manifest | None:
    """What makes a new backup needless where the store `lost` has failed."""
    standing = Standing(stores, 1, "redis db-6379")
    for store in stores:
        if store.name == lost:
            standing.lose(store, RepositoryError("gone"))
    newest = {store.name: turn.newest_manifest(store, "db-6379") for store in standing.alive}
    return turn.young_enough(request(*stores, max_age=max_age), standing, newest)


def test_newest_manifest_passes_over_what_is_damaged_or_unfinished_or_failed_its_verification() -> None:
    store = MemoryStore()
    assert turn.newest_manifest(store, "db-6379") is None
    good = put(store, T0)
    damaged = put(store, T0 + 60)
    store.contents[f"db-6379/backup/{damaged}/manifest.json"] += b" "
    unfinished = put(store, T0 + 120)
    del store.contents[f"db-6379/backup/{unfinished}/manifest.json"]
    put(store, T0 + 180, instance="other")
    bad = put(store, T0 + 240)
    record = {"level": "stored", "ok": False, "time": "2026-11-18T12:00:00Z", "problems": ["its SHA-256 is another"]}
    store.contents[f"db-6379/backup/{bad}/verification/20261118T120000Z-stored.json"] = json.dumps(record).encode()
    found = turn.newest_manifest(store, "db-6379")
    assert found is not None and found.label == good


def test_young_enough_in_every_store() -> None:
    one, two = MemoryStore("one"), MemoryStore("two")
    put(one, now() - 100)
    put(one, now() - 10)
    assert young(one, max_age=None) is None
    assert young(one, max_age=5) is None
    assert young(one, max_age=60) is not None
    assert young(one, two, max_age=60) is None
    assert young(one, two, max_age=60, lost="two") is not None
    older = put(two, now() - 30)
    found = young(one, two, max_age=60)
    assert found is not None and found.label == older
    assert young(one, two, max_age=20) is None


@pytest.mark.parametrize("least", [0, -1, 3])
def test_repositories_min_must_be_possible(least: int) -> None:
    stores = (MemoryStore("one"), MemoryStore("two"))
    turn.check_request(request(*stores))
    turn.check_request(request(*stores, repositories_min=2))
    with pytest.raises(RepositoryError, match=rf"repositories_min is {least}, with 2 repositories"):
        turn.check_request(request(*stores, repositories_min=least))


def test_a_serial_never_falls(tmp_path: Path) -> None:
    """It goes on from what the stores hold, and from what the host remembers."""
    state = HostState(str(tmp_path / "state"))
    warnings: list[str] = []
    store = MemoryStore()
    put(store, T0)
    old = {"memory": turn.newest_manifest(store, "db-6379")}
    assert turn.next_serial("db-6379", state, old, warnings) == 1
    put(store, T0 + 1, serial=41)
    assert turn.next_serial("db-6379", state, {"memory": turn.newest_manifest(store, "db-6379")}, warnings) == 42
    assert turn.next_serial("db-6379", state, {"memory": None}, warnings) == 43
    state.write("db-6379", "another")
    assert (state.serial("db-6379"), state.read("db-6379")) == (43, "another")
    assert turn.next_serial("db-6379", HostState("/proc/none"), old, warnings) == 1
    assert len(warnings) == 1 and "could not be remembered" in warnings[0]


def test_remains_of_dead_writers_go_and_backups_stay() -> None:
    store = MemoryStore()
    good = put(store, T0)
    dead = put(store, T0 + 1)
    del store.contents[f"db-6379/backup/{dead}/manifest.json"]
    store.contents["db-6379/backup/notes/readme.txt"] = b"foreign"
    before = {name: data for name, data in store.contents.items() if dead not in name}
    (action,), warnings = clean_newest(store, "db-6379")
    assert dead in action
    assert warnings == []
    assert store.contents == before
    assert good in store.names("db-6379/backup")


def test_less_room_than_the_last_backup_took() -> None:
    store = MemoryStore(room=3)
    turn.refuse_when_full("db-6379", store, None)
    put(store, T0)
    last = turn.newest_manifest(store, "db-6379")
    with pytest.raises(RepositoryError, match="has 3 bytes left, the last backup of db-6379 took 4"):
        turn.refuse_when_full("db-6379", store, last)
    for room in (4, None):
        store.room = room
        turn.refuse_when_full("db-6379", store, last)


def test_a_label_that_no_store_has() -> None:
    one, two = MemoryStore("one"), MemoryStore("two")
    taken = put(two, now())
    label = turn.free_label(Standing([one, two], 1, "redis db-6379"), "db-6379", "rdb")
    assert is_label(label) and label > taken


def test_what_was_asked_for_otherwise_stands_for_nothing() -> None:
    """However young it is: the newest one must be what was asked for."""
    store = MemoryStore()
    label = put(store, now())
    newest = {"memory": turn.newest_manifest(store, "db-6379"), "other": None}
    any_will_do = turn.Subject("db-6379", "redis db-6379", BACKUPS, "rdb", "", _never, _never)
    assert turn._fitting(any_will_do, newest) == newest
    wanted = replace(any_will_do, fits=lambda manifest: manifest.label != label)
    assert turn._fitting(wanted, newest) == {"memory": None, "other": None}


def _never(*_arguments: Any) -> Any:
    raise AssertionError("asked for what is not needed")
