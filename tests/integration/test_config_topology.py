# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A replica under Sentinel and a node of a cluster keep their role and their state through a run of redis_config."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from support.enforcing import MakeServer, conf_says, enforce, params, place_of
from support.servers import BUILD_NAMES, Build, BuildMissing, RedisProcess, build_named, free_port
from support.untouched import refused
from support.waiting import wait_for

SETTINGS: dict[str, Any] = {"appendonly": True, "save": ["900 1", "300 10"], "timeout": 77, "appendfsync": "always"}
NAME = "shop-primary"
PATIENT_MS = 60_000  # a busy machine keeps a server from answering: no failover but the one that is asked for

_OTHERS = [pytest.param(name, marks=pytest.mark.long) for name in BUILD_NAMES if name != "redis-7.0"]


@pytest.fixture(params=["redis-7.0", *_OTHERS])
def version(request: pytest.FixtureRequest) -> Build:
    """One version, with --long all: what takes its time here is waiting."""
    try:
        return build_named(request.param)
    except BuildMissing as error:
        pytest.skip(str(error))


def lines_of(server: RedisProcess, *names: str) -> list[str]:
    """The lines of redis.conf with these directives."""
    return [line for line in server.conf_path.read_text().splitlines() if line.split(" ")[0] in names]


def role(server: RedisProcess) -> tuple[str, int]:
    """Primary or replica, and the port of the primary that a replica is in step with."""
    try:
        with server.client() as client:
            found = client.info("replication")
    except redis.ConnectionError:  # Sentinel ends all connections when it gives a server another role
        return "", 0
    return found["role"], int(found.get("master_port", 0)) if found.get("master_link_status") == "up" else 0


# --- Sentinel ---


@pytest.fixture
def make_sentinel(server_root: Path) -> Iterator[Callable[[Build, RedisProcess], redis.Redis]]:
    """Call it with a build and a primary: a Sentinel alone, which needs no other to fail over."""
    started: list[subprocess.Popen[bytes]] = []

    def make(build: Build, primary: RedisProcess) -> redis.Redis:
        folder = server_root / "sentinel"
        folder.mkdir()
        program, port = folder / "redis-sentinel", free_port()
        program.symlink_to(build.executable.resolve())
        conf = folder / "sentinel.conf"
        conf.write_text(
            f"port {port}\nbind 127.0.0.1\ndir {folder}\nlogfile {folder}/log\n"
            f"sentinel monitor {NAME} 127.0.0.1 {primary.port} 1\n"
            f"sentinel down-after-milliseconds {NAME} {PATIENT_MS}\nsentinel failover-timeout {NAME} 4000\n"
        )
        started.append(subprocess.Popen(["setpriv", "--pdeathsig=KILL", str(program), str(conf)], cwd=folder))
        client = redis.Redis(port=port, protocol=2, decode_responses=True)
        wait_for(lambda: answers(client), "Sentinel to answer")
        return client

    yield make
    for process in started:
        process.kill()
        process.wait()


def answers(client: redis.Redis) -> bool:
    """Whether a server answers."""
    try:
        return bool(client.ping())
    except redis.ConnectionError:
        return False


def seen(sentinel: redis.Redis) -> tuple[int, list[int]]:
    """The port of the primary, and those of the replicas that follow it, as Sentinel knows them."""
    primary = sentinel.sentinel_get_master_addr_by_name(NAME)
    replicas = [found for found in sentinel.sentinel_slaves(NAME) if found["master-link-status"] == "ok"]
    return int(primary[1]), sorted(int(found["port"]) for found in replicas)


def test_replica_under_sentinel(
    version: Build, make_server: MakeServer, make_sentinel: Callable[[Build, RedisProcess], redis.Redis]
) -> None:
    """Before a failover and after it: Sentinel has redis.conf rewritten, and the module changes its lines alone."""
    primary = make_server(version)
    replicas = [make_server(version, conf={"replicaof": f"127.0.0.1 {primary.port}"}) for _number in range(2)]
    servers = {server.port: server for server in (primary, *replicas)}
    sentinel = make_sentinel(version, primary)
    with primary.client() as client:
        client.set("here", "1")
    wait_for(lambda: seen(sentinel) == (primary.port, sorted(r.port for r in replicas)), "both replicas to be known")
    with replicas[0].client() as client:
        client.config_rewrite()
    roles = {port: role(server) for port, server in servers.items()}
    for server in servers.values():
        before = lines_of(server, "replicaof", "slaveof", "user")
        result = enforce(server, SETTINGS)
        assert result["changed"] and not result["restart_required"]
        assert lines_of(server, "replicaof", "slaveof", "user") == before
        assert not enforce(server, SETTINGS)["changed"]
    assert {port: role(server) for port, server in servers.items()} == roles
    assert seen(sentinel) == (primary.port, sorted(replica.port for replica in replicas))

    primary.kill()
    sentinel.sentinel_set(NAME, "down-after-milliseconds", 500)
    new_port, _known = wait_for(lambda: seen(sentinel)[0] != primary.port and seen(sentinel), "the failover", 30)
    sentinel.sentinel_set(NAME, "down-after-milliseconds", PATIENT_MS)
    new, other = servers[new_port], next(r for r in replicas if r.port != new_port)
    wait_for(lambda: role(new)[0] == "master" and role(other) == ("slave", new_port), "the replica to follow", 30)
    primary.start()
    wait_for(lambda: role(primary) == ("slave", new_port), "the former primary to become a replica", 30)
    wait_for(lambda: conf_says(primary, "replicaof") == f"127.0.0.1 {new_port}", "Sentinel to rewrite redis.conf", 30)
    texts = {port: server.conf_path.read_bytes() for port, server in servers.items()}
    for server in servers.values():
        result = enforce(server, SETTINGS)
        assert not result["changed"], result["actions"]
    assert {port: server.conf_path.read_bytes() for port, server in servers.items()} == texts
    result = enforce(primary, {"timeout": 78})
    assert result["changed"] and [found["directive"] for found in result["drift"]] == ["timeout"]
    assert primary.conf_path.read_bytes() == texts[primary.port].replace(b"\ntimeout 77\n", b"\ntimeout 78\n")
    primary.kill()
    primary.start()
    wait_for(lambda: role(primary) == ("slave", new_port), "it to be a replica after a crash")
    with new.client() as client:
        assert client.get("here") == b"1"


def test_sentinel_itself_is_left_alone(
    any_build: Build, make_server: MakeServer, make_sentinel: Callable[[Build, RedisProcess], redis.Redis]
) -> None:
    server = make_server(any_build)
    sentinel = make_sentinel(any_build, server)
    port = sentinel.connection_pool.connection_kwargs["port"]
    conf = server.directory.parent / "sentinel" / "sentinel.conf"
    text = conf.read_bytes()
    asked = {**params(server, SETTINGS), "login_port": port}
    refused("redis_config", asked, "shop", "Sentinel")
    assert conf.read_bytes() == text


# --- cluster ---


def bus_is_free(port: int) -> bool:
    """Whether the port of the cluster's bus, 10000 above, can be had."""
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port + 10000))
        except OSError:
            return False
    return True


@pytest.fixture
def cluster(version: Build, make_server: MakeServer) -> list[RedisProcess]:
    """Three nodes with all slots."""
    nodes = []
    for _number in range(3):
        port = next(port for port in iter(free_port, None) if bus_is_free(port))
        conf = {"port": str(port), "cluster-enabled": "yes", "cluster-node-timeout": "2000", "save": "3600 1"}
        nodes.append(make_server(version, conf=conf))
    for number, node in enumerate(nodes):
        with node.client() as client:
            first, last = number * 16384 // 3, (number + 1) * 16384 // 3
            client.execute_command("CLUSTER", "ADDSLOTS", *range(first, last))
            client.execute_command("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
            if number:
                client.execute_command("CLUSTER", "MEET", "127.0.0.1", nodes[0].port)
    wait_for(lambda: all(state(node) == ("ok", 3) for node in nodes), "the cluster to be whole", 30)
    return nodes


def state(node: RedisProcess) -> tuple[str, int]:
    """The cluster's state as a node sees it, and how many nodes it knows."""
    with node.client() as client:
        words = client.execute_command("CLUSTER", "INFO")
    found = words if isinstance(words, dict) else dict(line.split(":") for line in words.decode().split())
    return found["cluster_state"], int(found["cluster_known_nodes"])


def who(node: RedisProcess) -> tuple[str, list[str]]:
    """A node's id, and the ids and slots of all nodes as it knows them."""
    with node.client() as client:
        own = client.execute_command("CLUSTER", "MYID").decode()
        words = client.connection_pool.get_connection()
        words.send_command("CLUSTER", "NODES")
        lines = [line.split() for line in words.read_response(disable_decoding=True).decode().splitlines()]
        client.connection_pool.release(words)
    return own, sorted(f"{line[0]} {' '.join(line[8:])}" for line in lines)


def test_cluster_node(cluster: list[RedisProcess]) -> None:
    """An AOF switched on and off, and the file of its state moved, each with a crash behind it."""
    before = {node.port: who(node) for node in cluster}
    node = cluster[0]
    with node.client() as client:
        tag = next(tag for tag in "abcdefghijkl" if client.execute_command("CLUSTER", "KEYSLOT", tag) < 16384 // 3)
        for number in range(500):
            client.set(f"{{{tag}}}:{number}", number)
    for settings in (SETTINGS, {**SETTINGS, "appendonly": False}):
        result = enforce(node, settings)
        assert result["changed"] and not result["restart_required"]
        assert {each.port: who(each) for each in cluster} == before
        assert state(node) == ("ok", 3)
        crash(node)
        assert {each.port: who(each) for each in cluster} == before
        assert not enforce(node, settings)["changed"]
    settings = {"cluster-config-file": "moved.conf"}
    result = enforce(node, settings)
    assert not result["changed"] and result["deferred"] == ["cluster-config-file"] and not result["restart_safe"]
    node.stop()
    assert enforce(node, settings, **place_of(node))["changed"]
    crash(node)
    assert {each.port: who(each) for each in cluster} == before
    assert (node.data_dir / "moved.conf").exists()


def crash(node: RedisProcess) -> None:
    """End the node, if it runs, and start it: the cluster is whole again, and the keys are there."""
    node.kill()
    node.start()
    wait_for(lambda: state(node) == ("ok", 3), "the cluster to be whole again", 30)
    with node.client() as client:
        assert client.dbsize() == 500
