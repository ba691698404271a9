# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A cluster that lost every file comes back from its shards' RDB files and composed nodes.conf files."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import redis
from ansible_collections.globalscope.redis_backup.plugins.module_utils._server.cluster import Node, current_epoch
from ansible_collections.globalscope.redis_backup.plugins.module_utils._topology.nodes_conf import (
    at_rest,
    compose,
    nodes_of_result,
    nodes_of_text,
    placed,
    sane_epochs,
    with_shard_ids,
)
from redis.crc import key_slot

from support.clusters import bus_is_free, count_replicas, identity, make_cluster, state, table
from support.groups import following
from support.modules import run_module
from support.servers import BUILD_NAMES, Build, BuildMissing, RedisProcess, build_named, free_port
from support.waiting import wait_for

MakeServer = Callable[..., RedisProcess]

KEYS = 3000
_NAMES = [
    name if name in ("redis-7.0", "valkey-9.1") else pytest.param(name, marks=pytest.mark.long) for name in BUILD_NAMES
]


@pytest.fixture(params=_NAMES)
def version(request: pytest.FixtureRequest) -> Build:
    """Redis keeps keys of foreign slots, Valkey deletes them; with --long every version."""
    try:
        return build_named(request.param)
    except BuildMissing as error:
        pytest.skip(str(error))


def fill(nodes: list[RedisProcess]) -> dict[str, bytes]:
    """Keys in all shards."""
    written = {f"key:{number}": b"%d" % number for number in range(KEYS)}
    clients = [node.client() for node in nodes[:3]]
    pipelines = [client.pipeline(transaction=False) for client in clients]
    for key, value in written.items():
        pipelines[owner(key)].set(key, value)
    for pipeline, client in zip(pipelines, clients, strict=True):
        pipeline.execute()
        client.save()
        client.close()
    return written


def owner(key: str) -> int:
    """The number of the shard that serves a key."""
    return next(number for number in range(3) if key_slot(key.encode()) < (number + 1) * 16384 // 3)


def whole(nodes: list[RedisProcess], written: dict[str, bytes]) -> None:
    """All slots are served, each node holds the keys of its shard, and no other."""
    wait_for(lambda: all(state(node) == ("ok", len(nodes)) for node in nodes), "the cluster to be whole", 60)
    for number, node in enumerate(nodes):
        if number >= 3:
            wait_for(
                lambda node=node, number=number: following(node) == nodes[number - 3].port, "the replica to follow", 60
            )
        with node.client() as client:
            own = {key: value for key, value in written.items() if owner(key) == number % 3}
            assert client.dbsize() == len(own)
            if number >= 3:
                client.execute_command("READONLY")
            client.response_callbacks.clear()
            assert [client.get(key) for key in own] == list(own.values())
            found = client.execute_command("CLUSTER", "INFO")
        told = dict(line.split(":") for line in found.decode().split())
        assert (told["cluster_slots_ok"], told["cluster_size"]) == ("16384", "3")


def lose(nodes: list[RedisProcess], keep: Path) -> dict[str, Path]:
    """End all nodes and delete every file of theirs; what is left is each shard's RDB, by the id of its primary."""
    ids = [identity(node) for node in nodes[:3]]
    for node in nodes:
        node.kill()
    kept = {}
    for node, name in zip(nodes, ids, strict=False):
        kept[name] = Path(shutil.copy(node.data_dir / "dump.rdb", keep / f"{name}.rdb"))
    for node in nodes:
        shutil.rmtree(node.data_dir)
        node.data_dir.mkdir()
    return kept


def lay(nodes: list[RedisProcess], ids: list[str], known: list[Node], epoch: int, kept: dict[str, Path]) -> None:
    """Write each node's nodes.conf and each primary's RDB; start the primaries, and then the replicas.

    A replica that is up before its primary is empty, and could be made the primary.
    """
    settled, current = sane_epochs(known, epoch)
    for node, name in zip(nodes, ids, strict=True):
        build = node.build
        text = compose(settled, name, flavour=build.flavour, version=build.version, current_epoch=current)
        (node.data_dir / "nodes.conf").write_text(text)
        if name in kept:
            shutil.copy(kept[name], node.data_dir / "dump.rdb")
    for node in nodes[:3]:
        node.start()
    wait_for(lambda: all(state(node)[0] == "ok" for node in nodes[:3]), "the primaries to serve all slots", 60)
    for node in nodes[3:]:
        node.start()


def test_by_what_each_backup_tells(version: Build, make_server: MakeServer, tmp_path: Path) -> None:
    """Only the topologies in the manifests are left; epochs had grown by a failover."""
    nodes = make_cluster(make_server, version, replicas=1)
    with nodes[3].client() as client:
        client.execute_command("CLUSTER", "FAILOVER", "TAKEOVER")
    nodes[0], nodes[3] = nodes[3], nodes[0]
    wait_for(lambda: following(nodes[3]) == nodes[0].port, "the former primary to follow", 60)
    wait_for(
        lambda: all("0-5460" in words for words in rows_of(nodes, identity(nodes[0]))), "all to know the new one", 60
    )
    wait_for(lambda: all(count_replicas(node) == 3 for node in nodes), "all to know the former one as a replica", 60)
    written = fill(nodes)
    ids = [identity(node) for node in nodes]
    told = [run_module("redis_instance_info", node.connection)["instance"]["topology"]["cluster"] for node in nodes[:3]]
    kept = lose(nodes, tmp_path)
    tables = [nodes_of_result(each) for each in told]
    lay(nodes, ids, with_shard_ids(at_rest(tables[0]), tables), max(each["epoch"] for each in told), kept)
    whole(nodes, written)
    assert [identity(node) for node in nodes] == ids
    assert {len(rows) for rows in map(table, nodes)} == {6}
    with nodes[0].client() as client:
        client.set(next(key for key in written if owner(key) == 0), "written after")
        assert client.wait(1, 30000) == 1
    for node in nodes:
        node.kill()
    for node in nodes:
        node.start(wait=False)
    wait_for(lambda: all(serves(node) for node in nodes), "the cluster to come back by itself", 60)


def rows_of(nodes: list[RedisProcess], name: str) -> list[str]:
    """The line of one node in the eyes of each."""
    return [next(line for line in table(node) if line.startswith(name)) for node in nodes]


def serves(node: RedisProcess) -> bool:
    try:
        return state(node)[0] == "ok"
    except (redis.ConnectionError, redis.BusyLoadingError):
        return False


def test_at_other_addresses(version: Build, make_server: MakeServer, tmp_path: Path) -> None:
    """From one nodes.conf that a backup kept; three of the six come back elsewhere."""
    nodes = make_cluster(make_server, version, replicas=1)
    written = fill(nodes)
    ids = [identity(node) for node in nodes]
    text = (nodes[0].data_dir / "nodes.conf").read_text()
    kept = lose(nodes, tmp_path)
    places = {}
    for number in (0, 2, 4):
        port = next(port for port in iter(free_port, None) if bus_is_free(port))
        conf = {"port": str(port), "cluster-enabled": "yes", "cluster-node-timeout": "15000"}
        nodes[number] = make_server(version, conf=conf, start=False)
        places[ids[number]] = ("127.0.0.1", port)
    lay(nodes, ids, placed(at_rest(nodes_of_text(text.encode())), places), current_epoch(text), kept)
    whole(nodes, written)
    assert [identity(node) for node in nodes] == ids
