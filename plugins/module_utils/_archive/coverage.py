# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What can be recovered from an archive: epochs joined to chains, the times they cover, and the gaps. Pure.

A moment is recovered from a chain: a whole base (or a single file) from before it, then increments without a hole up to
it. Times are UTC seconds by the clock of the host that archived.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .._repository.layout import epoch_key
from .frame import After, Segment


@dataclass
class Epoch:
    """One epoch as far as it can be used: its base, and what its file has from 0 up to the first hole.

    `last`: everything that stood in the file at that time is archived. `reach` is the offset behind its last byte.
    `own` is the same by what is known of the file alone: of a single file that was replaced, `last` is the time when
    the next one was found, and what was written shortly before that stands in the next one only.
    """

    name: str
    base: list[Segment] = field(default_factory=list)
    segments: list[Segment] = field(default_factory=list)
    whole_base: bool = False
    reach: int = 0
    last: float | None = None
    own: float | None = None
    after: After | None = None
    single: bool = False
    hole: int | None = None

    @property
    def time(self) -> float | None:
        """From when on the epoch gives data by itself; None where it needs the one before it."""
        if self.single:
            return self.segments[0].time if self.segments else None
        return self.base[0].time if self.whole_base else None


@dataclass(frozen=True)
class Chain:
    """Epochs that are read one behind the other: the first has a base, or is a single file. It covers first to last."""

    epochs: tuple[Epoch, ...]
    first: float
    last: float


@dataclass(frozen=True)
class Coverage:
    """All chains by their first time, the times that they cover together, and the gaps that were recorded."""

    chains: tuple[Chain, ...]
    ranges: tuple[tuple[float, float], ...]
    gaps: tuple[Mapping[str, Any], ...]
    epochs: tuple[Epoch, ...]

    def at(self, moment: float) -> Chain | None:
        """The shortest chain that gives the data of a moment: the one with the newest base; None where none does."""
        found = [chain for chain in self.chains if chain.first <= moment <= chain.last]
        return max(found, key=lambda chain: chain.first, default=None)

    def nearest(self, moment: float) -> tuple[float | None, float | None]:
        """The nearest covered times before and behind a moment that is not covered."""
        before = [last for _first, last in self.ranges if last <= moment]
        behind = [first for first, _last in self.ranges if first >= moment]
        return max(before, default=None), min(behind, default=None)


def coverage(segments: Iterable[Segment]) -> Coverage:
    """What these objects cover."""
    epochs = _epochs(segments)
    followers: dict[str, Epoch] = {}
    for epoch in epochs.values():
        if epoch.after is not None and epoch.after.epoch in epochs:
            followers[epoch.after.epoch] = epoch
    for epoch in epochs.values():
        follower = followers.get(epoch.name)
        if epoch.single and follower is not None and follower.time is not None and _complete(epoch, follower):
            epoch.last = max(epoch.last or 0.0, follower.time)
    chains = []
    for epoch in epochs.values():
        if epoch.time is not None:
            chains.append(_chain(epoch, followers))
    chains = sorted((chain for chain in chains if chain.last >= chain.first), key=lambda chain: chain.first)
    gaps = {(each["from"], each["to"]): each for epoch in epochs.values() for each in _told(epoch)}
    ordered = tuple(gaps[key] for key in sorted(gaps, key=lambda key: (key[0] or 0.0, key[1] or 0.0)))
    return Coverage(tuple(chains), _union(chains), ordered, tuple(epochs.values()))


def _epochs(segments: Iterable[Segment]) -> dict[str, Epoch]:
    found: dict[str, Epoch] = {}
    for segment in segments:
        epoch = found.setdefault(segment.epoch, Epoch(segment.epoch))
        (epoch.base if segment.kind == "base" else epoch.segments).append(segment)
    for epoch in found.values():
        _complete_base(epoch)
        _complete_increments(epoch)
    return dict(sorted(found.items(), key=lambda item: epoch_key(item[0])))


def _complete_base(epoch: Epoch) -> None:
    pieces = _run(epoch.base)
    epoch.whole_base = bool(pieces) and pieces[0].time is not None and pieces[-1].end == pieces[0].total
    epoch.base = pieces


def _complete_increments(epoch: Epoch) -> None:
    pieces = _run(epoch.segments)
    if len(pieces) < len(epoch.segments):
        epoch.hole = pieces[-1].end if pieces else 0
    epoch.segments = pieces
    if pieces:
        epoch.reach = pieces[-1].end
        epoch.after = pieces[0].after
        epoch.single = pieces[0].kind == "single"
        times = [each.lower for each in pieces if each.lower is not None]
        times += [before for each in pieces for size, before, _after in each.clocks if size <= epoch.reach]
        epoch.last = epoch.own = max(times, default=None)


def _run(segments: Sequence[Segment]) -> list[Segment]:
    """The objects of one file from offset 0 up to the first hole."""
    found: list[Segment] = []
    for segment in sorted(segments, key=lambda each: (each.offset, -each.length)):
        end = found[-1].end if found else 0
        same = not found or segment.file == found[0].file
        if segment.offset == end and same and (segment.length or not found):
            found.append(segment)
    return found


def _complete(epoch: Epoch, follower: Epoch) -> bool:
    """Whether all of an epoch's file is there: the epoch behind it knows how long it was."""
    return follower.after is not None and epoch.reach >= follower.after.size


def _chain(epoch: Epoch, followers: Mapping[str, Epoch]) -> Chain:
    """An epoch that gives data by itself, and all that go on from it. A base with nothing behind covers one time."""
    first = epoch.time or 0.0
    epochs = [epoch]
    while not epoch.single:
        follower = followers.get(epoch.name)
        if follower is None or not _complete(epoch, follower) or follower in epochs:
            break
        epochs.append(follower)
        epoch = follower
    last = max((each.last for each in epochs if each.last is not None), default=first)
    return Chain(tuple(epochs), first, last)


def _union(chains: Sequence[Chain]) -> tuple[tuple[float, float], ...]:
    found: list[tuple[float, float]] = []
    for chain in [chain for chain in chains if any(epoch.last for epoch in chain.epochs)] or chains:
        if found and chain.first <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], chain.last))
        else:
            found.append((chain.first, chain.last))
    return tuple(found)


def _told(epoch: Epoch) -> list[Mapping[str, Any]]:
    return [gap for segment in (*epoch.base, *epoch.segments) for gap in segment.gaps if {"from", "to"} <= set(gap)]
