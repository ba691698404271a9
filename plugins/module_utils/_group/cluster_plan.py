# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a cluster needs, shard by shard: nothing, nodes fed, backups, or somebody's word. Pure.

As with a replication group the newest data is never thrown away silently: a replica that holds a shard's data is newer
than any backup. A majority of primaries promotes it by itself; without one an operator has to say so.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .._server.network import is_literal
from .._topology.group import CLUSTER, broken
from .._topology.members import Book, Member, members_of
from .._topology.shards import best_teller, places
from .cluster_backups import Chosen, choose_backups
from .cluster_table import Row, settled_table, with_primary
from .plan import FEED, NONE, PROMOTE, RECOVER, REFUSE, WAIT, Wish, alike, fence_of, why_skipped, workable

SKIP = "skip"


@dataclass
class Lost:
    """One shard and what is to become of it. `primary` is the row of the node that has its slots."""

    row: Row
    member: Member | None
    replicas: list[tuple[Row, Member]] = field(default_factory=list)
    action: str = NONE
    why: str = ""
    target: Member | None = None
    holders: list[Member] = field(default_factory=list)
    chosen: Chosen | None = None

    @property
    def everybody(self) -> list[Member]:
        """The members of the shard that can be worked on."""
        named = [self.member, *(member for _row, member in self.replicas)]
        return [member for member in named if member is not None and workable(member)]

    @property
    def names(self) -> list[str]:
        named = [self.member, *(member for _row, member in self.replicas)]
        return [member.name for member in named if member is not None]


@dataclass
class View:
    """A cluster with all that is known of it; `at` tells which member is which node."""

    group: Mapping[str, Any]
    members: list[Member]
    rows: list[Row]
    at: dict[str, Member]
    assessed: Mapping[str, Mapping[str, Any]]
    wish: Wish
    shards: list[Lost] = field(default_factory=list)

    @property
    def epoch(self) -> int:
        """The highest epoch that any member knows of."""
        return max((int(member.cluster.get("epoch") or 0) for member in self.members), default=0)

    @property
    def teller(self) -> Member | None:
        """A running node that knows others."""
        found = best_teller([member for member in self.members if member.live])
        return found if found is not None and len(found.cluster["nodes"]) > 1 else None


def cluster_lead(group: Mapping[str, Any], members: Iterable[Mapping[str, Any] | Member]) -> Member | None:
    """The member whose host works on the cluster: its lead where that can be worked on, else the first that can."""
    names = {each["name"] for each in group["members"]}
    able = [member for member in members_of(members) if member.name in names and workable(member)]
    return next((member for member in able if member.name == group.get("lead")), able[0] if able else None)


def cluster_plan(
    group: Mapping[str, Any],
    members: Iterable[Mapping[str, Any] | Member],
    assessed: Mapping[str, Mapping[str, Any]],
    catalog: Mapping[str, Any],
    wish: Wish,
) -> dict[str, Any]:
    """What to do with a cluster. The filter of this name documents it. Pure."""
    known = members_of(members)
    lead = cluster_lead(group, known)
    names = {each["name"] for each in group["members"]}
    own = [member for member in known if member.name in names]
    skipped = [why_skipped(member) for member in own if not workable(member)]
    base = {"id": group["id"], "kind": CLUSTER, "skipped": skipped, "findings": list(group["findings"])}
    if lead is None:
        return {**base, "action": REFUSE, "why": f"{group['id']}: none of its nodes can be reached"}
    base.update(lead=lead.name, lead_host=lead.host, names=[member.name for member in own])
    teller = best_teller(own)
    if teller is None or len(teller.cluster["nodes"]) < 2:
        return {**base, "action": REFUSE, "why": _nobody_knows(group, own)}
    at = places(teller.cluster["nodes"], teller, own, Book(known))
    rows = settled_table(teller.cluster, own, catalog.get("tables") or [])
    view = View(group, own, rows, at, assessed, wish)
    demoted = _shards_of(view)
    for shard in view.shards:
        _decide(view, shard)
    lost = [shard for shard in view.shards if shard.action == RECOVER]
    slots = {shard.row["id"]: (shard.row["slots"], shard.names) for shard in lost}
    chosen, remarks = choose_backups(slots, catalog, wish)
    for shard in lost:
        shard.chosen = chosen[shard.row["id"]]
        if shard.chosen.backup is None:
            shard.action, shard.why = REFUSE, f"{_named(shard)}: {shard.chosen.why}"
    base["findings"] = [*base["findings"], *remarks]
    return _told(view, base, demoted)


def _nobody_knows(group: Mapping[str, Any], members: Sequence[Member]) -> str:
    names = ", ".join(member.name for member in members)
    return (
        f"{group['id']}: nobody knows any more who the nodes of this cluster were ({names}): no server, no nodes.conf, "
        "and no backup that can be read from here. Nothing was changed. Give the repository that holds its backups; or "
        "build an empty cluster (redis-cli --cluster create) and import a set into it (redis_restore_import_set)"
    )


def _shards_of(view: View) -> list[tuple[Row, Member]]:
    """Fill in the shards; returned are former primaries without slots, that are replicas now, as far as known."""
    demoted = []
    heads: dict[str, Lost] = {}
    for row in view.rows:
        if row["role"] == "primary" and row["slots"]:
            heads[row["id"]] = Lost(row, view.at.get(row["id"]))
    for row in view.rows:
        member = view.at.get(row["id"])
        if row["id"] in heads or member is None:
            continue
        head = heads.get(str(row["primary_id"]))
        if head is not None:
            head.replicas.append((row, member))
        elif not _in_place(view, row, member):
            demoted.append((row, member))
    view.shards = sorted(heads.values(), key=lambda shard: int(shard.row["slots"][0][0]))
    return demoted


# --- what to do with a shard ---


def _decide(view: View, shard: Lost) -> None:
    wish, primary = view.wish, shard.member
    chosen = next((m for m in shard.everybody if m.name in wish.promote and m is not primary), None)
    serves = _serves(view, shard)
    if serves and not (wish.force and primary is not None and workable(primary)):
        if chosen is not None:
            shard.action = REFUSE
            shard.why = f"{chosen.name} is not promoted, as its primary serves: {serves}"
        return
    shard.holders = [member for member in shard.everybody if _holds(view, shard, member)]
    if chosen is not None and (chosen in shard.holders or primary is None or not workable(primary)):
        if chosen not in shard.holders and _unconfirmed(shard, wish):
            shard.action, shard.why = REFUSE, _words_of_choice(view, shard)
            return
        shard.target = chosen
        shard.action = PROMOTE if chosen in shard.holders else RECOVER
        return
    others = [member for member in shard.holders if member is not primary]
    if any(member.running for member in others) and not _runs(primary) and _majority(view) and not wish.waited:
        shard.action, shard.why = WAIT, f"{_named(shard)}: the cluster is given time to fail over"
        return
    if _unconfirmed(shard, wish):
        shard.action, shard.why = REFUSE, _words_of_choice(view, shard)
        return
    if primary is not None and workable(primary):
        shard.action, shard.target = RECOVER, primary
        return
    _without_primary(shard, wish)


def _unconfirmed(shard: Lost, wish: Wish) -> bool:
    """Whether somebody holds data of which nobody has said that it may be put aside."""
    return any(member.name not in wish.confirm for member in shard.holders)


def _without_primary(shard: Lost, wish: Wish) -> None:
    """The primary cannot be worked on, is not seen by anybody, and nobody who can be reached holds the data."""
    name = shard.member.name if shard.member is not None else f"{shard.row['host']}:{shard.row['port']}"
    if not shard.everybody:
        shard.action, shard.why = SKIP, f"{_named(shard)}: none of its nodes can be reached ({name})"
        return
    if name in wish.confirm:
        shard.action, shard.target = RECOVER, shard.everybody[0]
        return
    shard.action = SKIP
    shard.why = (
        f"{_named(shard)}: its primary {name} cannot be reached and may hold the newest data. To recover it from the "
        f"backup on {shard.everybody[0].name} all the same, run again with {confirmation([name])}"
    )


def _named(shard: Lost) -> str:
    first, last = shard.row["slots"][0][0], shard.row["slots"][-1][1]
    return f"the shard with the slots {first} to {last}"


def _runs(member: Member | None) -> bool:
    return member is not None and member.state in ("running", "loading")


def own_id(member: Member) -> str:
    """The id by which a node knows itself, running or in its file; empty where that is lost."""
    return str(member.cluster.get("found_id", member.cluster.get("my_id")) or "")


def _in_place(view: View, row: Row, member: Member) -> bool:
    """Whether a member runs as the node that it is."""
    return not workable(member) or (_runs(member) and own_id(member) == row["id"] and view.teller is not None)


def _serves(view: View, shard: Lost) -> str:
    """What says that a shard's primary serves its data; empty when nothing does."""
    primary, row = shard.member, shard.row
    if primary is not None and workable(primary):
        found = view.assessed.get(primary.name)
        well = _runs(primary) and primary.says_primary and own_id(primary) == row["id"]
        return "it runs" if well and (found is None or bool(found["healthy"])) else ""
    teller = view.teller
    if teller is None:
        return ""
    seen = next((each for each in teller.cluster["nodes"] if each["id"] == row["id"]), None)
    return f"{teller.name} sees it well" if seen is not None and seen["usable"] else ""


def _holds(view: View, shard: Lost, member: Member) -> bool:
    """Whether a member holds data of its own that nobody else has: a copy of a primary that runs is none."""
    copies = member is not shard.member and _runs(shard.member) and member.running and member.says_replica
    if copies and not broken(member):
        return False
    found = view.assessed.get(member.name)
    if found is not None:
        return bool(found["holds_data"])
    return not member.running or bool((member.instance or {}).get("keys"))


def _majority(view: View) -> bool:
    """Whether the primaries that serve could vote for a replica."""
    serving = [shard for shard in view.shards if _runs(shard.member) or (shard.member is None and _serves(view, shard))]
    return 2 * len(serving) > len(view.shards)


def confirmation(names: Sequence[str]) -> str:
    """What to add to the command to confirm these names."""
    if len(names) == 1:
        return f"redis_disaster_recovery_confirm={names[0]}"
    return f"-e '{json.dumps({'redis_disaster_recovery_confirm': list(names)})}'"


def _words_of_choice(view: View, shard: Lost) -> str:
    held = "; ".join(f"{member.name} {_what_it_holds(view, member)}" for member in shard.holders)
    replicas = [member for member in shard.holders if member is not shard.member]
    ways = []
    if shard.member in shard.holders and shard.member is not None and not _runs(shard.member):
        ways.append(f"start {shard.member.name}, if it will")
    if replicas:
        best = max(replicas, key=lambda member: (member.running, int(member.topology.get("offset") or 0)))
        ways.append(f"to make {best.name} its primary, run again with redis_disaster_recovery_promote={best.name}")
    names = [member.name for member in shard.holders]
    ways.append(f"to put all of that aside and recover from the backup, run again with {confirmation(names)}")
    state = "serves, and is to be recovered by force" if _serves(view, shard) else "does not serve as it should"
    return f"{_named(shard)} {state}, and nodes of it hold data: {held}. Either {'; or '.join(ways)}"


def _what_it_holds(view: View, member: Member) -> str:
    found = view.assessed.get(member.name, {})
    if member.running:
        return f"runs with {(found.get('instance') or member.instance or {}).get('keys') or 0} keys"
    if member.state == "loading":
        return "loads its data"
    return f"is down with {sum(each['size'] for each in found.get('data_files') or [])} bytes of data files"


# --- how it is done ---


def _told(view: View, base: dict[str, Any], demoted: Sequence[tuple[Row, Member]]) -> dict[str, Any]:
    """The plan in the words of the filter."""
    rows = [dict(row) for row in view.rows]
    for shard in view.shards:
        if shard.target is not None and shard.target is not shard.member:
            new = next(row["id"] for row, member in shard.replicas if member is shard.target)
            with_primary(rows, new, shard.row["id"], view.epoch)
    _at_their_places(view, rows)
    epoch = max([view.epoch, *(int(row["epoch"] or 0) for row in rows)])
    by_id = {row["id"]: row for row in rows}
    recover, promote, stop, place, feed = [], [], [], [], []
    for shard in view.shards:
        if shard.action in (WAIT, REFUSE, SKIP):
            continue
        again = shard.action in (RECOVER, PROMOTE)
        if shard.action == RECOVER and shard.target is not None and shard.chosen is not None:
            row = _row_of(view, shard.target)
            placed = not _runs(shard.target) or own_id(shard.target) != row["id"] or shard.target is not shard.member
            recover.append({**_who(shard.target, by_id[row["id"]]), "shard": row["id"], "backup": shard.chosen.backup})
            if placed:
                place.append({**_who(shard.target, by_id[row["id"]]), "fence": False, "set_aside": False})
                if _runs(shard.target):
                    stop.append({**_who(shard.target, row), "save": shard.target in shard.holders})
        if shard.action == PROMOTE and shard.target is not None:
            row = _row_of(view, shard.target)
            promote.append({**_who(shard.target, by_id[row["id"]]), "running": _runs(shard.target)})
            if not _runs(shard.target):
                place.append({**_who(shard.target, by_id[row["id"]]), "fence": False, "set_aside": False})
        for row, member in _followers(view, shard):
            needs = _needs(view, shard, row, member) if shard.action != RECOVER else "its primary is brought back"
            if not needs or not workable(member):
                continue
            aside = again and member in shard.holders
            feed.append({**_who(member, by_id[row["id"]]), "needs": needs, "aside": aside})
            if shard.action == RECOVER or not _runs(member) or own_id(member) != row["id"]:
                place.append({**_who(member, by_id[row["id"]]), "fence": True, "set_aside": aside or not again})
                if _runs(member):
                    stop.append({**_who(member, row), "save": aside})
    for row, member in demoted:
        _bring_back(view, row, member, base, rows, feed, place, stop)
    bad = [shard for shard in view.shards if shard.action == REFUSE]
    base["skipped"] = [*base["skipped"], *(shard.why for shard in view.shards if shard.action == SKIP)]
    action = _overall(view, bool(feed))
    if action not in (NONE, REFUSE):
        base["skipped"] = [*base["skipped"], *view.group["missing"]]
    waiting = [shard for shard in view.shards if shard.action == WAIT]
    return {
        **base,
        "action": action,
        "why": "Nothing was changed. " * bool(bad) + ". ".join(shard.why for shard in bad or waiting),
        "waits": [shard.row["id"] for shard in waiting],
        "partial": any(shard.action == SKIP for shard in view.shards),
        "table": rows,
        "epoch": epoch,
        "shards": [_shard_told(shard) for shard in view.shards],
        "recover": recover,
        "promote": promote,
        "stop": stop,
        "place": place,
        "feed": feed,
        "nodes": {identity: member.name for identity, member in view.at.items() if workable(member)},
    }


def _overall(view: View, feeds: bool) -> str:
    actions = [shard.action for shard in view.shards]
    for action in (REFUSE, WAIT, PROMOTE, RECOVER):
        if action in actions:
            return action
    return FEED if feeds or SKIP in actions else NONE


def _shard_told(shard: Lost) -> dict[str, Any]:
    primary = shard.target or shard.member
    return {
        "slots": shard.row["slots"],
        "action": shard.action,
        "why": shard.why,
        "primary": primary.name if primary else "",
        "names": shard.names,
        "backup": shard.chosen.backup if shard.chosen else None,
    }


def _row_of(view: View, member: Member) -> Row:
    return next(row for row in view.rows if view.at.get(row["id"]) is member)


def _who(member: Member, row: Row) -> dict[str, Any]:
    return {
        "name": member.name,
        "host": member.host,
        "my_id": row["id"],
        "primary_id": row["primary_id"] or "",
        "running": _runs(member),
        "fence_file": fence_of(member),
    }


def _followers(view: View, shard: Lost) -> list[tuple[Row, Member]]:
    """The members that copy the shard's primary to be."""
    found = [(row, member) for row, member in shard.replicas if member is not shard.target]
    if shard.target is not None and shard.member is not None and shard.target is not shard.member:
        found.append((shard.row, shard.member))
    return found


def _needs(view: View, shard: Lost, row: Row, member: Member) -> str:
    if shard.action == PROMOTE:
        return "its primary is another one"
    if not _runs(member):
        return f"it is {member.state}"
    if own_id(member) != row["id"]:
        return "it came back as another node"
    if member.says_primary:
        return "it serves as a primary of its own"
    if broken(member):
        return broken(member)
    return "it was left fenced" if (member.instance or {}).get("fenced") else ""


def _bring_back(
    view: View,
    row: Row,
    member: Member,
    base: dict[str, Any],
    rows: list[Row],
    feed: list[dict[str, Any]],
    place: list[dict[str, Any]],
    stop: list[dict[str, Any]],
) -> None:
    """A former primary: it is a replica of the node that has its slots now."""
    home = str(row.get("home") or "")
    owner = next((each for each in rows if each["id"] == home and each["role"] == "primary"), None)
    if owner is None:
        base["skipped"] = [
            *base["skipped"],
            f"{member.name} is no part of any shard as far as anybody knows; start it, or make the others forget it "
            f"(CLUSTER FORGET {row['id']})",
        ]
        return
    for each in rows:
        if each["id"] == row["id"]:
            each.update(role="replica", primary_id=home, slots=[], epoch=owner["epoch"])
            each["shard_id"] = owner.get("shard_id", "")
            row = each
    feed.append({**_who(member, row), "needs": "its shard has another primary now", "aside": False})
    place.append({**_who(member, row), "fence": True, "set_aside": True})
    if _runs(member):
        stop.append({**_who(member, row), "save": bool((member.instance or {}).get("keys"))})


def _at_their_places(view: View, rows: list[Row]) -> None:
    """Give the rows the addresses that the members have now."""
    for row in rows:
        member = view.at.get(row["id"])
        if member is None or not member.addresses or f"{row['host']}:{row['port']}" in member.addresses:
            continue
        now = [each for each in alike(member.addresses, row["host"]) if is_literal(each.rpartition(":")[0].strip("[]"))]
        if now:
            host, _colon, port = now[0].rpartition(":")
            same = row["bus_port"] in (0, int(row["port"]) + 10000)
            row.update(host=host.strip("[]"), port=int(port), hostname="")
            row["bus_port"] = int(port) + 10000 if same else row["bus_port"]
