# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a replication group needs, by what is known of its members: nothing, replicas fed, a backup, or somebody's word.

The newest data there is, is never thrown away silently. A replica that holds data while its primary does not is newer
than any backup: Sentinels promote it by themselves, and without them an operator has to say so, or that it may go.
"""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .._restore.data_dir import WORKSPACE
from .._server.network import is_literal
from .._topology.group import REPLICATION, broken
from .._topology.members import UNKNOWN, Book, Member, members_of
from .watch import HELD_MS

NONE, FEED, RECOVER, PROMOTE, WAIT, REFUSE = "none", "feed", "recover", "promote", "wait", "refuse"


@dataclass(frozen=True)
class Wish:
    """What the operator said. `waited` tells that the Sentinels had their time already."""

    promote: Sequence[str] = ()
    confirm: Sequence[str] = ()
    force: bool = False
    waited: bool = False
    label: str = "latest"
    at: str = ""
    repository: str = ""


@dataclass
class _View:
    """A group with all that is known of it."""

    group: Mapping[str, Any]
    book: Book
    assessed: Mapping[str, Mapping[str, Any]]
    wish: Wish
    lead: Member
    primary: Member | None
    data: list[Member] = field(default_factory=list)
    sentinels: list[Member] = field(default_factory=list)

    @property
    def others(self) -> list[Member]:
        """The members that hold the data beside the lead, and can be worked on."""
        return [m for m in self.data if m is not self.lead and workable(m)]

    def masters(self, sentinel: Member) -> list[Mapping[str, Any]]:
        """What a Sentinel says of this group's primary."""
        return [master for master in sentinel.masters if master["name"] == self.group["master_name"]]


def lead_of(group: Mapping[str, Any], members: Iterable[Mapping[str, Any] | Member], wish: Wish) -> Member | None:
    """The member that is to be the primary, and whose host works on the group; None when nobody can be worked on."""
    found = {member.name: member for member in members_of(members)}
    shard = (group.get("shards") or [{}])[0]
    names = [shard.get("primary"), *(shard.get("replicas") or [])]
    data = [found[name] for name in names if name in found]
    chosen = [member for member in data if member.name in wish.promote]
    able = [member for member in [*chosen, *data] if workable(member)]
    return able[0] if able else None


def recovery_plan(
    group: Mapping[str, Any],
    members: Iterable[Mapping[str, Any] | Member],
    assessed: Mapping[str, Mapping[str, Any]],
    wish: Wish,
) -> dict[str, Any]:
    """What to do with a replication group. The filter of this name documents it. Pure."""
    known = members_of(members)
    lead = lead_of(group, known, wish)
    by_name = {member.name: member for member in known}
    shard = (group.get("shards") or [{}])[0]
    primary = by_name.get(shard.get("primary") or "")
    names = [name for name in (shard.get("primary"), *(shard.get("replicas") or [])) if name]
    data = [by_name[name] for name in names if name in by_name]
    sentinels = [by_name[name] for name in group["sentinels"] if name in by_name]
    skipped = [why_skipped(member) for member in [*data, *sentinels] if not workable(member)]
    away = [member for member in data if not workable(member)]
    if lead is None:
        return {"action": REFUSE, "why": f"{group['id']}: none of its members can be reached", "skipped": skipped}
    view = _View(group, Book(known), assessed, wish, lead, primary, data, sentinels)
    action, why = _decide(view)
    moves = action in (RECOVER, PROMOTE) and lead is not primary
    addresses = _addresses(view)
    replicas = [_replica(view, member, addresses, action) for member in view.others]
    replicas.sort(key=lambda each: each["behind"])  # stable: a replica's replica after the one that it copies
    watching = [_sentinel(view, member, addresses, action, moves) for member in sentinels if workable(member)]
    if action == NONE and any(each["needs"] for each in [*replicas, *watching]):
        action = FEED
    return {
        "id": group["id"],
        "kind": REPLICATION,
        "action": action,
        "why": why,
        "lead": lead.name,
        "lead_host": lead.host,
        "lead_runs": lead.state in ("running", "loading"),
        "fence": fence_of(lead),
        "primary": primary.name if primary else "",
        "served_by": _served_by(view, action),
        "moves": moves,
        "master_name": group["master_name"],
        "addresses": addresses,
        "replicas": replicas,
        "sentinels": watching,
        "names": [member.name for member in data],
        "skipped": [*skipped, *_later(view, away, action), *([] if action == NONE else group["missing"])],
        "findings": list(group["findings"]),
    }


def workable(member: Member) -> bool:
    """Whether a member's host can be reached, and lets us look at it."""
    return member.reachable and member.state != UNKNOWN


def why_skipped(member: Member) -> str:
    """Why a member cannot be worked on."""
    if not member.reachable:
        return f"{member.name}: its host {member.host} cannot be reached"
    return f"{member.name} does not let us look: {member.error or 'nothing is known of it'}"


def _later(view: _View, away: Sequence[Member], action: str) -> list[str]:
    """What has to be thought of before members come back that nobody could look at."""
    if action not in (RECOVER, PROMOTE) or not away:
        return []
    names = ", ".join(member.name for member in away)
    return [
        f"before {names} can be reached again: what is there may be newer than what {view.lead.name} serves now, and "
        f"it must come back as a replica of {view.lead.name}, or not at all"
    ]


# --- what to do ---


def _decide(view: _View) -> tuple[str, str]:
    lead, wish = view.lead, view.wish
    is_primary = lead is view.primary
    serves = _serves_elsewhere(view) if not is_primary else ""
    if lead.name in wish.promote and not (is_primary and _well(view, lead)):
        if serves:
            return REFUSE, f"{lead.name} is not promoted, as its primary serves: {serves}. Nothing was changed."
        return _promote(view)
    if is_primary and _well(view, lead) and not wish.force:
        return NONE, ""
    if is_primary and lead.running and lead.says_replica:
        return REFUSE, (
            f"{lead.name} should be the primary of {view.group['id']}, and serves as a replica. Nothing was changed. "
            "Wait until the Sentinels agree (SENTINEL MASTER), or make it one with REPLICAOF NO ONE; then run again."
        )
    if serves:
        return NONE, serves
    named = _names_of_primary(view)
    if view.primary is None and not (named and set(named) <= set(wish.confirm)):
        hint = f", or say that it is lost for good with {_confirmation(named)}" if named else ""
        return REFUSE, (
            f"The primary of {view.group['id']} is not among the servers that were looked at, so that nobody can tell "
            f"whether it serves{': ' if view.group['missing'] else ''}{'; '.join(view.group['missing'])}. Nothing was "
            f"changed. Add it to the inventory{hint}; then run again."
        )
    strangers = _living_strangers(view)
    if strangers:
        return REFUSE, (
            f"Servers that take part in {view.group['id']} are not among those of this run, so that they could be "
            f"neither held nor stopped: {'; '.join(strangers)}. Nothing was changed. Run it for all hosts of the group "
            "at once (target), or add them to the inventory."
        )
    holders = [member for member in view.others if _holds(view, member)]
    if not is_primary and _holds(view, lead):
        holders.insert(0, lead)
    if not holders:
        return RECOVER, ""
    if _sentinels_may_act(view, holders) and not wish.waited:
        return WAIT, "the Sentinels are given time to fail over"
    doubtful = [member.name for member in holders if member.name not in wish.confirm]
    if not doubtful:
        return RECOVER, ""
    return REFUSE, _words_of_choice(view, holders)


def _names_of_primary(view: _View) -> list[str]:
    """The addresses of the primary, as the others call it."""
    named = [f"{master['host']}:{master['port']}" for sentinel in view.sentinels for master in view.masters(sentinel)]
    for member in view.data:
        told = member.primary
        if told.get("host") and view.book.primary_of(member) in (None, view.primary):
            named.append(f"{told['host']}:{told['port']}")
    return list(dict.fromkeys(named))


def _living_strangers(view: _View) -> list[str]:
    """Servers outside of the run that are connected right now. What Sentinels merely remember may be long gone."""
    found = [str(words) for words in view.group["missing"]]
    remembered = ", says the Sentinel "
    connected = [words for words in found if "(replica of " in words and remembered not in words]
    return connected + [words for words in found if words.startswith("a Sentinel on ")]


def _promote(view: _View) -> tuple[str, str]:
    if _holds(view, view.lead):
        return PROMOTE, ""
    return REFUSE, f"{view.lead.name} holds no data, so that nothing would be won by making it the primary."


def _words_of_choice(view: _View, holders: Sequence[Member]) -> str:
    lost = view.primary.name if view.primary else "the primary"
    best = max(holders, key=lambda member: (member.running, _keys(view, member), _offset(member)))
    held = "; ".join(f"{member.name} ({_what_it_holds(view, member)})" for member in holders)
    names = [member.name for member in holders]
    if view.lead.name not in names and view.lead is view.primary:
        names.insert(0, view.lead.name)
    state = "is lost"
    if view.primary is not None and not workable(view.primary):
        state = "cannot be reached"
    elif view.lead is view.primary and view.lead.state == "down" and _holds(view, view.lead):
        state = f"{_what_it_holds(view, view.lead)} (start it, if it will)"
    watched = ""
    if view.wish.waited:
        watched = "Its Sentinels have not failed over. "
    elif not view.sentinels:
        watched = "No Sentinel watches it. "
    return (
        f"{lost} {state}, and others hold data that may be newer than any backup: {held}. "
        f"Nothing was touched. {watched}To make {best.name} the primary, run again with "
        f"redis_disaster_recovery_promote={best.name} (and point the clients there, where no Sentinel does). To put "
        f"all of that aside and recover from the backup, run again with {_confirmation(names)}"
    )


def _confirmation(names: Sequence[str]) -> str:
    """What to add to the command to confirm these names."""
    if len(names) == 1:
        return f"redis_disaster_recovery_confirm={names[0]}"
    return f"-e '{json.dumps({'redis_disaster_recovery_confirm': list(names)})}'"


def _what_it_holds(view: _View, member: Member) -> str:
    if member.running:
        return f"runs with {_keys(view, member)} keys"
    if member.state == "loading":
        return "loads its data"
    files = view.assessed.get(member.name, {}).get("data_files") or []
    return f"is down with {sum(each['size'] for each in files)} bytes of data files"


def _keys(view: _View, member: Member) -> int:
    told = (view.assessed.get(member.name, {}).get("instance") or member.instance or {}).get("keys")
    return int(told or 0)


def _offset(member: Member) -> int:
    return int(member.topology.get("offset") or 0)


def _well(view: _View, member: Member) -> bool:
    """Whether a member serves what it should, or soon will, as its assessment says."""
    found = view.assessed.get(member.name)
    serves = member.state in ("running", "loading") and member.says_primary
    return serves and (found is None or bool(found["healthy"]))


def _holds(view: _View, member: Member) -> bool:
    """Whether a member holds data of its own that nobody else has: a copy of a primary that serves is none."""
    copy = member.says_replica and member is not view.lead and view.lead.running
    if copy and _in_step(view, member):
        return False
    found = view.assessed.get(member.name)
    if found is not None:
        return bool(found["holds_data"])
    return not member.running or bool((member.instance or {}).get("keys"))


def _in_step(view: _View, member: Member) -> bool:
    """Whether a running replica follows a member of this group, and its link works."""
    upstream = view.book.primary_of(member)
    return member.running and member.says_replica and upstream in view.data and not broken(member)


def _serves_elsewhere(view: _View) -> str:
    """What says that a primary we cannot look at serves; empty when nothing does."""
    if view.primary is not None and workable(view.primary):
        return ""
    for sentinel in view.sentinels:
        for master in view.masters(sentinel):
            seen = view.book.find(master["host"], master["port"], sentinel)
            if sentinel.running and master["ok"] and not _held(master) and seen is view.primary:
                return f"the Sentinel {sentinel.name} sees {master['host']}:{master['port']} well"
    for member in view.data:
        if member.running and member.says_replica and not broken(member):
            upstream = view.book.primary_of(member)
            if upstream is None or upstream is view.primary:
                return f"{member.name} follows it"
    return ""


def _held(master: Mapping[str, Any]) -> bool:
    return str(master.get("down_after_ms")) == HELD_MS


def _sentinels_may_act(view: _View, holders: Sequence[Member]) -> bool:
    """Whether Sentinels are about to fail over by themselves: a quorum, a primary that is down, a replica that runs."""
    if view.primary is not None and view.primary.running:
        return False
    if not any(member.running and member.says_replica for member in holders):
        return False
    return any(
        sentinel.running and master["quorum_ok"] and not _held(master)
        for sentinel in view.sentinels
        for master in view.masters(sentinel)
    )


def _served_by(view: _View, action: str) -> str:
    """The member that the others copy at the end, empty when it is not in the inventory or cannot be reached."""
    if action in (RECOVER, PROMOTE) or view.lead is view.primary:
        return view.lead.name
    return ""


# --- how it is done ---


def _addresses(view: _View) -> list[str]:
    """The addresses of the primary to be: first those by which others name it, else those like the old one's."""
    target = view.lead if view.lead is view.primary or not _serves_elsewhere(view) else view.primary
    named = []
    for sentinel in view.sentinels:
        for master in view.masters(sentinel):
            each = [f"{master['host']}:{master['port']}", *master["replicas"]]
            named += [address for address in each if target and view.book.find_text(address, sentinel) is target]
    for member in view.data:
        told = member.primary
        if told.get("host"):
            upstream = view.book.primary_of(member)
            if upstream is target and (target is not None or not named):
                named.append(f"{told['host']}:{told['port']}")
    examples = [str(member.primary["host"]) for member in view.data if member.primary.get("host")]
    examples += [str(master["host"]) for sentinel in view.sentinels for master in view.masters(sentinel)]
    known = target.addresses if target else []
    return list(dict.fromkeys([*named, *alike(known, examples[0] if examples else "")]))


def alike(addresses: Sequence[str], example: str) -> list[str]:
    """Addresses in the order in which they are like an example of what the servers call each other.

    A server has many addresses, and may listen at one: of the network, or with the domain, of those that are in use.
    """

    def likeness(address: str) -> tuple[int, int]:
        host = address.rpartition(":")[0].strip("[]")
        if not example:
            return (0, 0)
        if is_literal(host) != is_literal(example):
            return (-1, 0)
        if is_literal(host):
            mine, theirs = ipaddress.ip_address(host), ipaddress.ip_address(example)
            if mine.version != theirs.version or mine.is_loopback != theirs.is_loopback:
                return (0, 0)
            return (1, mine.max_prefixlen - (int(mine) ^ int(theirs)).bit_length())
        labels = zip(reversed(host.split(".")), reversed(example.split(".")))
        return (1, sum(one == other for one, other in labels))

    return sorted(addresses, key=likeness, reverse=True)  # stable


def _replica(view: _View, member: Member, addresses: Sequence[str], action: str) -> dict[str, Any]:
    upstream = view.book.primary_of(member)
    chained = upstream is not None and upstream is not view.lead and upstream is not view.primary
    chained = chained and upstream in view.others and upstream is not member
    told = member.primary
    fenced = bool((member.instance or {}).get("fenced"))
    needs = ""
    if action in (RECOVER, PROMOTE):
        needs = "its primary is brought back"
    elif not member.running:
        needs = f"it is {member.state}"
    elif member.says_primary:
        needs = "it serves as a primary of its own"
    elif broken(member):
        needs = broken(member)
    elif upstream is not None and upstream is not view.primary and not chained:
        needs = f"it follows {upstream.name}"
    elif fenced:
        needs = "it was left fenced"
    return {
        "name": member.name,
        "host": member.host,
        "running": member.state in ("running", "loading"),
        "needs": needs,
        "set_aside": action == RECOVER and _holds(view, member),
        "behind": 1 if chained else 0,
        "addresses": [f"{told['host']}:{told['port']}"] if chained else list(addresses),
        "fence": fence_of(member),
    }


def fence_of(member: Member) -> str:
    """The file that says that a restore of it is going on."""
    return f"{(member.instance or {}).get('dir') or '/nonexistent'}/{WORKSPACE}/fence"


def _sentinel(view: _View, member: Member, addresses: Sequence[str], action: str, moves: bool) -> dict[str, Any]:
    masters = view.masters(member)
    held = any(_held(master) for master in masters)
    right = any(
        f"{master['host']}:{master['port']}" in addresses
        or view.book.find(master["host"], master["port"], member) is view.primary is not None
        for master in masters
    )
    like = {} if masters else _as_the_others(view)
    needs = ""
    if action in (RECOVER, PROMOTE):
        needs = "its primary is brought back"
    elif not member.running:
        needs = f"it is {member.state}"
    elif like:
        needs = "it watches nothing, as if its sentinel.conf had been lost"
    elif any(master.get("forgotten") for master in masters):
        needs = "it was made to forget its primary, and not let go"
    elif held:
        needs = "it was left held"
    elif masters and not right:
        needs = "it watches another primary"
    elif masters and not all(master["ok"] and master["quorum_ok"] for master in masters):
        needs = "it does not see the primary well, or has no quorum"
    return {
        "name": member.name,
        "host": member.host,
        "running": member.running,
        "watches": bool(masters),
        "like": like,
        "lost_conf": not member.running and not member.known,
        "needs": needs,
        # A Sentinel that is down knows the old address and its epoch: started, it would turn the others back to it.
        "start": not member.running and not moves,
        "addresses": member.addresses,
        "quorum": max((int(master["quorum"]) for master in masters), default=0),
    }


def _as_the_others(view: _View) -> dict[str, int]:
    """How the other Sentinels watch the primary, for one that knows nothing of it; empty where none is at rest."""
    keys = ("quorum", "down_after_ms", "failover_timeout_ms", "parallel_syncs")
    for sentinel in view.sentinels:
        for master in view.masters(sentinel):
            if not _held(master) and all(master.get(key) for key in keys):
                return {key: int(master[key]) for key in keys}
    return {}
