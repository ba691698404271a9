# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a look at a host's instances gave, as members."""

from __future__ import annotations

from ansible_collections.globalscope.redis_backup.plugins.module_utils._topology.looked import seen_members

ENTRIES = [{"name": "a"}, {"name": "b"}]


def test_seen() -> None:
    looked = {
        "results": [
            {"redis_common_name": "a", "instance": {"state": "running"}},
            {"redis_common_name": "b", "msg": "wrong password"},
        ]
    }
    assert seen_members(looked, "h", ENTRIES, "10.0.0.1") == [
        {
            "host": "h",
            "address": "10.0.0.1",
            "reachable": True,
            "entry": {"name": "a"},
            "instance": {"state": "running"},
            "error": "",
        },
        {
            "host": "h",
            "address": "10.0.0.1",
            "reachable": True,
            "entry": {"name": "b"},
            "instance": None,
            "error": "wrong password",
        },
    ]


def test_unreachable() -> None:
    """The loop ends with the first instance: the others are not reachable either."""
    looked = {"unreachable": True, "results": [{"redis_common_name": "a", "unreachable": True, "msg": "no route"}]}
    assert [each["reachable"] for each in seen_members(looked, "h", ENTRIES)] == [False, False]


def test_lost_on_the_way() -> None:
    """What was seen before the host went stays."""
    seen = {"redis_common_name": "a", "instance": {"state": "running"}}
    looked = {"unreachable": True, "results": [seen, {"redis_common_name": "b", "unreachable": True}]}
    assert [each["reachable"] for each in seen_members(looked, "h", ENTRIES)] == [True, False]


def test_nothing() -> None:
    assert seen_members({"results": []}, "h", []) == []
    (found,) = seen_members({}, "h", ENTRIES[:1])
    assert (found["reachable"], found["error"]) == (True, "it was not looked at")
