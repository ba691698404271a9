# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a backup finds in its repositories before it writes."""

from __future__ import annotations

import pytest
from ansible_collections.globalscope.redis_backup.plugins.module_utils._backup import make
from ansible_collections.globalscope.redis_backup.plugins.module_utils._backup.request import BackupRequest
from ansible_collections.globalscope.redis_backup.plugins.module_utils._errors import RepositoryError
from ansible_collections.globalscope.redis_backup.plugins.module_utils._repository.identity import HostState
from ansible_collections.globalscope.redis_backup.plugins.module_utils._repository.pipeline import Packing
from ansible_collections.globalscope.redis_backup.plugins.module_utils._times import now
from ansible_collections.globalscope.redis_backup.tests.unit.helpers.backups import T0, put
from ansible_collections.globalscope.redis_backup.tests.unit.helpers.memory_store import MemoryStore


def request(*stores: MemoryStore, max_age: float | None = None) -> BackupRequest:
    return BackupRequest(stores, HostState("/nonexistent"), Packing(), max_age=max_age)


def test_newest_manifest_passes_over_what_is_damaged_or_unfinished() -> None:
    store = MemoryStore()
    assert make.newest_manifest(store, "db-6379") is None
    good = put(store, T0)
    damaged = put(store, T0 + 60)
    store.files[f"db-6379/backup/{damaged}/manifest.json"] += b" "
    unfinished = put(store, T0 + 120)
    del store.files[f"db-6379/backup/{unfinished}/manifest.json"]
    put(store, T0 + 180, instance="other")
    found = make.newest_manifest(store, "db-6379")
    assert found is not None and found.label == good


def test_young_enough_in_every_store() -> None:
    one, two = MemoryStore("one"), MemoryStore("two")
    put(one, now() - 100)
    put(one, now() - 10)
    assert make._young_enough("db-6379", request(one, max_age=None)) is None
    assert make._young_enough("db-6379", request(one, max_age=5)) is None
    assert make._young_enough("db-6379", request(one, max_age=60)) is not None
    assert make._young_enough("db-6379", request(one, two, max_age=60)) is None
    older = put(two, now() - 30)
    found = make._young_enough("db-6379", request(one, two, max_age=60))
    assert found is not None and found.label == older
    assert make._young_enough("db-6379", request(one, two, max_age=20)) is None


def test_remains_of_dead_writers_go_and_backups_stay() -> None:
    store = MemoryStore()
    good = put(store, T0)
    dead = put(store, T0 + 1)
    del store.files[f"db-6379/backup/{dead}/manifest.json"]
    store.files["db-6379/backup/notes/readme.txt"] = b"foreign"
    before = {name: data for name, data in store.files.items() if dead not in name}
    (action,) = make._clean(store, "db-6379")
    assert dead in action
    assert store.files == before
    assert good in store.names("db-6379/backup")


def test_less_room_than_the_last_backup_took() -> None:
    store = MemoryStore(room=3)
    make._refuse_when_full("db-6379", request(store))
    put(store, T0)
    with pytest.raises(RepositoryError, match="has 3 bytes left, the last backup of db-6379 took 4"):
        make._refuse_when_full("db-6379", request(store))
    store.room = 4
    make._refuse_when_full("db-6379", request(store))
    store.room = None
    make._refuse_when_full("db-6379", request(store))
