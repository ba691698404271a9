# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The support itself: what it promises to the tests that lean on it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import redis

from support.dataset import load_multiframe, server_version
from support.hosts import Host, Lab
from support.machine import AgeKey
from support.modules import ModuleFailed, finish, run_module, start_module
from support.plays import run_playbook
from support.servers import Build, RedisProcess, ServerFailed
from support.values import differences, snapshot_server, snapshot_values
from support.waiting import wait_for

MakeServer = Callable[..., RedisProcess]
NOBODY = 65534


def test_server_keeps_data_over_stop_and_start(build: Build, make_server: MakeServer) -> None:
    server = make_server(build, conf={"save": ["900 1", "300 10"], "requirepass": "secret"}, user=NOBODY)
    client = server.client()
    assert server.connection["login_password"] == "secret"
    assert client.config_get("save") == {"save": "900 1 300 10"}
    client.set("key", "value")
    pid = server.pid
    server.stop()
    assert server.pid is None
    assert (server.data_dir / "dump.rdb").stat().st_uid == NOBODY
    server.start()
    assert server.client().get("key") == b"value"
    assert server.pid != pid
    assert "Ready to accept connections" in server.log
    server.kill()
    with pytest.raises(redis.ConnectionError, match="refused"):
        server.client().ping()


def test_orphaned_child_is_seen_and_ended(build: Build, make_server: MakeServer) -> None:
    server = make_server(build, conf={"rdb-key-save-delay": "1000000"})
    client = server.client()
    client.mset({f"key:{n}": "x" * 1000 for n in range(1000)})
    client.bgsave()
    server.kill()
    assert len(server.processes()) == 1
    server.start()
    server.destroy()
    assert not server.processes()


def test_server_started_by_a_command_is_ended_as_well(build: Build, make_server: MakeServer) -> None:
    server = make_server(build, start=False)
    subprocess.run(server.start_command, shell=True, check=True, stdout=subprocess.DEVNULL)
    server.wait_up()
    assert server.processes() == [server.pid]
    subprocess.run(server.stop_command, shell=True, check=True)
    server.wait_down()
    subprocess.run(server.start_command, shell=True, check=True, stdout=subprocess.DEVNULL)
    server.wait_up()
    server.destroy()
    assert not server.processes()


def test_server_that_cannot_start_says_why(build: Build, make_server: MakeServer) -> None:
    server = make_server(build, conf={"no-such-directive": "1"}, start=False)
    with pytest.raises(ServerFailed, match="no-such-directive"):
        server.start()


def test_server_dies_with_the_test_run(any_build: Build, server_root: Path) -> None:
    user = None if os.geteuid() else NOBODY
    code = (
        "import os, pathlib; from support.servers import RedisProcess, build_named\n"
        f"server = RedisProcess(build_named({any_build.name!r}), pathlib.Path({str(server_root)!r}), user={user})\n"
        "print(server.start().pid, flush=True); os.kill(os.getpid(), 9)"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    state = Path("/proc", done.stdout.strip(), "stat")
    assert done.stdout.strip(), done.stderr

    def ended() -> bool:
        try:
            return state.read_text().rpartition(")")[2].split()[0] in "ZX"
        except (FileNotFoundError, ProcessLookupError):
            return True

    wait_for(ended, "the server to end")


def test_reading_back_finds_every_change(server: RedisProcess) -> None:
    client = server.client()
    counts = load_multiframe(client, 200, 50, acl_user=True)
    before = snapshot_values(client)
    assert len(before) == sum(counts.values()) == client.dbsize() + 101
    assert {type_ for type_, _value, _expiry in before.values()} == {"string", "list", "set", "zset", "hash", "stream"}
    assert before[0, b"string:float"][2] == pytest.approx(4102444800123, abs=5)
    assert len(before[0, b"stream"][1]["groups"][b"billing"]["pending"]) == 28
    held = snapshot_server(client)
    assert ("multiframe" in held["functions"]) == (server_version(client) >= (7,))
    assert "+@read" in held["users"]["multiframe"]

    assert not differences(before, snapshot_values(client))
    changes: list[tuple[str | int, ...]] = [
        ("APPEND", "user:7", "x"),
        ("LSET", "list:large", 1000, "x"),
        ("SREM", "set:large", "member 5"),
        ("ZINCRBY", "zset:large", "0.001", "member 5"),
        ("HDEL", "hash:large", "field 5"),
        ("XACK", "stream", "billing", "1700000000006-0"),
        ("XGROUP", "DELCONSUMER", "stream", "billing", "nobody"),
        ("PERSIST", "session:3"),
        ("DEL", "driver:3"),
    ]
    for number, change in enumerate(changes, start=1):
        client.execute_command(*change)
        found = differences(before, snapshot_values(client))
        expected = number if number < 7 else number - 1  # two of the changes are in one stream
        assert len(found) == expected, found


def test_module_returns_its_result_and_its_failure(any_build: Build, make_server: MakeServer) -> None:
    server = make_server(any_build)
    result = run_module("redis_instance_info", server.connection, check=True)
    assert result["changed"] is False
    with pytest.raises(ModuleFailed) as failure:
        run_module("redis_instance_info", {**server.connection, "login_port": "no number"})
    assert "login_port" in failure.value.msg
    process = start_module("redis_instance_info", server.connection)
    os.killpg(process.pid, 9)
    with pytest.raises(ModuleFailed, match="ended -9"):
        finish(process)


def test_playbook_results_come_as_data() -> None:
    tasks = [
        {"name": "Say a word", "ansible.builtin.debug": {"var": "word"}},
        {"name": "Give up", "ansible.builtin.fail": {"msg": "{{ word }}"}},
    ]
    plays = [{"hosts": "all", "tasks": [tasks[0], {**tasks[1], "ignore_errors": True}, tasks[1]]}]
    inventory = {"some": {"hosts": {"one": {"word": "first"}, "two": {}}, "vars": {"word": "other"}}}
    done = run_playbook(plays, inventory, check=True)
    assert done.rc == 2
    assert done.stats["one"]["failures"] == 1
    assert done.stats["one"]["ignored"] == 1
    assert done.last("Say", "one")["word"] == "first"
    assert done.last("Say", "two")["word"] == "other"
    assert [found.status for found in done.find("Give up", "one")] == ["ignored", "failed"]
    assert run_playbook(plays, inventory, {"word": "extra"}, tags="never").ok().results == []


def test_small_tmpfs_is_full_soon(small_tmpfs: Callable[[str], Path]) -> None:
    place = small_tmpfs("1M")
    with pytest.raises(OSError, match="No space left"):
        (place / "file").write_bytes(b"x" * 2_000_000)


def test_age_key_opens_what_its_recipient_closed(age_key: AgeKey) -> None:
    assert age_key.identity.stat().st_mode & 0o777 == 0o600
    closed = subprocess.run(["age", "-r", age_key.recipient], input=b"words", capture_output=True, check=True).stdout
    opened = subprocess.run(["age", "-d", "-i", age_key.identity], input=closed, capture_output=True, check=True).stdout
    assert opened == b"words"


def test_host_is_a_real_host(host: Host, host_lab: Lab) -> None:
    assert host.run("systemctl is-active redis-server").stdout == "active\n"
    host.run("redis-cli set key value && redis-cli save")
    plays = [{"hosts": "redis", "tasks": [{"name": "Ask", "ansible.builtin.command": "redis-cli get key"}]}]
    done = run_playbook(plays, host_lab.inventory(host)).ok()
    assert done.last("Ask")["stdout"] == "value"
    assert host.run("ip route get 192.0.2.1", check=False).returncode, "hosts have no way out"
    host.power_cut()
    assert not host.running
    host.boot()
    assert host.run("redis-cli get key").stdout == "value\n"
