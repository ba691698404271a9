# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""redis_aof has the AOF rewritten, waits, and is not fooled by a rewrite that failed or was cancelled."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from support.aofs import fill, listed
from support.modules import ModuleFailed, finish, run_module, start_module
from support.servers import Build, RedisProcess
from support.waiting import wait_for


def rewriting(server: RedisProcess, **options: Any) -> dict[str, Any]:
    check = options.pop("check", False)
    return run_module("redis_aof", {**server.connection, "state": "rewritten", **options}, check=check)


def slow(server: RedisProcess) -> int:
    """Enough keys, saved slowly enough, that a child can be met; the number of them."""
    client = server.client()
    with client.pipeline(transaction=False) as writes:
        for number in range(3000):
            writes.set(f"slow:{number}", "x" * 100)
        writes.execute()
    client.config_set("rdb-key-save-delay", 2000)
    return 3000


def child_of(server: RedisProcess) -> int:
    """The process that saves or rewrites for the server."""
    return wait_for(lambda: next((pid for pid in server.processes() if pid != server.pid), 0), "a child")


def base_of(server: RedisProcess) -> tuple[str, int]:
    path = listed(server.data_dir)[0]
    return path.name, path.stat().st_ino


def test_the_aof_is_rewritten_and_proven(build: Build, make_server: Any) -> None:
    server = make_server(build, conf={"appendonly": "yes"})
    fill(server.client(), 1)
    before = base_of(server)
    foreseen = rewriting(server, check=True)
    assert foreseen["changed"] and base_of(server) == before
    done = rewriting(server)
    assert done["changed"] and base_of(server) != before
    assert done["rewrite"]["base"] == base_of(server)[0]
    assert done["rewrite"]["base_size"] == listed(server.data_dir)[0].stat().st_size
    again = rewriting(server)
    assert again["changed"] and again["rewrite"]["base_size"] > 0
    assert server.client().info("persistence")["aof_last_bgrewrite_status"] == "ok"


def test_without_an_aof_it_is_refused(build: Build, make_server: Any) -> None:
    server = make_server(build)
    for check in (False, True):
        with pytest.raises(ModuleFailed, match=r"AOF of .* is off \(appendonly no\)"):
            rewriting(server, check=check)


def test_a_running_save_is_waited_for(layout: Build, make_server: Any) -> None:
    server = make_server(layout, conf={"appendonly": "yes"})
    slow(server)
    client = server.client()
    before = base_of(server)
    client.config_set("rdb-key-save-delay", 100)
    client.execute_command("BGSAVE")
    assert rewriting(server)["changed"]
    assert base_of(server) != before
    assert not client.info("persistence")["rdb_bgsave_in_progress"]


def test_one_that_does_not_end_in_time_is_told(layout: Build, make_server: Any) -> None:
    server = make_server(layout, conf={"appendonly": "yes"})
    slow(server)
    with pytest.raises(ModuleFailed, match="had not ended after 1 s"):
        rewriting(server, wait_timeout=1)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGUSR1])
def test_one_that_is_killed_is_no_rewrite(layout: Build, make_server: Any, number: int) -> None:
    """SIGUSR1 leaves the status `ok`."""
    server = make_server(layout, conf={"appendonly": "yes"})
    slow(server)
    before = base_of(server)
    process = start_module("redis_aof", {**server.connection, "state": "rewritten"})
    os.kill(child_of(server), number)
    with pytest.raises(ModuleFailed, match=r"was not rewritten: .*The AOF that was there stays in use"):
        finish(process)
    assert base_of(server) == before or layout.version >= (7,)
    server.client().config_set("rdb-key-save-delay", 0)
    assert rewriting(server)["changed"]  # after one that failed


def test_a_full_disk_is_told(any_build: Build, make_server: Any, small_tmpfs: Any) -> None:
    place: Path = small_tmpfs("3M")
    server = make_server(any_build, conf={"appendonly": "yes", "dir": str(place)})
    client = server.client()
    for number in range(8):
        client.set(f"big:{number}", os.urandom(200_000))
    with pytest.raises(ModuleFailed, match=r"was not rewritten: it ended with an error.*No space left"):
        rewriting(server)
    client.flushall()
