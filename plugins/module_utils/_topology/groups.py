# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The instances of an inventory, gathered into the groups that hold one data set together. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from .._server.network import is_loopback
from .group import SENTINELS, Group, harm_of
from .members import Book, Circles, Member, members_of
from .replication import Watch, replication_group
from .shards import cluster_group


def groups(given: Iterable[Mapping[str, Any] | Member]) -> list[dict[str, Any]]:
    """The groups of all members, in the order of the inventory.

    Everybody's word counts: what a server says of others, what Sentinels say, and of what is down its files.
    """
    members = members_of(given)
    book = Book(members)
    named = _sentinels_by_name(members, book)
    sentinels = [member for member in members if member.is_sentinel or member in named]
    data = [member for member in members if not (member.is_sentinel or member in named)]
    circles = Circles(data)
    _join_clusters(data, circles, book)
    _join_replicas(data, circles, book)
    watches = [(sentinel, master) for sentinel in sentinels for master in sentinel.masters]
    plain = {member for member in data if not member.is_cluster}
    meant = [[member for member in _watched(watch, book) if member in plain] for watch in watches]
    _join_watched(meant, circles)
    watched_by: dict[Member, list[int]] = {}
    for number, each in enumerate(meant):
        for member in each:
            watched_by.setdefault(member, []).append(number)
    found = []
    used: set[Member] = set()
    left = dict(enumerate(watches))
    for circle in circles.all():
        if any(member.is_cluster for member in circle):
            found.append(cluster_group(circle, book))
            continue
        numbers = sorted({number for member in circle for number in watched_by.get(member, [])})
        for number in numbers:
            left.pop(number, None)
        own = [watches[number] for number in numbers]
        group = replication_group(circle, own, _sentinels_of(own, sentinels, book), book)
        used.update(group.sentinels)
        found.append(group)
    for name in dict.fromkeys(master["name"] for _sentinel, master in left.values()):
        own = [(sentinel, master) for sentinel, master in left.values() if master["name"] == name]
        group = replication_group([], own, _sentinels_of(own, sentinels, book), book)
        used.update(group.sentinels)
        found.append(group)
    for sentinel in sentinels:
        if sentinel not in used:
            found.append(Group(sentinel.name, SENTINELS, [], sentinels=[sentinel], harm=_idle(sentinel)))
    _tell_apart(found)
    return [group.result() for group in found]


def _idle(sentinel: Member) -> list[str]:
    return harm_of([sentinel]) or [f"the Sentinel {sentinel.name} watches nothing"]


# --- who belongs together ---


def _join_clusters(data: list[Member], circles: Circles, book: Book) -> None:
    """Nodes of which one knows the other: by its id; by its address where its nodes.conf is lost."""
    told = sorted(data, key=lambda member: member.live)
    by_id = {str(member.cluster["my_id"]): member for member in told if member.cluster.get("my_id")}
    lost = {member for member in data if not member.known or (member.is_cluster and _alone(member))}
    for member in data:
        for row in member.cluster.get("nodes") or []:
            other = by_id.get(row["id"])
            if other is None:
                other = book.find(row["host"], row["port"], member, [row["hostname"]] if row["hostname"] else [])
                other = other if other in lost else None
            if other is not None:
                circles.join(member, other)


def _alone(member: Member) -> bool:
    """A node that knows no other."""
    return len(member.cluster.get("nodes") or []) <= 1


def _join_replicas(data: list[Member], circles: Circles, book: Book) -> None:
    """Replicas with their primary, by either's word; where addresses are translated between them, by their history."""
    plain = {member for member in data if not member.is_cluster}
    strangers: dict[tuple[str, str], Member] = {}
    serving = {m.topology.get("replid"): m for m in plain if m.running and m.says_primary and m.topology.get("replid")}
    for member in data:
        if member not in plain:
            continue
        other = book.primary_of(member)
        if other is None and member.running and member.primary.get("link_up"):
            other = serving.get(member.topology.get("replid"))
        if other is not None and other in plain:
            circles.join(member, other)
        elif member.primary.get("host"):  # nobody of the inventory: those that follow the same stranger are one group
            where = f"{member.primary['host']}:{member.primary['port']}"
            near = member.network if is_loopback(member.primary["host"]) else ""
            circles.join(member, strangers.setdefault((where, near), member))
        for replica in member.topology.get("replicas") or []:
            other = book.find(replica["host"], replica["port"], member)
            if other is not None and other in plain:
                circles.join(member, other)


def _join_watched(meant: list[list[Member]], circles: Circles) -> None:
    """A primary with those that a Sentinel takes for its replicas."""
    for together in meant:
        for member in together[1:]:
            circles.join(together[0], member)


def _watched(watch: Watch, book: Book) -> list[Member]:
    """The members whom a Sentinel means: the primary and its replicas."""
    sentinel, master = watch
    found = [book.find(master["host"], master["port"], sentinel)]
    found += [book.find_text(address, sentinel) for address in master["replicas"]]
    return [member for member in found if member is not None]


def _sentinels_of(watches: list[Watch], sentinels: list[Member], book: Book) -> list[Member]:
    """The Sentinels of a group: those that watch it, and those whom they name, which may be down or know nothing."""
    own = {sentinel for sentinel, _master in watches}
    named = {book.find_text(address, sentinel) for sentinel, master in watches for address in master["sentinels"]}
    return [member for member in sentinels if member in own or member in named]


def _sentinels_by_name(members: list[Member], book: Book) -> set[Member]:
    """Members that other Sentinels name as Sentinels, and which do not know better."""
    found = {
        book.find_text(address, sentinel)
        for sentinel in members
        for master in sentinel.masters
        for address in master["sentinels"]
    }
    return {member for member in found if member is not None and (not member.known or _bare(member))}


def _bare(member: Member) -> bool:
    """It is down, and its file tells nothing of whom it belongs to."""
    return not member.live and not member.is_cluster and member.says_primary


def _tell_apart(found: list[Group]) -> None:
    """Sentinels of many groups call their primary mymaster: then the id of each says whose it is as well."""
    often = Counter(group.id for group in found)
    for group in found:
        if often[group.id] > 1 and group.master_name:
            new = f"{group.id}-{(group.members or group.sentinels)[0].name}"
            for shard in group.shards:
                shard.id = new if shard.id == group.id else shard.id
            group.id = new
