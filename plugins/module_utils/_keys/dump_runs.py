# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Many RESTORE commands known for what they are without being taken apart: a run. Pure.

A file of payloads is what a server wants to be told. Where nothing changes on the way, its commands are passed on as
they stand, which is many times as fast. To look at each of them in Python would take longer than the server takes to
carry it out; so a regular expression does it that knows each length by its digits: `$12` and twelve bytes, `$13` and
thirteen. Short commands are found so hundreds at a time, long ones one by one.

What is in a run is exactly what we would write ourselves, byte for byte: a server that reads it sees the same commands
as we do. Other ways to say the same (a leading zero, small letters) are none of it.
"""

from __future__ import annotations

import functools
import re
from collections import deque
from collections.abc import Callable, Iterator
from itertools import islice
from typing import NamedTuple

from .entry import DUMP, Entry, Item
from .payload import FOOTER_BYTES, MODULE_TYPES, SHORTEST, newest_type, version_of

BEGIN = b"*5\r\n$7\r\nRESTORE\r\n$"
END = b"\r\n$6\r\nABSTTL\r\n"
BOUND = 1 << 63  # no expiry is so late

_NUMBER = rb"(0|[1-9][0-9]{0,9})"
_HEAD = re.compile(re.escape(BEGIN) + _NUMBER + rb"\r\n").match
_TIME = re.compile(rb"\r\n\$([1-9][0-9]?)\r\n(0|[1-9][0-9]{0,18})\r\n\$" + _NUMBER + rb"\r\n").match

_SHORT_NAME = 127
_SHORT_PAYLOAD = 511
_LEAST_WINDOW, _MOST_WINDOW = 2048, 256 * 1024  # a short command always fits
# The bytes around name and payload of a short command: at most, and with a moment of 13 digits so many more.
_AROUND, _MOMENT = 52, 13


class Run(NamedTuple):
    """Commands one behind the other, all of one database and one RDB format, of types that this format is known for.

    `number` is that of its first key, `earliest` the first moment at which one of them expires. `size` are the bytes of
    names and payloads, or a little less.
    """

    number: int
    database: int
    data: bytes
    keys: int
    version: int
    earliest: int | None
    size: int

    def items(self) -> Iterator[Item]:
        """The keys one by one."""
        data, database = self.data, self.database
        new, number = tuple.__new__, self.number
        for begin, end, expiry, first, last in _places(data, self.keys):
            value = (database, data[begin:end], DUMP, data[first:last], expiry or None, (), 0, False)
            yield new(Item, (number, new(Entry, value), ""))
            number += 1

    def reworded(self, begin: bytes, end: bytes) -> bytes | None:
        """The commands with another beginning and end than those of a file; None where a value looks like both.

        What looks so and what is so cannot overlap: a payload ends with a checksum and the number of a known format.
        """
        if (begin, end) == (BEGIN, END):
            return self.data
        between = END + BEGIN
        if self.data.count(between) != self.keys - 1:
            return None
        return begin + self.data[len(BEGIN) : -len(END)].replace(between, end + begin) + end

    def names(self) -> list[bytes]:
        """The names of the keys."""
        data = self.data
        return [data[begin:end] for begin, end, _expiry, _first, _last in _places(data, self.keys)]


class Span(NamedTuple):
    """Where a run ends, and what a Run tells of it."""

    end: int
    keys: int
    version: int
    earliest: int | None
    size: int


def span(data: bytes, at: int) -> Span | None:
    """The run that begins there; None when none does. It ends where `data` goes on otherwise, or ends."""
    begin, keys, size, version = at, 0, 0, -1
    earliest = BOUND
    while True:
        found = _one(data, at)
        if found is None or version not in (-1, found.version):
            break
        version = found.version
        at, keys, size = found.end, keys + 1, size + found.size
        earliest = min(earliest, found.expiry or BOUND)
        many = _many(data, at, version)
        at, keys, size = many.end, keys + many.keys, size + many.size
        earliest = min(earliest, many.expiry or BOUND)
    if at == begin:
        return None
    return Span(at, keys, version, earliest if earliest < BOUND else None, size)


class _Found(NamedTuple):
    end: int
    keys: int
    version: int
    expiry: int  # the earliest; 0: none
    size: int


def _places(data: bytes, keys: int) -> Iterator[tuple[int, int, int, int, int]]:
    """Where name and payload of each key begin and end in a run's bytes, with its expiry in between."""
    head, time = _HEAD, _TIME
    at, behind = 0, len(END)
    for _key in range(keys):
        found = head(data, at)
        if not found:
            return
        begin = found.end()
        end = begin + int(found[1])
        found = time(data, end)
        if not found:
            return
        first = found.end()
        last = first + int(found[3])
        yield begin, end, int(found[2]), first, last
        at = last + behind


def _one(data: bytes, at: int) -> _Found | None:
    """The command that begins there, of whatever length; None when it is not there as a whole, or not fit for a run."""
    head = _HEAD(data, at)
    time = head and _TIME(data, head.end() + int(head[1]))
    if not head or not time or len(time[2]) != int(time[1]):
        return None
    length = int(time[3])
    first, expiry = time.end(), int(time[2])
    last = first + length
    if length < SHORTEST or expiry >= BOUND or data[last : last + len(END)] != END:
        return None
    version = version_of(data[last - SHORTEST : last])
    if data[first] in MODULE_TYPES or data[first] > newest_type(version):
        return None
    return _Found(last + len(END), 1, version, expiry, int(head[1]) + length)


def _many(data: bytes, at: int, version: int) -> _Found:
    """The short commands from there on; none of them is any good."""
    pattern = _short(version)
    begin, keys, timed, width = at, 0, 0, _LEAST_WINDOW
    earliest = b""
    while pattern.match(data, at):
        window = data[at : at + width]
        # What stands between commands, the moment of the next, what stands between, ...
        parts = pattern.split(window)
        gaps, moments = parts[::2], parts[1::2]
        whole = not any(gaps[:-1])
        if whole:
            at += len(window) - len(gaps[-1])
            width = min(4 * width, _MOST_WINDOW)
        else:
            moments = moments[: next(place for place, gap in enumerate(gaps) if gap)]
            if moments:
                (last,) = deque(islice(pattern.finditer(window), len(moments)), maxlen=1)
                at += last.end()
            width = _LEAST_WINDOW
        keys += len(moments)
        expiring = list(filter(None, moments))
        if expiring:
            timed += len(expiring)
            first = min(expiring)
            earliest = min(earliest or first, first)
    size = at - begin - _AROUND * keys - _MOMENT * timed
    return _Found(at, keys, version, int(earliest or b"0"), size)


@functools.lru_cache(maxsize=8)
def _short(version: int) -> re.Pattern[bytes]:
    """Short commands with payloads of an RDB format. The group is the moment of expiry; it takes part if there is one.

    There is one way to match only, so that nothing is tried twice, and each match is a whole command by its lengths.
    """
    kinds = [number for number in range(newest_type(version) + 1) if number not in MODULE_TYPES]
    kind = b"[" + b"".join(b"\\x%02x" % number for number in kinds) + b"]"
    footer = re.escape(version.to_bytes(2, "little")) + b".{8}"
    name = _by_length(0, _SHORT_NAME, lambda length: b".{%d}" % length)
    value = _by_length(SHORTEST, _SHORT_PAYLOAD, lambda length: b"%b.{%d}" % (kind, length - FOOTER_BYTES - 1))
    moment = rb"\r\n\$(?:1\r\n0|13\r\n([1-9][0-9]{12}))\r\n\$"
    return re.compile(re.escape(BEGIN) + name + moment + value + footer + re.escape(END), re.DOTALL)


def _by_length(least: int, most: int, content: Callable[[int], bytes]) -> bytes:
    """A pattern of a length's digits, the end of that line, and the content of that length: digit by digit a tree."""

    def behind(digits: str) -> bytes:
        ways = []
        if digits and least <= int(digits) <= most:
            ways.append(b"\\r\\n" + content(int(digits)))
        if digits != "0" and int((digits or "0") + "0") <= most:
            ways += [b"%d%b" % (digit, way) for digit in range(10) for way in [behind(f"{digits}{digit}")] if way]
        return b"(?:" + b"|".join(ways) + b")" if ways else b""

    return behind("")
