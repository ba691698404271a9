# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Backups of an AOF on real servers: an exact prefix of what was written, restored into every version that can."""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import subprocess
import threading
from pathlib import Path
from typing import Any

import pytest
import redis
from ansible_collections.globalscope.redis_backup.plugins.module_utils._aof.scan import FileScan

from support.aofs import fill, rewrite
from support.dataset import load_multiframe, raw, send
from support.killing import kill_after, kill_at_change, watch
from support.machine import AgeKey
from support.modules import ModuleFailed, run_module
from support.restores import (
    SOURCE,
    Backup,
    Restore,
    assert_holds,
    assert_serves_for_good,
    back_up,
    bgsave,
    data_tree,
    file_tree,
    fill_with_old_data,
    refused,
)
from support.servers import Build, BuildMissing, RedisProcess, build_named
from support.sites import Site
from support.values import differences, snapshot_values
from support.waiting import wait_for, wait_for_aof

from .conftest import MakeServer

STORED = "appendonlydir.tar.zst"


def need(name: str) -> Build:
    try:
        return build_named(name)
    except BuildMissing as error:
        pytest.skip(str(error))


def aof_server(make_server: MakeServer, build: Build, **conf: str) -> RedisProcess:
    stamps = {"aof-timestamp-enabled": "yes"} if build.version >= (7, 0) else {}
    return make_server(build, conf={"appendonly": "yes", **stamps, **conf})


def back_up_aof(server: RedisProcess, place: Path, **params: Any) -> Backup:
    return back_up(server, place, engine="aof", **params)


def document(backup: Backup) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((backup.folder / "manifest.json").read_text())
    return found


def verify(backup: Backup, build: Build, level: str = "restore", **params: Any) -> dict[str, Any]:
    wanted = {"instance": SOURCE, "repositories": [dict(backup.repository)], "level": level, "labels": [backup.label]}
    program = {"executable": str(build.executable)}
    result: dict[str, Any] = run_module("redis_backup_verify", {**wanted, **program, **params})["results"][0]
    return result


def open_set(make_server: MakeServer, backup: Backup, build: Build, key: AgeKey | None = None) -> RedisProcess:
    """By hand, with no part of the collection: the files put where a new server looks for them, and that started."""
    server = make_server(build, conf={"appendonly": "yes", "aof-load-truncated": "no"}, start=False)
    stored = backup.folder / f"{STORED}{'.age' if key else ''}"
    opened = f"age -d -i {key.identity} {stored} | zstd -q -d -c" if key else f"zstd -q -d -c {stored}"
    subprocess.run(["sha256sum", "--quiet", "-c", "SHA256SUMS"], cwd=backup.folder, check=True)
    subprocess.run(["bash", "-o", "pipefail", "-c", f"{opened} | tar -xf -"], cwd=server.data_dir, check=True)
    return server.start()


class Writer:
    """Writes n:1, n:2 and so on, one after the other, and counts what was answered; another thread has it rewritten."""

    def __init__(self, server: RedisProcess) -> None:
        self.answered = 0
        self._stopped = threading.Event()
        self._server = server
        self._threads = [threading.Thread(target=self._write), threading.Thread(target=self._rewrite)]

    def __enter__(self) -> Writer:
        for thread in self._threads:
            thread.start()
        wait_for(lambda: self.answered > 1000, "the writer to write")
        return self

    def __exit__(self, *_error: object) -> None:
        self._stopped.set()
        for thread in self._threads:
            thread.join()

    def _write(self) -> None:
        client = raw(self._server.client())
        at = 0
        while not self._stopped.is_set():
            send(client, [(b"SET", b"n:%d" % n, b"\r\n#TS:%d\r\n" % n) for n in range(at + 1, at + 51)])
            at = self.answered = at + 50
            self._stopped.wait(0.01)  # two cores are not for this alone

    def _rewrite(self) -> None:
        client = self._server.client()
        while not self._stopped.wait(0.03):
            with contextlib.suppress(redis.ResponseError):
                client.execute_command("BGREWRITEAOF")


def test_a_prefix_under_writes_and_rewrites(
    build: Build, make_server: MakeServer, tmp_path: Path, age_key: AgeKey, long: bool
) -> None:
    """All that was answered before the backup began is in it, and nothing is missing before what is."""
    server = aof_server(make_server, build)
    made = []
    with Writer(server) as writer:
        for _number in range(12 if long else 2):
            before = writer.answered
            names = set(os.listdir(server.data_dir))
            backup = back_up_aof(
                server, tmp_path, values={}, encryption={"recipients": [age_key.recipient]}, wait_timeout=60
            )
            made.append((backup, before, writer.answered + 50))
            new = {n for n in os.listdir(server.data_dir) if not n.startswith("temp-")} - names
            assert not new, "it left something behind"
    for backup, least, most in made:
        loaded = open_set(make_server, backup, build, age_key)
        client = loaded.client()
        count = int(client.dbsize())
        assert least <= count <= most
        assert client.exists(*(f"n:{n}" for n in range(1, count + 1))) == count
        loaded.destroy()
        told = document(backup)["keys"]
        assert abs(told["total"] - count) <= told["room"]
        result = verify(backup, build, identities=[str(age_key.identity)])
        assert (result["ok"], result["keys"]) == (True, count)


def test_the_manifest_tells(layout: Build, make_server: MakeServer, tmp_path: Path) -> None:
    history = {"aof-disable-auto-gc": "yes"} if layout.version >= (7, 0) else {}  # files that a server does not load
    server = aof_server(make_server, layout, **history)
    fill(server.client(), 0)
    rewrite(server.client())
    fill(server.client(), 1)
    second = server.client().time()[0]
    wait_for(lambda: server.client().time()[0] > second, "the next second, which is annotated")
    fill(server.client(), 2)
    backup = back_up_aof(server, tmp_path)
    told = document(backup)
    aof, multi = told["aof"], layout.version >= (7, 0)
    assert backup.label.endswith("_aof")
    assert backup.made["engine"] == backup.made["source"] == told["engine"] == "aof"
    assert [file["kind"] for file in aof["files"]] == (["base", "incr"] if multi else ["single"])
    assert aof["layout"] == ("multi" if multi else "single")
    assert aof["commands"] > 30
    assert (aof["last_timestamp"] is not None) is multi
    assert told["keys"]["databases_exact"]
    assert told["keys"]["room"] == 0
    assert told["keys"]["total"] == backup.made["keys"] == len(backup.values)
    assert {check["name"]: check["ok"] for check in told["checks"]} == dict.fromkeys(
        ("redis-check-rdb", "commands", "key count around the pin"), True
    )
    found = run_module("redis_backup_info", {"instance": SOURCE, "repositories": [dict(backup.repository)]})
    assert found["latest"]["label"] == backup.label
    assert found["latest"]["engine"] == "aof"
    for level in ("stored", "content", "restore"):
        assert verify(backup, layout, level)["ok"]


def restore_into(server: RedisProcess, backup: Backup, **params: Any) -> tuple[Restore, dict[str, Any]]:
    """Stage, stop, activate; the server is left stopped."""
    restore = Restore(server, backup, **params)
    staged = restore.step("staged")
    assert restore.step("staged")["changed"] is False
    server.stop()
    restore.step("active")
    return restore, staged


def test_restored(layout: Build, make_server: MakeServer, tmp_path: Path, age_key: AgeKey) -> None:
    """Under the target's own names, encrypted, and for good; and it can be undone."""
    donor = aof_server(make_server, layout)
    load_multiframe(donor.client(), 40, 10)
    rewrite(donor.client())
    fill(donor.client(), 1)
    backup = back_up_aof(donor, tmp_path, encryption={"recipients": [age_key.recipient]})
    names = {"appenddirname": "elsewhere"} if layout.version >= (7, 0) else {}
    target = aof_server(make_server, layout, appendfilename="other.aof", save="3600 1", **names)
    old = fill_with_old_data(target.client())
    restore, staged = restore_into(target, backup, identities=[str(age_key.identity)])
    assert staged["restore"]["loaded_keys"] is None
    assert (staged["restore"]["keys"], staged["restore"]["keys_room"]) == (backup.made["keys"], 0)
    assert_serves_for_good(target, backup.values)
    target.stop()
    restore.step("rolled_back")
    target.start()
    assert_holds(target, old)
    target.stop()
    restore.step("staged")
    restore.step("active")
    target.start()
    assert_holds(target, backup.values)
    restore.step("committed")


def test_a_server_without_aof_gets_an_rdb(layout: Build, make_server: MakeServer, tmp_path: Path) -> None:
    donor = aof_server(make_server, layout)
    load_multiframe(donor.client(), 40, 10)
    rewrite(donor.client())  # as commands, consumers of streams are as old as their loading
    fill(donor.client(), 1)
    backup = back_up_aof(donor, tmp_path)
    target = make_server(layout, conf={"save": "3600 1"}, user=65534 if not os.geteuid() else None)
    fill_with_old_data(target.client())
    _restore, staged = restore_into(target, backup)
    assert "made an RDB of the AOF, which the server will start from" in staged["actions"]
    assert staged["restore"]["loaded_keys"] == backup.made["keys"]
    assert set(data_tree(target)) == {"dump.rdb"}
    assert_serves_for_good(target, backup.values)


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ("redis-6.2", "redis-7.0"),
        ("redis-7.0", "redis-8.2"),
        pytest.param("redis-6.2", "valkey-9.1", marks=pytest.mark.long),
    ],
)
def test_into_a_newer_server(make_server: MakeServer, tmp_path: Path, source: str, target: str) -> None:
    """Also when what becomes the base is an RDB with commands behind it."""
    donor = aof_server(make_server, need(source))
    load_multiframe(donor.client(), 40, 10, types=False)
    rewrite(donor.client())
    fill(donor.client(), 1)
    backup = back_up_aof(donor, tmp_path)
    server = aof_server(make_server, need(target))
    restore_into(server, backup)
    assert_serves_for_good(server, backup.values)
    again = back_up_aof(server, tmp_path / "again")
    assert verify(again, server.build)["ok"]


@pytest.mark.parametrize(
    ("source", "target"),
    [("redis-7.0", "redis-6.2"), pytest.param("redis-8.2", "valkey-9.1", marks=pytest.mark.long)],
)
def test_converted_for_another_server(make_server: MakeServer, tmp_path: Path, source: str, target: str) -> None:
    donor = aof_server(make_server, need(source))
    load_multiframe(donor.client(), 40, 10, types=False)
    rewrite(donor.client())
    send(raw(donor.client()), [("SET", f"more:{n}", n) for n in range(50)])
    backup = back_up_aof(donor, tmp_path)
    server = aof_server(make_server, need(target))
    refused(Restore(server, backup), "staged", "cannot load")
    restore_into(server, backup, convert=True, convert_executable=str(donor.build.executable))
    assert_serves_for_good(server, backup.values)


def test_an_aof_of_commands_alone(layout: Build, make_server: MakeServer, tmp_path: Path) -> None:
    """Without a preamble, and with more databases than the target has."""
    donor = aof_server(make_server, layout, **{"aof-use-rdb-preamble": "no", "databases": "40"})
    fill(donor.client(), 0)
    rewrite(donor.client())
    fill(donor.client(), 1)
    send(raw(donor.client(), 39), [("SET", "passing", "1"), ("DEL", "passing")])
    backup = back_up_aof(donor, tmp_path)
    assert [check["name"] for check in document(backup)["checks"]] == ["commands", "key count around the pin"]
    assert verify(backup, layout)["ok"]
    target = aof_server(make_server, layout)
    _restore, staged = restore_into(target, backup)
    assert "made an RDB of the AOF, which the server will start from" in staged["actions"]
    assert_serves_for_good(target, backup.values)


def test_commands_behind_a_preamble(layout: Build, make_server: MakeServer, tmp_path: Path) -> None:
    """Wherever the RDB ends, and in whatever pieces it is read, all commands behind it are seen, each once."""
    donor = make_server(layout, conf={"save": ""})
    value = random.Random(2).randbytes(2000)
    program, chooser = str(layout.executable), random.Random(3)
    for keys, commands in ((0, 0), (1, 3), (5, 20_000), (6000, 1), (6000, 20_000)):
        send(raw(donor.client()), [("SET", f"k:{n}", value) for n in range(keys)])
        donor.client().save()
        tail = b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$2000\r\n%s\r\n" % value * commands
        head = (donor.data_dir / "dump.rdb").read_bytes()
        whole = head + tail
        for size in (1, 7, len(head), len(head) + 1) if len(whole) < 20_000 else (65_536, 262_144, 1_048_576):
            with FileScan(program, "appendonly.aof") as scan:
                at = 0
                while at < len(whole):
                    step = max(1, chooser.randint(size // 2, size))
                    scan.write(memoryview(whole)[at : at + step])
                    at += step
                found = scan.finish()
            assert (found.wrong, found.commands, found.whole, found.size) == ("", commands, len(whole), len(whole))
            assert found.report is not None
            assert (found.report.keys, found.report.end_offset) == (keys, len(head))
        with FileScan(program, "appendonly.aof") as scan:
            scan.write(memoryview(whole + b"*1\r\n"))
            found = scan.finish()
        assert (found.torn, found.whole) == (True, len(whole))


def live_file(server: RedisProcess) -> Path:
    """The file that the server appends to."""
    folder = server.data_dir / "appendonlydir"
    if not folder.exists():
        return server.data_dir / "appendonly.aof"
    return max(folder.glob("*.incr.aof"), key=lambda path: int(path.name.split(".")[-3]))


@pytest.mark.parametrize(
    "torn", [b"*3\r\n$3\r\nSET\r\n$1\r\na", b"*1\r\n$5\r\nMULTI\r\n*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1\r\nb\r\n"]
)
def test_a_torn_tail_is_left_out(layout: Build, make_server: MakeServer, tmp_path: Path, torn: bytes) -> None:
    donor = aof_server(make_server, layout)
    fill(donor.client(), 0)
    wait_for_aof(donor.client())
    with live_file(donor).open("ab") as stream:
        stream.write(torn)
    backup = back_up_aof(donor, tmp_path)
    assert verify(backup, layout)["ok"]
    loaded = open_set(make_server, backup, layout)
    assert_holds(loaded, backup.values)


def assert_no_backup(server: RedisProcess, place: Path, words: str, **params: Any) -> str:
    """It is refused with these words, and neither the server's files nor the repository hold anything of it."""
    before = data_tree(server)
    with pytest.raises(ModuleFailed, match=words) as failure:
        back_up_aof(server, place, values={}, **params)
    assert data_tree(server) == before
    left = {path.name for path in (place / "repository").rglob("*") if path.is_file()}
    assert left <= {"instance.json", ".lock"}
    return failure.value.msg


def test_damage_is_refused(layout: Build, make_server: MakeServer, tmp_path: Path) -> None:
    donor = aof_server(make_server, layout)
    fill(donor.client(), 0)
    rewrite(donor.client())
    fill(donor.client(), 1)
    wait_for_aof(donor.client())
    path = live_file(donor)
    whole = path.read_bytes()
    at = whole.index(b"*3\r\n$3\r\nSET\r\n$5\r\nr1:k1")
    path.write_bytes(whole[:at] + b"garbage" + whole[at + 7 :])
    assert_no_backup(donor, tmp_path, f"is damaged at byte {at}")
    path.write_bytes(whole)
    base = next(iter(donor.data_dir.glob("appendonlydir/*.base.rdb")), path)
    raw_base = base.read_bytes()
    base.write_bytes(raw_base[:300] + bytes([raw_base[300] ^ 0xFF]) + raw_base[301:])
    assert_no_backup(donor, tmp_path, "redis-check-rdb refuses its RDB")
    base.write_bytes(raw_base)
    assert verify(back_up_aof(donor, tmp_path), layout)["ok"]


def test_no_aof_is_refused(layout: Build, make_server: MakeServer, tmp_path: Path) -> None:
    server = make_server(layout)
    assert "Switch it on" in assert_no_backup(server, tmp_path, "its AOF is off")
    with pytest.raises(ModuleFailed, match="its AOF is off"):
        back_up_aof(server, tmp_path)
    other = aof_server(make_server, layout)
    assert_no_backup(other, tmp_path, "is not on this host", data_dir="/nonexistent")


def test_an_aof_just_switched_on_is_waited_for(layout: Build, make_server: MakeServer, tmp_path: Path) -> None:
    """What lies there meanwhile is that of the day it was switched off."""
    server = aof_server(make_server, layout)
    client = server.client()
    send(raw(client), [("SET", f"old:{n}", n) for n in range(10)])
    client.config_set("appendonly", "no")
    send(raw(client), [("SET", f"new:{n}", n) for n in range(600)])
    client.config_set("rdb-key-save-delay", "1000")
    client.config_set("appendonly", "yes")
    assert client.info("persistence")["aof_rewrite_in_progress"]
    backup = back_up_aof(server, tmp_path)
    assert_holds(open_set(make_server, backup, layout), backup.values)


def test_engines_beside_each_other(any_build: Build, make_server: MakeServer, tmp_path: Path) -> None:
    """Each has an age of its own, serials rise over both, and the newest data is restored, whosever it is."""
    server = aof_server(make_server, any_build)
    client = server.client()
    fill(client, 0)
    place = {"repositories": [{"name": "test", "path": str(tmp_path / "repository"), "create": True}]}
    params = {**server.connection, **place, "instance": SOURCE, "state_dir": str(tmp_path / "state")}
    first = run_module("redis_backup", params)["backup"]
    planned = run_module("redis_backup", {**params, "engine": "aof", "max_age": 3600}, check=True, diff=True)
    assert (planned["changed"], planned["backup"]) == (True, None)
    assert "no backup" in planned["diff"]["before"]
    second = run_module("redis_backup", {**params, "engine": "aof", "max_age": 3600})
    assert second["changed"]
    for check in (True, False):
        young = run_module("redis_backup", {**params, "engine": "aof", "max_age": 3600}, check=check)
        assert not young["changed"]
        assert young["backup"]["label"] == second["backup"]["label"]
    young = run_module("redis_backup", {**params, "max_age": 3600})
    assert young["backup"]["label"] == first["label"]
    shutil.rmtree(tmp_path / "state")  # a new host
    third = run_module("redis_backup", {**params, "adopt": True})["backup"]
    folder = tmp_path / "repository" / SOURCE / "backup"
    serials = {
        label: json.loads((folder / label / "manifest.json").read_text())["serial"] for label in os.listdir(folder)
    }
    assert [serials[label] for label in (first["label"], second["backup"]["label"], third["label"])] == [1, 2, 3]
    client.set("only in the AOF", "1")
    wait_for(lambda: client.time()[0] > 0, "the clock")
    last = back_up_aof(server, tmp_path)
    target = aof_server(make_server, any_build)
    restore, staged = restore_into(target, last, label="latest")
    assert staged["restore"]["label"] == last.label
    assert_serves_for_good(target, last.values)
    restore.step("committed")


def test_copied_and_encrypted_anew(
    any_build: Build, make_server: MakeServer, tmp_path: Path, age_key: AgeKey
) -> None:
    server = aof_server(make_server, any_build)
    fill(server.client(), 0)
    backup = back_up_aof(server, tmp_path)
    for name, packing in (("same", {}), ("anew", {"encryption": {"recipients": [age_key.recipient]}})):
        other = {"name": name, "path": str(tmp_path / name)}
        run_module(
            "redis_backup_copy",
            {
                "instance": SOURCE,
                "source": dict(backup.repository),
                "destination": {**other, "create": True},
                "labels": ["all"],
                **packing,
            },
        )
        copy = Backup(other, backup.label, backup.values, backup.made)
        result = verify(copy, any_build, identities=[str(age_key.identity)])
        assert result["ok"]
        target = aof_server(make_server, any_build)
        restore_into(target, copy, identities=[str(age_key.identity)])
        target.start()
        assert_holds(target, backup.values)


def test_any_stored_byte(layout: Build, make_server: MakeServer, tmp_path: Path, long: bool) -> None:
    """Whatever byte of the archive is wrong, neither verification nor restore takes it, and nothing changes."""
    donor = aof_server(make_server, layout)
    fill(donor.client(), 0)
    rewrite(donor.client())
    fill(donor.client(), 1)
    backup = back_up_aof(donor, tmp_path)
    target = aof_server(make_server, layout)
    stored = backup.folder / STORED
    whole = stored.read_bytes()
    chooser = random.Random(5)
    stored.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(ModuleFailed, match="is damaged"):
        Restore(target, backup).step("staged")  # the first one makes the folder that others lock
    places = [0, *(chooser.randrange(len(whole)) for _each in range(60 if long else 1))]
    for at in places:
        stored.write_bytes(whole[:at] + bytes([whole[at] ^ (1 << chooser.randrange(8))]) + whole[at + 1 :])
        refused(Restore(target, backup), "staged", "is damaged")
        with pytest.raises(ModuleFailed, match="damaged"):
            verify(backup, layout, "content")
    for size in (0, len(whole) // 2, len(whole) - 1) if long else (len(whole) // 2,):
        stored.write_bytes(whole[:size])
        refused(Restore(target, backup), "staged", "it is|bytes")
    stored.write_bytes(whole)
    for record in (backup.folder / "verification").iterdir():
        record.unlink()
    restore_into(target, backup)
    assert_serves_for_good(target, backup.values)


def test_killed_in_the_middle(any_build: Build, make_server: MakeServer, tmp_path: Path, long: bool) -> None:
    """It leaves nothing at the server, and at the repository nothing that a next run does not clear away."""
    server = aof_server(make_server, any_build)
    value = random.Random(1).randbytes(50_000)
    send(raw(server.client()), [("SET", f"k:{n}", value) for n in range(400)])
    wait_for_aof(server.client())
    params = {
        **server.connection,
        "instance": SOURCE,
        "engine": "aof",
        "repositories": [{"name": "test", "path": str(tmp_path / "repository"), "create": True}],
        "state_dir": str(tmp_path / "state"),
    }
    run_module("redis_backup", params)
    work = watch("redis_backup", params, [tmp_path])
    before = file_tree(server.data_dir)
    folder = tmp_path / "repository" / SOURCE / "backup"
    chooser = random.Random(7)
    for number in range(1, len(work.changes) + 1, 1 if long else 5):
        kill_at_change("redis_backup", params, [tmp_path], number)
        assert file_tree(server.data_dir) == before
    for _number in range(20 if long else 2):
        kill_after("redis_backup", params, [tmp_path], chooser.random() * work.seconds, group=False)
        assert file_tree(server.data_dir) == before
    made = run_module("redis_backup", params)["backup"]
    for label in os.listdir(folder):
        assert (folder / label / "manifest.json").exists()
    assert made["keys"] == 400


def test_rdb_after_aof_and_back(any_build: Build, make_server: MakeServer, tmp_path: Path) -> None:
    """An AOF is no smaller for being rewritten: it is not suspect, nor is the RDB after it."""
    server = aof_server(make_server, any_build)
    client = server.client()
    for number in range(300):
        client.set("same", "x" * 1000 + str(number))
    big = back_up_aof(server, tmp_path)
    rewrite(client)
    small = back_up_aof(server, tmp_path)
    bgsave(server)
    plain = back_up(server, tmp_path)
    assert snapshot_values(client) == big.values == small.values == plain.values
    found = run_module("redis_backup_info", {"instance": SOURCE, "repositories": [dict(big.repository)]})
    assert small.made["size"] < big.made["size"] / 2
    assert {entry["label"]: entry["suspect"] for entry in found["backups"]} == {
        backup.label: None for backup in (big, small, plain)
    }


@pytest.mark.long
def test_recovered_by_the_playbooks(any_build: Build, make_server: MakeServer, tmp_path: Path, age_key: AgeKey) -> None:
    site = Site(aof_server(make_server, any_build), tmp_path, age_key)
    server = site.server
    load_multiframe(server.client(), users=50, drivers=20, types=False)
    rewrite(server.client())
    send(raw(server.client()), [("SET", f"more:{n}", n) for n in range(50)])
    values = snapshot_values(server.client())
    site.play("backup", {"redis_backup_engine": "aof"}).ok()
    site.lose_the_disk()
    site.play("disaster_recovery").ok()
    assert differences(values, snapshot_values(server.client())) == []
    report = site.report()
    assert report["ok"]
    assert report["outcome"] == "recovered"
    assert "loaded_keys" not in {check["name"] for check in report["checks"]}
    assert site.play("disaster_recovery").ok().changed == 0
