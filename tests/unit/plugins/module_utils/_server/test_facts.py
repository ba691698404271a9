# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""INFO, and what is read from it."""

from __future__ import annotations

import pytest
from ansible_collections.globalscope.redis_backup.plugins.module_utils._server.connection import parse_info
from ansible_collections.globalscope.redis_backup.plugins.module_utils._server.facts import (
    Facts,
    parse_keyspace,
    parse_modules,
    parse_version,
)
from hypothesis import given
from hypothesis import strategies as st

NAMES = st.from_regex(r"[a-z][a-z0-9_]{0,20}", fullmatch=True)
VALUES = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\r\n"), max_size=30)

REDIS = b"""# Server\r
redis_version:7.0.15\r
redis_mode:standalone\r
process_id:41\r
executable:/usr/bin/redis-server\r
config_file:/etc/redis/redis.conf\r
\r
# Persistence\r
loading:0\r
async_loading:0\r
rdb_changes_since_last_save:3\r
rdb_bgsave_in_progress:0\r
rdb_last_save_time:1795385360\r
rdb_last_bgsave_status:ok\r
aof_enabled:1\r
aof_rewrite_in_progress:0\r
aof_last_bgrewrite_status:ok\r
aof_last_write_status:err\r
aof_current_size:516\r
\r
# Replication\r
role:master\r
\r
# Modules\r
module:name=search,ver=20811,api=1,filters=0,usedby=[],using=[],options=[]\r
module:name=ReJSON,ver=20609,api=1,filters=0\r
\r
# Keyspace\r
db0:keys=25001,expires=10,avg_ttl=3600000\r
db9:keys=2,expires=0,avg_ttl=0,subexpiry=0\r
"""
VALKEY = b"""# Server\r
redis_version:7.2.4\r
server_name:valkey\r
valkey_version:9.1.2\r
valkey_release_stage:ga\r
server_mode:cluster\r
# Replication\r
role:slave\r
master_host:10.0.0.1\r
master_port:6379\r
master_link_status:down\r
master_sync_in_progress:1\r
# Keyspace\r
db0:keys=5,expires=1,avg_ttl=0,keys_with_volatile_items=0\r
"""


@given(st.dictionaries(NAMES, VALUES), st.booleans())
def test_info_round_trip(fields: dict[str, str], sections: bool) -> None:
    lines = []
    for name, value in fields.items():
        lines += ["# Section", ""] if sections else []
        lines.append(f"{name}:{value}")
    assert parse_info("\r\n".join([*lines, ""]).encode()) == fields


@given(st.binary())
def test_any_bytes_are_parsed(reply: bytes) -> None:
    assert all(isinstance(value, str) for value in parse_info(reply).values())


def test_redis() -> None:
    facts = Facts(parse_info(REDIS))
    assert (facts.flavour, facts.version_text, facts.version) == ("redis", "7.0.15", (7, 0, 15))
    assert (facts.mode, facts.role, facts.loading, facts.syncing, facts.link_up) == (
        "standalone",
        "primary",
        False,
        False,
        True,
    )
    assert facts.keyspace == {"db0": {"keys": 25001, "expires": 10}, "db9": {"keys": 2, "expires": 0}}
    assert facts.keys == 25003
    assert parse_modules(facts.info) == [{"name": "search", "ver": "20811"}, {"name": "ReJSON", "ver": "20609"}]
    assert facts.persistence() == {
        "aof_enabled": True,
        "aof_rewrite_in_progress": False,
        "aof_last_write_ok": False,
        "aof_last_rewrite_ok": True,
        "aof_current_size": 516,
        "rdb_bgsave_in_progress": False,
        "rdb_last_bgsave_ok": True,
        "rdb_last_save_time": 1795385360,
        "rdb_changes_since_last_save": 3,
        "loading": False,
    }


def test_valkey_hides_behind_redis_7_2_4() -> None:
    facts = Facts(parse_info(VALKEY))
    assert (facts.flavour, facts.version_text, facts.version) == ("valkey", "9.1.2", (9, 1, 2))
    assert (facts.mode, facts.role, facts.syncing, facts.link_up) == ("cluster", "replica", True, False)
    assert facts.keys == 5


@pytest.mark.parametrize(
    ("info", "loading"),
    [({}, False), ({"loading": "0"}, False), ({"loading": "1"}, True), ({"async_loading": "1"}, True)],
)
def test_loading(info: dict[str, str], loading: bool) -> None:
    assert Facts(info).loading is loading


def test_numbers() -> None:
    facts = Facts({"a": "12", "b": "1.5", "c": "", "d": "-1"})
    assert [facts.number(name) for name in "abcde"] == [12, 0, 0, -1, 0]
    assert facts.number("b", 7) == facts.number("e", 7) == 7


def test_flags() -> None:
    facts = Facts({"good": "ok", "bad": "err"})
    assert facts.flag_ok("good") and facts.flag_ok("absent") and not facts.flag_ok("bad")


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("7.0.15", (7, 0, 15)),
        (" 8.2\n", (8, 2)),
        ("8.0.0-rc1", (8, 0, 0)),
        ("7.2.4.1", (7, 2, 4, 1)),
        ("255.255.255", (255, 255, 255)),
        ("unstable", ()),
        ("", ()),
    ],
)
def test_versions(text: str, version: tuple[int, ...]) -> None:
    assert parse_version(text) == version


def test_keyspace_takes_databases_only() -> None:
    assert parse_keyspace({"db0": "keys=1", "dbsize": "keys=2", "xdb1": "keys=3", "db1": ""}) == {
        "db0": {"keys": 1, "expires": 0},
        "db1": {"keys": 0, "expires": 0},
    }
