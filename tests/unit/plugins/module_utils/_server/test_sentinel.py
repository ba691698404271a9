# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a Sentinel says, and what its file says."""

from __future__ import annotations

from ansible_collections.globalscope.redis_backup.plugins.module_utils._server.sentinel import (
    is_sentinel_conf,
    master_names,
    master_result,
    masters_in,
    my_id_in,
)
from hypothesis import given
from hypothesis import strategies as st

MASTER = {
    "name": "shop",
    "ip": "10.0.0.1",
    "port": "6379",
    "flags": "master",
    "num-slaves": "2",
    "num-other-sentinels": "2",
    "quorum": "2",
    "down-after-milliseconds": "30000",
    "failover-timeout": "180000",
    "parallel-syncs": "1",
    "config-epoch": "7",
    "last-ok-ping-reply": "27",
}


def flat(fields: dict[str, str]) -> list[bytes]:
    """As Sentinel sends it."""
    return [word.encode() for pair in fields.items() for word in pair]


def test_master() -> None:
    replicas = [flat({"name": "10.0.0.2:6379", "ip": "10.0.0.2", "port": "6379"})]
    sentinels = [flat({"name": "x", "ip": "10.0.0.5", "port": "26379"})]
    found = master_result(flat(MASTER), replicas, sentinels, b"OK 3 usable Sentinels. Quorum can be reached")
    assert found == {
        "name": "shop",
        "host": "10.0.0.1",
        "port": 6379,
        "ok": True,
        "flags": ["master"],
        "quorum": 2,
        "quorum_ok": True,
        "quorum_says": "OK 3 usable Sentinels. Quorum can be reached",
        "num_sentinels": 3,
        "num_replicas": 2,
        "down_after_ms": 30000,
        "failover_timeout_ms": 180000,
        "parallel_syncs": 1,
        "config_epoch": 7,
        "last_ok_ping_ms": 27,
        "replicas": ["10.0.0.2:6379"],
        "sentinels": ["10.0.0.5:26379"],
    }


def test_master_in_trouble() -> None:
    found = master_result(flat({**MASTER, "flags": "s_down,master"}), None, None, "NOQUORUM 1 usable Sentinels")
    assert found is not None
    assert (found["ok"], found["flags"], found["quorum_ok"]) == (False, ["s_down", "master"], False)
    assert master_result(None, None, None, "") is None


def test_names_in_info() -> None:
    info = {
        "sentinel_masters": "2",
        "master0": "name=shop,status=ok,address=10.0.0.1:6379,slaves=2,sentinels=3",
        "master1": "name=cart,status=sdown,address=10.0.0.2:6379,slaves=0,sentinels=1",
        "master_host": "name=none",
    }
    assert master_names(info) == ["shop", "cart"]


CONF = [
    ("myid", "bfec2805"),
    ("monitor", "shop", "10.0.0.1", "6379", "2"),
    ("down-after-milliseconds", "shop", "5000"),
    ("known-replica", "shop", "10.0.0.2", "6379"),
    ("known-slave", "shop", "10.0.0.3", "6379"),
    ("known-sentinel", "shop", "10.0.0.5", "26379", "abc"),
    ("known-sentinel", "gone", "10.0.0.6", "26379", "abc"),
    ("monitor", "broken"),
    ("current-epoch", "0"),
]


def test_file() -> None:
    assert is_sentinel_conf(CONF)
    assert not is_sentinel_conf([])
    assert my_id_in(CONF) == "bfec2805"
    (found,) = masters_in(CONF)
    assert (found["host"], found["port"], found["quorum"], found["down_after_ms"]) == ("10.0.0.1", 6379, 2, 5000)
    assert found["replicas"] == ["10.0.0.2:6379", "10.0.0.3:6379"]
    assert found["sentinels"] == ["10.0.0.5:26379"]
    assert (found["num_replicas"], found["num_sentinels"]) == (2, 2)
    assert not found["ok"]


WORDS = st.sampled_from(
    ["monitor", "known-replica", "known-sentinel", "config-epoch", "shop", "10.0.0.1", "6379", "", "²"]
)


@given(st.lists(st.lists(WORDS, max_size=6)))
def test_whatever_the_lines_say(lines: list[list[str]]) -> None:
    for found in masters_in(lines):
        assert isinstance(found["port"], int)
    my_id_in(lines)
