# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""redis_import: what happens in the middle, and SIGKILL; then the same again."""

from __future__ import annotations

import binascii
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from support.clusters import give_slots, make_cluster
from support.imported import (
    LATER,
    MANY,
    MakeServer,
    assert_whole,
    line,
    options,
    server_with_keys,
    strings,
    write,
)
from support.modules import ModuleFailed, finish, run_module, start_module
from support.servers import Build, RedisProcess
from support.untouched import assert_told, refused
from support.values import differences, snapshot_values
from support.waiting import wait_for


@pytest.fixture
def server(any_build: Build, make_server: MakeServer) -> RedisProcess:
    return server_with_keys(any_build, make_server)


@pytest.fixture
def params(server: RedisProcess, tmp_path: Path) -> dict[str, Any]:
    return options(server, tmp_path)


@pytest.fixture
def slow(params: dict[str, Any]) -> dict[str, Any]:
    """An import that takes some seconds."""
    write(params, "".join(line(f"user:{n}", "hash", {"n": str(n)}) for n in range(MANY)))
    return {**params, "keys_per_second": 12000}


# --- in the middle ---


def while_importing(params: dict[str, Any], server: RedisProcess, act: Callable[[], object]) -> ModuleFailed:
    """Start a slow import of many keys, do something once it has begun, and return its failure."""
    before = server.client().dbsize()
    process = start_module("redis_import", params)
    wait_for(lambda: server.client().dbsize() > before + 1000, "the first keys")
    act()
    with pytest.raises(ModuleFailed) as caught:
        finish(process, "redis_import")
    assert_told(caught.value.msg, "run the same again")
    return caught.value


def test_a_failover_in_the_middle(server: RedisProcess, slow: dict[str, Any]) -> None:
    failure = while_importing(slow, server, lambda: server.client().replicaof("127.0.0.1", 1))
    assert_told(failure.msg, "READONLY", "new primary")
    server.client().replicaof("NO", "ONE")
    assert run_module("redis_import", slow)["imported"] == MANY
    assert_whole(server)


def test_a_connection_lost_in_the_middle(server: RedisProcess, slow: dict[str, Any]) -> None:
    def cut() -> None:
        server.client().client_kill_filter(_type="normal", skipme=True)

    failure = while_importing(slow, server, cut)
    assert_told(failure.msg, "did not answer")
    done = run_module("redis_import", {**slow, "keys_per_second": None})
    assert (done["imported"], done["resumed"]) == (MANY, True)
    assert_whole(server)


def test_a_server_killed_in_the_middle(server: RedisProcess, slow: dict[str, Any]) -> None:
    """What it confirmed is lost with it: all of it is written again."""
    while_importing(slow, server, server.kill)
    server.start()
    assert server.client().dbsize() == 0
    done = run_module("redis_import", {**slow, "keys_per_second": None})
    assert (done["imported"], done["resumed"]) == (MANY, True)
    assert_whole(server, 0)


def test_one_import_at_a_time(server: RedisProcess, slow: dict[str, Any]) -> None:
    process = start_module("redis_import", slow)
    wait_for(lambda: server.client().dbsize() > 100, "the first keys")
    refused("redis_import", {**slow, "keys_per_second": None}, "another run is importing")
    assert finish(process)["imported"] == MANY
    assert_whole(server)


def test_a_key_that_appears_meanwhile(server: RedisProcess, slow: dict[str, Any]) -> None:
    process = start_module("redis_import", slow)
    wait_for(lambda: server.client().dbsize() > 100, "the first keys")
    client = server.client()
    client.set(f"user:{MANY - 1}", "an application's")
    with pytest.raises(ModuleFailed) as caught:
        finish(process)
    assert_told(caught.value.msg, f"line {MANY}", "with another value")
    assert caught.value.result["imported"] == MANY - 1
    assert client.get(f"user:{MANY - 1}") == b"an application's"
    # The same again: what is there is known, and the one is still in the way.
    failure = refused("redis_import", {**slow, "keys_per_second": None}, f"line {MANY}")
    assert failure.result["imported"] == MANY - 1
    client.delete(f"user:{MANY - 1}")
    assert run_module("redis_import", {**slow, "keys_per_second": None})["imported"] == MANY
    assert_whole(server)


def test_a_file_that_changes_meanwhile(server: RedisProcess, slow: dict[str, Any]) -> None:
    """A new file is a new import."""

    def change() -> None:
        write(slow, strings(5))
        server.client().client_kill_filter(_type="normal", skipme=True)

    while_importing(slow, server, change)
    server.client().flushall()
    done = run_module("redis_import", slow)
    assert (done["imported"], done["resumed"]) == (5, False)


def test_slots_that_move_meanwhile(any_build: Build, make_server: MakeServer, slow: dict[str, Any]) -> None:
    nodes = make_cluster(make_server, any_build)
    first: dict[int, int] = {}  # the first key of each slot
    for n in range(MANY):
        first.setdefault(binascii.crc_hqx(b"user:%d" % n, 0) % 16384, n)
    late = sorted(slot for slot, n in first.items() if n > MANY // 2 and slot < 16384 // 3)
    assert len(late) > 20
    process = start_module("redis_import", {**slow, **nodes[0].connection})
    wait_for(lambda: nodes[0].client().dbsize() > 100, "the first keys")
    give_slots(nodes, late[:20], nodes[2])
    assert finish(process)["imported"] == MANY
    assert sum(node.client().dbsize() for node in nodes) == MANY


# --- killed ---


@pytest.mark.parametrize("conflict", ["fail", "replace", pytest.param("skip", marks=pytest.mark.long)])
def test_killed_at_any_instant(
    server: RedisProcess, params: dict[str, Any], long: bool, conflict: str, make_server: MakeServer
) -> None:
    """Then run again: all is there once, nothing else has changed."""
    count = 40_000 if long else 22_000
    large = [
        line("large", "list", ["x" * 1000] * 4000, part=part, more=part < 4, expire_at_ms=LATER) for part in range(5)
    ]
    lines = [
        line(f"user:{n}", "hash", {"n": str(n)}) if n % 3 else line(f"user:{n}", expire_at_ms=LATER)
        for n in range(count)
    ]
    write(params, "".join([*lines[: count // 2], *large, *lines[count // 2 :]]))
    given = {**params, "on_conflict": conflict}
    client = server.client()
    mine = snapshot_values(client)
    reference = make_server(server.build)
    run_module("redis_import", {**given, **reference.connection})
    wanted = {**snapshot_values(reference.client()), **mine}
    for number in range(12 if long else 1):
        client.flushall()
        client.mset({f"mine:{n}": n for n in range(10)})
        client.rpush("mine:list", "a", "b")
        kills = 0
        while kills <= number % 3:
            process = start_module("redis_import", given)
            instant = 11 + (number * 7919 + kills * 104_729) % count
            reached = wait_until_keys(client, instant, process)
            process.kill()
            process.communicate(timeout=60)
            kills += 1
            if not reached:
                break
        done = run_module("redis_import", given)
        assert done["imported"] + done["skipped_count"] == count + 1, done
        assert differences(wanted, snapshot_values(client)) == [], (number, instant)
        assert not list((Path(params["state_dir"]) / "imports").iterdir())


def wait_until_keys(client: Any, count: int, process: subprocess.Popen[bytes]) -> bool:
    """Wait for a number of keys; False when the import has ended before."""
    while client.dbsize() < count:
        if process.poll() is not None:
            return False
    return True


def test_killed_while_a_large_value_is_built(server: RedisProcess, params: dict[str, Any]) -> None:
    """What there is of it is removed by the next run, and by the server itself where there is none."""
    parts = [
        line("large", "set", [f"{part} {n}" for n in range(5000)], part=part, more=part < 99) for part in range(100)
    ]
    write(params, "".join(parts))
    client = server.client()
    process = start_module("redis_import", params)
    (name,) = wait_for(lambda: client.keys("redis_backup:import:*"), "the first part")
    process.kill()
    process.communicate(timeout=60)
    assert not client.exists("large")
    assert 0 < client.pttl(name) <= 15 * 60 * 1000
    done = run_module("redis_import", params)
    assert (done["imported"], done["resumed"]) == (1, True)
    assert client.scard("large") == 500_000 and client.ttl("large") == -1
    assert client.keys("redis_backup:*") == []
