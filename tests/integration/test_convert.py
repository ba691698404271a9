# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Backups of each version restored into each other: equal contents, or a refusal that names the reason and the keys."""

from __future__ import annotations

import random
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import redis

from support.dataset import raw, send
from support.killing import Work, kill_after, watch
from support.machine import AgeKey
from support.migration import (
    Source,
    Sources,
    all_pairs,
    at_work,
    bring_over,
    compare,
    expected,
    guide_table,
    knows_field_ttls,
    reseal,
)
from support.restores import (
    WORKSPACE,
    Restore,
    assert_serves_for_good,
    back_up,
    data_tree,
    fill_with_old_data,
    refused,
)
from support.servers import Build, BuildMissing, RedisProcess, build_named
from support.values import differences, snapshot_server, snapshot_values
from support.waiting import wait_for

MakeServer = Callable[..., RedisProcess]
NOBODY = 65534
SEED = 20261123


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Sources:
    return Sources(tmp_path_factory.mktemp("sources"))


def need(name: str) -> Build:
    """The build of that name, or a skipped test."""
    try:
        return build_named(name)
    except BuildMissing as error:
        pytest.skip(str(error))


def donate(make_server: MakeServer, name: str, place: Path, commands: Sequence[tuple[Any, ...]]) -> Source:
    """A backup of a server of that build that holds what the commands write."""
    donor = make_server(need(name))
    send(raw(donor.client()), commands)
    backup = back_up(donor, place, values={})
    return Source(donor.build, backup, snapshot_server(donor.client())["functions"])


def converting(target: RedisProcess, source: Source, **params: Any) -> Restore:
    """A restore that may convert, by the program of the source."""
    return Restore(target, source.backup, convert=True, convert_executable=str(source.build.executable), **params)


def activate(restore: Restore) -> redis.Redis:
    """Put what is staged in place, and start the server."""
    restore.server.stop()
    restore.step("active")
    restore.server.start()
    return restore.server.client()


@pytest.mark.parametrize(("source", "target"), all_pairs())
def test_each_into_each(sources: Sources, make_server: MakeServer, source: str, target: str) -> None:
    """The guide's table tells how it goes, and the contents are equal."""
    build = need(target)
    need(source)
    made = sources.of(source)
    server = make_server(build, conf={"appendonly": "yes"})
    way, restore, result = bring_over(made, server)
    activate(restore)
    found = compare(
        made, server, field_ttls=knows_field_ttls(build), functions=build.version >= (7, 0) and bool(made.functions)
    )
    assert not found, found
    assert bool(result["restore"]["converted"]) is way.startswith("converted")
    assert guide_table()[(source, target)] == way


def test_the_guide_has_every_cell() -> None:
    assert sorted(guide_table()) == sorted(all_pairs())


@pytest.mark.parametrize("name", ["redis-6.2", pytest.param("redis-7.0", marks=pytest.mark.long)])
@pytest.mark.parametrize("appendonly", ["no", pytest.param("yes", marks=pytest.mark.long)])
def test_a_converted_restore_lasts(sources: Sources, make_server: MakeServer, name: str, appendonly: str) -> None:
    """As another user, by dump file or AOF, over restarts, saves and rewrites; and it can be undone."""
    need("valkey-9.1")
    made = sources.of("valkey-9.1")
    server = make_server(need(name), conf={"appendonly": appendonly, "save": "3600 1"}, user=NOBODY)
    fill_with_old_data(server.client())
    restore = converting(server, made, convert_drop=["functions", "hash_field_ttls"])
    restore.step("staged")
    assert restore.step("staged")["changed"] is False
    server.stop()
    before = data_tree(server)
    restore.step("active")
    server.start()
    assert not compare(made, server, field_ttls=False, functions=server.build.version >= (7, 0))
    server.stop()
    restore.step("rolled_back")
    assert data_tree(server) == before
    restore.step("staged")
    restore.step("active")
    owned = {(entry[1], entry[0] & 0o077) for entry in data_tree(server).values()}
    assert {uid for uid, _mode in owned} == {NOBODY}
    restored = expected(made.backup.values, field_ttls=False)
    server.start()
    server.stop()
    assert_serves_for_good(server, {key: entry for key, entry in _whole(server).items() if key in restored})


def _whole(server: RedisProcess) -> Any:
    server.start()
    found = snapshot_values(server.client())
    server.stop()
    return found


def test_what_loads_is_not_converted(sources: Sources, make_server: MakeServer) -> None:
    need("redis-7.0")
    server = make_server(need("redis-8.2"))
    restore = Restore(server, sources.of("redis-7.0").backup, convert=True, convert_executable="/nowhere")
    assert restore.step("staged")["restore"]["converted"] == ""


def test_check_mode_tells(sources: Sources, make_server: MakeServer) -> None:
    need("valkey-9.1")
    server = make_server(need("redis-7.0"))
    restore = converting(server, sources.of("valkey-9.1"), convert_drop=["hash_field_ttls"])
    before = data_tree(server)
    result = restore.step("staged", check=True)
    words = " ".join(result["actions"])
    assert result["changed"] is True
    assert "would convert it, because Redis 7.0.15 does not know the VALKEY format" in words
    assert "by Valkey 9.1" in words
    assert data_tree(server) == before
    assert not (server.data_dir / WORKSPACE).exists()
    with pytest.raises(AssertionError, match=r"would lose the expiry of fields of [23] hashes.*hash_field_ttls"):
        restore.step("staged", check=True, convert_drop=[])


def test_keys_that_expire_meanwhile(make_server: MakeServer, tmp_path: Path) -> None:
    """Times of expiry all through the conversion: neither a false alarm, nor a key too many or too few."""
    now = int(time.time() * 1000)
    commands: list[tuple[Any, ...]] = []
    for n in range(600):
        at = now + 300 + n * 20
        commands += [("SET", f"k{n}", n), ("PEXPIREAT", f"k{n}", at)]
        commands += [("HSET", f"h{n}", "stays", n, "ends", n), ("HPEXPIREAT", f"h{n}", at, "FIELDS", 1, "ends")]
    source = donate(make_server, "redis-8.2", tmp_path, commands)
    for name, drop in (("valkey-9.1", []), ("redis-6.2", ["hash_field_ttls"])):
        server = make_server(need(name), conf={"appendonly": "yes"})
        restore = converting(server, source, convert_drop=drop)
        result = restore.step("staged")
        assert result["restore"]["keys"] == source.backup.made["keys"] > 1100
        client = activate(restore)
        wait_for(lambda: time.time() * 1000 > now + 300 + 600 * 20, "all to expire", timeout=30)
        found = snapshot_values(client)
        assert {key for _db, key in found} == {f"h{n}".encode() for n in range(600)}
        left = {frozenset(value) for _kind, value, _at in found.values()}
        assert left <= ({frozenset({b"stays"}), frozenset({b"stays", b"ends"})} if drop else {frozenset({b"stays"})})


def test_hashes_whose_fields_have_all_expired(make_server: MakeServer, tmp_path: Path) -> None:
    now = int(time.time() * 1000)
    commands = [("HSET", "gone", "a", "1"), ("HPEXPIREAT", "gone", now + 300, "FIELDS", 1, "a"), ("SET", "stays", "1")]
    source = donate(make_server, "valkey-9.1", tmp_path, commands)
    wait_for(lambda: time.time() * 1000 > now + 300, "the field to expire")
    server = make_server(need("redis-7.0"))
    restore = converting(server, source)
    assert restore.step("staged")["restore"]["keys"] == 1  # no field is left that would have to be dropped
    assert snapshot_values(activate(restore)) == {(0, b"stays"): ("string", b"1", None)}


def test_pending_entries_of_deleted_messages(make_server: MakeServer, tmp_path: Path) -> None:
    """No AOF of commands carries them: they are left out, and said to be."""
    commands: list[tuple[Any, ...]] = [("XADD", "jobs", f"{n}-0", "a", "b") for n in range(1, 6)]
    commands += [
        ("XGROUP", "CREATE", "jobs", "workers", "0"),
        ("XREADGROUP", "GROUP", "workers", "ann", "STREAMS", "jobs", ">"),
        ("XDEL", "jobs", "2-0", "3-0"),
    ]
    source = donate(make_server, "redis-8.2", tmp_path, commands)
    for name in ("valkey-9.1", "redis-6.2"):
        server = make_server(need(name))
        restore = converting(server, source)
        assert "deleted, in the streams jobs" in str(restore.step("staged")["actions"])
        client = raw(activate(restore))
        pending = [entry[0] for entry in client.execute_command("XPENDING", "jobs", "workers", "-", "+", 10)]
        assert [entry for entry in pending if entry not in (b"2-0", b"3-0")] == [b"1-0", b"4-0", b"5-0"]


def test_keys_of_modules_are_named(make_server: MakeServer, tmp_path: Path) -> None:
    commands: list[tuple[Any, ...]] = [("VADD", f"vectors:{n}", "VALUES", 2, 1, n, "one") for n in range(25)]
    source = donate(make_server, "redis-8.2", tmp_path, [*commands, ("SET", "a", "b")])
    restore = converting(make_server(need("valkey-9.1")), source)
    message = refused_conversion(restore, "25 of type vectorset")
    assert message.count("vectors:") == 20
    assert "and 5 more" in message


def refused_conversion(restore: Restore, words: str, **params: Any) -> str:
    """A conversion fails with these words, and leaves the data, no remains and no process."""
    before = data_tree(restore.server)
    with pytest.raises(AssertionError, match=words) as failure:
        restore.step("staged", **params)
    assert data_tree(restore.server) == before
    workspace = restore.server.data_dir / WORKSPACE
    assert sorted(path.name for path in workspace.glob("*")) in ([], ["lock"])
    assert not at_work(workspace)
    assert "live data was not touched" in str(failure.value)
    assert restore.server.client().ping()
    return str(failure.value)


def test_losses_are_named(sources: Sources, make_server: MakeServer) -> None:
    need("redis-8.2")
    server = make_server(need("redis-6.2"))
    restore = converting(server, sources.of("redis-8.2"))
    assert "ttl:large" in refused_conversion(restore, "fields of 2 hashes expire")
    message = refused_conversion(restore, "2 of its libraries of functions", convert_drop=["hash_field_ttls"])
    assert "multiframe, second" in message
    assert "convert_drop: [functions]" in message


def test_functions_that_only_one_flavour_has(make_server: MakeServer, tmp_path: Path) -> None:
    code = "#!lua name=ours\nserver.register_function('f', function(keys, args) return 1 end)\n"
    good = "#!lua name=good\nredis.register_function('g', function(keys, args) return 1 end)\n"
    source = donate(make_server, "valkey-9.1", tmp_path, [("FUNCTION", "LOAD", code), ("FUNCTION", "LOAD", good)])
    server = make_server(need("redis-8.2"))
    restore = converting(server, source)
    refused_conversion(restore, r"1 of its libraries of functions: ours \(.*server")
    result = restore.step("staged", convert_drop=["functions"])
    assert "dropped 1 libraries of functions: ours" in str(result["actions"])
    assert sorted(snapshot_server(activate(restore))["functions"]) == ["good"]


def test_programs_that_do_not_serve(sources: Sources, make_server: MakeServer) -> None:
    """Missing, no server, of the wrong flavour, too old; and none at all on PATH."""
    need("valkey-9.1")
    server = make_server(need("redis-7.0"))
    source = sources.of("valkey-9.1")
    restore = Restore(server, source.backup, convert=True, convert_drop=["hash_field_ttls"])
    refused(restore, "staged", "convert_executable /nowhere/server is no program", convert_executable="/nowhere/server")
    refused(restore, "staged", "convert_executable /etc/passwd is no program", convert_executable="/etc/passwd")
    refused(restore, "staged", "is no Redis or Valkey server", convert_executable="/bin/true")
    wrong = str(need("redis-8.2").executable)
    refused(restore, "staged", "Redis 8.2.3 does not know the VALKEY format", convert_executable=wrong)
    message = refused(restore, "staged", "there is none on this host")
    looked = message.partition("there is none on this host")[2].partition(".")[0]  # at what is on PATH, if anything
    assert "/redis-server: Redis 7.0" in message or not looked
    assert "convert_executable" in message
    refused(restore, "staged", "let it be rewritten for this one with convert: true", convert=False)


def test_too_little_memory(sources: Sources, make_server: MakeServer, tmp_path: Path) -> None:
    need("valkey-9.1")
    source = sources.of("valkey-9.1")
    huge = reseal(source.backup, tmp_path, lambda said: said["server"].update(used_memory_bytes=1 << 50))
    server = make_server(need("redis-7.0"))
    refused(converting(server, Source(source.build, huge, {})), "staged", "bytes of memory left")


def test_too_little_room(
    sources: Sources, make_server: MakeServer, tmp_path: Path, small_tmpfs: Callable[[str], Path]
) -> None:
    """Told before a byte moves where the manifest tells enough; else when the disk is full, and nothing remains."""
    need("valkey-9.1")
    source = sources.of("valkey-9.1")
    big = reseal(source.backup, tmp_path, lambda said: said["server"].update(used_memory_bytes=64 << 20))
    server = make_server(need("redis-7.0"), start=False)
    shutil.rmtree(server.data_dir)
    server.data_dir.symlink_to(small_tmpfs("24M"))
    server.start()
    message = refused(converting(server, Source(source.build, big, {})), "staged", "bytes left, staging needs")
    assert int(message.partition("staging needs ")[2].split()[0]) > 128 << 20


def test_databases_out_of_reach(sources: Sources, make_server: MakeServer) -> None:
    need("valkey-9.1")
    server = make_server(need("redis-7.0"), conf={"databases": "4"})
    message = refused(converting(server, sources.of("valkey-9.1")), "staged", "keys in database 9, it has 4 databases")
    assert "convert: true" not in message
    source = sources.of("redis-7.0")
    refused(Restore(server, source.backup), "staged", "keys in database 9, it has 4 databases")


def test_old_manifests_tell_less(sources: Sources, make_server: MakeServer, tmp_path: Path) -> None:
    """A manifest of an earlier version counts neither functions nor fields that expire: they are found all the same."""
    need("redis-8.2")
    source = sources.of("redis-8.2")

    def older(said: dict[str, Any]) -> None:
        del said["server"]["functions"], said["keys"]["field_ttls"]

    untold = Source(source.build, reseal(source.backup, tmp_path, older), {})
    restore = converting(make_server(need("redis-6.2")), untold)
    assert restore.step("staged", check=True)["changed"] is True
    refused_conversion(restore, "fields of 2 hashes expire")


def test_damaged_backups(sources: Sources, make_server: MakeServer, tmp_path: Path) -> None:
    need("valkey-9.1")
    source = sources.of("valkey-9.1")
    server = make_server(need("redis-8.2"))
    damaged = reseal(source.backup, tmp_path, lambda said: None)
    path = damaged.folder / "dump.rdb.zst"
    good = path.read_bytes()
    for bad in (good[:-1], good[: len(good) // 2], b"", bytes([*good[:99], good[99] ^ 1, *good[100:]])):
        path.write_bytes(bad)
        refused_conversion(converting(server, Source(source.build, damaged, {})), "is damaged")


def test_encrypted_backups(make_server: MakeServer, tmp_path: Path, age_key: AgeKey) -> None:
    donor = make_server(need("valkey-9.1"))
    send(raw(donor.client()), [("SET", f"k{n}", n) for n in range(100)])
    backup = back_up(donor, tmp_path, encryption={"recipients": [age_key.recipient]})
    server = make_server(need("redis-7.0"))
    restore = converting(server, Source(donor.build, backup, {}), identities=[str(age_key.identity)])
    refused(restore, "staged", "no identity is given", identities=[])
    restore.step("staged")
    assert not differences(backup.values, snapshot_values(activate(restore)))


@pytest.fixture(scope="module")
def work(sources: Sources, tmp_path_factory: pytest.TempPathFactory) -> Work:
    """What a conversion does to files, and how long that takes."""
    need("valkey-9.1")
    server = RedisProcess(need("redis-8.2"), tmp_path_factory.mktemp("watched") / "server").start()
    try:
        restore = converting(server, sources.of("valkey-9.1"))
        return watch("redis_restore", restore.request("staged"), [server.directory])
    finally:
        server.destroy()


def test_killed_in_the_middle(
    sources: Sources, make_server: MakeServer, work: Work, long: bool
) -> None:
    """Only staging remains are left, the next run removes them; the servers end with the task that was killed."""
    source = sources.of("valkey-9.1")
    server = make_server(need("redis-8.2"), conf={"appendonly": "yes"}, user=NOBODY)
    old = fill_with_old_data(server.client())
    tree = data_tree(server)
    restore = converting(server, source)
    workspace = server.data_dir / WORKSPACE
    chance = random.Random(SEED)
    count = 30 if long else 5
    for number in range(count):
        seconds = work.seconds * (number + chance.random()) / count
        kill_after("redis_restore", restore.request("staged"), [server.directory], seconds, group=bool(number % 2))
        wait_for(lambda: not at_work(workspace), f"the servers to end, killed after {seconds:.3f} s", timeout=10)
        assert data_tree(server) == tree
        assert not differences(old, snapshot_values(server.client()))
        result = restore.step("staged")["restore"]
        assert result["state"] == "staged"
        left = sorted(str(path.relative_to(workspace)) for path in workspace.glob("*/*"))
        assert left == [f"{result['id']}/{name}" for name in ("journal.json", "server", "staged")], f"{seconds:.3f} s"
        restore.step("rolled_back")
        shutil.rmtree(workspace / result["id"])
    restore.step("staged")
    activate(restore)
    assert not compare(source, server)
