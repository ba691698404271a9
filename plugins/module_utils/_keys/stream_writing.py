# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The commands that make a stream again: entries, counters, groups, consumers, what is pending. Pure.

Pending entries whose message was deleted cannot be claimed from 7.0 on. Their messages are added at their place,
claimed and deleted again; XSETID sets the counters afterwards.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from .entry import Group, Pending, Stream

_ID = re.compile(rb"(\d{1,20})-(\d{1,20})")
_LARGEST = (1 << 64) - 1
_MANY = 1000

Command = list[bytes]


def parse_id(identifier: bytes) -> tuple[int, int]:
    """`1700000000000-3` to compare. Raises ValueError for what is no id."""
    found = _ID.fullmatch(identifier)
    numbers = (int(found[1]), int(found[2])) if found else (_LARGEST + 1, 0)
    if max(numbers) > _LARGEST:
        raise ValueError(f"{identifier[:50].decode('utf-8', 'replace')!r} is no id of a stream's entry")
    return numbers


def why_bad_stream(stream: Stream, *, more: bool) -> str | None:
    """The reason why no server would make this stream, or part of one; None when one does."""
    try:
        last = (0, 0)
        for identifier, fields in stream.entries:
            number = parse_id(identifier)
            if number <= last:
                return f"the stream's entry {identifier.decode()} does not stand behind the one before it"
            if not fields or len(fields) % 2:
                return f"the stream's entry {identifier.decode()} has not a value for each field"
            last = number
        if more:
            return None
        end = parse_id(stream.last_id)
        if end < last:
            return "the stream's last id lies before its last entry"
        if stream.max_deleted is not None and parse_id(stream.max_deleted) > end:
            return "the stream's largest deleted id lies behind its last id"
        if stream.entries_added is not None and stream.entries_added < len(stream.entries):
            return "the stream counts less entries added than there are"
        return _why_bad_groups(stream.groups, end)
    except ValueError as error:
        return str(error)


def _why_bad_groups(groups: Sequence[Group], end: tuple[int, int]) -> str | None:
    names = [group.name for group in groups]
    if len(set(names)) != len(names):
        return "two groups of the stream have one name"
    for group in groups:
        parse_id(group.last_delivered)
        if group.entries_read is not None and group.entries_read < 0:
            return "a group of the stream counts less than 0 entries read"
        for pending in group.pending:
            if parse_id(pending.entry) > end:
                return f"the pending entry {pending.entry.decode()} lies behind the stream's last id"
    return None


def dangling(stream: Stream) -> list[bytes]:
    """The ids that are pending and whose messages are not in the stream any more, in order."""
    there = {parse_id(identifier) for identifier, _fields in stream.entries}
    pending = {parse_id(each.entry) for group in stream.groups for each in group.pending}
    return [b"%d-%d" % number for number in sorted(pending - there - {(0, 0)})]


def entry_commands(key: bytes, stream: Stream, missing: Sequence[bytes] = ()) -> Iterator[Command]:
    """XADD for each entry and for each `missing` id, in order."""
    if not missing:
        for identifier, fields in stream.entries:
            yield [b"XADD", key, identifier, *fields]
        return
    left = list(reversed(missing))
    for identifier, fields in stream.entries:
        while left and parse_id(left[-1]) < parse_id(identifier):
            yield [b"XADD", key, left.pop(), b"-", b"-"]
        yield [b"XADD", key, identifier, *fields]
    for identifier in reversed(left):
        yield [b"XADD", key, identifier, b"-", b"-"]


def closing_commands(key: bytes, stream: Stream, missing: Sequence[bytes], *, counts: bool) -> Iterator[Command]:
    """What follows the entries: counters, groups with all they hold, `missing` messages deleted.

    `counts` tells whether the server counts what was added and read (7.0 and newer). The key may be missing before. The
    counters come before the groups: newer servers let no group have read more than was added.
    """
    yield [b"XGROUP", b"CREATE", key, b"-", b"0", b"MKSTREAM"]  # a stream without entries is made by a group alone
    yield [b"XGROUP", b"DESTROY", key, b"-"]
    yield _counters(key, stream, len(stream.entries) + len(missing), counts=counts)
    for group in stream.groups:
        create = [b"XGROUP", b"CREATE", key, group.name, group.last_delivered]
        if counts and group.entries_read is not None:
            create += [b"ENTRIESREAD", b"%d" % group.entries_read]
        yield create
        for consumer in group.consumers:
            yield [b"XGROUP", b"CREATECONSUMER", key, group.name, consumer]
        yield from _claims(key, group)
    if missing:
        for start in range(0, len(missing), _MANY):
            yield [b"XDEL", key, *missing[start : start + _MANY]]
        yield _counters(key, stream, len(stream.entries), counts=counts)


def _counters(key: bytes, stream: Stream, length: int, *, counts: bool) -> Command:
    """The last id and the counters. What was added is never less than what is there."""
    words = [b"XSETID", key, stream.last_id]
    if counts and stream.entries_added is not None:
        words += [b"ENTRIESADDED", b"%d" % max(stream.entries_added, length)]
        words += [b"MAXDELETEDID", stream.max_deleted or b"0-0"]
    return words


def _claims(key: bytes, group: Group) -> Iterator[Command]:
    """What is pending, those alike in one command."""
    alike: dict[tuple[bytes, int, int], list[Pending]] = {}
    for each in group.pending:
        alike.setdefault((each.consumer, each.delivered_at, each.times), []).append(each)
    for (consumer, moment, times), pending in alike.items():
        for start in range(0, len(pending), _MANY):
            ids = [each.entry for each in pending[start : start + _MANY]]
            yield [
                *(b"XCLAIM", key, group.name, consumer, b"0", *ids),
                *(b"TIME", b"%d" % moment, b"RETRYCOUNT", b"%d" % times, b"FORCE", b"JUSTID"),
            ]
