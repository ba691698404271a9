# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""redis_sentinel on real Sentinels: held they do not fail over, released they see the right primary, with a quorum."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from support.groups import NAME, PATIENT_MS, Group, make_group, sentinel_master, view
from support.modules import ModuleFailed, run_module
from support.servers import BUILD_NAMES, Build, BuildMissing, RedisProcess, build_named
from support.waiting import wait_for

_OTHERS = [pytest.param(name, marks=pytest.mark.long) for name in BUILD_NAMES if name != "redis-7.0"]
HELD = "86400007"


@pytest.fixture(params=["redis-7.0", *_OTHERS])
def version(request: pytest.FixtureRequest) -> Build:
    """One version, with --long all."""
    try:
        return build_named(request.param)
    except BuildMissing as error:
        pytest.skip(str(error))


def call(sentinel: RedisProcess, state_dir: Path, state: str, *, check: bool = False, **params: Any) -> dict[str, Any]:
    arguments = {**sentinel.connection, "instance": f"s-{sentinel.port}", "state_dir": str(state_dir)}
    arguments.update(master_name=NAME, state=state, config_file=str(sentinel.conf_path), wait_timeout=20)
    return run_module("redis_sentinel", {**arguments, **params}, check=check)


def down_after(group: Group) -> list[str]:
    return [sentinel_master(each)["down-after-milliseconds"] for each in group.sentinels]


def test_held_sentinels_let_a_primary_be_gone_and_come_back(version: Build, make_server: Any, tmp_path: Path) -> None:
    """The primary is away for far longer than the threshold: nobody fails over, and nobody does after the release."""
    group = make_group(make_server, version, replicas=1, down_after_ms=3000, requirepass="secret")
    dry = call(group.sentinels[0], tmp_path, "held", check=True)
    assert dry["changed"] and down_after(group) == ["3000"] * 3
    for sentinel in group.sentinels:
        first = call(sentinel, tmp_path, "held")
        assert first["changed"] and first["sentinel"]["held"] and first["sentinel"]["quorum_ok"]
        assert [each["alive"] for each in first["sentinel"]["others"]] == [True, True]
        assert not call(sentinel, tmp_path, "held")["changed"]
    assert down_after(group) == [HELD] * 3
    group.primary.kill()
    silent = "last-ok-ping-reply"
    wait_for(lambda: all(int(sentinel_master(each)[silent]) > 4000 for each in group.sentinels), "them to miss it")
    assert {view(each)[0] for each in group.sentinels} == {group.primary.port}
    assert not any("s_down" in view(each)[1] for each in group.sentinels)
    with pytest.raises(ModuleFailed, match="is still held"):
        call(group.sentinels[0], tmp_path, "released", wait_timeout=1)
    assert down_after(group) == [HELD] * 3

    group.primary.start()
    for sentinel in group.sentinels:
        assert call(sentinel, tmp_path, "released", check=True)["changed"]
        result = call(sentinel, tmp_path, "released", addresses=[f"127.0.0.1:{group.primary.port}"])
        assert result["changed"] and result["sentinel"]["flags"] == ["master"] and result["sentinel"]["quorum_ok"]
        assert not call(sentinel, tmp_path, "released")["changed"]
    assert down_after(group) == ["3000"] * 3
    assert list((tmp_path / "sentinels").glob("*.json")) == []
    group.wait_agreed()
    assert all("+switch-master" not in each.log for each in group.sentinels)


def test_another_primary_is_watched_with_all_options(any_build: Build, make_server: Any, tmp_path: Path) -> None:
    """Forgotten on all, then watched at the new address: passwords are in sentinel.conf, the epoch is no matter."""
    group = make_group(make_server, any_build, replicas=2, requirepass="secret")
    with group.sentinels[0].client() as client:  # an epoch that an old view would win with
        client.execute_command("SENTINEL", "FAILOVER", NAME)
    old = group.primary.port
    wait_for(lambda: all(view(each)[0] != old for each in group.sentinels), "the failover")
    at_first = sentinel_master(group.sentinels[0])
    now = next(each for each in group.servers if each.port == int(at_first["port"]))
    other = next(each for each in group.servers if each is not now)
    for sentinel in group.sentinels:
        result = call(sentinel, tmp_path, "held", forget=True)
        assert result["changed"] and result["sentinel"]["config_epoch"] >= 1
        assert not call(sentinel, tmp_path, "held", forget=True)["changed"]
        with sentinel.client() as client:
            assert client.execute_command("SENTINEL", "MASTERS") in ([], {})
    where = [f"127.0.0.1:{other.port}"]
    now.kill()
    with other.client() as client:
        client.execute_command("REPLICAOF", "NO", "ONE")
    for sentinel in group.sentinels:
        assert call(sentinel, tmp_path, "held", addresses=where)["sentinel"]["held"]
    for sentinel in group.sentinels:
        assert call(sentinel, tmp_path, "released", addresses=where, quorum=False)["changed"]
    for sentinel in group.sentinels:
        assert not call(sentinel, tmp_path, "released", addresses=where)["changed"]
        found = sentinel_master(sentinel)
        assert (found["ip"], int(found["port"])) == ("127.0.0.1", other.port)
        same = ("quorum", "down-after-milliseconds", "failover-timeout", "parallel-syncs")
        assert {name: found[name] for name in same} == {name: at_first[name] for name in same}
        assert f"sentinel auth-pass {NAME} secret" in sentinel.conf_path.read_text().replace('"', "")


def test_a_threshold_set_meanwhile_counts(any_build: Build, make_server: Any, tmp_path: Path) -> None:
    """A journal that a killed run left does not bring back what an operator has changed since."""
    group = make_group(make_server, any_build, replicas=0, sentinels=1)
    (sentinel,) = group.sentinels
    call(sentinel, tmp_path, "held")
    group.set_in_sentinels("down-after-milliseconds", 7000)
    assert call(sentinel, tmp_path, "held")["changed"]
    call(sentinel, tmp_path, "released")
    assert down_after(group) == ["7000"]


def test_what_is_refused(any_build: Build, make_server: Any, tmp_path: Path) -> None:
    group = make_group(make_server, any_build, replicas=0, sentinels=1)
    (sentinel,) = group.sentinels
    with pytest.raises(ModuleFailed, match="watches no primary with the name other"):
        call(sentinel, tmp_path, "held", master_name="other")
    with pytest.raises(ModuleFailed, match="is no Sentinel"):
        call(group.primary, tmp_path, "held")
    call(sentinel, tmp_path, "held")
    (journal,) = (tmp_path / "sentinels").glob("*.json")
    assert json.loads(journal.read_text())["options"][0] == ["down-after-milliseconds", str(PATIENT_MS)]
    assert journal.stat().st_mode & 0o777 == 0o600
    kept = journal.read_bytes()
    journal.unlink()
    for state in ("held", "released"):
        with pytest.raises(ModuleFailed, match="is gone"):
            call(sentinel, tmp_path, state)
    journal.write_bytes(kept)
    with pytest.raises(ModuleFailed, match="has no quorum"):
        group.set_in_sentinels("quorum", 5)
        call(sentinel, tmp_path, "released", wait_timeout=1)
    assert down_after(group) == [str(PATIENT_MS)]


def test_one_that_was_made_to_forget_and_left_so_is_mended(any_build: Build, make_server: Any, tmp_path: Path) -> None:
    """Killed between REMOVE and MONITOR: a look tells what it watched, and the release has it watch that again."""
    group = make_group(make_server, any_build, replicas=0, sentinels=1, requirepass="secret")
    (sentinel,) = group.sentinels
    at_first = sentinel_master(sentinel)
    call(sentinel, tmp_path, "held", forget=True)
    look = {**sentinel.connection, "instance": f"s-{sentinel.port}", "state_dir": str(tmp_path)}
    (master,) = run_module("redis_instance_info", look)["instance"]["topology"]["sentinel"]["masters"]
    assert (master["name"], master["port"], master["forgotten"]) == (NAME, group.primary.port, True)
    assert master["down_after_ms"] == PATIENT_MS and not master["ok"]

    assert call(sentinel, tmp_path, "released", check=True)["changed"]
    result = call(sentinel, tmp_path, "released")
    assert result["changed"] and result["sentinel"]["quorum_ok"] and not result["sentinel"]["held"]
    found = sentinel_master(sentinel)
    same = ("ip", "port", "quorum", "down-after-milliseconds", "failover-timeout", "parallel-syncs")
    assert {name: found[name] for name in same} == {name: at_first[name] for name in same}
    assert f"sentinel auth-pass {NAME} secret" in sentinel.conf_path.read_text().replace('"', "")


def test_one_that_lost_its_file_watches_as_the_others_do(any_build: Build, make_server: Any, tmp_path: Path) -> None:
    group = make_group(make_server, any_build, replicas=0, sentinels=1, requirepass="secret")
    (sentinel,) = group.sentinels
    at_first = sentinel_master(sentinel)
    sentinel.conf_path.unlink()  # while it runs: it has all in its memory, and writes it again
    call(sentinel, tmp_path, "held")
    assert f"sentinel auth-pass {NAME} secret" in sentinel.conf_path.read_text().replace('"', "")
    call(sentinel, tmp_path, "released")

    sentinel.destroy()  # while it is down: started with nothing but its port and its directory
    kept = [line for line in sentinel.conf_path.read_text().splitlines() if not line.startswith("sentinel")]
    sentinel.conf_path.write_text("\n".join([*kept, ""]))
    sentinel.start()
    with pytest.raises(ModuleFailed, match="watches no primary with the name shop"):
        call(sentinel, tmp_path, "released")
    like = {"quorum": 1, "down_after_ms": PATIENT_MS, "failover_timeout_ms": 10_000, "parallel_syncs": 1}
    where = [f"127.0.0.1:{group.primary.port}"]
    with pytest.raises(ModuleFailed, match="is still held"):  # without the password it sees nothing
        call(sentinel, tmp_path, "released", addresses=where, like=like, wait_timeout=1)
    assert down_after(group) == [HELD]
    with sentinel.client() as client:
        client.execute_command("SENTINEL", "REMOVE", NAME)
    for journal in (tmp_path / "sentinels").glob("*.json"):
        journal.unlink()
    result = call(sentinel, tmp_path, "released", addresses=where, like={**like, "auth_pass": "secret"})
    assert result["changed"] and result["sentinel"]["quorum_ok"] and list((tmp_path / "sentinels").glob("*.json")) == []
    found = sentinel_master(sentinel)
    same = ("ip", "port", "quorum", "down-after-milliseconds", "failover-timeout", "parallel-syncs")
    assert {name: found[name] for name in same} == {name: at_first[name] for name in same}
