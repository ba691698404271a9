# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""redis_import: large values that come in parts."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from support.dataset import HOUR_MS, raw
from support.imported import (
    LATER,
    MakeServer,
    line,
    nothing_written,
    options,
    parts_of,
    refused_here,
    run_here,
    server_with_keys,
    stream_part,
    write,
)
from support.modules import run_module
from support.servers import Build, RedisProcess


@pytest.fixture
def server(any_build: Build, make_server: MakeServer) -> RedisProcess:
    return server_with_keys(any_build, make_server)


@pytest.fixture
def params(server: RedisProcess, tmp_path: Path) -> dict[str, Any]:
    return options(server, tmp_path)


@pytest.mark.parametrize("conflict", ["fail", "skip", "replace"])
def test_values_in_parts(server: RedisProcess, params: dict[str, Any], conflict: str) -> None:
    write(
        params,
        parts_of("p:l", "list", [["a", "b"], ["c"], ["d"]], expire_at_ms=LATER)
        + parts_of("p:s", "set", [["a", "b"], ["b", "c"]])
        + line("p:small")
        + parts_of("p:z", "zset", [[["a", 1]], [["b", "inf"]]])
        + parts_of("p:h", "hash", [{"a": "1"}, {"b": "2"}])
        + parts_of("p:string", "string", ["abc", "def", {"base64": "/w=="}], expire_at_ms=LATER)
        + parts_of("p:x", "stream", [stream_part(range(1, 2)), stream_part(range(3, 6))])
        + parts_of("p:past", "list", [["a"], ["b"]], expire_at_ms=1),
    )
    with raw(server.client()) as client:
        client.execute_command("SET", "p:l", "in the way", "PX", HOUR_MS)
        given = {**params, "on_conflict": conflict}
        if conflict == "fail":
            with nothing_written(server):
                refused_here(given, "line 1 (key p:l)", "exists")
            client.execute_command("DEL", "p:l")
        done = run_here(given)
        assert (done["imported"], done["replaced"]) == (7 - (conflict == "skip"), int(conflict == "replace"))
        assert (done["skipped_count"], done["expired"]) == (int(conflict == "skip"), 1)
        if conflict == "skip":
            assert client.execute_command("GET", "p:l") == b"in the way"
        else:
            assert client.execute_command("LRANGE", "p:l", 0, -1) == [b"a", b"b", b"c", b"d"]
            assert client.execute_command("PEXPIRETIME", "p:l") == LATER
        assert set(client.execute_command("SMEMBERS", "p:s")) == {b"a", b"b", b"c"}
        assert client.execute_command("ZRANGE", "p:z", 0, -1, "WITHSCORES") == [b"a", b"1", b"b", b"inf"]
        assert client.execute_command("HGETALL", "p:h") == [b"a", b"1", b"b", b"2"]
        assert client.execute_command("GET", "p:string") == b"abcdef\xff"
        assert [client.execute_command("PEXPIRETIME", key) for key in ("p:string", "p:x", "p:h")] == [LATER, -1, -1]
        assert client.execute_command("EXISTS", "p:past") == 0
        assert client.execute_command("XLEN", "p:x") == 4
        # The message 2-0 is gone, and what was pending of it is not told from what is yet to come.
        pending = client.execute_command("XPENDING", "p:x", "g", "-", "+", 9)
        assert [(entry, times) for entry, _consumer, _idle, times in pending] == [(b"1-0", 1), (b"5-0", 5)]
        assert client.execute_command("KEYS", "redis_backup:*") == []
    assert "1 pending entries" in str(done["warnings"])


def test_a_large_value_that_is_not_whole(server: RedisProcess, params: dict[str, Any]) -> None:
    first, second, third = (line("large", "list", [str(n)], part=n, more=n < 2) for n in range(3))
    other = line("other")
    for text, where in (
        (first + second + other, "line 3"),
        (first + third + other, "line 2"),
        (second + third + other, "line 1"),
        (first + "nonsense\n" + third + other, "line 2"),
        (other + first + second, "line 3"),
    ):
        write(params, text)
        with nothing_written(server):
            refused_here(params, where)
        refused_here({**params, "validate": False}, where)
        assert server.client().keys("[lor]*") == [b"other"]
        server.client().delete("other")


def test_what_watches_a_key_sees_it_whole(server: RedisProcess, params: dict[str, Any]) -> None:
    """While keys are replaced again and again, whoever reads them finds all of the old or all of the new."""
    write(params, "".join(line(f"h:{n}", "hash", {"a": "new", "b": "new", "c": "new"}) for n in range(3000)))
    client = raw(server.client())
    for n in range(3000):
        client.execute_command("HSET", f"h:{n}", "a", "old", "b", "old", "c", "old")
    found: set[tuple[bytes, ...]] = set()
    ended = threading.Event()

    def watch() -> None:
        with raw(server.client()) as reader:
            n = 0
            while not ended.is_set():
                n = (n + 1) % 3000
                found.add(tuple(reader.execute_command("HMGET", f"h:{n}", "a", "b", "c")))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        run_module("redis_import", {**params, "on_conflict": "replace"})
    finally:
        ended.set()
        watcher.join()
    assert found <= {(b"old",) * 3, (b"new",) * 3}
