# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The traps that make a naive restore of a dump file lose data without a word; each is set for redis_restore.

In each the restored data must serve, over restarts, a save and an AOF rewrite, and the previous data must be kept and
come back. What the naive way gives was measured on all versions: it is told in the docstrings.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from support.dataset import load_multiframe, raw, send
from support.modules import ModuleFailed, finish, start_module
from support.restores import (
    Backup,
    Backups,
    Restore,
    assert_holds,
    assert_serves_for_good,
    back_up,
    data_tree,
    file_tree,
    fill_with_old_data,
    wait_past,
)
from support.servers import Build, RedisProcess
from support.values import Values
from support.waiting import wait_for

MakeServer = Callable[..., RedisProcess]
NOBODY = 65534


@pytest.fixture(scope="module")
def backups(tmp_path_factory: pytest.TempPathFactory) -> Backups:
    return Backups(tmp_path_factory.mktemp("backups"))


@pytest.fixture
def backup(backups: Backups, build: Build) -> Backup:
    return backups.of(build)


def multi_part(server: RedisProcess) -> bool:
    """Whether the server keeps its AOF in a directory with a manifest."""
    return server.build.version >= (7,)


def aof_files(server: RedisProcess) -> list[Path]:
    """The files of the live AOF, all but a manifest."""
    if multi_part(server):
        return sorted((server.data_dir / "appendonlydir").glob("*.aof*[!t]"))
    return [server.data_dir / "appendonly.aof"]


def swap_and_prove(
    restore: Restore, served: Values, old: Values | None, look: Callable[[RedisProcess], None] = lambda server: None
) -> None:
    """With the server stopped and the backup staged: activate, `look` at it, use it, roll back; `old` serves again.

    Meanwhile the previous data lies aside byte for byte, and with its owners.
    """
    server = restore.server
    before = data_tree(server)
    active = restore.step("active")["restore"]
    assert active["state"] == "active"
    look(server)
    assert_serves_for_good(server, served)
    look(server)
    server.stop()
    assert file_tree(Path(active["previous_dir"])) == before
    assert restore.step("rolled_back")["restore"]["state"] == "rolled_back"
    assert data_tree(server) == before
    if old is not None:
        server.start()
        assert_holds(server, old)


# --- the numbered traps ---


def test_trap_1_aof_takes_precedence_over_the_restored_rdb(
    build: Build, backup: Backup, make_server: MakeServer
) -> None:
    """A dump.rdb beside an AOF is ignored: the restore silently has no effect."""
    server = make_server(build, conf={"appendonly": "yes", "save": "3600 1"})
    old = fill_with_old_data(server.client())
    restore = Restore(server, backup)
    restore.step("staged")
    assert_holds(server, old)
    server.stop()
    swap_and_prove(restore, backup.values, old)


def test_trap_2_aof_missing_gives_an_empty_server_that_saves_over_the_restored_rdb(
    build: Build, backup: Backup, make_server: MakeServer
) -> None:
    """With the AOF on and none there, dump.rdb is not read; the next save destroys it."""
    server = make_server(build, conf={"appendonly": "yes", "save": "3600 1"})
    fill_with_old_data(server.client())
    server.client().execute_command("SAVE")
    server.kill()
    for name in ("appendonlydir", "appendonly.aof"):
        path = server.data_dir / name
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    restore = Restore(server, backup)
    restore.step("staged")
    swap_and_prove(restore, backup.values, None)


def test_trap_3_aof_base_without_its_manifest_is_overwritten(
    build: Build, backup: Backup, make_server: MakeServer
) -> None:
    """A base file of the very name the server makes anew is overwritten by an empty one (6.2: an empty AOF)."""
    server = make_server(build, conf={"appendonly": "yes"})
    fill_with_old_data(server.client())
    server.kill()
    if multi_part(server):
        (server.data_dir / "appendonlydir" / "appendonly.aof.manifest").unlink()
    else:
        os.truncate(server.data_dir / "appendonly.aof", 0)
    restore = Restore(server, backup)
    restore.step("staged")
    swap_and_prove(restore, backup.values, None)


@pytest.mark.parametrize("aof", ["yes", "no"])
def test_trap_4_server_saves_when_it_is_stopped(
    build: Build, backup: Backup, make_server: MakeServer, aof: str
) -> None:
    """A file put in place under a running server with save points is gone when that server stops."""
    server = make_server(build, conf={"save": "3600 1", "appendonly": aof})
    fill_with_old_data(server.client())
    restore = Restore(server, backup)
    restore.step("staged")
    old = fill_with_old_data(server.client(), 150)  # written after staging: kept too
    server.stop()
    assert (server.data_dir / "dump.rdb").exists()
    swap_and_prove(restore, backup.values, old)


def save(server: RedisProcess) -> None:
    """A dump file, made by a child: a SAVE of the last second would keep the next child from reporting (rdb.c)."""
    client = server.client()
    client.execute_command("BGSAVE")
    wait_for(lambda: not client.info("persistence")["rdb_bgsave_in_progress"], "the dump file")


def orphan(server: RedisProcess, seconds: float) -> int:
    """Kill the server while its child saves for about `seconds`; the child's pid."""
    client = server.client()
    client.config_set("rdb-key-save-delay", int(seconds * 1e6 / client.dbsize()))
    client.execute_command("BGSAVE")
    wait_for(lambda: len(server.processes()) == 2, "the saving child")
    # The child reports to its parent at the first key, and would end of the broken pipe.
    wait_for(lambda: client.info("persistence")["current_save_keys_processed"] > 0, "the child's first report", 5)
    server.kill()
    (child,) = server.processes()
    return child


def test_trap_5_orphaned_child_renames_its_snapshot_over_the_restored_file(
    build: Build, backup: Backup, make_server: MakeServer
) -> None:
    """The saving child of a killed server lives on: the swap waits until it has ended."""
    server = make_server(build)
    old = fill_with_old_data(server.client())
    save(server)
    restore = Restore(server, backup)
    restore.step("staged")
    child = orphan(server, 2.5)
    process = start_module("redis_restore", restore.request("active"))
    temporary = server.data_dir / f"temp-{child}.rdb"
    wait_for(temporary.exists, "the child to save")
    assert finish(process)["restore"]["state"] == "active"
    assert not server.processes(), "swapped while the child was alive"
    assert_serves_for_good(server, backup.values)
    server.stop()
    restore.step("rolled_back")
    server.start()
    assert_holds(server, old)


def test_trap_5_orphaned_child_that_does_not_end_makes_the_swap_refuse(
    build: Build, backup: Backup, make_server: MakeServer
) -> None:
    server = make_server(build)
    fill_with_old_data(server.client())
    save(server)
    restore = Restore(server, backup)
    restore.step("staged")
    child = orphan(server, 60)
    before = data_tree(server)
    with pytest.raises(ModuleFailed, match=f"pid {child}") as failure:
        restore.step("active", wait_timeout=1)
    assert "not touched" in failure.value.msg
    assert server.processes() == [child]
    assert data_tree(server) == before
    assert not Path(server.data_dir, ".redis_backup", "fence").exists()
    server.destroy()
    assert restore.step("active")["changed"]
    server.start()
    assert_holds(server, backup.values)


@pytest.mark.parametrize("in_file", ["yes", "no"])
def test_trap_6_stale_aof_after_appendonly_was_set_live(
    build: Build, backup: Backup, make_server: MakeServer, in_file: str
) -> None:
    """What redis.conf says and what was set live differ: an AOF of yesterday is loaded, or none where one is due."""
    server = make_server(build, conf={"appendonly": in_file, "save": "3600 1"})
    client = server.client()
    fill_with_old_data(client)
    client.config_set("appendonly", "no" if in_file == "yes" else "yes")
    if in_file == "no":
        wait_for(lambda: client.info("persistence")["aof_current_size"] > 0, "the first AOF")
        wait_for(lambda: not client.info("persistence")["aof_rewrite_in_progress"], "the first rewrite")
    fill_with_old_data(client, 150)
    restore = Restore(server, backup)
    restore.step("staged")
    server.stop()
    swap_and_prove(restore, backup.values, None)


@pytest.mark.parametrize("state", ["running", "down"])
def test_trap_6_aof_that_only_the_command_line_switches_on(
    build: Build, backup: Backup, make_server: MakeServer, state: str
) -> None:
    """redis.conf says no, the command line says yes and nobody tells it: what runs, or lies there, must count."""
    server = make_server(build, args=["--appendonly", "yes"])
    fill_with_old_data(server.client())
    if state == "down":
        server.kill()
    restore = Restore(server, backup)
    restore.step("staged")
    if state == "running":
        server.stop()
    restore.step("active")
    server.start()
    assert server.client().config_get("appendonly")["appendonly"] == "yes"
    assert_holds(server, backup.values)


@pytest.mark.parametrize("in_file", ["yes", "no"])
def test_trap_6_stopped_server_with_an_aof_of_another_time(
    build: Build, backup: Backup, make_server: MakeServer, in_file: str
) -> None:
    """The same found when the server is down: redis.conf alone tells what will be read."""
    server = make_server(build, conf={"appendonly": "yes", "save": "3600 1"})
    fill_with_old_data(server.client())
    server.stop()
    text = server.conf_path.read_text()
    server.conf_path.write_text(text.replace("appendonly yes", f"appendonly {in_file}"))
    restore = Restore(server, backup)
    restore.step("staged")
    swap_and_prove(restore, backup.values, None)


def test_trap_7_reload_without_a_rewrite_leaves_another_aof(
    build: Build, backup: Backup, make_server: MakeServer
) -> None:
    """DEBUG RELOAD NOSAVE loads an RDB and leaves the AOF: the next restart brings the old data back."""
    conf = {"appendonly": "yes"} | ({"enable-debug-command": "yes"} if build.version >= (7,) else {})
    server = make_server(build, conf=conf)
    client = server.client()
    reloaded = fill_with_old_data(client)
    client.execute_command("SAVE")
    in_aof = fill_with_old_data(client, 150)
    client.execute_command("DEBUG", "RELOAD", "NOSAVE")
    assert_holds(server, reloaded)
    restore = Restore(server, backup)
    restore.step("staged")
    assert_holds(server, reloaded)
    server.stop()
    swap_and_prove(restore, backup.values, in_aof)


@pytest.mark.parametrize("aof", ["yes", "no"])
def test_trap_8_keys_past_their_time_do_not_come_back(
    build: Build, make_server: MakeServer, tmp_path: Path, aof: str
) -> None:
    """Keys that expired between backup and restore are in the file: the count may not alarm, none may be served."""
    donor = make_server(build)
    load_multiframe(donor.client(), 20, 5)
    client = donor.client()
    moment = int(time.time() * 1000) + 2500
    send(raw(client), [("SET", f"short:{n}", n, "PXAT", moment) for n in range(20)])
    held = client.dbsize() + donor.client(db=1).dbsize()
    backup = back_up(donor, tmp_path)
    assert backup.made["keys"] == held, "the keys had expired before they were backed up"
    wait_past([moment])
    lasting = {key: entry for key, entry in backup.values.items() if not key[1].startswith(b"short:")}
    server = make_server(build, conf={"appendonly": aof})
    old = fill_with_old_data(server.client())
    restore = Restore(server, backup)
    assert restore.step("staged")["restore"]["keys"] == held
    if aof == "no":
        server.client().execute_command("SAVE")
    server.stop()
    swap_and_prove(restore, lasting, old)


def test_trap_9_server_appends_to_what_is_hard_linked(
    build: Build, backup: Backup, make_server: MakeServer
) -> None:
    """6.2 appends to its single AOF in place: it must share its inode with no other file, kept or restored."""
    server = make_server(build, conf={"appendonly": "yes"})
    fill_with_old_data(server.client())
    pinned = server.directory / "pinned"
    os.link(aof_files(server)[-1], pinned)
    server.client().config_set("appendonly", "no")  # so that both layouts are restored, from one RDB
    restore = Restore(server, backup)
    restore.step("staged")
    server.stop()
    before, stored, kept_aside = data_tree(server), file_tree(backup.folder), pinned.read_bytes()
    result = restore.step("active")["restore"]
    dump = (server.data_dir / "dump.rdb").read_bytes()
    server.start()
    assert_holds(server, backup.values)
    send(raw(server.client()), [("SET", f"appended:{n}", n) for n in range(500)])
    server.stop()
    assert (server.data_dir / "dump.rdb").read_bytes() == dump, "the restored RDB was appended to"
    if not multi_part(server):
        aof = server.data_dir / "appendonly.aof"
        assert aof.stat().st_nlink == 1
        assert aof.read_bytes().startswith(dump)
        assert aof.stat().st_size > len(dump)
    assert pinned.read_bytes() == kept_aside
    assert file_tree(Path(result["previous_dir"])) == before
    assert file_tree(backup.folder) == stored
    assert restore.step("rolled_back")["changed"]
    assert data_tree(server) == before


# --- the ownership table: a server that runs as an ordinary user, its files of various owners ---


def owned_by_server(server: RedisProcess) -> None:
    """Everything that the server will load belongs to its user."""
    for name, (_mode, uid, _gid, _content) in data_tree(server).items():
        assert uid == NOBODY, f"{name} belongs to {uid}"


def stopped_server(build: Build, make_server: MakeServer, aof: str) -> RedisProcess:
    """A server of the user NOBODY that has run and has been stopped; its dump file and AOF are there."""
    server = make_server(build, conf={"appendonly": aof, "save": "3600 1"}, user=NOBODY)
    fill_with_old_data(server.client())
    server.stop()
    assert (server.data_dir / "dump.rdb").exists()
    return server


def restore_when_down(server: RedisProcess, backup: Backup) -> None:
    restore = Restore(server, backup)
    restore.step("staged")
    swap_and_prove(restore, backup.values, None, owned_by_server)


@pytest.mark.parametrize("mode", [0o600, 0o644])
def test_owner_dump_of_root(build: Build, backup: Backup, make_server: MakeServer, mode: int) -> None:
    """A dump.rdb of root with 0600 stops the server's start; with 0644 it works until somebody looks."""
    server = stopped_server(build, make_server, "no")
    os.chown(server.data_dir / "dump.rdb", 0, 0)
    (server.data_dir / "dump.rdb").chmod(mode)
    restore_when_down(server, backup)


@pytest.mark.parametrize("aof", ["yes", "no"])
def test_owner_directory_of_root(build: Build, backup: Backup, make_server: MakeServer, aof: str) -> None:
    """In a directory of root the server loads its data, then fails to save, and refuses writes."""
    server = stopped_server(build, make_server, aof)
    os.chown(server.data_dir, 0, 0)
    restore_when_down(server, backup)


def test_owner_aof_directory_of_root(build: Build, backup: Backup, make_server: MakeServer) -> None:
    """The server cannot make its increment there, and ends."""
    server = stopped_server(build, make_server, "yes")
    if multi_part(server):
        os.chown(server.data_dir / "appendonlydir", 0, 0)
        (server.data_dir / "dump.rdb").unlink()  # nothing but the directory tells the owner
    else:
        os.chown(server.data_dir / "appendonly.aof", 0, 0)
    restore_when_down(server, backup)


@pytest.mark.parametrize("mode", [0o600, 0o644])
def test_owner_aof_files_of_root(build: Build, backup: Backup, make_server: MakeServer, mode: int) -> None:
    """AOF files of root: unreadable ones stop the start, and so does 6.2's single file, which needs to be written."""
    server = stopped_server(build, make_server, "yes")
    folder = server.data_dir / "appendonlydir"
    for path in [*folder.iterdir()] if multi_part(server) else aof_files(server):
        os.chown(path, 0, 0)
        path.chmod(mode)
    (server.data_dir / "dump.rdb").unlink()
    restore_when_down(server, backup)


def test_owner_is_that_of_the_running_server(build: Build, backup: Backup, make_server: MakeServer) -> None:
    """Whatever the files say, the process tells who must read and write them; modes stay as they were."""
    server = make_server(build, conf={"appendonly": "yes"}, user=NOBODY)
    old = fill_with_old_data(server.client())
    server.client().execute_command("SAVE")
    (server.data_dir / "dump.rdb").chmod(0o604)
    if multi_part(server):
        (server.data_dir / "appendonlydir").chmod(0o711)
    restore = Restore(server, backup)
    restore.step("staged")
    os.chown(server.data_dir / "dump.rdb", 0, 0)
    server.stop()
    restore.step("active")
    owned_by_server(server)
    modes = {name: entry[0] & 0o7777 for name, entry in data_tree(server).items()}
    if multi_part(server):
        assert modes.pop("appendonlydir") == 0o711
    assert set(modes.values()) == {0o604}
    assert_serves_for_good(server, backup.values)
    server.stop()
    restore.step("rolled_back")
    server.start()
    assert_holds(server, old)
