# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which backups are meant, and what is to be done with each."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest
from ansible_collections.globalscope.redis_backup.plugins.module_utils._copy.plan import Shelf, next_step, wanted_labels
from ansible_collections.globalscope.redis_backup.plugins.module_utils._copy.request import (
    CopyRequest,
    Repacking,
    packing_of,
    repacking_of,
)
from ansible_collections.globalscope.redis_backup.plugins.module_utils._copy.run import copy_backups
from ansible_collections.globalscope.redis_backup.plugins.module_utils._errors import (
    NotFoundError,
    RedisBackupError,
    RepositoryError,
)
from ansible_collections.globalscope.redis_backup.plugins.module_utils._repository.catalog import read_entry
from ansible_collections.globalscope.redis_backup.plugins.module_utils._times import now
from ansible_collections.globalscope.redis_backup.tests.unit.helpers.backups import T0, UUID, put
from ansible_collections.globalscope.redis_backup.tests.unit.helpers.memory_store import MemoryStore

NAME = "db-6379"
SUM = hashlib.sha256(b"data").hexdigest()
RDB = {"name": "dump.rdb.zst", "content": "dump.rdb", "kind": "rdb", "size": 7, "stored_size": 4, "sha256": SUM}
FILES = [RDB]


def known() -> MemoryStore:
    identity = json.dumps({"instance": NAME, "uuid": UUID}).encode()
    return MemoryStore("from", {f"{NAME}/instance.json": identity})


def request(source: MemoryStore, destination: MemoryStore, *labels: str, **more: Any) -> CopyRequest:
    return CopyRequest(source, destination, NAME, labels or ("latest",), **more)


def wanted(store: MemoryStore, *labels: str) -> tuple[list[str], list[str]]:
    warnings: list[str] = []
    found = wanted_labels(request(store, MemoryStore("to"), *labels), Shelf(store, NAME), warnings)
    return found, warnings


def test_labels() -> None:
    store = known()
    one, two = put(store, T0), put(store, T0 + 1)
    unfinished = put(store, T0 + 2)
    del store.contents[f"{NAME}/backup/{unfinished}/manifest.json"]
    assert wanted(store) == ([two], [])
    assert wanted(store, "all") == ([one, two], [])
    assert wanted(store, two, "latest", one) == ([one, two], [])
    damaged = put(store, T0 + 3)
    store.contents[f"{NAME}/backup/{damaged}/manifest.json"] += b" "
    found, warnings = wanted(store)
    assert found == [two] and len(warnings) == 1 and damaged in warnings[0]
    with pytest.raises(NotFoundError, match="no usable backup"):
        wanted(known())


def test_a_label_of_the_future_is_the_last_resort() -> None:
    store = known()
    late = put(store, now() + 86400)
    assert wanted(store) == ([late], [])
    present = put(store, now() - 10)
    assert wanted(store) == ([present], [])


@pytest.mark.parametrize("labels", [[], ["newest"], ["20261122T235141Z"], ["../20261122T235141Z_rdb"]])
def test_what_is_no_label_is_refused(labels: list[str]) -> None:
    with pytest.raises(RedisBackupError, match="names no backup"):
        CopyRequest(known(), known(), NAME, tuple(labels))


def test_copied_once_then_left_alone() -> None:
    source, destination = known(), MemoryStore("to")
    label = put(source, T0, files=FILES)
    dry = copy_backups(request(source, destination), check_mode=True)
    assert dry.changed and destination.contents == {}
    assert copy_backups(request(source, destination)).changed
    folder = f"{NAME}/backup/{label}/"
    assert {k: v for k, v in destination.contents.items() if k.startswith(folder)} == {
        k: v for k, v in source.contents.items() if k.startswith(folder)
    }
    again = copy_backups(request(source, destination))
    assert not again.changed and [one["skipped"] for one in again.copied] == ["it is there"]


def test_remains_at_the_destination_go() -> None:
    """However old their label is."""
    source, destination = known(), MemoryStore("to")
    put(source, T0, files=FILES)
    old = f"{NAME}/backup/20200101T000000Z_rdb/dump.rdb.zst"
    destination.contents = {f"{NAME}/instance.json": source.contents[f"{NAME}/instance.json"], old: b"half"}
    done = copy_backups(request(source, destination))
    assert old not in destination.contents and "removed the remains" in done.actions[0]


def test_records_come_along_where_a_copier_died() -> None:
    """It had copied the record, which went with its remains."""
    source, destination = known(), MemoryStore("to")
    label = put(source, T0, files=FILES)
    record = f"{NAME}/backup/{label}/verification/20261122T000000Z-restore.json"
    source.contents[record] = b'{"level": "restore", "ok": true}'
    copy_backups(request(source, destination))
    del destination.contents[f"{NAME}/backup/{label}/manifest.json"]
    copy_backups(request(source, destination))
    assert set(destination.contents) == set(source.contents)
    assert destination.contents[record] == source.contents[record]


def test_wrong_bytes_leave_nothing() -> None:
    source, destination = known(), MemoryStore("to")
    put(source, T0)  # whose SHA-256 is not that of its bytes
    result = copy_backups(request(source, destination))
    error = next(iter(result.failed.values()))
    assert "SHA-256" in str(error) and result.copied == []
    assert list(destination.contents) == [f"{NAME}/instance.json"]


def test_too_little_room() -> None:
    source, destination = known(), MemoryStore("to", room=3)
    put(source, T0, files=FILES)
    error = next(iter(copy_backups(request(source, destination)).failed.values()))
    assert "has 3 bytes left" in str(error)


def test_packed_like_this_already() -> None:
    store = known()
    said = {"encryption": {"program": "age", "recipients": ["age1b", "age1a"]}, "compression": {"level": 3}}
    label = put(store, T0, **said)
    manifest = read_entry(store, NAME, label)
    assert packing_of(manifest).recipients == ("age1b", "age1a") and packing_of(manifest).level == 3
    assert Repacking(("age1a", "age1b")).fits(manifest)
    assert Repacking(("age1a", "age1b"), 3).fits(manifest)
    assert not Repacking(("age1a",)).fits(manifest)
    assert not Repacking(None, 4).fits(manifest)
    assert Repacking(None, 4).packing(manifest).recipients == ("age1b", "age1a")
    assert not Repacking(()).fits(manifest)
    step = next_step(
        request(store, MemoryStore("to"), repacking=Repacking(("age1b", "age1a"))),
        Shelf(store, NAME),
        Shelf(MemoryStore("to"), NAME),
        label,
        [],
    )
    assert (step.action, step.repacking) == ("copy", None)


def test_in_the_clear_by_that_word_only() -> None:
    assert repacking_of(None, None, []) is None
    assert repacking_of({"none": True}, None, ["i"]) == Repacking((), None, ("i",))
    assert repacking_of(None, {"level": 7}, []) == Repacking(None, 7)
    for vague in ({"recipients": []}, {"none": False}, {}, {"recipients": None, "none": None}):
        with pytest.raises(RedisBackupError, match="names no recipient"):
            repacking_of(vague, None, [])


def test_another_backup_of_the_label() -> None:
    source, destination = known(), known()
    label = put(source, T0, files=FILES)
    put(destination, T0, files=FILES, keys={"total": 1, "expires": 0})
    before = dict(destination.contents)
    error = next(iter(copy_backups(request(source, destination)).failed.values()))
    assert isinstance(error, RepositoryError) and "another backup of the same label" in str(error)
    assert destination.contents == before and label
