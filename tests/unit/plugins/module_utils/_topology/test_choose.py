# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From whom a shard is backed up."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.globalscope.redis_backup.plugins.module_utils._topology.choose import (
    choose_source,
    choose_sources,
)
from ansible_collections.globalscope.redis_backup.plugins.module_utils._topology.groups import groups
from ansible_collections.globalscope.redis_backup.tests.unit.helpers.members import (
    cluster,
    gone,
    member,
    primary,
    replica,
    sentinel,
)
from hypothesis import given
from hypothesis import strategies as st

MB = 1024 * 1024


def choice(members: list[dict[str, Any]], mode: str = "replica_preferred", **more: Any) -> dict[str, Any]:
    """The choice for the only shard of these members."""
    (group,) = groups(members)
    return choose_source(group["shards"][0], members, mode, **more)


def versioned(each: dict[str, Any], version: str, flavour: str = "redis") -> dict[str, Any]:
    each["instance"].update(version=version, flavour=flavour)
    return each


def test_modes() -> None:
    members = [primary(1, 2, 3), replica(2, 1), replica(3, 1)]
    assert choice(members) == {"member": "h2-6379", "why": "a replica in step", "passed_over": []}
    assert choice(members, "replica")["member"] == "h2-6379"
    assert choice(members, "primary") == {"member": "h1-6379", "why": "the primary", "passed_over": []}


def test_standalone() -> None:
    assert choice([member(1)]) == {"member": "h1-6379", "why": "the primary", "passed_over": []}
    assert choice([member(1)], "replica") == {"member": None, "why": "it has no replica", "passed_over": []}
    assert choice([member(1, state="down")])["member"] is None


@pytest.mark.parametrize(
    ("unfit", "words"),
    [
        (replica(2, 1, link_up=False), "its link to the primary is down"),
        (replica(2, 1, syncing=True), "it is receiving its primary's data"),
        (replica(2, 1, state="down"), "it is down"),
        (replica(2, 1, state="loading"), "it is loading"),
        (gone(2), "it is unreachable"),
        (replica(2, 1, replid="b" * 40), "it does not follow h1-6379"),
        (versioned(replica(2, 1), "7.0.16"), "its version 7.0.16 is newer than the primary's"),
        (versioned(replica(2, 1), "7.2.4", "valkey"), "Redis 7.0.15 loads RDB formats up to 10, this one is 11"),
    ],
)
def test_replicas_that_are_not_fit(unfit: dict[str, Any], words: str) -> None:
    """They are passed over, and named; the next replica is chosen, else the primary if it may."""
    members = [primary(1, 2, 3), unfit, replica(3, 1)]
    assert choice(members) == {"member": "h3-6379", "why": "a replica in step", "passed_over": [f"h2-6379: {words}"]}
    alone = choice(members[:2])
    assert (alone["member"], alone["why"]) == ("h1-6379", "the primary, as no replica is fit")
    assert choice(members[:2], "replica")["member"] is None


def test_lower_version_is_fit() -> None:
    assert choice([primary(1, 2), versioned(replica(2, 1), "6.2.14")])["member"] == "h2-6379"


def test_old_primary_that_serves_beside_the_new_one() -> None:
    members = [member(1), primary(2, 3), replica(3, 2), sentinel(4, 2, (1, 3))]
    found = choice(members)
    assert found["member"] == "h3-6379"
    assert found["passed_over"] == ["h1-6379: it is no replica"]


def test_the_least_lag() -> None:
    """What was written between two looks is no lag; what the replica had at its own look counts as well."""
    late, early = replica(2, 1, offset=5 * MB), replica(3, 1, offset=9 * MB)
    head = primary(1, 2, 3, offset=10 * MB)
    for told in head["instance"]["topology"]["replicas"]:
        told["offset"] = 2 * MB
    assert choice([head, late, early])["member"] == "h3-6379"
    late["instance"]["topology"]["offset"] = 10 * MB - 10
    early["instance"]["topology"]["offset"] = 10 * MB
    assert choice([head, late, early])["member"] == "h2-6379"


def test_bounds_on_lag() -> None:
    head, behind = primary(1, 2, offset=10 * MB), replica(2, 1, offset=4 * MB)
    (told,) = head["instance"]["topology"]["replicas"]
    told.update(offset=3 * MB, lag=30)
    assert choice([head, behind])["member"] == "h2-6379"
    words = ["h2-6379: it is 6291456 bytes behind the primary, more than 1048576"]
    assert choice([head, behind], max_lag_bytes=MB)["passed_over"] == words
    words = ["h2-6379: it is 30 s behind the primary, more than 20"]
    assert choice([head, behind], max_lag_seconds=20)["passed_over"] == words
    assert choice([head, behind], max_lag_seconds=31)["member"] == "h2-6379"


def test_idle_primary_is_no_lag() -> None:
    """It speaks every ten seconds; the replica acknowledges every second."""
    quiet = replica(2, 1)
    quiet["instance"]["topology"]["primary"]["last_io_seconds"] = 9
    assert choice([primary(1, 2), quiet], max_lag_seconds=2)["member"] == "h2-6379"


def test_missing_primary() -> None:
    """Its replica is still fit while its link is up; the last word it heard tells how far behind it is."""
    assert choice([replica(2, 1)])["member"] == "h2-6379"
    assert choice([replica(2, 1)], max_lag_seconds=5)["why"] == "its primary is not in the inventory"


def test_machines_share_the_work() -> None:
    """Three groups, each with a replica on either of two machines."""
    many = [*(primary(n, n + 10, n + 20) for n in (1, 2, 3)), *(replica(n + 10, n) for n in (1, 2, 3))]
    many += [replica(n + 20, n) for n in (1, 2, 3)]
    for each in many:
        number = int(each["host"][1:])
        each["instance"]["topology"]["machine"] = "left" if 10 < number < 20 else "right" if number > 20 else "main"
    chosen = choose_sources(groups(many), many)
    assert [each["member"] for each in chosen.values()] == ["h11-6379", "h22-6379", "h13-6379"]


def test_cluster() -> None:
    """One source for each shard, none for nodes without slots."""
    members = cluster({1: [4], 2: [5], 3: [6]})
    for each in members:
        for row in each["instance"]["topology"]["cluster"]["nodes"]:
            if row["host"] == "10.0.0.3":
                row["slots"] = []
    found = groups(members)
    chosen = choose_sources(found, members)
    assert sorted(each["member"] for each in chosen.values()) == ["h4-6379", "h5-6379"]


@given(
    st.lists(
        st.tuples(
            st.booleans(), st.booleans(), st.integers(0, 10 * MB), st.sampled_from(["running", "down", "loading"])
        ),
        max_size=5,
    ),
    st.sampled_from(["replica_preferred", "replica", "primary"]),
    st.none() | st.integers(0, 5 * MB),
)
def test_what_is_chosen_is_fit(states: list[Any], mode: str, bound: int | None) -> None:
    replicas = [
        replica(number, 1, link_up=up, syncing=syncing, offset=offset, state=state)
        for number, (up, syncing, offset, state) in enumerate(states, 2)
    ]
    head = primary(1, offset=10 * MB)
    (group,) = groups([head, *replicas])
    found = choose_source(group["shards"][0], [head, *replicas], mode, bound)
    fit = {
        f"h{number}-6379"
        for number, (up, syncing, offset, state) in enumerate(states, 2)
        if up and not syncing and state == "running" and (bound is None or 10 * MB - offset <= bound)
    }
    if mode == "primary" or (mode == "replica_preferred" and not fit):
        assert found["member"] == "h1-6379"
    else:
        assert found["member"] in (fit or {None})
    if mode != "primary":
        assert len(found["passed_over"]) == len(states) - len(fit)
