# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes stopped and resumed: nothing is acknowledged in a freeze, and nothing is lost of what was before."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from pathlib import Path
from typing import Any

import pytest
import redis

from support.clusters import make_cluster
from support.fleets import Fleet, told
from support.groups import following, make_group, sentinel_master
from support.modules import ModuleFailed, finish, run_module, start_module
from support.plays import playbook_path, run_playbook
from support.restores import Backup, Restore, assert_holds, back_up
from support.servers import Build, BuildMissing, RedisProcess, build_named
from support.waiting import wait_for
from support.writers import QUEUE, Writers

SETTINGS = ("min-replicas-to-write", "min-replicas-max-lag")
_OTHERS = [pytest.param(name, marks=pytest.mark.long) for name in ("redis-6.2", "redis-8.2", "valkey-9.1")]


@pytest.fixture(params=["redis-7.0", *_OTHERS])
def version(request: pytest.FixtureRequest) -> Build:
    """One version, with --long all."""
    try:
        return build_named(request.param)
    except BuildMissing as error:
        pytest.skip(str(error))


class Freezer:
    """The module on one server."""

    def __init__(self, server: RedisProcess, state: Path, name: str = "shop") -> None:
        self.server = server
        self.params: dict[str, Any] = {
            **server.connection,
            "instance": name,
            "config_file": str(server.conf_path),
            "executable": str(server.build.executable),
            "state_dir": str(state),
        }

    def run(self, state: str, *, check: bool = False, **params: Any) -> dict[str, Any]:
        return run_module("redis_freeze", {**self.params, "state": state, **params}, check=check)

    def freeze(self, **params: Any) -> dict[str, Any]:
        return self.run("frozen", **params)

    def thaw(self, **params: Any) -> dict[str, Any]:
        return self.run("thawed", **params)

    def settings(self) -> dict[str, str]:
        with self.server.client() as client:
            return {name: client.config_get(name)[name] for name in SETTINGS}


def refuses(server: RedisProcess) -> bool:
    """Whether a server refuses a write as a frozen one does."""
    try:
        with server.client() as client:
            client.set("probe", 1)
    except redis.ResponseError as error:
        return "NOREPLICAS" in str(error)
    return False


def replication(server: RedisProcess) -> dict[str, Any]:
    """INFO replication; nothing where the server ends the connection, as Sentinel has it do when it gives it a role."""
    try:
        with server.client() as client:
            return dict(client.info("replication"))
    except redis.ConnectionError:
        return {}


def keys_of(server: RedisProcess) -> set[str]:
    """The writers' keys that a server holds."""
    return {key.decode() for key in server.client().scan_iter(match="*:*", count=1000)}


# --- nothing is acknowledged ---


def test_no_write_is_acknowledged_reads_go_on_and_a_snapshot_holds_what_was(
    version: Build, make_server: Any, tmp_path: Path
) -> None:
    server = make_server(version, conf={"appendonly": "yes", "min-replicas-max-lag": "7"})
    freezer, text = Freezer(server, tmp_path / "state"), server.conf_path.read_text()
    queued = server.client().pipeline(transaction=True)
    connection = queued.connection_pool.get_connection()
    for command in (("MULTI",), ("SET", "late:1", "1")):
        connection.send_command(*command)
        connection.read_response()
    with Writers(server).working() as writers:
        wait_for(lambda: min(writers.counts().values()) > 20 and writers.popped, "writes in every way")
        result = freezer.freeze(by="alice")
        returned = time.monotonic()
        assert result["changed"] and result["frozen"] and result["since"]
        refused, reads = writers.refusals(), writers.reads
        wait_for(lambda: all(count > refused[name] + 5 for name, count in writers.refusals().items()), "refusals")
        wait_for(lambda: writers.reads > reads + 20, "reads that go on")
        held = writers.counts()
        assert all(writer.sent < returned for writer in writers.writers)
        assert all("NOREPLICAS" in words for writer in writers.writers for words in writer.words)
        connection.send_command("EXEC")
        with pytest.raises(redis.ResponseError):
            connection.read_response()
        assert keys_of(server) == writers.keys and not server.client().exists("late:1")
        assert {key.decode() for key in server.client().lrange(QUEUE, 0, -1)} == writers.queued

        fleet = Fleet(tmp_path, shop=server)
        backup = run_module(
            "redis_backup", {**freezer.params, "repositories": [fleet.place], "encryption": {"recipients": []}}
        )["backup"]
        stored = fleet.load("shop", backup["label"], version, make_server)
        assert keys_of(stored) == writers.keys
        assert {key.decode() for key in stored.client().lrange(QUEUE, 0, -1)} == writers.queued

        server.client().config_set("maxmemory-policy", "noeviction")  # other settings do not end it
        server.client().config_rewrite()
        assert refuses(server) and writers.counts() == held
        again = freezer.freeze(by="bob")
        assert not again["changed"] and again["freeze"]["by"] == "alice" and again["since"] == result["since"]
        assert freezer.thaw()["changed"]
        wait_for(lambda: all(count > held[name] for name, count in writers.counts().items()), "writes to go on")
    assert freezer.settings() == {SETTINGS[0]: "0", SETTINGS[1]: "7"}
    said = server.conf_path.read_text()
    assert "min-replicas-max-lag 7\n" in said and "globalscope" not in said and len(said) < len(text) + 500
    assert not freezer.thaw()["changed"]


def test_writes_are_held_back_until_a_time_that_is_told(version: Build, make_server: Any, tmp_path: Path) -> None:
    server = make_server(version)
    freezer, client = Freezer(server, tmp_path / "state"), server.client()
    result = freezer.freeze(timeout_s=600)["freeze"]
    assert (result["frozen"], result["method"], result["survives_restart"]) == (True, "pause", False)
    waiting = server.client().connection_pool.get_connection()
    waiting.send_command("EVAL", "return redis.call('SET', 'a', '1')", 0)
    assert client.get("a") is None and not waiting.can_read(timeout=0.2)
    assert freezer.settings()[SETTINGS[0]] == "0"
    assert freezer.freeze(timeout_s=5)["freeze"]["until"] == result["until"]  # a shorter one does not shorten it
    assert freezer.thaw()["changed"]
    assert waiting.read_response() == b"OK" and client.get("a") == b"1"

    until = freezer.freeze(timeout_s=2)["freeze"]["until"]
    client.set("b", 1)
    assert time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(client.time()[0])) >= until
    assert not freezer.thaw()["changed"]

    freezer.freeze(timeout_s=600)
    taken_over = freezer.freeze()["freeze"]
    assert taken_over["method"] == "fence" and taken_over["until"] is None and refuses(server)
    freezer.thaw()
    freezer.freeze(timeout_s=600)
    server.kill()
    server.start()
    assert not freezer.thaw()["changed"] and not refuses(server)


# --- it lasts, and leaves nothing ---


def test_it_outlives_restarts_and_a_rewritten_configuration(any_build: Build, make_server: Any, tmp_path: Path) -> None:
    server = make_server(any_build, conf={"min-replicas-to-write": "0", "min-replicas-max-lag": "30", "save": "900 1"})
    freezer, text = Freezer(server, tmp_path / "state"), server.conf_path.read_text()
    server.client().config_set("min-replicas-max-lag", 40)  # live alone: redis.conf says 30
    would = freezer.freeze(check=True)
    assert would["changed"] and not would["frozen"] and not refuses(server)
    assert server.conf_path.read_text() == text and not list((tmp_path / "state").glob("freeze/*.json"))
    assert freezer.freeze()["freeze"]["before"] == {SETTINGS[0]: "0", SETTINGS[1]: "40"}
    server.kill()
    server.start()
    assert refuses(server)
    server.client().config_rewrite()
    server.stop()
    down = freezer.freeze()
    assert not down["changed"] and down["frozen"] and down["freeze"]["state"] == "down"
    server.start()
    assert refuses(server) and not freezer.freeze()["changed"]
    server.client().config_set("min-replicas-to-write", 0)  # somebody ends it by hand
    assert not refuses(server) and freezer.freeze()["changed"] and refuses(server)
    assert freezer.thaw()["changed"] and not refuses(server)
    assert freezer.settings() == {SETTINGS[0]: "0", SETTINGS[1]: "40"}
    said = server.conf_path.read_text()
    assert "globalscope" not in said and "min-replicas-max-lag 30" in said

    server.stop()
    assert freezer.freeze()["changed"]
    for path in (tmp_path / "state" / "freeze").glob("*.json"):
        path.unlink()  # nobody remembers: redis.conf does
    server.start()
    assert refuses(server) and freezer.thaw()["changed"] and not refuses(server)
    assert freezer.settings() == {SETTINGS[0]: "0", SETTINGS[1]: "30"}
    assert server.conf_path.read_text() == said


@pytest.mark.long
def test_killed_at_any_instant_and_run_again(any_build: Build, make_server: Any, tmp_path: Path) -> None:
    server = make_server(any_build, conf={"min-replicas-max-lag": "7"})
    freezer, text = Freezer(server, tmp_path / "state"), server.conf_path.read_text()
    before = freezer.settings()
    chance = random.Random(7)
    begun = time.monotonic()
    freezer.freeze()
    usual = time.monotonic() - begun
    freezer.thaw()
    for turn in range(40):
        state = ("frozen", "thawed")[turn % 2]
        if chance.random() < 0.3:
            freezer.run(("thawed", "frozen")[turn % 2])
        process = start_module("redis_freeze", {**freezer.params, "state": state})
        time.sleep(chance.uniform(0.3, 1.1) * usual)
        os.killpg(process.pid, signal.SIGKILL)
        with pytest.raises(ModuleFailed) if process.wait() else open(os.devnull):
            finish(process)
        if chance.random() < 0.3:
            server.kill()
            server.start()
        wanted = chance.choice(("frozen", "thawed"))
        result = freezer.run(wanted)
        assert result["frozen"] == (wanted == "frozen") == refuses(server), (turn, result)
        assert not freezer.run(wanted)["changed"]
    freezer.thaw()
    assert freezer.settings() == before and server.conf_path.read_text() == text
    assert not list((tmp_path / "state" / "freeze").glob("*.json"))


def test_what_cannot_be_frozen_is_said(any_build: Build, make_server: Any, tmp_path: Path) -> None:
    server = make_server(any_build)
    client = server.client()
    client.execute_command("ACL", "SETUSER", "weak", "on", ">pw", "~*", "+@all", "-config|set")
    weak = {"login_user": "weak", "login_password": "pw"}
    freezer, text = Freezer(server, tmp_path / "state"), server.conf_path.read_text()
    with pytest.raises(ModuleFailed, match="refused CONFIG SET: NOPERM"):
        freezer.freeze(**weak)
    assert server.conf_path.read_text() == text and not list((tmp_path / "state" / "freeze").glob("*.json"))
    assert not refuses(server)
    client.execute_command("ACL", "SETUSER", "weak", "-config")
    with pytest.raises(ModuleFailed, match=r"does not let us use CONFIG.*timeout_s"):
        freezer.freeze(**weak)
    assert freezer.freeze(timeout_s=600, **weak)["frozen"]
    assert freezer.thaw(**weak)["changed"]

    # A state directory in which nothing can be written is no reason: redis.conf knows what was before.
    (tmp_path / "file").write_text("")
    result = freezer.freeze(state_dir=str(tmp_path / "file" / "state"))
    assert result["frozen"] and refuses(server) and "cannot be written down" in json.dumps(result["warnings"])
    assert freezer.thaw(state_dir=str(tmp_path / "file" / "state"))["changed"] and not refuses(server)
    assert server.conf_path.read_text() == text


# --- restores and backups ---


def test_a_restore_in_a_freeze_does_not_end_it_and_a_thaw_does_not_end_a_restore(
    target: RedisProcess, backup: Backup, tmp_path: Path
) -> None:
    freezer = Freezer(target, tmp_path / "state", "target")
    text, before = target.conf_path.read_text(), freezer.settings()
    freezer.freeze()
    restore = Restore(target, backup, close_writes=True, state_dir=str(tmp_path / "state"))
    restore.step("staged")
    target.stop()
    restore.step("active")
    target.start()
    assert_holds(target, backup.values)
    checks = run_module("redis_check", {**freezer.params, "probe": True})["checks"]
    assert all(check["ok"] for check in checks)
    with pytest.raises(ModuleFailed, match="in the middle of a restore"):
        freezer.thaw()
    restore.step("committed")
    assert refuses(target) and freezer.freeze()["freeze"]["restoring"] is False
    target.kill()
    target.start()
    assert refuses(target)
    freezer.thaw()
    assert not refuses(target) and freezer.settings() == before and target.conf_path.read_text() == text

    # The other way round: frozen in the middle of a restore, which then ends.
    restore.step("staged", force=True)
    target.stop()
    restore.step("active")
    target.start()
    assert freezer.freeze()["freeze"]["restoring"]
    restore.step("committed")
    assert refuses(target) and run_module("redis_check", {**freezer.params, "probe": True})["checks"][0]["ok"]
    freezer.thaw()
    assert not refuses(target) and freezer.settings() == before and target.conf_path.read_text() == text


@pytest.mark.long
@pytest.mark.parametrize("end", ["committed", "rolled_back"])
@pytest.mark.parametrize("frozen_first", [True, False])
def test_a_live_restore_does_not_end_a_freeze(
    frozen_first: bool, end: str, target: RedisProcess, backup: Backup, tmp_path: Path
) -> None:
    freezer = Freezer(target, tmp_path / "state", "target")
    before = freezer.settings()
    restore = Restore(target, backup, method="replication", close_writes=True, state_dir=str(tmp_path / "state"))
    if frozen_first:
        freezer.freeze()
    restore.step("staged")
    restore.step("active")
    assert freezer.freeze()["freeze"]["restoring"]
    with pytest.raises(ModuleFailed, match="in the middle of a restore"):
        freezer.thaw()
    restore.step(end)
    assert refuses(target) and not freezer.freeze()["changed"]
    freezer.thaw()
    assert not refuses(target) and freezer.settings() == before


@pytest.mark.parametrize("frozen_then", [True, False])
def test_a_redis_conf_out_of_a_backup_neither_freezes_nor_thaws(
    frozen_then: bool, target: RedisProcess, any_build: Build, make_server: Any, tmp_path: Path
) -> None:
    """A backup is made in a freeze. It is restored with its redis.conf, in a freeze or not."""
    freezer = Freezer(target, tmp_path / "state", "target")
    freezer.freeze()
    made = back_up(target, tmp_path, instance="target", config_file=str(target.conf_path))
    if not frozen_then:
        freezer.thaw()
    restore = Restore(
        target,
        made,
        source_instance="target",
        server_files="replace",
        close_writes=True,
        state_dir=str(tmp_path / "state"),
    )
    restore.step("staged")
    target.stop()
    restore.step("active")
    target.start()
    restore.step("committed")
    assert_holds(target, made.values)
    assert refuses(target) == frozen_then
    target.stop()
    target.start()
    assert refuses(target) == frozen_then
    freezer.thaw()
    assert not refuses(target)
    assert "globalscope" not in target.conf_path.read_text()


# --- groups and clusters ---


def test_a_replica_that_is_promoted_in_a_freeze_takes_no_writes(
    version: Build, make_server: Any, tmp_path: Path
) -> None:
    """The playbooks, on a group that Sentinel watches; a last snapshot is made."""
    group = make_group(make_server, version, replicas=1, sentinels=1)
    named = {"first": group.primary, "copy": group.replicas[0], "watch": group.sentinels[0]}
    fleet = Fleet(tmp_path, **named)
    group.primary.client().mset({f"k:{n}": n for n in range(100)})
    result = run_playbook(playbook_path("freeze"), fleet.inventory(), {"redis_freeze_snapshot": True}).ok()
    assert result.changed == 3  # two servers, and the backup
    assert refuses(group.primary)
    rows = next(each for each in result.results if each.task.endswith("Summary")).result["msg"]
    assert rows[0].startswith("3 instances, 2 frozen, 1 holds no data"), rows
    assert list(fleet.backups()) == ["first"]
    group.sentinels[0].client().execute_command("SENTINEL", "FAILOVER", group.name)
    new = group.replicas[0]
    wait_for(lambda: sentinel_master(group.sentinels[0])["port"] == str(new.port), "the failover")
    wait_for(lambda: replication(new).get("role") == "master", "the replica to be the primary")
    wait_for(lambda: following(group.primary) == new.port, "the old primary to follow")
    assert refuses(new)
    new.client().config_rewrite()
    new.kill()
    new.start()
    assert refuses(new)

    again = run_playbook(playbook_path("thaw"), fleet.inventory()).ok()
    assert again.changed == 2 and "2 thawed, 1 holds no data" in told(again)
    for name, server in named.items():
        if name != "watch":
            assert "globalscope" not in server.conf_path.read_text(), name
            found = Freezer(server, tmp_path / "state", name).settings()
            assert found == {SETTINGS[0]: "0", SETTINGS[1]: "10"}
    assert not refuses(new)


def test_unreachable_and_missing_servers_are_named_and_the_rest_is_frozen(
    any_build: Build, make_server: Any, tmp_path: Path
) -> None:
    group = make_group(make_server, any_build, replicas=2, sentinels=0)
    fleet = Fleet(tmp_path, first=group.primary, gone=group.replicas[0], copy=group.replicas[1])
    inventory = fleet.inventory(["copy"])
    inventory["redis"]["hosts"]["gone"].update(ansible_connection="ssh", ansible_host="127.0.0.1", ansible_port=9)
    result = run_playbook(playbook_path("freeze"), inventory)
    assert result.rc != 0 and refuses(group.primary)
    words = told(result)
    assert "1 frozen, 1 UNREACHABLE" in words
    assert f":{group.replicas[1].port} (replica of first) is not in the inventory" in words


def test_a_cluster_is_frozen_whoever_is_promoted(version: Build, make_server: Any, tmp_path: Path) -> None:
    if version.name == "redis-6.2":
        pytest.skip("its cluster bus is not tried")
    nodes = make_cluster(make_server, version, 3, 1)
    freezers = [Freezer(node, tmp_path / "state", f"node{number}") for number, node in enumerate(nodes)]
    for node in nodes[:3]:
        node.client().set(own_key(node), 1)
    for freezer in freezers:
        assert freezer.freeze()["frozen"]
    for node in nodes[:3]:
        with pytest.raises(redis.ResponseError, match="NOREPLICAS"):
            node.client().set(own_key(node), 2)
        assert node.client().get(own_key(node)) == b"1"
    key = own_key(nodes[0])
    nodes[3].client().execute_command("CLUSTER", "FAILOVER", "TAKEOVER")
    wait_for(lambda: replication(nodes[3]).get("role") == "master", "the replica to take over")
    with pytest.raises(redis.ResponseError, match="NOREPLICAS"):
        nodes[3].client().set(key, 3)
    assert nodes[3].client().get(key) == b"1"
    for freezer in freezers:
        freezer.thaw()
    assert nodes[3].client().set(key, 4)


def own_key(node: RedisProcess) -> str:
    """A key in one of the slots of a primary of three."""
    with node.client() as client:
        client.response_callbacks.clear()
        rows = client.execute_command("CLUSTER", "SLOTS")
        first, last = next((row[0], row[1]) for row in rows if row[2][1] == node.port)
        numbers = (f"k{number}" for number in range(10_000))
        return next(key for key in numbers if first <= client.execute_command("CLUSTER", "KEYSLOT", key) <= last)
