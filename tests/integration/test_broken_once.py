# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults that were found by trying to break the product, each a named test."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from support.machine import AgeKey
from support.modules import ModuleFailed, run_module
from support.restores import SOURCE, TARGET, WORKSPACE, Backup, Restore, back_up, data_tree, fill_with_old_data, refused
from support.servers import Build, RedisProcess
from support.sites import Site
from support.values import differences, snapshot_values
from support.waiting import wait_for


def committed_halfway(restore: Restore) -> Path:
    """A restore whose commit died when writes were open already: its journal says so."""
    restore.step("staged")
    restore.server.stop()
    restore.step("active", close_writes=True)
    restore.server.start()
    restore.step("committed")
    (journal,) = restore.server.data_dir.glob(f"{WORKSPACE}/*/journal.json")
    journal.write_text(journal.read_text().replace('"state": "committed"', '"state": "committing"'))
    return journal


def test_a_commit_that_died_never_leads_back_to_a_rollback(target: RedisProcess, backup: Backup) -> None:
    """Writes may be open from the first moment of a commit: all that is left is to finish it."""
    restore = Restore(target, backup)
    journal = committed_halfway(restore)
    target.client().set("written", "after writes were open")
    target.stop()
    before = data_tree(target)
    for state, words in (("rolled_back", "proven good"), ("active", "being committed")):
        refused(restore, state, words)
    assert data_tree(target) == before
    target.start()
    again = restore.step("staged")
    assert json.loads(journal.read_text())["state"] == "committed"
    assert again["restore"]["state"] == "committed"
    assert target.client().get("written") == b"after writes were open"


def test_a_recovery_finishes_a_commit_that_died(
    any_build: Build, make_server: Any, tmp_path: Path, age_key: AgeKey
) -> None:
    """The data that clients wrote meanwhile stays, and nothing is asked."""
    server = make_server(any_build, conf={"appendonly": "yes"})
    site = Site(server, tmp_path, age_key)
    server.client().mset({f"k{n}": n for n in range(50)})
    site.play("backup").ok()
    site.lose_the_disk()
    site.play("disaster_recovery").ok()
    (journal,) = server.data_dir.glob(f"{WORKSPACE}/*/journal.json")
    journal.write_text(journal.read_text().replace('"state": "committed"', '"state": "committing"'))
    server.client().mset({f"new{n}": n for n in range(100)})
    site.play("disaster_recovery").ok()
    assert server.client().dbsize() == 150
    assert json.loads(journal.read_text())["state"] == "committed"


def test_a_restore_that_takes_writes_is_not_gone_on_with(target: RedisProcess, backup: Backup) -> None:
    """Somebody opened writes by hand: verifying by counts now, and rolling back, would throw new data away."""
    restore = Restore(target, backup)
    restore.step("staged")
    target.stop()
    restore.step("active")
    target.start()
    target.client().set("new", "1")
    with pytest.raises(ModuleFailed, match="takes writes already"):
        restore.step("staged")
    assert target.client().get("new") == b"1"


def test_a_damaged_memory_of_the_host_does_not_undo_a_restore(
    target: RedisProcess, backup: Backup, tmp_path: Path
) -> None:
    state = tmp_path / "state"
    restore = Restore(target, backup, instance=SOURCE, state_dir=str(state))
    restore.step("staged")
    target.stop()
    restore.step("active")
    target.start()
    (state / "instances").mkdir(parents=True)
    (state / "instances" / f"{SOURCE}.json").write_text("{")
    done = restore.step("committed")
    assert done["restore"]["state"] == "committed"
    assert "could not be told" in str(done["actions"])


@pytest.mark.skipif(os.geteuid() != 0, reason="only root could be led astray")
@pytest.mark.parametrize("state", ["staged", "active", "rolled_back", "committed"])
def test_a_planted_journal_is_not_followed(target: RedisProcess, backup: Backup, tmp_path: Path, state: str) -> None:
    """The server's user owns the data directory: what it writes there must not steer a task of root."""
    victim = tmp_path / "victim"
    restore = Restore(target, backup)
    restore.step("staged")
    (journal,) = target.data_dir.glob(f"{WORKSPACE}/*/journal.json")
    document = json.loads(journal.read_text())
    document["placed"] = [
        {"path": str(victim), "kind": "acl", "staged": "0-acl", "mode": 0o4755, "uid": 0, "gid": 0, "existed": None}
    ]
    journal.write_text(json.dumps(document))
    (journal.parent / "server" / "0-acl").write_text("planted")
    os.chown(journal, 65534, 65534)
    target.stop()
    with pytest.raises(ModuleFailed, match="is not of this collection"):
        restore.step(state)
    assert not victim.exists()


def test_a_server_whose_saves_fail_is_not_called_persisted(any_build: Build, make_server: Any, backup: Backup) -> None:
    """What it holds only in memory would die with it: it has to be saved, or not stopped."""
    server = make_server(any_build, conf={"save": "3600 1"})
    fill_with_old_data(server.client())
    restore = Restore(server, backup)
    assert restore.step("staged")["restore"]["live"]["persisted"] is True
    (server.data_dir / "dump.rdb").mkdir()  # no save can rename its file onto that
    server.client().bgsave()
    wait_for(lambda: server.client().info("persistence")["rdb_last_bgsave_status"] == "err", 20)
    assert restore.step("staged")["restore"]["live"]["persisted"] is False
    with pytest.raises(ModuleFailed, match="made no snapshot"):
        run_module("redis_snapshot", {**server.connection, "instance": TARGET})


def test_backups_of_an_emptied_server_do_not_hide_the_loss(
    any_build: Build, make_server: Any, tmp_path: Path, age_key: AgeKey
) -> None:
    """The server lost its data, came up empty, and the schedule made a backup of nothing."""
    server = make_server(any_build, conf={"appendonly": "yes"})
    site = Site(server, tmp_path, age_key)
    server.client().mset({f"k{n}": n for n in range(50)})
    wanted = snapshot_values(server.client())
    site.play("backup").ok()
    server.client().flushall()
    hollow = site.play("backup").ok()
    assert "look whether the server has lost data" in hollow.stdout
    site.play("disaster_recovery").ok()
    assert differences(wanted, snapshot_values(server.client())) == []
    assert "the data was lost before it was made" in str(site.report()["passed_over"])


def test_a_small_data_set_is_data_too(any_build: Build, make_server: Any, tmp_path: Path, age_key: AgeKey) -> None:
    """Three keys make an RDB of a hundred bytes: size does not tell whether a confirmation is needed."""
    server = make_server(any_build, conf={"save": "900 1"})
    site = Site(server, tmp_path, age_key)
    server.client().set("old", "1")
    site.play("backup").ok()
    server.client().mset({"a": 1, "b": 2, "c": 3})
    server.stop()
    refused_run = site.play("disaster_recovery")
    assert refused_run.rc != 0 and "still holds data" in refused_run.stdout


def test_an_unknown_data_directory_is_not_called_empty(
    any_build: Build, make_server: Any, tmp_path: Path, age_key: AgeKey
) -> None:
    server = make_server(any_build, conf={"save": "900 1"})
    site = Site(server, tmp_path, age_key)
    server.client().set("old", "1")
    site.play("backup").ok()
    server.stop()
    result = site.play("disaster_recovery", instance={"config_file": None})
    assert result.rc != 0
    assert "its data directory is not" in result.stdout and "no data is left" not in result.stdout


def test_a_directory_that_is_not_that_of_the_next_start_is_refused(
    any_build: Build, make_server: Any, backup: Backup
) -> None:
    """CONFIG SET dbfilename without a rewrite: a restore would be laid where the next start does not look."""
    server = make_server(any_build, conf={"dbfilename": "dump.rdb", "enable-protected-configs": "yes"})
    fill_with_old_data(server.client())
    server.client().config_set("dbfilename", "other.rdb")
    refused(Restore(server, backup), "staged", "would start again with dump.rdb")


def test_config_that_is_renamed_away_is_seen_before_the_stop(
    any_build: Build, make_server: Any, backup: Backup
) -> None:
    server = make_server(any_build, conf={"rename-command": 'CONFIG ""'})
    restore = Restore(server, backup)
    refused(restore, "staged", "does not let us use CONFIG", close_writes=True)
    server.kill()
    refused(restore, "staged", "does not let us use CONFIG", close_writes=True)


def test_an_unproven_restore_is_not_backed_up(target: RedisProcess, backup: Backup, tmp_path: Path) -> None:
    restore = Restore(target, backup)
    restore.step("staged")
    target.stop()
    restore.step("active", close_writes=True)
    target.start()
    mine = {
        **target.connection,
        "instance": TARGET,
        "repositories": [{"name": "r", "path": str(tmp_path / "r"), "create": True}],
        "state_dir": str(tmp_path / "state"),
    }
    with pytest.raises(ModuleFailed, match="its data is not proven yet"):
        run_module("redis_backup", mine)
    restore.step("committed")
    assert run_module("redis_backup", mine)["changed"] is True


def test_one_instance_does_not_touch_the_restore_of_another(target: RedisProcess, backup: Backup) -> None:
    """Two instances share a data directory: each step belongs to the one that was named."""
    restore = Restore(target, backup)
    restore.step("staged")
    for state in ("staged", "active", "rolled_back", "committed"):
        with pytest.raises(ModuleFailed, match=f"belongs to {TARGET}"):
            restore.step(state, instance="somebody-else")


def test_one_repository_that_is_missing_does_not_prevent_the_other(target: RedisProcess, tmp_path: Path) -> None:
    """The backup is complete in the healthy one, and the task fails and says which got none."""
    (tmp_path / "there").mkdir()
    with pytest.raises(ModuleFailed, match="failed in gone") as failure:
        back_up_into(target, tmp_path, ["gone", "there"])
    assert failure.value.result["failed_repositories"] == ["gone"]
    (manifest,) = tmp_path.glob("there/*/backup/*/manifest.json")
    assert manifest.exists() and "complete in: there" in failure.value.msg


def back_up_into(server: RedisProcess, place: Path, names: list[str]) -> dict[str, Any]:
    repositories = [{"name": name, "path": str(place / name)} for name in names]
    asked = {"instance": SOURCE, "repositories": repositories, "state_dir": str(place / "state")}
    return run_module("redis_backup", {**server.connection, **asked})


def test_a_backup_of_a_wrong_clock_is_not_young(target: RedisProcess, tmp_path: Path, any_build: Build) -> None:
    """Dated in the future, it neither makes new backups needless nor wins as the newest."""
    made = back_up(target, tmp_path)
    manifest = made.folder / "manifest.json"
    (tmp_path / "reseal.py").write_text(
        "import json, sys\n"
        "from ansible_collections.globalscope.redis_backup.plugins.module_utils._repository.manifest import seal\n"
        "path = sys.argv[1]\n"
        "document = json.load(open(path))\n"
        "document['snapshot_time'] = '2096-01-01T00:00:00Z'\n"
        "open(path, 'wb').write(seal(document))\n"
    )
    subprocess.run([sys.executable, str(tmp_path / "reseal.py"), str(manifest)], check=True)
    again = back_up(target, tmp_path, max_age=3600)
    assert again.label != made.label
    latest = run_module("redis_backup_info", {"repositories": [dict(made.repository)], "instance": SOURCE})["latest"]
    assert latest["label"] == again.label
