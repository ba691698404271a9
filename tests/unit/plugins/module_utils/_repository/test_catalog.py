# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The backups that stores hold."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from ansible_collections.globalscope.redis_backup.plugins.module_utils._errors import DamagedError, NotFoundError
from ansible_collections.globalscope.redis_backup.plugins.module_utils._repository.catalog import (
    check_sums,
    list_backups,
    list_instances,
    read_entry,
    readable_stores,
)
from ansible_collections.globalscope.redis_backup.plugins.module_utils._repository.posix import PosixStore
from ansible_collections.globalscope.redis_backup.tests.unit.helpers.backups import T0, document, put
from ansible_collections.globalscope.redis_backup.tests.unit.helpers.memory_store import MemoryStore

NAME = "db-6379"
GOOD = {"level": "restore", "ok": True, "time": "t1"}


def test_oldest_first_by_the_data_not_by_the_label() -> None:
    store = MemoryStore()
    late = put(store, T0 + 50)
    early = put(store, T0 + 60, snapshot_time="2020-01-01T00:00:00Z")
    assert [entry.label for entry in list_backups([store], NAME)] == [early, late]


def test_stores_are_merged() -> None:
    one, two = MemoryStore("one"), MemoryStore("two")
    both = put(one, T0)
    put(two, T0)
    alone = put(two, T0 + 1)
    entries = {entry.label: entry for entry in list_backups([one, two], NAME)}
    assert [store.name for store in entries[both].stores] == ["one", "two"]
    assert [store.name for store in entries[alone].stores] == ["two"]
    assert entries[both].as_result()["repositories"] == ["one", "two"]


def test_one_good_copy_is_usable() -> None:
    one, two = MemoryStore("one"), MemoryStore("two")
    label = put(one, T0)
    put(two, T0)
    one.contents[f"{NAME}/backup/{label}/manifest.json"] += b"x"
    (entry,) = list_backups([one, two], NAME)
    assert entry.usable
    assert [store.name for store in entry.stores] == ["two"]
    assert "damaged" in entry.problems["one"]


def test_two_backups_of_one_label_are_told() -> None:
    one, two = MemoryStore("one"), MemoryStore("two")
    put(one, T0)
    put(two, T0, annotations={"other": True})
    (entry,) = list_backups([one, two], NAME)
    assert [store.name for store in entry.stores] == ["one"]
    assert "another backup of the same label" in entry.problems["two"]


def test_unfinished_incomplete_and_misplaced() -> None:
    store = MemoryStore()
    unfinished, incomplete, misplaced = put(store, T0), put(store, T0 + 1), put(store, T0 + 2)
    folder = f"{NAME}/backup"
    del store.contents[f"{folder}/{unfinished}/manifest.json"]
    del store.contents[f"{folder}/{incomplete}/dump.rdb.zst"]
    store.contents[f"{folder}/{misplaced}/manifest.json"] = store.contents[f"{folder}/{incomplete}/manifest.json"]
    store.contents[f"{folder}/not-a-label/manifest.json"] = b""
    entries = {entry.label: entry for entry in list_backups([store], NAME)}
    assert list(entries) == [unfinished, incomplete, misplaced]
    assert not any(entry.usable for entry in entries.values())
    assert "incomplete" in entries[unfinished].problems["memory"]
    assert "lacks dump.rdb.zst" in entries[incomplete].problems["memory"]
    assert "put in the wrong place" in entries[misplaced].problems["memory"]
    assert entries[unfinished].as_result()["usable"] is False


def test_a_backup_of_another_instance_is_not_read() -> None:
    store = MemoryStore()
    label = put(store, T0, instance="other")
    for name in [name for name in store.contents if name.startswith("other/")]:
        store.contents[name.replace("other", NAME, 1)] = store.contents[name]
    with pytest.raises(DamagedError, match="belongs to the backup"):
        read_entry(store, NAME, label)


def test_as_result() -> None:
    store = MemoryStore()
    put(store, T0, duration_s=2.5)
    (entry,) = list_backups([store], NAME)
    result = entry.as_result()
    assert (result["time"], result["duration_s"], result["size"], result["stored_size"]) == (
        document()["snapshot_time"],
        2.5,
        7,
        4,
    )
    assert (result["verified"], result["verified_at"], result["encrypted"], result["usable"]) == (
        False,
        None,
        False,
        True,
    )


def test_duration_from_the_times_where_it_is_not_said() -> None:
    store = MemoryStore()
    put(store, T0)
    assert list_backups([store], NAME)[0].as_result()["duration_s"] == 4.0


@pytest.mark.parametrize(
    ("records", "verified"),
    [
        ({}, ""),
        ({"1.json": GOOD}, "t1"),
        ({"1.json": GOOD, "2.json": {"level": "restore", "ok": False, "time": "t2"}}, ""),
        ({"1.json": GOOD, "2.json": {"level": "stored", "ok": False, "time": "t2"}}, ""),
        ({"1.json": GOOD, "2.json": {"level": "stored", "ok": True, "time": "t2"}}, "t1"),
        ({"1.json": GOOD, "2.json": "broken", "3.txt": "x"}, "t1"),
    ],
)
def test_verified(records: dict[str, object], verified: str) -> None:
    store = MemoryStore()
    label = put(store, T0)
    for name, record in records.items():
        store.contents[f"{NAME}/backup/{label}/verification/{name}"] = json.dumps(record).encode()
    (entry,) = list_backups([store], NAME)
    assert entry.verified == verified
    assert entry.as_result()["verified"] is bool(verified)


def test_sums() -> None:
    store = MemoryStore()
    label = put(store, T0)
    manifest = read_entry(store, NAME, label)
    check_sums(store, manifest)
    path = f"{NAME}/backup/{label}/SHA256SUMS"
    for at in range(len(store.contents[path])):
        raw = store.contents[path]
        damaged = MemoryStore(files={path: raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :]})
        with pytest.raises(DamagedError, match="does not say what the manifest says"):
            check_sums(damaged, manifest)
    with pytest.raises(NotFoundError):
        check_sums(MemoryStore(), manifest)


def test_instances() -> None:
    one, two = MemoryStore("one"), MemoryStore("two")
    put(one, T0, instance="b")
    put(two, T0, instance="a")
    put(two, T0, instance="b")
    two.contents["c/instance.json"] = b"{}"
    two.contents[".trash/backup/x"] = b""
    assert list_instances([one, two]) == ["a", "b"]


def test_a_store_that_is_gone_does_not_hide_the_others(tmp_path: Path) -> None:
    gone, there = PosixStore("gone", str(tmp_path / "gone")), PosixStore("there", str(tmp_path))
    good, problems = readable_stores([gone, there])
    assert [store.name for store in good] == ["there"]
    assert "does not exist" in problems["gone"]
    with pytest.raises(NotFoundError):
        readable_stores([gone])
