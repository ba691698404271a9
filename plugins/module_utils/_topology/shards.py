# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The nodes of a cluster as one group of shards. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .._server.cluster import SLOTS
from .group import CLUSTER, Group, Shard, harm_of, notes_of
from .members import Book, Member

Row = Mapping[str, Any]


def cluster_group(members: Sequence[Member], book: Book) -> Group:
    """The group of `members`, which are nodes of one cluster."""
    teller = best_teller(members)
    rows: Sequence[Row] = teller.cluster["nodes"] if teller else []
    group = Group(_name(rows, members), CLUSTER, list(members))
    at = places(rows, teller, members, book)
    primaries = {row["id"]: row for row in rows if row["role"] == "primary"}
    for identity, row in primaries.items():
        followers = [each for each in rows if each["primary_id"] == identity and each["role"] == "replica"]
        first = min([identity, *(each["id"] for each in followers)])
        members_of_shard = [at[each["id"]] for each in followers if each["id"] in at]
        shard = Shard(f"{group.id}/{first[:8]}", at.get(identity), members_of_shard, list(row["slots"]), identity)
        group.shards.append(shard)
    group.shards.sort(key=lambda shard: (shard.slots or [[SLOTS]])[0][0])
    for row in rows:
        if row["id"] not in at:
            who = "primary" if row["role"] == "primary" else f"replica of {_where(primaries.get(row['primary_id']))}"
            group.lack(_where(row), who)
            if not row["port"]:
                group.notes.append(
                    f"{_where(row)} has no address: it came back as another node, or was never met again"
                )
    group.moving = sorted({words for member in members for words in member.cluster.get("moving") or []})
    group.harm += harm_of(members)
    group.notes += notes_of(members)
    _judge(group, rows, at)
    return group


def best_teller(members: Sequence[Member]) -> Member | None:
    """Whose view of the cluster counts: of those that serve the newest, else of the files the newest."""
    tellers = [member for member in members if member.cluster.get("nodes")]
    if not tellers:
        return None
    return max(
        tellers,
        key=lambda member: (
            len(member.cluster["nodes"]) > 1,
            member.live,
            member.cluster.get("state") == "ok",
            member.cluster.get("epoch") or 0,
        ),
    )


def _name(rows: Sequence[Row], members: Sequence[Member]) -> str:
    return f"cluster-{min(row['id'] for row in rows)[:8]}" if rows else members[0].name


def _where(row: Row | None) -> str:
    if row is None:
        return "an unknown node"
    return f"{row['host'] or row['hostname']}:{row['port']}" if row["port"] else f"node {row['id'][:8]}"


def places(rows: Sequence[Row], teller: Member | None, members: Sequence[Member], book: Book) -> dict[str, Member]:
    """Which member is which node: by its id, else by its address."""
    told = sorted(members, key=lambda member: member.live)  # of two with one id, as a copy has, the one that serves
    by_id = {str(member.cluster["my_id"]): member for member in told if member.cluster.get("my_id")}
    found = {row["id"]: by_id[row["id"]] for row in rows if row["id"] in by_id}
    taken = set(found.values())
    for row in rows:
        if row["id"] not in found and teller is not None:
            member = book.find(row["host"], row["port"], teller, [row["hostname"]] if row["hostname"] else [])
            if member is not None and member in members and member not in taken:
                found[row["id"]] = member
                taken.add(member)
    return found


def _judge(group: Group, rows: Sequence[Row], at: Mapping[str, Member]) -> None:
    """What is wrong with the cluster as a whole."""
    if not rows:
        group.harm.append("nobody knows the nodes of this cluster")
        return
    served = sum(
        last - first + 1 for row in rows if row["usable"] and row["role"] == "primary" for first, last in row["slots"]
    )
    if served < SLOTS:
        group.harm.append(f"only {served} of {SLOTS} slots are served")
    for row in rows:
        if not row["usable"]:
            words = ",".join(flag for flag in row["flags"] if flag not in ("myself", "master", "slave"))
            name = at[row["id"]].name if row["id"] in at else _where(row)
            group.harm.append(f"the cluster sees {name} as {words}")
    if len(rows) == 1:
        group.harm.append(f"{group.members[0].name} knows no other node of a cluster")
    for identity, member in at.items():
        own = member.cluster.get("my_id")
        if member.live and own != identity:
            group.harm.append(
                f"{member.name} is not the node that the cluster knows at its address: it lost its nodes.conf"
            )
        state = member.cluster.get("state")
        if member.live and state and state != "ok":
            group.harm.append(f"{member.name} sees the cluster as {state}")
    placed = set(at.values())
    for member in group.members:
        if member not in placed:
            group.harm.append(f"{member.name} is no node of the cluster")
    group.notes += [f"slots are on their way: {words}" for words in group.moving[:5]]
