# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A node's place among others."""

from __future__ import annotations

from ansible_collections.globalscope.redis_backup.plugins.module_utils._server.facts import Facts
from ansible_collections.globalscope.redis_backup.plugins.module_utils._server.latency import percentile
from ansible_collections.globalscope.redis_backup.plugins.module_utils._server.topology import topology
from hypothesis import given
from hypothesis import strategies as st


def test_primary_with_replicas() -> None:
    info = {
        "role": "master",
        "connected_slaves": "2",
        "slave0": "ip=10.0.0.2,port=6379,state=online,offset=1042,lag=0",
        "slave1": "ip=10.0.0.3,port=6380,state=wait_bgsave,offset=0,lag=0,type=rdb-channel",
        "slave2": "ip=not counted",
    }
    assert topology(Facts(info)) == {
        "mode": "standalone",
        "role": "primary",
        "primary": None,
        "replicas": [
            {"host": "10.0.0.2", "port": 6379, "state": "online", "offset": 1042},
            {"host": "10.0.0.3", "port": 6380, "state": "wait_bgsave", "offset": 0},
        ],
    }


def test_replica() -> None:
    info = {
        "role": "slave",
        "master_host": "10.0.0.1",
        "master_port": "6379",
        "master_link_status": "up",
        "master_sync_in_progress": "0",
        "connected_slaves": "0",
    }
    found = topology(Facts(info))
    assert found["primary"] == {"host": "10.0.0.1", "port": 6379, "link_up": True, "sync_in_progress": False}
    assert found["replicas"] == []


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=200), st.floats(0, 1))
def test_percentile(values: list[float], share: float) -> None:
    found = percentile(values, share)
    assert found in values
    assert sum(v <= found for v in values) >= share * len(values) - 1e-9
    assert percentile(values, 1) == max(values)
    assert percentile(values, 0) == min(values)
