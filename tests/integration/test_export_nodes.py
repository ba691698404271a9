# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Exports from replicas and clusters: whole, in step and at rest, or refused."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.globalscope.redis_backup.plugins.module_utils._errors import ServerError
from ansible_collections.globalscope.redis_backup.plugins.module_utils._keys.nodes import open_nodes
from ansible_collections.globalscope.redis_backup.plugins.module_utils._keys.reading import Selection, read_keys
from ansible_collections.globalscope.redis_backup.plugins.module_utils._server.connection import Login
from redis.crc import key_slot

from support.dataset import load_multiframe, raw, send
from support.exported import lines_of, values_of
from support.modules import run_module
from support.servers import Build, BuildMissing, RedisProcess, build_named, free_port
from support.untouched import refused
from support.values import Values, differences, snapshot_values
from support.waiting import wait_for

MakeServer = Callable[..., RedisProcess]


def replica_of(primary: RedisProcess, make_server: MakeServer) -> RedisProcess:
    replica = make_server(primary.build, conf={"replicaof": f"127.0.0.1 {primary.port}"})
    with replica.client() as client:
        wait_for(lambda: client.info("replication")["master_link_status"] == "up", "the replica to be in step")
    return replica


def commands(server: RedisProcess, name: str) -> int:
    """How often a server was asked for something."""
    found = server.client().info("commandstats")
    return int(found.get(f"cmdstat_{name}", {"calls": 0})["calls"])


def test_replica(server: RedisProcess, make_server: MakeServer, tmp_path: Path) -> None:
    load_multiframe(server.client(), users=3000, drivers=300)
    replica = replica_of(server, make_server)
    path = tmp_path / "keys.jsonl"
    result = run_module("redis_export", {**server.connection, "path": str(path), "read_from": "replica"})
    wanted = snapshot_values(server.client(), portable=True)
    assert differences(wanted, values_of(lines_of(path)), expiry_ms=5 if server.build.version < (7,) else 0) == []
    assert result["source"] == f"the replica 127.0.0.1:{replica.port}"
    assert commands(replica, "scan") > 0
    # It may be named by itself as well.
    for read_from in ("given", "replica"):
        params = {**replica.connection, "path": str(path), "read_from": read_from, "force": True}
        assert run_module("redis_export", params)["exported"] == len(wanted)


def test_replicas_that_know_too_little(any_build: Build, make_server: MakeServer, tmp_path: Path) -> None:
    server = make_server(any_build)
    server.client().set("user:1", "x")
    params = {**server.connection, "path": str(tmp_path / "keys"), "read_from": "replica"}
    refused("redis_export", params, "no replica", "it has none")
    replica = replica_of(server, make_server)
    assert run_module("redis_export", params)["exported"] == 1
    server.kill()
    with replica.client() as client:
        wait_for(lambda: client.info("replication")["master_link_status"] == "down", "the replica to notice")
    refused("redis_export", {**replica.connection, "path": str(tmp_path / "no")}, "lost its link")
    assert not (tmp_path / "no").exists()


# --- clusters ---


def bus_is_free(port: int) -> bool:
    """Whether the port of the cluster's bus, 10000 above, can be had."""
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port + 10000))
        except OSError:
            return False
    return True


def node_of(build: Build, make_server: MakeServer) -> RedisProcess:
    port = next(port for port in iter(free_port, None) if bus_is_free(port))
    return make_server(build, conf={"port": str(port), "cluster-enabled": "yes", "cluster-node-timeout": "2000"})


def cluster_info(node: RedisProcess) -> tuple[str, int]:
    with node.client() as client:
        words = client.execute_command("CLUSTER", "INFO")
    found = words if isinstance(words, dict) else dict(line.split(":") for line in words.decode().split())
    return found["cluster_state"], int(found["cluster_known_nodes"])


def call(node: RedisProcess, *words: Any) -> Any:
    with raw(node.client()) as client:
        return client.execute_command(*words)


LATER = [pytest.param(name, marks=pytest.mark.long) for name in ("redis-6.2", "redis-8.2")]


@pytest.fixture(params=["redis-7.0", "valkey-9.1", *LATER])
def cluster(request: pytest.FixtureRequest, make_server: MakeServer) -> list[RedisProcess]:
    """Three nodes with all slots, and 3000 keys with one hash tag or none."""
    try:
        build = build_named(request.param)
    except BuildMissing as error:
        pytest.skip(str(error))
    nodes = [node_of(build, make_server) for _number in range(3)]
    for number, node in enumerate(nodes):
        first, last = number * 16384 // 3, (number + 1) * 16384 // 3
        call(node, "CLUSTER", "ADDSLOTS", *range(first, last))
        call(node, "CLUSTER", "SET-CONFIG-EPOCH", number + 1)
        if number:
            call(node, "CLUSTER", "MEET", "127.0.0.1", nodes[0].port)
    wait_for(lambda: all(cluster_info(node) == ("ok", 3) for node in nodes), "the cluster to be whole", 30)
    keys = [key for number in range(1500) for key in (f"user:{number}", f"ride:{{{number}}}:x")]
    for each, node in enumerate(nodes):
        own = [key for key in keys if owns(each, key_slot(key.encode()))]
        send(raw(node.client()), [("SET", key, f"value of {key}") for key in own])
        send(raw(node.client()), [("PEXPIREAT", key, 4102444800123) for key in own[::10]])
    return nodes


def owns(number: int, slot: int) -> bool:
    return number * 16384 // 3 <= slot < (number + 1) * 16384 // 3


def whole(nodes: list[RedisProcess]) -> Values:
    found: Values = {}
    for node in nodes:
        found.update(snapshot_values(node.client()))
    return found


def test_cluster(cluster: list[RedisProcess], tmp_path: Path) -> None:
    path = tmp_path / "keys"
    result = run_module("redis_export", {**cluster[1].connection, "path": str(path)})
    wanted = whole(cluster)
    assert result["exported"] == len(wanted) == 3000
    assert "3 primaries" in result["source"]
    assert differences(wanted, values_of(lines_of(path)), expiry_ms=5) == []
    params = {**cluster[0].connection, "path": str(path), "format": "dump", "force": True}
    assert run_module("redis_export", params)["exported"] == 3000
    some = run_module("redis_export", {**params, "patterns": ["user:1?", "ride:{7}*"]})
    assert some["exported"] == 11
    refused("redis_export", {**params, "read_from": "replica"}, "no replica of the node")


def test_replicas_of_a_cluster(cluster: list[RedisProcess], make_server: MakeServer, tmp_path: Path) -> None:
    replicas = [node_of(node.build, make_server) for node in cluster]
    for replica in replicas:
        call(replica, "CLUSTER", "MEET", "127.0.0.1", cluster[0].port)
    wait_for(lambda: all(cluster_info(node) == ("ok", 6) for node in [*cluster, *replicas]), "six nodes", 30)
    for node, replica in zip(cluster, replicas, strict=True):
        identity = call(node, "CLUSTER", "MYID")
        call(replica, "CLUSTER", "REPLICATE", identity)

    def in_step() -> bool:
        replications = [node.client().info("replication") for node in replicas]
        lines = call(cluster[0], "CLUSTER", "NODES").decode()
        return lines.count(" slave ") == 3 and all(each.get("master_link_status") == "up" for each in replications)

    wait_for(in_step, "the replicas to be in step", 30)
    path = tmp_path / "keys.jsonl"
    params = {**cluster[0].connection, "path": str(path), "read_from": "replica"}
    result = run_module("redis_export", params)
    assert "3 replicas" in result["source"]
    assert differences(whole(cluster), values_of(lines_of(path)), expiry_ms=5) == []
    assert all(commands(node, "scan") for node in replicas)


def test_slots_that_move(cluster: list[RedisProcess], tmp_path: Path) -> None:
    second = cluster[1]
    identities = [call(node, "CLUSTER", "MYID") for node in cluster]
    slot = key_slot(b"user:1")
    source = next(number for number in range(3) if owns(number, slot))
    target = (source + 1) % 3
    call(cluster[source], "CLUSTER", "SETSLOT", slot, "MIGRATING", identities[target])
    params = {**cluster[target].connection, "path": str(tmp_path / "keys")}
    refused("redis_export", params, "slots are being moved")
    call(cluster[source], "CLUSTER", "SETSLOT", slot, "STABLE")
    assert run_module("redis_export", params)["exported"] == 3000

    # Moved while it is read: by the time it is known, what was read is worth nothing.
    slots = range(source * 16384 // 3, (source + 1) * 16384 // 3)
    empty = next(each for each in slots if not call(cluster[source], "CLUSTER", "COUNTKEYSINSLOT", each))
    with open_nodes(Login(port=second.port)) as nodes:
        keys = [entry.key for batch in read_keys(nodes.wires, Selection()) for entry in batch]
        assert len(keys) == len(set(keys)) == 3000
        nodes.require_same()
        for node in (cluster[target], cluster[source], *cluster):
            call(node, "CLUSTER", "SETSLOT", empty, "NODE", identities[target])
        wait_for(lambda: all(cluster_info(node)[0] == "ok" for node in cluster), "the cluster to agree", 30)
        with pytest.raises(ServerError, match="changed while it was read"):
            nodes.require_same()


def test_half_a_cluster(cluster: list[RedisProcess], tmp_path: Path) -> None:
    cluster[2].kill()
    wait_for(lambda: cluster_info(cluster[0])[0] == "fail", "the cluster to notice", 30)
    params = {**cluster[0].connection, "path": str(tmp_path / "keys")}
    refused("redis_export", params, "cannot be read as a whole")
    assert list(tmp_path.iterdir()) == []
    assert send(raw(cluster[0].client()), [("PING",)]) == [b"PONG"]
