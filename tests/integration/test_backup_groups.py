# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Servers that hold their data together are backed up once, from the best of them; a cluster as a set."""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from support.clusters import SLOTS, give_slots, identity, make_cluster
from support.clusters import table as nodes_table
from support.fleets import Fleet, table, told
from support.groups import Group, following, make_group
from support.modules import ModuleFailed, finish, run_module, start_module
from support.pace import values_after, writing
from support.servers import Build, BuildMissing, RedisProcess, build_named
from support.waiting import wait_for

PASSWORD = "correct-horse-battery-staple"
_NEWER = [pytest.param(name, marks=pytest.mark.long) for name in ("redis-8.2", "valkey-9.1")]


@pytest.fixture(params=["redis-7.0", *_NEWER])
def version(request: pytest.FixtureRequest) -> Build:
    """One version, with --long the newer ones as well."""
    try:
        return build_named(request.param)
    except BuildMissing as error:
        pytest.skip(str(error))


def fleet_of(group: Group, directory: Path) -> Fleet:
    named = {"first": group.primary}
    named.update({f"copy{number}": server for number, server in enumerate(group.replicas, 1)})
    named.update({f"watch{number}": server for number, server in enumerate(group.sentinels, 1)})
    return Fleet(directory, **named)


def break_link(primary: RedisProcess, replica: RedisProcess) -> None:
    """Have a replica lose its primary for good, though both run."""
    replica.client().config_set("masterauth", "not it")
    replica.client().execute_command("CLIENT", "KILL", "TYPE", "master")
    wait_for(lambda: not following(replica), "the link to break")


# --- replication groups ---


def test_a_group_is_backed_up_once_from_a_replica_while_it_is_written_to(
    version: Build, make_server: Any, tmp_path: Path
) -> None:
    """What the one backup holds is what the primary held after some write, to the last of them."""
    group = make_group(make_server, version, replicas=2, sentinels=1)
    fleet = fleet_of(group, tmp_path)
    with writing(group.primary, 500) as pace:
        wait_for(lambda: pace.count > 200, "some writes")
        result = fleet.back_up().ok()
        [(name, labels)] = list(fleet.backups().items())
    assert name in ("copy1", "copy2")
    client = fleet.load(name, labels[0], version, make_server).client()
    found = {key: client.get(key) for key in client.scan_iter(count=1000)}
    numbers = [int(value[:12]) for value in found.values() if value]
    assert found == values_after(max(numbers))
    lines = table(result)
    assert lines[0].startswith("1 instance, 1 backed up"), lines
    assert any(line.startswith(name) and labels[0] in line for line in lines)
    assert any("Not asked" in line and "first" in line and "watch1" in line for line in lines)


def test_a_replica_with_a_broken_link_is_not_chosen_and_the_primary_only_where_it_may(
    any_build: Build, make_server: Any, tmp_path: Path
) -> None:
    group = make_group(make_server, any_build, replicas=2, sentinels=0, requirepass=PASSWORD)
    group.primary.client().mset({f"k{n}": n for n in range(100)})
    fleet = fleet_of(group, tmp_path)
    break_link(group.primary, group.replicas[0])
    result = fleet.back_up().ok()
    assert list(fleet.backups()) == ["copy2"]
    assert "copy1: its link to the primary is down" in told(result)

    break_link(group.primary, group.replicas[1])
    refused = fleet.back_up({"redis_backup_from": "replica"}, arguments=["-vvv"])
    assert refused.rc != 0 and list(fleet.backups()) == ["copy2"]
    assert "copy1: its link to the primary is down" in refused.stdout and "no replica is fit" in refused.stdout
    fleet.back_up().ok()
    assert sorted(fleet.backups()) == ["copy2", "first"]
    again = fleet.back_up({"redis_backup_max_age": 3600, "redis_backup_from": "primary"}).ok()
    assert again.changed == 0 and "1 young enough" in table(again)[0]
    assert PASSWORD not in refused.stdout


def test_only_the_primary_and_a_server_that_the_inventory_lacks(
    any_build: Build, make_server: Any, tmp_path: Path
) -> None:
    """What is there is backed up, what is missing named, and the run fails at its end; unless it may be missing."""
    group = make_group(make_server, any_build, replicas=2, sentinels=0)
    fleet = fleet_of(group, tmp_path)
    fleet.servers["alone"] = make_server(any_build)
    result = fleet.back_up({"redis_backup_from": "primary"}, leave_out=["copy2"])
    assert result.rc != 0
    assert sorted(fleet.backups()) == ["alone", "first"]
    assert f":{group.replicas[1].port} (replica of first) is not in the inventory" in told(result)
    limited = fleet.back_up(limit="first,copy1", check=True).ok()
    assert "is not in the inventory" in told(limited)


# --- clusters ---


def test_a_cluster_is_backed_up_as_a_set(version: Build, make_server: Any, tmp_path: Path) -> None:
    nodes = make_cluster(make_server, version, 3, 1)
    names = ["p1", "p2", "p3", "r1", "r2", "r3"]
    fleet = Fleet(tmp_path, **dict(zip(names, nodes, strict=True)))
    fill(nodes[:3], 600)
    result = fleet.back_up().ok()
    assert sorted(fleet.backups()) == ["r1", "r2", "r3"]
    (found,) = fleet.catalog()["sets"]
    assert found["complete"] and found["usable"] and not found["missing"], found
    assert [member["slots"] for member in found["members"]] == [
        [[n * SLOTS // 3, (n + 1) * SLOTS // 3 - 1]] for n in range(3)
    ]
    assert [member["instance"] for member in found["members"]] == ["r1", "r2", "r3"]
    assert sum(member["keys"] for member in found["members"]) == 600
    assert 0 <= found["spread_seconds"] < 600
    assert fleet.catalog(instance="r2")["sets"] == [found]
    assert fleet.catalog(instance="r2")["latest"]["set"]["id"] == found["id"]
    again = fleet.back_up({"redis_backup_max_age": 3600}).ok()
    assert again.changed == 0 and "3 young enough" in table(again)[0], result.stdout

    with nodes[0].client() as client:
        client.execute_command("CLUSTER", "SETSLOT", 5, "MIGRATING", identity(nodes[1]))
    refused = fleet.back_up()
    assert refused.rc != 0 and "slots are being moved" in told(refused)
    assert len(fleet.catalog()["backups"]) == 3
    with nodes[0].client() as client:
        client.execute_command("CLUSTER", "SETSLOT", 5, "STABLE")

    partly = fleet.back_up(leave_out=["p3", "r3"])
    assert partly.rc != 0 and f":{nodes[2].port} (primary) is not in the inventory" in told(partly)
    first, second = fleet.catalog()["sets"]
    assert first == found
    assert not second["complete"] and not second["usable"] and len(second["members"]) == 2
    assert second["missing"] == ["1 of 3 shards", f"the slots {2 * SLOTS // 3}-{SLOTS - 1}"]


def fill(primaries: list[RedisProcess], count: int) -> None:
    """So many keys, each where it belongs."""
    owners = [(slots_of(node), node.client()) for node in primaries]
    for number in range(count):
        slot = int(owners[0][1].execute_command("CLUSTER", "KEYSLOT", f"k{number}"))
        next(client for slots, client in owners if slot in slots).set(f"k{number}", number)


def slots_of(node: RedisProcess) -> range:
    """The slots of a node that serves one range."""
    (mine,) = [line for line in nodes_table(node) if "myself" in line]
    first, last = mine.split()[8].split("-")
    return range(int(first), int(last) + 1)


@pytest.mark.parametrize("source", [pytest.param("primary", marks=pytest.mark.long), "replica"])
def test_slots_that_move_meanwhile_leave_no_backup(
    source: str, any_build: Build, make_server: Any, tmp_path: Path
) -> None:
    """Seen right before the snapshot, and seen after it: either way the set stays incomplete."""
    nodes = make_cluster(make_server, any_build, 3, 1 if source == "replica" else 0)
    node = nodes[0] if source == "primary" else nodes[3]
    with nodes[0].client() as client:
        last = slots_of(nodes[0])[-1]
        names = [n for n in range(9000) if int(client.execute_command("CLUSTER", "KEYSLOT", f"k{n}")) <= last - 1][:400]
        for number in names:
            client.set(f"k{number}", number)
    fleet = Fleet(tmp_path, node=node)
    part = {"id": "set-1", "shards": 3, "shard": "one", "slots": [[0, last]]}
    params = {**fleet.instance("node", node), "instance": "node", "repositories": [fleet.place], "set": part}
    del params["name"]

    with pytest.raises(ModuleFailed, match="serves the slots 0-5460, and served 0-5000"):
        run_module("redis_backup", {**params, "set": {**part, "slots": [[0, 5000]]}})
    node.client().config_set("rdb-key-save-delay", 5000)
    running = start_module("redis_backup", params)
    wait_for(lambda: is_saving(node), "the snapshot to begin")
    give_slots(nodes[:3], [last], nodes[1])
    node.client().config_set("rdb-key-save-delay", 0)
    with pytest.raises(ModuleFailed, match="serves the slots 0-5459, and served 0-5460 when the set was begun"):
        finish(running, "redis_backup")
    assert fleet.backups() == {} and list(fleet.repository.glob("node/backup/*")) == []
    assert fleet.catalog()["sets"] == []


def is_saving(server: RedisProcess) -> bool:
    with server.client() as client:
        return bool(client.info("persistence")["rdb_bgsave_in_progress"])


# --- what hangs, and what must wait ---


def test_a_server_that_hangs_is_given_up_and_the_others_are_backed_up(
    any_build: Build, make_server: Any, tmp_path: Path
) -> None:
    fleet = Fleet(tmp_path, good=make_server(any_build), hung=make_server(any_build), other=make_server(any_build))
    fleet.back_up({"redis_backup_throttle": 1}).ok()
    pid = fleet.servers["hung"].pid
    assert pid
    os.kill(pid, signal.SIGSTOP)
    try:
        result = fleet.back_up({"redis_common_look_timeout": 20, "redis_backup_timeout": 20})
    finally:
        os.kill(pid, signal.SIGCONT)
    assert result.rc != 0
    assert {name: len(labels) for name, labels in fleet.backups().items()} == {"good": 2, "hung": 1, "other": 2}
    lines = table(result)
    (row,) = [line for line in lines if line.startswith("hung ") and "TIMED OUT" in line]
    assert not row.endswith("-"), lines  # how old its newest backup is
    assert any(line.startswith("hung  its backup did not end within 20 s (redis_backup_timeout)") for line in lines)
    assert result.stats["good"]["failures"] == 0 and result.stats["hung"]["failures"] == 1


def has_forked(server: RedisProcess) -> bool:
    """Whether a child of the server is at work. INFO tells of one until the server has looked after it, 0.1 s later."""
    children = Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text().split()
    states = []
    for child in children:
        with contextlib.suppress(OSError):
            states.append(Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()[0])
    return any(state not in "ZX" for state in states)


def test_one_host_takes_one_snapshot_at_a_time(any_build: Build, make_server: Any, tmp_path: Path) -> None:
    """Two inventory hosts on one machine, backed up in the same moment."""
    slow = {"rdb-key-save-delay": "2000"}
    fleet = Fleet(tmp_path, one=make_server(any_build, conf=slow), two=make_server(any_build, conf=slow))
    processes = []
    for name, server in fleet.servers.items():
        server.client().mset({f"k{n}": n for n in range(300)})
        params = {**fleet.instance(name, server), "instance": name, "repositories": [fleet.place]}
        del params["name"]
        processes.append(start_module("redis_backup", params))
    both, ever = 0, set()

    def ended() -> bool:
        nonlocal both
        saving = [name for name, server in fleet.servers.items() if has_forked(server)]
        ever.update(saving)
        both += len(saving) == 2
        return all(process.poll() is not None for process in processes)

    wait_for(ended, "both backups", 60)
    for process in processes:
        finish(process, "redis_backup")
    assert both == 0 and ever == {"one", "two"}
