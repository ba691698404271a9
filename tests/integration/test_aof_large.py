# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The largest value that a server takes, full of what looks like an AOF, is passed over by its length."""

from __future__ import annotations

import hashlib
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
from ansible_collections.globalscope.redis_backup.plugins.module_utils._aof.parts import open_set, read_into
from ansible_collections.globalscope.redis_backup.plugins.module_utils._aof.resp import Reader

from support.modules import run_module
from support.servers import RedisProcess, build_named
from support.waiting import wait_for, wait_for_aof

LARGEST = 512 * 1024 * 1024
LOOKS_LIKE_AN_AOF = b"#TS:9999999999\r\n*1\r\n$8\r\nFLUSHALL\r\n\0"
_PIECE = 16 * 1024 * 1024
_HELD = 4 * 1024 * 1024  # bytes that reading may hold at most, whatever it reads


def digest(server: RedisProcess) -> str:
    """Of the large value."""
    found = hashlib.sha256()
    with server.client(socket_timeout=120) as client:
        for start in range(0, LARGEST, _PIECE):
            found.update(client.getrange("large", start, start + _PIECE - 1))
    return found.hexdigest()


@pytest.mark.long
@pytest.mark.parametrize("name", ["redis-7.0", "redis-8.2", "valkey-9.1"])
def test_a_value_of_512_mb(name: str, make_server: Callable[..., RedisProcess], tmp_path: Path) -> None:
    conf = {"appendonly": "yes", "aof-timestamp-enabled": "yes", "save": ""}
    server = make_server(build_named(name), conf=conf)
    value = LOOKS_LIKE_AN_AOF * (LARGEST // len(LOOKS_LIKE_AN_AOF) + 1)
    with server.client(socket_timeout=120) as client:
        client.set("before", 1)
        client.set("large", value[:LARGEST])
        del value
        client.set("kept", 1)
        second = client.time()[0]
        wait_for(lambda: client.time()[0] > second + 1, "the next second")
        client.set("late", 1)
        wanted = digest(server)
        wait_for_aof(client)
    server.stop()

    directory = server.data_dir / "appendonlydir"
    found = open_set(str(directory))
    reader = Reader()
    tracemalloc.start()
    with open(found.parts[-1].path, "rb", buffering=0) as stream:
        read_into(reader, stream)
    reader.finish()
    held = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (reader.damage, reader.torn) == (None, None)
    assert held < _HELD

    cut = tmp_path / "cut"
    params = {"state": "truncated", "path": str(directory), "to_timestamp": str(second), "dest": str(cut)}
    run_module("redis_aof", {**params, "executable": str(server.build.executable)})
    other = make_server(build_named(name), conf=conf, start=False)
    cut.rename(other.data_dir / "appendonlydir")
    other.start()
    with other.client() as client:
        assert sorted(client.keys()) == [b"before", b"kept", b"large"]
    assert digest(other) == wanted
