# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Streams made again by commands: in order, with counters, groups and what is pending; and those nobody would make."""

from __future__ import annotations

import pytest
from ansible_collections.globalscope.redis_backup.plugins.module_utils._keys.entry import (
    Entry,
    Group,
    Pending,
    Stream,
)
from ansible_collections.globalscope.redis_backup.plugins.module_utils._keys.stream_writing import (
    closing_commands,
    dangling,
    entry_commands,
    parse_id,
    why_bad_stream,
)
from ansible_collections.globalscope.redis_backup.tests.unit.helpers.entries import entries
from hypothesis import given

PENDING = (
    Pending(b"1-0", b"alice", 1700000000000, 1),
    Pending(b"2-0", b"alice", 1700000000000, 1),
    Pending(b"3-0", b"bob", 1700000000001, 7),
)
BILLING = Group(b"billing", b"3-0", 3, (b"alice", b"bob", b"idle"), PENDING)
STREAM = Stream([(b"1-0", [b"f", b"v"]), (b"3-0", [b"f", b"v"])], b"5-0", 4, b"5-0", (BILLING,))


def test_messages_that_were_deleted_are_added_claimed_and_deleted() -> None:
    missing = dangling(STREAM)
    assert missing == [b"2-0"]
    added = [words[2] for words in entry_commands(b"s", STREAM, missing)]
    assert added == [b"1-0", b"2-0", b"3-0"]
    late = STREAM._replace(entries=[], groups=(BILLING,))
    assert [words[2] for words in entry_commands(b"s", late, dangling(late))] == [b"1-0", b"2-0", b"3-0"]
    found = list(closing_commands(b"s", STREAM, missing, counts=True))
    assert found[-2:] == [
        [b"XDEL", b"s", b"2-0"],
        [b"XSETID", b"s", b"5-0", b"ENTRIESADDED", b"4", b"MAXDELETEDID", b"5-0"],
    ]
    claims = [words for words in found if words[0] == b"XCLAIM"]
    assert claims == [
        [
            *(b"XCLAIM", b"s", b"billing", b"alice", b"0", b"1-0", b"2-0"),
            *(b"TIME", b"1700000000000", b"RETRYCOUNT", b"1", b"FORCE", b"JUSTID"),
        ],
        [
            *(b"XCLAIM", b"s", b"billing", b"bob", b"0", b"3-0"),
            *(b"TIME", b"1700000000001", b"RETRYCOUNT", b"7", b"FORCE", b"JUSTID"),
        ],
    ]


def test_an_old_server_gets_no_counters() -> None:
    words = [word for command in closing_commands(b"s", STREAM, (), counts=False) for word in command]
    assert b"ENTRIESADDED" not in words and b"ENTRIESREAD" not in words


@given(entries(("stream",)))
def test_entries_are_added_in_order(entry: Entry) -> None:
    stream = entry.value
    added = [parse_id(words[2]) for words in entry_commands(b"s", stream, dangling(stream))]
    assert added == sorted(set(added))
    assert {parse_id(name) for name, _fields in stream.entries} <= set(added)


BAD = [
    (STREAM._replace(entries=[(b"1-0", [b"f"])]), "has not a value for each field"),
    (STREAM._replace(entries=[(b"1-0", [])]), "has not a value for each field"),
    (STREAM._replace(entries=[(b"2-0", [b"f", b"v"]), (b"1-0", [b"f", b"v"])]), "does not stand behind"),
    (STREAM._replace(entries=[(b"0-0", [b"f", b"v"])]), "does not stand behind"),
    (STREAM._replace(entries=[(b"soon", [b"f", b"v"])]), "no id"),
    (STREAM._replace(entries=[(b"99999999999999999999-0", [b"f", b"v"])]), "no id"),
    (STREAM._replace(last_id=b"2-0"), "before its last entry"),
    (STREAM._replace(max_deleted=b"5-1"), "behind its last id"),
    (STREAM._replace(entries_added=1), "less entries added"),
    (STREAM._replace(groups=(BILLING, BILLING)), "one name"),
    (STREAM._replace(groups=(BILLING._replace(entries_read=-1),)), "less than 0"),
    (STREAM._replace(groups=(BILLING._replace(last_delivered=b"now"),)), "no id"),
    (STREAM._replace(groups=(BILLING._replace(pending=(PENDING[0]._replace(entry=b"6-0"),)),)), "behind the stream"),
]


@pytest.mark.parametrize(("stream", "why"), BAD, ids=[why for _stream, why in BAD])
def test_streams_that_no_server_would_make(stream: Stream, why: str) -> None:
    assert why in (why_bad_stream(stream, more=False) or "")
    assert why_bad_stream(STREAM, more=False) is None
