# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What CLUSTER NODES tells, and when a cluster cannot be read as a whole."""

from __future__ import annotations

from ansible_collections.globalscope.redis_backup.plugins.module_utils._keys.nodes import parse_nodes, why_not_whole

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
