# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""redis_replica on real servers: a replica that starts with nothing answers nothing until it holds all."""

from __future__ import annotations

from typing import Any

import pytest
import redis

from support.groups import following
from support.modules import ModuleFailed, run_module
from support.servers import Build, RedisProcess
from support.waiting import wait_for


def call(server: RedisProcess, state: str, *, check: bool = False, **params: Any) -> dict[str, Any]:
    arguments = {**server.connection, "config_file": str(server.conf_path), "state": state, "wait_timeout": 20}
    return run_module("redis_replica", {**arguments, **params}, check=check)


def info(server: RedisProcess) -> dict[str, Any]:
    found: dict[str, Any] = run_module("redis_instance_info", {**server.connection, "required": False})["instance"]
    return found


def answer(server: RedisProcess) -> str:
    """What a reader is told: how many keys there are, or why that is not said."""
    try:
        with server.client() as client:
            return str(client.dbsize())
    except redis.ResponseError as error:
        return type(error).__name__


def where(server: RedisProcess) -> list[str]:
    return [f"127.0.0.1:{server.port}"]


def test_an_empty_replica_answers_nothing_until_it_has_copied(build: Build, make_server: Any) -> None:
    primary = make_server(build)
    replica = make_server(build, conf={"replicaof": f"127.0.0.1 {primary.port}", "save": "3600 1"})
    primary.client().mset({f"key:{n}": n for n in range(100)})
    wait_for(lambda: following(replica) == primary.port, "the replica to follow")
    as_it_was = replica.conf_path.read_bytes()
    primary.stop()
    replica.stop()
    (replica.data_dir / "dump.rdb").unlink()

    assert call(replica, "fenced", check=True, addresses=where(primary))["changed"]
    assert replica.conf_path.read_bytes() == as_it_was
    assert call(replica, "fenced", addresses=where(primary), down=True)["replica"]["fenced"]
    assert not call(replica, "fenced", addresses=where(primary))["changed"]
    replica.start()
    assert answer(replica) == "MasterDownError"
    with pytest.raises(ModuleFailed, match="link to the primary is down"):
        call(replica, "following", addresses=where(primary), wait_timeout=0)

    primary.start()
    primary.client().mset({f"new:{n}": n for n in range(7)})
    result = call(replica, "following", addresses=where(primary))
    assert result["changed"] and result["replica"]["in_step"] and not result["replica"]["fenced"]
    told = info(primary)  # a primary takes another history when its first replica comes
    proof = {"replid": told["topology"]["replid"], "offset": told["topology"]["offset"], "keys": told["keys"]}
    assert call(replica, "following", addresses=where(primary), **proof)["replica"]["keys"] == 7
    with pytest.raises(ModuleFailed, match="history of another primary"):
        call(replica, "following", addresses=where(primary), wait_timeout=0, replid="0" * 40)
    with pytest.raises(ModuleFailed, match="bytes behind"):
        call(replica, "following", addresses=where(primary), wait_timeout=0, offset=proof["offset"] + 1000000)
    assert answer(replica) == "7" and following(replica) == primary.port
    assert replica.conf_path.read_bytes() == as_it_was
    assert replica.client().config_get("replica-serve-stale-data") == {"replica-serve-stale-data": "yes"}
    assert not call(replica, "following", addresses=where(primary))["changed"]


def test_a_former_primary_starts_as_a_replica(any_build: Build, make_server: Any) -> None:
    """Its redis.conf names no primary: without the fence it would serve its own, empty data set as the truth."""
    new, old = make_server(any_build), make_server(any_build)
    new.client().set("a", "1")
    old.stop()
    before = old.conf_path.read_bytes()
    call(old, "fenced", addresses=where(new))
    call(old, "released")
    assert old.conf_path.read_bytes() == before
    call(old, "fenced", addresses=where(new))
    old.start()
    assert call(old, "following", addresses=where(new))["replica"]["in_step"]
    assert answer(old) == "1"
    old.stop()
    old.start()
    wait_for(lambda: following(old) == new.port, "it to be a replica after a restart")


def test_data_moved_aside_comes_back(any_build: Build, make_server: Any) -> None:
    primary = make_server(any_build)
    replica = make_server(any_build, conf={"appendonly": "yes"})
    replica.client().set("only", "here")
    replica.stop()
    result = call(replica, "fenced", addresses=where(primary), set_aside=True)
    assert "aside into" in str(result["actions"])
    assert [each.name for each in replica.data_dir.iterdir()] == [".redis_backup"]
    assert not call(replica, "fenced", addresses=where(primary), set_aside=True)["changed"]
    replica.start()
    assert answer(replica) in ("MasterDownError", "0")  # its primary is empty
    call(replica, "following", addresses=where(primary))
    replica.stop()
    assert not any("back" in words for words in call(replica, "released")["actions"])

    again = call(replica, "fenced", addresses=where(primary), set_aside=True)
    assert again["changed"]
    assert "put" in str(call(replica, "released")["actions"])
    kept = next(replica.data_dir.glob(".redis_backup/*/previous/appendonlydir"), None)
    assert kept is not None, "what was set aside first stays for good"


def test_a_primary_with_keys_is_not_made_a_replica_unasked(any_build: Build, make_server: Any) -> None:
    primary, other = make_server(any_build), make_server(any_build)
    other.client().set("mine", "1")
    with pytest.raises(ModuleFailed, match="1 keys of its own"):
        call(other, "following", addresses=where(primary))
    assert other.client().get("mine") == b"1"
    assert call(other, "following", addresses=where(primary), replace_data=True)["replica"]["in_step"]
    assert other.client().get("mine") is None


def test_a_replica_is_promoted_running_and_down(any_build: Build, make_server: Any) -> None:
    primary = make_server(any_build)
    replicas = [make_server(any_build, conf={"replicaof": f"127.0.0.1 {primary.port}"}) for _number in range(2)]
    primary.client().set("a", "1")
    for replica in replicas:
        wait_for(lambda replica=replica: following(replica) == primary.port, "it to follow")
    running, down = replicas
    assert call(running, "promoted")["replica"]["role"] == "primary"
    assert not call(running, "promoted")["changed"]
    assert "replicaof" not in running.conf_path.read_text()
    down.stop()
    before = down.conf_path.read_bytes()
    call(down, "promoted")
    assert info(down)["topology"]["role"] != "replica"
    call(down, "released")
    assert down.conf_path.read_bytes() == before
    call(down, "promoted")
    down.start()
    assert call(down, "promoted")["replica"]["role"] == "primary"
    assert "replicaof" not in down.conf_path.read_text()
