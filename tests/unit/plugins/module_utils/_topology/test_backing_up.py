# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whom a run backs up."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from ansible_collections.globalscope.redis_backup.plugins.module_utils._topology.backed_up import (
    backup_report,
    failed_names,
)
from ansible_collections.globalscope.redis_backup.plugins.module_utils._topology.backing_up import (
    AGAIN,
    OTHERS,
    SETS,
    WARN,
    Wish,
    plan_again,
    plan_backups,
)
from ansible_collections.globalscope.redis_backup.plugins.module_utils._topology.groups import groups
from ansible_collections.globalscope.redis_backup.tests.unit.helpers.members import (
    cluster,
    gone,
    member,
    nodes,
    primary,
    replica,
    row,
    sentinel,
)

SHARDS = {1: [4], 2: [5], 3: [6]}


def plan(members: Sequence[dict[str, Any]], **wish: Any) -> dict[str, Any]:
    hosts = [each["host"] for each in members if each["reachable"]]
    return plan_backups(groups(members), members, Wish(hosts=hosts, **{"time": "T", **wish}))


def work(found: dict[str, Any]) -> dict[str, list[str]]:
    """Whom the plan has backed up, by phase."""
    return {phase: sorted(name for names in hosts.values() for name in names) for phase, hosts in found["work"].items()}


def result(name: str, **more: Any) -> dict[str, Any]:
    """What the loop left of an instance."""
    backup = {
        "instance": name,
        "label": "20261122T235141Z_rdb",
        "keys": 7,
        "stored_size": 100,
        "age_seconds": 3,
        "duration_s": 1.5,
        "encrypted": True,
        "failed": {},
    }
    return {"redis_backup_name": name, "changed": True, "backup": backup, **more}


def test_what_stands_alone_is_backed_up_itself() -> None:
    found = plan([member(1), member(2, state="down")])
    assert work(found) == {OTHERS: ["h1-6379", "h2-6379"]}
    assert not found["failures"] and not found["sets"] and not found["rows"]


def test_several_instances_of_a_host_stay_in_their_order() -> None:
    found = plan([member(1, 6381), member(1, 6379), member(1, 6380)])
    assert found["work"] == {OTHERS: {"h1": ["h1-6381", "h1-6379", "h1-6380"]}}


def test_two_hosts_may_not_hide_behind_one_name() -> None:
    """The repository tells them apart; it has to be asked by both."""
    one, two = member(1), member(2)
    two["entry"] = one["entry"]
    found = plan([one, two])
    assert found["work"] == {OTHERS: {"h1": ["h1-6379"], "h2": ["h1-6379"]}}


def test_one_of_a_group_and_no_sentinel() -> None:
    found = plan([primary(1, 2, 3), replica(2, 1), replica(3, 1), sentinel(1, 1, [2, 3]), sentinel(4, 1, [2, 3])])
    assert work(found) == {OTHERS: ["h2-6379"]}
    assert found["siblings"] == {"h2-6379": ["h2-6379", "h1-6379", "h3-6379"]}
    assert sorted(found["passed"]) == ["h1-26379", "h1-6379", "h3-6379", "h4-26379"]


@pytest.mark.parametrize(
    ("mode", "chosen"), [("replica_preferred", "h1-6379"), ("primary", "h1-6379"), ("replica", None)]
)
def test_no_replica_is_fit(mode: str, chosen: str | None) -> None:
    found = plan([primary(1, 2), replica(2, 1, link_up=False)], mode=mode)
    assert work(found) == ({OTHERS: [chosen]} if chosen else {})
    if chosen is None:
        assert "its link to the primary is down" in found["failures"]["h1"][0]
        assert found["rows"][0]["failed"] and found["rows"][0]["names"] == ["h1-6379", "h2-6379"]
    elif mode != "primary":
        assert "Passed over: h2-6379: its link to the primary is down" in found["remarks"][0]


def test_a_replica_without_an_aof_has_none_to_back_up() -> None:
    members = [primary(1, 2, 3), replica(2, 1), replica(3, 1)]
    members[2]["instance"]["persistence"] = {"aof_enabled": True}
    found = plan(members, engine="aof")
    assert work(found) == {OTHERS: ["h3-6379"]} and "h2-6379: its AOF is off" in found["remarks"][0]
    assert work(plan(members)) == {OTHERS: ["h2-6379"]}


@pytest.mark.parametrize("missing", ["fail", WARN])
def test_who_is_missing_is_named(missing: str) -> None:
    found = plan([primary(1, 2, 3), replica(2, 1)], missing=missing)
    assert work(found) == {OTHERS: ["h2-6379"]}
    assert "10.0.0.3:6379 (replica of h1-6379) is not in the inventory" in found["remarks"][0]
    assert list(found["failures"]) == (["h1"] if missing == "fail" else [])


def test_who_is_in_the_inventory_and_not_in_the_run_is_no_failure() -> None:
    found = plan([primary(1, 2, 3), replica(2, 1)], others={"10.0.0.3": "h3"})
    assert found["remarks"] == ["h1-6379: 10.0.0.3:6379 (replica of h1-6379) is on h3, which is not in this run."]
    assert found["failures"] == {}


def test_a_host_that_does_not_answer_fails_the_run() -> None:
    found = plan([member(1), gone(2)])
    assert work(found) == {OTHERS: ["h1-6379"]}
    assert "h2 is not reachable" in found["failures"]["h1"][0]  # its own host is not there to fail


def test_a_cluster_is_a_set() -> None:
    found = plan(cluster(SHARDS))
    assert found["phases"] == [SETS] and work(found) == {SETS: ["h4-6379", "h5-6379", "h6-6379"]}
    part = found["sets"]["h4-6379"]
    assert (part["id"], part["shards"], part["slots"]) == ("cluster-00000001-T", 3, [[0, 5460]])
    assert len({each["shard"] for each in found["sets"].values()}) == 3


def test_nothing_of_a_cluster_whose_slots_move() -> None:
    moving = {"moving": ["10.0.0.1:6379 [5->-abc]"]}
    found = plan([*cluster(SHARDS, cluster=moving), member(9)])
    assert work(found) == {OTHERS: ["h9-6379"]}
    assert "slots are being moved (10.0.0.1:6379 [5->-abc])" in found["failures"]["h1"][0]


def test_a_shard_that_is_lost_leaves_the_set_incomplete() -> None:
    members = [each for each in cluster(SHARDS) if each["host"] not in ("h3", "h6")]
    found = plan([*members, gone(3), gone(6)])
    assert work(found) == {SETS: ["h4-6379", "h5-6379"]}
    assert {each["shards"] for each in found["sets"].values()} == {3}
    assert len(found["rows"]) == 1 and "no backup was made" in found["rows"][0]["says"]


def test_a_shard_without_slots_holds_nothing() -> None:
    table = [*nodes({1: [], 2: []}), row(3)]
    members = cluster({1: [], 2: []})
    for each in members:
        each["instance"]["topology"]["cluster"]["nodes"] = table
    idle = member(3, mode="cluster", cluster={**members[0]["instance"]["topology"]["cluster"], "my_id": row(3)["id"]})
    assert work(plan([*members, idle])) == {SETS: ["h1-6379", "h2-6379"]}
    idle["instance"]["keys"] = 4
    assert work(plan([*members, idle])) == {SETS: ["h1-6379", "h2-6379"], OTHERS: ["h3-6379"]}


@pytest.mark.parametrize(
    ("change", "needless"),
    [
        ({}, True),
        ({"usable": False}, False),
        ({"id": "cluster-99999999-20261122T235141Z"}, False),
        ({"time": "2026-11-22T22:00:00Z"}, False),
        ({"members": []}, False),
    ],
)
def test_a_young_set_makes_a_new_one_needless(change: dict[str, Any], needless: bool) -> None:
    own = [{"instance": f"h{n}-6379", "label": "l", "keys": 1, "time": "2026-11-22T23:51:41Z"} for n in (4, 5, 6)]
    for each, slots in zip(own, ([0, 5460], [5461, 10921], [10922, 16383]), strict=True):
        each["slots"] = [slots]
    stored = {"id": "cluster-00000001-x", "time": "2026-11-22T23:51:41Z", "usable": True, "members": own, **change}
    at = 1795391501.0 + 60
    found = plan(cluster(SHARDS), sets=[stored], max_age=3600, now=at)
    assert (found["phases"] == []) == needless
    assert len(found["rows"]) == (3 if needless else 0)


# --- what failed, tried again ---


def test_another_member_is_tried() -> None:
    members = [primary(1, 2, 3), replica(2, 1), replica(3, 1)]
    first = plan(members)
    results = [result("h2-6379", failed=True, msg="it hung")]
    failed = failed_names(results)
    again = plan_again(first, plan(members, failed=failed), failed)
    assert again["phases"] == [AGAIN] and again["work"][AGAIN] == {"h3": ["h3-6379"]}
    hosts = [
        {"host": "h1", "active": True, "results": []},
        {"host": "h2", "active": True, "results": results},
        {"host": "h3", "active": True, "results": [result("h3-6379")]},
    ]
    report = backup_report(hosts, again)
    assert [(row["instance"], row["result"], row["failed"]) for row in report["rows"]] == [
        ("h2-6379", "gave way", False),
        ("h3-6379", "backed up", False),
    ]
    assert report["failures"] == {} and report["ask"] == {}


def test_nothing_is_tried_where_nothing_failed_or_nobody_is_left() -> None:
    members = [primary(1, 2), replica(2, 1), member(3)]
    first = plan(members)
    assert plan_again(first, plan(members), [])["phases"] == []
    failed = ["h3-6379"]
    assert plan_again(first, plan(members, failed=failed), failed)["phases"] == []


def test_a_set_keeps_its_name() -> None:
    first = plan(cluster(SHARDS))
    again = plan_again(first, plan(cluster(SHARDS), failed=["h5-6379"], time="later"), ["h5-6379"])
    assert again["work"][AGAIN] == {"h2": ["h2-6379"]}
    assert again["sets"]["h2-6379"] == first["sets"]["h5-6379"]


# --- what came of it ---


def test_what_failed_tells_the_age_of_what_there_is() -> None:
    members = [member(1), member(2), primary(3, 4), replica(4, 3)]
    found = plan(members)
    hosts = [
        {"host": "h1", "active": True, "results": [result("h1-6379")], "known": {}},
        {"host": "h2", "active": True, "results": [result("h2-6379", failed=True, msg="h2-6379: no")], "known": {}},
        {"host": "h3", "active": True, "results": [], "known": {}},
        {"host": "h4", "active": False, "results": [], "known": {}},
    ]
    report = backup_report(hosts, found)
    assert report["ask"] == {"h2": ["h2-6379"], "h4": ["h4-6379", "h3-6379"]}
    assert report["failures"]["h2"] == ["h2-6379: no."]
    hosts[1]["known"] = {"h2-6379": 99.0}
    hosts[3]["known"] = {"h4-6379": None, "h3-6379": 7.0}
    rows = {row["instance"]: row for row in backup_report(hosts, found)["rows"]}
    assert rows["h2-6379"]["rpo_seconds"] == 99.0 and rows["h4-6379"]["rpo_seconds"] == 7.0
    assert rows["h4-6379"]["result"] == "UNREACHABLE" and rows["h1-6379"]["rpo_seconds"] == 3.0


def test_a_time_that_ran_out_and_a_host_that_left_early() -> None:
    found = plan([member(1)])
    hosts = [
        {"host": "h1", "active": True, "results": [result("h1-6379", failed=True, timedout={"period": 6}, msg="x")]},
        {"host": "h2", "active": False, "looked": False},
    ]
    rows = backup_report(hosts, found, timeout=6)["rows"]
    assert [(row["instance"], row["result"]) for row in rows] == [("h1-6379", "TIMED OUT"), ("h2", "UNREACHABLE")]
    assert "within 6 s" in rows[0]["says"]


def test_check_mode_and_a_backup_that_was_young_enough() -> None:
    found = plan([member(1), member(2), member(3)])
    hosts = [
        {"host": "h1", "active": True, "results": [result("h1-6379", backup=None)]},
        {"host": "h2", "active": True, "results": [result("h2-6379", changed=False)]},
        {"host": "h3", "active": True, "results": [result("h3-6379")]},
    ]
    hosts[2]["results"][0]["backup"].update(encrypted=False, failed={"nfs": "it is full"})
    rows = backup_report(hosts, found)["rows"]
    assert [row["result"] for row in rows] == ["would be backed up", "young enough", "backed up"]
    assert rows[2]["says"] == "NOT encrypted. not in repository nfs: it is full"
