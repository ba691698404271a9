# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The nodes.conf of each node of a cluster that lost them, made from what is still known of the cluster. Pure.

A server reads it once, at its start: who it is, which slots it serves, who the others are and where. With it, and its
shard's RDB, it comes back as the node it was. Without it, each node would be a stranger to all others; and with wrong
slots in it, Valkey from 8.0 on deletes the keys of all slots that are not its own.
"""

from __future__ import annotations

import dataclasses
import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from .._errors import RestoreError
from .._server.cluster import Node, current_epoch, parse_nodes
from .._server.slots import count, in_words, merged_ranges, uncovered

_ID = re.compile(r"[0-9a-f]{40}")
_BUS_OFFSET = 10000
_UNTOUCHED = "No file was written"


def nodes_of_result(cluster: Mapping[str, Any]) -> list[Node]:
    """The nodes in `topology.cluster`, as a manifest or redis_instance_info has it.

    The node that told has its shard's id, and so have its primary and its replicas.
    """
    mine = next((row for row in cluster["nodes"] if row["id"] == cluster["my_id"]), None)
    head = (mine["primary_id"] or mine["id"]) if mine else ""
    shard = str(cluster.get("shard_id") or "")
    found = nodes_of_rows(cluster["nodes"])
    if not shard or not head:
        return found
    return [_with_shard(node, shard) if head in (node.identity, node.primary) else node for node in found]


def nodes_of_rows(rows: Iterable[Mapping[str, Any]]) -> list[Node]:
    """The nodes in `topology.cluster.nodes`. A row may tell its `shard_id`.

    Raises KeyError, TypeError and ValueError for what are no such rows.
    """
    found = []
    for row in rows:
        replica = row["role"] == "replica"
        shard = str(row.get("shard_id") or "")
        found.append(
            Node(
                identity=str(row["id"]),
                host=str(row["host"]),
                port=int(row["port"]),
                flags=frozenset({"slave"} if replica else {"master"}),
                primary=str(row.get("primary_id") or "") if replica else "",
                slots=tuple((int(first), int(last)) for first, last in row.get("slots") or []),
                epoch=int(row.get("epoch") or 0),
                bus_port=int(row.get("bus_port") or 0),
                hostname=str(row.get("hostname") or ""),
                aux=(("shard-id", shard),) if shard else (),
            )
        )
    return found


def nodes_of_text(text: bytes) -> list[Node]:
    """The nodes in a nodes.conf or in the reply to CLUSTER NODES."""
    return parse_nodes(text, "")


def with_shard_ids(nodes: Sequence[Node], tables: Iterable[Sequence[Node]]) -> list[Node]:
    """The nodes with the shard ids that any of the tables knows: each node tells its own alone."""
    known = {node.identity: node.shard_id for table in tables for node in table if node.shard_id}
    return [
        node if node.shard_id or node.identity not in known else _with_shard(node, known[node.identity])
        for node in nodes
    ]


def placed(nodes: Sequence[Node], places: Mapping[str, tuple[str, int]]) -> list[Node]:
    """The nodes at new addresses, by their ids: `{id: (IP address, port)}`. Those that are not named stay.

    What else was said of the old address (a host name, a port for TLS) is dropped: the server says it again itself.
    """
    found = []
    for node in nodes:
        host, port = places.get(node.identity, (node.host, node.port))
        if (host, port) != (node.host, node.port):
            aux = tuple((name, value) for name, value in node.aux if name == "shard-id")
            bus_port = port + _BUS_OFFSET if node.bus_port in (0, node.port + _BUS_OFFSET) else node.bus_port
            node = dataclasses.replace(node, host=host, port=port, bus_port=bus_port, hostname="", aux=aux)
        found.append(node)
    return found


def at_rest(nodes: Sequence[Node], without: Iterable[str] = ()) -> list[Node]:
    """The nodes as they shall come back: nobody has failed, no slot is on its way, and those in `without` are gone.

    Nodes that never had a part in the cluster (in handshake, or without an address) are left out where they serve no
    slots, and a replica whose primary is not there as well.
    """
    gone = set(without)
    found = [node for node in nodes if node.identity not in gone and (_lasting(node) or node.slots)]
    primaries = {node.identity for node in found if not node.is_replica}
    result = []
    for node in found:
        if node.is_replica and node.primary not in primaries:
            continue
        flags = frozenset({"slave"} if node.is_replica else {"master"})
        result.append(dataclasses.replace(node, flags=flags, moving=()))
    return result


def _lasting(node: Node) -> bool:
    return "handshake" not in node.flags and bool(node.port)


def why_not(nodes: Sequence[Node]) -> str:
    """Why these nodes make no cluster that could serve; empty when they do."""
    for node in nodes:
        if not _ID.fullmatch(node.identity):
            return f"{node.identity!r} is no id of a node"
        if not node.host or not 0 < node.port < 65536 or re.search(r"[\s,@]", node.host):
            return f"node {node.identity[:8]} has no address"
        if node.is_replica and node.slots:
            return f"node {node.identity[:8]} is a replica and has slots"
    for what, values in (
        ("id", [node.identity for node in nodes]),
        ("address", [node.where for node in nodes]),
    ):
        twice = sorted({value for value in values if values.count(value) > 1})
        if twice:
            return f"two nodes have the {what} {twice[0]}"
    ranges = sorted((first, last, node.identity[:8]) for node in nodes for first, last in node.slots)
    for (_first, last, owner), (first, _last, other) in zip(ranges, ranges[1:]):
        if first <= last:
            return f"slot {first} belongs to two nodes, {owner} and {other}"
    nobody = uncovered([(first, last) for first, last, _owner in ranges])
    return f"{count(nobody)} slots belong to nobody ({in_words(nobody)})" if nobody else ""


def sane_epochs(nodes: Sequence[Node], current: int = 0) -> tuple[list[Node], int]:
    """The nodes with epochs that no two primaries share, and the epoch of the cluster, which none is above.

    Epochs that are in order stay. A replica has its primary's.
    """
    primaries = sorted((node for node in nodes if not node.is_replica), key=lambda node: (node.epoch, node.identity))
    epochs = [node.epoch for node in primaries]
    if len(set(epochs)) == len(epochs) and all(epochs):
        fixed = {node.identity: node.epoch for node in primaries}
    else:
        fixed = {node.identity: number for number, node in enumerate(primaries, 1)}
    changed = [
        dataclasses.replace(node, epoch=fixed.get(node.primary if node.is_replica else node.identity, 0))
        for node in nodes
    ]
    return changed, max([current, *fixed.values()])


def compose(nodes: Sequence[Node], my_id: str, *, flavour: str, version: tuple[int, ...], current_epoch: int) -> str:
    """The nodes.conf of the node `my_id`, as a server of this flavour and version reads it.

    Raises RestoreError where the nodes make no cluster, or `my_id` is none of them.
    """
    why = why_not(nodes) or ("" if any(node.identity == my_id for node in nodes) else f"no node has the id {my_id}")
    if why:
        raise RestoreError(
            f"the cluster cannot be put together again: {why}",
            untouched=_UNTOUCHED,
            hint="Use another backup's table of nodes, or build an empty cluster and import the keys",
        )
    shards = {node.identity: _shard_of(node) for node in nodes if not node.is_replica}
    lines = [_line(node, node.identity == my_id, shards, flavour, version) for node in nodes]
    # A vote in the epoch of now was perhaps given by the node that it was: it must not be given twice.
    return "\n".join([*lines, f"vars currentEpoch {current_epoch} lastVoteEpoch {current_epoch}", ""])


def _line(node: Node, myself: bool, shards: Mapping[str, str], flavour: str, version: tuple[int, ...]) -> str:
    role = "slave" if node.is_replica else "master"
    slots = [str(first) if first == last else f"{first}-{last}" for first, last in node.slots]
    bus_port = node.bus_port or node.port + _BUS_OFFSET
    address = f"{node.host}:{node.port}@{bus_port}"
    if knows_aux(flavour, version):
        aux = [(name, value) for name, value in node.aux if name in ("tls-port", "tcp-port")]
        aux.append(("shard-id", shards[node.primary if node.is_replica else node.identity]))
        address = ",".join([address, node.hostname, *(f"{name}={value}" for name, value in aux)])
    elif node.hostname and version >= (7, 0):
        address = f"{address},{node.hostname}"
    flags = f"myself,{role}" if myself else role
    return " ".join([node.identity, address, flags, node.primary or "-", "0 0", str(node.epoch), "connected", *slots])


def says_the_same(one: str, other: str) -> bool:
    """Whether two nodes.conf tell a server the same: times, and ids of shards that only one of them knows, aside."""
    shards = [{n.identity: n.shard_id for n in parse_nodes(text.encode(), "")} for text in (one, other)]
    both = {name for name in shards[0] if shards[0][name] and shards[1].get(name)}
    return _told_by(one, both) == _told_by(other, both)


def _told_by(text: str, with_shard: set[str]) -> tuple[int, list[tuple[object, ...]]]:
    rows = [
        (
            node.identity,
            node.where,
            node.bus_port or node.port + _BUS_OFFSET,
            sorted(node.flags - {"nofailover"}),
            node.primary,
            merged_ranges(node.slots),
            node.moving,
            0 if node.is_replica else node.epoch,
            node.shard_id if node.identity in with_shard else "",
        )
        for node in parse_nodes(text.encode(), "")
    ]
    return current_epoch(text), sorted(rows, key=lambda row: str(row[0]))


def knows_aux(flavour: str, version: tuple[int, ...]) -> bool:
    """Whether a server reads auxiliary fields behind an address; an older one refuses to start with them."""
    return flavour == "valkey" or version >= (7, 2)


def _shard_of(node: Node) -> str:
    """A shard's id: its primary's, or one that every file of the cluster gets alike.

    Two nodes of one shard with different ids keep the server from starting.
    """
    known = node.shard_id
    return known if _ID.fullmatch(known) else hashlib.sha256(f"shard of {node.identity}".encode()).hexdigest()[:40]


def _with_shard(node: Node, shard: str) -> Node:
    return dataclasses.replace(node, aux=(*(each for each in node.aux if each[0] != "shard-id"), ("shard-id", shard)))
