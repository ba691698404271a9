# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What tests of restores share: backups to restore, the steps of one restore, files compared before and after."""

from __future__ import annotations

import hashlib
import os
import stat
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import redis

from support.dataset import load_multiframe, raw, send
from support.modules import ModuleFailed, run_module
from support.servers import Build, RedisProcess
from support.values import Values, differences, snapshot_values
from support.waiting import wait_for, wait_for_aof

SOURCE = "donor"
TARGET = "target"
WORKSPACE = ".redis_backup"
DATA_NAMES = ("dump.rdb", "appendonlydir", "appendonly.aof")

Tree = dict[str, tuple[int, int, int, str]]


def file_tree(root: Path, *names: str) -> Tree:
    """Mode, owner, group and SHA-256 (of a link: its target) of everything below `root`, or of `names` in it."""
    found: Tree = {}
    todo = [root / name for name in names or os.listdir(root)]
    while todo:
        path = todo.pop()
        try:
            entry = path.lstat()
        except FileNotFoundError:
            continue
        content = ""
        if stat.S_ISDIR(entry.st_mode):
            todo += path.iterdir()
        elif stat.S_ISLNK(entry.st_mode):
            content = str(path.readlink())
        elif stat.S_ISREG(entry.st_mode):
            content = hashlib.sha256(path.read_bytes()).hexdigest()
        found[str(path.relative_to(root))] = (entry.st_mode, entry.st_uid, entry.st_gid, content)
    return found


def data_tree(server: RedisProcess) -> Tree:
    """The files of a server's data set."""
    return file_tree(server.data_dir, *DATA_NAMES)


@dataclass(frozen=True)
class Backup:
    """A backup of the instance SOURCE, and what the server held when it was made."""

    repository: Mapping[str, Any]
    label: str
    values: Values
    made: Mapping[str, Any]

    @property
    def folder(self) -> Path:
        return Path(self.repository["path"], SOURCE, "backup", self.label)


def back_up(server: RedisProcess, place: Path, *, values: Values | None = None, **params: Any) -> Backup:
    """Back up a running server as SOURCE into the repository `place`/repository. Without `values`, all are read."""
    repository = {"name": "test", "path": str(place / "repository")}
    made = run_module(
        "redis_backup",
        {
            **server.connection,
            "instance": SOURCE,
            "repositories": [{**repository, "create": True}],
            "state_dir": str(place / "state"),
            **params,
        },
    )["backup"]
    return Backup(repository, made["label"], snapshot_values(server.client()) if values is None else values, made)


class Backups:
    """One backup of each build, made at the first use and shared: tests of restores only read them."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._made: dict[str, Backup] = {}

    def of(self, build: Build) -> Backup:
        if build.name not in self._made:
            with tempfile.TemporaryDirectory(prefix="redis-backup-donor-") as directory:
                donor = RedisProcess(build, Path(directory, "donor")).start()
                try:
                    load_multiframe(donor.client(), 40, 10)
                    self._made[build.name] = back_up(donor, self._root / build.name)
                finally:
                    donor.destroy()
        return self._made[build.name]


class Restore:
    """The steps of one restore into `server`, with every parameter an operator of a server without systemd gives."""

    def __init__(self, server: RedisProcess, backup: Backup, **params: Any) -> None:
        self.server = server
        self.params: dict[str, Any] = {
            **server.connection,
            "instance": TARGET,
            "source_instance": SOURCE,
            "repository": dict(backup.repository),
            "label": backup.label,
            "config_file": str(server.conf_path),
            "executable": str(server.build.executable),
            **params,
        }

    def request(self, state: str, **params: Any) -> dict[str, Any]:
        """The module's parameters for a step; None takes one away."""
        wanted = {**self.params, "state": state, **params}
        return {name: value for name, value in wanted.items() if value is not None}

    def step(self, state: str, *, check: bool = False, diff: bool = False, **params: Any) -> dict[str, Any]:
        """Take a step. Raises ModuleFailed."""
        return run_module("redis_restore", self.request(state, **params), check=check, diff=diff)


def fill_with_old_data(client: redis.Redis, keys: int = 100) -> Values:
    """Give a server data that no backup has, and return it."""
    send(raw(client), [("SET", f"old:{n}", f"value {n}") for n in range(keys)])
    send(raw(client), [("RPUSH", "old:list", *range(50)), ("HSET", "old:hash", "a", "1", "b", "2")])
    wait_for_aof(client)
    return snapshot_values(client)


def assert_holds(server: RedisProcess, values: Values) -> None:
    """The running server holds exactly these values, and nothing that is past its time."""
    client = server.client()
    found = differences(values, snapshot_values(client))
    assert not found, found
    assert server.log.count("Fatal") == 0


def bgsave(server: RedisProcess) -> None:
    """A background save that ends well, with a new dump file."""
    client, dump = server.client(), server.data_dir / "dump.rdb"
    before = dump.stat() if dump.exists() else None
    client.execute_command("BGSAVE")
    wait_for(lambda: not client.info("persistence")["rdb_bgsave_in_progress"], "the save to end")
    assert client.info("persistence")["rdb_last_bgsave_status"] == "ok"
    after = dump.stat()
    assert before is None or (after.st_ino, after.st_mtime_ns) != (before.st_ino, before.st_mtime_ns)


def rewrite_aof(client: redis.Redis) -> None:
    """An AOF rewrite that ends well."""
    client.execute_command("BGREWRITEAOF")

    def ended() -> bool:
        found = client.info("persistence")
        return not found["aof_rewrite_in_progress"] and not found["aof_rewrite_scheduled"]

    wait_for(ended, "the rewrite to end")
    assert client.info("persistence")["aof_last_bgrewrite_status"] == "ok"


def assert_serves_for_good(server: RedisProcess, values: Values) -> None:
    """A stopped server that comes up with these values, over restarts and after it has saved and rewritten anew."""
    server.start()
    assert_holds(server, values)
    server.stop()
    server.start()
    assert_holds(server, values)
    client = server.client()
    bgsave(server)
    if client.info("persistence")["aof_enabled"]:
        rewrite_aof(client)
    server.kill()
    wait_for(lambda: not server.processes(), "the children to end")
    server.start()
    assert_holds(server, values)


def wait_past(values: Sequence[int]) -> None:
    """Wait until these moments (UTC milliseconds) have passed."""
    wait_for(lambda: time.time() * 1000 > max(values), "keys to be past their time")


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
