# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading a jsonl file: one key a line. See jsonl_writing.py for what stands in it.

There are two paths with one result: lines as we write them are taken here in a few steps; all others, and all that is
wrong, go to `judge`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from .entry import Entry, Item, shown
from .jsonl_judging import UnreadableError, byte_string, judge, scan
from .jsonl_writing import Writer, encode, why_unfit
from .lines import Chunk, TooLongError, blocks

__all__ = ["Writer", "encode", "read", "why_unfit"]

_MEMBERS = ("db", "key", "type", "value", "expire_at_ms", "encoding")
_ALL_FLOATS = {float}
_ALL_TWO = {2}
_ALL_LISTS = {list}
_INFINITE = (float("inf"), float("-inf"))
_BOUND = 1 << 63
_DATABASES = 1 << 31
_encode = str.encode


class _Plain(Exception):
    """A line is not plain enough for the short path."""


def _word(found: Any) -> bytes:
    return _encode(found) if isinstance(found, str) else byte_string(found, "")


def _plain(line: str | bytes) -> Entry:
    """The entry of a line as we write it. Raises _Plain and all sorts of errors for every other one."""
    found, end = scan(line, 0)
    (m0, database), (m1, name), (m2, kind), (m3, value), (m4, at), (m5, encoding) = found
    if not isinstance(found, tuple) or (m0, m1, m2, m3, m4, m5) != _MEMBERS or end != len(line):
        raise _Plain
    if not isinstance(database, int) or isinstance(database, bool) or not 0 <= database < _DATABASES:
        raise _Plain
    if at is not None and (not isinstance(at, int) or isinstance(at, bool) or not 0 <= at < _BOUND):
        raise _Plain
    if encoding == "utf-8":
        to_bytes: Any = _encode
    elif encoding == "base64":
        to_bytes = _word
    else:
        raise _Plain
    key = to_bytes(name)
    if kind == "string":
        return tuple.__new__(Entry, (database, key, kind, to_bytes(value), at, (), 0, False))
    if not value:
        raise _Plain
    if kind == "hash":
        if not isinstance(value, tuple) and set(map(type, value)) != _ALL_LISTS:
            raise _Plain
        value = [(to_bytes(field), to_bytes(word)) for field, word in value]
        if len(dict(value)) != len(value):
            raise _Plain
    elif not isinstance(value, list):
        raise _Plain
    elif kind == "list" or kind == "set":
        value = [*map(to_bytes, value)]
        if kind == "set" and len(set(value)) != len(value):
            raise _Plain
    elif kind == "zset":
        if set(map(len, value)) != _ALL_TWO:
            raise _Plain
        found, scores = zip(*value)
        if set(map(type, scores)) != _ALL_FLOATS or max(scores) == _INFINITE[0] or min(scores) == _INFINITE[1]:
            raise _Plain
        members = [*map(to_bytes, found)]
        if len(set(members)) != len(members):
            raise _Plain
        value = [*zip(members, scores)]
    else:
        raise _Plain
    return tuple.__new__(Entry, (database, key, kind, value, at, (), 0, False))


def _why_out_of_order(entry: Entry, before: Entry | None) -> str:
    """Why a part does not follow `before`, the part of an unfinished value (None: there is none); "" when it does."""
    if not entry.part:
        return ""
    if before is None or before[:3] != entry[:3]:
        return f"key {shown(entry.key)}: part {entry.part} of its value comes without the parts before it"
    if entry.part != before.part + 1:
        return f"key {shown(entry.key)}: part {entry.part} of its value comes behind part {before.part}"
    return ""


def _why_unfinished(what: str, last: Entry) -> str:
    return f"key {shown(last.key)}: {what} after part {last.part}, and more of its value should follow"


def _lines(chunks: Iterable[Chunk]) -> Iterator[tuple[list[str] | list[bytes], bool]]:
    """Some lines, and whether the last of them lacks its newline."""
    for block in blocks(chunks):
        lines: list[str] | list[bytes]
        try:
            lines = block.decode().split("\n")
        except UnicodeDecodeError:
            lines = block.split(b"\n")
        ended = not lines[-1]
        if ended:
            lines.pop()
        yield lines, not ended


def read(chunks: Iterable[Chunk]) -> Iterator[Item]:
    """What the lines hold, one by one. Blank lines are passed over; one that is wrong does not end the reading."""
    number = 0
    unfinished: Entry | None = None
    try:
        for lines, cut in _lines(chunks):
            for line in lines:
                number += 1
                try:
                    entry = _plain(line)
                except (_Plain, StopIteration, ValueError, TypeError, AttributeError, RecursionError):
                    try:
                        judged = judge(line)
                    except UnreadableError as error:
                        where = "the file ends within this line: " if cut and line is lines[-1] else ""
                        yield Item(number, None, f"{where}{error}")
                        unfinished = None
                        continue
                    if judged is None:
                        continue
                    entry = judged
                if unfinished is None and not entry.part:
                    yield tuple.__new__(Item, (number, entry, ""))
                    if entry.more:
                        unfinished = entry
                    continue
                why = _why_out_of_order(entry, unfinished)
                if unfinished is not None and (why or not entry.part):
                    yield Item(number, None, _why_unfinished("its value ends", unfinished))
                yield Item(number, None, why) if why else Item(number, entry, "")
                unfinished = entry if entry.more and not why else None
    except TooLongError as error:
        yield Item(number + 1, None, f"{error}: nothing is read from here on")
        return
    if unfinished is not None:
        yield Item(number, None, _why_unfinished("the file ends", unfinished))
    elif not number:
        yield Item(1, None, "the file is empty: even an export without keys has a blank line")
