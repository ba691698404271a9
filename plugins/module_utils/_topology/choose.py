# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From which server of a shard its backup is made. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from .._server.versions import format_of, why_not_loadable
from .group import broken
from .members import Book, Member, members_of

REPLICA_PREFERRED, ONLY_REPLICA, ONLY_PRIMARY = MODES = ("replica_preferred", "replica", "primary")

_STEP_BYTES = 1024 * 1024  # offsets differ by what was written between two looks: no lag
_STEP_SECONDS = 2


def choose_source(
    shard: Mapping[str, Any],
    members: Iterable[Mapping[str, Any] | Member],
    mode: str = REPLICA_PREFERRED,
    max_lag_bytes: int | None = None,
    max_lag_seconds: float | None = None,
    load: Mapping[str, int] | None = None,
) -> dict[str, Any]:
    """The member of a shard from which its backup is made: `member` (its name or null), `why`, and `passed_over`.

    A replica in step, whose data the primary could load; the least lag first, then the least loaded machine. `load`
    says how many are at work on each machine already.
    """
    listed = members_of(members)
    by_name = {member.name: member for member in reversed(listed)}
    primary = by_name.get(shard["primary"] or "")
    replicas = [by_name[name] for name in shard["replicas"] if name in by_name]
    book = Book(listed)
    passed: list[str] = []
    fit: list[tuple[tuple[Any, ...], Member, str]] = []
    if mode != ONLY_PRIMARY:
        for number, replica in enumerate(replicas):
            lag_bytes, lag_seconds = lag_of(replica, primary, book)
            why_not = _why_not(replica, primary) or _behind(lag_bytes, lag_seconds, max_lag_bytes, max_lag_seconds)
            if why_not:
                passed.append(f"{replica.name}: {why_not}")
                continue
            steps = (int(lag_seconds or 0) // _STEP_SECONDS, (lag_bytes or 0) // _STEP_BYTES)
            words = "a replica in step" + (f", {lag_bytes} bytes behind" if lag_bytes else "")
            fit.append(((*steps, (load or {}).get(replica.machine, 0), number), replica, words))
    if fit:
        _rank, chosen, words = min(fit, key=lambda each: each[0])
        return {"member": chosen.name, "why": words, "passed_over": passed}
    if mode == ONLY_REPLICA:
        why = "no replica is fit, and the primary is not to be used" if replicas else "it has no replica"
        return {"member": None, "why": why, "passed_over": passed}
    if primary is None:
        return {"member": None, "why": "its primary is not in the inventory", "passed_over": passed}
    if not primary.running:
        return {"member": None, "why": f"its primary {primary.name} is {primary.state}", "passed_over": passed}
    if primary.says_replica:
        return {"member": None, "why": f"its primary {primary.name} serves as a replica", "passed_over": passed}
    why = "the primary" if mode == ONLY_PRIMARY or not replicas else "the primary, as no replica is fit"
    return {"member": primary.name, "why": why, "passed_over": passed}


def choose_sources(
    found: Sequence[Mapping[str, Any]],
    members: Iterable[Mapping[str, Any] | Member],
    mode: str = REPLICA_PREFERRED,
    max_lag_bytes: int | None = None,
    max_lag_seconds: float | None = None,
) -> dict[str, dict[str, Any]]:
    """The choice for every shard of all groups, by the shard's id, so that machines share the work.

    Shards of a cluster without slots hold nothing, and are left out.
    """
    listed = members_of(members)
    machines = {member.name: member.machine for member in reversed(listed)}
    by_name: dict[str, list[Member]] = {}
    for member in listed:
        by_name.setdefault(member.name, []).append(member)
    load: Counter[str] = Counter()
    choices = {}
    for group in found:
        for shard in group["shards"]:
            if group["kind"] == "cluster" and not shard["slots"]:
                continue
            names = [name for name in (shard["primary"], *shard["replicas"]) if name]
            own = [member for name in names for member in by_name.get(name, [])]
            choice = choose_source(shard, own, mode, max_lag_bytes, max_lag_seconds, load)
            choices[str(shard["id"])] = choice
            if choice["member"]:
                load[machines[choice["member"]]] += 1
    return choices


def _why_not(replica: Member, primary: Member | None) -> str:
    """Why a replica must not be used; empty when it may."""
    if not replica.running:
        return f"it is {replica.state}"
    if not replica.says_replica:
        return "it is no replica"
    words = broken(replica)
    if words or primary is None or not primary.running:
        return words
    if primary.topology.get("replid") and replica.topology.get("replid") != primary.topology["replid"]:
        return f"it does not follow {primary.name}"
    if replica.flavour == primary.flavour and replica.version > primary.version:
        newer = ".".join(map(str, replica.version))
        return f"its version {newer} is newer than the primary's"
    return why_not_loadable(format_of(replica.flavour, replica.version), primary.flavour, primary.version) or ""


def lag_of(replica: Member, primary: Member | None, book: Book) -> tuple[int | None, float | None]:
    """How far a replica is behind: in bytes of what the primary had when it was looked at, and in seconds.

    The primary knows what the replica last acknowledged, once a second; the replica, looked at later or earlier, what
    it has: of both differences the smaller one counts. The seconds are those since it last acknowledged. When it last
    heard anything says less, since an idle primary speaks every ten seconds: that counts where the primary is silent.
    """
    if primary is None or not primary.live:
        io_seconds = replica.primary.get("last_io_seconds")
        return None, float(io_seconds) if isinstance(io_seconds, int) and io_seconds >= 0 else None
    seconds = None
    offset, own = primary.topology.get("offset"), replica.topology.get("offset")
    behind = [offset - own] if isinstance(offset, int) and isinstance(own, int) else []
    for told in primary.topology.get("replicas") or []:
        if book.find(told["host"], told["port"], primary) is replica:
            seconds = float(told["lag"])
            behind += [offset - told["offset"]] if isinstance(offset, int) else []
    return max(0, min(behind)) if behind else None, seconds


def _behind(lag_bytes: int | None, lag_seconds: float | None, max_bytes: int | None, max_seconds: float | None) -> str:
    """Words for a replica that is further behind than allowed; empty when it is not."""
    if max_bytes is not None and (lag_bytes or 0) > max_bytes:
        return f"it is {lag_bytes} bytes behind the primary, more than {max_bytes}"
    if max_seconds is not None and (lag_seconds or 0) > max_seconds:
        return f"it is {lag_seconds:g} s behind the primary, more than {max_seconds:g}"
    return ""
