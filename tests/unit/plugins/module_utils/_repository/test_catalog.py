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
    choose,
    list_backups,
    list_instances,
    newest_before,
    read_entry,
    readable_stores,
)
from ansible_collections.globalscope.redis_backup.plugins.module_utils._repository.posix import PosixStore
from ansible_collections.globalscope.redis_backup.tests.unit.helpers.backups import T0, document, put
from ansible_collections.globalscope.redis_backup.tests.unit.helpers.memory_store import MemoryStore
from hypothesis import given
from hypothesis import strategies as st

NAME = "db-6379"


def test_oldest_first_by_the_data_not_by_the_label() -> None:
    store = MemoryStore()
    late = put(store, T0 + 50)
    early = put(store, T0 + 60, snapshot_time="2020-01-01T00:00:00Z")
    assert [entry.label for entry in list_backups([store], NAME)] == [early, late]


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
    one.files[f"{NAME}/backup/{label}/manifest.json"] += b"x"
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
    del store.files[f"{folder}/{unfinished}/manifest.json"]
    del store.files[f"{folder}/{incomplete}/dump.rdb.zst"]
    store.files[f"{folder}/{misplaced}/manifest.json"] = store.files[f"{folder}/{incomplete}/manifest.json"]
    store.files[f"{folder}/not-a-label/manifest.json"] = b""
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
    for name in [name for name in store.files if name.startswith("other/")]:
        store.files[name.replace("other", NAME, 1)] = store.files[name]
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
        ({"1.json": {"level": "restore", "ok": True, "time": "t1"}}, "t1"),
        ({"1.json": {"level": "restore", "ok": True, "time": "t1"}, "2.json": {"level": "restore", "ok": False}}, ""),
        ({"1.json": {"level": "restore", "ok": True, "time": "t1"}, "2.json": {"level": "stored", "ok": False}}, "t1"),
        ({"1.json": {"level": "restore", "ok": True, "time": "t1"}, "2.json": "broken", "3.txt": "x"}, "t1"),
    ],
)
def test_verified(records: dict[str, object], verified: str) -> None:
    store = MemoryStore()
    label = put(store, T0)
    for name, record in records.items():
        store.files[f"{NAME}/backup/{label}/verification/{name}"] = json.dumps(record).encode()
    (entry,) = list_backups([store], NAME)
    assert entry.verified == verified
    assert entry.as_result()["verified"] is bool(verified)


def test_sums() -> None:
    store = MemoryStore()
    label = put(store, T0)
    manifest = read_entry(store, NAME, label)
    check_sums(store, manifest)
    path = f"{NAME}/backup/{label}/SHA256SUMS"
    for at in range(len(store.files[path])):
        raw = store.files[path]
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
    two.files["c/instance.json"] = b"{}"
    two.files[".trash/backup/x"] = b""
    assert list_instances([one, two]) == ["a", "b"]


def test_choose() -> None:
    store = MemoryStore()
    first, second = put(store, T0), put(store, T0 + 60)
    broken = put(store, T0 + 120)
    del store.files[f"{NAME}/backup/{broken}/dump.rdb.zst"]
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


def test_a_store_that_is_gone_does_not_hide_the_others(tmp_path: Path) -> None:
    gone, there = PosixStore("gone", str(tmp_path / "gone")), PosixStore("there", str(tmp_path))
    good, problems = readable_stores([gone, there])
    assert [store.name for store in good] == ["there"]
    assert "does not exist" in problems["gone"]
    with pytest.raises(NotFoundError):
        readable_stores([gone])
