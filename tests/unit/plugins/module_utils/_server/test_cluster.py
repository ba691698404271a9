# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What CLUSTER NODES and nodes.conf tell, and when a cluster cannot be read as a whole."""

from __future__ import annotations

from ansible_collections.globalscope.redis_backup.plugins.module_utils._server.cluster import (
    SLOTS,
    cluster_result,
    current_epoch,
    migrations,
    parse_nodes,
    why_not_whole,
)
from hypothesis import given
from hypothesis import strategies as st

WHOLE = b"""\
07c37df 127.0.0.1:30004@31004,host4 slave e7d1eec 0 1426238317239 4 connected
67ed2db 127.0.0.1:30002@31002 master - 0 1426238316232 2 connected 5461-10922
292f8b3 :30003@31003 myself,master - 0 1426238318243 3 connected 10923-16383
e7d1eec ::1:30001@31001 master - 0 0 1 connected 0-5459 5460
"""


def test_nodes() -> None:
    nodes = parse_nodes(WHOLE, "db1")
    assert [node.where for node in nodes] == ["127.0.0.1:30004", "127.0.0.1:30002", "db1:30003", "::1:30001"]
    assert [node.is_replica for node in nodes] == [True, False, False, False]
    assert nodes[0].primary == "e7d1eec"
    assert nodes[3].slots == ((0, 5459), (5460, 5460))
    assert why_not_whole(nodes) is None


def test_moving_slots() -> None:
    moving = WHOLE.replace(b"10923-16383", b"10923-16383 [77->-e7d1eec] [93-<-292f8b3]")
    why = why_not_whole(parse_nodes(moving, "db1"))
    assert why is not None
    assert "db1:30003 [77->-e7d1eec]" in why


def test_missing_slots() -> None:
    why = why_not_whole(parse_nodes(WHOLE.replace(b" 5460\n", b"\n"), "db1"))
    assert why == "only 16383 of 16384 slots are served"
    failed = WHOLE.replace(b":30002@31002 master", b":30002@31002 master,fail")
    why = why_not_whole(parse_nodes(failed, "db1"))
    assert why is not None
    assert "10922 of 16384" in why


FILE = """\
a2384712 127.0.0.1:20832@30832,db1.example,tls-port=0,shard-id=ef08f20f myself,master - 0 0 1 connected 0-5460 [7->-e7f]
0ceed280 127.0.0.1:22477@32477,,tls-port=0,shard-id=0588619622 slave e7f6507a 0 1795456423000 2 connected
113cbec6 :0@0 master,noaddr - 0 1795456424534 3 disconnected 10922-16383
77777777 127.0.0.1:1@10001 handshake - 0 0 0 disconnected
vars currentEpoch 6 lastVoteEpoch 4
"""


def test_file() -> None:
    """A nodes.conf of Redis 7.2 or Valkey: host names and auxiliary fields behind the address."""
    first, second, third, _fourth = parse_nodes(FILE.encode(), "db9")
    assert (first.hostname, first.shard_id, first.bus_port, first.epoch) == ("db1.example", "ef08f20f", 30832, 1)
    assert (second.hostname, second.shard_id, second.is_myself) == ("", "0588619622", False)
    assert (third.host, third.port, third.usable) == ("", 0, False)
    assert current_epoch(FILE) == 6
    assert current_epoch("") == 0


def test_result() -> None:
    found = cluster_result(parse_nodes(FILE.encode(), "db9"), {"cluster_state": "fail", "cluster_current_epoch": "6"})
    assert found["state"] == "fail"
    assert (found["my_id"], found["shard_id"], found["epoch"], found["slots_served"]) == (
        "a2384712",
        "ef08f20f",
        6,
        5461,
    )
    assert [node["id"] for node in found["nodes"]] == ["a2384712", "0ceed280", "113cbec6"]
    assert found["nodes"][1] == {
        "id": "0ceed280",
        "host": "127.0.0.1",
        "port": 22477,
        "bus_port": 32477,
        "hostname": "",
        "role": "replica",
        "primary_id": "e7f6507a",
        "slots": [],
        "epoch": 2,
        "usable": True,
        "flags": ["slave"],
    }
    assert found["moving"] == ["127.0.0.1:20832 [7->-e7f]"]


def test_migrations_of_whole_slots() -> None:
    """Valkey 9 moves slots at once, which CLUSTER NODES does not tell."""
    done = [b"name", b"1", b"operation", b"EXPORT", b"slot_ranges", b"1-5", b"state", b"success"]
    under_way = [b"name", b"2", b"operation", b"EXPORT", b"slot_ranges", b"6-9", b"state", b"snapshotting"]
    assert migrations([done, under_way], "db:1") == ["db:1 EXPORT 6-9 snapshotting"]
    assert migrations(None, "db:1") == []


@given(st.text(alphabet=st.characters(codec="utf-8")), st.text(max_size=20))
def test_whatever_a_line_says(text: str, host: str) -> None:
    """A damaged nodes.conf gives fewer nodes, never an error."""
    for node in parse_nodes((text + "\n" + FILE.replace("connected", text)).encode(), host):
        assert all(0 <= first <= last < SLOTS for first, last in node.slots)
