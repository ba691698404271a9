# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A human's word for a suspect backup."""

from __future__ import annotations

import json

import pytest
from ansible_collections.globalscope.redis_backup.plugins.module_utils._errors import NotFoundError
from ansible_collections.globalscope.redis_backup.plugins.module_utils._repository.acknowledge import (
    Acknowledgement,
    acknowledge,
)
from ansible_collections.globalscope.redis_backup.plugins.module_utils._repository.catalog import list_backups
from ansible_collections.globalscope.redis_backup.tests.unit.helpers.backups import T0, put
from ansible_collections.globalscope.redis_backup.tests.unit.helpers.memory_store import MemoryStore

NAME = "db-6379"


def word(*labels: str, reason: str = "moved") -> Acknowledgement:
    return Acknowledgement(NAME, labels, "root@db", reason)


def test_written_once_in_every_repository_that_has_it() -> None:
    one, two, other = MemoryStore("one"), MemoryStore("two"), MemoryStore("other")
    label = put(one, T0)
    put(two, T0)
    put(other, T0 + 60)
    stores = [one, two, other]
    assert [line[:19] for line in acknowledge(stores, word(label), check_mode=True)] == ["would acknowledge 2"] * 2
    assert not any(name.endswith("acknowledged.json") for store in stores for name in store.contents)
    assert len(acknowledge(stores, word(label))) == 2
    said = json.loads(one.contents[f"{NAME}/backup/{label}/acknowledged.json"])
    assert (said["by"], said["reason"]) == ("root@db", "moved")
    assert acknowledge(stores, word(label)) == []
    assert not any(name.endswith("acknowledged.json") for name in other.contents)
    entries = {entry.label: entry for entry in list_backups(stores, NAME)}
    assert entries[label].acknowledged == said["time"]
    assert len(acknowledge(stores, word(label, reason="another"))) == 2


def test_nothing_is_written_when_one_label_is_none() -> None:
    store = MemoryStore()
    label, broken = put(store, T0), put(store, T0 + 60)
    del store.contents[f"{NAME}/backup/{broken}/dump.rdb.zst"]
    before = dict(store.contents)
    for bad in ("20200101T000000Z_rdb", broken):
        with pytest.raises(NotFoundError, match=rf"no usable backup {bad} of {NAME}.*Usable are: {label}\."):
            acknowledge([store], word(label, bad))
    assert store.contents == before


def test_a_torn_word_is_written_anew() -> None:
    store = MemoryStore()
    label = put(store, T0)
    store.contents[f"{NAME}/backup/{label}/acknowledged.json"] = b'{"rea'
    assert len(acknowledge([store], word(label))) == 1
