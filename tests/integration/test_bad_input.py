# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Servers in a bad state and requests that make no sense: told in one paragraph, and nothing else happens.

Each test states what the message must say, and that live data and repository are the same files as before.
Repositories in a bad state: test_bad_repository.py; damaged backups: test_damage.py.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from support.modules import ModuleFailed, finish, run_module, start_module
from support.servers import Build, BuildMissing, RedisProcess, build_named, free_port
from support.shelf import Shelf
from support.untouched import assert_told, refused, tree, untouched
from support.waiting import wait_for

MakeServer = Callable[..., RedisProcess]

# The minimal rules that the documentation names: for a file backup on the host, and for a stream.
BACKUP_RULES = (
    "resetchannels -@all +ping +info +time +lastsave +dbsize +bgsave +bgrewriteaof +config|get +role "
    "+client|setname +hello +auth"
)
STREAM_RULES = "resetchannels -@all +ping +info +psync +sync +replconf"


@pytest.fixture
def shelf(server_root: Path) -> Shelf:
    (server_root / "repository").mkdir()
    return Shelf(server_root / "repository", server_root / "state")


def fill(server: RedisProcess, keys: int = 300, size: int = 100) -> None:
    with server.client() as client:
        client.mset({f"key:{n}": os.urandom(size // 2).hex() for n in range(keys)})


@pytest.fixture
def shop(any_build: Build, make_server: MakeServer, shelf: Shelf) -> RedisProcess:
    """A server with data, of which the shelf holds a backup."""
    server = make_server(any_build)
    fill(server)
    shelf.backup(server)
    return server


@contextlib.contextmanager
def no_harm(server: RedisProcess, shelf: Shelf) -> Iterator[None]:
    """The server's data, its redis.conf and the repository are the same behind the block."""
    with untouched(server.data_dir, shelf.root):
        conf = server.conf_path.read_bytes()
        yield
        assert server.conf_path.read_bytes() == conf


def wait_failed(process: subprocess.Popen[bytes], *needles: str, timeout: float = 60) -> None:
    """Wait for a started module, which must fail with a paragraph that has all of `needles`."""
    with pytest.raises(ModuleFailed) as failure:
        finish(process, timeout=timeout)
    assert "module_stderr" not in failure.value.result, failure.value
    assert_told(failure.value.msg, *needles)


def every_module(shelf: Shelf, server: RedisProcess, **more: Any) -> dict[str, dict[str, Any]]:
    """Parameters for each module that talks to a server."""
    return {
        "redis_instance_info": shelf.of(server, **more),
        "redis_snapshot": shelf.of(server, **more),
        "redis_check": shelf.of(server, **more),
        "redis_backup": shelf.to_backup(server, **more),
        "redis_restore": shelf.to_restore(server, **more),
        "redis_assess": shelf.of(server, repositories=[shelf.repository], **more),
    }


# --- logging in ---


def test_wrong_password(any_build: Build, make_server: MakeServer, shelf: Shelf) -> None:
    server = make_server(any_build, conf={"requirepass": "correct-horse"})
    fill(server)
    shelf.backup(server)
    with no_harm(server, shelf):
        for name, params in every_module(shelf, server).items():
            wrong = {**params, "login_password": "wrong-horse"}
            failure = refused(name, wrong, "shop", f"127.0.0.1:{server.port}", "refused the login", "login_password")
            assert "wrong-horse" not in str(failure.result)
            del wrong["login_password"]
            refused(name, wrong, "shop", "NOAUTH", "login_password")
            refused(name, {**wrong, "login_user": "nobody", "login_password": "x"}, "shop", "user nobody")


def test_user_who_may_do_nothing(shop: RedisProcess, shelf: Shelf) -> None:
    with shop.client() as client:
        client.execute_command("ACL", "SETUSER", "guest", "on", ">guest", "-@all", "+ping")
    with no_harm(shop, shelf):
        for name, params in every_module(shelf, shop, login_user="guest", login_password="guest").items():
            refused(name, params, "shop", "INFO", "NOPERM", "login_user")


def test_user_who_may_not_stream_gets_a_file_backup(build: Build, make_server: MakeServer, shelf: Shelf) -> None:
    server = make_server(build)
    fill(server)
    with server.client() as client:
        client.execute_command("ACL", "SETUSER", "backup", "reset", "on", ">pw", *BACKUP_RULES.split())
    user = {"login_user": "backup", "login_password": "pw"}
    made = run_module("redis_backup", shelf.to_backup(server, **user))
    assert made["backup"]["source"] == "bgsave"
    reason = "REPLCONF" if build.version >= (7,) else "repl-diskless-sync is off"
    assert reason in " ".join(made["actions"])
    with no_harm(server, shelf):
        words = ("NOPERM", "REPLCONF") if build.version >= (7,) else ("cannot stream", "repl-diskless-sync")
        refused("redis_backup", shelf.to_backup(server, source="stream", **user), "shop", *words)


def test_user_who_may_only_stream(build: Build, make_server: MakeServer, shelf: Shelf) -> None:
    server = make_server(build)
    fill(server)
    with server.client() as client:
        client.execute_command("ACL", "SETUSER", "puller", "reset", "on", ">pw", *STREAM_RULES.split())
    user = {"login_user": "puller", "login_password": "pw"}
    if build.version >= (7,):
        with untouched(server.data_dir):
            made = shelf.backup(server, **user)
        assert made["source"] == "replication"
        assert made["keys"] == 300
    else:
        shelf.backup(server)
    with no_harm(server, shelf):
        refused("redis_backup", shelf.to_backup(server, source="file", **user), "shop", "BGSAVE", "NOPERM", "Allow")


# --- the server's state ---


def test_server_down(shop: RedisProcess, shelf: Shelf) -> None:
    shop.kill()
    with no_harm(shop, shelf):
        for name, params in every_module(shelf, shop).items():
            if name in ("redis_backup", "redis_snapshot", "redis_instance_info", "redis_check"):
                refused(name, params, "shop", f"127.0.0.1:{shop.port}", "down" if name != "redis_check" else "answers")
        refused("redis_backup", shelf.to_backup(shop), "Start the server", check=True)
        for params in ({"config_file": None}, {"config_file": None, "data_dir": "relative/path"}):
            nothing_known = shelf.to_restore(shop, **params)
            refused("redis_restore", nothing_known, "shop", "data directory", "Give data_dir, or config_file")


def test_server_still_loading(any_build: Build, make_server: MakeServer, shelf: Shelf) -> None:
    slow = {"key-load-delay": "20000", "loading-process-events-interval-bytes": "1024"}
    server = make_server(any_build, conf=slow)
    fill(server, 1000)
    with server.client() as client:
        client.save()
    shelf.backup(server)
    server.kill()
    server.start(wait=False)
    with server.client() as client:
        wait_for(lambda: _info(client, "persistence").get("loading"), "the server to load")
        with no_harm(server, shelf):
            for name in ("redis_backup", "redis_snapshot"):
                params = every_module(shelf, server)[name]
                refused(name, params, "shop", "still loading", "Wait")
            refused("redis_check", shelf.of(server, wait_timeout=0), "shop", "still loading")
        run_module("redis_restore", shelf.to_restore(server))
        active = shelf.to_restore(server, "active", wait_timeout=0)
        refused("redis_restore", active, "shop", "is not stopped", "Stop it", str(server.data_dir))
        assert _info(client, "persistence")["loading"], "it went too fast to be tested"


def _info(client: redis.Redis, section: str) -> dict[str, Any]:
    """INFO, empty where nobody answers yet."""
    try:
        return dict(client.info(section))
    except redis.ConnectionError:
        return {}


def test_replica_in_the_middle_of_a_synchronisation(any_build: Build, make_server: MakeServer, shelf: Shelf) -> None:
    primary = make_server(any_build, conf={"rdb-key-save-delay": "20000"})
    fill(primary, 1000)
    replica = make_server(any_build)
    fill(replica, 5)
    shelf.backup(replica)
    with replica.client() as client:
        client.replicaof("127.0.0.1", primary.port)
        wait_for(lambda: client.info("replication").get("master_sync_in_progress"), "the synchronisation")
        for name in ("redis_backup", "redis_snapshot"):
            with untouched(shelf.root):
                refused(name, every_module(shelf, replica)[name], "shop", "synchronisation", "not whole", "Wait")
        assert client.info("replication")["master_sync_in_progress"], "it went too fast to be tested"


@pytest.mark.parametrize("words", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"SSH-2.0-OpenSSH_9.2\r\n"])
def test_another_service_answers(words: bytes, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(30)

        def answer() -> None:
            client, _address = listener.accept()
            with client:
                client.recv(1000)
                client.sendall(words)

        answering = threading.Thread(target=answer, daemon=True)
        answering.start()
        asked = {"login_port": listener.getsockname()[1]}
        refused("redis_instance_info", asked, "is no Redis server", "Correct login_host")
        answering.join()


def test_server_that_hangs(shop: RedisProcess, shelf: Shelf) -> None:
    """Stopped by a signal: the kernel still accepts connections. All modules together, each waits for its own time."""
    run_module("redis_restore", shelf.to_restore(shop))
    pid = shop.pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    try:
        with no_harm(shop, shelf):
            begun = time.monotonic()
            asked = every_module(shelf, shop)
            for name in ("redis_check", "redis_assess"):
                del asked[name]
            asked["redis_restore"] = shelf.to_restore(shop, "active", wait_timeout=1)
            processes = {name: start_module(name, params) for name, params in asked.items()}
            for name, process in processes.items():
                told = ("is not stopped", "Stop it") if name == "redis_restore" else ("did not answer", "log")
                wait_failed(process, "shop", *told)
            assert time.monotonic() - begun < 60
    finally:
        os.kill(pid, signal.SIGCONT)
    with shop.client() as client:
        assert client.dbsize() == 300


# --- saving and streaming ---


def saving(client: redis.Redis) -> bool:
    return bool(client.info("persistence")["rdb_bgsave_in_progress"])


@pytest.mark.long
def test_server_that_hangs_while_it_streams(any_build: Build, make_server: MakeServer, shelf: Shelf) -> None:
    """A minute of silence ends the backup."""
    server = make_server(any_build)
    fill(server, 2000)
    shelf.backup(server)
    with server.client() as client:
        wait_for(lambda: not saving(client), "the child of the backup to be gone")
        client.config_set("rdb-key-save-delay", "5000")
        with untouched(shelf.root):
            process = start_module("redis_backup", shelf.to_backup(server))
            wait_for(lambda: list(shelf.root.rglob("*.part")), "the backup to begin")
            pid = server.pid
            assert pid is not None
            os.kill(pid, signal.SIGSTOP)
            try:
                wait_failed(process, "shop", "stalled for 60 s", "No backup was made", timeout=150)
            finally:
                os.kill(pid, signal.SIGCONT)
        assert client.dbsize() == 2000


@pytest.mark.parametrize("source", ["stream", "file"])
def test_server_killed_while_it_saves(any_build: Build, make_server: MakeServer, shelf: Shelf, source: str) -> None:
    """The stream is cut midway, the file is never finished: no backup, and no trace of one."""
    server = make_server(any_build)
    fill(server, 2000)
    shelf.backup(server, source=source)
    with server.client() as client:
        wait_for(lambda: not saving(client), "the child of the backup to be gone")
        client.config_set("rdb-key-save-delay", "2000")
        with untouched(shelf.root):
            process = start_module("redis_backup", shelf.to_backup(server, source=source))
            wait_for(lambda: saving(client), "the save")
            if source == "stream":
                wait_for(lambda: list(shelf.root.rglob("*.part")), "the backup to begin")
            server.kill()
            wait_failed(process, "shop", "No backup was made")


@pytest.mark.parametrize("save_points", ["", "900 1"])
@pytest.mark.parametrize("source", ["stream", "file"])
def test_flushall_while_the_server_saves(
    any_build: Build, make_server: MakeServer, shelf: Shelf, source: str, save_points: str
) -> None:
    """It ends the save, and the server calls that a success; with save points it saves its empty data set at once."""
    server = make_server(any_build, conf={"save": save_points})
    fill(server, 1000)
    shelf.backup(server, source=source)
    with server.client() as client:
        wait_for(lambda: not saving(client), "the child of the backup to be gone")
        client.config_set("rdb-key-save-delay", "5000")
        with untouched(shelf.root):
            process = start_module("redis_backup", shelf.to_backup(server, source=source))
            wait_for(lambda: saving(client), "the save")
            if source == "stream":
                wait_for(lambda: list(shelf.root.rglob("*.part")), "the backup to begin")
            client.flushall()
            wait_failed(process, "shop", "no backup was made" if source == "stream" else "as they were")


@pytest.mark.parametrize("module", ["redis_backup", "redis_snapshot"])
def test_disk_full_while_the_server_saves(
    any_build: Build, make_server: MakeServer, shelf: Shelf, small_tmpfs: Callable[[str], Path], module: str
) -> None:
    disk = small_tmpfs("2M")
    server = make_server(any_build, conf={"dir": str(disk), "rdbcompression": "no"})
    fill(server, 100)
    run_module("redis_snapshot", shelf.of(server))
    shelf.backup(server, source="file")
    fill(server, 30_000, 200)
    params = shelf.to_backup(server, source="file") if module == "redis_backup" else shelf.of(server)
    with untouched(disk, shelf.root):
        refused(module, params, "shop", "No space left on device", "as they were", "Mend the cause")
    if module == "redis_backup":
        assert shelf.backup(server)["source"] == "replication", "a stream needs no room on the server's disk"


@pytest.mark.parametrize("source", ["stream", "file"])
@pytest.mark.parametrize("work", ["bgsave", "bgrewriteaof"])
def test_running_save_or_rewrite_is_waited_for(
    any_build: Build, make_server: MakeServer, shelf: Shelf, work: str, source: str
) -> None:
    server = make_server(any_build, conf={"appendonly": "yes", "rdb-key-save-delay": "4000"})
    with server.client() as client:
        shelf.backup(server, source=source)
        fill(server, 1000)
        wait_for(lambda: not saving(client), "the child of the backup to be gone")
        client.execute_command(work)
        client.config_set("rdb-key-save-delay", "0")
        with untouched(shelf.root):
            params = shelf.to_backup(server, source=source, wait_timeout=1)
            refused("redis_backup", params, "shop", "within 1 s" if source == "stream" else "after 1 s", "another save")
        persistence = client.info("persistence")
        assert persistence["rdb_bgsave_in_progress"] or persistence["aof_rewrite_in_progress"], "it went too fast"
        client.set("written", "while the other save ran")
        made = shelf.backup(server, source=source)
        assert made["keys"] == 1001
        assert client.info("persistence")["aof_last_bgrewrite_status"] == "ok"
        assert len(shelf.labels) == 2


# --- what is asked for ---


PAIRS = [
    ("redis-8.2", "redis-7.0", "formats up to 10, this one is 12"),
    ("redis-7.0", "redis-6.2", "formats up to 9, this one is 10"),
    ("valkey-9.1", "redis-8.2", "VALKEY format"),
    ("redis-8.2", "valkey-9.1", "after the fork"),
]


@pytest.mark.parametrize(("newer", "older", "why"), PAIRS, ids=[f"{newer} to {older}" for newer, older, _why in PAIRS])
def test_backup_that_the_target_cannot_load(
    make_server: MakeServer, shelf: Shelf, newer: str, older: str, why: str
) -> None:
    try:
        origin, target = make_server(build_named(newer)), make_server(build_named(older))
    except BuildMissing as error:
        pytest.skip(str(error))
    fill(origin)
    label = shelf.backup(origin)["label"]
    fill(target, 5)
    with no_harm(target, shelf):
        words = ("shop", "cannot load", label, why, "Restore into")
        refused("redis_restore", shelf.to_restore(target), *words)
        refused("redis_restore", shelf.to_restore(target), *words, check=True)
        target.kill()
        refused("redis_restore", shelf.to_restore(target), *words)


def test_directory_that_is_no_data_directory(shop: RedisProcess, shelf: Shelf, server_root: Path) -> None:
    shop.kill()
    foreign = server_root / "photos"
    foreign.mkdir()
    (foreign / "holiday.jpg").write_bytes(b"\xff\xd8")
    (foreign / "more").mkdir()
    file = server_root / "a-file"
    file.write_text("words")
    with untouched(server_root):
        for place, why in (
            (foreign, "holds holiday.jpg"),
            (file, "no directory"),
            (server_root / "missing" / "data", "parent is missing"),
            (Path("/"), "no Redis data directory"),
            (Path("/etc"), "no Redis data directory"),
        ):
            for state in ("staged", "active", "rolled_back", "committed") if place == foreign else ("staged",):
                refused("redis_restore", shelf.to_restore(shop, state, data_dir=str(place)), "shop", str(place), why)


def test_label_or_time_without_a_backup(shop: RedisProcess, shelf: Shelf) -> None:
    (label,) = shelf.labels
    with no_harm(shop, shelf):
        for more, words in (
            ({"label": "20200101T000000Z_rdb"}, ("no backup 20200101T000000Z_rdb of shop", f"It holds: {label}")),
            ({"label": "../../../etc"}, ("no backup ../../../etc of shop", label)),
            ({"label": "yesterday"}, ("no backup yesterday of shop", label)),
            ({"at": "2020-01-01T00:00:00Z"}, ("no usable backup of shop", "2020-01-01T00:00:00Z", label)),
            ({"at": "2020-01-01T00:00:00"}, ("shop", "no time with a zone")),
            ({"at": "yesterday"}, ("shop", "no time with a zone")),
            ({"at": "2020-01-01T00:00:00Z", "label": label}, ("shop", "exclude each other")),
            ({"source_instance": "warehouse"}, ("no usable backup of warehouse", "Usable are: none")),
        ):
            refused("redis_restore", shelf.to_restore(shop, **more), *words)
        refused("redis_restore", shelf.to_restore(shop, **more), *words, check=True)


def test_unsafe_instance_name(shop: RedisProcess, shelf: Shelf, server_root: Path) -> None:
    backup, restore = shelf.to_backup(shop), shelf.to_restore(shop)
    asking = shelf.of(shop, repositories=[shelf.repository])
    names = (".hidden", " ", "a b", "x" * 200, "new\nline", "ünïcode", "-", "..", "/etc")
    before = tree(server_root)
    for module, params, wrong in (
        ("redis_backup", backup, ("../outside", "shop/backup", *names)),
        ("redis_restore", restore, ("../outside", "shop/backup", "new\nline")),
        ("redis_restore", {**restore, "label": shelf.labels[0]}, ("../outside", "shop/../shop")),
        ("redis_backup_info", asking, ("../outside", "shop/backup")),
        ("redis_assess", asking, ("../outside",)),
    ):
        for name in wrong:
            refused(module, {**params, "instance": name}, "cannot name an instance", "letters, digits")
    refused("redis_restore", {**restore, "source_instance": "../outside"}, "'../outside' cannot name an instance")
    assert tree(server_root).keys() == before.keys()


# --- two at once ---


def test_restore_while_another_runs(shop: RedisProcess, shelf: Shelf) -> None:
    """The first is stopped by a signal as soon as it holds the lock, and goes on afterwards."""
    first = start_module("redis_restore", shelf.to_restore(shop))
    workspace = shop.data_dir / ".redis_backup"
    try:
        wait_for(lambda: list(workspace.glob("*/journal.json")), "the first restore to begin", interval=0.001)
        os.killpg(first.pid, signal.SIGSTOP)
        if first.poll() is not None:
            pytest.skip("the first restore ended before it could be stopped")
        held = tree(shop.data_dir)
        refused("redis_restore", shelf.to_restore(shop), "another restore", "shop", "Wait")
        assert tree(shop.data_dir) == held
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(first.pid, signal.SIGCONT)
    assert finish(first)["restore"]["state"] == "staged"


def test_backup_while_another_runs(any_build: Build, make_server: MakeServer, shelf: Shelf, server_root: Path) -> None:
    """On one host, and from a host that shares nothing but the repository."""
    server = make_server(any_build)
    fill(server, 1000)
    shelf.backup(server)
    with server.client() as client:
        wait_for(lambda: not saving(client), "the child of the backup to be gone")
        client.config_set("rdb-key-save-delay", "3000")
        first = start_module("redis_backup", shelf.to_backup(server))
        wait_for(lambda: saving(client), "the first backup")
        refused("redis_backup", shelf.to_backup(server), "shop", "another task", "Wait")
        elsewhere = shutil.copytree(shelf.state_dir, server_root / "state-of-another-host")
        params = shelf.to_backup(server, state_dir=str(elsewhere))
        refused("redis_backup", params, "shop", str(shelf.root), "another backup", "Wait")
        assert finish(first)["changed"]
    assert len(shelf.labels) == 2


def test_nobody_listens_at_the_address_or_something_else_does(shop: RedisProcess, shelf: Shelf) -> None:
    with no_harm(shop, shelf):
        refused("redis_backup", {**shelf.to_backup(shop), "login_port": free_port()}, "shop", "down", "login_port")
        refused("redis_backup", shelf.to_backup(shop, login_unix_socket="/nonexistent/socket"), "shop", "/nonexistent")
        refused("redis_backup", shelf.to_backup(shop, executable="/nonexistent/server"), "/nonexistent/server")
