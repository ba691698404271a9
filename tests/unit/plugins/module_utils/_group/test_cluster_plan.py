# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a cluster needs: decisions over what is known of its nodes and their backups."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from ansible_collections.globalscope.redis_backup.plugins.module_utils._group.cluster_plan import cluster_plan
from ansible_collections.globalscope.redis_backup.plugins.module_utils._group.plan import Wish
from ansible_collections.globalscope.redis_backup.plugins.module_utils._topology.groups import groups
from ansible_collections.globalscope.redis_backup.plugins.module_utils._topology.nodes_conf import (
    nodes_of_rows,
    why_not,
)
from ansible_collections.globalscope.redis_backup.plugins.module_utils._topology.remembered import (
    merged_tables,
    remembered,
)
from ansible_collections.globalscope.redis_backup.tests.unit.helpers.members import gone, member, node_id

Member = dict[str, Any]
SLOTS = {1: [[0, 5460]], 2: [[5461, 10922]], 3: [[10923, 16383]]}


def row(number: int, *, bad: Sequence[int] = ()) -> dict[str, Any]:
    """Nodes 1 to 3 are primaries, 4 to 6 their replicas; all on hosts of their numbers."""
    head = number - 3 if number > 3 else 0
    return {
        "id": node_id(number),
        "host": f"10.0.0.{number}",
        "port": 6379,
        "bus_port": 16379,
        "hostname": "",
        "role": "replica" if head else "primary",
        "primary_id": node_id(head) if head else "",
        "slots": SLOTS.get(number, []),
        "epoch": head or number,
        "usable": number not in bad,
        "flags": ["fail"] if number in bad else [],
    }


def table(number: int, *, bad: Sequence[int] = ()) -> dict[str, Any]:
    rows = [row(each, bad=bad) for each in range(1, 7)]
    return {
        "state": "fail" if bad else "ok",
        "my_id": node_id(number),
        "shard_id": "",
        "epoch": 6,
        "slots_served": 16384,
        "nodes": rows,
        "moving": [],
    }


def runs(number: int, *, bad: Sequence[int] = (), link_up: bool = True) -> Member:
    head = number - 3
    told = {"host": f"10.0.0.{head}", "port": 6379, "link_up": link_up, "sync_in_progress": False, "addresses": []}
    return member(
        number,
        mode="cluster",
        role="replica" if head > 0 else "primary",
        primary=told if head > 0 else None,
        cluster=table(number, bad=bad),
    )


def lost(number: int) -> Member:
    """Down, its nodes.conf gone, its redis.conf there."""
    nothing = {**table(number), "nodes": [], "my_id": "", "epoch": 0}
    return member(number, state="down", mode="cluster", role="", cluster=nothing)


def left(number: int) -> Member:
    """Down with its files."""
    return member(
        number, state="down", mode="cluster", role="replica" if number > 3 else "primary", cluster=table(number)
    )


OK = {"healthy": True, "holds_data": True, "data_files": [], "instance": {"keys": 7}}
EMPTY = {"healthy": False, "holds_data": False, "data_files": []}
HOLDS = {"healthy": False, "holds_data": True, "data_files": [{"name": "dump.rdb", "size": 7}]}


def backup(number: int, day: int, of_set: str = "", slots: list[list[int]] | None = None, keys: int = 10) -> Member:
    shard = number - 3 if number > 3 else number
    part = {"id": of_set, "shards": 3, "shard": f"s{shard}", "slots": slots or SLOTS[shard], "epoch": shard}
    return {
        "instance": f"h{number}-6379",
        "label": f"202611{day:02}T000000Z_rdb",
        "time": f"2026-11-{day:02}T00:00:00Z",
        "usable": True,
        "suspect": None,
        "repositories": ["nfs"],
        "keys": {"total": keys, "expires": 0},
        "set": {**part, "node": node_id(shard)},
    }


def catalog(*backups: Member) -> dict[str, Any]:
    names = sorted({each["set"]["id"] for each in backups if each["set"]["id"]})
    sets = [
        {
            "id": name,
            "usable": sum(each["set"]["id"] == name for each in backups) == 3,
            "members": [
                {"instance": each["instance"], "label": each["label"], "slots": each["set"]["slots"]}
                for each in backups
                if each["set"]["id"] == name
            ],
        }
        for name in names
    ]
    tables = [
        {
            "instance": each["instance"],
            "label": each["label"],
            "time": each["time"],
            "set": each["set"],
            "cluster": table(int(each["instance"][1])),
        }
        for each in backups
    ]
    return {"backups": list(backups), "sets": sets, "tables": tables}


SET = [backup(1, 1, "a"), backup(5, 1, "a"), backup(3, 1, "a")]


def plan(members: list[Member], assessed: dict[int, Any], backups: list[Member], **wish: Any) -> dict[str, Any]:
    told = catalog(*backups)
    known = remembered(members, told["tables"])
    (group,) = groups(known)
    by_name = {f"h{number}-6379": each for number, each in assessed.items()}
    return cluster_plan(group, known, by_name, told, Wish(**wish))


def names(rows: list[dict[str, Any]]) -> list[str]:
    return [each["name"][:2] for each in rows]


def test_nothing_is_lost() -> None:
    found = plan([runs(n) for n in range(1, 7)], dict.fromkeys(range(1, 7), OK), SET)
    assert (found["action"], found["skipped"], found["feed"]) == ("none", [], [])


def test_everything_is_lost() -> None:
    found = plan([lost(n) for n in range(1, 7)], dict.fromkeys(range(1, 7), EMPTY), SET)
    assert found["action"] == "recover" and not found["partial"]
    assert names(found["recover"]) == ["h1", "h2", "h3"] and names(found["feed"]) == ["h4", "h5", "h6"]
    assert sorted(names(found["place"])) == ["h1", "h2", "h3", "h4", "h5", "h6"]
    assert {each["name"]: each["fence"] for each in found["place"]}["h5-6379"]
    assert {each["backup"]["set"] for each in found["recover"]} == {"a"}
    assert why_not(nodes_of_rows(found["table"])) == ""


def test_a_shard_is_lost_while_others_live() -> None:
    members = [runs(n, bad=(2, 5)) for n in (1, 3, 4, 6)] + [lost(2), lost(5)]
    found = plan(members, {**dict.fromkeys((1, 3, 4, 6), OK), 2: EMPTY, 5: EMPTY}, SET)
    assert (found["action"], names(found["recover"]), names(found["feed"])) == ("recover", ["h2"], ["h5"])
    assert sorted(names(found["place"])) == ["h2", "h5"] and found["stop"] == []


def test_a_newer_backup_of_one_shard_is_passed_over_for_a_set() -> None:
    newer = backup(2, 5)
    found = plan([lost(n) for n in range(1, 7)], dict.fromkeys(range(1, 7), EMPTY), [*SET, newer])
    assert {each["backup"]["set"] for each in found["recover"]} == {"a"}
    assert any("is newer than" in words for words in found["findings"])
    members = [runs(n, bad=(2, 5)) for n in (1, 3, 4, 6)] + [lost(2), lost(5)]
    one = plan(members, {**dict.fromkeys((1, 3, 4, 6), OK), 2: EMPTY, 5: EMPTY}, [*SET, newer])
    assert one["recover"][0]["backup"]["label"] == newer["label"]


def test_a_backup_with_other_slots_is_refused() -> None:
    others = [backup(1, 1, "a", [[0, 5000]]), *SET[1:]]
    members = [runs(n, bad=(1, 4)) for n in (2, 3, 5, 6)] + [lost(1), lost(4)]
    found = plan(members, {**dict.fromkeys((2, 3, 5, 6), OK), 1: EMPTY, 4: EMPTY}, others)
    assert found["action"] == "refuse" and "redis_restore_import_set" in found["why"]


def test_an_emptied_shard_is_recovered_with_its_replica_stopped() -> None:
    found = plan([runs(n) for n in range(1, 7)], {**dict.fromkeys(range(1, 7), OK), 3: EMPTY, 6: EMPTY}, SET)
    assert (found["action"], names(found["recover"]), names(found["stop"])) == ("recover", ["h3"], ["h6"])
    assert names(found["place"]) == ["h6"]


def test_a_failover_comes_first() -> None:
    members = [lost(1), *(runs(n, bad=(1,), link_up=n != 4) for n in range(2, 7))]
    assessed = {**dict.fromkeys(range(2, 7), OK), 1: EMPTY, 4: HOLDS}
    found = plan(members, assessed, SET)
    assert found["action"] == "wait" and found["waits"] == [node_id(1)]
    after = plan(members, assessed, SET, waited=True)
    assert after["action"] == "refuse" and "redis_disaster_recovery_promote=h4-6379" in after["why"]
    said = plan(members, assessed, SET, waited=True, promote=("h4-6379",))
    assert said["action"] == "promote" and names(said["promote"]) == ["h4"]
    assert plan(members, assessed, SET, waited=True, confirm=("h4-6379",))["action"] == "recover"


def test_files_that_are_left_are_not_put_aside_unasked() -> None:
    found = plan([left(n) for n in range(1, 7)], dict.fromkeys(range(1, 7), HOLDS), SET)
    assert found["action"] == "refuse" and "start h1-6379" in found["why"]


@pytest.mark.parametrize("wish", [{"confirm": ("h1-6379",)}, {"promote": ("h4-6379",)}])
def test_hosts_that_do_not_answer(wish: dict[str, Any]) -> None:
    """What can be had back is; a primary that may hold the newest data is not overruled unasked."""
    members = [gone(1), *(lost(n) for n in range(2, 7))]
    assessed = dict.fromkeys(range(2, 7), EMPTY)
    found = plan(members, assessed, SET)
    assert found["action"] == "recover" and found["partial"] and names(found["recover"]) == ["h2", "h3"]
    assert names(found["feed"]) == ["h5", "h6"]
    assert any("redis_disaster_recovery_confirm=h1-6379" in words for words in found["skipped"])
    all_of_it = plan(members, assessed, SET, **wish)
    assert names(all_of_it["recover"]) == ["h4", "h2", "h3"] and not all_of_it["partial"]
    new = next(each for each in all_of_it["table"] if each["id"] == node_id(4))
    assert new["role"] == "primary" and new["epoch"] > 6 and why_not(nodes_of_rows(all_of_it["table"])) == ""


def test_a_part_of_a_set_overrules_a_table_of_before() -> None:
    """A backup's table may be older than a failover; the part's own node is the truth."""
    part = {"id": "a", "slots": SLOTS[1], "node": node_id(4), "epoch": 9}
    old = {"instance": "h2-6379", "time": "2026-11-01T00:00:00Z", "set": None, "cluster": table(2)}
    new = {"instance": "h4-6379", "time": "2026-11-01T00:00:00Z", "set": part, "cluster": table(4)}
    for tables in ([old, new], [new, old]):
        found = {each["id"]: each for each in merged_tables(tables)["nodes"]}
        assert (found[node_id(4)]["role"], found[node_id(4)]["slots"]) == ("primary", SLOTS[1])
        assert (found[node_id(1)]["role"], found[node_id(1)]["primary_id"]) == ("replica", node_id(4))
        assert why_not(nodes_of_rows(found.values())) == ""


def test_nobody_knows_the_nodes() -> None:
    members = [lost(1)]
    (group,) = groups(members)
    found = cluster_plan(group, members, {}, {"backups": [], "sets": [], "tables": []}, Wish())
    assert found["action"] == "refuse" and "nobody knows" in found["why"]


@pytest.mark.parametrize("first", [True, False])
def test_a_stopped_copy_of_a_node_is_not_taken_for_it(first: bool) -> None:
    """A cold standby, or the copy of a virtual machine, with the files of node 1."""
    copy = member(9, state="down", mode="cluster", role="primary", cluster=table(1))
    everybody = [runs(number) for number in range(1, 7)]
    members = [copy, *everybody] if first else [*everybody, copy]
    (group,) = groups(members)
    assert [shard["primary"] for shard in group["shards"]] == ["h1-6379", "h2-6379", "h3-6379"]
    found = plan(members, dict.fromkeys(range(1, 7), OK) | {9: HOLDS}, SET)
    assert found["action"] in ("none", "feed") and not found["recover"] and not found["promote"]


def test_data_of_another_replica_is_not_put_aside_for_an_empty_one() -> None:
    """Its primary cannot be reached; h4 is empty and is to take its place, and h7 serves what is newest."""
    away = {"host": "10.0.0.1", "port": 6379, "link_up": False, "sync_in_progress": False, "addresses": []}
    other = member(7, mode="cluster", role="replica", primary=away, cluster=table(7, bad=(1,)))
    members = [gone(1), runs(2, bad=(1,)), runs(3, bad=(1,)), left(4), runs(5, bad=(1,)), runs(6, bad=(1,)), other]
    for each in members[1:]:
        each["instance"]["topology"]["cluster"]["nodes"].append({**row(4), "id": node_id(7), "host": "10.0.0.7"})
    assessed = {2: OK, 3: OK, 4: EMPTY, 5: OK, 6: OK, 7: OK}
    refused = plan(members, assessed, SET, promote=["h4-6379"])
    assert refused["action"] == "refuse" and "h7-6379 runs with 7 keys" in refused["why"]
    agreed = plan(members, assessed, SET, promote=["h4-6379"], confirm=["h7-6379"])
    assert [each["name"] for each in agreed["recover"]] == ["h4-6379"]


def test_a_node_that_was_met_again_under_a_new_id_leaves_its_old_row_behind() -> None:
    """h1 lost its nodes.conf, h4 has its slots, and shard 2 is lost: its files remember where h1 was."""
    new = {**row(1), "id": "f" * 40, "slots": [], "epoch": 0}
    members = []
    for number in range(1, 7):
        if number in (2, 5):
            members.append(left(number))
            continue
        each = runs(number, bad=(1, 2))
        seen = each["instance"]["topology"]["cluster"]
        old = {"host": "", "port": 0, "bus_port": 0, "usable": False, "flags": ["noaddr"]}
        seen["nodes"][0].update(**old, role="replica", primary_id=node_id(4), slots=[])
        seen["nodes"][3].update(role="primary", primary_id="", slots=SLOTS[1], epoch=8)
        seen["nodes"].append(new)
        if number == 1:
            seen["my_id"] = "f" * 40
        if number == 4:
            each["instance"]["topology"].update(role="primary", primary=None)
        members.append(each)
    found = plan(members, {1: OK, 2: EMPTY, 3: OK, 4: OK, 5: EMPTY, 6: OK}, SET)
    assert [each["name"] for each in found["recover"]] == ["h2-6379"]
    assert why_not(nodes_of_rows(found["table"])) == ""


def test_force_on_a_shard_that_serves_says_so() -> None:
    found = plan([runs(number) for number in range(1, 7)], dict.fromkeys(range(1, 7), OK), SET, force=True)
    assert found["action"] == "refuse" and "serves, and is to be recovered by force" in found["why"]
