# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Exports of keys in a repository: their names, their manifests, the catalog, and what retention keeps of them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.globalscope.redis_backup.plugins.module_utils._errors import (
    DamagedError,
    NotFoundError,
    RepositoryError,
)
from ansible_collections.globalscope.redis_backup.plugins.module_utils._keys.from_repository import find_export
from ansible_collections.globalscope.redis_backup.plugins.module_utils._repository.acknowledge import (
    Acknowledgement,
    acknowledge,
)
from ansible_collections.globalscope.redis_backup.plugins.module_utils._repository.catalog import (
    list_backups,
    list_exports,
    list_instances,
    read_entry,
)
from ansible_collections.globalscope.redis_backup.plugins.module_utils._repository.choose import choose
from ansible_collections.globalscope.redis_backup.plugins.module_utils._repository.identity import (
    HostState,
    stored_identity,
)
from ansible_collections.globalscope.redis_backup.plugins.module_utils._repository.info import show_catalog
from ansible_collections.globalscope.redis_backup.plugins.module_utils._repository.layout import (
    backup_path,
    export_name,
    folder_of,
    is_export_label,
    is_label,
    make_export_label,
    make_label,
    valid_export_name,
)
from ansible_collections.globalscope.redis_backup.plugins.module_utils._repository.manifest import (
    open_export,
    open_manifest,
    seal,
)
from ansible_collections.globalscope.redis_backup.plugins.module_utils._repository.prune import PruneRequest, prune
from ansible_collections.globalscope.redis_backup.plugins.module_utils._repository.retention import Policy
from ansible_collections.globalscope.redis_backup.tests.unit.helpers.backups import T0, UUID, document, put
from ansible_collections.globalscope.redis_backup.tests.unit.helpers.exports import FILE, export_document, put_export
from ansible_collections.globalscope.redis_backup.tests.unit.helpers.memory_store import MemoryStore
from hypothesis import given
from hypothesis import strategies as st

NAME = "db-6379"
DAY = 86400.0


# --- names ---


@given(st.integers(0, 253_402_300_799), st.from_regex(r"[a-z0-9-]{1,40}", fullmatch=True))
def test_labels(seconds: int, name: str) -> None:
    """A label alone tells whether it is a backup's or an export's, and where it lies."""
    label = make_export_label(seconds, name)
    if name in ("rdb", "aof"):
        assert not valid_export_name(name) and is_label(label) and not is_export_label(label)
        return
    assert valid_export_name(name) and export_name(label) == name and not is_label(label)
    assert folder_of(NAME, label) == f"{NAME}/export/{label}"
    if seconds:
        assert make_export_label(seconds - 1, name) < label


@given(st.text())
def test_what_is_no_name_makes_no_label(name: str) -> None:
    assert valid_export_name(name) == (bool(re.fullmatch(r"[a-z0-9-]{1,40}", name)) and name not in ("rdb", "aof"))


def test_a_backup_lies_where_it_did() -> None:
    label = make_label(T0, "rdb")
    assert folder_of(NAME, label) == backup_path(NAME, label) == f"{NAME}/backup/{label}"


# --- manifests ---


def test_a_manifest_of_an_export() -> None:
    manifest = open_export(seal(export_document(keys={"total": 5, "expires": 1})), "m")
    assert (manifest.label, manifest.engine) == ("20261118T110640Z_drivers", "export")
    assert (manifest.keys, manifest.size) == (5, 7)
    assert manifest.export["patterns"] == ["driver:*"]
    assert manifest.snapshot_time == T0


def test_neither_passes_for_the_other() -> None:
    with pytest.raises(DamagedError, match="its label"):
        open_manifest(seal(export_document()), "m")
    with pytest.raises(DamagedError, match="its label"):
        open_export(seal(document()), "m")
    with pytest.raises(DamagedError, match="none of an export"):
        open_export(seal({**document(), "label": make_export_label(T0, "drivers")}), "m")


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ({"name": "users"}, "not that of its label"),
        ({"name": 5}, "not that of its label"),
        ({"format": "rdb"}, "no format of keys"),
        ({"format": ["jsonl"]}, "no format of keys"),
        ({"patterns": "driver:*"}, "its patterns"),
        ({"patterns": [5]}, "its patterns"),
        ({"types": None}, "its types"),
        ({"databases": [-1]}, "its databases"),
        ({"databases": [True]}, "its databases"),
        ({"point_in_time": True}, "of one moment"),
        ({"point_in_time": None}, "of one moment"),
    ],
)
def test_what_no_writer_of_ours_would_say(told: dict[str, Any], words: str) -> None:
    with pytest.raises(DamagedError, match=words):
        open_export(seal(export_document(told=told)), "m")


@pytest.mark.parametrize(
    "over",
    [
        {"files": []},
        {"files": [FILE, {**FILE, "name": "b.zst", "content": "b"}]},
        {"files": [{**FILE, "kind": "rdb"}]},
        {"files": [{**FILE, "name": "../keys"}]},
        {"export": []},
        {"export": None},
        {"engine": "rdb"},
        {"keys": {"total": -1, "expires": 0}},
        {"label": "20261118T102640Z_rdb"},
        {"label": "20261118T102640Z_Drivers"},
    ],
)
def test_what_does_not_make_an_export(over: dict[str, Any]) -> None:
    with pytest.raises(DamagedError):
        open_export(seal({**export_document(), **over}), "m")


@given(st.integers(0, 10**6), st.integers(0, 255))
def test_one_byte_is_enough(at: int, byte: int) -> None:
    raw = seal(export_document())
    at %= len(raw)
    changed = raw[:at] + bytes([byte]) + raw[at + 1 :]
    if changed != raw:
        with pytest.raises(DamagedError):
            open_export(changed, "m")


# --- the catalog ---


def known(name: str = "memory") -> MemoryStore:
    store = MemoryStore(name)
    store.contents[f"{NAME}/instance.json"] = json.dumps({"uuid": UUID}).encode()
    return store


def test_exports_and_backups_are_listed_apart() -> None:
    one, two = known("one"), known("two")
    backup = put(one)
    first = put_export(one, T0 + 1)
    put_export(two, T0 + 1)
    unfinished = put_export(two, T0 + 2, "users")
    del two.contents[f"{folder_of(NAME, unfinished)}/manifest.json"]
    assert [entry.label for entry in list_backups([one, two], NAME)] == [backup]
    broken, good = list_exports([one, two], NAME)
    assert (good.label, [store.name for store in good.stores]) == (first, ["one", "two"])
    assert (broken.label, broken.usable) == (unfinished, False)
    assert broken.problems["two"].startswith("incomplete")
    shown = show_catalog([one, two], NAME, at=None, usable_only=True, query=None)
    assert shown["latest"]["label"] == backup
    (told,) = shown["exports"]
    assert (told["label"], told["name"], told["format"], told["patterns"]) == (first, "drivers", "jsonl", ["driver:*"])
    assert told["point_in_time"] is False and told["repositories"] == ["one", "two"] and told["suspect"] is None


def test_an_instance_with_exports_alone_is_one() -> None:
    store = known()
    put_export(store)
    assert list_instances([store]) == [NAME]
    assert stored_identity(store, NAME) == UUID
    del store.contents[f"{NAME}/instance.json"]
    with pytest.raises(RepositoryError, match=r"without instance\.json"):
        stored_identity(store, NAME)


def test_a_restore_is_told_what_an_export_is() -> None:
    store = known()
    label = put_export(store)
    with pytest.raises(NotFoundError, match=f"holds no backup {label} .* redis_import"):
        choose(list_backups([store], NAME), NAME, "here", label=label, at=None)


def test_the_export_that_an_import_reads() -> None:
    store = known()
    with pytest.raises(NotFoundError, match="Make one with redis_export"):
        find_export(store, NAME)
    old, new = put_export(store, T0), put_export(store, T0 + 60)
    users = put_export(store, T0 + 30, "users")
    late = put_export(store, T0 + 90)
    store.contents[f"{folder_of(NAME, late)}/manifest.json"] += b" "
    assert find_export(store, NAME, name="drivers").manifest.label == new
    assert find_export(store, NAME, name="users").manifest.label == users
    assert find_export(store, NAME).manifest.label == new
    assert find_export(store, NAME, label=old, name="drivers").manifest.label == old
    with pytest.raises(DamagedError):
        find_export(store, NAME, label=late)
    with pytest.raises(NotFoundError, match=f"holds no export {users}"):
        find_export(store, NAME, label=users, name="drivers")
    with pytest.raises(NotFoundError, match="It holds exports of: drivers, users"):
        find_export(store, NAME, name="carts")
    store.contents[f"{folder_of(NAME, old)}/SHA256SUMS"] = b""
    with pytest.raises(DamagedError, match="SHA256SUMS"):
        find_export(store, NAME, label=old)


def test_a_folder_in_the_wrong_place() -> None:
    store = known()
    label = put_export(store)
    other = make_export_label(T0 + 9, "drivers")
    for name in ("manifest.json", "SHA256SUMS", "keys.jsonl.zst"):
        store.contents[f"{folder_of(NAME, other)}/{name}"] = store.contents[f"{folder_of(NAME, label)}/{name}"]
    with pytest.raises(DamagedError, match="wrong place"):
        read_entry(store, NAME, other)


# --- retention ---


@pytest.fixture
def state(tmp_path: Path) -> HostState:
    found = HostState(str(tmp_path / "state"))
    found.write(NAME, UUID)
    return found


def pruned(store: MemoryStore, state: HostState, policy: Policy, *, check_mode: bool = False) -> dict[str, Any]:
    result = prune(PruneRequest([store], NAME, {store.name: policy}, state, check_mode=check_mode))
    return {**result.as_result(), "actions": result.actions, "warnings": result.warnings}


def labels(store: MemoryStore) -> list[str]:
    return store.names(f"{NAME}/export")


def test_each_name_by_itself(state: HostState) -> None:
    """The rules of backups, over the exports of one name: the newest of each stays, whatever they say."""
    store = known()
    backups = [put(store, T0 + day * DAY, serial=day + 1) for day in range(4)]
    drivers = [put_export(store, T0 + day * DAY, serial=day + 1) for day in range(10)]
    users = [put_export(store, T0 - day * DAY, "users", serial=20 - day) for day in range(3)]
    policy = Policy(last=2, minimum_verified=0)
    dry = pruned(store, state, policy, check_mode=True)
    assert labels(store) == sorted(drivers + users)
    done = pruned(store, state, policy)
    assert sorted(done["removed"]) == sorted(dry["removed"]) == sorted(backups[:2] + drivers[:8] + users[2:])
    assert [action.replace("would remove", "removed") for action in dry["actions"]] == done["actions"]
    assert dry["freed_bytes"] == done["freed_bytes"] > 0
    assert labels(store) == sorted(drivers[8:] + users[:2])
    reasons = {each["label"]: each["reasons"] for each in done["kept"]}
    assert reasons[drivers[9]] == ["the newest of its name", "one of the last 2"]
    assert reasons[drivers[8]] == ["one of the last 2"]
    assert pruned(store, state, policy)["removed"] == []


def test_minimum_verified_counts_exports_read_to_their_end(state: HostState) -> None:
    store = known()
    made = [put_export(store, T0 + day * DAY, serial=day + 1) for day in range(5)]
    record = json.dumps({"level": "content", "ok": True, "time": "2026-11-25T00:00:00Z"}).encode()
    store.contents[f"{folder_of(NAME, made[1])}/verification/20261125T000000Z-content.json"] = record
    done = pruned(store, state, Policy(last=1, minimum_verified=1))
    assert labels(store) == [made[1], made[4]]
    assert {"label": made[1], "repository": "memory", "reasons": ["one of the newest verified"]} in done["kept"]
    (told,) = [each for each in show_catalog([store], NAME, at=None, usable_only=True, query=None)["exports"]
               if each["label"] == made[1]]  # fmt: skip
    assert told["verified"] and told["verified_level"] == "content"


def test_one_that_lost_its_keys_holds_the_others_of_its_name_back(state: HostState) -> None:
    """Until a human has looked. Other names and backups go on, and so does an export that looks for something else."""
    store = known()
    for day in range(3):
        put_export(store, T0 + day * DAY, serial=day + 1)
        put_export(store, T0 + day * DAY, "users", serial=day + 1)
    few = {"total": 3, "expires": 0}
    suspect = put_export(store, T0 + 3 * DAY, serial=4, keys=few)
    put_export(store, T0 + 3 * DAY, "users", serial=4, keys=few, told={"patterns": ["user:1*"]})
    policy = Policy(last=1, minimum_verified=0)
    done = pruned(store, state, policy)
    assert len([label for label in labels(store) if export_name(label) == "drivers"]) == 4
    assert len([label for label in labels(store) if export_name(label) == "users"]) == 1
    assert f"{suspect} is suspect" in done["warnings"][0]
    word = Acknowledgement(NAME, [suspect], "me", "drivers are fewer in winter")
    assert acknowledge([store], word) == [f"acknowledged {suspect} in {store.where()}"]
    pruned(store, state, policy)
    assert [label for label in labels(store) if export_name(label) == "drivers"] == [suspect]


def test_remains_go_after_a_day_and_damage_stays(state: HostState) -> None:
    store = known()
    good = put_export(store, T0, serial=1)
    dead = put_export(store, T0 + 1)
    damaged = put_export(store, T0 + 2)
    del store.contents[f"{folder_of(NAME, dead)}/manifest.json"]
    store.contents[f"{folder_of(NAME, damaged)}/manifest.json"] += b" "
    done = pruned(store, state, Policy(last=1))
    assert done["repositories"][0]["remains"] == [dead]
    assert f"removed the remains of the unfinished export {dead} from {store.where()}" in done["actions"]
    assert labels(store) == [good, damaged]
    assert any(each["label"] == damaged and "cannot be used" in each["reasons"][0] for each in done["kept"])


def test_serials_of_exports_are_their_own(state: HostState) -> None:
    state.write_serial(NAME, 7)
    state.write_serial(NAME, 3, "drivers")
    state.write_serial(NAME, 5, "users")
    state.write(NAME, "another")
    assert [state.serial(NAME), state.serial(NAME, "drivers"), state.serial(NAME, "users")] == [7, 3, 5]
    assert (state.read(NAME), state.serial(NAME, "carts")) == ("another", 0)
