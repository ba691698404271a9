# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which files are followed, where epochs begin and what is lost: decided from the state and a look at the AOF. Pure.

An epoch holds one file of the AOF that grows, and the base that belongs to it when there is one. A rewrite closes the
file at its fork and opens the next one: a new epoch begins, which goes on from the one before (`after`). The new base
follows when the rewrite has ended, and is shipped beside. So a time is recovered from the newest whole base before it
and the increments behind that base, epoch by epoch; an epoch whose base never came (a rewrite that failed, or the next
one was faster) is reached from the epoch before.

The chain breaks when a file is gone with bytes that were not shipped, when a file is not what was shipped of it (a
server that cut its AOF's torn end as it started), or when the AOF was made anew (a restore, a full synchronisation).
Then the next epoch goes on from nothing, its base is needed, and the time in between is a gap.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from .._repository.layout import epoch_key, epoch_time, make_epoch
from .._times import from_iso
from .look import SINGLE, Look, Seen
from .state import ArchiveState, Base, Left, Track

Key = tuple[str, int]

_LEAP = 1 << 39

_CLOCK_SLACK = 1.0
"""Seconds that a clock may be set back without a word."""


@dataclass(frozen=True)
class Held:
    """What is known of the files that can still be read: by key their sizes, and those that are not what they were.

    `apart`: why a new file is not taken as the next one by its number alone; empty where it may be.
    """

    sizes: dict[Key, int] = field(default_factory=dict)
    changed: Collection[Key] = ()
    apart: str = ""


def follow(state: ArchiveState, look: Look, held: Held) -> list[str]:
    """Bring the state up to the look. Returns in words what happened to epochs."""
    told: list[str] = []
    looked, last_epoch = state.looked, state.last_epoch
    _turn_back(state, look, told)
    _drop_changed(state, held, told)
    live = {seen.key for seen in look.increments}
    for each in state.tracks:
        if each.key not in live and each.key in held.sizes:
            _ended(each, held.sizes[each.key], state.looked, look.before)
    _settle(state, live)
    _drop_lost(state, live, held, told)
    seen_now = (*_past(state, look), *look.increments)
    for number, seen in enumerate(seen_now):
        track = state.track(seen.key)
        if track is None:
            track = _begin(state, look, seen_now, number, held.apart, told)
        if number < len(seen_now) - 1:
            _ended(track, seen.size, state.looked, seen.after)
        else:
            track.closed = False
            track.saw(seen.size, seen.before, seen.after)
    _choose_base(state, look, {*held.sizes, *(seen.key for seen in (look.base,) if seen)})
    if state.off and state.last_epoch == last_epoch and looked is not None:
        state.note_gap(looked, look.before, "the AOF was off")
    state.off = False
    state.looked = look.before
    state.folder = look.folder
    state.covered_to = covered(state)
    return told


def apart(state: ArchiveState, look: Look, server: Mapping[str, str]) -> str:
    """Why the next file is not taken to go on from the one before by its number alone; empty where it may be.

    A replica that takes over all data of its primary begins a new file like any other, and so does an AOF that is
    switched on again, and a set that was put in the place of another. In all of them what was written before is not
    what the new file goes on from.
    """
    if state.off:
        return "the AOF was off"
    if server.get("role") == "slave":
        return "the server is a replica, which may have taken over its primary's data anew"
    if state.exchanged or leapt(state, server):
        return "the server's data was exchanged while it ran"
    if state.folder and look.folder and state.folder != look.folder:
        return "the AOF's folder is another one, as after a restore"
    run_id = server.get("run_id", "")
    if look.layout == SINGLE and state.run_id and run_id and run_id != state.run_id:
        return "the server was started in between"
    return ""


def leapt(state: ArchiveState, server: Mapping[str, str]) -> bool:
    """Whether the server's data was exchanged since the last look, by a restore into the running server.

    That announces an offset so far ahead as no writes can bring a server within any time (_live/outcome.py).
    """
    same = server.get("run_id", "") == state.run_id != ""
    return same and _offset(server) - state.offset >= _LEAP


def note_server(state: ArchiveState, server: Mapping[str, str], *, begun: bool) -> None:
    """Remember what the server told at this look; `begun`: a new file was."""
    state.exchanged = (state.exchanged or leapt(state, server)) and not begun
    state.offset = _offset(server) or state.offset
    state.run_id = server.get("run_id", "") or state.run_id


def _offset(server: Mapping[str, str]) -> int:
    text = server.get("offset", "")
    return int(text) if text.isdecimal() else 0


def lost_sight(state: ArchiveState, reason: str) -> None:
    """The repository is not as this host knows it: all is archived anew, behind a gap."""
    _break(state, covered(state), reason)
    _keep(state, [])


def _turn_back(state: ArchiveState, look: Look, told: list[str]) -> None:
    """A clock that went back: what is archived from here on has times of which the archive has other data."""
    known = max((each for each in (state.looked, state.covered_to) if each is not None), default=None)
    if known is None or look.before >= known - _CLOCK_SLACK:
        return
    words = f"the clock went back by {known - look.before:.0f} s"
    told.append(words)
    state.broken = None
    _break(state, look.before, words)
    _keep(state, [])
    state.note_gap(look.before, known, words)
    state.broken = {"from": None, "reason": words}
    state.covered_to = state.looked = None


def _ended(track: Track, size: int, looked: float | None, after: float) -> None:
    """The server has done with a file, nobody knows when: it holds everything up to the last look before that.

    What was written since stands in the files behind it, which may be lost: its clocks must not reach further.
    """
    if not track.closed and looked is not None:
        track.saw(size, looked, after)
    track.size = size
    track.closed = True


def _drop_changed(state: ArchiveState, held: Held, told: list[str]) -> None:
    """A file that lost bytes of which the repository has others: its epoch ends, and the file begins anew."""
    for number, track in enumerate(state.tracks):
        if track.key in held.changed:
            told.append(f"{track.name} is not what was archived of it: its server cut or replaced its end")
            _break(state, covered(state), f"{track.name} was cut or replaced")
            _keep(state, state.tracks[:number])
            return


def _drop_lost(state: ArchiveState, live: Collection[Key], held: Held, told: list[str]) -> None:
    """Files that nobody holds any more, with bytes that were not shipped, or that may have grown unseen."""
    for number, track in enumerate(state.tracks):
        if track.key in live or track.key in held.sizes or (track.closed and not track.due):
            continue
        told.append(f"{track.name} is gone before all of it was archived")
        _break(state, covered(state), f"{track.name} was gone before all of it was archived")
        _keep(state, state.tracks[:number])
        return


def let_go(state: ArchiveState, look: Look, reason: str) -> bool:
    """Give up all closed files that were not shipped, so that nothing holds their room; whether there were any.

    All of them, not only the oldest: without it, the ones behind it need a base that is gone. The gap ends with the
    newest base. A base that the server has replaced goes too.
    """
    live = {seen.key for seen in look.increments}
    rest = [track for track in state.tracks if track.key in live]
    gone = len(rest) < len(state.tracks)
    if gone:
        _break(state, covered(state), reason)
        _keep(state, rest)
        for track in rest[:1]:
            track.after = None
            if track.time is not None:
                _cure(state, track.time)
                state.covered_from = track.time
    if state.base is not None and (look.base is None or state.base.key != look.base.key):
        state.base, gone = None, True
    _choose_base(state, look, {seen.key for seen in (*look.increments, look.base) if seen is not None})
    return gone


def _break(state: ArchiveState, start: float | None, reason: str) -> None:
    """The chain ends at the time `start`: what follows needs a base of its own."""
    if state.broken is None:
        state.broken = {"from": start, "reason": reason}
    state.left = state.base = state.covered_from = None
    state.based, state.base_key = "", []


def _keep(state: ArchiveState, tracks: list[Track]) -> None:
    """Follow only these files on."""
    state.covered_to = covered(state)
    state.tracks = tracks
    if state.pending is not None and all(track.epoch != state.pending.epoch for track in tracks):
        state.pending = None


def newest_number(state: ArchiveState) -> int | None:
    """The number of the last file that was followed; increments of the past are of use beyond it."""
    previous = state.tracks[-1] if state.tracks else state.left
    return previous.seq if previous is not None else None


def _past(state: ArchiveState, look: Look) -> tuple[Seen, ...]:
    """The increments of the past that go on, without a hole, from the file that was followed last."""
    number = newest_number(state)
    found: list[Seen] = []
    for seen in look.past:
        if number is not None and state.broken is None and seen.seq == number + 1:
            found.append(seen)
            number += 1
    return tuple(found)


def _begin(
    state: ArchiveState, look: Look, seen_now: Sequence[Seen], number: int, why: str, told: list[str]
) -> Track:
    """Follow a file that is new: a new epoch, which goes on from the one before where that is certain."""
    seen = seen_now[number]
    previous = state.tracks[-1] if state.tracks else state.left
    after: dict[str, object] | None = None
    if previous is not None:
        after = _link(state, look, seen_now, number, previous, why)
        if after is None and state.broken is None:
            earlier = previous.name if previous.name != seen.name else "the file of that name before it"
            words = f"{seen.name} does not go on from {earlier}{f': {why}' if why else ''}"
            told.append(words)
            _break(state, state.looked, words)
    epoch = make_epoch(_epoch_time(state, seen), seen.seq, _token(seen, state))
    state.last_epoch = epoch
    track = Track(epoch, seen.name, seen.kind, seen.seq, seen.inode, after=after, lower=state.looked)
    if look.layout == SINGLE:
        track.time = seen.before
        _cure(state, track.time)
        if state.covered_from is None:
            state.covered_from = track.time
    state.tracks.append(track)
    told.append(f"epoch {epoch} begins with {seen.name}")
    return track


def _epoch_time(state: ArchiveState, seen: Seen) -> float:
    """The time in an epoch's name. Epochs sort by their names: whatever the clock did, a later one sorts behind."""
    if not state.last_epoch:
        return seen.before
    last = from_iso(epoch_time(state.last_epoch))
    new = epoch_key(make_epoch(seen.before, seen.seq, "0" * 8))[:2]
    return seen.before if new > epoch_key(state.last_epoch)[:2] else last + 1.0


def _link(
    state: ArchiveState, look: Look, seen_now: Sequence[Seen], number: int, previous: Track | Left, why: str
) -> dict[str, object] | None:
    """What the epoch of a new file says of the one before it; None where it goes on from nothing.

    Everything that was written to the one before is shipped, or can still be: it would not be known here otherwise.
    """
    beside = any(each.key == (previous.name, previous.inode) for each in seen_now[:number])
    next_one = look.layout == SINGLE or (
        seen_now[0].seq == previous.seq + 1 and _stem(seen_now[0].name) == _stem(previous.name)
    )
    follows = not number and next_one and state.broken is None and not why
    if not beside and not follows:
        return None
    return {"epoch": previous.epoch, "file": previous.name, "size": previous.size, "proven": beside}


def _stem(name: str) -> str:
    """A file's name without its number."""
    return name.rsplit(".", 3)[0]


def _token(seen: Seen, state: ArchiveState) -> str:
    """Tells epochs apart that begin in one second."""
    words = f"{state.uuid} {seen.name} {seen.inode} {seen.before!r}"
    return hashlib.sha256(words.encode(errors="surrogateescape")).hexdigest()[:8]


def _choose_base(state: ArchiveState, look: Look, readable: Collection[Key]) -> None:
    """Which base is to be shipped: the one under way as long as it can be read, then the newest."""
    if state.base is not None and state.base.key not in readable:
        state.base = None
    if state.base is not None or look.base is None or not look.increments:
        return
    first = state.track(look.increments[0].key)
    if first is None or (state.based and state.base_key in ([look.base.name, 0], list(look.base.key))):
        return
    time = base_time(look.base, joined=first.after is not None, floor=state.covered_to)
    time = min(time, look.base.before + 1.0)  # a clock that went back: it was made before it was seen
    state.base = Base(first.epoch, look.base.name, look.base.seq, look.base.inode, look.base.size, time)
    _cure(state, time)


def base_time(base: Seen, *, joined: bool, floor: float | None) -> float:
    """From when on a base gives the server's data.

    That is the end of the second of its fork, where it was made in the course of a chain. A base that begins a chain
    may have been put in place by a restore, with data of long before: there the file's own time counts, and nothing
    before the last that is known.
    """
    if joined and base.ctime:
        return base.ctime + 1.0
    return max(base.ctime, base.mtime, floor or 0.0)


def _cure(state: ArchiveState, time: float) -> None:
    """A gap ends: a base is at hand from which recovery is possible again."""
    if state.broken is not None:
        if state.broken["from"] is not None:
            state.note_gap(state.broken["from"], max(time, state.broken["from"]), state.broken["reason"])
        state.broken = None


def shipped_base(state: ArchiveState) -> None:
    """The base is in the repository as a whole."""
    base = state.base
    if base is not None:
        state.based, state.base_key, state.base = base.epoch, list(base.key), None
        if state.covered_from is None:
            state.covered_from = base.time


def _settle(state: ArchiveState, live: Collection[Key]) -> None:
    """Forget files that are closed and shipped as a whole, once the server has done with them too."""
    while state.tracks and state.tracks[0].closed and not state.tracks[0].due and state.tracks[0].key not in live:
        track = state.tracks.pop(0)
        state.left = Left(track.epoch, track.name, track.seq, track.inode, track.size)


def covered(state: ArchiveState) -> float | None:
    """The time up to which everything that stood in the AOF is in the repository; None as long as nothing is."""
    known = [state.covered_to]
    for track in state.tracks:
        known.append(track.lower)
        if not track.closed or track.due:
            break
    return max((each for each in known if each is not None), default=None)
