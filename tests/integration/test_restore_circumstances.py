# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The circumstances of a restore: two at once, servers that run or are down, lost disks, keys, server files, writes."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import redis

from support.dataset import load_multiframe
from support.machine import AgeKey
from support.modules import ModuleFailed, finish, start_module
from support.restores import (
    Backup,
    Backups,
    Restore,
    assert_holds,
    back_up,
    data_tree,
    fill_with_old_data,
    refused,
)
from support.servers import Build, RedisProcess
from support.values import snapshot_server
from support.waiting import wait_for

MakeServer = Callable[..., RedisProcess]


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


def test_a_primary_that_sentinels_watch(backup: Backup, target: RedisProcess) -> None:
    """While it restarts they would make another one the primary: refused, unless they are said to be held."""
    restore = Restore(target, backup)
    watcher = target.client().pubsub()
    watcher.subscribe("__sentinel__:hello")
    watcher.get_message(timeout=5)
    assert "disaster_recovery" in refused(restore, "staged", "watched by 1 Sentinels")
    assert restore.step("staged", sentinels_held=True)["restore"]["state"] == "staged"
    watcher.close()
