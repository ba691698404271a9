# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""redis_cluster_node, and redis_restore of a shard, on real clusters."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import redis
from redis.crc import key_slot

from support.clusters import bus_is_free, identity, make_cluster, state
from support.groups import following
from support.modules import ModuleFailed, run_module, start_module
from support.restores import Backup, Restore, back_up
from support.servers import Build, BuildMissing, RedisProcess, build_named, free_port
from support.waiting import wait_for

MakeServer = Callable[..., RedisProcess]

KEYS = 600


@pytest.fixture(params=["redis-7.0", *(pytest.param(n, marks=pytest.mark.long) for n in ("redis-8.2", "valkey-9.1"))])
def version(request: pytest.FixtureRequest) -> Build:
    try:
        return build_named(request.param)
    except BuildMissing as error:
        pytest.skip(str(error))


def place(node: RedisProcess) -> dict[str, Any]:
    return {**node.connection, "config_file": str(node.conf_path), "executable": str(node.build.executable)}


def call(node: RedisProcess, wanted: str, *, check: bool = False, **params: Any) -> dict[str, Any]:
    arguments = {**place(node), "state": wanted, "wait_timeout": 30, **params}
    return run_module("redis_cluster_node", arguments, check=check)


def told(node: RedisProcess) -> dict[str, Any]:
    found: dict[str, Any] = run_module("redis_instance_info", node.connection)["instance"]["topology"]["cluster"]
    return found


def fill(nodes: list[RedisProcess]) -> dict[str, bytes]:
    """Keys in all shards, and what the first three hold of them on disk."""
    written = {f"key:{number}": b"%d" % number for number in range(KEYS)}
    for number, node in enumerate(nodes[:3]):
        with node.client() as client:
            pipeline = client.pipeline(transaction=False)
            for key, value in written.items():
                if owner(key) == number:
                    pipeline.set(key, value)
            pipeline.execute()
            client.save()
    return written


def owner(key: str) -> int:
    """The number of the shard that serves a key."""
    return next(number for number in range(3) if key_slot(key.encode()) < (number + 1) * 16384 // 3)


def own(written: dict[str, bytes], number: int) -> dict[str, bytes]:
    return {key: value for key, value in written.items() if owner(key) == number % 3}


def holds(node: RedisProcess, data: dict[str, bytes]) -> bool:
    with node.client() as client:
        client.execute_command("READONLY")
        client.response_callbacks.clear()
        return client.dbsize() == len(data) and all(client.get(key) == value for key, value in data.items())


def lose(*nodes: RedisProcess) -> None:
    """The server ends, and its data directory with nodes.conf is gone."""
    for node in nodes:
        node.kill()
        shutil.rmtree(node.data_dir)


class Watcher:
    """Reads of all nodes as a client that takes replicas: what a node says of a key that is there."""

    def __init__(self, nodes: list[RedisProcess], key: str) -> None:
        self.wrong: list[str] = []
        self._nodes, self._key = nodes, key
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Watcher:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()

    def _run(self) -> None:
        clients: dict[int, redis.Redis] = {}
        while not self._end.is_set():
            for number, node in enumerate(self._nodes):
                with contextlib.suppress(redis.RedisError):
                    if number not in clients:
                        clients[number] = node.client(socket_timeout=1)
                        clients[number].response_callbacks.clear()
                    pipeline = clients[number].pipeline(transaction=False)
                    pipeline.execute_command("READONLY")
                    pipeline.get(self._key)
                    pipeline.dbsize()
                    _ok, value, size = pipeline.execute(raise_on_error=False)
                    if value is None or size == 0:
                        self.wrong.append(f"{node!r} said {value!r}, {size!r} keys")
            time.sleep(0.002)


def rows_with_shards(nodes: list[RedisProcess]) -> tuple[list[dict[str, Any]], int]:
    """The table of the cluster, each row with the id of its shard, and the current epoch."""
    views = [told(node) for node in nodes]
    shards = {view["my_id"]: view["shard_id"] for view in views}
    return [{**row, "shard_id": shards[row["id"]]} for row in views[0]["nodes"]], max(v["epoch"] for v in views)


def test_a_cluster_that_lost_all_comes_back(version: Build, make_server: MakeServer, tmp_path: Path) -> None:
    nodes = make_cluster(make_server, version, replicas=1)
    written = fill(nodes)
    rows, epoch = rows_with_shards(nodes)
    names = [identity(node) for node in nodes]
    table = {"nodes": rows, "epoch": epoch}
    with pytest.raises(ModuleFailed, match=r"runs: it would write its own nodes\.conf"):
        call(nodes[0], "placed", my_id=names[0], **table)
    kept = [
        shutil.copy(node.data_dir / "dump.rdb", tmp_path / f"{number}.rdb") for number, node in enumerate(nodes[:3])
    ]
    lose(*nodes)
    confs = [node.conf_path.read_bytes() for node in nodes]

    assert call(nodes[0], "placed", my_id=names[0], check=True, **table)["changed"]
    assert not nodes[0].data_dir.exists()
    for number, node in enumerate(nodes):
        result = call(node, "placed", my_id=names[number], fence=number >= 3, down=True, **table)
        assert result["changed"] and result["node"]["id"] == names[number]
        assert result["node"]["role"] == ("primary" if number < 3 else "replica")
        assert result["node"]["fenced"] == (number >= 3)
        changed = {Path(each["after_header"]).name for each in result["diff"]}
        assert changed == ({"nodes.conf"} if number < 3 else {"nodes.conf", "redis.conf"})
    assert not call(nodes[5], "placed", my_id=names[5], fence=True, **table)["changed"]
    for node, rdb in zip(nodes[:3], kept, strict=True):
        shutil.copy(rdb, node.data_dir / "dump.rdb")

    with Watcher(nodes[3:4], next(iter(own(written, 0)))) as watcher:
        for node in nodes[:3]:
            node.start()
        primaries = [row for row in rows if row["role"] == "primary"]
        for node in nodes[:3]:
            result = call(node, "whole", nodes=primaries)
            assert not result["changed"] and result["node"]["state"] == "ok" and result["node"]["slots_served"] == 16384
        with pytest.raises(ModuleFailed, match=r"is not connected|not reached|failed"):
            call(nodes[0], "whole", nodes=rows, wait_timeout=0)
        with pytest.raises(ModuleFailed, match="should serve 0-99"):
            call(nodes[0], "whole", nodes=[{**primaries[0], "slots": [[0, 99]]}], wait_timeout=0)
        for number, node in enumerate(nodes[3:], 3):
            node.start()
            proof = run_module("redis_instance_info", nodes[number - 3].connection)["instance"]
            result = call(
                node, "following", primary_id=names[number - 3], replid=proof["topology"]["replid"], keys=proof["keys"]
            )
            assert result["changed"] and result["node"]["in_step"] and not result["node"]["fenced"]
            assert holds(node, own(written, number))
    assert not watcher.wrong
    assert [node.conf_path.read_bytes() for node in nodes] == confs
    for node in nodes:
        assert not call(node, "whole", nodes=rows, close=True)["changed"]
    assert not call(nodes[3], "following", primary_id=names[0])["changed"]
    check = run_module("redis_check", {**nodes[0].connection, "probe": True, "replicas": 1})
    assert [each["found"] for each in check["checks"]] == ["written, read, deleted", "1 did"]
    assert [identity(node) for node in nodes] == names

    # A node that another does not know is greeted, at the address in the table.
    with nodes[0].client() as client:
        client.execute_command("CLUSTER", "FORGET", names[5])
    with pytest.raises(ModuleFailed, match="is not known"):
        call(nodes[0], "whole", nodes=rows, wait_timeout=0)
    assert call(nodes[0], "whole", nodes=rows, check=True)["changed"]
    result = call(nodes[0], "whole", nodes=rows)
    assert len(result["actions"]) == 1 and f"greet 127.0.0.1:{nodes[5].port}" in result["actions"][0]


def restore(node: RedisProcess, backup: Backup, wanted: str, **params: Any) -> dict[str, Any]:
    steps = Restore(node, backup, close_writes=True, cluster_node=True, force=True)
    return steps.step(wanted, **params)


def test_shards_and_nodes_lost_one_by_one(version: Build, make_server: MakeServer, tmp_path: Path) -> None:
    nodes = make_cluster(make_server, version, replicas=1)
    written = fill(nodes)
    rows, epoch = rows_with_shards(nodes)
    names = [identity(node) for node in nodes]
    table = {"nodes": rows, "epoch": epoch, "down": True}
    backup = back_up(nodes[0], tmp_path, values={})

    # A shard is lost with all its nodes, while the others live.
    lose(nodes[0], nodes[3])
    with pytest.raises(ModuleFailed, match="node of a cluster, where the others have a say"):
        restore(nodes[0], backup, "staged", cluster_node=False)
    restore(nodes[0], backup, "staged")
    with pytest.raises(ModuleFailed, match=r"has no .*nodes\.conf"):
        restore(nodes[0], backup, "active")
    call(nodes[0], "placed", **{**table, "my_id": names[1]})
    with pytest.raises(ModuleFailed, match=r"serves the slots 5461-10921 by its .* holds the keys of the slots 0-5460"):
        restore(nodes[0], backup, "active")
    assert call(nodes[0], "released")["changed"]
    assert not (nodes[0].data_dir / "nodes.conf").exists()
    call(nodes[0], "placed", my_id=names[0], **table)
    assert restore(nodes[0], backup, "active")["restore"]["state"] == "active"
    restore(nodes[0], backup, "rolled_back")
    assert call(nodes[0], "released", down=True)["changed"]
    assert [path.name for path in nodes[0].data_dir.iterdir()] == [".redis_backup"]
    restore(nodes[0], backup, "staged")
    call(nodes[0], "placed", my_id=names[0], **table)
    restore(nodes[0], backup, "active")
    nodes[0].start()
    living = [row for row in rows if row["id"] != names[3]]
    assert call(nodes[0], "whole", nodes=living)["cluster"]["slots_served"] == 16384
    expect = {"keys_min": len(own(written, 0)), "keys_max": len(own(written, 0))}
    checks = run_module("redis_check", {**nodes[0].connection, "probe": True, "expect": expect, "wait_timeout": 30})
    assert checks["checks"][-1]["found"] == "written, read, deleted"
    with pytest.raises(redis.ResponseError, match="NOREPLICAS"), nodes[0].client() as client:
        client.set(next(iter(own(written, 0))), "too early")
    restore(nodes[0], backup, "committed")
    call(nodes[3], "placed", my_id=names[3], fence=True, **table)
    nodes[3].start()
    call(nodes[3], "following", primary_id=names[0])
    assert all(holds(nodes[number], own(written, number)) for number in (0, 3))

    # A node has lost its files and came back as a stranger, who knows nobody.
    lose(nodes[4])
    nodes[4].data_dir.mkdir()
    nodes[4].start()
    assert identity(nodes[4]) != names[4]
    nodes[4].stop()
    before = (nodes[4].data_dir / "nodes.conf").read_bytes()
    call(nodes[4], "placed", my_id=names[4], fence=True, **table)
    call(nodes[4], "released")
    assert (nodes[4].data_dir / "nodes.conf").read_bytes() == before
    call(nodes[4], "placed", my_id=names[4], fence=True, **table)
    nodes[4].start()
    with pytest.raises(ModuleFailed, match=r"follows its primary .* which serves"):
        wait_for(lambda: following(nodes[4]) == nodes[1].port, "the replica to follow", 30)
        call(nodes[4], "promoted")
    result = call(nodes[4], "following", primary_id=names[1])
    assert Path(result["node"]["previous_file"]).read_bytes() == before
    assert holds(nodes[4], own(written, 4))
    assert call(nodes[0], "whole", nodes=rows, close=True)["node"]["known"] == 6
    assert not call(nodes[0], "released")["changed"]

    # A primary is lost, and nobody votes for its replica; it comes back as a replica of that.
    nodes[1].kill()
    wait_for(lambda: not following(nodes[4]), "the replica to miss its primary", 30)
    assert call(nodes[4], "promoted", check=True)["changed"]
    result = call(nodes[4], "promoted")
    assert result["changed"] and result["node"]["role"] == "primary"
    assert not call(nodes[4], "promoted")["changed"]
    nodes[1].start()
    result = call(nodes[1], "following", primary_id=names[4])
    assert result["node"]["role"] == "replica" and holds(nodes[1], own(written, 1))
    swapped = {names[1]: [], names[4]: next(row["slots"] for row in rows if row["id"] == names[1])}
    moved = [{**row, "slots": swapped.get(row["id"], row["slots"])} for row in rows]
    assert call(nodes[2], "whole", nodes=moved)["node"]["slots_served"] == 16384
    with pytest.raises(ModuleFailed, match="should serve"):
        call(nodes[2], "whole", nodes=rows, wait_timeout=0)


def test_a_node_is_put_in_place_or_back_whatever_kills_it(
    make_server: MakeServer, request: pytest.FixtureRequest
) -> None:
    """SIGKILL at any instant, and again: the file is as asked, and what was there before comes back byte for byte."""
    user = 65534 if not os.geteuid() else None
    port = next(port for port in iter(free_port, None) if bus_is_free(port))
    conf = {"port": str(port), "cluster-enabled": "yes", "save": "3600 1"}
    node = make_server(build_named("redis-7.0"), conf=conf, user=user)
    node.client().execute_command("CLUSTER", "ADDSLOTS", *range(16384))
    wait_for(lambda: state(node)[0] == "ok", "the cluster to be whole", 30)
    node.client().set("a", "1")
    node.stop()
    before = data_files(node)
    name = "c" * 40
    row = {"id": name, "host": "127.0.0.1", "port": node.port, "role": "primary", "slots": [[0, 16383]], "epoch": 1}
    params = {**place(node), "wait_timeout": 30, "nodes": [row], "my_id": name, "epoch": 1, "fence": True}
    params["set_aside"] = True
    begun = time.monotonic()
    run_module("redis_cluster_node", {**params, "state": "placed"})
    took = time.monotonic() - begun
    run_module("redis_cluster_node", {**params, "state": "released"})
    assert data_files(node) == before
    chance = random.Random(7)

    def cut_short(wanted: str) -> None:
        killed = start_module("redis_cluster_node", {**params, "state": wanted})
        with contextlib.suppress(subprocess.TimeoutExpired):
            killed.communicate(timeout=chance.uniform(0.5, 1.0) * took)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(killed.pid, signal.SIGKILL)
        killed.communicate()

    for _round in range(20 if request.config.getoption("--long") else 2):
        cut_short("placed")
        if chance.random() < 0.5:
            found = run_module("redis_cluster_node", {**params, "state": "placed"})["node"]
            assert (found["id"], found["fenced"]) == (name, True)
            assert not (node.data_dir / "dump.rdb").exists()
        cut_short("released")
        run_module("redis_cluster_node", {**params, "state": "released"})
        assert data_files(node) == before
    assert not call(node, "released")["changed"]
    shutil.rmtree(node.data_dir)
    assert run_module("redis_cluster_node", {**params, "state": "placed"})["changed"]
    node.start()
    assert identity(node) == name
    wait_for(lambda: state(node)[0] == "ok", "the node to serve all slots", 30)


def data_files(node: RedisProcess) -> dict[str, bytes]:
    files = [node.conf_path, *(path for path in node.data_dir.iterdir() if path.is_file())]
    return {path.name: path.read_bytes() for path in files}
