# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings that would lose keys are refused; their nearest neighbours that would not are allowed."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.globalscope.redis_backup.plugins.module_utils._enforce.guards import guard
from ansible_collections.globalscope.redis_backup.plugins.module_utils._enforce.same import conflicting_arguments
from ansible_collections.globalscope.redis_backup.plugins.module_utils._enforce.situation import Situation
from ansible_collections.globalscope.redis_backup.plugins.module_utils._enforce.wish import wishes_of
from ansible_collections.globalscope.redis_backup.plugins.module_utils._errors import ConfigError
from ansible_collections.globalscope.redis_backup.tests.unit.helpers.situations import (
    down,
    request,
    running,
    verdicts,
)

USED = {"used_memory": "1000"}
LRU = {"maxmemory-policy": "allkeys-lru"}
AOF = {"appendonly": "yes"}
ALLOWED = ""


def judge(settings: dict[str, Any], situation: Situation, why: str, **over: Any) -> None:
    """`why` is what the refusal says; empty when the wish is allowed."""
    asked = request(settings, **over)
    said = verdicts(asked, {"maxmemory": "0", "maxmemory-policy": "noeviction", "appendonly": "no", "databases": "16"})
    if not why:
        guard(asked, situation, said)
        return
    with pytest.raises(ConfigError, match=why) as error:
        guard(asked, situation, said)
    assert error.value.what.startswith("db-6379 (127.0.0.1:6379): ")
    assert error.value.untouched == "Nothing was changed" and error.value.hint


@pytest.mark.parametrize(
    ("settings", "live", "why"),
    [
        ({"maxmemory": "1099"}, LRU, "maxmemory 1099 with allkeys-lru would evict keys at once: 1000 bytes are in use"),
        ({"maxmemory": "1100"}, LRU, ALLOWED),
        ({"maxmemory": "0"}, LRU, ALLOWED),
        ({"maxmemory": None}, {**LRU, "maxmemory": "1050"}, ALLOWED),
        ({"maxmemory": "1"}, {}, ALLOWED),  # noeviction: writes are refused, and no key goes
        ({"maxmemory": "1", "maxmemory-policy": "volatile-ttl"}, {}, "would evict"),
        ({"maxmemory": "1", "maxmemory-policy": "noeviction"}, LRU, ALLOWED),
        ({"maxmemory-policy": "allkeys-lfu"}, {"maxmemory": "1050"}, "maxmemory 1050 with allkeys-lfu"),
        ({"maxmemory-policy": "allkeys-lfu"}, {"maxmemory": "0"}, ALLOWED),
        ({"maxmemory-policy": None}, {**LRU, "maxmemory": "1050"}, ALLOWED),
        ({"maxmemory": "1050", **LRU}, {**LRU, "maxmemory": "1050"}, ALLOWED),  # so it is already
        ({"maxmemory": "1049"}, {**LRU, "maxmemory": "1050"}, "would evict"),
        ({"save": ""}, {**LRU, "maxmemory": "1"}, ALLOWED),
    ],
)
def test_eviction(settings: dict[str, Any], live: dict[str, str], why: str) -> None:
    judge(settings, running(live, info=USED), why)
    judge(settings, running(live, info=USED), ALLOWED, allow_eviction=True)
    judge(settings, down(), ALLOWED)


@pytest.mark.parametrize(
    ("number", "info", "why"),
    [
        (3, {"db3": "keys=1,expires=0"}, "database 3 holds keys"),
        (4, {"db3": "keys=1,expires=0"}, ALLOWED),
        (1, {}, ALLOWED),
        (1, {"db0": ""}, ALLOWED),
        (9, {"db10": "keys=1,expires=0", "db9": "keys=1,expires=0"}, "Set databases to 11 or more"),
        (None, {"db15": "keys=1,expires=0"}, ALLOWED),
        (None, {"db16": "keys=1,expires=0"}, "databases 16 would keep the server from starting"),
    ],
)
def test_databases(number: int | None, info: dict[str, str], why: str) -> None:
    judge({"databases": number}, running(info=info), why)


@pytest.mark.parametrize(
    ("number", "text", "over", "why"),
    [
        (15, "", {"has_rdb": True}, "cannot be lowered from 16 to 15 while the server is down"),
        (16, "", {"has_rdb": True}, ALLOWED),
        (15, "", {}, ALLOWED),
        (31, "databases 32\n", {"has_aof": True}, "from 32 to 31"),
        (32, "databases 32\n", {"has_aof": True}, ALLOWED),
    ],
)
def test_databases_of_a_server_that_is_down(number: int, text: str, over: dict[str, bool], why: str) -> None:
    judge({"databases": number}, down(text, **over), why)


NO_KEYS = {"db0": ""}


@pytest.mark.parametrize("name", ["replicaof", "slaveof"])
def test_a_primary_with_data_becomes_no_replica(name: str) -> None:
    wish = {name: "10.0.0.1 6379"}
    why = f"{name} 10.0.0.1 6379 would replace its data set by another's"
    judge(wish, running({name: ""}), why)
    judge(wish, running({name: "10.0.0.2 6379"}), why)
    judge(wish, running({name: "10.0.0.1 6379"}), ALLOWED)
    judge(wish, running({name: ""}, info=NO_KEYS), ALLOWED)
    judge(wish, running({name: ""}, info=NO_KEYS, has_rdb=True), why)
    judge({name: "no one"}, running({name: ""}), ALLOWED)
    judge({name: None}, running({name: "10.0.0.2 6379"}), ALLOWED)
    judge(wish, down(has_rdb=True), why)
    judge(wish, down("slaveof 10.0.0.1 6379\n", has_rdb=True), ALLOWED)
    judge(wish, down(), ALLOWED)


def test_cluster() -> None:
    yes, no = {"cluster-enabled": True}, {"cluster-enabled": False}
    why = "would not keep its keys served"
    judge(yes, running(), f"cluster-enabled yes {why}")
    judge(no, running(), ALLOWED)
    judge(yes, running(info=NO_KEYS), ALLOWED)
    judge(no, running({"cluster-enabled": "yes"}), f"cluster-enabled no {why}")
    judge(yes, running({"cluster-enabled": "yes"}), ALLOWED)
    judge(yes, down(has_rdb=True), why)
    judge(yes, down("cluster-enabled yes\n", has_rdb=True), ALLOWED)
    judge(yes, down(), ALLOWED)


@pytest.mark.parametrize(
    ("wanted", "text", "over", "why"),
    [
        (True, "", {"has_rdb": True}, "it is down, and with appendonly yes its next start would not load the data"),
        (True, "", {"has_aof": True}, "it is down, and with appendonly yes"),
        (True, "", {}, ALLOWED),
        (True, "appendonly yes\n", {"has_rdb": True}, ALLOWED),
        (False, "appendonly yes\n", {"has_aof": True}, "it is down, and with appendonly no"),
        (False, "appendonly yes\n", {"has_rdb": True}, ALLOWED),
        (False, "", {"has_aof": True}, ALLOWED),
        (None, "appendonly yes\n", {"has_aof": True}, "it is down, and with appendonly no"),
        (None, "", {"has_aof": True}, ALLOWED),
    ],
)
def test_the_aof_of_a_server_that_is_down(wanted: bool | None, text: str, over: dict[str, bool], why: str) -> None:
    judge({"appendonly": wanted}, down(text, **over), why)


@pytest.mark.parametrize(
    ("wanted", "live", "over", "why"),
    [
        (True, {}, {}, ALLOWED),
        (True, {}, {"apply": "live"}, ALLOWED),
        (True, {}, {"apply": "file"}, "can only be set together with the running server"),
        (True, AOF, {"apply": "file"}, ALLOWED),
        (False, AOF, {}, ALLOWED),
        (False, AOF, {"apply": "file"}, "can only be set together"),
        (False, AOF, {"apply": "live"}, "would leave a stale AOF"),
        (False, {}, {"apply": "live"}, ALLOWED),
        (False, {}, {"apply": "file"}, ALLOWED),
    ],
)
def test_the_aof_of_a_server_that_runs(wanted: bool, live: dict[str, str], over: dict[str, str], why: str) -> None:
    judge({"appendonly": wanted}, running(live), why, **over)


def test_the_aof_of_a_server_without_a_redis_conf() -> None:
    """Its command line may say --appendonly yes."""
    judge({"appendonly": False}, running(AOF, None, {"config_file": ""}), "would leave a stale AOF", apply="live")


def test_the_aof_where_config_is_forbidden() -> None:
    judge({"appendonly": True}, running(config_allowed=False), "can only be set together")
    judge({"appendonly": False}, running(config_allowed=False), ALLOWED)
    judge({"appendonly": True}, running(AOF, config_allowed=False), ALLOWED)


def test_apply_live_sets_only_what_can_be_set() -> None:
    live = {"databases": "16", "tcp-backlog": "511"}
    judge({"databases": "32"}, running(live), "databases cannot be changed while the server runs", apply="live")
    judge({"databases": "16"}, running(live), ALLOWED, apply="live")
    judge({"databases": "32"}, running(live), ALLOWED, apply="file")
    judge({"maxmemory": "5"}, running(live), ALLOWED, apply="live")


def test_a_directive_that_is_skipped_is_not_judged() -> None:
    guard(request({"databases": 1, "appendonly": True}), down(has_rdb=True), {})


@pytest.mark.parametrize(
    ("arguments", "settings", "conflict"),
    [
        ({}, {"port": 1}, ""),
        ({"port": "6379"}, {"port": 6380}, "--port 6379"),
        ({"port": "6379"}, {"port": 6379}, ""),
        ({"port": "6379"}, {"port": None}, "--port 6379"),
        ({"port": "6379"}, {"maxmemory": 1}, ""),
        ({"maxmemory": "1gb"}, {"maxmemory": 1 << 30}, ""),
        ({"supervised": "systemd", "daemonize": "no"}, {"daemonize": False, "supervised": "systemd"}, ""),
        ({"slave-read-only": "no"}, {"replica-read-only": True}, "--slave-read-only no"),
        ({"save": "900 1"}, {"save": ["900 1", "300 10"]}, "--save 900 1"),
        ({"bind": "127.0.0.1  ::1"}, {"bind": "127.0.0.1 ::1"}, ""),
        ({"requirepass": "s3cret"}, {"requirepass": "other"}, "--requirepass (hidden)"),
    ],
)
def test_the_command_line_beats_redis_conf(arguments: dict[str, str], settings: dict[str, Any], conflict: str) -> None:
    assert conflicting_arguments(arguments, wishes_of(settings)) == conflict
