# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which host of a run works on which group, and what nobody can work on. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from .._topology.group import CLUSTER, REPLICATION, SENTINELS
from .._topology.members import Member, members_of
from .cluster_plan import cluster_lead
from .plan import Wish, lead_of


def recovery_work(
    groups: Sequence[Mapping[str, Any]],
    members: Iterable[Mapping[str, Any] | Member],
    wanted: Sequence[str] = (),
    promote: Sequence[str] = (),
) -> dict[str, Any]:
    """`work`: by host the groups and instances to look after, in the order of the inventory; `left_over`: the rest.

    A replication group or a cluster is worked on as one, by the host of its lead; all else instance by instance, as it
    was before there were groups. `wanted` are names of instances; without any, all are.
    """
    known = members_of(members)
    order = [member.name for member in known]
    by_name = {member.name: member for member in known}
    work: dict[str, list[dict[str, str]]] = {}
    left_over = []
    for group in groups:
        shards = group.get("shards") or []
        names = [n for s in shards for n in (s.get("primary"), *(s.get("replicas") or [])) if n in by_name]
        names += [m["name"] for m in group["members"] if group["kind"] == CLUSTER and m["name"] not in names]
        if wanted and not set(wanted) & set(names):
            continue
        if group["kind"] == SENTINELS:
            if not group["healthy"] and not wanted:
                left_over += [str(words) for words in group["findings"]]
        elif group["kind"] in (REPLICATION, CLUSTER):
            cluster = group["kind"] == CLUSTER
            lead = cluster_lead(group, known) if cluster else lead_of(group, known, Wish(promote=promote))
            if lead is None:
                left_over.append(_nobody(group, names))
            else:
                task = {"name": lead.name, "group": str(group["id"]), "kind": str(group["kind"])}
                work.setdefault(lead.host, []).append(task)
        else:
            for name in names:
                if wanted and name not in wanted:
                    continue
                if by_name[name].reachable:
                    work.setdefault(by_name[name].host, []).append({"name": name, "group": "", "kind": ""})
                else:
                    left_over.append(f"{name}: its host {by_name[name].host} cannot be reached")
    for tasks in work.values():
        tasks.sort(key=lambda task: order.index(task["name"]))
    return {"work": work, "left_over": left_over}


def _nobody(group: Mapping[str, Any], names: Sequence[str]) -> str:
    who = f"its members ({', '.join(names)})" if names else "its primary and replicas"
    missing = f"; {'; '.join(group['missing'])}" if group["missing"] else ""
    return f"{group['id']}: none of {who} can be worked on from here{missing}"


def looked_again(
    members: Iterable[Mapping[str, Any] | Member], looked: Sequence[Mapping[str, Any]], key: str
) -> list[dict[str, Any]]:
    """The members with what a later look told of some: registered results, `key` being the loop's variable, a name."""
    fresh = {str(result.get(key)): result for result in looked if not result.get("skipped")}
    found = []
    for member in members_of(members):
        result = fresh.get(member.name)
        told: dict[str, Any] = {
            "host": member.host,
            "address": member.address,
            "reachable": member.reachable,
            "entry": dict(member.entry),
            "instance": member.instance,
            "error": member.error,
        }
        if result is not None:
            told["instance"] = result.get("instance") or None
            told["reachable"] = not result.get("unreachable")
            told["error"] = "" if result.get("instance") else str(result.get("msg") or "")
        found.append(told)
    return found


def group_of(groups: Iterable[Mapping[str, Any]], name: str) -> dict[str, Any]:
    """The group that holds the data of an instance; empty when none does."""
    for group in groups:
        for shard in group.get("shards") or []:
            if name in (shard.get("primary"), *(shard.get("replicas") or [])):
                return dict(group)
        if group["kind"] == CLUSTER and name in [member["name"] for member in group["members"]]:
            return dict(group)
    return {}
