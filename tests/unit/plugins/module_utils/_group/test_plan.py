# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a replication group needs: decisions over what is known of its members."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.globalscope.redis_backup.plugins.module_utils._group.plan import Wish, alike, recovery_plan
from ansible_collections.globalscope.redis_backup.plugins.module_utils._group.watch import HELD_MS
from ansible_collections.globalscope.redis_backup.plugins.module_utils._group.work import (
    group_of,
    looked_again,
    recovery_work,
)
from ansible_collections.globalscope.redis_backup.plugins.module_utils._topology.groups import groups
from ansible_collections.globalscope.redis_backup.tests.unit.helpers.members import (
    gone,
    member,
    primary,
    replica,
    sentinel,
)

Member = dict[str, Any]


def assessed(*, healthy: bool = False, holds: bool = False) -> dict[str, Any]:
    return {"healthy": healthy, "holds_data": holds, "data_files": [{"name": "dump.rdb", "size": 7}] if holds else []}


def plan(members: list[Member], found: dict[str, Any], **wish: Any) -> dict[str, Any]:
    """The plan for the only replication group; assessments by host number."""
    (group,) = [each for each in groups(members) if each["kind"] == "replication"]
    by_name = {f"h{number}-6379": each for number, each in found.items()}
    return recovery_plan(group, members, by_name, Wish(**wish))


def down(number: int, of: int = 0) -> Member:
    return replica(number, of, state="down") if of else member(number, state="down")


def sentinels(of: int, *replicas: int, **more: Any) -> list[Member]:
    others = {4: (5, 6), 5: (4, 6), 6: (4, 5)}
    return [sentinel(number, of, replicas, others[number], **more) for number in (4, 5, 6)]


LOST, OK, HOLDS = assessed(), assessed(healthy=True, holds=True), assessed(holds=True)


def test_nothing_is_lost() -> None:
    found = plan([primary(1, 2, 3), replica(2, 1), replica(3, 1), *sentinels(1, 2, 3)], {1: OK})
    assert found["action"] == "none" and found["lead"] == "h1-6379" and found["skipped"] == []
    assert not any(each["needs"] for each in [*found["replicas"], *found["sentinels"]])


def test_all_is_lost() -> None:
    members = [down(1), down(2, 1), down(3, 1), *sentinels(1, 2, 3)]
    found = plan(members, {1: LOST, 2: LOST, 3: LOST})
    assert (found["action"], found["lead"], found["moves"]) == ("recover", "h1-6379", False)
    assert [each["name"] for each in found["replicas"]] == ["h2-6379", "h3-6379"]
    assert all(each["addresses"][0] == "10.0.0.1:6379" and not each["set_aside"] for each in found["replicas"])
    assert all(each["needs"] and each["running"] and each["quorum"] == 2 for each in found["sentinels"])


@pytest.mark.parametrize(
    ("lost", "needs"),
    [
        (down(2, 1), "it is down"),
        (replica(2, 1, link_up=False), "its link to the primary is down"),
        (primary(2), "it serves as a primary of its own"),
    ],
)
def test_a_replica_alone_is_lost(lost: Member, needs: str) -> None:
    found = plan([primary(1, 3), lost, replica(3, 1), *sentinels(1, 2, 3)], {1: OK})
    assert found["action"] == "feed"
    assert {each["name"]: each["needs"] for each in found["replicas"]} == {"h2-6379": needs, "h3-6379": ""}


def test_what_a_killed_run_left_is_finished() -> None:
    fenced = replica(2, 1)
    fenced["instance"]["fenced"] = True
    held = sentinel(4, 1, (2,), down_after_ms=int(HELD_MS))
    found = plan([primary(1, 2), fenced, held], {1: OK})
    assert found["action"] == "feed" and found["replicas"][0]["needs"] == "it was left fenced"
    assert found["sentinels"][0]["needs"] == "it was left held"


def test_a_lost_sentinel_is_started() -> None:
    stopped = sentinel(4, 1, (2,), state="down")
    found = plan([primary(1, 2), replica(2, 1), stopped], {1: OK})
    assert found["action"] == "feed" and found["sentinels"][0]["start"]


def test_a_living_replica_is_not_overruled() -> None:
    """Without Sentinels an operator has to choose; both choices are told."""
    members = [down(1), replica(2, 1, link_up=False), down(3, 1)]
    states = {1: LOST, 2: HOLDS, 3: LOST}
    found = plan(members, states)
    assert found["action"] == "refuse"
    assert "redis_disaster_recovery_promote=h2-6379" in found["why"] and '["h1-6379", "h2-6379"]' in found["why"]
    assert plan(members, states, confirm=["h1-6379"])["action"] == "refuse"
    chosen = plan(members, states, confirm=["h1-6379", "h2-6379"])
    assert chosen["action"] == "recover"
    assert [each["set_aside"] for each in chosen["replicas"]] == [True, False]
    promoted = plan(members, states, promote=["h2-6379"])
    assert (promoted["action"], promoted["lead"], promoted["moves"]) == ("promote", "h2-6379", True)
    assert promoted["addresses"][0].endswith(":6379") and "10.0.0.2:6379" in promoted["addresses"]
    assert [each["name"] for each in promoted["replicas"]] == ["h1-6379", "h3-6379"]


def test_a_replica_that_is_down_with_its_data_counts_too() -> None:
    members = [down(1), down(2, 1)]
    assert plan(members, {1: LOST, 2: HOLDS})["action"] == "refuse"
    assert "h1-6379 is down with 7 bytes of data files (start it" in plan(members, {1: HOLDS, 2: HOLDS})["why"]
    assert plan(members, {1: LOST})["action"] == "refuse", "nobody knows what it holds"
    assert plan(members, {1: LOST, 2: LOST})["action"] == "recover"
    assert plan(members, {1: LOST, 2: LOST}, promote=["h2-6379"])["action"] == "refuse"


def test_sentinels_come_first_where_they_can() -> None:
    members = [down(1), replica(2, 1, link_up=False), *sentinels(1, 2)]
    states = {1: LOST, 2: HOLDS}
    assert plan(members, states)["action"] == "wait"
    waited = plan(members, states, waited=True)
    assert waited["action"] == "refuse" and "have not failed over" in waited["why"]
    without = [down(1), replica(2, 1, link_up=False), *sentinels(1, 2, quorum_ok=False)]
    assert plan(without, states)["action"] == "refuse"


def test_an_emptied_primary_has_copies_that_are_as_empty() -> None:
    """A replica in step holds no more than its primary; one whose link is broken may."""
    copy = replica(2, 1)
    copy["instance"]["keys"] = 5
    assert plan([primary(1, 2), copy], {1: LOST, 2: HOLDS})["action"] == "recover"
    cut = replica(2, 1, link_up=False)
    assert plan([primary(1), cut], {1: LOST, 2: HOLDS})["action"] == "refuse"


def test_a_primary_that_cannot_be_reached_but_serves_is_left_alone() -> None:
    members = [gone(1), replica(2, 1), down(3, 1), *sentinels(1, 2, 3)]
    found = plan(members, {2: OK, 3: LOST})
    assert found["action"] == "feed" and found["served_by"] == "" and "h1-6379: its host h1" in found["skipped"][0]
    assert [each["name"] for each in found["replicas"] if each["needs"]] == ["h3-6379"]
    assert found["replicas"][0]["addresses"][0] == "10.0.0.1:6379"


def test_a_primary_that_cannot_be_reached_and_is_lost_has_a_successor() -> None:
    members = [gone(1), down(2, 1), down(3, 1), *sentinels(1, 2, 3, ok=False, flags=["s_down", "master"])]
    found = plan(members, {2: LOST, 3: LOST})
    assert (found["action"], found["lead"], found["moves"]) == ("recover", "h2-6379", True)
    assert found["addresses"][0] == "10.0.0.2:6379"
    assert len(found["skipped"]) == 2 and "must come back as a replica of h2-6379" in found["skipped"][1]
    held = plan(members, {2: HOLDS, 3: LOST})
    assert held["action"] == "refuse" and "cannot be reached" in held["why"]


def test_a_primary_outside_of_the_inventory() -> None:
    lone = replica(2, 1, link_up=False)
    refused = plan([lone], {2: LOST})
    assert refused["action"] == "refuse" and "redis_disaster_recovery_confirm=10.0.0.1:6379" in refused["why"]
    said = plan([lone, down(3, 1)], {2: LOST, 3: LOST}, confirm=["10.0.0.1:6379"])
    assert (said["action"], said["lead"], said["moves"]) == ("recover", "h2-6379", True)
    assert plan([lone], {2: HOLDS}, confirm=["10.0.0.1:6379"])["action"] == "refuse"
    assert plan([replica(2, 1)], {2: OK})["action"] == "none"


def test_living_servers_outside_of_the_run_are_not_ignored() -> None:
    """What is connected right now could copy, or fail over, unasked; what a Sentinel remembers may be long gone."""
    found = plan([primary(1, 2, 3), replica(2, 1)], {1: LOST, 2: LOST})
    assert found["action"] == "refuse" and "10.0.0.3:6379 (replica of h1-6379)" in found["why"]
    watched = primary(1, 2, watched_by=[{"id": "f00f00f0", "host": "10.0.0.7"}])
    assert "a Sentinel on 10.0.0.7" in plan([watched, replica(2, 1)], {1: LOST, 2: LOST})["why"]
    assert plan([down(1), down(2, 1), *sentinels(1, 2, 9)], {1: LOST, 2: LOST})["action"] == "recover"


def test_a_primary_that_loads_is_waited_for() -> None:
    loading = primary(1, state="loading")
    assert plan([loading, replica(2, 1, link_up=False)], {1: OK, 2: HOLDS})["action"] == "feed"


def test_a_replica_of_a_replica_keeps_its_place() -> None:
    members = [down(1), down(3, 2), down(2, 1)]
    found = plan(members, {1: LOST, 2: LOST, 3: LOST})
    assert [(each["name"], each["addresses"][0]) for each in found["replicas"]] == [
        ("h2-6379", "10.0.0.1:6379"),
        ("h3-6379", "10.0.0.2:6379"),
    ]


def test_a_sentinel_that_knows_the_old_primary_is_not_started_when_it_moves() -> None:
    members = [gone(1), down(2, 1), *sentinels(1, 2, ok=False)[:1], sentinel(5, 1, (2,), (4,), state="down")]
    found = plan(members, {2: LOST})
    assert found["moves"] and [each["start"] for each in found["sentinels"]] == [False, False]


def test_a_new_primary_is_called_like_the_old_one() -> None:
    """A server has many addresses, and may listen at one of them only."""
    many = ["192.0.2.7:1", "10.0.3.7:1", "10.0.0.7:1", "127.0.0.1:1", "[fd00::7]:1", "db7.example.net:1", "other:1"]
    assert alike(many, "10.0.0.1")[0] == "10.0.0.7:1"
    assert alike(many, "127.0.0.1")[0] == "127.0.0.1:1"
    assert alike(many, "fd00::1")[0] == "[fd00::7]:1"
    assert alike(many, "db1.example.net")[0] == "db7.example.net:1"
    assert alike(many, "") == many


def test_the_work_is_shared() -> None:
    members = [primary(1, 2), replica(2, 1), member(3), gone(4), gone(5), sentinel(6, 1, (2,))]
    members.append(sentinel(7, 5, name="x"))
    found = recovery_work(groups(members), members)
    assert found["work"] == {
        "h1": [{"name": "h1-6379", "group": "shop", "kind": "replication"}],
        "h3": [{"name": "h3-6379", "group": "", "kind": ""}],
    }
    assert any("h4" in words for words in found["left_over"])
    assert any("x: none of" in words for words in found["left_over"])
    chosen = recovery_work(groups(members), members, wanted=["h2-6379"])
    assert list(chosen["work"]) == ["h1"]
    assert recovery_work(groups(members), members, promote=["h2-6379"])["work"]["h2"][0]["group"] == "shop"


def test_a_later_look_replaces_what_was_known() -> None:
    members = [primary(1, 2), replica(2, 1)]
    now = down(1)["instance"]
    looked = [{"item": "h1-6379", "instance": now}, {"item": "h2-6379", "unreachable": True, "msg": "cut"}]
    found = looked_again(members, looked, "item")
    assert found[0]["instance"] == now and found[0]["reachable"]
    assert not found[1]["reachable"] and found[1]["error"] == "cut"
    assert group_of(groups(members), "h2-6379")["kind"] == "replication" and group_of([], "x") == {}


def without(watcher: Member, *kept: dict[str, Any]) -> Member:
    """The Sentinel with these primaries only."""
    watcher["instance"]["topology"]["sentinel"]["masters"] = list(kept)
    return watcher


def test_a_sentinel_that_knows_nothing_watches_as_the_others_do() -> None:
    watching = sentinels(1, 2, down_after_ms=30_000, failover_timeout_ms=180_000, parallel_syncs=1)
    without(watching[2])
    found = plan([primary(1, 2), replica(2, 1), *watching], {1: OK})
    idle = found["sentinels"][2]
    assert found["action"] == "feed" and "watches nothing" in idle["needs"] and not idle["watches"]
    assert idle["like"]["quorum"] == 2 and idle["like"]["down_after_ms"] > 0
    assert not any(each["needs"] or each["like"] for each in found["sentinels"][:2])


def test_a_sentinel_that_was_made_to_forget_is_found_by_what_was_written_down() -> None:
    watching = sentinels(1, 2)
    for each in watching:
        (master,) = each["instance"]["topology"]["sentinel"]["masters"]
        without(each, {**master, "ok": False, "flags": [], "quorum_ok": False, "forgotten": True})
    found = plan([primary(1, 2), replica(2, 1), *watching], {1: OK})
    assert found["action"] == "feed" and found["master_name"] == "shop"
    assert all("made to forget" in each["needs"] and each["watches"] for each in found["sentinels"])
    (group,) = groups([primary(1, 2), replica(2, 1), *watching])
    assert any("watches it no more" in words for words in group["findings"])
