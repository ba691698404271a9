# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A cluster comes back by the playbook alone, whatever part of it was lost, and no node serves an empty set."""

from __future__ import annotations

import contextlib
import os
import random
import re
import threading
import time
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
import redis

from support.cluster_sites import ClusterSite, NodeWatcher
from support.clusters import identity, make_cluster
from support.groups import following
from support.machine import AgeKey
from support.servers import BUILD_NAMES, Build, BuildMissing, build_named
from support.values import differences
from support.waiting import wait_for

_OTHERS = [pytest.param(name, marks=pytest.mark.long) for name in BUILD_NAMES if name in ("redis-8.2", "valkey-9.1")]
KEYS = {f"key:{number}": "x" * (number % 50) for number in range(600)}
SEED = 20261127
ROUNDS = int(os.environ.get("CLUSTER_KILLS", "8"))
READABLE = {"cluster-allow-reads-when-down": "yes"}


@pytest.fixture(params=["redis-7.0", *_OTHERS])
def version(request: pytest.FixtureRequest) -> Build:
    try:
        return build_named(request.param)
    except BuildMissing as error:
        pytest.skip(str(error))


def test_all_is_lost_under_load_and_then_a_shard(
    version: Build, make_server: Any, tmp_path: Path, age_key: AgeKey, long: bool
) -> None:
    """All files of all nodes, backed up under writes; then one shard with its replica, the others serving on."""
    nodes = make_cluster(make_server, version, replicas=1, appendonly="yes")
    site = ClusterSite(nodes, tmp_path, age_key)
    site.write(KEYS)
    ids = [identity(node) for node in nodes]
    ended = threading.Event()

    def load() -> None:
        number = 0
        while not ended.is_set():
            key = f"load:{number}"
            with contextlib.suppress(redis.RedisError), site.head_of(key).client() as client:
                client.set(key, number)
            number += 1

    writer = threading.Thread(target=load, daemon=True)
    writer.start()
    site.play("backup").ok()
    ended.set()
    writer.join()
    site.write({f"written:{number}": "after the backup" for number in range(30)})
    wanted = site.values()
    site.lose(*nodes)

    watcher = NodeWatcher(nodes)
    with watcher.watching():
        result = site.play("disaster_recovery").ok()
    assert watcher.looks > 100 and watcher.empty == [], result.stdout
    found = site.values()
    for before, after in zip(wanted, found, strict=True):
        lost = set(before) - set(after)
        assert all("load:" in str(each) or "written:" in str(each) for each in lost)
        assert any("written:" in str(each) for each in lost)
        assert differences({key: value for key, value in before.items() if key not in lost}, after) == []
    assert [identity(node) for node in nodes] == ids
    site.whole()
    report = site.report()
    assert report["ok"] and report["outcome"] == "recovered", result.stdout
    assert [shard["action"] for shard in report["shards"]] == ["recover"] * 3
    assert len({shard["backup"]["set"] for shard in report["shards"]}) == 1
    assert [shard["backup"]["keys"] for shard in report["shards"]] == [len(each) for each in found]
    if not long:
        return

    site.write({f"newer:{number}": "than the backup" for number in range(30)})
    live = site.values()
    site.lose(nodes[1], nodes[4])
    watcher = NodeWatcher(nodes)
    with watcher.watching():
        result = site.play("disaster_recovery").ok()
    assert watcher.empty == [], result.stdout
    values = site.values()
    assert differences(found[1], values[1]) == []
    assert [differences(live[number], values[number]) for number in (0, 2)] == [[], []]
    site.whole()
    assert [shard["action"] for shard in site.report()["shards"]] == ["none", "recover", "none"]
    assert site.play("disaster_recovery").ok().changed == 0


def backed_up(build: Build, make_server: Any, directory: Path, key: AgeKey, **conf: str) -> ClusterSite:
    """A cluster of three shards with a replica each, and a set of backups of it."""
    site = ClusterSite(make_cluster(make_server, build, replicas=1, **conf), directory, key)
    site.write(KEYS)
    site.play("backup").ok()
    return site


@pytest.mark.long
def test_replicas_alone_are_lost(version: Build, make_server: Any, tmp_path: Path, age_key: AgeKey) -> None:
    """One with all its files, one came back empty as a stranger: both are fed again, unasked and without a backup."""
    site = backed_up(version, make_server, tmp_path, age_key, save="3600 1")
    nodes = site.nodes
    live = site.values()
    ids = [identity(node) for node in nodes]
    site.lose(nodes[3], nodes[4])
    nodes[4].start()
    assert identity(nodes[4]) != ids[4]
    dry = site.play("disaster_recovery", check=True).ok()
    assert nodes[3].pid is None, dry.stdout
    watcher = NodeWatcher([nodes[3], nodes[5], *site.heads])
    with watcher.watching():
        result = site.play("disaster_recovery").ok()
    assert watcher.empty == [], result.stdout
    assert site.values() == live and [identity(node) for node in nodes] == ids
    site.whole()
    assert site.report()["outcome"] == "fed"
    assert site.play("disaster_recovery").ok().changed == 0


@pytest.mark.long
def test_a_primary_came_back_as_a_stranger(version: Build, make_server: Any, tmp_path: Path, age_key: AgeKey) -> None:
    """A shard lost its files, and its primary was started again at once: empty, with an identity that nobody knows."""
    site = backed_up(version, make_server, tmp_path, age_key, save="3600 1")
    nodes = site.nodes
    ids = [identity(node) for node in nodes]
    live = site.values()
    site.lose(nodes[1], nodes[4])
    nodes[1].start()
    assert identity(nodes[1]) != ids[1]
    result = site.play("disaster_recovery").ok()
    assert site.values() == live and [identity(node) for node in nodes] == ids, result.stdout
    site.whole()
    assert [shard["action"] for shard in site.report()["shards"]] == ["none", "recover", "none"]
    assert site.play("disaster_recovery").ok().changed == 0


@pytest.mark.long
def test_the_set_before_a_time_is_taken(version: Build, make_server: Any, tmp_path: Path, age_key: AgeKey) -> None:
    """Two sets, and a mistake between them: all shards come back as the older one has them."""
    site = backed_up(version, make_server, tmp_path, age_key, save="3600 1")
    wanted = site.values()
    time.sleep(1.1)  # the next second begins: a time is told in seconds
    before = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    time.sleep(1.1)
    site.write({f"mistaken:{number}": "1" for number in range(30)})
    site.play("backup").ok()
    site.lose(*site.nodes)
    result = site.play("disaster_recovery", {"redis_disaster_recovery_at": before}).ok()
    assert site.values() == wanted, result.stdout
    site.whole()
    assert len({shard["backup"]["set"] for shard in site.report()["shards"]}) == 1


@pytest.mark.long
def test_a_shard_is_emptied_while_it_runs(version: Build, make_server: Any, tmp_path: Path, age_key: AgeKey) -> None:
    """FLUSHALL, copied by the replica: the other shards keep what is newer than the backup, nobody fails over."""
    site = backed_up(version, make_server, tmp_path, age_key, appendonly="yes")
    nodes = site.nodes
    before = site.values()
    site.write({f"newer:{number}": "1" for number in range(30)})
    live = site.values()
    with nodes[2].client() as client:
        client.flushall()
        assert client.wait(1, 30000) == 1
    result = site.play("disaster_recovery").ok()
    found = site.values()
    assert found[:2] == live[:2] and differences(before[2], found[2]) == [], result.stdout
    site.whole()
    assert [shard["action"] for shard in site.report()["shards"]] == ["none", "none", "recover"]


@pytest.mark.long
def test_a_failover_is_waited_for(version: Build, make_server: Any, tmp_path: Path, age_key: AgeKey) -> None:
    """A primary is lost with its files, its replica has the data: it takes over, and the lost one copies it."""
    site = backed_up(version, make_server, tmp_path, age_key, save="3600 1")
    nodes = site.nodes
    site.write({f"newer:{number}": "1" for number in range(30)})
    live = site.values()
    lost, replica = nodes[0], nodes[3]
    own = identity(lost)
    site.lose(lost)
    result = site.play("disaster_recovery").ok()
    nodes[0], nodes[3] = replica, lost
    assert site.values() == live, result.stdout
    assert identity(lost) == own
    site.whole()
    assert site.report()["outcome"] == "fed"


@pytest.mark.long
def test_replicas_are_promoted_when_an_operator_says_so(
    version: Build, make_server: Any, tmp_path: Path, age_key: AgeKey
) -> None:
    """Two primaries of three are lost with their files: no majority promotes, and their replicas hold newer data."""
    site = backed_up(version, make_server, tmp_path, age_key, save="3600 1")
    nodes = site.nodes
    site.write({f"newer:{number}": "1" for number in range(30)})
    live = site.values()
    ids = [identity(node) for node in nodes]
    site.lose(nodes[0], nodes[1])
    quickly = {"redis_disaster_recovery_failover_wait": 5}
    refused = site.play("disaster_recovery", quickly)
    assert refused.rc != 0 and "redis_disaster_recovery_promote=" in refused.stdout
    assert nodes[0].pid is None and nodes[1].pid is None

    chosen = [site.name(nodes[3]), site.name(nodes[4])]
    watcher = NodeWatcher(nodes)
    with watcher.watching():
        result = site.play("disaster_recovery", {**quickly, "redis_disaster_recovery_promote": chosen}).ok()
    assert watcher.empty == [], result.stdout
    site.nodes[:] = [nodes[3], nodes[4], nodes[2], nodes[0], nodes[1], nodes[5]]
    assert site.values() == live, result.stdout
    assert [identity(node) for node in site.nodes] == [ids[number] for number in (3, 4, 2, 0, 1, 5)]
    site.whole()
    assert site.report()["outcome"] == "promoted"
    assert site.play("disaster_recovery").ok().changed == 0


@pytest.mark.long
def test_files_that_are_left_are_not_put_aside_unasked(
    version: Build, make_server: Any, tmp_path: Path, age_key: AgeKey
) -> None:
    """A power cut: all are down, nothing is lost. The run says so; started, the cluster is as it was."""
    site = backed_up(version, make_server, tmp_path, age_key, appendonly="yes", appendfsync="always")
    live = site.values()
    for node in site.nodes:
        node.kill()
    files = {node.port: sorted(node.data_dir.rglob("*")) for node in site.nodes}
    refused = site.play("disaster_recovery")
    assert refused.rc != 0 and "start h1-data" in refused.stdout
    assert files == {node.port: sorted(node.data_dir.rglob("*")) for node in site.nodes}
    for node in site.nodes:
        node.start()
    site.whole()
    assert site.values() == live


@pytest.mark.long
def test_what_cannot_be_reached_is_named(version: Build, make_server: Any, tmp_path: Path, age_key: AgeKey) -> None:
    """All is lost, and a primary's host does not answer: the others come back, and it when its name was said."""
    site = backed_up(version, make_server, tmp_path, age_key, save="3600 1", **READABLE)
    nodes = site.nodes
    before = site.values()
    site.lose(*nodes)
    site.unreachable.add("h1")
    result = site.play("disaster_recovery")
    assert result.rc != 0 and "h1-data" in result.stdout
    assert site.report()["outcome"] == "recovered" and not site.report()["ok"]
    assert [differences(before[number], site.values_of(nodes[number])) for number in (1, 2)] == [[], []]
    assert nodes[3].pid is None
    told = str(site.report()["group"]["left_over"])
    found = re.search(r"redis_disaster_recovery_confirm=([\w.:-]+)", told)
    assert found, told
    result = site.play("disaster_recovery", {"redis_disaster_recovery_confirm": found[1]})
    assert result.rc != 0 and "its host h1 cannot be reached" in result.stdout
    assert differences(before[0], site.values_of(nodes[3])) == [], result.stdout


@pytest.mark.long
def test_a_recovery_that_fails_leaves_all_as_it_was(
    version: Build, make_server: Any, tmp_path: Path, age_key: AgeKey
) -> None:
    """One shard was emptied while it ran, one lost its files: what comes back is refused, and all is as before."""
    site = backed_up(version, make_server, tmp_path, age_key, save="3600 1", **READABLE)
    nodes = site.nodes
    ids = [identity(node) for node in nodes]
    live = site.values()
    with nodes[2].client() as client:
        client.flushall()
        assert client.wait(1, 30000) == 1
    site.lose(nodes[1], nodes[4])
    confs = [node.conf_path.read_bytes() for node in nodes]
    result = site.play("disaster_recovery", {"redis_restore_expect": {"keys_max": 0}})
    assert result.rc != 0 and "rolled back" in site.report()["error"], result.stdout
    assert [node.conf_path.read_bytes() for node in nodes] == confs
    assert nodes[1].pid is None and nodes[4].pid is None
    assert not any((nodes[number].data_dir / "nodes.conf").exists() for number in (1, 4))
    wait_for(lambda: following(nodes[5]) == nodes[2].port, "the replica to follow again", 60)
    assert [site.values_of(nodes[number]) for number in (0, 2, 5)] == [live[0], {}, {}]
    site.play("disaster_recovery").ok()
    site.whole()
    assert site.values() == live and [identity(node) for node in nodes] == ids


@pytest.mark.long
def test_a_controller_killed_at_random_instants(
    any_build: Build, make_server: Any, tmp_path: Path, age_key: AgeKey
) -> None:
    """SIGKILL to ansible-playbook and all it started, in the middle; the same again ends well."""
    site = backed_up(any_build, make_server, tmp_path, age_key, appendonly="yes")
    wanted = site.values()
    chance = random.Random(SEED)
    begun = time.monotonic()
    site.lose(*site.nodes)
    site.play("disaster_recovery").ok()
    lasted = time.monotonic() - begun
    names = [site.name(node) for node in site.nodes]
    for _round in range(ROUNDS):
        site.lose(*site.nodes)
        site.play("disaster_recovery", kill_after=chance.uniform(0.2, 1.0) * lasted)
        again = site.play("disaster_recovery", {"redis_disaster_recovery_confirm": names}).ok()
        assert [differences(*each) for each in zip(wanted, site.values(), strict=True)] == [[], [], []], again.stdout
        site.whole()
