# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which moment is asked for, and which chains of the archive give it. Pure.

A moment is a whole second: all that was executed up to its end. A chain gives it when its base was made before that end
and everything up to that end is archived.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from .._archive.coverage import Chain, Coverage
from .._archive.frame import Segment
from .._errors import RestoreError
from .._times import from_iso, to_iso

LATEST = "latest"
WRITE_DELAY = 2.0
"""A server may hold a write back from its AOF for so many seconds while the disk is busy (appendfsync everysec)."""

STEP = 1.0
"""By so many seconds clocks may be set without being called wrong."""

_UNTOUCHED = "The live data was not touched"
_COMMAND = re.compile(r"\s*([A-Za-z][A-Za-z0-9_.|-]*)(?:\s+(\S.*?))?\s*")


@dataclass(frozen=True)
class Point:
    """What is asked for: the state at the end of `second` (None: the newest); or before the last `command` up to then.

    `key` is matched against the command's key. `command_text` is as the user gave it.
    """

    second: int | None = None
    command_text: str = ""
    command: bytes = b""
    key: re.Pattern[bytes] | None = None

    @property
    def end(self) -> float:
        """The first moment that is too late."""
        return math.inf if self.second is None else self.second + 1.0

    @property
    def words(self) -> str:
        """What is asked for, in words."""
        time = "the newest moment" if self.second is None else to_iso(self.second)
        if not self.command:
            return time
        return f"the moment before the last {self.command_text}" + (f" up to {time}" if self.second is not None else "")

    @property
    def asked(self) -> str:
        """The same as a key: two that ask for the same have the same."""
        return f"at={LATEST if self.second is None else self.second} before={self.command_text}"


def parse_point(at: str | None, before: str | None) -> Point | None:
    """The point that the options ask for; None where they ask for none. Raises RestoreError."""
    if at is None and before is None:
        return None
    second = None
    if at is not None and at.strip().lower() != LATEST:
        try:
            second = math.floor(from_iso(at))
        except ValueError as error:
            raise RestoreError(f"at: {error}", untouched=_UNTOUCHED, hint="Or give at: latest") from None
    if before is None:
        return Point(second)
    match = _COMMAND.fullmatch(before)
    if match is None:
        raise RestoreError(
            f"before_command: {before!r} is no name of a command, with or without a pattern of its key",
            untouched=_UNTOUCHED,
            hint="Such as FLUSHALL, FLUSHDB, or DEL user:*",
        )
    name, pattern = match.groups()
    key = glob(pattern.encode("utf-8", "surrogateescape")) if pattern is not None else None
    text = name.upper() + (f" {pattern}" if pattern is not None else "")
    return Point(second, text, name.lower().encode(), key)


def glob(pattern: bytes) -> re.Pattern[bytes]:
    """A pattern as KEYS and SCAN know it: `*`, `?`, `[abc]`, `[^a]`, `[a-z]`, and a backslash before any of these."""
    found, at = b"", 0
    while at < len(pattern):
        mark = pattern[at : at + 1]
        at += 1
        if mark == b"*":
            found += b".*"
        elif mark == b"?":
            found += b"."
        elif mark == b"[":
            end = _class_end(pattern, at)
            body = pattern[at:end]
            at = end + 1
            inverted = body.startswith(b"^")
            found += _class(body[1:] if inverted else body, inverted=inverted)
        else:
            if mark == b"\\" and at < len(pattern):
                mark = pattern[at : at + 1]
                at += 1
            found += re.escape(mark)
    return re.compile(found, re.DOTALL)


def _class_end(pattern: bytes, at: int) -> int:
    """Where the `]` of a class is; the end where there is none, as for the servers."""
    while at < len(pattern) and pattern[at : at + 1] != b"]":
        at += 2 if pattern[at : at + 1] == b"\\" else 1
    return min(at, len(pattern))


def _class(body: bytes, *, inverted: bool) -> bytes:
    members, at = b"", 0
    while at < len(body):
        if body[at : at + 1] == b"\\" and at + 1 < len(body):
            at += 1
        first = body[at : at + 1]
        if body[at + 1 : at + 2] == b"-" and at + 2 < len(body):
            low, high = sorted((first, body[at + 2 : at + 3]))
            members += re.escape(low) + b"-" + re.escape(high)
            at += 3
        else:
            members += re.escape(first)
            at += 1
    if not members:
        return b"." if inverted else b"(?!)"
    return b"[" + (b"^" if inverted else b"") + members + b"]"


def covers(chain: Chain, point: Point) -> bool:
    """Whether a chain gives the moment."""
    return point.second is None or chain.first <= point.end <= chain.last


def chains_for(found: Coverage, point: Point) -> list[Chain]:
    """The chains that give a moment, the cheapest (the one with the newest base) first.

    For the newest moment, those that reach as far as any.
    """
    fitting = [chain for chain in found.chains if covers(chain, point)]
    if point.second is None and fitting:
        newest = max(chain.last for chain in fitting)
        fitting = [chain for chain in fitting if chain.last == newest]
    return sorted(fitting, key=lambda chain: chain.first, reverse=True)


def seconds_of(ranges: Iterable[tuple[float, float]]) -> list[tuple[int, int]]:
    """The whole seconds to whose end a recovery is possible, of the times that are covered."""
    found = [(math.ceil(first) - 1, math.floor(last) - 1) for first, last in ranges]
    return [(first, last) for first, last in found if last >= first]


def ranges_words(ranges: Sequence[tuple[int, int]], limit: int = 8) -> str:
    """Ranges of seconds for messages, the newest ones where they are many."""
    told = [f"{to_iso(first)} to {to_iso(last)}" for first, last in ranges[-limit:]]
    more = f"{len(ranges) - limit} earlier ranges, " if len(ranges) > limit else ""
    return more + ", ".join(told) if told else "nothing"


def nearest_words(ranges: Sequence[tuple[int, int]], second: int) -> str:
    """The nearest seconds before and behind one that is not covered."""
    before = max((last for _first, last in ranges if last < second), default=None)
    behind = min((first for first, _last in ranges if first > second), default=None)
    near = [to_iso(each) for each in (before, behind) if each is not None]
    return ("times are " if len(near) > 1 else "time is ") + " and ".join(near)


def clock_steps(segments: Iterable[Segment]) -> list[tuple[float, float]]:
    """The times that the host's clock showed twice: (what it was set back to, what it showed before).

    `segments` in the order of their bytes; not all of them are needed. What counts is when a size was seen first: a
    file that waits to be shipped is looked at beside those that follow it.
    """
    newest = -math.inf
    found = []
    for segment in segments:
        for seen in [after for size, _before, after in segment.clocks if size <= segment.end]:
            if seen < newest - STEP:
                found.append((seen, newest))
            newest = max(newest, seen)
    return found


def require_one_time(steps: Iterable[tuple[float, float]], second: int) -> None:
    """Raise RestoreError for a second that the host's clock showed twice."""
    for low, high in steps:
        if low - STEP <= second + 1 and second <= high + STEP:
            raise RestoreError(
                f"{to_iso(second)} was there twice: the host's clock went backwards, from {to_iso(high)} to "
                f"{to_iso(low)}",
                untouched=_UNTOUCHED,
                hint="Choose a second outside of these two times, or name the write with before_command",
            )
