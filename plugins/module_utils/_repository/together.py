# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Retention over several names: of a shard whose members took turns, and of a cluster whose sets are whole or no use.
Pure.

All instances that belong together decide about all of their backups, each by itself and to the same end, and remove
their own. So one that cannot be reached holds nobody up, and what is left to remove is found by the next run.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from .._server.slots import count, merged_ranges, uncovered
from .retention import (
    DAY,
    Candidate,
    Doubts,
    Policy,
    keep_witnesses,
    kept_by_rules,
    why_blocked,
    why_held,
)

Key = tuple[str, str]
"""The instance whose name a backup carries, and its label."""

_SET = "/"  # before the identifier of a set: what no key in words begins with


@dataclass(frozen=True)
class Part:
    """Which part of a cluster's set a backup is: `shards` parts make it whole."""

    set: str
    shards: int
    shard: str
    slots: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Piece:
    """One backup under its instance's name."""

    instance: str
    engine: str
    candidate: Candidate
    part: Part | None = None

    @property
    def key(self) -> Key:
        return self.instance, self.candidate.label


@dataclass
class Together:
    """What stays, with the reasons, and what goes, oldest first; `blocked` says why nothing goes although rules would
    let it.

    `last` are those that stay as nothing but the newest of their name, `whole` what is in whole sets.
    """

    kept: dict[Key, list[str]] = field(default_factory=dict)
    removed: list[Key] = field(default_factory=list)
    blocked: str = ""
    last: set[Key] = field(default_factory=set)
    whole: dict[Key, str] = field(default_factory=dict)


def decide_together(
    pieces: Sequence[Piece],
    shards: Iterable[Collection[str]],
    policy: Policy,
    doubts: Mapping[str, Doubts],
    *,
    blocked: str = "",
    held: Mapping[Key, str] | None = None,
) -> Together:
    """The decision over all backups in one repository of the instances that belong together.

    `shards` are the names that hold the same data each, `doubts` those of each name. `held` are backups that stay
    although their set lacks a part, as that one may be there.

    Whole sets are one history, whose backups stay or go together. What stands alone is another, of each shard and
    engine; so is what is left of a set that is not whole, until a whole one is newer.
    """
    strange = {(name, label) for name, each in doubts.items() for label in each.strange}
    rank = in_order(pieces, strange)
    sets = whole_sets(pieces)
    whole = {piece.key: name for name, members in sets.items() for piece in members}
    units = {name: _unit(name, members, rank, strange) for name, members in sets.items()}
    trusted = [each for each in units.values() if not each.suspect and each.label not in _strange_units(sets, strange)]
    newest = max(trusted, key=lambda each: each.order, default=None)
    kept: dict[Key, list[str]] = {}
    _keep_sets(units, sets, policy, strange, kept)
    spent = [piece for piece in pieces if newest and piece.part and _is_spent(piece, newest, sets, whole, rank)]
    _keep_spent(spent, newest, policy, strange, held or {}, kept)
    counted = {*whole, *(piece.key for piece in spent)}
    last: set[Key] = set()
    for alike in _histories([piece for piece in pieces if piece.key not in counted], shards):
        kept.update(_kept_alone(alike, policy, rank, strange))
        last |= _keep_newest_of_names(alike, rank, kept)
    _keep_all_witnesses(pieces, sets, doubts, kept)
    in_time = sorted((piece.key for piece in pieces), key=lambda key: rank[key])
    gone = [key for key in in_time if key not in kept]
    words = why_blocked(policy, blocked) if gone else ""
    if words:
        kept.update({key: [words] for key in gone})
    return Together({key: kept[key] for key in in_time if key in kept}, [] if words else gone, words, last, whole)


# --- the order of all ---


def in_order(pieces: Iterable[Piece], strange: Collection[Key]) -> dict[Key, int]:
    """The place of each among all, from the oldest on.

    Those of one name stay in their own order, which no clock can change; between names, times tell. One whose time is
    strange stands right before the next of its name.
    """
    named: dict[str, list[Piece]] = {}
    for piece in pieces:
        named.setdefault(piece.instance, []).append(piece)
    placed: list[tuple[float, str, int, Key]] = []
    for name, own in named.items():
        own.sort(key=lambda each: (each.candidate.order, each.candidate.time, each.candidate.label))
        at = float("-inf")
        times = []
        for piece in own:
            at = at if piece.key in strange else max(at, piece.candidate.time)
            times.append(at)
        at = float("inf")
        for number in reversed(range(len(own))):
            at = at if own[number].key in strange else times[number]
            placed.append((at, name, number, own[number].key))
    return {key: place for place, (_at, _name, _number, key) in enumerate(sorted(placed))}


# --- sets ---


def whole_sets(pieces: Iterable[Piece]) -> dict[str, list[Piece]]:
    """The sets that hold every slot once, by their identifiers, with all that carries these."""
    found: dict[str, list[Piece]] = {}
    for piece in pieces:
        if piece.part is not None:
            found.setdefault(piece.part.set, []).append(piece)
    return {name: members for name, members in found.items() if _is_whole(members)}


def _is_whole(members: Sequence[Piece]) -> bool:
    slots = [each for part in _chosen(members).values() if part.part for each in part.part.slots]
    wanted = max(piece.part.shards for piece in members if piece.part)
    return len(_chosen(members)) >= wanted and not uncovered(slots) and count(slots) == count(merged_ranges(slots))


def _chosen(members: Iterable[Piece]) -> dict[str, Piece]:
    """The newest of each shard: a second try may have left two."""
    ordered = sorted(members, key=lambda each: (each.candidate.time, each.candidate.order, each.candidate.label))
    return {piece.part.shard: piece for piece in ordered if piece.part}


def _unit(name: str, members: Sequence[Piece], rank: Mapping[Key, int], strange: Collection[Key]) -> Candidate:
    """A whole set as one backup: verified when all of it is, suspect and pinned when any part is."""
    sure = [piece for piece in members if piece.key not in strange] or members
    return Candidate(
        label=_SET + name,
        time=min(piece.candidate.time for piece in sure),
        order=max(rank[piece.key] for piece in sure),
        verified=all(piece.candidate.verified for piece in _chosen(members).values()),
        suspect=next(filter(None, (piece.candidate.suspect for piece in members)), ""),
        keep_until=max(piece.candidate.keep_until for piece in members),
    )


def _strange_units(sets: Mapping[str, Sequence[Piece]], strange: Collection[Key]) -> set[str]:
    return {_SET + name for name, members in sets.items() if all(piece.key in strange for piece in members)}


def _keep_sets(
    units: Mapping[str, Candidate],
    sets: Mapping[str, Sequence[Piece]],
    policy: Policy,
    strange: Collection[Key],
    kept: dict[Key, list[str]],
) -> None:
    """Keep all backups of the sets that stay. Those of other engines have another history."""
    histories: dict[str, list[str]] = {}
    for name, members in sets.items():
        engines = "+".join(sorted({piece.engine for piece in _chosen(members).values()}))
        histories.setdefault(engines, []).append(name)
    for names in histories.values():
        found = kept_by_rules([units[name] for name in names], policy, _strange_units(sets, strange))
        for name in names:
            for piece in sets[name] if _SET + name in found else ():
                kept[piece.key] = [f"{reason} (set {name})" for reason in found[_SET + name]]


def _is_spent(
    piece: Piece,
    newest: Candidate,
    sets: Mapping[str, Sequence[Piece]],
    whole: Collection[Key],
    rank: Mapping[Key, int],
) -> bool:
    """Whether a part of a set that is not whole is older than a whole set, which has newer data of all its slots."""
    begun = min(rank[other.key] for other in sets[newest.label[len(_SET) :]])
    return piece.key not in whole and rank[piece.key] < begun


def _keep_spent(
    spent: Iterable[Piece],
    newest: Candidate | None,
    policy: Policy,
    strange: Collection[Key],
    held: Mapping[Key, str],
    kept: dict[Key, list[str]],
) -> None:
    """Of those, keep what is pinned or may belong to more than is seen, and what is young enough for `within`."""
    if newest is None:
        return
    for piece in spent:
        reasons = why_held(piece.candidate, newest.time)
        reasons += [held[piece.key]] if piece.key in held else []
        young = piece.key in strange or piece.candidate.time >= newest.time - policy.within * DAY
        reasons += [f"within {policy.within:g} days"] if policy.within and young else []
        if reasons:
            kept[piece.key] = reasons


# --- what stands alone ---


def _histories(pieces: Sequence[Piece], shards: Iterable[Collection[str]]) -> list[list[Piece]]:
    """What is counted together: the backups of one engine of all members of a shard."""
    shard_of = {name: number for number, names in enumerate(shards) for name in names}
    found: dict[tuple[object, str], list[Piece]] = {}
    for piece in pieces:
        found.setdefault((shard_of.get(piece.instance, piece.instance), piece.engine), []).append(piece)
    return list(found.values())


def _kept_alone(
    alike: Sequence[Piece], policy: Policy, rank: Mapping[Key, int], strange: Collection[Key]
) -> dict[Key, list[str]]:
    names = {_word(piece.key): piece.key for piece in alike}
    candidates = [replace(piece.candidate, label=_word(piece.key), order=rank[piece.key]) for piece in alike]
    sure = len({piece.instance for piece in alike}) == 1
    found = kept_by_rules(candidates, policy, {_word(key) for key in strange}, count_strange=sure)
    return {names[word]: reasons for word, reasons in found.items()}


def _word(key: Key) -> str:
    return "/".join(key)


def _keep_newest_of_names(alike: Sequence[Piece], rank: Mapping[Key, int], kept: dict[Key, list[str]]) -> set[Key]:
    """Keep the newest good one under each name, where there are several; those that stay for nothing else.

    Who holds the same data today may have held other data before, or does so by mistake.
    """
    if len({piece.instance for piece in alike}) == 1:
        return set()
    newest: dict[str, Piece] = {}
    for piece in sorted(alike, key=lambda each: (each.candidate.verified, rank[each.key])):
        if not piece.candidate.suspect:
            newest[piece.instance] = piece
    last = {piece.key for piece in newest.values()} - kept.keys()
    for name, piece in newest.items():
        kept.setdefault(piece.key, []).append(f"the newest good one of {name}")
    return last


def _keep_all_witnesses(
    pieces: Iterable[Piece],
    sets: Mapping[str, Sequence[Piece]],
    doubts: Mapping[str, Doubts],
    kept: dict[Key, list[str]],
) -> None:
    """Keep what each name's history needs to tell which clock was right, and what is in one set with it."""
    named: dict[str, list[Candidate]] = {}
    for piece in pieces:
        named.setdefault(piece.instance, []).append(piece.candidate)
    set_of = {piece.key: name for name, members in sets.items() for piece in members}
    before = -1
    while len(kept) > before:
        before = len(kept)
        for name, own in named.items():
            mine = {label: reasons for (other, label), reasons in kept.items() if other == name}
            keep_witnesses(own, doubts.get(name, Doubts()), mine)
            kept.update({(name, label): reasons for label, reasons in mine.items()})
        for key in [key for key in kept if key in set_of]:
            for piece in sets[set_of[key]]:
                kept.setdefault(piece.key, [f"in one set with {key[1]} of {key[0]}"])
