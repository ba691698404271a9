# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Retention carried out on stores in memory."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.globalscope.redis_backup.plugins.module_utils._errors import (
    NotFoundError,
    RedisBackupError,
    RepositoryError,
)
from ansible_collections.globalscope.redis_backup.plugins.module_utils._files import locked
from ansible_collections.globalscope.redis_backup.plugins.module_utils._repository.identity import (
    HostState,
    write_identity,
)
from ansible_collections.globalscope.redis_backup.plugins.module_utils._repository.posix import PosixStore
from ansible_collections.globalscope.redis_backup.plugins.module_utils._repository.prune import (
    PruneRequest,
    PruneResult,
    prune,
)
from ansible_collections.globalscope.redis_backup.plugins.module_utils._repository.retention import Policy
from ansible_collections.globalscope.redis_backup.plugins.module_utils._repository.store import Store, StoredObject
from ansible_collections.globalscope.redis_backup.plugins.module_utils._times import now
from ansible_collections.globalscope.redis_backup.tests.unit.helpers.backups import T0, UUID, put
from ansible_collections.globalscope.redis_backup.tests.unit.helpers.memory_store import MemoryStore

NAME = "db-6379"
DAY = 86400
FOLDER = f"{NAME}/backup"


class Shelf(MemoryStore):
    """A store that notes what it removes, and refuses some of it."""

    def __init__(self, name: str = "shelf") -> None:
        super().__init__(name)
        self.removed: list[str] = []
        self.held: dict[str, str] = {}
        self.refused: set[str] = set()

    def why_locked(self, path: str) -> str:
        return self.held.get(path, "")

    def remove(self, path: str) -> None:
        if path in self.refused:
            raise RepositoryError(f"{self.where(path)}: Permission denied", hint="Correct the rights")
        self.removed.append(path)
        super().remove(path)

    def lock(self, instance: str) -> AbstractContextManager[Any]:
        return self._broken(instance)

    @contextlib.contextmanager
    def _broken(self, instance: str) -> Iterator[str]:
        with super()._lock(instance):
            yield "took over the lock of a dead owner"


class GoneStore(Shelf):
    """A store that nobody can reach."""

    def read(self, path: str, limit: int = 0) -> bytes:
        raise RepositoryError(f"{self.where()} cannot be reached", hint="Correct the network")


class UnlistedStore(Shelf):
    """A store whose listing fails."""

    def files(self, path: str) -> list[StoredObject]:
        raise RepositoryError(f"{self.where()} cannot be listed")


@pytest.fixture
def state(tmp_path: Path) -> HostState:
    found = HostState(str(tmp_path / "state"))
    found.write(NAME, UUID)
    return found


def shelf(days: int = 9, name: str = "shelf", kind: type[Shelf] = Shelf, **over: Any) -> Shelf:
    """A store with a backup a day."""
    store = kind(name)
    write_identity(store, NAME, UUID)
    for day in range(days):
        put(store, T0 + day * DAY, **{"serial": day + 1, **over})
    return store


def run(state: HostState, *stores: Store, policy: Policy | None = None, **over: Any) -> PruneResult:
    policies = {store.name: policy or Policy(last=3) for store in stores}
    return prune(PruneRequest(stores, NAME, policies, state, **over))


def labels(store: Store) -> list[str]:
    return store.names(FOLDER)


def test_the_manifest_goes_first(state: HostState) -> None:
    store = shelf()
    before = labels(store)
    result = run(state, store)
    assert labels(store) == before[-3:]
    for manifest, folder in zip(store.removed[::2], store.removed[1::2]):
        assert manifest == f"{folder}/manifest.json"
    shown = result.as_result()
    assert result.changed and shown["removed"] == before[:-3]
    assert [each["label"] for each in shown["kept"]] == before[-3:]
    assert shown["kept"][-1]["reasons"] == ["one of the last 3", "in place of a verified one"]
    assert result.actions[0].startswith("took over the lock of a dead owner (repository shelf")
    assert result.actions[1] == f"removed {before[0]} from repository shelf (memory)"
    assert before[0] in shown["diff"]["before"] and before[0] not in shown["diff"]["after"]
    assert shown["freed_bytes"] > 0
    again = run(state, store)
    assert not again.changed and again.as_result()["freed_bytes"] == 0


def test_check_mode_tells_the_same_and_removes_nothing(state: HostState) -> None:
    store = shelf()
    contents = dict(store.contents)
    dry = run(state, store, check_mode=True)
    assert (store.contents, store.removed) == (contents, [])
    wet = run(state, store)
    assert dry.as_result() == wet.as_result()
    assert dry.actions == [action.replace("removed", "would remove", 1) for action in wet.actions[1:]]


def test_without_a_rule_nothing_is_done(state: HostState) -> None:
    store = shelf()
    with pytest.raises(RedisBackupError, match=r"keep names no rule for shelf.*Nothing was removed"):
        run(state, store, policy=Policy())
    assert store.removed == []


def test_each_repository_by_its_own_rules(state: HostState) -> None:
    one, two = shelf(name="one"), shelf(name="two")
    policies = {"one": Policy(last=2), "two": Policy(last=5)}
    result = prune(PruneRequest([one, two], NAME, policies, state))
    assert (len(labels(one)), len(labels(two))) == (2, 5)
    assert [len(each["kept"]) for each in result.as_result()["repositories"]] == [2, 5]


def test_engines_are_counted_apart(state: HostState) -> None:
    store = shelf(4)
    for day in range(4):
        label = f"2026110{day}T000000Z_aof"
        put(store, T0 - (9 - day) * DAY, serial=0, label=label, engine="aof")
    run(state, store, policy=Policy(last=2, minimum_verified=0))
    assert [label[-3:] for label in labels(store)] == ["aof", "aof", "rdb", "rdb"]


def test_a_suspect_anywhere_holds_everything(state: HostState) -> None:
    """Also in the other repository, and for the other engine."""
    one, two = shelf(name="one"), shelf(name="two")
    bad = put(two, T0 + 20 * DAY, serial=20, keys={"total": 0, "expires": 0})
    result = run(state, one, two)
    assert not result.changed
    assert all(f"{bad} is suspect" in each["blocked"] for each in result.as_result()["repositories"])
    assert len(result.warnings) == 2 and "nothing was removed" in result.warnings[0]
    two.contents[f"{FOLDER}/{bad}/acknowledged.json"] = b'{"time": "t"}'
    assert len(run(state, one, two).as_result()["removed"]) == 7


def test_pins(state: HostState) -> None:
    store = shelf(5, annotations={"keep": False})
    kept = [
        put(store, T0 - number * DAY, serial=0, annotations={"keep": value})
        for number, value in enumerate((True, "2099-01-01", "nonsense", "2026-11-22"), 1)
    ]
    expired = put(store, T0 - 9 * DAY, serial=0, annotations={"keep": "2026-11-21"})
    result = run(state, store)
    assert set(kept) <= set(labels(store))
    assert expired in result.as_result()["removed"]


def test_verified_by_any_copy_of_the_same_bytes(state: HostState) -> None:
    one, two = shelf(name="one"), shelf(name="two")
    oldest, second = labels(one)[:2]
    two.contents[f"{FOLDER}/{oldest}/verification/1.json"] = b'{"level": "restore", "ok": true, "time": "t"}'
    two.contents[f"{FOLDER}/{second}/verification/1.json"] = b'{"level": "content", "ok": true, "time": "t"}'
    run(state, one, two, policy=Policy(last=1, minimum_verified=1))
    assert labels(one) == labels(two) == [oldest, labels(one)[-1]]


def test_unusable_copies_are_left_to_a_human(state: HostState) -> None:
    store = shelf()
    first, second, third = labels(store)[:3]
    store.contents[f"{FOLDER}/{first}/manifest.json"] += b"x"
    del store.contents[f"{FOLDER}/{second}/dump.rdb.zst"]
    store.contents[f"{FOLDER}/{third}/verification/1.json"] = b'{"level": "stored", "ok": false, "time": "t"}'
    result = run(state, store)
    assert {first, second, third} <= set(labels(store))
    why = {each["label"]: each["reasons"][0] for each in result.as_result()["kept"]}
    assert "damaged" in why[first] and "lacks dump.rdb.zst" in why[second] and "failed at t" in why[third]


def test_remains(state: HostState) -> None:
    """Those of today may be of a writer whose lock nobody sees; older ones go, empty folders of a directory too."""
    store = shelf(3)
    old, young = f"{FOLDER}/20261101T000000Z_rdb", f"{FOLDER}/20261102T000000Z_rdb"
    store.contents.update({f"{old}/a": b"1234", f"{old}/b": b"1", f"{young}/a": b"1", f"{young}/b": b"1"})
    store.times.update({f"{old}/a": now() - 2 * DAY, f"{old}/b": now() - 1.01 * DAY, f"{young}/b": now() - 0.9 * DAY})
    dry = run(state, store, check_mode=True)
    result = run(state, store)
    assert result.repositories[0].remains == dry.repositories[0].remains == ["20261101T000000Z_rdb"]
    assert result.as_result()["freed_bytes"] == dry.as_result()["freed_bytes"] == 5
    assert "20261102T000000Z_rdb" in labels(store) and len(labels(store)) == 4
    assert result.changed


def test_an_empty_folder_is_remains(state: HostState, tmp_path: Path) -> None:
    (tmp_path / FOLDER / "20261101T000000Z_rdb").mkdir(parents=True)
    (tmp_path / FOLDER / "other").mkdir()
    store = PosixStore("local", str(tmp_path))
    write_identity(store, NAME, UUID)
    assert run(state, store).repositories[0].remains == ["20261101T000000Z_rdb"]
    assert labels(store) == ["other"]


def test_what_is_locked_stays_and_the_others_go(state: HostState) -> None:
    store = shelf()
    held = labels(store)[0]
    store.held[f"{FOLDER}/{held}/manifest.json"] = "locked until 2027-01-01T00:00:00Z (COMPLIANCE)"
    for check in (True, False):
        result = run(state, store, check_mode=check)
        assert not result.failed
        assert {"label": held, "repository": "shelf", "reasons": [store.held[f"{FOLDER}/{held}/manifest.json"]]} in (
            result.as_result()["kept"]
        )
        assert len(result.as_result()["removed"]) == 5
    assert labels(store)[0] == held


def test_a_refusal_is_a_failure_when_the_others_are_done(state: HostState) -> None:
    store = shelf()
    held = labels(store)[0]
    store.refused.add(f"{FOLDER}/{held}/manifest.json")
    result = run(state, store)
    assert len(labels(store)) == 4 and labels(store)[0] == held
    assert "Permission denied (Correct the rights)" in result.failure
    assert result.failure.startswith(f"{NAME}: pruning failed in shelf: ")


def test_files_that_stay_without_their_manifest_are_told(state: HostState) -> None:
    store = shelf()
    held = labels(store)[0]
    store.refused.add(f"{FOLDER}/{held}")
    result = run(state, store)
    assert held in result.as_result()["removed"] and f"{FOLDER}/{held}/manifest.json" not in store.contents
    assert held in result.warnings[0] and not result.failed
    store.refused.clear()
    assert run(state, store).repositories[0].remains == [held]


@pytest.mark.parametrize("kind", [GoneStore, UnlistedStore])
def test_a_store_that_fails_does_not_hold_the_others(state: HostState, kind: type[Shelf]) -> None:
    gone, there = shelf(name="far", kind=kind), shelf(name="near")
    result = run(state, gone, there)
    assert (len(labels(gone)), len(labels(there))) == (9, 3)
    assert "far (memory) cannot be" in result.failure and "Pruned: near" in result.failure


def test_locks(state: HostState) -> None:
    store = shelf()
    with store.lock(NAME):
        assert "another backup of" in run(state, store).failure
        assert run(state, store, check_mode=True).changed
    with locked(state.lock_path(NAME), busy=NotFoundError("")), pytest.raises(RepositoryError, match="another task"):
        run(state, store)
    assert store.removed == []


def test_another_servers_backups(state: HostState) -> None:
    store = shelf()
    write_identity(store, NAME, "other")
    result = run(state, store)
    assert "keeps backups of another server" in result.failure and "its UUID is other" in result.failure
    assert store.removed == []
    assert run(state, store, adopt=True).changed


def test_nothing_there(state: HostState) -> None:
    store = Shelf()
    result = run(state, store)
    assert (result.changed, result.failed, result.as_result()["kept"]) == (False, {}, [])
    assert store.contents == {}


# --- several instances that belong together ---

THIRDS = ([0, 5460], [5461, 10922], [10923, 16383])
GROUP = [["db-6379", "db2-6379"]]
CLUSTER = [["db-6379", "db2-6379"], ["db3-6379"], ["db4-6379"]]


def known(state: HostState, *names: str) -> None:
    for name in names:
        state.write(name, UUID)


def shelf_of(instance: str, store: Shelf, days: list[int], **over: Any) -> list[str]:
    write_identity(store, instance, UUID)
    return [
        put(store, T0 + day * DAY, instance=instance, **{"serial": serial + 1, **over})
        for serial, day in enumerate(days)
    ]


def run_for(
    instance: str, state: HostState, store: Store, shards: list[list[str]], policy: Policy, **over: Any
) -> PruneResult:
    return prune(PruneRequest([store], instance, {store.name: policy}, state, shards=shards, **over))


def test_members_that_took_turns(state: HostState) -> None:
    """Each run removes what carries its own name, whoever comes first; check mode tells the same."""
    known(state, "db2-6379")
    store = Shelf()
    one = shelf_of(NAME, store, [0, 1, 2, 6])
    two = shelf_of("db2-6379", store, [3, 4, 5, 7, 8])
    policy = Policy(last=3, minimum_verified=0)
    dry = [run_for(name, state, store, GROUP, policy, check_mode=True) for name in (NAME, "db2-6379")]
    assert [each.as_result()["removed"] for each in dry] == [one[:3], two[:3]]
    wet = [run_for(name, state, store, GROUP, policy) for name in ("db2-6379", NAME)]
    assert [each.as_result() for each in reversed(wet)] == [each.as_result() for each in dry]
    assert (store.names(FOLDER), store.names("db2-6379/backup")) == (one[3:], two[3:])
    assert not any(run_for(name, state, store, GROUP, policy).changed for name in (NAME, "db2-6379"))
    assert wet[0].repositories[0].kept.keys() == set(two[3:])


def test_a_suspect_of_another_member_holds_all(state: HostState) -> None:
    """A server that came up empty and is backed up for the first time: what others hold tells that it is."""
    store = Shelf()
    shelf_of(NAME, store, [0, 1, 2, 3])
    (bad,) = shelf_of("db2-6379", store, [4], keys={"total": 0, "expires": 0})
    found = run_for(NAME, state, store, GROUP, Policy(last=1)).as_result()
    assert found["removed"] == []
    blocked = found["repositories"][0]["blocked"]
    assert blocked.startswith(f"of db2-6379, {bad} is suspect and not acknowledged: it holds 0 keys")
    assert f" of {NAME} before it 100" in blocked


def cluster(store: Shelf, nights: list[tuple[int, ...]]) -> None:
    """Sets, of which each night has these shards."""
    names = (NAME, "db3-6379", "db4-6379")
    for name in names:
        write_identity(store, name, UUID)
    for night, numbers in enumerate(nights):
        for number in numbers:
            part = {"id": f"set-{night}", "shards": 3, "shard": f"s{number}", "slots": [list(THIRDS[number])]}
            put(store, T0 + night * DAY + number, instance=names[number], serial=night + 1, set=part)


def left(store: Shelf) -> list[int]:
    """How many backups each instance has."""
    return [len(store.names(f"{name}/backup")) for name in (NAME, "db3-6379", "db4-6379")]


@pytest.mark.parametrize("shards", [CLUSTER, []])
def test_sets_go_whole_and_those_that_are_not_go_first(state: HostState, shards: list[list[str]]) -> None:
    """Also where nobody says who belongs together: the parts of a set are searched for."""
    known(state, "db3-6379", "db4-6379")
    store = Shelf()
    cluster(store, [(0, 1, 2), (0, 1, 2), (0, 2), (0, 1, 2), (1,), (0, 1, 2)])
    policy = Policy(last=3, minimum_verified=0)
    dry = run_for("db3-6379", state, store, shards, policy, check_mode=True)
    assert len(dry.as_result()["removed"]) == 2
    for name in ("db4-6379", NAME, "db3-6379"):
        run_for(name, state, store, shards, policy)
    assert left(store) == [3, 3, 3]
    assert not any(run_for(name, state, store, shards, policy).changed for name in (NAME, "db3-6379", "db4-6379"))


def test_a_damaged_part_holds_its_set(state: HostState) -> None:
    """It may be mended from another copy: then the others are needed."""
    known(state, "db3-6379", "db4-6379")
    store = Shelf()
    cluster(store, [(0, 1, 2)] * 4)
    first = store.names("db3-6379/backup")[0]
    store.contents[f"db3-6379/backup/{first}/manifest.json"] += b"x"
    for name in (NAME, "db3-6379", "db4-6379"):
        found = run_for(name, state, store, CLUSTER, Policy(last=1, minimum_verified=0)).as_result()
        assert len(found["removed"]) == 2
        reason = found["kept"][0]["reasons"][0]
        assert reason.endswith("cannot be used") if name != "db3-6379" else reason.startswith("cannot be used")
    assert left(store) == [2, 2, 2]


def test_a_part_that_is_locked_holds_its_set(state: HostState) -> None:
    known(state, "db3-6379", "db4-6379")
    store = Shelf()
    cluster(store, [(0, 1, 2)] * 4)
    held = store.names("db3-6379/backup")[0]
    store.held[f"db3-6379/backup/{held}/dump.rdb.zst"] = "locked: it is under a legal hold"
    for name in (NAME, "db3-6379", "db4-6379"):
        run_for(name, state, store, CLUSTER, Policy(last=1, minimum_verified=0))
    assert left(store) == [2, 2, 2]


def test_a_repository_of_one_host_alone(state: HostState) -> None:
    """The other shards' backups lie elsewhere: no set is whole here, and the rules count what there is."""
    store = Shelf()
    cluster(store, [(0,)] * 6)
    found = run_for(NAME, state, store, CLUSTER, Policy(last=4, minimum_verified=0))
    assert len(found.as_result()["removed"]) == 2


def test_slots_that_were_moved_away_make_no_suspect(state: HostState) -> None:
    store = Shelf()
    write_identity(store, NAME, UUID)

    def store_part(night: int, last: int, keys: int) -> None:
        part = {"id": f"set-{night}", "shards": 1, "shard": "s", "slots": [[0, last]]}
        put(store, T0 + night * DAY, serial=night + 1, set=part, keys={"total": keys, "expires": 0})

    policy = Policy(last=1, minimum_verified=0)
    for night, (last, keys) in enumerate([(16383, 100), (16383, 100), (5460, 30)]):
        store_part(night, last, keys)
    assert not run_for(NAME, state, store, [], policy, check_mode=True).warnings
    store_part(3, 5460, 2)
    assert "is suspect" in run_for(NAME, state, store, [], policy, check_mode=True).warnings[0]


def test_the_archive_reaches_as_far_back_as_the_shard(state: HostState) -> None:
    """The primary ships its AOF while its replica is backed up; what stays as the newest of a name does not count."""
    known(state, "db2-6379")
    store = Shelf()
    (stale,) = shelf_of(NAME, store, [-90])
    shelf_of("db2-6379", store, [0, 1, 2, 3, 4])
    epochs = [f"202611{18 + day:02}T000000Z-{day + 1}-0000000{day}" for day in range(5)]
    store.contents.update(
        {f"{NAME}/archive/{epoch}/appendonly.aof.1.base.rdb/{0:016d}-last.zst": b"1234" for epoch in epochs}
    )
    dry = run_for(NAME, state, store, GROUP, Policy(last=2, minimum_verified=0), check_mode=True)
    found = run_for(NAME, state, store, GROUP, Policy(last=2, minimum_verified=0))
    assert dry.repositories[0].epochs == found.repositories[0].epochs == epochs[:3]
    assert found.repositories[0].kept == {stale: [f"the newest good one of {NAME}"]}
    assert store.names(f"{NAME}/archive") == epochs[3:]
    alone = run_for(NAME, state, store, [], Policy(last=2, minimum_verified=0), check_mode=True)
    assert alone.repositories[0].epochs == []
