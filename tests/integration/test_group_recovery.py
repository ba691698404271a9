# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A replication group comes back by the playbook alone, and nobody fails over or serves an empty set meanwhile."""

from __future__ import annotations

import random
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from support.group_sites import GroupSite, Watcher
from support.groups import NAME, PATIENT_MS, Group, following, make_group, sentinel_master, view
from support.machine import AgeKey
from support.servers import BUILD_NAMES, Build, BuildMissing, RedisProcess, build_named
from support.values import differences, snapshot_values
from support.waiting import wait_for

SEED = 20261126
_OTHERS = [pytest.param(name, marks=pytest.mark.long) for name in BUILD_NAMES if name in ("redis-8.2", "valkey-9.1")]


@pytest.fixture(params=["redis-7.0", *_OTHERS])
def version(request: pytest.FixtureRequest) -> Build:
    try:
        return build_named(request.param)
    except BuildMissing as error:
        pytest.skip(str(error))


def fill(group: Group, count: int = 300) -> None:
    with group.primary.client() as client:
        client.mset({f"key:{n}": "x" * n for n in range(count)})


def is_whole(group: Group, primary: RedisProcess | None = None) -> None:
    """The Sentinels see the right primary and a quorum, not held, and a write to it reaches its replicas."""
    primary = primary or group.primary
    replicas = [each for each in group.servers if each is not primary]
    for sentinel in group.sentinels:
        port, flags, count, others = view(sentinel, group.name)
        assert (port, flags, count, others) == (primary.port, ["master"], len(replicas), len(group.sentinels) - 1)
        assert sentinel_master(sentinel, group.name)["down-after-milliseconds"] == str(PATIENT_MS)
        with sentinel.client() as client:
            assert client.execute_command("SENTINEL", "CKQUORUM", group.name)
    for replica in replicas:
        assert following(replica) == primary.port
        assert "globalscope" not in replica.conf_path.read_text()
        with replica.client() as client:
            assert client.config_get("replica-serve-stale-data") == {"replica-serve-stale-data": "yes"}
    with primary.client() as client:
        client.set("probe", "1")
        assert client.wait(len(replicas), 10000) == len(replicas)
        client.delete("probe")


def test_all_of_a_group_is_lost_under_load(version: Build, make_server: Any, tmp_path: Path, age_key: AgeKey) -> None:
    """Backed up under writes, destroyed, recovered: equal to the backup, and in no moment anything else."""
    group = make_group(make_server, version, replicas=2, appendonly="yes")
    site = GroupSite(group, tmp_path, age_key)
    fill(group)
    ended = threading.Event()

    def write() -> None:
        with group.primary.client() as client:
            number = 0
            while not ended.is_set():
                client.set(f"load:{number}", number)
                number += 1
                time.sleep(0.001)

    writer = threading.Thread(target=write, daemon=True)
    writer.start()
    site.play("backup").ok()
    ended.set()
    writer.join()
    with group.primary.client() as client:
        client.set("written:after:the:backup", "lost")
    wanted = snapshot_values(group.primary.client())
    site.lose(*group.servers)

    watcher = Watcher(group)
    with watcher.watching():
        result = site.play("disaster_recovery").ok()

    assert watcher.looks > 100 and watcher.empty == [] and not watcher.failed_over(), watcher.views
    assert all("+switch-master" not in sentinel.log for sentinel in group.sentinels)
    found = snapshot_values(group.primary.client())
    lost = set(wanted) - set(found)
    assert (0, b"written:after:the:backup") in lost or any(b"written" in bytes(str(each), "utf8") for each in lost)
    assert differences({key: value for key, value in wanted.items() if key not in lost}, found) == []
    assert all("load:" in str(each) or "written" in str(each) for each in lost)
    for replica in group.replicas:
        assert differences(found, snapshot_values(replica.client())) == []
    is_whole(group)
    report = site.report()
    assert report["ok"] and report["outcome"] == "recovered" and report["group"]["id"] == NAME, result.stdout
    assert len(report["group"]["members"]) == 5 and report["group"]["left_over"] == []
    assert report["backup"]["keys"] == len(found)
    again = site.play("disaster_recovery").ok()
    assert again.changed == 0, again.stdout


def backed_up(group: Group, directory: Path, key: AgeKey) -> tuple[GroupSite, dict[Any, Any]]:
    """A site with a backup of some data, and the data."""
    site = GroupSite(group, directory, key)
    fill(group)
    site.play("backup").ok()
    return site, snapshot_values(group.primary.client())


@pytest.mark.long
def test_a_replica_and_all_sentinels_are_lost(
    any_build: Build, make_server: Any, tmp_path: Path, age_key: AgeKey
) -> None:
    """The primary goes on serving: the replica copies it again, the Sentinels start from their files, unasked."""
    group = make_group(make_server, any_build, replicas=1, save="3600 1")
    site = GroupSite(group, tmp_path, age_key)
    fill(group)
    wanted = snapshot_values(group.primary.client())
    for sentinel in group.sentinels:
        sentinel.destroy()
    site.lose(group.replicas[0])
    dry = site.play("disaster_recovery", check=True).ok()
    assert not any(each.pid for each in (*group.replicas, *group.sentinels)), dry.stdout
    watcher = Watcher(group)
    with watcher.watching():
        result = site.play("disaster_recovery").ok()
    assert watcher.empty == []
    is_whole(group)
    assert differences(wanted, snapshot_values(group.replicas[0].client())) == []
    report = site.report()
    assert report["outcome"] == "fed" and report["rto_seconds"] is None, result.stdout
    assert "No write" in report["lost"]


def test_a_recovery_that_fails_leaves_all_as_it_was(
    any_build: Build, make_server: Any, tmp_path: Path, age_key: AgeKey
) -> None:
    group = make_group(make_server, any_build, replicas=1, appendonly="yes")
    site, _wanted = backed_up(group, tmp_path, age_key)
    with group.primary.client() as client:
        client.set("newer:than:the:backup", "1")
        assert client.wait(1, 10000) == 1
    live = snapshot_values(group.primary.client())
    confs = {each.port: each.conf_path.read_bytes() for each in group.servers}
    wrong = {
        "redis_disaster_recovery_force": True,
        "redis_disaster_recovery_confirm": site.name(group.primary),
        "redis_restore_expect": {"present": ["no:such:key"]},
    }
    watcher = Watcher(group)
    with watcher.watching():
        result = site.play("disaster_recovery", wrong)
    assert result.rc != 0 and "rolled back" in site.report()["error"]
    assert watcher.empty == [] and not watcher.failed_over()
    for server in group.servers:
        wait_for(lambda server=server: server.pid is not None, f"{server!r} to run")
    group.wait_in_step()
    for server in group.servers:
        assert differences(live, snapshot_values(server.client())) == []
    assert {each.port: each.conf_path.read_bytes() for each in group.servers} == confs
    group.wait_agreed()
    is_whole(group)


@pytest.mark.long
def test_the_newest_data_is_not_thrown_away_unasked(
    any_build: Build, make_server: Any, tmp_path: Path, age_key: AgeKey
) -> None:
    """No Sentinel, the primary is lost, a replica lives: it is promoted when its name is said, and only then."""
    group = make_group(make_server, any_build, replicas=2, sentinels=0, save="3600 1")
    site, _wanted = backed_up(group, tmp_path, age_key)
    with group.primary.client() as client:
        client.set("newer:than:the:backup", "1")
        assert client.wait(2, 10000) == 2
    live = snapshot_values(group.primary.client())
    site.lose(group.primary)
    refused = site.play("disaster_recovery")
    assert refused.rc != 0 and "redis_disaster_recovery_promote=h2-data" in refused.stdout
    assert site.report()["outcome"] == "failed"
    assert group.primary.pid is None and list(group.primary.data_dir.iterdir()) == []
    promoted = group.replicas[0]
    result = site.play("disaster_recovery", {"redis_disaster_recovery_promote": "h2-data"}).ok()
    is_whole(group, promoted)
    for server in group.servers:
        assert differences(live, snapshot_values(server.client())) == [], result.stdout
    assert site.report()["outcome"] == "promoted" and "Point the clients to h2-data" in str(site.report()["next_steps"])
    assert site.play("disaster_recovery").ok().changed == 0


@pytest.mark.long
def test_a_backup_in_place_of_newer_data_keeps_that_aside(
    any_build: Build, make_server: Any, tmp_path: Path, age_key: AgeKey
) -> None:
    """An operator may choose the backup all the same: what the replica held is kept."""
    group = make_group(make_server, any_build, replicas=1, sentinels=0, save="3600 1")
    site, wanted = backed_up(group, tmp_path, age_key)
    with group.primary.client() as client:
        client.set("newer:than:the:backup", "1")
        assert client.wait(1, 10000) == 1
    site.lose(group.primary)
    site.play("disaster_recovery", {"redis_disaster_recovery_confirm": ["h1-data", "h2-data"]}).ok()
    for server in group.servers:
        assert differences(wanted, snapshot_values(server.client())) == []
    (kept,) = group.replicas[0].data_dir.glob(".redis_backup/*/previous/dump.rdb")
    assert b"newer:than:the:backup" in kept.read_bytes()
    assert str(kept.parent) in str(site.report()["group"]["members"])


@pytest.mark.long
def test_sentinels_fail_over_and_the_old_primary_comes_back_as_a_replica(
    any_build: Build, make_server: Any, tmp_path: Path, age_key: AgeKey
) -> None:
    """The primary alone is lost: its Sentinels promote a replica, and nothing is lost. The old one starts fenced."""
    group = make_group(make_server, any_build, replicas=2)
    site, _wanted = backed_up(group, tmp_path, age_key)
    with group.primary.client() as client:
        client.set("newer:than:the:backup", "1")
        assert client.wait(2, 10000) == 2
    live = snapshot_values(group.primary.client())
    old = group.primary
    site.lose(old)
    group.set_in_sentinels("down-after-milliseconds", 3000)
    watcher = Watcher(group)
    with watcher.watching():
        result = site.play("disaster_recovery").ok()
    assert watcher.empty == []
    new = next(each for each in group.servers if each.port == view(group.sentinels[0], NAME)[0])
    assert new is not old and site.report()["outcome"] == "fed", result.stdout
    group.set_in_sentinels("down-after-milliseconds", PATIENT_MS)
    is_whole(group, new)
    for server in group.servers:
        assert differences(live, snapshot_values(server.client())) == []


@pytest.mark.long
def test_what_cannot_be_reached_is_named_and_the_rest_recovered(
    any_build: Build, make_server: Any, tmp_path: Path, age_key: AgeKey
) -> None:
    """The primary's host does not answer, all else is lost: another becomes the primary, and the run ends non-zero."""
    group = make_group(make_server, any_build, replicas=2, sentinels=3)
    site, wanted = backed_up(group, tmp_path, age_key)
    gone = group.sentinels[0]
    site.lose(*group.servers)
    gone.destroy()
    site.unreachable.add("h1")
    watcher = Watcher(group)
    with watcher.watching():
        # Who a loopback address means on a host that does not answer, nobody can tell.
        refused = site.play("disaster_recovery")
        where = f"127.0.0.1:{group.primary.port}"
        assert refused.rc != 0 and f"redis_disaster_recovery_confirm={where}" in refused.stdout
        assert not any(each.pid for each in group.servers)
        result = site.play("disaster_recovery", {"redis_disaster_recovery_confirm": where})
    assert result.rc != 0 and "h1-data: its host h1 cannot be reached" in result.stdout
    assert watcher.empty == []
    first, second = group.replicas
    assert differences(wanted, snapshot_values(first.client())) == [], result.stdout
    assert differences(wanted, snapshot_values(second.client())) == []
    assert following(second) == first.port and "replicaof" not in first.conf_path.read_text()
    for sentinel in group.sentinels[1:]:
        assert view(sentinel, NAME)[:2] == (first.port, ["master"])
        assert sentinel_master(sentinel)["down-after-milliseconds"] == str(PATIENT_MS)
    report = site.report()
    assert report["outcome"] == "recovered" and not report["ok"]
    assert where in str(report["group"]["left_over"])


def test_a_controller_killed_at_a_random_instant(
    any_build: Build, make_server: Any, tmp_path: Path, age_key: AgeKey, long: bool
) -> None:
    """SIGKILL to ansible-playbook and all it started, in the middle; the same again ends well."""
    group = make_group(make_server, any_build, replicas=1, sentinels=1, appendonly="yes")
    site, wanted = backed_up(group, tmp_path, age_key)
    chance = random.Random(SEED)
    begun = time.monotonic()
    site.lose(*group.servers)
    site.play("disaster_recovery").ok()
    lasted = time.monotonic() - begun
    for _round in range(20 if long else 1):
        site.lose(*group.servers)
        site.play("disaster_recovery", kill_after=chance.uniform(0.2, 1.0) * lasted)
        again = site.play("disaster_recovery", {"redis_disaster_recovery_confirm": ["h1-data", "h2-data"]}).ok()
        assert differences(wanted, snapshot_values(group.primary.client())) == [], again.stdout
        is_whole(group)


@pytest.mark.long
def test_no_password_is_shown_or_left(any_build: Build, make_server: Any, tmp_path: Path, age_key: AgeKey) -> None:
    """The password of servers and Sentinel stays out of the output at a high verbosity, and off the disk."""
    password = "correct-horse-battery-staple"
    group = make_group(make_server, any_build, replicas=1, sentinels=1, appendonly="yes", requirepass=password)
    site = GroupSite(group, tmp_path, age_key)
    fill(group)
    output = site.play("backup", arguments=["-vvv"]).ok().stdout
    site.lose(*group.servers)
    output += site.play("disaster_recovery", arguments=["-vvv"]).ok().stdout
    assert following(group.replicas[0]) == group.primary.port
    assert password not in output
    for path in (each for each in tmp_path.rglob("*") if each.is_file()):
        assert password.encode() not in path.read_bytes(), path
