# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The agent: packed by the role's lookup, run as a program, and on a real host by the role under systemd."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.globalscope.redis_backup.plugins.module_utils._agent.pack import packed
from ansible_collections.globalscope.redis_backup.plugins.module_utils._archive.segments import read_segment
from ansible_collections.globalscope.redis_backup.plugins.module_utils._repository.archived import listed
from ansible_collections.globalscope.redis_backup.plugins.module_utils._repository.open import open_store

from support.agents import LIBRARY, Agent
from support.archives import INSTANCE, Archived, with_aof
from support.hosts import Host, Lab
from support.machine import AgeKey
from support.modules import run_module
from support.plays import PlayResult, playbook_path, run_playbook
from support.s3 import S3Server
from support.servers import Build, RedisProcess
from support.waiting import wait_for, wait_for_aof

MakeServer = Callable[..., RedisProcess]
SEED = 20261123


@pytest.fixture
def archived(any_build: Build, make_server: MakeServer, tmp_path: Path, age_key: AgeKey) -> Archived:
    return Archived(make_server(any_build, conf=with_aof(any_build)), tmp_path, age_key)


def lag(archived: Archived) -> int:
    found: int = run_module("redis_aof_archive", {**archived.params, "state": "status"})["archive"]["lag_bytes"]
    return found


def objects(archived: Archived) -> set[Path]:
    return set(archived.repository.rglob("*.zst.age*"))


def objects_of_state(archived: Archived) -> int:
    try:
        return int(archived.state()["objects"])
    except FileNotFoundError:
        return 0


def test_the_package_is_the_same_each_time_and_needs_no_ansible(tmp_path: Path) -> None:
    program = tmp_path / "agent"
    program.write_bytes(packed(str(LIBRARY)))
    assert packed(str(LIBRARY)) == program.read_bytes()
    code = f"""
import sys
sys.path.insert(0, {str(program)!r})
sys.modules["ansible"] = None
import importlib, pkgutil, globalscope_redis_backup as package
for module in pkgutil.walk_packages(package.__path__, "globalscope_redis_backup."):
    importlib.import_module(module.name)
"""
    subprocess.run([sys.executable, "-I", "-c", code], check=True)


def test_it_archives_and_ends_when_told(archived: Archived, tmp_path: Path) -> None:
    agent = Agent(archived, tmp_path)
    with archived.server.client() as client, agent.running() as process:
        for number in range(200):
            client.set(f"key:{number}", "x" * 100)
        wait_for_aof(client)
        wait_for(lambda: archived.repository.exists() and lag(archived) == 0, "all to be archived")
        wait_for(lambda: agent.metrics.exists() and "archive_lag_bytes" in agent.metrics.read_text(), "the metrics")
        status = Path(f"/proc/{process.pid}/status").read_text()
        peak = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:"))
        assert peak < 60 * 1024, f"{peak} KiB of memory"
    archived.assert_true()
    assert f'redis_backup_archive_up{{instance="{INSTANCE}"}} 1' in agent.metrics.read_text()
    assert "stopped" in agent.log.read_text()


def test_errors_do_not_end_it(archived: Archived, tmp_path: Path) -> None:
    """The server and the repository go and come back: the agent says so, once each, and goes on."""
    agent = Agent(archived, tmp_path)
    with agent.running() as process:
        wait_for(lambda: archived.repository.exists() and lag(archived) == 0, "the first passes")
        agent.config.unlink()
        archived.server.stop()
        away = archived.repository.rename(tmp_path / "away")
        archived.repository.write_text("no folder")
        archived.server.start()
        with archived.server.client() as client:
            client.set("key", "value")
            wait_for_aof(client)
        wait_for(lambda: "error: " in agent.log.read_text(), "the error to be told")
        assert process.poll() is None
        archived.repository.unlink()
        away.rename(archived.repository)
        wait_for(lambda: "well again" in agent.log.read_text(), "the agent to be well again", 60)
        wait_for(lambda: lag(archived) == 0, "all to be archived")
    assert agent.log.read_text().count("error: ") <= 3
    archived.assert_true()


def test_killed_at_random_instants(archived: Archived, tmp_path: Path, long: bool) -> None:
    """SIGKILL to the agent again and again, beside writes and rewrites: no byte twice, none left out, no gap."""
    agent = Agent(archived, tmp_path, interval=0.1)
    chance = random.Random(SEED)
    with archived.server.client() as client:
        for number in range(25 if long else 8):
            process = agent.start()
            pieces = chance.randrange(1, 6)
            for piece in range(pieces):
                pipe = client.pipeline(transaction=False)
                for key in range(400):
                    pipe.set(f"{number}:{piece}:{key}", chance.randbytes(60))
                pipe.execute()
                before = objects(archived)
                with suppress(AssertionError):
                    wait_for(lambda seen=before: objects(archived) != seen, "an object", chance.uniform(0, 0.5), 0.002)
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
            archived.witness()
            if number % 3 == 1:
                client.bgrewriteaof()
                wait_for(lambda: not client.info("persistence")["aof_rewrite_in_progress"], "the rewrite")
        wait_for_aof(client)
    last = agent.start("--once")
    assert last.wait(60) == 0, agent.log.read_text()
    status = run_module("redis_aof_archive", {**archived.params, "state": "status"})["archive"]
    assert status["lag_bytes"] == 0 and status["gaps"] == []
    archived.assert_true()
    assert len(archived.coverage().ranges) == 1


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"encryption": "maybe"}, "encryption must be age or none"),
        ({"recipients": []}, "recipients are missing"),
        ({"recipients": ["AGE-SECRET-KEY-1"]}, "no public key"),
        ({"interval": 0}, "interval must be"),
        ({"repository": {"name": "x", "type": "posix", "path": "relative"}}, "not absolute"),
    ],
)
def test_a_configuration_that_cannot_be_used(
    archived: Archived, tmp_path: Path, change: dict[str, Any], words: str
) -> None:
    agent = Agent(archived, tmp_path, **change)
    assert agent.start().wait(30) == 78
    assert words in agent.log.read_text() and "AGE-SECRET" not in agent.log.read_text()


def test_a_configuration_that_others_may_read_is_refused(archived: Archived, tmp_path: Path) -> None:
    agent = Agent(archived, tmp_path)
    agent.config.chmod(0o644)
    assert agent.start().wait(30) == 78
    assert "may hold secrets" in agent.log.read_text()


@pytest.mark.long
def test_it_archives_to_s3_within_its_memory(archived: Archived, tmp_path: Path, s3: S3Server) -> None:
    """A large backlog and small passes; killed in the middle of an upload, too."""
    entry = s3.entry(s3.bucket())
    agent = Agent(archived, tmp_path, repository=entry)
    with archived.server.client() as client:
        for number in range(200):
            client.set(f"large:{number}", random.Random(number).randbytes(500_000))
        wait_for_aof(client)
    params = {**archived.params, "state": "status"}
    for _kill in range(3):
        process = agent.start()
        before = objects_of_state(archived)
        wait_for(lambda seen=before: objects_of_state(archived) > seen, "an object", 60)
        process.kill()
        process.wait()
    with agent.running() as process:
        wait_for(lambda: run_module("redis_aof_archive", params)["archive"]["lag_bytes"] == 0, "all", 120, 0.3)
        status = Path(f"/proc/{process.pid}/status").read_text()
        peak = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:"))
    store = open_store({"type": "s3", **entry})
    held = b"".join(
        read_segment(store, INSTANCE, name, [str(archived.key.identity)])[1]
        for name, _object in listed(store, INSTANCE)
        if ".incr." in name.file
    )
    (live,) = archived.server.data_dir.glob("appendonlydir/*.incr.aof")
    assert held == live.read_bytes()
    assert peak < 100 * 1024, f"{peak} KiB of memory, more than half of it boto3's"


# --- on a real host ---

REPOSITORY = "/srv/archive"
UNIT = "redis-archive-real.service"


class Site:
    """A host with Debian's redis-server, its AOF on, and a repository on its disk."""

    def __init__(self, lab: Lab, host: Host, key: AgeKey) -> None:
        self.lab, self.host, self.key = lab, host, key

    def play(self, extra: dict[str, Any] | None = None, *, check: bool = False) -> PlayResult:
        variables = {
            "redis_instances": [{"name": "real", "service": "redis-server"}],
            "redis_archive_repository": {"name": "local", "path": REPOSITORY},
            "redis_archive_recipients": [self.key.recipient],
            "redis_archive_interval": 0.2,
        }
        return run_playbook(
            playbook_path("archive"), self.lab.inventory(self.host, **variables), extra, check=check, diff=True
        )

    def status(self) -> dict[str, Any]:
        task = {
            "globalscope.redis_backup.redis_aof_archive": {"state": "status", "instance": "real"},
            "register": "found",
        }
        show = {"ansible.builtin.copy": {"content": "{{ found.archive | to_json }}", "dest": "/root/status.json"}}
        run_playbook(
            [{"hosts": "redis", "gather_facts": False, "tasks": [task, show]}], self.lab.inventory(self.host)
        ).ok()
        found: dict[str, Any] = json.loads(self.sh("cat /root/status.json"))
        return found

    def sh(self, command: str) -> str:
        return str(self.host.run(command).stdout)

    def state(self) -> dict[str, Any]:
        """The state of the agent, without Ansible."""
        found: dict[str, Any] = json.loads(self.sh("cat /var/lib/redis_backup/archive/real/state.json || echo '{}'"))
        return found


@pytest.fixture
def site(host_lab: Lab, host: Host, age_key: AgeKey) -> Site:
    host.run(
        f"install -d -m 700 {REPOSITORY}; sed -i 's/^appendonly no/appendonly yes/' /etc/redis/redis.conf; "
        "echo 'aof-timestamp-enabled yes' >>/etc/redis/redis.conf; systemctl restart redis-server"
    )
    site = Site(host_lab, host, age_key)
    wait_for(lambda: site.sh("redis-cli ping || true").strip() == "PONG", "the server", 30, 0.2)
    return site


def test_the_role_on_a_real_host(site: Site, long: bool) -> None:
    """As the server's user in a sandbox, idempotent, goes on after a power cut, told by status, taken away."""
    if long:
        planned = site.play(check=True).ok()
        assert planned.changed and site.sh(f"ls {REPOSITORY}") == ""
    site.play().ok()
    for check in (False, True) if long else (False,):
        again = site.play(check=check).ok()
        assert again.changed == 0, [found.task for found in again.results if found.result.get("changed")]
    shown = site.sh(f"systemctl show -p User -p NoNewPrivileges -p ProtectSystem -p PrivateTmp -p MainPID {UNIT}")
    assert {"User=redis", "NoNewPrivileges=yes", "ProtectSystem=strict", "PrivateTmp=yes"} <= set(shown.split())
    site.sh("for i in $(seq 500); do echo SET key:$i value:$i; done | redis-cli --pipe; redis-cli wait 0 0")

    def archived() -> bool:
        found = site.state()
        tracks = found.get("tracks") or [{}]
        live = site.sh("stat -c %s /var/lib/redis/appendonlydir/*.incr.aof | tail -1").strip()
        return bool(found.get("based")) and tracks[-1].get("shipped") == int(live) > 1000

    wait_for(archived, "the agent to archive all", 30, 0.3)
    assert site.sh(f"stat -c %a:%U /etc/redis_backup/archive/real.json {REPOSITORY}/real/archive").split() == [
        "640:root",
        "700:redis",
    ]
    site.host.write("/root/identity", site.key.identity.read_text(), "0600")
    opened = site.sh(
        f"cat_all() {{ for f in $(ls {REPOSITORY}/real/archive/*/*.incr.aof/*.age | sort); do "
        "age -d -i /root/identity $f | zstd -q -d -c; done; }; cat_all | sha256sum; "
        "sha256sum </var/lib/redis/appendonlydir/$(ls /var/lib/redis/appendonlydir | grep incr)"
    ).split()
    assert opened[0] == opened[2]
    site.sh("sync")
    site.host.power_cut()
    site.host.boot()
    wait_for(lambda: site.sh("redis-cli ping || true").strip() == "PONG", "the server", 30, 0.2)
    site.sh("redis-cli set after the-cut; redis-cli bgrewriteaof; for i in $(seq 50); do redis-cli set k$i v; done")
    wait_for(archived, "the agent to go on", 60, 0.3)
    status = site.status()
    assert status["gaps"] == [] and status["last_error"] is None and status["first_time"]
    site.play({"redis_archive_state": "absent"}).ok()
    assert not long or site.play({"redis_archive_state": "absent"}).ok().changed == 0
    assert site.sh(f"systemctl is-active {UNIT} || true; ls -A /var/lib/redis | grep archive || true") == "inactive\n"
