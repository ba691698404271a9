# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which backup is staged."""

from __future__ import annotations

import pytest
from ansible_collections.globalscope.redis_backup.plugins.module_utils._errors import DamagedError, NotFoundError
from ansible_collections.globalscope.redis_backup.plugins.module_utils._restore.request import Selection
from ansible_collections.globalscope.redis_backup.plugins.module_utils._restore.stage import find_backup
from ansible_collections.globalscope.redis_backup.tests.unit.helpers.backups import T0, put
from ansible_collections.globalscope.redis_backup.tests.unit.helpers.memory_store import MemoryStore


def test_find_backup() -> None:
    store = MemoryStore()
    first, second = put(store, T0), put(store, T0 + 60)
    assert find_backup(Selection(store, "db-6379"))[0].label == second
    assert find_backup(Selection(store, "db-6379", "latest"))[0].label == second
    assert find_backup(Selection(store, "db-6379", at=T0 + 59))[0].label == first
    assert find_backup(Selection(store, "db-6379", first))[0].label == first
    with pytest.raises(NotFoundError, match=f"It holds: {first}, {second}"):
        find_backup(Selection(store, "db-6379", "20200101T000000Z_rdb"))
    store.contents[f"db-6379/backup/{second}/manifest.json"] = b"{}"
    with pytest.raises(DamagedError):
        find_backup(Selection(store, "db-6379", second))
    assert find_backup(Selection(store, "db-6379"))[0].label == first


def test_a_newer_backup_that_cannot_be_used_is_named() -> None:
    store = MemoryStore()
    first, second = put(store, T0), put(store, T0 + 60)
    assert find_backup(Selection(store, "db-6379"))[1] == []
    store.contents[f"db-6379/backup/{second}/manifest.json"] = b"{}"
    found, notes = find_backup(Selection(store, "db-6379"))
    assert found.label == first and len(notes) == 1 and second in notes[0]
    assert find_backup(Selection(store, "db-6379", at=T0 + 59))[1] == []
    assert find_backup(Selection(store, "db-6379", first))[1] == []
