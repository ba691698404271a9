# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Drills: what they restore and measure, what they find out, and what they leave behind: nothing."""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.globalscope.redis_backup.plugins.module_utils._errors import RedisBackupError
from ansible_collections.globalscope.redis_backup.plugins.module_utils._files import locked_dir
from ansible_collections.globalscope.redis_backup.plugins.module_utils._repository.manifest import seal

from support.archives import Archived, with_aof
from support.dataset import load_multiframe, raw, send
from support.fleet import RealFleet
from support.hosts import Host, Lab
from support.killing import members
from support.machine import AgeKey, make_age_key
from support.modules import ModuleFailed, run_module, start_module
from support.plays import playbook_path, run_playbook
from support.restores import data_tree
from support.servers import Build, RedisProcess
from support.shelf import Shelf
from support.sites import Site
from support.waiting import wait_for

MakeServer = Callable[..., RedisProcess]
SEED = 20261123


class Range:
    """A shelf with backups of a server, and drills of them."""

    def __init__(self, server: RedisProcess, place: Path, work: Path, key: AgeKey | None = None) -> None:
        (place / "repository").mkdir()
        self.shelf = Shelf(place / "repository", place / "state", key=key)
        self.server, self.work = server, work

    def params(self, **more: Any) -> dict[str, Any]:
        wanted = self.shelf.of(
            self.server,
            repositories=[self.shelf.repository],
            work_dir=str(self.work),
            identities=[str(self.shelf.key.identity)] if self.shelf.key else [],
            seed=SEED,
        )
        return {name: value for name, value in {**wanted, **more}.items() if value is not None}

    def backup(self) -> str:
        """A backup of a second of its own."""
        second = int(time.time())
        wait_for(lambda: int(time.time()) > second, "the next second")
        return str(self.shelf.backup(self.server)["label"])

    def drill(self, **more: Any) -> dict[str, Any]:
        done: dict[str, Any] = run_module("redis_drill", self.params(**more))["drill"]
        assert self.left() == []
        return done

    def fails(self, words: str, **more: Any) -> dict[str, Any]:
        """The drill fails with these words, and was recorded."""
        before = len(self.history())
        with pytest.raises(ModuleFailed, match=words) as caught:
            run_module("redis_drill", self.params(**more))
        assert self.left() == []
        found: dict[str, Any] = caught.value.result["drill"]
        assert found["ok"] is False and found["reason"] in found["problems"]
        assert found["reason"].rstrip(".") in caught.value.msg
        assert len(self.history()) == before + 1
        return found

    def catalog(self) -> dict[str, Any]:
        return run_module("redis_backup_info", self.shelf.of(self.server, repositories=[self.shelf.repository]))

    def history(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.catalog()["drills"]
        return found

    def entry(self, label: str) -> dict[str, Any]:
        params = self.shelf.of(self.server, repositories=[self.shelf.repository])
        backups = run_module("redis_backup_info", params)["backups"]
        found: dict[str, Any] = next(each for each in backups if each["label"] == label)
        return found

    def left(self) -> list[str]:
        """What lies in the working directory, and which processes have to do with it."""
        found = [str(path) for path in self.work.iterdir()]
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                folder, command = os.readlink(process / "cwd"), (process / "cmdline").read_bytes()
                if str(self.work) in folder or str(self.work).encode() in command:
                    found.append(process.name)
        return found

    def reseal(self, label: str, change: Callable[[dict[str, Any]], None]) -> None:
        """Another manifest, sealed by somebody who knows how."""
        path = self.shelf.folder(label) / "manifest.json"
        document = json.loads(path.read_text())
        change(document)
        path.write_bytes(seal(document))


@pytest.fixture
def work(server_root: Path) -> Path:
    found = server_root / "work"
    found.mkdir(mode=0o755)
    return found


@pytest.fixture
def range_(any_build: Build, make_server: MakeServer, tmp_path: Path, work: Path) -> Range:
    found = Range(make_server(any_build), tmp_path, work)
    load_multiframe(found.server.client(), users=200, drivers=20)
    return found


def test_by_turns_measured_and_recorded(range_: Range) -> None:
    """Newest, older, newest; verified by that; the live server untouched; the history survives its backups."""
    first, last = range_.backup(), range_.backup()
    assert not range_.entry(last)["verified"]
    client, tree = range_.server.client(), data_tree(range_.server)
    promised = {"rto_target_seconds": 600, "rpo_target_seconds": 0.001}
    drills = [range_.drill(expect={"keys_min": 200}, **promised), range_.drill(), range_.drill(live=False)]
    assert [(each["pick"], each["label"]) for each in drills] == [("newest", last), ("older", first), ("newest", last)]
    newest = drills[0]
    assert newest["ok"] and newest["verified"]
    assert newest["keys"] == sum(db["keys"] for db in client.info("keyspace").values())
    assert 0 < newest["rto_seconds"] < 600 and newest["age_seconds"] >= newest["rpo_seconds"] >= 0
    assert newest["target_met"] is False and drills[1]["target_met"] is None
    assert newest["latency"]["before"]["samples"] >= 50 and newest["latency"]["during"]["p99"] > 0
    assert drills[2]["latency"] is None
    assert newest["checks"][0]["ok"] and {"fetch", "load", "checks", "digest"} <= set(newest["seconds"])
    assert range_.entry(last)["verified"] and range_.entry(first)["verified"]
    assert data_tree(range_.server) == tree
    shutil.rmtree(range_.shelf.folder(first))
    catalog = range_.catalog()
    history = catalog["drills"]
    assert [each["label"] for each in history] == [last, first, last]
    (prospect,) = catalog["outlook"]
    assert prospect["ok"] and prospect["drills"] == 3 and prospect["rto_seconds"] == drills[2]["rto_seconds"]
    assert [each["rto_seconds"] for each in history] == [each["rto_seconds"] for each in drills]
    assert range_.backup()  # what drills left in the repository is no stranger to backups


def test_some_keys_and_what_is_expected(range_: Range) -> None:
    """A drill of chosen keys, out of a backup and out of an export; expectations that are not met."""
    client = range_.server.client()
    label = range_.backup()
    users = len(list(client.scan_iter("user:*", count=10_000)))
    some = range_.drill(patterns=["user:*"], pick="newest")
    assert some["keys"] == users and not some["verified"] and some["label"] == label
    run_module(
        "redis_export",
        range_.shelf.of(range_.server, repositories=[range_.shelf.repository], name="users", patterns=["user:*"]),
    )
    exported = range_.drill(export="users")
    assert exported["keys"] == users and exported["pick"] == "export" and exported["label"].endswith("_users")
    assert "no key in" in range_.fails("matches nobody", patterns=["nobody:*"], pick="newest")["reason"]
    missing = range_.fails("not what was expected: present nobody", pick="newest", expect={"present": ["nobody"]})
    assert missing["verified"]  # the backup is what its manifest says; the user wants another one
    assert range_.entry(label)["verified"]


def test_what_is_silently_worthless(range_: Range, age_key: AgeKey, tmp_path: Path) -> None:
    """Encrypted to a lost key; nearly empty; another instance's data; another server's under this name; damaged."""
    client = range_.server.client()
    good = range_.backup()
    assert range_.drill()["ok"]

    range_.shelf.key = make_age_key(tmp_path / "lost.txt")
    lost = range_.backup()
    found = range_.fails("identit", pick="newest", identities=[str(age_key.identity)])
    assert found["label"] == lost and not found["verified"] and found["rto_seconds"] is None
    range_.shelf.key = None

    client.flushall()
    send(raw(client), [("SET", f"invoice-{n}", os.urandom(200)) for n in range(2000)])
    foreign = range_.backup()
    assert range_.fails("another instance's data", pick="newest")["label"] == foreign

    client.flushall()
    empty = range_.backup()
    found = range_.fails("it holds 0 keys", pick="newest")
    assert found["label"] == empty and found["verified"]  # it is what it says it is

    def changed(document: dict[str, Any]) -> None:
        document["uuid"] = "00000000-0000-4000-8000-000000000000"

    range_.reseal(good, changed)
    range_.fails("another server that carries this name", label=good)
    for path in range_.shelf.folder(good).glob("dump.rdb*"):
        path.write_bytes(path.read_bytes()[:-1] + b"\0")
    range_.fails("SHA-256|damaged|not what was written", label=good)
    assert [each["ok"] for each in range_.history()] == [True, *[False] * 5]
    assert range_.history()[-1]["reason"]


def test_a_second_of_the_archive(
    any_build: Build, make_server: MakeServer, tmp_path: Path, work: Path
) -> None:
    """A random second of what was archived, and how far the archive lies behind."""
    archived = Archived(make_server(any_build, conf=with_aof(any_build)), tmp_path)
    client = archived.server.client()
    for number in range(3):
        client.set(f"second:{number}", "x")
        second = int(time.time())
        wait_for(lambda second=second: int(time.time()) > second + 1, "the next second")
        run_module("redis_aof_archive", archived.params)
    params = {
        **archived.params,
        "executable": str(any_build.executable),
        "repositories": [archived.params["repository"]],
        "work_dir": str(work),
    }
    del params["repository"]
    one, again = (run_module("redis_drill", {**params, "seed": SEED})["drill"] for _round in range(2))
    assert one["pick"] == "moment" and one["label"] is None and 0 <= one["keys"] <= 3
    assert one["rpo_seconds"] == one["archive_gap_seconds"] and one["archive_to"]
    assert one["age_seconds"] >= one["rpo_seconds"] and again["ok"]
    assert list(work.iterdir()) == []


def kill_rounds(range_: Range, rounds: int) -> None:
    chance = random.Random(SEED)
    for _round in range(rounds):
        process = start_module("redis_drill", range_.params(pick="newest"))
        if rounds == 1:
            wait_for(lambda: any("throwaway" in each for each in range_.left()), "a throw-away server's place")
        else:
            deadline = time.monotonic() + chance.uniform(0.1, 2.0)
            with contextlib.suppress(Exception):
                process.wait(max(deadline - time.monotonic(), 0.0))
        process.send_signal(signal.SIGKILL)
        process.wait()
        # Its servers and programs end by themselves; the directory waits for the next run.
        wait_for(lambda process=process: not members(process), "what it started to end")
        assert not [each for each in range_.left() if each.isdigit()]


@pytest.mark.parametrize("rounds", [1, pytest.param(12, marks=pytest.mark.long)])
def test_killed(range_: Range, rounds: int) -> None:
    """SIGKILL of a drill, then another: nothing is left of either, and the records are whole."""
    label = range_.backup()
    kill_rounds(range_, rounds)
    assert range_.drill(pick="newest")["label"] == label
    assert all(each["ok"] for each in range_.history())
    assert not list(range_.shelf.root.rglob("*.part*"))
    # One at a time: the second is told so.
    busy = RedisBackupError("busy")
    with locked_dir(str(range_.work), busy=busy), pytest.raises(ModuleFailed, match="another drill has held"):
        run_module("redis_drill", range_.params(wait_timeout=0))


def test_limits(range_: Range) -> None:
    """What is too large is not fetched, and said so."""
    send(raw(range_.server.client()), [("SET", f"large:{n}", os.urandom(100_000)) for n in range(30)])
    range_.backup()
    assert "disk_limit_mb" in range_.fails("disk_limit_mb allows 1 MB", disk_limit_mb=1)["reason"]
    assert "memory_limit_mb" in range_.fails("memory_limit_mb allows 2 MB", memory_limit_mb=2)["reason"]
    assert range_.drill(disk_limit_mb=64, memory_limit_mb=512, cpu_percent=50, pick="newest")["ok"]


def test_the_playbook(any_build: Build, make_server: MakeServer, tmp_path: Path, age_key: AgeKey, work: Path) -> None:
    """Unattended, on a drill host, with the identity as a secret: a table, a hook for alerts, and a clear end."""
    site = Site(make_server(any_build), tmp_path, age_key)
    load_multiframe(site.server.client(), users=50, drivers=5)
    site.play("backup").ok()
    secret = age_key.identity.read_text()
    said = tmp_path / "alert"
    hook = tmp_path / "alert.yml"
    content = "{{ redis_drill_failures | to_json }}"
    hook.write_text(json.dumps([{"ansible.builtin.copy": {"content": content, "dest": str(said), "mode": "0600"}}]))
    variables = {
        "redis_restore_identities": [],
        "redis_drill_identity": secret,
        "redis_common_tmpfs": str(work),
        "redis_drill_work_dir": str(work),
        "redis_drill_on_failure": str(hook),
        "redis_drill_expect_of": {site.name: {"keys_min": 1}},
    }
    done = site.play("drill", variables).ok()
    table = "\n".join(done.last("Summary")["msg"])
    assert "good" in table and "RTO" in table and "met" in table and secret not in done.stdout
    assert list(work.iterdir()) == [] and not said.exists()

    away = {**variables, "redis_drill_host": "localhost", "redis_drill_executable": str(any_build.executable)}
    failed = site.play("drill", {**away, "redis_drill_expect_of": {site.name: {"present": ["nobody"]}}})
    assert failed.rc != 0
    reason = failed.last("Fail for the drills")["msg"]
    assert "not what was expected: present nobody" in reason, failed.stdout
    (told,) = json.loads(said.read_text())
    assert told["instance"] == site.name and told["drill"]["latency"] is None and told["reason"] in reason
    assert "FAILED" in "\n".join(failed.last("Summary")["msg"])
    assert list(work.iterdir()) == []


@pytest.mark.long
def test_a_real_host(
    host_lab: Lab, hosts: Callable[[int], list[Host]], tmp_path: Path, age_key: AgeKey
) -> None:
    """Under systemd, in a scope of its own, which is gone afterwards; a drill host that does not answer is told."""
    fleet = RealFleet(host_lab, hosts(2), tmp_path)
    first, second = fleet.hosts
    with fleet.prepared():
        inventory = fleet.inventory()
        extra: dict[str, Any] = {
            "redis_backup_repositories": [{"name": "local", "path": "/srv/backup", "create": True}],
            "redis_backup_recipients": [age_key.recipient],
            "redis_drill_identity": age_key.identity.read_text(),
        }
        run_playbook(playbook_path("backup"), inventory, extra).ok()
        more = {**extra, "redis_drill_cpu_percent": 50, "redis_drill_memory_limit_mb": 64}
        done = run_playbook(playbook_path("drill"), inventory, more).ok()
        drills = [each.result["drill"] for each in done.find("redis_drill") if "drill" in each.result]
        assert len(drills) == 4 and all(each["ok"] and each["verified"] for each in drills)
        assert all("a systemd scope with 50 % of a processor" in each["limits"] for each in drills)
        assert all(each["latency"]["during"]["p99"] > 0 for each in drills)
        for host in fleet.hosts:
            left = host.run(
                "systemctl list-units --all --plain --no-legend 'redis-backup-drill*'; ls /run | grep redis_backup- ; "
                "ls /var/tmp | grep redis_backup; pgrep -f throw[a]way || true"
            )
            assert str(left.stdout).strip() == ""
        second.power_cut()
        gone = {**extra, "redis_drill_host": second.name}
        failed = run_playbook(playbook_path("drill"), inventory, gone, limit=first.name)
        assert failed.rc != 0 and "FAILED" in "\n".join(failed.last("Summary")["msg"]), failed.stdout
        second.boot()
        run_playbook(playbook_path("drill"), inventory, extra).ok()
