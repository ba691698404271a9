# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What backups remember of a cluster, for nodes that lost their own knowledge of it. Pure.

A backup keeps what its node knew: who all nodes were, and where; and of its own shard the slots it had, in which epoch.
A node that has lost its nodes.conf is known again by the name that its backups were made under, or by its address.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from .._server.slots import merged_ranges
from .._server.topology import BACKUP, FILES, NOTHING
from .members import Book, Member, members_of
from .nodes_conf import nodes_of_result

Row = dict[str, Any]
Told = Mapping[str, Any]


def remembered(
    members: Iterable[Mapping[str, Any] | Member], tables: Iterable[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """The members, those that lost their table of nodes with what backups (`tables` of redis_backup_info) remember.

    Where other members still know the cluster their word counts, and only which node it was is remembered. The id of
    a node that came back as another one, knowing only itself, is kept as `found_id`.
    """
    known = members_of(members)
    book = Book(known)
    clusters = [merged_tables(each) for each in _clusters(tables)]
    alive = {row["id"] for member in known if not _lost(member) for row in member.cluster.get("nodes") or []}
    return [_told_again(member, book, clusters, alive) for member in known]


def _told_again(member: Member, book: Book, clusters: Sequence[dict[str, Any]], alive: set[str]) -> dict[str, Any]:
    instance = member.instance
    if instance is not None and _lost(member):
        for cluster in clusters:
            identity = _identity(member, book, cluster)
            if identity:
                instance = {**instance, "topology": _topology(member, cluster, identity, alive)}
                break
    return {
        "host": member.host,
        "address": member.address,
        "reachable": member.reachable,
        "entry": dict(member.entry),
        "instance": instance,
        "error": member.error,
    }


def _lost(member: Member) -> bool:
    """Whether a member does not know the cluster that it may be a node of."""
    return not member.known or (member.is_cluster and len(member.cluster.get("nodes") or []) <= 1)


def lost_sight(members: Iterable[Mapping[str, Any] | Member]) -> list[str]:
    """The names of the members that are asked for in backups: nobody and nothing else may know what they were."""
    return [member.name for member in members_of(members) if member.instance is not None and _lost(member)]


def _identity(member: Member, book: Book, cluster: Mapping[str, Any]) -> str:
    """Which node of a cluster a member was; empty when it was none of them."""
    if member.name in cluster["names"]:
        return str(cluster["names"][member.name])
    for row in cluster["nodes"]:
        if row["port"] and book.find(row["host"], row["port"], member) is member:
            return str(row["id"])
    return ""


def _topology(member: Member, cluster: Mapping[str, Any], identity: str, alive: set[str]) -> dict[str, Any]:
    before = member.topology
    row = next((each for each in cluster["nodes"] if each["id"] == identity), None)
    role = before.get("role") or (row["role"] if row else "")
    return {
        "addresses": [],
        "primary": None,
        "replicas": [],
        "replid": "",
        "offset": None,
        "watched_by": [],
        "sentinel": None,
        "problems": [],
        **before,
        "mode": "cluster",
        "role": role,
        "source": BACKUP if before.get("source", NOTHING) in (FILES, NOTHING) else before["source"],
        "cluster": {
            "state": member.cluster.get("state", ""),
            "my_id": identity,
            "found_id": str(member.cluster.get("my_id") or ""),
            "shard_id": "",
            "epoch": cluster["epoch"],
            "slots_served": 0,
            "nodes": [] if alive & {each["id"] for each in cluster["nodes"]} else cluster["nodes"],
            "moving": [],
        },
    }


def _clusters(tables: Iterable[Told]) -> list[list[Told]]:
    """The tables, those of one cluster together: they have a node in common."""
    found: list[tuple[set[str], list[Told]]] = []
    for table in tables:
        ids = {str(row["id"]) for row in table["cluster"]["nodes"]}
        together = [each for each in found if each[0] & ids]
        found = [each for each in found if not each[0] & ids]
        all_ids = ids.union(*(each[0] for each in together))
        found.append((all_ids, [*(one for each in together for one in each[1]), table]))
    return [each for _ids, each in found]


def merged_tables(tables: Sequence[Told]) -> dict[str, Any]:
    """One table of nodes out of several of the same cluster: `nodes`, `epoch`, and `names` of instances with their ids.

    The newest counts. What a part of a set tells of its own shard was watched while the backup was taken: of two that
    claim a slot the higher epoch has it, as among the nodes themselves.
    """
    ordered = sorted(tables, key=lambda each: (int(each["cluster"].get("epoch") or 0), str(each["time"])))
    rows = {str(row["id"]): dict(row) for row in ordered[-1]["cluster"]["nodes"]}
    everything = {str(row["id"]): row for each in ordered for row in each["cluster"]["nodes"]}
    for part in sorted((each["set"] for each in ordered if each.get("set")), key=lambda part: int(part["epoch"])):
        _claim(rows, everything, part)
    shards = {
        node.identity: node.shard_id for each in ordered for node in nodes_of_result(each["cluster"]) if node.shard_id
    }
    for identity, row in rows.items():
        row["shard_id"] = row.get("shard_id") or shards.get(identity) or shards.get(str(row["primary_id"] or ""), "")
        row["flags"], row["usable"] = ["slave" if row["role"] == "replica" else "master"], True
    return {
        "nodes": sorted(rows.values(), key=lambda row: str(row["id"])),
        "epoch": max(int(row["epoch"] or 0) for row in [*rows.values(), ordered[-1]["cluster"]]),
        "names": {str(each["instance"]): str(each["cluster"]["my_id"]) for each in ordered},
    }


def _claim(rows: dict[str, Row], everything: Mapping[str, Mapping[str, Any]], part: Mapping[str, Any]) -> None:
    """Give a part's slots to the node that had them, where nobody has them by a higher epoch."""
    node, epoch = str(part.get("node") or ""), int(part["epoch"])
    wanted = {slot for first, last in part["slots"] for slot in range(int(first), int(last) + 1)}
    if node not in everything:
        return
    for identity, row in rows.items():
        if identity != node and row["role"] == "primary" and int(row["epoch"] or 0) > epoch:
            wanted -= _slots(row)
    if not wanted:
        return
    mine = rows.setdefault(node, dict(everything[node]))
    before = str(mine["primary_id"] or "")
    if mine["role"] == "replica":
        mine.update(role="primary", primary_id="")
        for row in rows.values():
            if row["primary_id"] == before or row["id"] == before:
                row.update(role="replica", primary_id=node, slots=[])
    for identity, row in rows.items():
        if identity != node and row["slots"]:
            row["slots"] = _ranges(_slots(row) - wanted)
    mine["slots"] = _ranges(wanted | _slots(mine))
    mine["epoch"] = max(epoch, int(mine["epoch"] or 0))
    for row in rows.values():
        if row["primary_id"] == node:
            row["epoch"] = mine["epoch"]


def _slots(row: Mapping[str, Any]) -> set[int]:
    return {slot for first, last in row["slots"] for slot in range(int(first), int(last) + 1)}


def _ranges(slots: set[int]) -> list[list[int]]:
    return merged_ranges([[slot, slot] for slot in slots])
