# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A node's place among others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.globalscope.redis_backup.plugins.module_utils._server.connection import Login
from ansible_collections.globalscope.redis_backup.plugins.module_utils._server.facts import Facts
from ansible_collections.globalscope.redis_backup.plugins.module_utils._server.instance import Place, find_instance
from ansible_collections.globalscope.redis_backup.plugins.module_utils._server.latency import percentile
from ansible_collections.globalscope.redis_backup.plugins.module_utils._server.topology import (
    replication,
    role_of,
    topology,
)
from hypothesis import given
from hypothesis import strategies as st


def test_primary_with_replicas() -> None:
    info = {
        "role": "master",
        "connected_slaves": "2",
        "slave0": "ip=10.0.0.2,port=6379,state=online,offset=1042,lag=0",
        "slave1": "ip=10.0.0.3,port=6380,state=wait_bgsave,offset=0,lag=3,type=rdb-channel",
        "slave2": "ip=not counted",
        "master_replid": "ab" * 20,
        "master_repl_offset": "1050",
    }
    assert replication(Facts(info)) == {
        "mode": "standalone",
        "role": "primary",
        "primary": None,
        "replicas": [
            {"host": "10.0.0.2", "port": 6379, "state": "online", "offset": 1042, "lag": 0},
            {"host": "10.0.0.3", "port": 6380, "state": "wait_bgsave", "offset": 0, "lag": 3},
        ],
        "replid": "ab" * 20,
        "offset": 1050,
    }


def test_replica() -> None:
    info = {
        "role": "slave",
        "master_host": "10.0.0.1",
        "master_port": "6379",
        "master_link_status": "up",
        "master_last_io_seconds_ago": "4",
        "master_sync_in_progress": "0",
        "slave_repl_offset": "77",
        "slave_priority": "0",
        "master_repl_offset": "99",
        "connected_slaves": "0",
    }
    found = replication(Facts(info))
    assert found["primary"] == {
        "host": "10.0.0.1",
        "port": 6379,
        "link_up": True,
        "sync_in_progress": False,
        "last_io_seconds": 4,
        "priority": 0,
    }
    assert found["replicas"] == []
    assert found["offset"] == 77


def test_sentinel_is_no_primary() -> None:
    assert role_of(Facts({"redis_mode": "sentinel"})) == "sentinel"


# --- what files say of an instance that is down ---


def of_files(folder: Path, conf: str | None, port: int = 1) -> dict[str, Any]:
    path = folder / "redis.conf"
    if conf is not None:
        path.write_text(conf)
    place = Place("db", config_file=str(path))
    return topology(find_instance(Login(port=port), place, may_be_down=True))


NODES = """\
aaaa 10.0.0.1:6379@16379,,tls-port=0,shard-id=s1 master - 0 1 1 connected 0-16383
bbbb 10.0.0.2:6379@16379,,tls-port=0,shard-id=s1 myself,slave aaaa 0 1 1 connected
vars currentEpoch 9 lastVoteEpoch 0
"""


@pytest.mark.parametrize(
    ("conf", "role", "primary"),
    [
        ("port 6379\n", "primary", None),
        ("port 6379\nreplicaof 10.0.0.1 6380\n", "replica", ("10.0.0.1", 6380)),
        ("slaveof 10.0.0.1 6380\nreplicaof no one\n", "primary", None),
        ('replicaof "10.0.0.9" "1"\nslaveof 10.0.0.1 6380\n', "replica", ("10.0.0.1", 6380)),
        ("replicaof 10.0.0.1\n", "primary", None),
    ],
)
def test_files(tmp_path: Path, conf: str, role: str, primary: tuple[str, int] | None) -> None:
    found = of_files(tmp_path, conf)
    assert (found["mode"], found["role"], found["source"]) == ("standalone", role, "files")
    told = found["primary"]
    assert (told and (told["host"], told["port"])) == primary
    assert not told or not told["link_up"]
    assert found["offset"] is None


def test_files_of_a_cluster_node(tmp_path: Path) -> None:
    (tmp_path / "n.conf").write_text(NODES)
    found = of_files(tmp_path, f"cluster-enabled yes\ndir {tmp_path}\ncluster-config-file n.conf\n")
    assert (found["mode"], found["role"], found["source"]) == ("cluster", "replica", "files")
    assert found["primary"]["host"] == "10.0.0.1"
    assert (found["cluster"]["my_id"], found["cluster"]["shard_id"], found["cluster"]["epoch"]) == ("bbbb", "s1", 9)
    (tmp_path / "n.conf").unlink()
    found = of_files(tmp_path, None)
    assert (found["mode"], found["role"], found["cluster"]["nodes"]) == ("cluster", "", [])


def test_files_of_a_sentinel(tmp_path: Path) -> None:
    conf = "port 26380\nsentinel monitor shop 10.0.0.1 6379 2\nsentinel announce-ip 203.0.113.5\nsentinel myid abc\n"
    found = of_files(tmp_path, conf)
    assert (found["mode"], found["role"]) == ("sentinel", "sentinel")
    assert found["sentinel"]["my_id"] == "abc"
    assert found["sentinel"]["masters"][0]["name"] == "shop"
    assert "203.0.113.5:26380" in found["addresses"]


def test_nothing_is_known(tmp_path: Path) -> None:
    found = of_files(tmp_path, None)
    assert (found["source"], found["role"], found["primary"]) == ("nothing", "", None)
    assert "127.0.0.1:1" in found["addresses"]


def test_addresses(tmp_path: Path) -> None:
    """All of this host's, and what is announced, with each port."""
    found = of_files(tmp_path, "port 7000\nreplica-announce-ip db.example\nslave-announce-port 7001\n", port=2)
    for address in ("127.0.0.1:7000", "127.0.0.1:7001", "127.0.0.1:2", "db.example:7001"):
        assert address in found["addresses"]
    elsewhere = topology(
        find_instance(Login(host="203.0.113.9", port=9, connect_timeout=0.2), Place("db"), may_be_down=True)
    )
    assert elsewhere["addresses"] == ["203.0.113.9:9"]


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=200), st.floats(0, 1))
def test_percentile(values: list[float], share: float) -> None:
    found = percentile(values, share)
    assert found in values
    assert sum(v <= found for v in values) >= share * len(values) - 1e-9
    assert percentile(values, 1) == max(values)
    assert percentile(values, 0) == min(values)
