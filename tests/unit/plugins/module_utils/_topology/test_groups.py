# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Instances gathered into groups: who belongs together, who is the primary, who is missing."""

from __future__ import annotations

from random import Random
from typing import Any

from ansible_collections.globalscope.redis_backup.plugins.module_utils._topology.groups import groups
from ansible_collections.globalscope.redis_backup.tests.unit.helpers.members import (
    PORT,
    SENTINEL_PORT,
    cluster,
    gone,
    member,
    node,
    nodes,
    primary,
    replica,
    row,
    sentinel,
)
from hypothesis import given
from hypothesis import strategies as st

GROUP = [primary(1, 2, 3), replica(2, 1), replica(3, 1)]
SENTINELS = [sentinel(4, 1, (2, 3), (5, 6)), sentinel(5, 1, (2, 3), (4, 6)), sentinel(6, 1, (2, 3), (4, 5))]


def one(members: list[dict[str, Any]]) -> dict[str, Any]:
    """The only group of these members."""
    (found,) = groups(members)
    return found


def shard_of(found: dict[str, Any]) -> tuple[str | None, list[str]]:
    """Primary and replicas of a group's only shard."""
    (shard,) = found["shards"]
    return shard["primary"], shard["replicas"]


def test_nothing() -> None:
    assert groups([]) == []


def test_standalone_instances_are_groups_of_their_own() -> None:
    """Three hosts, two of them with the same loopback addresses and one with two instances."""
    found = groups([member(1), member(1, 6380), member(2), member(3, state="down")])
    assert [group["id"] for group in found] == ["h1-6379", "h1-6380", "h2-6379", "h3-6379"]
    assert {group["kind"] for group in found} == {"standalone"}
    assert [group["healthy"] for group in found] == [True, True, True, False]
    assert found[0]["shards"] == [
        {"id": "h1-6379", "slots": [], "primary": "h1-6379", "replicas": [], "slot_owner_id": ""}
    ]
    assert found[0]["lead_host"] == "h1"
    assert found[3]["findings"] == ["h3-6379 is down"]


def test_primary_and_replicas() -> None:
    found = one(GROUP)
    assert (found["id"], found["kind"], found["healthy"]) == ("h1-6379", "replication", True)
    assert shard_of(found) == ("h1-6379", ["h2-6379", "h3-6379"])
    assert found["missing"] == found["unreachable"] == found["findings"] == []
    assert [each["role"] for each in found["members"]] == ["primary", "replica", "replica"]


def test_sentinels_name_the_group() -> None:
    found = one([*GROUP, *SENTINELS])
    assert (found["id"], found["master_name"], found["healthy"]) == ("shop", "shop", True)
    assert found["sentinels"] == ["h4-26379", "h5-26379", "h6-26379"]
    assert shard_of(found) == ("h1-6379", ["h2-6379", "h3-6379"])


def test_one_name_for_several_groups() -> None:
    """Sentinels of many groups call their primary mymaster."""
    members = [member(number) for number in (1, 2)]
    found = groups([*members, *(sentinel(n + 2, n, name="mymaster") for n in (1, 2))])
    assert [group["id"] for group in found] == ["mymaster-h1-6379", "mymaster-h2-6379"]
    assert [group["shards"][0]["id"] for group in found] == ["mymaster-h1-6379", "mymaster-h2-6379"]
    assert [group["sentinels"] for group in found] == [["h3-26379"], ["h4-26379"]]


def test_one_sentinel_for_two_groups() -> None:
    both = sentinel(4, 1, name="shop")
    both["instance"]["topology"]["sentinel"]["masters"] += sentinel(4, 2, name="cart")["instance"]["topology"][
        "sentinel"
    ]["masters"]
    found = groups([member(1), member(2), both])
    assert [(group["id"], group["sentinels"]) for group in found] == [("shop", ["h4-26379"]), ("cart", ["h4-26379"])]


def test_everything_down_is_told_by_files() -> None:
    down = [member(1, state="down"), replica(2, 1, state="down"), replica(3, 1, state="down")]
    watch = [sentinel(n, 1, (2, 3), [o for o in (4, 5, 6) if o != n], state="down") for n in (4, 5, 6)]
    found = one([*down, *watch])
    assert (found["id"], found["healthy"], found["lead"]) == ("shop", False, "h1-6379")
    assert shard_of(found) == ("h1-6379", ["h2-6379", "h3-6379"])
    assert len(found["findings"]) == 6
    assert shard_of(one(down)) == ("h1-6379", ["h2-6379", "h3-6379"])


def test_files_of_a_primary_before_the_failover() -> None:
    """The old primary is down, and its redis.conf knows of nothing: Sentinels and the others do."""
    old = member(1, state="down")
    new = [primary(2, 3), replica(3, 2)]
    watch = sentinel(4, 2, (1, 3))
    found = one([old, *new, watch])
    assert shard_of(found) == ("h2-6379", ["h1-6379", "h3-6379"])
    assert not found["healthy"]


def test_old_primary_comes_back_as_primary() -> None:
    found = one([member(1), primary(2, 3), replica(3, 2), sentinel(4, 2, (1, 3))])
    assert shard_of(found) == ("h2-6379", ["h1-6379", "h3-6379"])
    assert found["findings"] == ["h1-6379 serves as a primary beside h2-6379"]


def test_primary_that_lost_its_files() -> None:
    """Nothing is known of it but its address; its replicas say who it is."""
    lost = member(1, state="down", source="nothing", role="")
    found = one([lost, replica(2, 1, link_up=False), replica(3, 1, link_up=False)])
    assert shard_of(found) == ("h1-6379", ["h2-6379", "h3-6379"])


def test_primary_on_an_unreachable_host() -> None:
    found = one([gone(1), replica(2, 1, link_up=False), replica(3, 1, link_up=False)])
    assert shard_of(found) == ("h1-6379", ["h2-6379", "h3-6379"])
    assert found["unreachable"] == ["h1-6379"]
    assert found["missing"] == []
    assert found["lead"] == "h2-6379"
    assert "h1-6379: its host h1 cannot be reached" in found["findings"]


def test_missing_primary() -> None:
    found = one([replica(2, 1)])
    assert shard_of(found) == (None, ["h2-6379"])
    assert found["kind"] == "replication"
    assert found["missing"] == ["10.0.0.1:6379 (primary of h2-6379) is not in the inventory"]
    assert "no primary is known" in found["findings"]


def test_two_replicas_of_a_missing_primary_are_one_group() -> None:
    found = one([replica(2, 1), replica(3, 1)])
    assert shard_of(found) == (None, ["h2-6379", "h3-6379"])
    assert len(found["missing"]) == 1


def test_missing_replica_and_sentinel() -> None:
    found = one([*GROUP[:2], *SENTINELS[:2]])
    assert found["missing"] == [
        "10.0.0.3:6379 (replica of h1-6379) is not in the inventory",
        "10.0.0.6:26379 (Sentinel of shop) is not in the inventory",
    ]
    assert found["healthy"]


def test_sentinels_that_the_inventory_does_not_know() -> None:
    """They listen to the primary, which tells who is there."""
    watched = [{"id": "00000004", "host": "10.0.0.4"}, {"id": "deadbeef", "host": "10.0.0.9"}]
    found = one([primary(1, watched_by=watched), sentinel(4, 1)])
    assert found["missing"] == [
        "a Sentinel on 10.0.0.9 (id deadbeef, watches h1-6379) is not in the inventory",
    ]
    found = one([primary(1, watched_by=watched[1:])])
    assert found["kind"] == "replication"
    assert len(found["missing"]) == 1


def test_sentinel_of_a_primary_that_the_inventory_lacks() -> None:
    found = one([sentinel(4, 1)])
    assert (found["id"], found["kind"], found["members"][0]["role"]) == ("shop", "replication", "sentinel")
    assert found["missing"] == ["10.0.0.1:6379 (primary shop of the Sentinel h4-26379) is not in the inventory"]


def test_sentinel_that_lost_its_files() -> None:
    """The others name it; alone, its service's name tells what it is."""
    lost = member(6, 26379, state="down", source="nothing", role="")
    found = one([*GROUP, *SENTINELS[:2], lost])
    assert found["sentinels"] == ["h4-26379", "h5-26379", "h6-26379"]
    assert not found["healthy"]
    first, second = groups([member(1), gone(6, 26379, "redis-sentinel")])
    assert (first["kind"], second["kind"]) == ("standalone", "sentinels")
    assert second["sentinels"] == ["h6-26379"]
    assert second["shards"] == []


def test_what_makes_a_group_unwell() -> None:
    cases: list[tuple[list[dict[str, Any]], str]] = [
        ([primary(1, 2), replica(2, 1, link_up=False)], "h2-6379: its link to the primary is down"),
        ([primary(1, 2), replica(2, 1, syncing=True)], "h2-6379: it is receiving its primary's data"),
        ([member(1), sentinel(4, 1, flags=["master", "s_down"], ok=False)], "sees the primary as master,s_down"),
        ([member(1), sentinel(4, 1, quorum_ok=False, quorum_says="NOQUORUM 1 usable")], "no quorum: NOQUORUM 1 usable"),
        ([primary(1, 2), replica(2, 1), sentinel(4, 1), sentinel(5, 2)], "takes h2-6379 for the primary"),
        ([replica(1, 2), replica(2, 1), sentinel(4, 1)], "h1-6379 should be the primary and serves as a replica"),
        ([member(1, state="loading")], "h1-6379 is loading"),
    ]
    for members, words in cases:
        found = one(members)
        assert not found["healthy"], words
        assert [each for each in found["findings"] if words in each], (words, found["findings"])


def test_chain_of_replicas() -> None:
    """A replica of a replica: one group, and the primary is the one that follows nobody."""
    middle = replica(2, 1, replicas=[{"host": "10.0.0.3", "port": 6379, "state": "online", "offset": 1, "lag": 0}])
    assert shard_of(one([replica(3, 2), middle, primary(1, 2)])) == ("h1-6379", ["h3-6379", "h2-6379"])
    down = [replica(3, 2, state="down"), replica(2, 1, state="down"), member(1, state="down")]
    assert shard_of(one(down)) == ("h1-6379", ["h3-6379", "h2-6379"])


def test_names_instead_of_addresses() -> None:
    by_name = replica(2, 1)
    by_name["instance"]["topology"]["primary"].update(host="db-main", addresses=["10.0.0.1"])
    assert shard_of(one([member(1), by_name])) == ("h1-6379", ["h2-6379"])


def test_translated_addresses() -> None:
    """Behind a translation nobody's address is right, and the history of the data tells."""
    behind = replica(2, 1)
    behind["instance"]["topology"]["primary"]["host"] = "203.0.113.7"
    found = one([primary(1), behind])
    assert shard_of(found) == ("h1-6379", ["h2-6379"])


def test_loopback_means_the_own_network() -> None:
    """Two machines, each with a primary and a replica that follows 127.0.0.1."""
    members = []
    for number in (1, 2):
        follower = replica(number, number, port=6380)
        follower["instance"]["topology"]["primary"]["host"] = "127.0.0.1"
        members += [primary(number, replid=str(number) * 40), follower]
    assert [shard_of(group) for group in groups(members)] == [("h1-6379", ["h1-6380"]), ("h2-6379", ["h2-6380"])]


def test_an_address_that_several_have() -> None:
    """A container bridge's address is on every host: it is nobody's name, but for those of the same network."""
    members = [primary(1), primary(2, replid="b" * 40), replica(3, 9, replid="c" * 40)]
    for each in members:
        each["instance"]["topology"]["addresses"].append("172.17.0.1:6379")
    members[2]["instance"]["topology"]["primary"].update(host="172.17.0.1", port=6379)
    members[2]["instance"]["topology"]["addresses"] = ["10.0.0.3:6379"]
    assert [group["missing"] != [] for group in groups(members)] == [False, False, True]


# --- clusters ---

SHARDS = {1: [4], 2: [5], 3: [6]}


def test_cluster() -> None:
    found = one(cluster(SHARDS))
    assert (found["id"], found["kind"], found["healthy"]) == ("cluster-00000001", "cluster", True)
    assert [(shard["primary"], shard["replicas"]) for shard in found["shards"]] == [
        ("h1-6379", ["h4-6379"]),
        ("h2-6379", ["h5-6379"]),
        ("h3-6379", ["h6-6379"]),
    ]
    assert [shard["slots"] for shard in found["shards"]] == [[[0, 5460]], [[5461, 10921]], [[10922, 16383]]]
    assert found["shards"][2]["slot_owner_id"].startswith("00000003")
    assert found["missing"] == found["findings"] == found["moving"] == []


def test_cluster_that_is_down() -> None:
    found = one(cluster(SHARDS, state="down"))
    assert len(found["shards"]) == 3
    assert found["lead"] == "h1-6379"
    assert not found["healthy"]


def test_node_that_the_inventory_lacks() -> None:
    found = one([each for each in cluster(SHARDS) if each["host"] not in ("h2", "h6")])
    assert found["missing"] == [
        "10.0.0.2:6379 (primary) is not in the inventory",
        "10.0.0.6:6379 (replica of 10.0.0.3:6379) is not in the inventory",
    ]
    assert [shard["primary"] for shard in found["shards"]] == ["h1-6379", None, "h3-6379"]


def test_node_on_an_unreachable_host_is_not_missing() -> None:
    members = cluster(SHARDS)
    found = one([*members[:5], gone(6)])
    assert found["missing"] == []
    assert found["unreachable"] == ["h6-6379"]
    assert found["shards"][2]["replicas"] == ["h6-6379"]


def test_node_that_lost_its_files() -> None:
    """Down with nothing left; up again with an identity of its own; and down with redis.conf alone."""
    for lost in (
        member(6, state="down", source="nothing", role=""),
        node(6, [row(6, id="f" * 40, host="")], cluster={"my_id": "f" * 40, "state": "fail", "epoch": 0}),
        node(6, [], state="down"),
    ):
        found = one([*cluster(SHARDS)[:5], lost])
        assert found["shards"][2]["replicas"] == ["h6-6379"]
        assert found["missing"] == []
        assert not found["healthy"]


def test_moving_slots() -> None:
    members = cluster(SHARDS)
    members[0]["instance"]["topology"]["cluster"]["moving"] = ["10.0.0.1:6379 [77->-2]"]
    found = one(members)
    assert found["moving"] == ["10.0.0.1:6379 [77->-2]"]
    assert found["healthy"]


def test_failed_shard() -> None:
    table = nodes(SHARDS)
    for each in table:
        if each["host"] == "10.0.0.2":
            each.update(usable=False, flags=["fail", "master"])
    found = one([node(n, table, cluster={"state": "fail"}) for n in (1, 3, 4, 5, 6)] + [node(2, [], state="down")])
    assert not found["healthy"]
    assert "only 10923 of 16384 slots are served" in found["findings"]


def test_two_clusters_and_more() -> None:
    """Many groups in one inventory keep apart."""
    other = cluster({11: [14], 12: [15], 13: [16]})
    found = groups([*cluster(SHARDS), *other, *GROUP[:0], member(20)])
    assert [group["kind"] for group in found] == ["cluster", "cluster", "standalone"]
    assert [len(group["members"]) for group in found] == [6, 6, 1]


def test_cluster_that_nobody_knows() -> None:
    found = one([node(1, [], state="down")])
    assert found["id"] == "h1-6379"
    assert "nobody knows the nodes of this cluster" in found["findings"]


# --- whatever members there are ---

MEMBERS = st.lists(
    st.one_of(
        st.builds(member, st.integers(1, 6), state=st.sampled_from(["running", "down", "loading"])),
        st.builds(gone, st.integers(1, 6), st.sampled_from([PORT, SENTINEL_PORT])),
        st.builds(lambda n, of, up: replica(n, of, link_up=up), st.integers(1, 6), st.integers(1, 9), st.booleans()),
        st.builds(
            sentinel, st.integers(1, 6), st.integers(1, 9), st.lists(st.integers(1, 9)), st.lists(st.integers(1, 9))
        ),
        st.builds(lambda n: node(n, nodes(SHARDS)), st.integers(1, 6)),
    ),
    max_size=8,
    unique_by=lambda each: each["entry"]["name"],
)


@given(MEMBERS)
def test_everybody_is_in_one_group(members: list[dict[str, Any]]) -> None:
    """Each instance that holds data is in one group, in one place; a Sentinel is in one or more; ids differ."""
    found = groups(members)
    names = [each["entry"]["name"] for each in members]
    data = [each["name"] for group in found for each in group["members"] if each["role"] != "sentinel"]
    watching = {name for group in found for name in group["sentinels"]}
    assert sorted([*data, *watching]) == sorted(names)
    placed = [name for group in found for shard in group["shards"] for name in [shard["primary"], *shard["replicas"]]]
    assert sorted(name for name in placed if name and name not in data) == []
    assert len(placed) == len(set(placed) - {None}) + placed.count(None)
    ids = [shard["id"] for group in found for shard in group["shards"]]
    assert len(ids) == len(set(ids))
    for group in found:
        assert not (group["healthy"] and group["unreachable"])


@given(MEMBERS, st.randoms())
def test_order_is_no_matter(members: list[dict[str, Any]], chance: Random) -> None:
    """Who belongs together does not depend on the inventory's order."""

    def together(some: list[dict[str, Any]]) -> set[frozenset[str]]:
        return {frozenset(each["name"] for each in group["members"]) for group in groups(some)}

    mixed = list(members)
    chance.shuffle(mixed)
    assert together(mixed) == together(members)
