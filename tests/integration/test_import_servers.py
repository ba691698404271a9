# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""redis_import: servers that refuse, and a cluster."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from support.clusters import make_cluster
from support.dataset import raw
from support.imported import (
    MakeServer,
    line,
    nothing_written,
    options,
    refused_here,
    run_here,
    server_with_keys,
    strings,
    write,
)
from support.modules import run_module
from support.servers import Build, RedisProcess
from support.untouched import refused
from support.waiting import wait_for


@pytest.fixture
def server(any_build: Build, make_server: MakeServer) -> RedisProcess:
    return server_with_keys(any_build, make_server)


@pytest.fixture
def params(server: RedisProcess, tmp_path: Path) -> dict[str, Any]:
    return options(server, tmp_path)


# --- servers that refuse ---


def test_a_replica(server: RedisProcess, params: dict[str, Any], make_server: MakeServer) -> None:
    replica = make_server(server.build, conf={"replicaof": f"127.0.0.1 {server.port}"})
    wait_for(lambda: replica.client().info()["master_link_status"] == "up", "the replica")
    write(params, line())
    with nothing_written(server):
        refused("redis_import", {**params, **replica.connection}, "is a replica", f"127.0.0.1:{server.port}")


def test_too_little_memory(server: RedisProcess, params: dict[str, Any]) -> None:
    client = server.client()
    client.config_set("maxmemory", client.info("memory")["used_memory"] + 1_000_000)
    write(params, "".join(line(f"user:{n}", value="x" * 1000) for n in range(2000)))
    with nothing_written(server):
        refused_here(params, "maxmemory", "Nothing was changed")
    # Not foreseen, since nothing is looked at before: it ends in the middle, and goes on when there is room.
    failure = refused_here({**params, "validate": False}, "OOM", "run the same again", "Raise maxmemory")
    there = failure["imported"]
    assert 0 < there < 2000
    assert client.dbsize() == there + 11
    client.config_set("maxmemory", 0)
    done = run_here({**params, "validate": False})
    assert (done["imported"], done["resumed"]) == (2000, True)
    assert client.dbsize() == 2011


def test_eviction_is_told(server: RedisProcess, params: dict[str, Any]) -> None:
    client = server.client()
    client.config_set("maxmemory-policy", "allkeys-lru")
    client.config_set("maxmemory", client.info("memory")["used_memory"] + 1_000_000)
    write(params, "".join(line(f"user:{n}", value="x" * 1000) for n in range(2000)))
    (told,) = run_here(params)["warnings"]
    assert "allkeys-lru" in str(told)


def test_rights_that_are_missing(server: RedisProcess, params: dict[str, Any]) -> None:
    client = server.client()
    client.acl_setuser("loader", enabled=True, passwords=["+s3cret-enough"], keys=["user:*"], commands=["+@all"])
    given = {**params, "login_user": "loader", "login_password": "s3cret-enough"}
    write(params, strings(3))
    assert run_module("redis_import", given)["imported"] == 3
    write(params, line("user:9", "list", ["a"]))
    refused("redis_import", given, "NOPERM", "redis_backup:import:")
    raw(client).execute_command("ACL", "SETUSER", "loader", "~redis_backup:import:*")
    assert run_module("redis_import", given)["imported"] == 1


def test_a_database_that_is_not_there_and_nobody_tells(server: RedisProcess, params: dict[str, Any]) -> None:
    raw(server.client()).execute_command("ACL", "SETUSER", "loader", "on", ">s3cret-enough", "~*", "+@all", "-config")
    given = {**params, "login_user": "loader", "login_password": "s3cret-enough"}
    write(params, line("far", db=16) + line("far", "list", ["a"], db=99) + line("near", db=15))
    with nothing_written(server):
        refused("redis_import", given, "2 of 3 keys", "line 1 (key far)", "out of range", "into_db")
    assert run_module("redis_import", {**given, "db": [15]})["imported"] == 1


def test_renamed_commands(any_build: Build, make_server: MakeServer, params: dict[str, Any]) -> None:
    conf = {"rename-command": ["SET S1", "MULTI M1", "RPUSH P1", "UNLINK U1"]}
    server = make_server(any_build, conf=conf)
    write(params, strings(3) + line("l", "list", ["a"]))
    names = {"set": "S1", "multi": "M1", "rpush": "P1", "unlink": "U1"}
    done = run_module("redis_import", {**params, **server.connection, "command_map": names})
    assert done["imported"] == 4


# --- a cluster ---


def test_a_cluster(any_build: Build, make_server: MakeServer, params: dict[str, Any]) -> None:
    nodes = make_cluster(make_server, any_build)
    given = {**params, **nodes[2].connection}
    write(params, strings(200) + line("far", db=1))
    refused("redis_import", given, "line 201 (key far)", "only database 0")
    assert [node.client().dbsize() for node in nodes] == [0, 0, 0]
    write(params, strings(200) + line("mine}{", "list", ["a"]))
    assert run_module("redis_import", given)["imported"] == 201
    assert sum(node.client().dbsize() for node in nodes) == 201
    refused("redis_import", given, "201 of 201 keys", "exists")
    # A slot on its way is refused before; one that has gone elsewhere meanwhile is followed.
    with nodes[0].client() as client:
        client.execute_command("CLUSTER", "SETSLOT", 0, "MIGRATING", nodes[1].client().execute_command("CLUSTER MYID"))
        refused("redis_import", given, "on their way")
        client.execute_command("CLUSTER", "SETSLOT", 0, "STABLE")
        client.execute_command("CLUSTER", "DELSLOTS", 0)
    wait_for(lambda: b"cluster_state:fail" in raw(nodes[0].client()).execute_command("CLUSTER", "INFO"), "a gap")
    refused("redis_import", {**params, **nodes[0].connection}, "cluster")
