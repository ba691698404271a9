# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a chain of the archive ends for a moment: found while its increments pass. Pure.

The server's own annotations tell the second of each command. The archive's clocks bound when each byte was written to
the file: where there are no annotations the cut is made by them, before what may be too late; where there are, they
tell whether annotations were switched off for a while, or a clock was wrong.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from .._aof.resp import Found, Reader, Watch
from .._archive.frame import Segment
from .._errors import DamagedError, RestoreError
from .._times import to_iso
from .point_plan import STEP, WRITE_DELAY, Point

_UNTOUCHED = "The live data was not touched"
_LATE = WRITE_DELAY + STEP
_MATCHES = 1000  # that are remembered


class Position(NamedTuple):
    """A place in a chain: the number of the file, and the offset in it."""

    file: int
    offset: int


@dataclass(frozen=True)
class Decision:
    """Where the chain ends; `recovered_to` (UTC seconds): all that was executed up to then is in it.

    `precision` is by how many seconds of writes before the asked moment's end it may fall short; 0 is exact. `stamp` is
    the second of the command before which it ends, if one was looked for.
    """

    position: Position
    recovered_to: float
    precision: float
    by: str
    stamp: int | None = None


class Clocked(NamedTuple):
    """A place below which everything was written before the moment's end: `at` on a whole command, `raw` exactly."""

    at: Position
    raw: Position
    before: float


class Follower:
    """Follows the increments of a chain, file by file; `first` and `last` are the times that the chain covers."""

    def __init__(self, point: Point, first: float, last: float) -> None:
        self._point = point
        self._first = first
        self._last = last
        self._file = -1
        self._reader = Reader()
        self._watch: Watch | None = None
        self._end = Position(0, 0)  # behind the last whole command
        self._raw = Position(0, 0)  # behind the last byte
        self._cut: Position | None = None
        self._clock: Clocked | None = None
        self._early: Position | None = None  # surely written before the end, whatever tolerance there is
        self._late: Position | None = None  # what stands above was surely written too late
        self._second: int | None = None  # of the last annotation
        self._stamped = False
        self._found: list[tuple[Position, int | None]] = []
        self._reached: list[tuple[Position, float]] = []  # by the clocks, before each piece that holds a match
        self._lost = 0
        self._title = ""

    @property
    def enough(self) -> bool:
        """No more is needed."""
        return self._cut is not None

    def begin(self, title: str) -> None:
        """The next file."""
        self.end_file()
        self._title = title
        self._file += 1
        point = self._point
        self._watch = Watch(point.command, point.key) if point.command else None
        self._reader = Reader(until=point.second, watch=self._watch)
        self._end = self._raw = Position(self._file, 0)

    def end_file(self) -> None:
        """The file is over, and another comes: its last command must be whole. Raises DamagedError."""
        if self._file < 0:
            return
        self._reader.finish()
        if self._reader.torn is not None and self._cut is None:
            raise DamagedError(
                f"the archive of {self._title} ends within a command, at byte {self._reader.torn}, and more follows",
                untouched=_UNTOUCHED,
                hint="A moment before the end of that file can be recovered",
            )
        self._take()

    def too_late(self, segment: Segment) -> bool:
        """Whether nothing of an object can have been executed in time."""
        return segment.lower is not None and segment.lower >= self._point.end + _LATE

    def feed(self, segment: Segment, data: bytes) -> None:
        """The next object of the file. Raises DamagedError for what is no command, RestoreError for a wrong clock."""
        for piece, sample in _pieces(segment, data, self._point.end):
            matches = self._watch.count if self._watch is not None else 0
            self._reader.feed(piece)
            if self._watch is not None and self._watch.count > matches and self._clock is not None:
                self._reached = [*self._reached[-_MATCHES:], (self._clock.raw, self._clock.before)]
            damage = self._reader.damage
            if damage is not None and self._reader.late is None:
                raise DamagedError(
                    f"the archive of {self._title} holds no command at byte {damage.offset}: {damage.what}",
                    untouched=_UNTOUCHED,
                    hint="A moment before that can be recovered",
                )
            self._end = Position(self._file, self._reader.whole)
            self._raw = Position(self._file, self._reader.offset)
            if sample is not None:
                self._sample(*sample)
        late = self._reader.late
        if late is not None and self._cut is None:
            self._cut = Position(self._file, late.offset)
            self._require_forward(late.offset, segment, data)

    def _sample(self, before: float, after: float) -> None:
        """Everything that was fed stood in the file after `before`, and was written before `after`."""
        end = self._point.end
        if after <= end:
            self._clock = Clocked(self._end, self._raw, max(before, self._clock.before if self._clock else 0.0))
        if after <= end - STEP:
            self._early = self._raw
        if before >= end + _LATE and self._late is None:
            self._late = self._raw

    def _require_forward(self, offset: int, segment: Segment, data: bytes) -> None:
        """Raise RestoreError when, in the object that is cut, the annotations behind the cut go backwards."""
        if offset < segment.offset:
            return
        rest = Reader(offset)
        rest.feed(memoryview(data)[offset - segment.offset :])
        if rest.backward:
            raise self._backward()

    def _backward(self) -> RestoreError:
        return RestoreError(
            f"the clock went backwards in {self._title} about {to_iso(self._point.end - 1)}: what was written up to "
            "that second lies in two places",
            untouched=_UNTOUCHED,
            hint="Choose a second before or after that, or name the write with before_command",
        )

    def _take(self) -> None:
        """Remember what a reader has found, before the next one."""
        reader, watch = self._reader, self._watch
        if watch is not None:
            self._found += [(Position(self._file, each.offset), _second(each, self._second)) for each in watch.found]
            self._lost += watch.count - len(watch.found)
            self._found = self._found[-_MATCHES:]
        self._stamped = self._stamped or reader.first_stamp is not None
        if reader.last_stamp is not None:
            self._second = reader.last_stamp

    @property
    def unstamped(self) -> bool:
        """Whether there was no annotation in anything that was read."""
        return self._cut is None and not self._stamped and self._reader.first_stamp is None

    def assume_stamps(self) -> None:
        """The server wrote annotations before: none since then means that the second did not change."""
        self._stamped = True

    def decide(self) -> Decision:
        """Where to end. `stamp` is None where the command that is looked for is not in it. Raises RestoreError."""
        if self._file >= 0:
            self._reader.finish()
            self._take()
            self._end = Position(self._file, self._reader.whole)
        found = self._by_time()
        if not self._point.command:
            return found
        matches = [each for each in self._found if each[0] < found.position]
        if not matches:
            if self._lost:
                raise RestoreError(
                    f"{self._point.command_text} was executed too often to tell which is the last up to that time",
                    untouched=_UNTOUCHED,
                    hint="Name the second with at",
                )
            return found
        position, second = matches[-1]
        time = float(second if second is not None else self._time_at(position))
        return Decision(position, time, 0.0, found.by, int(time))

    def _time_at(self, position: Position) -> float:
        """The time of a place without an annotation before it: as the clocks tell."""
        return max((before for raw, before in self._reached if raw <= position), default=self._first)

    def _by_time(self) -> Decision:
        end, cut = self._point.end, self._cut
        if self._point.second is None:
            return Decision(self._end, self._last, 0.0, "end")
        if cut is not None and self._early is not None and self._early > cut:
            raise self._backward()
        place = cut if cut is not None else self._end
        beyond = self._raw > (self._clock.raw if self._clock else Position(0, 0))
        lagging = self._late is not None and place > self._late
        if lagging or (cut is None and beyond and not self._stamped):
            return self._by_clock()
        # Without a later annotation, the server may have held a write back.
        precision = 0.0 if cut is not None else max(end + WRITE_DELAY - self._last, 0.0)
        return Decision(place, end - 1, round(precision, 3), "timestamps" if self._stamped else "clocks")

    def _by_clock(self) -> Decision:
        clock, end = self._clock, self._point.end
        base = self._first - STEP  # the chain gives whole seconds: its base was made within the one before
        if clock is None:
            return Decision(Position(0, 0), base, round(end - base, 3), "clocks")
        recovered, precision = reached(clock.before, end)
        if recovered < base:
            recovered, precision = base, round(end - base, 3)
        return Decision(clock.at, recovered, precision, "clocks")


def reached(before: float, end: float) -> tuple[float, float]:
    """What was reached with all that was written up to `before`: the time, and by how much it falls short of `end`.

    What was executed shortly before that may have been held back.
    """
    before -= WRITE_DELAY
    return (before, round(end - before, 3)) if before < end else (end - 1, 0.0)


def _second(found: Found, earlier: int | None) -> int | None:
    return found.stamp if found.stamp is not None else earlier


def clock_bound(segment: Segment, end: float) -> tuple[int, float] | None:
    """The last offset of an object below which everything was written before `end`, and the time it surely reaches."""
    found: tuple[int, float] | None = None
    for offset, sample in _samples(segment):
        if sample[1] <= end and segment.offset <= offset <= segment.end:
            found = (offset, max(sample[0], found[1] if found else 0.0))
    return found


def _samples(segment: Segment) -> list[tuple[int, tuple[float, float]]]:
    """What is known of an object's bytes: (offset, (before, after)), sorted."""
    found = [(offset, (before, after)) for offset, before, after in segment.clocks if offset <= segment.end]
    if segment.lower is not None:
        found.append((segment.offset, (segment.lower, float("inf"))))
    known = [before for _offset, (before, _after) in found]
    if known:
        found.append((segment.end, (max(known), segment.written)))
    return sorted(found)


def _pieces(segment: Segment, data: bytes, end: float) -> Iterator[tuple[memoryview, tuple[float, float] | None]]:
    """An object's bytes, cut where its clocks matter for the time `end`, each with the sample at its end."""
    view = memoryview(data)
    at = segment.offset
    for offset, sample in _samples(segment):
        if offset < segment.offset or (sample[1] > end and sample[0] < end + _LATE):
            continue
        yield view[at - segment.offset : offset - segment.offset], sample
        at = offset
    yield view[at - segment.offset :], None
