# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A dump file is read while the server writes it: whole, or with the reason why there is none."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.globalscope.redis_backup.plugins.module_utils._errors import SnapshotError
from ansible_collections.globalscope.redis_backup.plugins.module_utils._server.connection import Login, Server
from ansible_collections.globalscope.redis_backup.plugins.module_utils._snapshot import growing
from ansible_collections.globalscope.redis_backup.plugins.module_utils._snapshot.bgsave import DiskSave, DumpPlace

from support.modules import ModuleFailed, run_module
from support.servers import Build, RedisProcess
from support.waiting import wait_for

KEYS = 4000
_VALUE = 2000  # bytes: a server hands its file to the disk in pieces of 4 kB and more


@pytest.fixture
def server(layout: Build, make_server: Callable[..., RedisProcess]) -> RedisProcess:
    """A server whose saves take their time: some microseconds for each key."""
    made = make_server(layout, conf={"rdbcompression": "no", "save": "3600 1"})
    with made.client() as client, client.pipeline(transaction=False) as pipe:
        for number in range(KEYS):
            pipe.set(f"key:{number}", os.urandom(_VALUE))
        pipe.execute()
        client.config_set("rdb-key-save-delay", "500")
    return made


@contextlib.contextmanager
def saving(server: RedisProcess) -> Iterator[tuple[DiskSave, growing.GrowingDump]]:
    """A save under way, and its source."""
    place = DumpPlace(str(server.data_dir / "dump.rdb"), None)
    with Server(Login(port=server.port)) as asked:
        save = DiskSave(asked, place, wait_timeout=60)
        with growing.GrowingDump(save) as source:
            yield save, source


def children(server: RedisProcess) -> list[int]:
    """The processes that are saving."""
    names = [path.name for path in server.data_dir.glob("temp-*.rdb")]
    return [int(name[5:-4]) for name in names]


def test_reading_begins_before_the_save_has_ended_and_misses_nothing(server: RedisProcess) -> None:
    with saving(server) as (save, source):
        chunks = source.chunks()
        data = bytes(next(chunks))
        assert not save.ended()
        data += b"".join(bytes(chunk) for chunk in chunks)
    assert data == (server.data_dir / "dump.rdb").read_bytes()
    assert source.origin.size == len(data)


def _flush(server: RedisProcess) -> None:
    with server.client() as client:
        client.flushall()


def _kill_the_child(server: RedisProcess) -> None:
    for pid in children(server):
        os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("harm", [_flush, _kill_the_child], ids=["flushed", "child killed"])
def test_a_save_that_is_cut_short_is_no_snapshot(server: RedisProcess, harm: Callable[[RedisProcess], None]) -> None:
    with saving(server) as (_save, source):
        chunks = source.chunks()
        next(chunks)
        harm(server)
        with pytest.raises(SnapshotError, match="made no snapshot"):
            for _chunk in chunks:
                pass


def test_a_finished_dump_is_read_where_the_unfinished_one_cannot_be_seen(
    server: RedisProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As beside a server in a container: its process numbers mean nothing here."""
    monkeypatch.setattr(growing, "parent_of", lambda pid: 0)
    with saving(server) as (_save, source):
        data = b"".join(bytes(chunk) for chunk in source.chunks())
    assert data == (server.data_dir / "dump.rdb").read_bytes()


def test_the_unfinished_dump_of_a_neighbour_is_not_taken(
    server: RedisProcess, make_server: Callable[..., RedisProcess]
) -> None:
    """Two servers that share a directory, and save at the same time."""
    other = make_server(server.build, conf={"dir": str(server.data_dir), "dbfilename": "other.rdb", "save": "3600 1"})
    with other.client() as client:
        client.set("mine", "other")
        client.config_set("rdb-key-save-delay", "60000000")
        client.bgsave()
        wait_for(lambda: children(server), "the other server saves")
        with saving(server) as (_save, source):
            data = b"".join(bytes(chunk) for chunk in source.chunks())
        assert client.info("persistence")["rdb_bgsave_in_progress"] == 1
    assert data == (server.data_dir / "dump.rdb").read_bytes()


def test_a_backup_whose_save_is_cut_short_leaves_nothing(server: RedisProcess, tmp_path: Path) -> None:
    params: dict[str, Any] = {
        **server.connection,
        "instance": "shop",
        "repositories": [{"name": "shelf", "path": str(tmp_path / "repository"), "create": True}],
        "state_dir": str(tmp_path / "state"),
        "source": "file",
    }
    with server.client() as client:
        client.config_set("rdb-key-save-delay", "5000")

    def harm() -> None:
        wait_for(lambda: list((tmp_path / "repository").rglob("dump.rdb*")), "the backup is being written")
        _kill_the_child(server)

    thread = threading.Thread(target=harm)
    thread.start()
    with pytest.raises(ModuleFailed, match="made no snapshot"):
        run_module("redis_backup", params)
    thread.join()
    assert not list((tmp_path / "repository" / "shop" / "backup").glob("*"))
