# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Chosen keys out of a backup into a live server, which keeps all others: RDB, AOF and moments, on real servers."""

from __future__ import annotations

import calendar
import fnmatch
import os
import random
import signal
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.globalscope.redis_backup.plugins.module_utils._keys import backup_source

from support.archives import INSTANCE, Archived, with_aof
from support.clusters import make_cluster
from support.dataset import load_multiframe, raw, send
from support.killing import kill_after, watch
from support.machine import AgeKey, make_age_key
from support.modules import ModuleFailed, finish, run_module, start_module
from support.servers import BUILD_NAMES, Build, BuildMissing, RedisProcess, build_named
from support.shelf import Shelf
from support.sites import Site
from support.untouched import assert_told
from support.values import Values, differences, snapshot_values
from support.waiting import wait_for, wait_for_aof
from support.within import run_within

MakeServer = Callable[..., RedisProcess]
DRIVERS = "driver:*"
ENGINES = ("rdb", "aof")


def by_turns(first: int) -> Any:
    """Each version with one engine, both engines taken in turns; with --long each with each."""
    both = [(name, engine, (number + first) % 2) for number, name in enumerate(BUILD_NAMES) for engine in ENGINES]
    marks = [() if ENGINES[turn] == engine else pytest.mark.long for _name, engine, turn in both]
    each = [pytest.param(name, engine, marks=mark) for (name, engine, _turn), mark in zip(both, marks, strict=True)]
    return pytest.mark.parametrize(("name", "engine"), each)


def need(name: str) -> Build:
    try:
        return build_named(name)
    except BuildMissing as error:
        pytest.skip(str(error))


def knows_field_expiry(build: Build) -> bool:
    return build.version >= ((9,) if build.flavour == "valkey" else (7, 4))


def digest_of(server: RedisProcess) -> str:
    return str(run_within("redis_check", {**server.connection, "digest": True})["digest"])


def those(values: Values, *patterns: str) -> Values:
    """The keys that match."""
    names = {address: address[1].decode("latin-1") for address in values}
    return {k: v for k, v in values.items() if any(fnmatch.fnmatchcase(names[k], each) for each in patterns)}


def others(values: Values, *patterns: str) -> Values:
    chosen = those(values, *patterns)
    return {address: value for address, value in values.items() if address not in chosen}


class Case:
    """A shelf for backups, and imports out of it."""

    def __init__(self, root: Path, place: Path, key: AgeKey | None = None) -> None:
        (place / "shelf").mkdir()
        self.shelf = Shelf(place / "shelf", place / "state", key=key)
        self.work = root / "work"
        self.work.mkdir()

    def params(self, server: RedisProcess, **more: Any) -> dict[str, Any]:
        key = self.shelf.key
        wanted = self.shelf.of(
            server,
            repository=self.shelf.repository,
            patterns=[DRIVERS],
            work_dir=str(self.work),
            identities=[str(key.identity)] if key else [],
        )
        return {name: value for name, value in {**wanted, **more}.items() if value is not None}

    def imported(self, server: RedisProcess, *, check: bool = False, **more: Any) -> dict[str, Any]:
        done = run_within("redis_import", self.params(server, **more), check=check)
        self.left_nothing()
        return done

    def fails(self, server: RedisProcess, *needles: str, **more: Any) -> ModuleFailed:
        """The import fails, says so with all of `needles`, and has written nothing."""
        with server.client() as client:
            before = snapshot_values(client)
            with pytest.raises(ModuleFailed) as caught:
                run_within("redis_import", self.params(server, **more))
            assert_told(caught.value.msg, *needles)
            assert not differences(before, snapshot_values(client))
        self.left_nothing()
        return caught.value

    def left_nothing(self) -> None:
        assert list(self.work.iterdir()) == []


@pytest.fixture
def case(server_root: Path, tmp_path: Path) -> Case:
    return Case(server_root, tmp_path)


def lose_drivers(server: RedisProcess, others_too: bool = True) -> None:
    """Someone deletes the drivers; life goes on."""
    with server.client() as client:
        names = list(client.scan_iter(match=DRIVERS, count=1000))
        for start in range(0, len(names), 500):
            client.delete(*names[start : start + 500])
        if others_too:
            client.set("user:1", "somebody else now")
            client.delete("user:2")
            client.rpush("orders", "since", "then")


@by_turns(0)
def test_drivers_are_back(
    name: str, engine: str, make_server: MakeServer, server_root: Path, tmp_path: Path
) -> None:
    """Told beforehand, then exactly those, each as it was; everything else is as it is now."""
    build = need(name)
    case = Case(server_root, tmp_path, make_age_key(tmp_path / "identity"))
    server = make_server(build, conf=with_aof(build) if engine == "aof" else {})
    with server.client() as client:
        load_multiframe(client, 300, 150)
        wanted = snapshot_values(client)
        wait_for_aof(client)
        case.shelf.backup(server, engine=engine)
        lose_drivers(server)
        now = snapshot_values(client)
        assert not those(now, DRIVERS)
        plan = case.imported(server, check=True)
        assert (plan["changed"], plan["imported"], plan["skipped_count"]) == (True, 150, 0)
        assert not differences(now, snapshot_values(client))
        done = case.imported(server)
        assert (done["changed"], done["imported"], done["replaced"], done["skipped_count"]) == (True, 150, 0, 0)
        after = snapshot_values(client)
        assert not differences(those(wanted, DRIVERS), those(after, DRIVERS))
        assert not differences(now, others(after, DRIVERS))
        again = case.imported(server, on_conflict="skip")
        assert (again["changed"], again["imported"], again["skipped_count"]) == (False, 0, 150)


@by_turns(1)
def test_every_type(name: str, engine: str, make_server: MakeServer, case: Case) -> None:
    """All keys of all databases, binary names and values, streams with their groups, into another server."""
    build = need(name)
    source = make_server(build, conf=with_aof(build) if engine == "aof" else {})
    target = make_server(build)
    with source.client() as client, target.client() as other:
        load_multiframe(client, 20, 20)
        if knows_field_expiry(build):
            client.execute_command("HPEXPIRE", "driver:1", 3_600_000, "FIELDS", 1, "lat")
        portable = engine == "aof"  # an AOF does not hold when a consumer was seen
        wanted = snapshot_values(client, portable=portable)
        wait_for_aof(client)
        case.shelf.backup(source, engine=engine)
        done = case.imported(target, patterns=["*"])
        assert done["imported"] == len(wanted) and done["backup"]["form"] == "dump"
        assert not differences(wanted, snapshot_values(other, portable=portable))


def test_one_playbook_run(
    any_build: Build, make_server: MakeServer, tmp_path: Path, age_key: AgeKey, long: bool
) -> None:
    """Yesterday's backup, today's server: one run brings the drivers, and the digest of all others is the same."""
    site = Site(make_server(any_build), tmp_path, age_key)
    server = site.server
    with server.client() as client:
        load_multiframe(client, 100, 50)
        wanted = those(snapshot_values(client), DRIVERS)
        site.play("backup").ok()
        lose_drivers(server)
        now, digest = snapshot_values(client), digest_of(server)
        chosen = {"redis_restore_import_label": "latest", "redis_restore_import_patterns": [DRIVERS]}
        if long:
            plan = site.play("import", chosen, check=True).ok()
            assert plan.last("Import them")["imported"] == 50 and digest_of(server) == digest
        done = site.play("import", chosen).ok()
        assert done.last("Import them")["imported"] == 50 and done.changed == 1
        after = snapshot_values(client)
        assert not differences(wanted, those(after, DRIVERS))
        assert not differences(now, others(after, DRIVERS))
        lose_drivers(server, others_too=False)
        assert digest_of(server) == digest


OFTEN = [("redis-6.2", "valkey-9.1"), ("redis-8.2", "redis-6.2"), ("valkey-9.1", "redis-8.2")]


@pytest.mark.parametrize(
    ("made_by", "name"),
    [
        pytest.param(made_by, name, marks=() if (made_by, name) in OFTEN else pytest.mark.long)
        for made_by in BUILD_NAMES
        for name in BUILD_NAMES
        if name != made_by
    ],
)
def test_another_version(made_by: str, name: str, make_server: MakeServer, case: Case) -> None:
    """Into any version, by the program of the one that made the backup: typed where payloads would be refused."""
    made, build = need(made_by), need(name)
    source, target = make_server(made), make_server(build)
    taken = made_by == "redis-6.2" or (made_by == "redis-7.0" and name != "redis-6.2")
    with source.client() as client, target.client() as reader:
        load_multiframe(client, 20, 20)
        wanted = snapshot_values(client, portable=True)
        case.shelf.backup(source)
        done = case.imported(target, patterns=["*"], executable=str(made.executable))
        assert done["imported"] == len(wanted)
        assert done["backup"]["form"] == ("dump" if taken else "typed")
        assert not differences(wanted, snapshot_values(reader, portable=True))


def test_a_version_that_cannot_load_it(make_server: MakeServer, case: Case) -> None:
    """Refused before anything is fetched, with the ways around it."""
    source, target = make_server(need("redis-8.2")), make_server(need("redis-7.0"))
    with source.client() as client:
        client.set("driver:1", "x")
    case.shelf.backup(source)
    case.fails(target, "cannot be loaded by", "with executable", "convert: true", label="latest")


# --- time ---


class Expiring:
    """A server with keys that are past their time and were not removed, and its backup."""

    def __init__(self, build: Build, engine: str, make_server: MakeServer, case: Case) -> None:
        self.fields = knows_field_expiry(build)
        conf = with_aof(build) if engine == "aof" else {}
        if build.version >= (7,):
            conf = {**conf, "enable-debug-command": "yes"}
        self.source = make_server(build, conf=conf)
        with self.source.client() as client:
            reader = raw(client)
            reader.execute_command("DEBUG", "SET-ACTIVE-EXPIRE", "0")
            soon = [b"driver:\xff%d" % number for number in range(5)]
            for name in soon:
                client.set(name, "soon")
            client.hset("driver:hash", "a", "1")
            client.set("driver:stays", "1")
            client.set("session:1", "no driver")
            later = round(time.time() * 1000) + 3_600_000
            client.set("driver:later", "1")
            client.pexpireat("driver:later", later)
            if self.fields:
                client.hset("driver:fields", mapping={"soon": "1", "later": "2", "stays": "3"})
                client.execute_command("HPEXPIREAT", "driver:fields", later, "FIELDS", 1, "later")
                client.hset("driver:all", "soon", "1")
            self.wanted: dict[Any, Any] = dict(those(snapshot_values(client), DRIVERS))
            self.at = round(time.time() * 1000) + 1000
            commands: list[tuple[Any, ...]] = [
                ("PEXPIREAT", name, self.at + number) for number, name in enumerate([*soon, b"driver:hash"])
            ]
            for _command, name, at in commands:
                kind, value, _never = self.wanted[(0, name)]
                self.wanted[(0, name)] = (kind, value, at)
            commands.append(("PEXPIREAT", "session:1", self.at))
            if self.fields:
                for name in (b"driver:fields", b"driver:all"):
                    commands.append(("HPEXPIREAT", name, self.at, "FIELDS", 1, "soon"))
                    self.wanted[(0, name)][1][b"soon"] = (b"1", self.at)
            assert all(answer in (1, [1]) for answer in send(reader, commands)), "all while they are in the future"
            wait_for_aof(client)
        wait_for(lambda: time.time() * 1000 > self.at + 100, "keys to expire")
        self.label = str(case.shelf.backup(self.source, engine=engine)["label"])

    @property
    def hour_before(self) -> str:
        return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self.at // 1000 - 3600))


def without_times(values: Mapping[Any, Any]) -> dict[Any, Any]:
    def plain(value: Any) -> Any:
        return {k: v[0] if isinstance(v, tuple) else v for k, v in value.items()} if isinstance(value, dict) else value

    return {address: (kind, plain(value)) for address, (kind, value, _at) in values.items()}


@by_turns(0)
def test_ttl_policies(name: str, engine: str, make_server: MakeServer, case: Case) -> None:
    """What was past its time when the backup was made, and fields of hashes that were, under each policy."""
    build = need(name)
    expiring = Expiring(build, engine, make_server, case)
    target = make_server(build)
    for policy in (kept, shifted_by_hours, shifted_from_the_backup, persisted, dropped):
        policy(expiring, target, case)
        with target.client() as client:
            client.flushall()


def kept(expiring: Expiring, target: RedisProcess, case: Case) -> None:
    """What has expired stays gone, and is counted; the other times are those of then."""
    done = case.imported(target)
    with target.client() as client:
        found = snapshot_values(client)
    lasting = {(0, b"driver:stays"), (0, b"driver:later")} | ({(0, b"driver:fields")} if expiring.fields else set())
    assert set(found) == lasting
    later = (0, b"driver:later")
    assert not differences({later: found[later]}, {later: expiring.wanted[later]})
    if expiring.fields:
        fields = expiring.wanted[(0, b"driver:fields")][1]
        assert found[(0, b"driver:fields")][1] == {name: value for name, value in fields.items() if name != b"soon"}
    assert done["expired"] >= 6, done


def shifted_by_hours(expiring: Expiring, target: RedisProcess, case: Case) -> None:
    """The time that was left at a moment is left again, to the last key and field."""
    early = {"ttl_policy": "shift", "shift_from": expiring.hour_before}
    plan = case.imported(target, check=True, **early)
    assert plan["imported"] == len(expiring.wanted) and plan["expired"] == 0
    done = case.imported(target, **early)
    assert done["imported"] == len(expiring.wanted) and done["expired"] == 0
    with target.client() as client:
        found = snapshot_values(client)
    assert without_times(found) == without_times(expiring.wanted)
    shift = (found[(0, b"driver:later")][2] or 0) - expiring.wanted[(0, b"driver:later")][2]
    moved = {
        address: (kind, shifted(value, shift), at and at + shift)
        for address, (kind, value, at) in expiring.wanted.items()
    }
    assert not differences(without_fields(moved), without_fields(found))
    assert fields_of(found) == fields_of(moved)


def shifted_from_the_backup(expiring: Expiring, target: RedisProcess, case: Case) -> None:
    """Where nothing else is said, the backup's own moment is that moment."""
    before = time.time()
    done = case.imported(target, ttl_policy="shift")
    with target.client() as client:
        at = snapshot_values(client)[(0, b"driver:later")][2] or 0
    moment = calendar.timegm(time.strptime(done["backup"]["time"], "%Y-%m-%dT%H:%M:%SZ"))
    assert before - moment - 1 <= (at - expiring.wanted[(0, b"driver:later")][2]) / 1000 <= time.time() - moment + 1


def shifted(value: Any, shift: int) -> Any:
    """A value with the times of its fields moved."""
    if not isinstance(value, dict):
        return value
    return {name: (each[0], each[1] + shift) if isinstance(each, tuple) else each for name, each in value.items()}


def fields_of(values: Mapping[Any, Any]) -> dict[Any, Any]:
    return {address: value for address, (kind, value, _at) in values.items() if kind == "hash"}


def without_fields(values: Mapping[Any, Any]) -> dict[Any, Any]:
    return {address: entry for address, entry in values.items() if address not in fields_of(values)}


def persisted(expiring: Expiring, target: RedisProcess, case: Case) -> None:
    """Every value that was there, without a time."""
    done = case.imported(target, ttl_policy="persist")
    assert done["imported"] == len(expiring.wanted)
    with target.client() as client:
        found = snapshot_values(client)
    assert without_times(found) == without_times(expiring.wanted)
    assert all(at is None for _kind, _value, at in found.values())


def dropped(expiring: Expiring, target: RedisProcess, case: Case) -> None:
    """Only what had no time."""
    case.imported(target, ttl_policy="drop")
    with target.client() as client:
        names = set(snapshot_values(client))
    assert names == {(0, b"driver:stays")} | ({(0, b"driver:fields")} if expiring.fields else set())


# --- moments ---


def archived_case(build: Build, make_server: MakeServer, case: Case, place: Path) -> Archived:
    return Archived(make_server(build, conf=with_aof(build)), place)


def test_before_they_were_deleted(layout: Build, make_server: MakeServer, case: Case, tmp_path: Path) -> None:
    """Out of the archive of the AOF: to a second, and to the write before a command."""
    archived = archived_case(layout, make_server, case, tmp_path)
    server = archived.server
    where = {"instance": INSTANCE, "repository": {"name": "test", "path": str(archived.repository)}}
    with server.client() as client:
        client.set("user:1", "early")
        archived.all()
        send(raw(client), [("HSET", f"driver:{n}", "name", f"Driver {n}") for n in range(100)])
        wait_for_aof(client)
        wanted = snapshot_values(client)
        archived.all()
        second = int(client.time()[0])
        wait_for(lambda: client.time()[0] > second + 3, "some seconds")
        lose_drivers(server)
        wait_for_aof(client)
        gone = int(client.time()[0])
        wait_for(lambda: client.time()[0] > gone + 3, "another second")
        client.set("beyond", "1")
        wait_for_aof(client)
        now = snapshot_values(client)
        archived.all()
        moments: list[Mapping[str, str]] = [
            {"at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(second + 1))},
            {"before_command": f"DEL {DRIVERS}"},
        ]
        for moment in moments:
            plan = case.imported(server, check=True, **where, **moment)
            assert (plan["imported"], plan["changed"]) == (100, True), plan
            assert not differences(now, snapshot_values(client))
            done = case.imported(server, **where, **moment)
            assert done["imported"] == 100 and done["backup"]["label"].endswith("Z")
            after = snapshot_values(client)
            assert not differences(those(wanted, DRIVERS), those(after, DRIVERS))
            assert not differences(now, others(after, DRIVERS))
            client.delete(*(key for _db, key in those(after, DRIVERS)))
        case.fails(server, "no key in", DRIVERS, at="latest", **where)
        case.fails(server, "cannot give", "covered are", at="2020-01-01T00:00:00Z", **where)


def test_a_backup_of_the_aof_at_a_second(make_server: MakeServer, case: Case) -> None:
    """Where nothing is archived, a backup of the AOF with timestamps gives the second; without, the backup before."""
    build = need("redis-7.0")
    server = make_server(build, conf=with_aof(build))
    with server.client() as client:
        client.set("driver:1", "first")
        wait_for_aof(client)
        second = int(client.time()[0])
        wait_for(lambda: client.time()[0] > second + 2, "the next second")
        client.set("driver:1", "second")
        wait_for_aof(client)
        case.shelf.backup(server, engine="aof")
        client.delete("driver:1")
        at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(second + 1))
        case.imported(server, at=at)
        assert client.get("driver:1") == b"first"
    plain = make_server(build)
    with plain.client() as client:
        client.set("driver:2", "rdb")
        case.shelf.instance = "plain"
        label = case.shelf.backup(plain)["label"]
        client.flushall()
        done = case.imported(plain, at=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 1)))
        assert done["backup"]["label"] == label and client.get("driver:2") == b"rdb"


# --- choices ---


def test_conflicts_names_and_databases(any_build: Build, make_server: MakeServer, case: Case) -> None:
    """By default none is written where one exists; skip and replace; another prefix, another database, one database."""
    server = make_server(any_build)
    with server.client() as client:
        send(raw(client), [("SET", f"driver:{n}", "backup") for n in range(10)])
        raw(client, 1).execute_command("SET", "driver:0", "other database")
        case.shelf.backup(server)
        client.set("driver:3", "live")
        client.delete("driver:4", "driver:5")
        case.fails(server, "cannot be imported", "exists")
        plan = case.imported(server, on_conflict="skip", check=True)
        assert (plan["imported"], plan["skipped_count"]) == (2, 9)
        plan = case.imported(server, on_conflict="replace", check=True)
        assert (plan["imported"], plan["replaced"]) == (11, 9)
        done = case.imported(server, on_conflict="skip")
        assert (done["imported"], done["skipped_count"]) == (2, 9) and client.get("driver:3") == b"live"
        done = case.imported(server, on_conflict="replace")
        assert done["imported"] == 11 and client.get("driver:3") == b"backup"
        done = case.imported(server, rename={"from": "driver:", "to": "then:"}, into_db=3, db=[0])
        assert done["imported"] == 10 and raw(client, 3).execute_command("DBSIZE") == 10
        done = case.imported(server, patterns=[DRIVERS, "user:*"], allow_unmatched=True, on_conflict="skip")
        assert done["skipped_count"] == 11


def test_clusters(any_build: Build, make_server: MakeServer, case: Case) -> None:
    """A single server's backup into a cluster, each key to its node; a node's backup into a single server."""
    single = make_server(any_build)
    nodes = make_cluster(make_server, any_build)
    with single.client() as client:
        load_multiframe(client, 50, 100, types=False)
        wanted = snapshot_values(client)
        case.shelf.backup(single)
        assert case.imported(nodes[0], patterns=["*"])["imported"] == len(wanted)
        found: Values = {}
        for node in nodes:
            with node.client() as other:
                found = {**found, **snapshot_values(other)}
        assert not differences(wanted, found)
        case.shelf.instance = "node"
        case.shelf.backup(nodes[1])
        with nodes[1].client() as other:
            theirs = snapshot_values(other)
        client.flushall()
        case.imported(single)
        assert not differences(those(theirs, DRIVERS), snapshot_values(client))


def test_large_values(
    any_build: Build, make_server: MakeServer, case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is too long for one argument comes in parts; its name is no pattern."""
    monkeypatch.setattr(backup_source, "_LONGEST_PAYLOAD", 1024 * 1024)
    server = make_server(any_build)
    with server.client() as client:
        chance = random.Random(4)
        for _each in range(10):
            client.rpush(rb"driver:*[\]?", chance.randbytes(1024 * 1024))
        client.set("driver:small", "1")
        wanted = snapshot_values(client)
        case.shelf.backup(server)
        client.flushall()
        assert case.imported(server)["imported"] == 2
        assert not differences(wanted, snapshot_values(client))


# --- what is refused ---


def test_refused(any_build: Build, make_server: MakeServer, case: Case, tmp_path: Path) -> None:
    """Each in a paragraph, with nothing written and nothing left behind."""
    server = make_server(any_build)
    case.fails(server, "holds no usable backup")
    with server.client() as client:
        load_multiframe(client, 20, 20, types=False)
        label = case.shelf.backup(server)["label"]
        lose_drivers(server)
        case.fails(server, "holds no backup 20200101T000000Z_rdb", label="20200101T000000Z_rdb")
        case.fails(server, "patterns", patterns=[])
        case.fails(server, "no key in", "nobody:*", patterns=[DRIVERS, "nobody:*"])
        case.fails(server, "memory_limit_mb allows", memory_limit_mb=1)
        case.fails(server, "is no directory", work_dir=str(tmp_path / "none"))
        case.fails(server, "exclude each other", label=label, at="2026-01-01T00:00:00Z")
        case.fails(server, "holds no usable backup", at="2020-01-01T00:00:00Z")
        case.fails(server, "DEL", before_command="DEL driver:*")
        (path,) = case.shelf.folder(label).glob("dump.rdb*")
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
        case.fails(server, label, label=label)
        path.unlink()
        case.fails(server, label, label=label)


def test_too_little_room(
    any_build: Build, make_server: MakeServer, case: Case, small_tmpfs: Callable[[str], Path]
) -> None:
    """Refused before anything is fetched."""
    server = make_server(any_build)
    with server.client() as client:
        client.set("driver:1", "x")
    case.shelf.backup(server)
    small = small_tmpfs("2M")
    case.fails(server, "a throw-away server needs", "work_dir", work_dir=str(small))
    assert not list(small.iterdir())


def test_a_wrong_identity(any_build: Build, make_server: MakeServer, server_root: Path, tmp_path: Path) -> None:
    """None, or another one: told, and nothing is written."""
    case = Case(server_root, tmp_path, make_age_key(tmp_path / "identity"))
    server = make_server(any_build)
    with server.client() as client:
        client.set("driver:1", "x")
        case.shelf.backup(server)
        client.flushall()
    other = make_age_key(tmp_path / "other")
    case.fails(server, "is encrypted and no identity is given", identities=[])
    case.fails(server, "identit", identities=[str(other.identity)])
    assert case.imported(server)["imported"] == 1


# --- killed ---


def test_killed_at_any_time(any_build: Build, make_server: MakeServer, case: Case, long: bool) -> None:
    """The next run, whenever the first one was killed, brings the very same, and nothing is left of either."""
    server = make_server(any_build)
    times = 40 if long else 3
    with server.client() as client:
        load_multiframe(client, 50, 3000)
        wanted = snapshot_values(client)
        case.shelf.backup(server)
        lose_drivers(server)
        now = snapshot_values(client)
        params = case.params(server)
        roots = [case.work, case.shelf.state_dir]
        seconds = watch("redis_import", params, roots).seconds
        assert not differences(those(wanted, DRIVERS), those(snapshot_values(client), DRIVERS))
        for number in range(times):
            lose_drivers(server, others_too=False)
            kill_after("redis_import", params, roots, seconds * (number + 0.5) / times)
            reached = len(those(snapshot_values(client), DRIVERS))
            try:
                done = run_module("redis_import", params)
            except ModuleFailed as failure:
                # It had ended: all are there, and exist.
                assert reached == 3000 and "exists" in failure.msg, failure.msg
            else:
                assert done["imported"] + done["skipped_count"] >= 3000 - reached
            case.left_nothing()
            assert not list(Path(case.shelf.state_dir, "imports").glob("*")), "no journal is left"
            after = snapshot_values(client)
            assert not differences(those(wanted, DRIVERS), those(after, DRIVERS))
            assert not differences(now, others(after, DRIVERS)), "and no key with a name of ours"
    assert not [name for name in os.listdir("/proc") if name.isdigit() and is_ours(name, str(case.work))]


def test_the_throwaway_server_dies(any_build: Build, make_server: MakeServer, case: Case) -> None:
    """Told as what it is, with how far it came; the next run brings the rest."""
    server = make_server(any_build)
    with server.client() as client:
        load_multiframe(client, 20, 3000, types=False)
        wanted = snapshot_values(client)
        case.shelf.backup(server)
        lose_drivers(server, others_too=False)
        process = start_module("redis_import", case.params(server, keys_per_second=500))

        def under_way() -> list[int]:
            there = client.dbsize() > 200
            return [int(pid) for pid in os.listdir("/proc") if there and pid.isdigit() and is_ours(pid, str(case.work))]

        for pid in wait_for(under_way, "keys to come"):
            os.kill(pid, signal.SIGKILL)
        with pytest.raises(ModuleFailed) as caught:
            finish(process)
        assert_told(caught.value.msg, "the throw-away server for", "ended by itself", "not touched")
        case.left_nothing()
        reached = client.dbsize()
        assert reached < len(wanted)
        done = case.imported(server)
        assert done["resumed"] and done["imported"] == 3000
        assert not differences(wanted, snapshot_values(client))


def is_ours(pid: str, work: str) -> bool:
    """Whether a process is a throw-away server of this test."""
    try:
        return work in Path("/proc", pid, "cmdline").read_text() and work in os.readlink(f"/proc/{pid}/cwd")
    except OSError:
        return False
