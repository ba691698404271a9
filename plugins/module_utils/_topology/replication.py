# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A primary, its replicas and their Sentinels as one group. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from .group import REPLICATION, STANDALONE, Group, Shard, harm_of, notes_of
from .members import Book, Member

Watch = tuple[Member, Mapping[str, Any]]  # a Sentinel, and what it says of the primary


def replication_group(
    members: Sequence[Member], watches: Sequence[Watch], sentinels: list[Member], book: Book
) -> Group:
    """The group of `members`, which belong together, with the Sentinels that watch them."""
    names = Counter(str(master["name"]) for _sentinel, master in watches)
    name = names.most_common(1)[0][0] if names else ""
    group = Group("", REPLICATION, list(members), sentinels=sentinels, master_name=name)
    primary = _primary(group, watches, book)
    replicas = [member for member in members if member is not primary]
    _missing(group, watches, book)
    alone = not replicas and not sentinels and not group.missing
    group.kind = STANDALONE if alone and not (primary is None or primary.says_replica) else REPLICATION
    group.id = name or (primary or members[0]).name if members else name
    group.shards = [Shard(group.id, primary, replicas)]
    group.harm += harm_of([*members, *sentinels])
    group.notes += notes_of([*members, *sentinels])
    _judge(group, primary, watches, book)
    return group


# --- who is the primary ---


def _primary(group: Group, watches: Sequence[Watch], book: Book) -> Member | None:
    """Whom the Sentinels name, else who serves as primary, else whom the replicas name, else what the files say."""
    members = group.members
    serving = [member for member in members if member.running and member.says_primary]
    opinions = (
        _named_by_sentinels(group, watches, book, running=True),
        Counter({member: len(_followers(member, members, book)) for member in serving}),
        _named_by_replicas([member for member in members if member.live], group, book),
        Counter(dict.fromkeys(serving, 1)),
        _named_by_sentinels(group, watches, book, running=False),
        _named_by_replicas(members, group, book),
        Counter(member for member in members if member.says_primary),
        Counter(member for member in members if len(members) == 1 and not member.says_replica),
    )
    for votes in opinions:
        if any(votes.values()):
            return max(members, key=lambda member: votes[member])  # of several the first of the inventory
    return None


def _named_by_sentinels(group: Group, watches: Sequence[Watch], book: Book, *, running: bool) -> Counter[Member]:
    asked = [(s, master) for s, master in watches if (s.running and not master.get("forgotten")) == running]
    named = [book.find(master["host"], master["port"], sentinel) for sentinel, master in asked]
    return Counter(member for member in named if member in group.members)


def _named_by_replicas(replicas: Sequence[Member], group: Group, book: Book) -> Counter[Member]:
    """Whom replicas follow; a replica that has replicas of its own is not meant."""
    named = [book.primary_of(member) for member in replicas]
    return Counter(member for member in named if member in group.members and not member.says_replica)


def _followers(primary: Member, members: Sequence[Member], book: Book) -> list[Member]:
    return [member for member in members if book.primary_of(member) is primary]


# --- who is not in the inventory ---


def _missing(group: Group, watches: Sequence[Watch], book: Book) -> None:
    known_ids = {str((s.topology.get("sentinel") or {}).get("my_id", ""))[:8] for s in group.sentinels}
    for member in group.members:
        told = member.primary
        if told.get("host") and book.primary_of(member) is None:
            group.lack(f"{told['host']}:{told['port']}", f"primary of {member.name}")
        for replica in member.topology.get("replicas") or []:
            # One without a port is a client that takes a snapshot as a replica does.
            if replica["port"] and book.find(replica["host"], replica["port"], member) is None:
                group.lack(f"{replica['host']}:{replica['port']}", f"replica of {member.name}")
    for sentinel, master in watches:
        where = f"{master['host']}:{master['port']}"
        if book.find(master["host"], master["port"], sentinel) is None:
            group.lack(where, f"primary {master['name']} of the Sentinel {sentinel.name}")
        for address in master["replicas"]:
            if book.find_text(address, sentinel) is None:
                group.lack(address, f"replica of {master['name']}, says the Sentinel {sentinel.name}")
        for address in master["sentinels"]:
            if book.find_text(address, sentinel) is None:
                group.lack(address, f"Sentinel of {master['name']}")
    if all(sentinel.known for sentinel in group.sentinels):  # one that tells nothing may be the one that listens
        for member in group.members:
            for watcher in member.topology.get("watched_by") or []:
                if watcher["id"] not in known_ids and not _listed(watcher["host"], group):
                    words = f"a Sentinel on {watcher['host']} (id {watcher['id']}, watches {member.name})"
                    group.missing.setdefault(watcher["id"], f"{words} is not in the inventory")


def _listed(host: str, group: Group) -> bool:
    """Whether a Sentinel of this host is named already, by its port."""
    return any(address.startswith(f"{host}:") for address, words in group.missing.items() if "(Sentinel of" in words)


# --- whether it is well ---


def _judge(group: Group, primary: Member | None, watches: Sequence[Watch], book: Book) -> None:
    if primary is None:
        group.harm.append("no primary is known")
    elif primary.running and primary.says_replica:
        group.harm.append(f"{primary.name} should be the primary and serves as a replica")
    others = [m for m in group.members if m is not primary and m.running and m.says_primary]
    for member in others:
        group.harm.append(f"{member.name} serves as a primary beside {primary.name if primary else 'nobody'}")
    for sentinel, master in watches:
        if not sentinel.running:
            continue
        if master.get("forgotten"):
            group.harm.append(
                f"the Sentinel {sentinel.name} was made to forget {master['name']}, and watches it no more"
            )
            continue
        seen = book.find(master["host"], master["port"], sentinel)
        where = f"{master['host']}:{master['port']}"
        if seen is not primary:
            group.harm.append(f"the Sentinel {sentinel.name} takes {seen.name if seen else where} for the primary")
        if not master["ok"]:
            group.harm.append(f"the Sentinel {sentinel.name} sees the primary as {','.join(master['flags'])}")
        if not master["quorum_ok"]:
            group.harm.append(f"the Sentinel {sentinel.name} has no quorum: {master['quorum_says']}")
        if master["name"] != group.master_name:
            group.notes.append(
                f"the Sentinel {sentinel.name} calls the primary {master['name']}, not {group.master_name}"
            )
    watching = {id(sentinel) for sentinel, _master in watches}
    for sentinel in group.sentinels:
        if sentinel.running and id(sentinel) not in watching:
            group.harm.append(f"the Sentinel {sentinel.name} does not watch {group.master_name or group.id}")
