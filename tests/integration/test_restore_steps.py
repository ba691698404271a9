# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The steps of a restore: repeatable, undoable, honest in check and diff mode, and about the selection they act on."""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
import redis

from support.dataset import load_multiframe
from support.machine import AgeKey
from support.modules import ModuleFailed, finish, start_module
from support.restores import (
    WORKSPACE,
    Backup,
    Backups,
    Restore,
    assert_holds,
    back_up,
    data_tree,
    file_tree,
    fill_with_old_data,
)
from support.servers import Build, RedisProcess
from support.values import snapshot_server
from support.waiting import wait_for

MakeServer = Callable[..., RedisProcess]


@pytest.fixture(scope="module")
def backups(tmp_path_factory: pytest.TempPathFactory) -> Backups:
    return Backups(tmp_path_factory.mktemp("backups"))


@pytest.fixture
def backup(backups: Backups, any_build: Build) -> Backup:
    return backups.of(any_build)


@pytest.fixture
def target(any_build: Build, make_server: MakeServer) -> RedisProcess:
    """A running server with an AOF and other data than any backup's."""
    server = make_server(any_build, conf={"appendonly": "yes", "save": "3600 1"})
    fill_with_old_data(server.client())
    return server


def refused(restore: Restore, state: str, words: str, **params: Any) -> str:
    """A step fails with these words and touches no file; returns its message."""
    before = file_tree(restore.server.directory)
    with pytest.raises(ModuleFailed, match=words) as failure:
        restore.step(state, **params)
    after = file_tree(restore.server.directory)
    for tree in (before, after):
        for name in [name for name in tree if name.endswith(".log") or name == f"data/{WORKSPACE}/lock"]:
            del tree[name]
    assert after == before
    return failure.value.msg


def test_each_step_is_repeatable(target: RedisProcess, backup: Backup) -> None:
    restore = Restore(target, backup)
    staged = restore.step("staged")
    again = restore.step("staged")
    assert (staged["changed"], again["changed"], again["actions"]) == (True, False, [])
    assert again["restore"]["id"] == staged["restore"]["id"]
    assert restore.step("staged", label=None)["changed"] is False  # the newest is the same
    target.stop()
    active = restore.step("active")
    tree = data_tree(target)
    again = restore.step("active")
    assert (active["changed"], again["changed"]) == (True, False)
    assert again["restore"] == active["restore"]
    assert data_tree(target) == tree
    target.start()
    assert restore.step("committed")["changed"] is True
    assert restore.step("committed")["changed"] is False
    assert_holds(target, backup.values)
    previous = Path(active["restore"]["previous_dir"])
    assert sorted(path.name for path in previous.iterdir()) == ["appendonlydir", "dump.rdb"]


def test_rolling_back_is_repeatable(target: RedisProcess, backup: Backup) -> None:
    restore = Restore(target, backup)
    assert restore.step("rolled_back")["changed"] is False  # there is nothing to undo
    restore.step("staged")
    assert restore.step("rolled_back")["changed"] is True  # what was staged goes, with the server running
    assert restore.step("rolled_back")["changed"] is False
    target.stop()
    before = data_tree(target)
    restore.step("staged")
    restore.step("active")
    assert data_tree(target) != before
    assert restore.step("rolled_back")["changed"] is True
    assert data_tree(target) == before
    result = restore.step("rolled_back")
    assert (result["changed"], result["restore"]["state"]) == (False, "rolled_back")
    assert data_tree(target) == before


def test_check_mode_touches_nothing(target: RedisProcess, backup: Backup) -> None:
    restore = Restore(target, backup, close_writes=True)

    def dry(state: str, words: str) -> None:
        before = file_tree(target.directory), file_tree(Path(backup.repository["path"]))
        result = restore.step(state, check=True)
        after = file_tree(target.directory), file_tree(Path(backup.repository["path"]))
        assert after == before
        assert result["changed"] is bool(words)
        assert words in " ".join(result["actions"])

    dry("staged", f"would stage {backup.label}")
    dry("active", "would swap")
    restore.step("staged")
    dry("staged", "")
    target.stop()
    dry("active", "would swap")
    dry("rolled_back", "would roll the restore")
    restore.step("active")
    dry("active", "")
    dry("rolled_back", "would roll the restore")
    dry("committed", "would close")
    restore.step("committed")
    dry("committed", "")


def test_diff_shows_files_before_and_after(target: RedisProcess, backup: Backup) -> None:
    restore = Restore(target, backup)
    target.client().execute_command("SAVE")
    staged = restore.step("staged", diff=True)["diff"]
    target.stop()
    active = restore.step("active", diff=True)["diff"]
    for diff in (staged, active):
        assert diff["before_header"] == diff["after_header"] == str(target.data_dir)
        assert diff["before"].split()[0] == "dump.rdb"
        assert "appendonlydir/" in diff["before"]
        assert diff["after"].startswith("appendonlydir/")
        assert "dump.rdb" not in diff["after"]


@dataclass
class Series:
    """Backups of one server at several times; the n-th holds the key `number` with the value n."""

    backups: list[Backup]

    def at(self, number: int) -> float:
        """When the data of a backup was taken, in UTC seconds."""
        return datetime.fromisoformat(self.backups[number].made["time"].replace("Z", "+00:00")).timestamp()


@pytest.fixture(scope="module")
def series(any_build: Build, tmp_path_factory: pytest.TempPathFactory) -> Series:
    place = tmp_path_factory.mktemp("series")
    server = RedisProcess(any_build, place / "server").start()
    made: list[Backup] = []
    try:
        for number in range(3):
            server.client().set("number", number)
            if made:
                last = Series(made).at(-1)
                wait_for(lambda last=last: time.time() >= last + 1.05, "the next second")  # type: ignore[misc]
            made.append(back_up(server, place))
    finally:
        server.destroy()
    return Series(made)


def iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, tz=timezone.utc).isoformat().replace("+00:00", "Z")


def test_selection_by_label_time_and_latest(target: RedisProcess, series: Series) -> None:
    first, second, third = series.backups
    restore = Restore(target, first)

    def chosen(**params: Any) -> str:
        result = restore.step("staged", **params)["restore"]
        assert Path(result["staged_dir"]).is_dir()
        return str(result["label"])

    assert chosen(label=first.label) == first.label
    assert chosen(label=None) == third.label
    assert chosen(label="latest", at=iso(series.at(1))) == second.label
    assert chosen(label=None, at=iso(series.at(2) - 0.5)) == second.label
    assert chosen(label=None, at=iso(series.at(2) + 3600)) == third.label
    left = [path.name for path in (target.data_dir / WORKSPACE).iterdir() if path.is_dir()]
    assert len(left) == 1, "what was staged before is still there"
    message = refused(restore, "staged", "no usable backup", label=None, at=iso(series.at(0) - 1))
    assert first.label in message
    message = refused(restore, "staged", "no backup", label="20200101T000000Z_rdb")
    assert third.label in message
    refused(restore, "staged", "exclude each other", at=iso(series.at(1)))
    refused(restore, "staged", "yesterday", label=None, at="yesterday")
    target.stop()
    restore.step("active", label=None)
    target.start()
    assert_holds(target, third.values)
    assert target.client().get("number") == b"2"


def test_another_selection_than_the_staged_one_is_refused(target: RedisProcess, series: Series) -> None:
    first, second, _third = series.backups
    restore = Restore(target, first)
    refused(restore, "active", "nothing is staged")
    restore.step("staged")
    target.stop()
    message = refused(restore, "active", "the open restore", label=second.label)
    assert first.label in message
    assert second.label in message
    refused(restore, "active", "the open restore", source_instance="somebody-else")
    refused(restore, "active", "the open restore", repository={**first.repository, "name": "other"})
    refused(restore, "committed", "is staged, not active")
    assert restore.step("active", repository=None, label=None)["restore"]["label"] == first.label
    refused(restore, "active", "the open restore", label=second.label)


def test_staging_over_an_active_restore_keeps_both_previous_sets(target: RedisProcess, series: Series) -> None:
    first, second, _third = series.backups
    target.stop()
    original = data_tree(target)
    restore = Restore(target, first)
    restore.step("staged")
    kept_first = Path(restore.step("active")["restore"]["previous_dir"])
    target.start()
    target.client().set("written", "after the first restore")
    target.stop()
    between = data_tree(target)
    restore.step("staged", label=second.label)
    kept_second = Path(restore.step("active", label=second.label)["restore"]["previous_dir"])
    assert file_tree(kept_first) == original
    assert file_tree(kept_second) == between
    target.start()
    assert_holds(target, second.values)
    target.stop()
    assert restore.step("rolled_back")["restore"]["label"] == second.label
    assert data_tree(target) == between
    target.start()
    assert target.client().get("written") == b"after the first restore"
    target.stop()
    # Asked twice, nothing more is undone; the first is the open one again, and can be named.
    saved = data_tree(target)
    again = restore.step("rolled_back")
    assert again["changed"] is False
    assert data_tree(target) == saved
    assert "restore_id" in str(again["actions"])
    assert restore.step("rolled_back", restore_id=kept_first.parent.name)["restore"]["label"] == first.label
    assert data_tree(target) == original
    assert restore.step("rolled_back")["changed"] is False


def test_staging_that_died_over_an_active_restore_hides_it_not(target: RedisProcess, series: Series) -> None:
    first, second, _third = series.backups
    target.stop()
    original = data_tree(target)
    restore = Restore(target, first)
    restore.step("staged")
    restore.step("active")
    result = restore.step("staged", label=second.label)["restore"]
    journal = target.data_dir / WORKSPACE / result["id"] / "journal.json"
    journal.write_text(journal.read_text().replace('"state": "staged"', '"state": "staging"'))
    refused(restore, "active", "nothing is staged", label=None)
    rolled = restore.step("rolled_back")
    assert rolled["restore"]["label"] == first.label
    assert data_tree(target) == original
    assert not journal.exists()


def test_staging_that_died_before_it_removed_what_it_replaced(target: RedisProcess, series: Series) -> None:
    first, second, _third = series.backups
    restore = Restore(target, first)
    older = target.data_dir / WORKSPACE / restore.step("staged")["restore"]["id"]
    shutil.copytree(older, target.directory / "older")
    restore.step("staged", label=second.label)
    shutil.copytree(target.directory / "older", older)
    target.stop()
    assert restore.step("active", label=second.label)["restore"]["label"] == second.label
    assert restore.step("committed")["changed"] is True
    assert restore.step("committed")["changed"] is False
    assert restore.step("rolled_back")["changed"] is False
    target.start()
    assert_holds(target, second.values)
    restore.step("staged")
    assert not older.exists()


def visitors(server: RedisProcess) -> int:
    """How many modules have looked at the server; they keep their connection while they wait for its end."""
    with server.client() as client:
        return sum(found["cmd"].startswith("config") for found in client.client_list())


def test_two_restores_at_once(target: RedisProcess, backup: Backup) -> None:
    """Both wait for the server to end; the one that comes second must see what the first has done."""
    restore = Restore(target, backup)
    restore.step("staged")
    target.client().execute_command("SAVE")
    processes = []
    for number in range(4):
        processes.append(start_module("redis_restore", restore.request("active")))
        wait_for(lambda number=number: visitors(target) > number, "it to wait")  # type: ignore[misc]
    target.stop()
    before = data_tree(target)
    results = []
    for process in processes:
        try:
            results.append(finish(process)["changed"])
        except ModuleFailed as failure:
            assert "another restore" in failure.msg
    assert results.count(True) == 1
    target.start()
    assert_holds(target, backup.values)
    target.stop()
    restore.step("rolled_back")
    assert data_tree(target) == before




def test_running_server_is_not_swapped_under(target: RedisProcess, backup: Backup) -> None:
    restore = Restore(target, backup)
    restore.step("staged")
    message = refused(restore, "active", "not stopped", wait_timeout=0)
    assert str(target.port) in message
    # Nor one that listens elsewhere and works in the directory.
    refused(restore, "active", f"pid {target.pid}", wait_timeout=0, login_port=1)
    target.stop()
    restore.step("active")
    target.start()
    refused(restore, "rolled_back", "not stopped", wait_timeout=0)
    assert_holds(target, backup.values)


def test_redis_conf_changed_between_staging_and_swap(any_build: Build, make_server: MakeServer, backup: Backup) -> None:
    """What was laid ready for a server without AOF would not be read by one with it."""
    server = make_server(any_build)
    restore = Restore(server, backup)
    assert sorted(os.listdir(restore.step("staged")["restore"]["staged_dir"])) == ["dump.rdb"]
    server.stop()
    server.conf_path.write_text(server.conf_path.read_text().replace("appendonly no", "appendonly yes"))
    refused(restore, "active", "was changed after")
    assert sorted(os.listdir(restore.step("staged")["restore"]["staged_dir"])) == ["appendonlydir"]
    restore.step("active")
    server.start()
    assert_holds(server, backup.values)


@pytest.mark.parametrize("known", ["config_file", "data_dir"])
@pytest.mark.parametrize("aof", ["yes", "no"])
def test_server_is_down_and_only_one_place_is_known(
    build: Build, make_server: MakeServer, backups: Backups, known: str, aof: str
) -> None:
    backup = backups.of(build)
    server = make_server(build, conf={"appendonly": aof, "save": "3600 1"})
    old = fill_with_old_data(server.client())
    server.kill()
    places = {"config_file": None, "data_dir": None}
    places[known] = str(server.conf_path if known == "config_file" else server.data_dir)
    restore = Restore(server, backup, **places)
    restore.step("staged")
    # The program is asked for only when the layout is decided.
    restore.step("active", executable=None)
    server.start()
    assert_holds(server, backup.values)
    server.stop()
    server.start()
    assert_holds(server, backup.values)
    server.stop()
    restore.step("rolled_back", executable=None)
    server.start()
    if aof == "yes":
        assert_holds(server, old)


def test_nothing_is_known(target: RedisProcess, backup: Backup) -> None:
    target.stop()
    restore = Restore(target, backup, config_file=None)
    message = refused(restore, "staged", "data directory")
    assert "config_file" in message


def test_lost_disk(any_build: Build, make_server: MakeServer, backup: Backup) -> None:
    """The data directory itself is gone: it is made anew, and rolling back to nothing gives nothing."""
    server = make_server(any_build, conf={"appendonly": "yes"})
    fill_with_old_data(server.client())
    server.kill()
    shutil.rmtree(server.data_dir)
    restore = Restore(server, backup)
    assert restore.step("staged", check=True)["changed"] is True
    assert not server.data_dir.exists()
    restore.step("staged")
    restore.step("active")
    server.start()
    assert_holds(server, backup.values)
    server.stop()
    restore.step("rolled_back")
    assert data_tree(server) == {}


@pytest.fixture
def encrypted(
    any_build: Build, make_server: MakeServer, tmp_path: Path, age_key: AgeKey
) -> tuple[RedisProcess, Backup]:
    """A server with an ACL file and an include, and its encrypted backup."""
    server = make_server(any_build, start=False, conf={"aclfile": "../users.acl", "include": "../more.conf"})
    (server.directory / "users.acl").write_text("")
    (server.directory / "users.acl").chmod(0o640)
    more = server.directory / "more.conf"
    more.write_text("maxmemory 123mb\n")
    text = server.conf_path.read_text().replace("../", f"{server.directory}/")
    server.conf_path.write_text(text)
    server.conf_path.chmod(0o604)
    server.start()
    load_multiframe(server.client(), 20, 5, acl_user=True)
    server.client().execute_command("ACL", "SAVE")
    return server, back_up(server, tmp_path, encryption={"recipients": [age_key.recipient]})


def test_encrypted_backup_opens_with_its_identity_only(
    encrypted: tuple[RedisProcess, Backup], age_key: AgeKey, tmp_path: Path
) -> None:
    server, backup = encrypted
    assert all(name.endswith(".age") for name in os.listdir(backup.folder) if name.startswith(("dump", "server")))
    restore = Restore(server, backup)
    refused(restore, "staged", "encrypted and no identity")
    refused(restore, "staged", "missing or not readable", identities=[str(tmp_path / "nowhere")])
    server.client().flushall()
    restore.step("staged", identities=[str(age_key.identity)])
    server.stop()
    restore.step("active")  # all is decrypted by now
    server.start()
    assert_holds(server, backup.values)


def test_server_files_come_back_when_missing(encrypted: tuple[RedisProcess, Backup], age_key: AgeKey) -> None:
    server, backup = encrypted
    held = snapshot_server(server.client())
    server.kill()
    files = [server.conf_path, server.directory / "users.acl", server.directory / "more.conf"]
    before = {path: (path.read_bytes(), path.stat().st_mode) for path in files}
    for path in files:
        path.unlink()
    shutil.rmtree(server.data_dir)
    restore = Restore(server, backup, identities=[str(age_key.identity)], data_dir=str(server.data_dir))
    staged = restore.step("staged")["restore"]
    assert set(staged["server_files"]) == set(map(str, files))
    assert not any(path.exists() for path in files)
    restore.step("active", close_writes=True)
    assert "min-replicas-to-write" in files[0].read_text()
    restore.step("rolled_back")
    assert not any(path.exists() for path in files)
    restore.step("staged")
    restore.step("active")
    assert {path: (path.read_bytes(), path.stat().st_mode) for path in files} == before
    server.start()
    assert_holds(server, backup.values)
    assert snapshot_server(server.client()) == held
    assert server.client(username="multiframe", password="s3cret").ping()
    assert server.client().config_get("maxmemory")["maxmemory"] == str(123 << 20)


def test_server_files_that_are_there_stay_unless_they_are_to_be_replaced(
    encrypted: tuple[RedisProcess, Backup], age_key: AgeKey
) -> None:
    server, backup = encrypted
    acl = server.directory / "users.acl"
    kept = acl.read_bytes()
    changed = b"user default on nopass ~* &* +@all\nuser newcomer on nopass ~* +@read\n"
    acl.write_bytes(changed)
    conf = server.conf_path.read_bytes()
    server.stop()
    restore = Restore(server, backup, identities=[str(age_key.identity)])
    assert restore.step("staged")["restore"]["server_files"] == []
    restore.step("active")
    assert (acl.read_bytes(), server.conf_path.read_bytes()) == (changed, conf)
    restore.step("rolled_back")
    assert restore.step("staged", server_files="replace")["restore"]["server_files"] == [str(acl)]
    assert acl.read_bytes() == changed
    restore.step("active")
    assert (acl.read_bytes(), server.conf_path.read_bytes()) == (kept, conf)
    restore.step("rolled_back")
    assert acl.read_bytes() == changed
    acl.unlink()
    assert restore.step("staged", server_files="none")["restore"]["server_files"] == []


class Hammer(threading.Thread):
    """A client that tries to write without a pause, from before the server starts; counts what was accepted."""

    def __init__(self, server: RedisProcess) -> None:
        super().__init__(daemon=True)
        self._port = server.port
        self.accepted = 0
        self.refused = 0
        self.ended = threading.Event()

    def run(self) -> None:
        client: redis.Redis | None = None
        while not self.ended.is_set():
            try:
                if client is None:
                    client = redis.Redis(port=self._port, protocol=2, retry=None)
                client.set("hammer", self.accepted)
                self.accepted += 1
            except redis.ResponseError as error:
                self.refused += "NOREPLICAS" in str(error)
            except redis.ConnectionError:
                client = None


def test_closed_writes_let_none_through_before_the_commit(
    build: Build, make_server: MakeServer, backups: Backups
) -> None:
    backup = backups.of(build)
    server = make_server(build, conf={"appendonly": "yes", "min-replicas-max-lag": "7"})
    fill_with_old_data(server.client())
    conf = server.conf_path.read_bytes()
    restore = Restore(server, backup, close_writes=True)
    restore.step("staged")
    server.stop()
    assert restore.step("active")["restore"]["writes_closed"] is True
    hammer = Hammer(server)
    hammer.start()
    server.start()
    wait_for(lambda: hammer.refused > 100, "writes to be refused")
    assert_holds(server, backup.values)
    server.stop()
    server.start()  # a restart opens nothing
    seen = hammer.refused
    wait_for(lambda: hammer.refused > seen + 100, "writes to be refused")
    assert hammer.accepted == 0
    assert restore.step("committed")["changed"] is True
    wait_for(lambda: hammer.accepted > 10, "writes to be accepted")
    hammer.ended.set()
    hammer.join()
    assert server.conf_path.read_bytes() == conf
    found = {name: server.client().config_get(name)[name] for name in ("min-replicas-to-write", "min-replicas-max-lag")}
    assert found == {"min-replicas-to-write": "0", "min-replicas-max-lag": "7"}


def test_rolling_back_opens_writes(target: RedisProcess, backup: Backup) -> None:
    conf = target.conf_path.read_bytes()
    target.stop()
    restore = Restore(target, backup, close_writes=True, data_dir=str(target.data_dir))
    restore.step("staged", config_file=None)
    refused(restore, "active", "no redis.conf", config_file=None)
    restore.step("active")  # redis.conf is named only now
    assert target.conf_path.read_bytes() != conf
    restore.step("rolled_back", config_file=None)
    assert target.conf_path.read_bytes() == conf
