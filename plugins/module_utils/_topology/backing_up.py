# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whom a run backs up: every shard once, from the best of its members; a cluster as a set. Pure.

What cannot be judged is backed up as if it stood alone: the backup itself then says what is wrong with it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .._server.network import is_loopback
from .._times import from_iso
from .choose import REPLICA_PREFERRED, choose_source
from .group import CLUSTER, STANDALONE
from .members import Member, members_of

SETS, OTHERS, AGAIN = "sets", "others", "again"
FAIL, WARN = "fail", "warn"
YOUNG, FAILED = "young enough", "FAILED"
_AOF = "aof"


@dataclass(frozen=True)
class Wish:
    """What a run is asked for. `failed` names the members whose backup has failed in this run already.

    `hosts` are those that still take part, `others` those of the inventory that never did, by their address. `sets`
    are the stored ones; a usable one whose data is at most `max_age` seconds old at `now` makes a new one needless.
    """

    mode: str = REPLICA_PREFERRED
    engine: str = "auto"
    max_lag_seconds: float | None = None
    missing: str = FAIL
    time: str = ""
    hosts: Sequence[str] = ()
    others: Mapping[str, str] = field(default_factory=dict)
    failed: Collection[str] = ()
    sets: Sequence[Mapping[str, Any]] = ()
    max_age: float | None = None
    now: float = 0.0


@dataclass
class _Plan:
    """The plan as it grows."""

    wish: Wish
    members: dict[str, Member]
    work: dict[str, dict[str, list[str]]] = field(default_factory=dict)
    parts: dict[str, dict[str, Any]] = field(default_factory=dict)
    siblings: dict[str, list[str]] = field(default_factory=dict)
    rows: list[dict[str, Any]] = field(default_factory=list)
    failures: dict[str, list[str]] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)
    passed: list[str] = field(default_factory=list)
    load: Counter[str] = field(default_factory=Counter)

    def give(self, phase: str, member: Member, siblings: Iterable[str] = ()) -> None:
        """Have a member backed up."""
        names = self.work.setdefault(phase, {}).setdefault(member.host, [])
        if member.name in names:
            return
        names.append(member.name)
        self.siblings[member.name] = list(dict.fromkeys([member.name, *siblings]))
        self.load[member.machine] += 1

    def fail(self, names: Iterable[str], row: str, words: str) -> None:
        """Have the run fail at its end, by a host of these members that is left; `row` is what the table calls it."""
        own = [name for name in names if name in self.members]
        mine = [self.members[name].host for name in own]
        active = [host for host in mine if host in self.wish.hosts] or list(self.wish.hosts)
        for host in active[:1]:
            self.failures.setdefault(host, []).append(words)
        if row:
            speaker = next(iter(active), "")
            self.rows.append(
                {"instance": row, "result": FAILED, "failed": True, "says": words, "host": speaker, "names": own}
            )
        else:
            self.remarks.append(words)


def plan_backups(
    groups: Sequence[Mapping[str, Any]], members: Iterable[Mapping[str, Any] | Member], wish: Wish
) -> dict[str, Any]:
    """Whom to back up on which host, and what is wrong already. The filter `backup_plan` documents it."""
    listed = members_of(members)
    known = {member.name: member for member in reversed(listed)}
    plan = _Plan(wish, known)
    seen: set[str] = set()
    for group in sorted(groups, key=lambda each: each["kind"] != STANDALONE):  # these have no choice
        seen.update(_plan_group(plan, group))
    for member in listed:
        if member is known[member.name] and member.name in seen:
            continue
        if member.is_sentinel:
            plan.passed.append(member.name)
        else:
            _alone(plan, member)
    order = {member.name: number for number, member in enumerate(listed)}
    for phase in plan.work.values():
        for names in phase.values():
            names.sort(key=lambda name: order[name])
    return {
        "phases": [phase for phase in (SETS, OTHERS) if phase in plan.work],
        "work": plan.work,
        "sets": plan.parts,
        "siblings": plan.siblings,
        "rows": plan.rows,
        "failures": plan.failures,
        "remarks": plan.remarks,
        "passed": plan.passed,
    }


def plan_again(plan: Mapping[str, Any], again: Mapping[str, Any], failed: Collection[str]) -> dict[str, Any]:
    """What is left to try after `plan`: the shards whose backup has failed, from the members that `again` has chosen.

    Sets keep the identifier they were begun with.
    """
    work: dict[str, list[str]] = {}
    for phase in again["work"].values():
        for host, names in phase.items():
            for name in names:
                if name not in plan["siblings"] and not set(again["siblings"][name]).isdisjoint(failed):
                    work.setdefault(host, []).append(name)
    chosen = [name for names in work.values() for name in names]
    begun = {part["shard"]: part for part in plan["sets"].values()}
    sets = {name: begun[again["sets"][name]["shard"]] for name in chosen if name in again["sets"]}
    return {
        **plan,
        "phases": [AGAIN] if work else [],
        "work": {**plan["work"], AGAIN: work},
        "sets": {**plan["sets"], **sets},
        "siblings": {**plan["siblings"], **{name: again["siblings"][name] for name in chosen}},
        "passed": [name for name in plan["passed"] if name not in chosen],
    }


# --- one group ---


def _plan_group(plan: _Plan, group: Mapping[str, Any]) -> list[str]:
    """Plan a group, and return the names of those that need no further thought."""
    sentinels = list(group.get("sentinels") or [])
    shards = list(group.get("shards") or [])
    everyone = [*sentinels, *(name for shard in shards for name in _names(shard))]
    plan.passed += sentinels
    if group["kind"] == STANDALONE:
        for name in everyone:
            if name in plan.members and name not in sentinels:
                _alone(plan, plan.members[name])
        return everyone
    _tell_missing(plan, group, everyone)
    if group["kind"] == CLUSTER:
        _plan_cluster(plan, group, shards, everyone)
    else:
        for shard in shards:
            _plan_shard(plan, shard, everyone, OTHERS)
    return everyone


def _tell_missing(plan: _Plan, group: Mapping[str, Any], everyone: Sequence[str]) -> None:
    missing = []
    for words in map(str, group.get("missing") or []):
        address = words.partition(" ")[0].rpartition(":")[0]
        other = plan.wish.others.get(address)
        if other and not is_loopback(address):
            plan.remarks.append(f"{group['id']}: {words.partition(') ')[0]}) is on {other}, which is not in this run.")
        else:
            missing.append(words)
    if missing:
        words = (
            f"{group['id']}: {'; '.join(missing)}. Add what is missing, or let it be with redis_backup_missing: warn."
        )
        if plan.wish.missing == FAIL:
            plan.fail(everyone, "", words)
        else:
            plan.remarks.append(words)


def _plan_shard(
    plan: _Plan,
    shard: Mapping[str, Any],
    everyone: Sequence[str],
    phase: str,
    part: Mapping[str, Any] | None = None,
) -> None:
    names = _names(shard)
    wish = plan.wish
    own = [plan.members[name] for name in names if name in plan.members]
    without = {member.name for member in own if wish.engine == _AOF and member.running and not _has_aof(member)}
    left = {
        **shard,
        "primary": None if shard.get("primary") in wish.failed else shard.get("primary"),
        "replicas": [name for name in shard.get("replicas") or [] if name not in {*wish.failed, *without}],
    }
    chosen = choose_source(left, own, wish.mode, None, wish.max_lag_seconds, plan.load)
    no_aof = [f"{name}: its AOF is off" for name in shard.get("replicas") or [] if name in without]
    name, passed_over = chosen["member"], "; ".join([*no_aof, *chosen["passed_over"]])
    if name is None:
        why = "; ".join(filter(None, [passed_over, chosen["why"]]))
        title = next(iter(names), str(shard["id"]))
        plan.fail(names or everyone, title, f"{title}: no backup was made: {why}.")
        return
    if passed_over:
        plan.remarks.append(f"{shard['id']}: backed up from {name}, {chosen['why']}. Passed over: {passed_over}.")
    plan.give(phase, plan.members[name], names)
    plan.passed += [other for other in names if other != name]
    if part is not None:
        plan.parts[name] = dict(part)


def _has_aof(member: Member) -> bool:
    return bool(((member.instance or {}).get("persistence") or {}).get("aof_enabled"))


def _alone(plan: _Plan, member: Member) -> None:
    """One that holds its data by itself, or of which nothing is known."""
    if member.reachable:
        plan.give(OTHERS, member)
    else:
        words = f"{member.name}: no backup was made, as {member.host} is not reachable{_because(member.error)}."
        plan.fail([member.name], member.name, words)


def _because(error: str) -> str:
    return f": {error.rstrip('.')}" if error else ""


def _names(shard: Mapping[str, Any]) -> list[str]:
    """The members of a shard, its primary first."""
    found = [shard.get("primary"), *(shard.get("replicas") or [])]
    return [str(name) for name in found if name]


# --- clusters ---


def _plan_cluster(
    plan: _Plan, group: Mapping[str, Any], shards: Sequence[Mapping[str, Any]], everyone: Sequence[str]
) -> None:
    holding = [shard for shard in shards if shard.get("slots")]
    for shard in shards:
        if not shard.get("slots"):
            _plan_idle(plan, shard)
    moving = [str(words) for words in group.get("moving") or []]
    if moving:
        words = (
            f"{group['id']}: no backup was made, as slots are being moved ({', '.join(moving[:3])}). Wait until the "
            "cluster is at rest (redis-cli --cluster check), then run again."
        )
        plan.fail(everyone, str(group["id"]), words)
        return
    young = _young_set(plan.wish, group, holding)
    if young is not None:
        plan.rows += [_young_row(plan.wish, each) for each in young["members"]]
        return
    identity = f"{group['id']}-{plan.wish.time}"
    for shard in holding:
        slots = [list(each) for each in shard["slots"]]
        part = {"id": identity, "shards": len(holding), "shard": str(shard["id"]), "slots": slots}
        _plan_shard(plan, shard, everyone, SETS, part)


def _plan_idle(plan: _Plan, shard: Mapping[str, Any]) -> None:
    """A shard without slots is no part of the cluster's data. It is passed over, unless it holds keys all the same."""
    for name in _names(shard):
        member = plan.members[name]
        if name == shard.get("primary") and (member.instance or {}).get("keys"):
            _alone(plan, member)
        else:
            plan.passed.append(name)


def _young_set(wish: Wish, group: Mapping[str, Any], shards: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """A stored set of this cluster, as its slots lie now, that is whole and young enough."""
    if wish.max_age is None:
        return None
    layout = sorted(list(each) for shard in shards for each in shard["slots"])
    for found in sorted(wish.sets, key=lambda each: str(each["time"]), reverse=True):
        same = str(found["id"]).startswith(f"{group['id']}-")
        same = same and sorted(list(each) for member in found["members"] for each in member["slots"]) == layout
        if same and found["usable"] and 0 <= wish.now - from_iso(str(found["time"])) <= wish.max_age:
            return found
    return None


def _young_row(wish: Wish, member: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "instance": member["instance"],
        "result": YOUNG,
        "failed": False,
        "label": member["label"],
        "keys": member["keys"],
        "rpo_seconds": max(wish.now - from_iso(str(member["time"])), 0.0),
    }
