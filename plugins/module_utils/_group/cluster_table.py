# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of a cluster's nodes by which those that lost theirs come back. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from .._server.cluster import node_result
from .._topology.members import Member
from .._topology.nodes_conf import at_rest, nodes_of_result, sane_epochs, with_shard_ids

Row = dict[str, Any]


def settled_table(
    cluster: Mapping[str, Any], members: Iterable[Member], tables: Sequence[Mapping[str, Any]]
) -> list[Row]:
    """The rows of a cluster's nodes at rest, with ids of shards and sane epochs, as far as anybody knows them.

    A primary without slots has the key `home`: the node that has now the slots which it is remembered to have had.
    `tables` are what backups remember. Members count before them.
    """
    views = [member.cluster for member in members if member.cluster.get("nodes")]
    views += [table["cluster"] for table in tables]
    taken = {(row["host"], row["port"]) for row in cluster["nodes"] if row["port"]}
    cluster = {**cluster, "nodes": [_addressed(row, views, taken) for row in cluster["nodes"]]}
    known = [nodes_of_result(each) for each in [cluster, *views]]
    nodes, _epoch = sane_epochs(with_shard_ids(at_rest(known[0]), known), int(cluster.get("epoch") or 0))
    told = {str(row["id"]): str(row.get("shard_id") or "") for row in cluster["nodes"]}
    rows = [{**node_result(node), "shard_id": node.shard_id or told.get(node.identity, "")} for node in nodes]
    for row in rows:
        if row["role"] == "primary" and not row["slots"]:
            row["home"] = _home(row["id"], rows, views)
    return rows


def _addressed(
    row: Mapping[str, Any], views: Sequence[Mapping[str, Any]], taken: Collection[tuple[Any, Any]]
) -> Mapping[str, Any]:
    """A row with an address: the nodes forget that of one which came back as another, who may have it now."""
    if row["port"]:
        return row
    for view in views:
        for other in view["nodes"]:
            if other["id"] == row["id"] and other["port"] and (other["host"], other["port"]) not in taken:
                return {**row, **{name: other.get(name) for name in ("host", "port", "bus_port", "hostname")}}
    return row


def _home(identity: str, rows: Sequence[Row], views: Sequence[Mapping[str, Any]]) -> str:
    """Who has a former primary's first slot now; empty where nobody remembers its slots."""
    for view in views:
        for row in view["nodes"]:
            if row["id"] == identity and row["slots"]:
                slot = int(row["slots"][0][0])
                for owner in rows:
                    if any(int(first) <= slot <= int(last) for first, last in owner["slots"]):
                        return str(owner["id"])
    return ""


def with_primary(rows: list[Row], new: str, old: str, epoch: int) -> None:
    """Make one node of a shard its primary in place of another, by an epoch above all others and `epoch`."""
    by_id = {row["id"]: row for row in rows}
    epoch = max([epoch, *(int(row["epoch"] or 0) for row in rows)]) + 1
    slots = by_id[old]["slots"]
    for row in rows:
        if row["id"] == old or row["primary_id"] == old:
            row.update(role="replica", primary_id=new, slots=[], epoch=epoch)
    by_id[new].update(role="primary", primary_id="", slots=slots, epoch=epoch)
