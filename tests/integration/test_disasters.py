# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Disasters made for real: what is wrong is told in words, with the way out of the smallest loss."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from support.archives import INSTANCE, Archived, with_aof
from support.modules import run_module
from support.restores import Tree, file_tree
from support.servers import Build, RedisProcess, build_named
from support.waiting import wait_for

KEYS = 500
AOF = "appendonlydir/appendonly.aof.1.incr.aof"


class Scene:
    """A server with keys, one backup of them, and a write after it."""

    def __init__(self, server: RedisProcess, place: Path, instance: str = "shop") -> None:
        self.server = server
        self.params = {
            **server.connection,
            "instance": instance,
            "config_file": str(server.conf_path),
            "executable": str(server.build.executable),
            "state_dir": str(place / "state"),
            "repositories": [{"name": "nfs", "path": str(place / "repository"), "create": True}],
        }
        self.fill()
        run_module("redis_backup", {**self.params, "encryption": {"recipients": []}})
        server.client().set("after:the:backup", "x" * 100)

    def fill(self) -> None:
        self.server.client().mset({f"k:{n}": "x" * 50 for n in range(KEYS)})

    @property
    def aof(self) -> Path:
        old = self.server.build.version < (7, 0)
        return self.server.data_dir / ("appendonly.aof" if old else AOF)

    def assess(self, **more: Any) -> dict[str, Any]:
        before = self.files()
        found = run_module("redis_assess", {**self.params, **more})
        assert self.files() == before  # looking changes nothing
        return found

    def files(self) -> Tree:
        """All but the log, which the server may write whenever it likes."""
        return {name: entry for name, entry in file_tree(self.server.directory).items() if name != "redis.log"}


@pytest.fixture
def scene(any_build: Build, make_server: Any, tmp_path: Path) -> Scene:
    return Scene(make_server(any_build, conf={"appendonly": "yes", "appendfsync": "always"}), tmp_path)


@pytest.fixture
def snapshots(any_build: Build, make_server: Any, tmp_path: Path) -> Scene:
    """A server that keeps an RDB only."""
    found = Scene(make_server(any_build, conf={"save": "3600 1"}), tmp_path)
    found.server.client().save()
    return found


def kinds(found: dict[str, Any]) -> list[str]:
    return [each["kind"] for each in found["findings"]]


def says(found: dict[str, Any]) -> str:
    return " ".join(each["says"] for each in found["findings"])


def ways(found: dict[str, Any]) -> list[str]:
    return [each["way"] for each in found["ways"]]


def started_in_vain(server: RedisProcess) -> None:
    """Try to start a server that cannot start, so that its log says why."""
    command = [str(server.build.executable), str(server.conf_path)]
    assert subprocess.run(command, user=server.user, timeout=60, check=False).returncode


def test_nothing_is_wrong(scene: Scene) -> None:
    found = scene.assess()
    assert found["healthy"] and found["findings"] == [] and found["ways"] == []


def test_a_killed_server_need_only_be_started(scene: Scene) -> None:
    scene.server.kill()
    found = scene.assess()
    assert kinds(found) == [] and ways(found) == ["start", "restore"]
    assert found["ways"][0]["loses_seconds"] == 0 and "the AOF is whole" in found["ways"][0]["says"]
    assert scene.assess(examine=False)["ways"] == []
    scene.server.start()  # the way that was proposed
    assert scene.server.client().dbsize() == KEYS + 1


def test_the_data_directory_is_gone(scene: Scene) -> None:
    scene.server.kill()
    shutil.rmtree(scene.server.data_dir)
    found = scene.assess()
    assert ways(found) == ["restore"] and found["ways"][0]["loses_seconds"] == found["rpo_seconds"]
    assert [d["kind"] for d in found["damage"]] == ["down"] and "no data is left" in found["damage"][0]["says"]


@pytest.mark.parametrize("part", ["data", "data/appendonlydir"])
def test_files_are_removed_while_it_runs(scene: Scene, part: str) -> None:
    """It serves on, and its memory is all there is: that is told, and saved by what is proposed."""
    shutil.rmtree(scene.server.directory / part)
    found = scene.assess()
    assert found["healthy"] and kinds(found) == ["files_gone"] and "do not stop it" in says(found)
    own = {name: value for name, value in scene.params.items() if name != "repositories"}
    saved = run_module("redis_secure", {**own, "snapshot_timeout": 60})["secured"]
    assert saved["snapshot"]["keys"] == KEYS + 1


def test_the_end_of_the_aof_is_torn(layout: Build, make_server: Any, tmp_path: Path) -> None:
    scene = Scene(make_server(layout, conf={"appendonly": "yes", "appendfsync": "always"}), tmp_path)
    scene.server.kill()
    os.truncate(scene.aof, scene.aof.stat().st_size - 7)
    found = scene.assess()
    assert kinds(found) == ["aof_torn"] and ways(found)[0] == "repair_aof"
    assert str(scene.aof.name) in says(found) and "bytes cannot be loaded" in says(found)
    path = scene.aof if layout.version < (7, 0) else scene.aof.parent
    own = {name: value for name, value in scene.params.items() if name != "repositories"}
    run_module("redis_aof", {**own, "state": "fixed", "path": str(path)})
    assert ways(scene.assess())[0] == "start"
    scene.server.start()
    assert scene.server.client().dbsize() == KEYS  # the one write that was torn is lost


def test_the_middle_of_the_aof_is_damaged(scene: Scene) -> None:
    """Most of it cannot be loaded, and nothing tells of when that is: what the backup loses is known."""
    scene.server.kill()
    data = bytearray(scene.aof.read_bytes())
    at = len(data) // 2
    data[at : at + 40] = b"\0" * 40
    scene.aof.write_bytes(bytes(data))
    started_in_vain(scene.server)
    found = scene.assess()
    assert kinds(found) == ["aof_damaged"] and "at byte" in says(found)
    assert ways(found) == ["restore", "repair_aof"] and found["ways"][1]["loses_seconds"] is None


def test_the_dump_is_cut_short(snapshots: Scene) -> None:
    snapshots.server.kill()
    dump = snapshots.server.data_dir / "dump.rdb"
    os.truncate(dump, dump.stat().st_size // 2)
    found = snapshots.assess()
    assert kinds(found) == ["rdb_damaged"] and str(dump) in says(found) and ways(found) == ["restore"]


def test_what_is_no_file_is_not_waited_for(snapshots: Scene) -> None:
    snapshots.server.kill()
    dump = snapshots.server.data_dir / "dump.rdb"
    dump.unlink()
    os.mkfifo(dump)
    found = snapshots.assess()
    assert kinds(found) == ["rdb_damaged"] and "is no file" in says(found) and ways(found) == ["restore"]


def test_a_whole_dump_loses_what_came_after_it(snapshots: Scene) -> None:
    snapshots.server.kill()
    found = snapshots.assess()
    assert kinds(found) == [] and ways(found)[0] == "start" and "its last save" in found["ways"][0]["says"]


def test_the_aof_is_gone_and_the_dump_would_not_be_read(scene: Scene) -> None:
    scene.server.client().save()
    scene.server.kill()
    shutil.rmtree(scene.aof.parent)
    found = scene.assess()
    assert kinds(found) == ["data_missing"] and "would start without any data" in says(found)
    assert "dump.rdb is there" in says(found) and ways(found) == ["restore"]


def test_emptied_while_it_runs(scene: Scene) -> None:
    scene.server.client().flushall()
    found = scene.assess()
    assert [d["kind"] for d in found["damage"]] == ["empty"] and ways(found) == ["restore"]


def test_half_emptied_while_it_runs(scene: Scene) -> None:
    scene.server.client().delete(*(f"k:{n}" for n in range(KEYS * 3 // 4)))
    found = scene.assess()
    assert [d["kind"] for d in found["damage"]] == ["shrunk"] and ways(found) == ["restore"]


def test_with_an_archive_nothing_but_its_lag_is_lost(any_build: Build, make_server: Any, tmp_path: Path) -> None:
    archived = Archived(make_server(any_build, conf=with_aof(any_build)), tmp_path)
    scene = Scene(archived.server, tmp_path, INSTANCE)
    run_module("redis_aof_archive", archived.params)
    scene.server.client().flushall()
    run_module("redis_aof_archive", archived.params)
    found = scene.assess()
    assert ways(found) == ["replay", "restore"] and "redis_disaster_recovery_before_command" in found["ways"][0]["how"]
    scene.server.kill()
    shutil.rmtree(scene.server.data_dir)
    found = scene.assess()
    assert ways(found)[0] == "replay" and "redis_disaster_recovery_at=latest" in found["ways"][0]["how"]


def test_redis_conf_is_gone(scene: Scene) -> None:
    scene.server.kill()
    scene.server.conf_path.unlink()
    found = scene.assess(data_dir=str(scene.server.data_dir))
    assert "config" in kinds(found) and str(scene.server.conf_path) in says(found)


def test_the_acl_file_is_gone(any_build: Build, make_server: Any, server_root: Path, tmp_path: Path) -> None:
    acl = server_root / "server1/users.acl"
    server = make_server(any_build, conf={"appendonly": "yes", "aclfile": str(acl)}, start=False)
    acl.write_text("user default on nopass ~* &* +@all\n")
    server.start()
    scene = Scene(server, tmp_path)
    server.kill()
    acl.unlink()
    found = scene.assess()
    assert kinds(found) == ["acl"] and str(acl) in says(found)
    assert ways(found)[0] == "start" and found["ways"][0]["how"].startswith("bring the ACL file back; then start")


def test_the_host_is_bare(scene: Scene) -> None:
    scene.server.kill()
    found = scene.assess(executable="/nowhere/redis-server")
    assert "bare" in kinds(found) and ways(found) == ["restore"]


def test_a_newer_server_left_its_files(any_build: Build, make_server: Any, tmp_path: Path) -> None:
    newer = make_server(build_named("redis-8.2"), conf={"save": "3600 1"})
    scene = Scene(make_server(any_build, conf={"save": "3600 1"}), tmp_path)
    newer.client().set("key", "value")
    newer.client().save()
    scene.server.kill()
    shutil.copy(newer.data_dir / "dump.rdb", scene.server.data_dir / "dump.rdb")
    found = scene.assess()
    assert kinds(found) == ["too_new"] and "redis 8.2" in says(found).lower() and ways(found) == ["restore"]


@pytest.mark.skipif(os.geteuid() != 0, reason="a server of another user needs root")
def test_its_files_are_not_its_own(any_build: Build, make_server: Any, tmp_path: Path) -> None:
    server = make_server(any_build, conf={"appendonly": "yes"}, user=65534)
    scene = Scene(server, tmp_path)
    server.kill()
    for path in (scene.aof.parent, *scene.aof.parent.iterdir()):
        os.chown(path, 0, 0)
        path.chmod(0o600 if path.is_file() else 0o700)
    started_in_vain(server)
    found = scene.assess()
    assert "permission" in kinds(found) and "Permission denied" in says(found)
    assert found["ways"][0]["way"] == "start" and "give the files back" in found["ways"][0]["how"]


def test_the_disk_is_full(
    any_build: Build, make_server: Any, tmp_path: Path, small_tmpfs: Callable[[str], Path]
) -> None:
    disk = small_tmpfs("24M")
    server = make_server(any_build, conf={"dir": str(disk), "save": "3600 1"})
    scene = Scene(server, tmp_path)
    server.client().set("big", os.urandom(4 * 1024 * 1024))
    with open(disk / "filler", "wb") as stream:
        stream.write(b"\0" * 23 * 1024 * 1024)
    server.client().bgsave()
    wait_for(lambda: server.client().info()["rdb_last_bgsave_status"] == "err", "a save that fails")
    found = scene.assess()
    assert found["healthy"] and kinds(found) == ["save_failed", "disk_full"]
    assert "No space left" in says(found) and found["ways"] == []


def test_too_little_memory_to_load(scene: Scene) -> None:
    scene.server.client().set("big", "x" * 100_000_000)
    scene.server.kill()
    limited = subprocess.Popen(
        ["sh", "-c", f"ulimit -v 90000; exec {scene.server.build.executable} {scene.server.conf_path}"]
    )
    limited.wait(timeout=60)
    assert limited.returncode not in (0, -signal.SIGKILL)
    found = scene.assess()
    assert "memory" in kinds(found) and ways(found)[0] == "start"
    assert "give it more memory" in found["ways"][0]["how"]


def test_another_process_listens_on_its_port(scene: Scene, make_server: Any) -> None:
    scene.server.kill()
    with socket.create_server(("127.0.0.1", scene.server.port)):
        started_in_vain(scene.server)
    found = scene.assess()
    assert kinds(found) == ["port"] and "end what listens" in found["ways"][0]["how"]
