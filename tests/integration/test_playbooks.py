# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The playbooks as an operator runs them, on real servers of this machine."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path
from typing import Any

import pytest

from support.dataset import load_multiframe
from support.machine import AgeKey
from support.modules import run_module
from support.pages import outline
from support.plays import playbook_path, run_playbook
from support.servers import BUILD_NAMES, Build, RedisProcess, build_named
from support.sites import Site
from support.values import differences, snapshot_server, snapshot_values

PASSWORD = "correct-horse-battery-staple"


def tree(*roots: Path) -> dict[str, str]:
    """Every file below the roots with its hash: equal before and after means nothing was touched."""
    found = {}
    for root in roots:
        for path in sorted(root.rglob("*")):
            if path.is_file() and not path.is_symlink():
                found[str(path)] = hashlib.sha256(path.read_bytes()).hexdigest()
            else:
                found[str(path)] = "directory"
    return found


def digest_of(server: RedisProcess) -> str:
    return str(run_module("redis_check", {**server.connection, "digest": True})["digest"])


DAILY = {("redis-6.2", "yes"), ("redis-8.2", "yes"), ("valkey-9.1", "no")}


@pytest.fixture
def site(any_build: Build, make_server: Any, tmp_path: Path, age_key: AgeKey) -> Site:
    """A site of the usual version with its AOF on and a little data (an AOF does not keep all of a stream's groups)."""
    found = Site(make_server(any_build, conf={"appendonly": "yes"}), tmp_path, age_key)
    load_multiframe(found.server.client(), users=50, drivers=20, types=False)
    return found


@pytest.mark.parametrize(
    ("build_name", "aof"),
    [
        # the daily run takes each version once, and both AOF layouts; other tests of this file take the usual version
        pytest.param(name, aof, marks=() if (name, aof) in DAILY else pytest.mark.long)
        for name in BUILD_NAMES
        for aof in ("yes", "no")
    ],
)
def test_a_lost_server_comes_back_equal(
    build_name: str, aof: str, make_server: Any, server_root: Path, tmp_path: Path, age_key: AgeKey
) -> None:
    """The main job: everything that was backed up is there again, by an outside reading and by our digest."""
    build = build_named(build_name)
    acl = server_root / "server1/data/users.acl"
    server = make_server(build, conf={"appendonly": aof, "aclfile": str(acl)}, start=False)
    acl.parent.mkdir(exist_ok=True)
    acl.write_text("user default on nopass ~* &* +@all\n")
    server.start()
    site = Site(server, tmp_path, age_key)
    load_multiframe(server.client(), users=500, drivers=100, acl_user=True)
    server.client().acl_save()
    values, rest, digest = snapshot_values(server.client()), snapshot_server(server.client()), digest_of(server)
    site.play("backup").ok()
    server.client().set("written:after:the:backup", "lost")
    site.lose_the_disk()

    result = site.play("disaster_recovery").ok()

    assert differences(values, snapshot_values(server.client())) == []
    assert snapshot_server(server.client()) == rest
    assert digest_of(server) == digest
    report = site.report()
    assert report["ok"] and report["outcome"] == "recovered"
    assert 0 < report["rto_seconds"] < 600 and 0 <= report["rpo_seconds"] < 600
    assert [phase["name"] for phase in report["phases"]] == [
        "assess", "identify", "prepare", "restore", "verify", "test", "resume",
    ]  # fmt: skip
    assert all(check["ok"] for check in report["checks"]) and report["checks"]
    assert any(check["name"] == "probe" for check in report["checks"])
    assert list(site.reports.glob("*.md")), result.stdout
    (page,) = site.reports.glob("*.html")
    assert set(outline(page)) >= {"What was lost", "Time line", "Checks", "Lessons"}
    server.client().set("writes", "are open again")

    again = site.play("disaster_recovery").ok()
    assert again.changed == 0


def test_a_host_that_lost_its_memory_too_goes_on_with_its_history(site: Site) -> None:
    """The state directory went with the disk: after the recovery, the next backup is no stranger's."""
    site.play("globalscope.redis_backup.backup").ok()
    site.lose_the_disk()
    shutil.rmtree(site.directory / "state-multiframe")
    stranger = site.play("backup", {"redis_backup_max_age": 0})
    assert stranger.rc != 0
    site.play("globalscope.redis_backup.disaster_recovery").ok()
    site.play("globalscope.redis_backup.backup").ok()
    assert len(list((site.repository / "multiframe/backup").iterdir())) == 2


def test_a_second_backup_within_max_age_changes_nothing(site: Site) -> None:
    first = site.play("backup", {"redis_backup_max_age": 3600}).ok()
    before = tree(site.repository)
    second = site.play("backup", {"redis_backup_max_age": 3600}).ok()
    assert (first.changed, second.changed) == (1, 0)
    assert tree(site.repository) == before


def test_enough_repositories(site: Site) -> None:
    """One of two is missing: enough where one will do, and the operator is told."""
    places = [{"name": "local", "path": str(site.repository)}, {"name": "gone", "path": str(site.directory / "gone")}]
    asked: dict[str, Any] = {"redis_backup_repositories": places}
    assert site.play("backup", asked).rc != 0
    result = site.play("backup", {**asked, "redis_backup_repositories_min": 1}).ok()
    made = result.last("Back up the instances")["results"][0]["backup"]
    assert made["repositories"] == ["local"] and "does not exist" in made["failed"]["gone"]
    assert "repository gone lacks the backup" in result.stdout


def test_check_mode_says_what_would_happen_and_touches_nothing(site: Site) -> None:
    roots = (site.directory, site.server.directory)
    dry = site.play("backup", check=True, diff=True).ok()
    assert dry.changed == 1
    assert "would back up multiframe" in str(dry.last("Back up the instances")["results"])
    site.play("backup").ok()
    before = {name: digest for name, digest in tree(*roots).items() if not name.endswith(".log")}
    restore = site.play("restore", check=True, diff=True).ok()
    assert "would stage" in str(restore.find("redis_restore")[0].result.get("actions", "")) or restore.changed > 0
    recovery = site.play(
        "disaster_recovery", {"redis_disaster_recovery_force": True}, check=True, diff=True
    ).ok()
    assert recovery.changed > 0
    assert {name: digest for name, digest in tree(*roots).items() if not name.endswith(".log")} == before


def test_a_healthy_instance_is_left_alone(site: Site) -> None:
    site.play("backup").ok()
    before = digest_of(site.server)
    result = site.play("disaster_recovery").ok()
    assert result.changed == 0
    assert digest_of(site.server) == before
    assert "nothing lost" in result.stdout


def test_an_emptied_server_does_not_claim_that_no_write_was_lost(site: Site) -> None:
    """FLUSHALL on a server that started long before its backup: nothing tells when, so the loss counts up to now."""
    wanted = snapshot_values(site.server.client())
    site.play("backup").ok()
    site.server.client().flushall()
    site.play("disaster_recovery", arguments=["-e", "redis_disaster_recovery_force=true"]).ok()
    report = site.report()
    assert report["rpo_seconds"] > 0 and "this assessment" in report["failed_at_source"]
    assert [entry["kind"] for entry in report["damage"]] == ["empty"]
    assert differences(wanted, snapshot_values(site.server.client())) == []


def test_a_replica_and_a_cluster_node_are_not_restored_into(
    site: Site, any_build: Build, make_server: Any, age_key: AgeKey
) -> None:
    """Their restored data would be replaced or deleted by the others."""
    site.play("backup").ok()
    replica = make_server(any_build, conf={"replicaof": f"127.0.0.1 {site.server.port}"})
    node = make_server(any_build, conf={"cluster-enabled": "yes"})
    for server, words in ((replica, "is a replica of 127.0.0.1"), (node, "is a node of a cluster")):
        before = tree(server.data_dir)
        other = Site(server, site.directory, age_key, name=f"other-{server.port}")
        refused = other.play("restore", {"redis_restore_source_instance": "multiframe"})
        assert refused.rc != 0 and words in refused.stdout
        assert tree(server.data_dir) == before


def test_restore_brings_back_a_chosen_backup_once(site: Site) -> None:
    """An explicit restore replaces live data, keeps it aside, and a second run does not throw away newer writes."""
    wanted = snapshot_values(site.server.client())
    site.play("backup").ok()
    site.server.client().flushall()
    site.server.client().set("newer", "1")
    first = site.play("restore").ok()
    assert differences(wanted, snapshot_values(site.server.client())) == []
    assert first.changed > 0
    site.server.client().set("written:after:the:restore", "1")
    second = site.play("restore").ok()
    assert second.changed == 0
    assert site.server.client().exists("written:after:the:restore") == 1


def test_a_restore_whose_verification_fails_rolls_back_by_itself(site: Site) -> None:
    site.play("backup").ok()
    site.server.client().set("newer:than:the:backup", "1")
    live = snapshot_values(site.server.client())
    result = site.play("restore", {"redis_restore_expect": {"present": ["no:such:key"]}})
    assert result.rc != 0
    assert "rolled back" in result.stdout and "present no:such:key" in result.stdout
    assert differences(live, snapshot_values(site.server.client())) == []
    site.server.client().set("writes", "are open")
    site.server.stop()
    site.server.start()
    assert site.server.client().exists("newer:than:the:backup") == 1


def test_a_recovery_whose_verification_fails_rolls_back_and_reports(site: Site) -> None:
    site.play("backup").ok()
    live = snapshot_values(site.server.client())
    wrong = {
        "redis_disaster_recovery_force": True,
        "redis_disaster_recovery_confirm": "multiframe",
        "redis_restore_expect": {"values": {"config:system": "not this"}},
    }
    result = site.play("disaster_recovery", wrong)
    assert result.rc != 0
    report = site.report()
    assert report["ok"] is False and "rolled back" in report["error"]
    assert any(not check["ok"] for check in report["checks"])
    assert differences(live, snapshot_values(site.server.client())) == []


@pytest.mark.parametrize("confirm", ["", "another-name"])
def test_data_is_not_put_aside_without_the_right_confirmation(site: Site, confirm: str) -> None:
    site.play("backup").ok()
    live = snapshot_values(site.server.client())
    before = tree(site.repository)
    extra = {"redis_disaster_recovery_force": True, "redis_disaster_recovery_confirm": confirm}
    result = site.play("disaster_recovery", extra)
    assert result.rc != 0
    assert "redis_disaster_recovery_confirm=multiframe" in result.stdout
    assert differences(live, snapshot_values(site.server.client())) == []
    assert tree(site.repository) == before
    assert not (site.server.data_dir / ".redis_backup").exists()


def test_a_server_that_is_down_with_its_data_needs_a_confirmation(site: Site) -> None:
    """Files that are left may be all that is needed: they are not put aside unasked."""
    site.play("backup").ok()
    wanted = snapshot_values(site.server.client())
    site.server.stop()
    before = tree(site.server.data_dir)
    refused = site.play("disaster_recovery")
    assert refused.rc != 0 and "still holds data" in refused.stdout
    assert tree(site.server.data_dir) == before
    site.play("disaster_recovery", {"redis_disaster_recovery_confirm": ["multiframe"]}).ok()
    assert differences(wanted, snapshot_values(site.server.client())) == []
    assert site.report()["failed_at_source"] == "the newest data file"


def test_without_a_usable_backup_nothing_is_touched(site: Site) -> None:
    site.server.stop()
    before = tree(site.server.data_dir)
    result = site.play("disaster_recovery", {"redis_disaster_recovery_confirm": "multiframe"})
    assert result.rc != 0
    assert "no usable backup of multiframe" in result.stdout
    assert tree(site.server.data_dir) == before


def test_a_blank_replacement_reads_the_history_of_the_lost_host(
    site: Site, any_build: Build, make_server: Any, age_key: AgeKey
) -> None:
    wanted = snapshot_values(site.server.client())
    site.play("backup").ok()
    site.lose_the_disk()
    replacement = Site(make_server(any_build), site.directory, age_key, name="replacement")
    result = replacement.play("disaster_recovery", instance={"source_instance": "multiframe"}).ok()
    assert differences(wanted, snapshot_values(replacement.server.client())) == []
    assert replacement.report()["source_instance"] == "multiframe", result.stdout


def test_the_newest_backup_before_a_time_is_taken(site: Site) -> None:
    site.play("backup").ok()
    first = run_module(
        "redis_backup_info",
        {"repositories": [{"name": "r", "path": str(site.repository)}], "instance": "multiframe"},
    )["latest"]
    site.server.client().set("second", "1")
    site.play("backup").ok()
    site.lose_the_disk()
    site.play("disaster_recovery", {"redis_disaster_recovery_at": first["time"]}).ok()
    assert site.report()["backup"]["label"] == first["label"]
    assert site.server.client().exists("second") == 0


def test_a_repository_that_is_gone_does_not_stop_the_recovery(site: Site) -> None:
    """Two repositories, the first is lost with the disk: the second serves, and the report names the loss."""
    second = site.directory / "second"
    second.mkdir()
    both = [{"name": "local", "path": str(site.repository)}, {"name": "second", "path": str(second)}]
    wanted = snapshot_values(site.server.client())
    site.play("backup", {"redis_backup_repositories": both}).ok()
    site.lose_the_disk()
    shutil.rmtree(site.repository)
    site.play("disaster_recovery", {"redis_backup_repositories": both}).ok()
    assert differences(wanted, snapshot_values(site.server.client())) == []
    report = site.report()
    assert report["backup"]["repository"] == "second" and "local" in report["repository_problems"]


def test_a_damaged_copy_is_refused_and_another_can_be_named(site: Site) -> None:
    second = site.directory / "second"
    second.mkdir()
    both = [{"name": "local", "path": str(site.repository)}, {"name": "second", "path": str(second)}]
    wanted = snapshot_values(site.server.client())
    site.play("backup", {"redis_backup_repositories": both}).ok()
    site.lose_the_disk()
    (artefact,) = site.repository.rglob("dump.rdb.zst.age")
    stored = artefact.read_bytes()
    artefact.write_bytes(stored[:-1] + bytes([stored[-1] ^ 1]))
    refused = site.play("disaster_recovery", {"redis_backup_repositories": both})
    assert refused.rc != 0 and "is damaged" in refused.stdout
    assert "redis_disaster_recovery_repository" in str(site.report()["next_steps"])
    other = {"redis_backup_repositories": both, "redis_disaster_recovery_repository": "second"}
    site.play("disaster_recovery", other).ok()
    assert differences(wanted, snapshot_values(site.server.client())) == []


def test_storing_in_the_clear_must_be_said(site: Site) -> None:
    refused = site.play("backup", {"redis_backup_recipients": []})
    assert refused.rc != 0 and "redis_backup_encryption: none" in refused.stdout
    assert tree(site.repository) == {}
    site.play("backup", {"redis_backup_recipients": [], "redis_backup_encryption": "none"}).ok()
    assert list(site.repository.rglob("dump.rdb.zst"))


def test_the_first_host_that_fails_stops_the_recovery(
    site: Site, any_build: Build, make_server: Any, age_key: AgeKey
) -> None:
    """Two lost hosts, the first without a backup: the second is not touched."""
    other = Site(make_server(any_build), site.directory, age_key, name="zweiter")
    other.server.client().set("a", "1")
    other.play("backup").ok()
    site.lose_the_disk()
    other.lose_the_disk()
    hosts = {found.name: {"redis_instances": [found.instance()]} for found in (site, other)}
    inventory = {"redis": {"hosts": hosts, "vars": site.variables()}}
    result = run_playbook(playbook_path("disaster_recovery"), inventory)
    assert result.rc != 0
    assert not result.stats.get("zweiter", {}).get("changed")  # it was looked at, and no more
    assert list(other.server.data_dir.iterdir()) == []


def test_several_instances_of_one_host(site: Site, any_build: Build, make_server: Any, age_key: AgeKey) -> None:
    """One run backs up and recovers both, each under its own name."""
    other = Site(make_server(any_build), site.directory, age_key, name="second")
    other.server.client().mset({f"k{n}": n for n in range(10)})
    inventory = {
        "redis": {
            "hosts": {"h": {"redis_instances": [site.instance(), other.instance()]}},
            "vars": site.variables(),
        }
    }
    run_playbook(playbook_path("backup"), inventory).ok()
    wanted = snapshot_values(site.server.client())
    site.lose_the_disk()
    other.lose_the_disk()
    run_playbook(playbook_path("disaster_recovery"), inventory).ok()
    assert differences(wanted, snapshot_values(site.server.client())) == []
    assert other.server.client().dbsize() == 10


def test_no_secret_is_shown_or_left(any_build: Build, make_server: Any, tmp_path: Path, age_key: AgeKey) -> None:
    """The server's password and the private key stay out of the output at the highest verbosity, and off the disk."""
    server = make_server(any_build, conf={"appendonly": "yes", "requirepass": PASSWORD})
    site = Site(server, tmp_path, age_key)
    server.client().set("a", "1")
    secret = next(
        line for line in Path(age_key.identity).read_text().splitlines() if line.startswith("AGE-SECRET-KEY")
    )
    verbose = ["-vvv"]
    output = site.play("backup", arguments=verbose).ok().stdout
    site.lose_the_disk()
    given = {"redis_restore_identities": [], "redis_restore_identity": secret}
    output += site.play("disaster_recovery", given, arguments=verbose).ok().stdout
    assert server.client().get("a") == b"1"
    assert PASSWORD not in output
    assert secret not in output
    assert list(Path("/run").glob("redis_backup-*")) == []
    for root in (site.repository, site.reports, tmp_path / "state-multiframe"):
        for path in root.rglob("*"):
            if path.is_file():
                assert PASSWORD.encode() not in path.read_bytes(), path
                assert secret.encode() not in path.read_bytes(), path
                assert path.stat().st_mode & 0o007 == 0, f"{path} is readable for everybody"
