# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a server that has loaded a backup must hold."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.globalscope.redis_backup.plugins.module_utils._server.facts import Facts
from ansible_collections.globalscope.redis_backup.plugins.module_utils._verify.counts import (
    Loaded,
    count_problems,
    digest_problem,
    functions_problem,
)

KEYS = {
    "total": 10,
    "expires": 4,
    "databases": {"db0": {"keys": 7, "expires": 4}, "db3": {"keys": 3, "expires": 0}},
    "databases_exact": True,
}
SERVER = {"flavour": "redis", "version": "7.0.15"}


def loaded(words: str = "", **info: str) -> Loaded:
    return Loaded(Facts(info), words)


def test_all_is_there() -> None:
    whole = loaded(db0="keys=7,expires=4", db3="keys=3,expires=0", rdb_last_load_keys_loaded="10")
    assert count_problems(KEYS, whole) == []
    assert not whole.fields_expire


def test_keys_past_their_time_are_gone() -> None:
    some = loaded(
        db0="keys=4,expires=1", db3="keys=3,expires=0", rdb_last_load_keys_loaded="8", rdb_last_load_keys_expired="2"
    )
    assert count_problems(KEYS, some) == []


@pytest.mark.parametrize(
    "info, words",
    [
        ({"db0": "keys=6,expires=4", "db3": "keys=3,expires=0"}, "5 keys without an expiry time, its manifest says 6"),
        ({"db0": "keys=8,expires=4", "db3": "keys=3,expires=0"}, "7 keys without"),
        ({"db0": "keys=8,expires=5", "db3": "keys=3,expires=0"}, "5 keys with an expiry time, its manifest says 4"),
        ({"db0": "keys=8,expires=4", "db3": "keys=2,expires=0"}, "db3 holds 2 keys without"),
        ({"db0": "keys=7,expires=4", "db4": "keys=3,expires=0"}, "db4 holds 3 keys without"),
        ({}, "0 keys without"),
    ],
)
def test_other_keys(info: dict[str, str], words: str) -> None:
    assert words in "; ".join(count_problems(KEYS, loaded(**info)))


def test_databases_that_were_counted_a_moment_too_late() -> None:
    other = loaded(db0="keys=8,expires=4", db3="keys=2,expires=0")
    assert count_problems({**KEYS, "databases_exact": False}, other) == []


def test_a_load_that_left_keys_out() -> None:
    short = loaded(db0="keys=7,expires=4", db3="keys=3,expires=0", rdb_last_load_keys_loaded="9")
    assert "loaded 9 keys" in count_problems(KEYS, short)[0]
    empty = loaded("Done loading RDB, keys loaded: 9, keys expired: 0, empty keys skipped: 1.")
    assert any("1 empty keys" in problem for problem in count_problems(KEYS, empty))


def test_hashes_whose_fields_have_expired_may_be_gone() -> None:
    """Redis 8.2 loads them and removes them; Valkey 9 does not load them, and says so in its log."""
    redis = loaded(db0="keys=6,expires=4,subexpiry=0", db3="keys=3,expires=0", expired_subkeys="3")
    assert count_problems(KEYS, redis) == [] and redis.fields_expire
    log = "* Done loading RDB, keys loaded: 9, keys expired: 0, all fields expired hashes: 1."
    valkey = loaded(log, db0="keys=6,expires=4", db3="keys=3,expires=0", rdb_last_load_keys_loaded="9")
    assert count_problems(KEYS, valkey) == [] and valkey.fields_expire
    two = loaded(log, db0="keys=5,expires=4", db3="keys=3,expires=0", rdb_last_load_keys_loaded="8")
    assert len(count_problems(KEYS, two)) == 3
    assert loaded(db0="keys=6,expires=4,subexpiry=1").fields_expire


def test_functions() -> None:
    manifest: dict[str, Any] = {"server": {"functions": 2}, "keys": KEYS}
    assert functions_problem(manifest, 2) is None
    assert functions_problem(manifest, 1) == "a server loaded 1 functions, its manifest says 2"
    assert functions_problem({**manifest, "server": {}}, 1) is None  # of an older version
    assert functions_problem({**manifest, "keys": {}}, 1) is None


def record(**over: Any) -> dict[str, Any]:
    return {"level": "restore", "ok": True, "time": "T", "keys": 10, "server": SERVER, "digest": "a", **over}


@pytest.mark.parametrize(
    "records, told",
    [
        ([], False),
        ([record()], False),
        ([record(digest="b")], True),
        ([record(digest="b"), record()], False),
        ([record(), record(digest="b")], True),
        ([record(digest="b", keys=11)], False),  # one has expired since
        ([record(digest="b", server={**SERVER, "version": "7.0.16"})], False),
        ([record(digest="b", ok=False)], False),
        ([record(digest="b", level="content")], False),
        ([record(digest=None)], False),
        ([{}], False),
    ],
)
def test_an_earlier_digest(records: list[dict[str, Any]], told: bool) -> None:
    why = digest_problem(records, "a", 10, SERVER)
    assert (why is not None) == told
    assert why is None or "other data than on T" in why


def test_an_aof_is_counted_while_it_is_written() -> None:
    """Its count may be wrong by `room`; what a server reads from an RDB in it says nothing."""
    keys = {"total": 10, "expires": 2, "databases": {"db0": {"keys": 10, "expires": 2}}, "databases_exact": False}
    info = {"rdb_last_load_keys_loaded": "3", "rdb_last_load_keys_expired": "0"}
    for held, expires, room, good in ((10, 2, 0, True), (9, 2, 0, False), (9, 2, 1, True), (12, 2, 2, True)):
        loaded = Loaded(Facts({**info, "db0": f"keys={held},expires={expires},avg_ttl=0"}))
        assert bool(count_problems({**keys, "room": room}, loaded)) is not good
    assert count_problems({**keys, "room": 1}, Loaded(Facts({**info, "db0": "keys=14,expires=4"})))
