# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which backups stay and which go: a policy over the backups of one instance and engine. Pure.

In the manner of restic: each rule walks from the newest backup to the oldest and keeps the newest of each period. The
present time is never asked for, so that a clock that jumped cannot age what is there.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, fields

from .._errors import RedisBackupError

DAY = 86400.0
# A pause between two backups that is longer is taken for a jump of the clock, and a gap that is longer whatever was
# removed from it.
_LONGEST_PAUSE = 400 * DAY
_LONGEST_GAP = 5 * 366 * DAY
# Clocks of two controllers may differ, and a clock is put right now and then.
_SKEW = 3600.0
_STRANGE = "its time does not fit those of its neighbours"

_PERIODS = {
    "hourly": "%Y-%m-%d %H",
    "daily": "%Y-%m-%d",
    "weekly": "%G-W%V",
    "monthly": "%Y-%m",
    "yearly": "%Y",
}
MINIMUM_VERIFIED = 2
"""The default of how many verified backups stay whatever the rules say."""


@dataclass(frozen=True)
class Policy:
    """How many to keep: the newest `last`, the newest of so many hours, days, weeks, months and years that have any;
    `within` days before the newest. `minimum_verified` verified backups stay whatever the rules say.
    """

    last: int = 0
    hourly: int = 0
    daily: int = 0
    weekly: int = 0
    monthly: int = 0
    yearly: int = 0
    within: float = 0.0
    minimum_verified: int = MINIMUM_VERIFIED

    @property
    def empty(self) -> bool:
        """Whether no rule keeps anything: a policy that was forgotten, not one that removes all."""
        return not any((self.last, self.hourly, self.daily, self.weekly, self.monthly, self.yearly, self.within))


@dataclass(frozen=True)
class Candidate:
    """One backup. `order` is when it was made after which others (not by a clock), `time` its data's UTC seconds.

    `suspect` says why it cannot be trusted, `why_kept` why it must stay whatever the rules say; empty when neither.
    `keep_until` pins it, in UTC seconds (infinite: for ever; 0: not at all). `accepted` tells that a human has looked
    at it.
    """

    label: str
    time: float
    order: int = 0
    verified: bool = False
    suspect: str = ""
    why_kept: str = ""
    keep_until: float = 0.0
    accepted: bool = False


@dataclass(frozen=True)
class Doubts:
    """What all backups of an instance together tell against removing any.

    `strange` are the labels of those made while a clock was wrong, and right again. `bridges` are the labels of those
    whose time a human accepted after a jump. `blocked` says why nothing may go at all.
    """

    strange: frozenset[str] = frozenset()
    bridges: frozenset[str] = frozenset()
    blocked: str = ""


@dataclass
class Decision:
    """What stays, with the reasons, and what goes, oldest first. `blocked` says why nothing goes although rules would
    let it."""

    kept: dict[str, list[str]] = field(default_factory=dict)
    removed: list[str] = field(default_factory=list)
    blocked: str = ""


def decide(candidates: Sequence[Candidate], policy: Policy, doubts: Doubts | None = None) -> Decision:
    """The decision over all backups of one instance and engine in one repository.

    `doubts` come from more than these, where there are more (`doubts_of`). Deciding again over what was kept removes
    nothing; a larger number in any rule keeps no backup less.
    """
    doubts = doubts_of(candidates) if doubts is None else doubts
    newest_first = _newest_first(candidates)
    kept = kept_by_rules(candidates, policy, doubts.strange)
    keep_witnesses(candidates, doubts, kept)
    gone = [each.label for each in newest_first if each.label not in kept]
    blocked = why_blocked(policy, doubts.blocked) if gone else ""
    if blocked:
        kept.update({label: [blocked] for label in gone})
    ordered = {each.label: kept[each.label] for each in reversed(newest_first) if each.label in kept}
    return Decision(ordered, [] if blocked else list(reversed(gone)), blocked)


def kept_by_rules(
    candidates: Sequence[Candidate], policy: Policy, strange: Collection[str] = (), *, count_strange: bool = True
) -> dict[str, list[str]]:
    """The reasons for each of one history that stays by itself, by label: a rule, a pin, a suspicion, the minimum.

    Where the order of strange ones is not known, `count_strange` has them push nobody out of the last ones.
    """
    newest_first = _newest_first(candidates)
    trusted = [each for each in newest_first if not each.suspect]
    present = next((each.time for each in trusted if each.label not in strange), float("-inf"))
    kept: dict[str, list[str]] = {}
    for each in newest_first:
        reasons = why_held(each, present)
        if reasons:
            kept[each.label] = reasons
    for label, reason in [*_by_rules(trusted, strange, policy, count_strange), *_by_minimum(trusted, policy)]:
        reasons = kept.setdefault(label, [])
        if reason not in reasons:
            reasons.append(reason)
    return kept


def why_held(each: Candidate, present: float) -> list[str]:
    """Why a backup stays although no rule keeps it; `present` is the time of the newest one."""
    reasons = [each.why_kept] if each.why_kept else []
    reasons += [f"suspect: {each.suspect}"] if each.suspect else []
    return reasons + ([_pinned(each.keep_until)] if each.keep_until and each.keep_until >= present else [])


def why_blocked(policy: Policy, doubt: str) -> str:
    """Why nothing may go at all; empty when something may."""
    return "the policy keeps nothing: name at least one rule" if policy.empty else doubt


def doubts_of(candidates: Sequence[Candidate]) -> Doubts:
    """What stands against removing any of an instance's backups: a suspect, a clock that jumped."""
    forward = list(reversed(_newest_first(candidates)))
    strange, bridges, jump = _jumps(forward)
    suspects = [each for each in forward if each.suspect]
    if suspects:
        first, more = suspects[0], len(suspects) - 1
        others = f" (and {more} after it)" if more else ""
        blocked = f"{first.label}{others} is suspect and not acknowledged: {first.suspect}"
    else:
        blocked = jump
    return Doubts(frozenset(strange), frozenset(bridges), blocked)


def _newest_first(candidates: Sequence[Candidate]) -> list[Candidate]:
    return sorted(candidates, key=lambda each: (each.order, each.time, each.label), reverse=True)


def _pinned(until: float) -> str:
    """In words; a date holds through its last second, so it is that day which is told."""
    return "pinned" if until == float("inf") else f"pinned until {time.strftime('%Y-%m-%d', time.gmtime(until - 1))}"


def _by_rules(
    trusted: Sequence[Candidate], strange: Collection[str], policy: Policy, count_strange: bool
) -> list[tuple[str, str]]:
    """Label and reason for each backup that a rule keeps; `trusted` goes from the newest to the oldest.

    The period of a strange one is not known: it stays while any period could still count for a rule.
    """
    found = []
    left = policy.last
    for each in trusted:
        if left <= 0:
            break
        found.append((each.label, f"one of the last {policy.last}"))
        left -= count_strange or each.label not in strange
    for rule, form in _PERIODS.items():
        seen: set[str] = set()
        for each in trusted:
            if len(seen) >= getattr(policy, rule):
                break
            if each.label in strange:
                found.append((each.label, _STRANGE))
                continue
            period = time.strftime(form, time.gmtime(each.time))
            if period not in seen:
                seen.add(period)
                found.append((each.label, f"{rule} {period}"))
    if policy.within:
        newest = next((each.time for each in trusted if each.label not in strange), 0.0)
        oldest, later = newest - policy.within * DAY, newest
        for each in trusted:
            later = later if each.label in strange else each.time
            if later >= oldest:
                reason = _STRANGE if each.label in strange else f"within {policy.within:g} days"
                found.append((each.label, reason))
    return found


def _by_minimum(trusted: Sequence[Candidate], policy: Policy) -> list[tuple[str, str]]:
    """The newest verified backups; where there are fewer, the newest usable ones in their place."""
    verified = [each for each in trusted if each.verified][: policy.minimum_verified]
    missing = policy.minimum_verified - len(verified)
    others = [each for each in trusted if not each.verified][: max(missing, 0)]
    return [(each.label, "one of the newest verified") for each in verified] + [
        (each.label, "in place of a verified one") for each in others
    ]


def keep_witnesses(candidates: Sequence[Candidate], doubts: Doubts, kept: dict[str, list[str]]) -> None:
    """Keep what shows which clock was right: without it, the next run would find a jump that is explained already."""
    trusted = [each for each in _newest_first(candidates) if not each.suspect]
    needed = False
    for each in trusted:  # the one before a strange one
        if each.label in doubts.strange:
            needed = needed or each.label in kept
        elif needed:
            kept.setdefault(each.label, ["it shows that the clock was wrong after it"])
            needed = False
    older = False
    for each in reversed(trusted):  # the one that a human accepted after others that stay
        if older and each.label in doubts.bridges:
            kept.setdefault(each.label, ["it was acknowledged after a jump of the clock"])
        older = older or each.label in kept


def _jumps(forward: Sequence[Candidate]) -> tuple[set[str], set[str], str]:
    """Backups between others whose times fit without them; those accepted after a jump; a jump that stays, in words."""
    steady: list[Candidate] = []
    strange: set[str] = set()
    bridges: set[str] = set()
    at = 0
    while at < len(forward):
        each = forward[at]
        if not steady or _follows(steady[-1], each):
            steady.append(each)
        elif each.accepted:
            bridges.add(each.label)
            while steady and steady[-1].time > each.time + _SKEW:  # then that clock was wrong
                strange.add(steady.pop().label)
            steady.append(each)
        else:
            ahead = range(at + 1, len(forward))
            back = next((i for i in ahead if forward[i].accepted or _follows(steady[-1], forward[i])), None)
            if back is None:
                words = f"a clock jumped between {steady[-1].label} and {each.label}"
                return strange, bridges, f"{words}: look at both, then acknowledge the later"
            strange.update(between.label for between in forward[at:back])
            at = back
            continue
        at += 1
    return strange, bridges, ""


def _follows(earlier: Candidate, later: Candidate) -> bool:
    """Whether the times of two backups fit each other. Between them may have been others, which were removed."""
    made = max(later.order - earlier.order, 1)
    return -_SKEW <= later.time - earlier.time <= min(made * _LONGEST_PAUSE, _LONGEST_GAP)


def policy_of(keep: Mapping[str, float | None], minimum_verified: int) -> Policy:
    """A policy of a module's options. Raises RedisBackupError for numbers that make no sense."""
    known = {each.name for each in fields(Policy)} - {"minimum_verified"}
    numbers = {name: value or 0 for name, value in keep.items() if name in known}
    for name, number in [*numbers.items(), ("minimum_verified", minimum_verified)]:
        if not number >= 0 or number == float("inf"):  # NaN is not at least 0 either
            raise RedisBackupError(
                f"keep: {name} is {number}", untouched="Nothing was removed", hint="Give a number of 0 or more"
            )
    within = float(numbers.pop("within", 0))
    counts = {name: int(value) for name, value in numbers.items()}
    return Policy(**counts, within=within, minimum_verified=minimum_verified)
