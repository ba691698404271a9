# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The playbook persistence.yml as an operator runs it, on real servers of this machine: one policy, and who drifts."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from support.plays import PlayResult, playbook_path, run_playbook
from support.servers import Build, RedisProcess
from support.values import differences, snapshot_values

# Nothing of a run that changes nothing but these, beside the module itself.
ON_THE_CONTROLLER = {
    "ansible.builtin.include_tasks",
    "ansible.builtin.validate_argument_spec",
    "ansible.builtin.debug",
    "ansible.builtin.file",
    "ansible.builtin.copy",
}
SECRET = "correct-horse-battery-staple"


class Fleet:
    """Hosts of one or several instances, all servers of this machine, and the playbook run on them."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.reports = directory / "reports"
        self.hosts: dict[str, dict[str, Any]] = {}

    def add(self, host: str, name: str, server: RedisProcess, **more: Any) -> None:
        """One more instance of a host; `more` goes over its entry in redis_instances."""
        instance = {
            "name": name,
            **server.connection,
            "config_file": str(server.conf_path),
            "executable": str(server.build.executable),
            "start_command": server.start_command,
            "stop_command": server.stop_command,
            "state_dir": str(self.directory / f"state-{name}"),
            **more,
        }
        self.hosts.setdefault(host, {"redis_instances": []})["redis_instances"].append(instance)

    def play(self, extra: Mapping[str, Any] | None = None, **options: Any) -> PlayResult:
        common = {
            "redis_become": False,
            "redis_common_install": False,
            "redis_persistence_preflight": "skip",
            "redis_persistence_report_dir": str(self.reports),
        }
        inventory = {"redis": {"hosts": self.hosts, "vars": common}}
        return run_playbook(playbook_path("persistence"), inventory, extra, **options)

    def report(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.reports / "drift.json").read_text())
        return found

    def states(self) -> dict[str, str]:
        """What the report says of each instance, or of a host as a whole."""
        return {found["name"] or found["host"]: found["state"] for found in self.report()["instances"]}

    def drift(self) -> dict[str, dict[str, str]]:
        """What became of each directive that was not as wanted, by instance."""
        return {
            found["name"]: {entry["directive"]: entry["state"] for entry in found["drift"]}
            for found in self.report()["instances"]
            if found["drift"]
        }


def get(server: RedisProcess, *names: str) -> list[str]:
    """What CONFIG GET says."""
    with server.client(decode_responses=True) as client:
        return [client.config_get(name)[name] for name in names]


def lines(server: RedisProcess, directive: str) -> list[str]:
    """The values of a directive in redis.conf."""
    found = (line.split(maxsplit=1) for line in server.conf_path.read_text().splitlines() if line.strip())
    return [words[1] for words in found if words[0] == directive]


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    return Fleet(tmp_path)


@pytest.fixture
def pair(fleet: Fleet, any_build: Build, make_server: Callable[..., RedisProcess]) -> tuple[RedisProcess, RedisProcess]:
    """Two instances of the host `h`: `one` and `two`."""
    one, two = make_server(any_build), make_server(any_build)
    fleet.add("h", "one", one)
    fleet.add("h", "two", two, profile="testing", settings={"MaxMemory": "512mb"})
    return one, two


def test_two_instances_converge_each_to_its_own(fleet: Fleet, pair: tuple[RedisProcess, RedisProcess]) -> None:
    """Profile, settings and their order; then a run that changes nothing is one module call for each."""
    one, two = pair
    extra = {
        "redis_persistence_settings": {"maxmemory": "1gb", "timeout": 100, "appendfsync": "no"},
        "redis_persistence_group_settings": {"timeout": 200, "appendfsync": "always", "hz": 20},
        "redis_persistence_host_settings": {"appendfsync": "everysec", "tcp-keepalive": 77},
        "redis_persistence_unmanaged": ["HZ"],
    }
    first = fleet.play(extra).ok()
    assert first.changed > 0
    for server, save, memory in ((one, "900 1 300 10 60 10000", 2**30), (two, "900 1", 2**29)):
        wanted = ["yes", "everysec", save, str(memory), "200", "77", "10"]
        assert get(server, "appendonly", "appendfsync", "save", "maxmemory", "timeout", "tcp-keepalive", "hz") == wanted
        assert " ".join(lines(server, "save")) == save
        assert (lines(server, "appendonly"), lines(server, "hz")) == (["yes"], [])
    assert fleet.report()["summary"]["mended"] == 2 and fleet.report()["ok"]

    second = fleet.play(extra).ok()
    assert second.changed == 0
    ran = [found for found in second.results if found.status != "skipped"]
    (call,) = [found for found in ran if found.action not in ON_THE_CONTROLLER]
    assert call.action == "globalscope.redis_backup.redis_config" and len(call.result["results"]) == 2
    assert fleet.report()["summary"]["as_wanted"] == 2
    assert "1 host, 2 instances, 2 as wanted" in second.stdout


def test_drift_by_hand_is_named_exactly(fleet: Fleet, pair: tuple[RedisProcess, RedisProcess]) -> None:
    """The nightly job: check mode changes nothing, names the one directive of the one instance, and ends non-zero."""
    one, two = pair
    fleet.play().ok()
    nightly = {"redis_persistence_fail_on_drift": True}
    assert fleet.play(nightly, check=True).ok().changed == 0
    with two.client() as client:
        client.config_set("appendfsync", "no")
    before = (one.conf_path.read_bytes(), two.conf_path.read_bytes())

    result = fleet.play(nightly, check=True, diff=True)

    assert result.rc != 0
    assert fleet.drift() == {"two": {"appendfsync": "drift"}}
    (entry,) = (found for found in fleet.report()["instances"] if found["name"] == "two")
    assert entry["drift"][0]["running"] == "no" and entry["drift"][0]["in_file"] == "everysec"
    assert entry["failures"] == ["two drifts: appendfsync."] and "two drifts: appendfsync." in result.stdout
    assert (
        "| h | two | `appendfsync` | `everysec` | `no` | `everysec` | drift |"
        in (fleet.reports / "drift.md").read_text()
    )
    assert (one.conf_path.read_bytes(), two.conf_path.read_bytes()) == before and get(two, "appendfsync") == ["no"]
    # Without the switch, drift is told and no failure.
    assert fleet.play(check=True).rc == 0
    fleet.play(nightly).ok()
    assert fleet.drift() == {"two": {"appendfsync": "mended"}} and get(two, "appendfsync") == ["everysec"]


def test_what_fails_does_not_stop_the_others(
    fleet: Fleet, any_build: Build, make_server: Callable[..., RedisProcess]
) -> None:
    """A wrong password, a server that is down, a host that nobody reaches: all told, and the others converge."""
    locked = make_server(any_build, conf={"requirepass": SECRET})
    asleep = make_server(any_build, start=False)
    awake = make_server(any_build)
    fleet.add("h", "locked", locked, login_password="wrong")
    fleet.add("h", "asleep", asleep)
    fleet.add("h", "awake", awake)
    fleet.add("dark", "unseen", awake)
    fleet.hosts["dark"].update(ansible_connection="ssh", ansible_host="127.0.0.1", ansible_port=1)
    extra = {"redis_persistence_settings": {"appendonly": False, "timeout": 99}}

    result = fleet.play(extra)

    assert result.rc != 0
    assert fleet.states() == {"locked": "failed", "asleep": "down", "awake": "running", "dark": "unreachable"}
    assert get(awake, "timeout") == ["99"] and lines(asleep, "timeout") == ["99"] and not lines(locked, "timeout")
    summary = fleet.report()["summary"]
    assert (summary["failed"], summary["down"], summary["unreachable_hosts"]) == (1, 1, 1)
    failures = fleet.report()["failures"]
    assert len(failures) == 2 and "locked" in failures[0] and failures[1].startswith("dark did not answer")


def test_two_instances_with_one_file_are_refused(fleet: Fleet, pair: tuple[RedisProcess, RedisProcess]) -> None:
    one, two = pair
    before = (one.conf_path.read_bytes(), two.conf_path.read_bytes())
    fleet.hosts["h"]["redis_instances"][1]["config_file"] = str(one.conf_path)
    result = fleet.play()
    assert result.rc != 0 and f"two instances have the config_file {one.conf_path}" in result.stdout
    assert (one.conf_path.read_bytes(), two.conf_path.read_bytes()) == before
    assert fleet.states() == {"h": "failed"}


def test_a_batch_that_fails_is_the_last(
    fleet: Fleet, any_build: Build, make_server: Callable[..., RedisProcess]
) -> None:
    """serial and max_fail_percentage; the report says who was not visited. In check mode everybody is."""
    locked = make_server(any_build, conf={"requirepass": SECRET})
    second, third = make_server(any_build), make_server(any_build)
    fleet.add("a", "locked", locked, login_password="wrong")
    fleet.add("b", "second", second)
    fleet.add("c", "third", third)
    extra = {"redis_persistence_serial": 2, "redis_persistence_settings": {"timeout": 99}}
    assert fleet.play(extra).rc != 0
    assert fleet.states() == {"locked": "failed", "second": "running", "c": "not visited"}
    assert (get(second, "timeout"), get(third, "timeout")) == (["99"], ["0"])
    everybody = {"locked": "failed", "second": "running", "third": "running"}
    assert fleet.play(extra, check=True).rc != 0
    assert fleet.states() == everybody and fleet.drift()["third"]["timeout"] == "drift"
    assert fleet.play({**extra, "redis_persistence_max_fail_percentage": 50}).rc != 0
    assert fleet.states() == everybody and get(third, "timeout") == ["99"]


@pytest.mark.parametrize("aof", [True, pytest.param(False, marks=pytest.mark.long)])
def test_a_restart_where_one_is_needed(
    aof: bool, fleet: Fleet, any_build: Build, make_server: Callable[..., RedisProcess]
) -> None:
    """Asked for, a safe restart is done, once, and the keys are there; not asked for, it is told."""
    server = make_server(any_build, conf={"save": "3600 1"})
    fleet.add("h", "one", server)
    extra = {
        "redis_persistence_settings": {"databases": 32, "appendonly": aof},
        "redis_persistence_fail_on_drift": True,
    }
    server.client().mset({f"key:{n}": n for n in range(1000)})
    assert fleet.play(extra).rc != 0
    assert fleet.drift()["one"]["databases"] == "needs a restart"
    server.client().set("written", "after the first run")
    values, pid = snapshot_values(server.client()), server.pid

    safe = {**extra, "redis_persistence_restart": "safe"}
    assert fleet.play(safe, check=True).rc != 0 and server.pid == pid
    fleet.play(safe).ok()

    assert server.pid not in (None, pid)
    assert get(server, "databases", "appendonly") == ["32", "yes" if aof else "no"]
    assert differences(values, snapshot_values(server.client())) == []
    assert fleet.drift() == {"one": {"databases": "mended"}} and fleet.report()["instances"][0]["restarted"]
    pid = server.pid
    assert fleet.play(safe).ok().changed == 0 and server.pid == pid


def test_a_renamed_aof_keeps_all_keys(fleet: Fleet, layout: Build, make_server: Callable[..., RedisProcess]) -> None:
    """The AOF's name cannot change under a running server: its file is carried over while it is stopped."""
    server = make_server(layout, conf={"appendonly": "yes"})
    fleet.add("h", "one", server)
    server.client().mset({f"key:{n}": n for n in range(5000)})
    values = snapshot_values(server.client())
    extra = {"redis_persistence_settings": {"appendfilename": "renamed.aof"}}
    fleet.play(extra).ok()
    assert fleet.drift()["one"]["appendfilename"] == "needs a stop" and not fleet.report()["ok"]
    fleet.play({**extra, "redis_persistence_restart": "safe"}).ok()
    assert get(server, "appendfilename") == ["renamed.aof"] and fleet.report()["ok"]
    assert differences(values, snapshot_values(server.client())) == []
    server.client().set("another", "write")
    server.kill()
    server.start()
    assert server.client().dbsize() == 5001
    assert fleet.play(extra).ok().changed == 0


def test_a_restart_that_fails_leaves_the_server_serving(
    fleet: Fleet, any_build: Build, make_server: Callable[..., RedisProcess]
) -> None:
    """A stop command that stops nothing: the host fails, says why, and nobody misses a key."""
    server = make_server(any_build, conf={"save": "3600 1"})
    fleet.add("h", "one", server, stop_command="true")
    server.client().set("a", "1")
    result = fleet.play(
        {
            "redis_persistence_settings": {"databases": 32},
            "redis_persistence_restart": "safe",
            "redis_common_start_timeout": 1,
            "redis_common_stop_timeout": 1,
        }
    )
    assert result.rc != 0
    (found,) = fleet.report()["instances"]
    assert "Its restart failed: It was told to stop" in found["error"] and found["error"].endswith("It serves now.")
    assert found["restart_required"] and found["state"] == "running"
    assert server.client().get("a") == b"1" and get(server, "databases") == ["16"]


def test_a_restart_that_would_lose_data_is_not_done(
    fleet: Fleet, any_build: Build, make_server: Callable[..., RedisProcess]
) -> None:
    """Neither an AOF nor save points: a restart would forget everything."""
    server = make_server(any_build)
    fleet.add("h", "one", server)
    server.client().set("a", "1")
    pid = server.pid
    fleet.play(
        {
            "redis_persistence_settings": {"databases": 32, "appendonly": False, "save": ""},
            "redis_persistence_restart": "safe",
        }
    ).ok()
    (found,) = fleet.report()["instances"]
    assert found["restart_required"] and found["restart_refusals"] and not found["restart_safe"]
    assert server.pid == pid and server.client().get("a") == b"1"


def test_preflight_warns_or_fails(fleet: Fleet, any_build: Build, make_server: Callable[..., RedisProcess]) -> None:
    """A maxmemory that no machine has: told with a hint, and a failure of the host where that is asked for."""
    fleet.add("h", "one", make_server(any_build, conf={"maxmemory": "900gb"}))
    extra = {"redis_persistence_preflight": "warn"}
    fleet.play(extra).ok()
    warned = fleet.play(extra).ok()
    found = fleet.report()["instances"][0]["preflight"]
    assert "fork_memory" in [check["name"] for check in found] and "PREFLIGHT fork_memory" in warned.stdout
    failed = fleet.play({**extra, "redis_persistence_preflight": "fail"})
    assert failed.rc != 0 and len(fleet.report()["failures"]) == len(found)


def test_no_secret_is_shown(fleet: Fleet, any_build: Build, make_server: Callable[..., RedisProcess]) -> None:
    """Neither the password of the login nor one among the settings, at the highest verbosity and in the reports."""
    server = make_server(any_build, conf={"requirepass": SECRET})
    fleet.add("h", "one", server, settings={"masterauth": "another-secret-word"})
    result = fleet.play(diff=True, arguments=["-vvvv"]).ok()
    assert get(server, "masterauth") == ["another-secret-word"]
    written = "".join(path.read_text() for path in fleet.reports.iterdir())
    for secret in (SECRET, "another-secret-word"):
        assert secret not in result.stdout and secret not in written
    assert fleet.drift()["one"]["masterauth"] == "mended"
