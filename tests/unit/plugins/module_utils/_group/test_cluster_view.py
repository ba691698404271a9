# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a node is told to do, and what is missing in its eyes."""

from __future__ import annotations

import dataclasses

import pytest
from ansible_collections.globalscope.redis_backup.plugins.module_utils._group.cluster_view import (
    Seen,
    to_meet,
    what_is_missing,
)
from ansible_collections.globalscope.redis_backup.plugins.module_utils._group.node import how_to_follow
from ansible_collections.globalscope.redis_backup.plugins.module_utils._server.cluster import parse_nodes
from ansible_collections.globalscope.redis_backup.plugins.module_utils._server.facts import Facts
from ansible_collections.globalscope.redis_backup.plugins.module_utils._server.slots import key_slot
from ansible_collections.globalscope.redis_backup.plugins.module_utils._topology.nodes_conf import nodes_of_rows

A, B, C = ("a" * 40, "b" * 40, "c" * 40)
GOOD = f"""\
{A} 10.0.0.1:6379@16379 myself,master - 0 0 1 connected 0-8191
{B} 10.0.0.2:6379@16379 master - 0 0 2 connected 8192-16383
{C} 10.0.0.3:6379@16379 slave {A} 0 0 1 connected
"""
WANTED = nodes_of_rows(
    [
        {"id": A, "host": "10.0.0.1", "port": 6379, "role": "primary", "slots": [[0, 100], [101, 8191]]},
        {"id": B, "host": "10.0.0.2", "port": 6379, "role": "primary", "slots": [[8192, 16383]], "usable": True},
        {"id": C, "host": "10.0.0.3", "port": 6379, "role": "replica", "primary_id": A, "slots": []},
    ]
)


def seen(text: str = GOOD, state: str = "ok") -> Seen:
    return Seen(parse_nodes(text.encode(), "10.0.0.1"), {"cluster_state": state}, Facts({}))


def test_nothing_is_missing() -> None:
    assert what_is_missing(seen(), []) == []
    assert what_is_missing(seen(), WANTED, [A, B, C]) == []
    assert to_meet(seen(), WANTED) == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (GOOD.replace("master - 0 0 2", "master,fail? - 0 0 2"), "10.0.0.2:6379 (bbbbbbbb) is not reached"),
        (GOOD.replace("master - 0 0 2 connected", "master - 0 0 2 disconnected"), "(bbbbbbbb) is not connected"),
        (GOOD.replace("8192-16383", "8200-16383"), "only 16376 of 16384 slots are served (8192-8199 are not)"),
        (GOOD.replace("8192-16383", "8200-16383"), "serves the slots 8200-16383, and should serve 8192-16383"),
        (GOOD.replace(C, "d" * 40), "10.0.0.3:6379 (cccccccc) is not known"),
        (GOOD.replace("slave", "handshake"), "10.0.0.3:6379 (cccccccc) is not known"),
        (GOOD.replace("0-8191", f"0-8191 [100->-{B}]"), "slots are being moved"),
    ],
)
def test_what_is_missing_is_named(text: str, words: str) -> None:
    assert any(words in each for each in what_is_missing(seen(text), WANTED, [A, B, C]))


def test_others_than_the_wanted_may_be_down() -> None:
    text = GOOD.replace("slave", "slave,fail")
    assert what_is_missing(seen(text), WANTED[:2], [A, B]) == []
    assert what_is_missing(seen(text), []) == ["10.0.0.3:6379 (cccccccc) is failed"]
    assert what_is_missing(seen(state="fail"), WANTED[:2]) == ["the cluster's state is fail"]


def test_who_is_greeted() -> None:
    elsewhere = dataclasses.replace(WANTED[1], host="10.0.0.9")
    dead = GOOD.replace("master - 0 0 2", "master,fail - 0 0 2")
    stranger = f"{A} 10.0.0.1:6379@16379 myself,master - 0 0 0 connected\n"
    assert [node.identity for node in to_meet(seen(stranger), WANTED)] == [B, C]
    assert to_meet(seen(dead), [elsewhere]) == [elsewhere]
    assert to_meet(seen(dead), WANTED) == [] == to_meet(seen(), [elsewhere])


def as_me(identity: str, text: str = GOOD) -> Seen:
    lines = text.replace("myself,", "").splitlines()
    return seen("\n".join(_myself(line) if line.startswith(identity) else line for line in lines))


def _myself(line: str) -> str:
    words = line.split(" ")
    words[2] = f"myself,{words[2]}"
    return " ".join(words)


def test_how_a_node_comes_to_follow() -> None:
    assert how_to_follow(as_me(C), A) == ("", False)
    assert how_to_follow(as_me(C), B) == ("", True)
    assert "serves the slots 8192-16383 itself" in how_to_follow(as_me(B), A)[0]
    assert how_to_follow(as_me(B, GOOD.replace(" 8192-16383", "")), A) == ("", True)
    assert "is a replica itself" in how_to_follow(as_me(B), C)[0]
    assert "does not know" in how_to_follow(as_me(B), "d" * 40)[0]
    assert "that node itself" in how_to_follow(as_me(A), A)[0]


@pytest.mark.parametrize(
    ("key", "slot"), [("foo", 12182), ("{foo}bar", 12182), ("a{}b", 13694), ("", 0), ("123456789", 12739)]
)
def test_slots_of_keys(key: str, slot: int) -> None:
    assert key_slot(key.encode()) == slot
