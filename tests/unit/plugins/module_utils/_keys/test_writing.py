# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The commands that put a key into a server: whole, atomic, under its own name only at the end; what replies mean."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.globalscope.redis_backup.plugins.module_utils._keys.entry import (
    Entry,
    Group,
    Pending,
    Stream,
)
from ansible_collections.globalscope.redis_backup.plugins.module_utils._keys.writing import (
    CREATED,
    EXISTED,
    VANISHED,
    Packed,
    Target,
    Writer,
    pending_lost,
    score_text,
)
from ansible_collections.globalscope.redis_backup.plugins.module_utils._server.connection import ReplyError
from ansible_collections.globalscope.redis_backup.tests.unit.helpers.entries import entries, in_parts
from hypothesis import given
from hypothesis import strategies as st

REDIS_8 = Target("redis", (8, 2, 0))
REDIS_6 = Target("redis", (6, 2, 14))
TEMPORARY = b"redis_backup:import:0123"
TARGETS = st.sampled_from([REDIS_8, REDIS_6, Target("valkey", (9, 1, 0))])
ONE = Entry(0, b"k", "hash", [(b"a", b"1")], 1700000000000)


def commands(packed: Packed) -> list[list[bytes]]:
    """The commands, read as a server reads them."""
    found, data, at = [], packed.data, 0
    while at < len(data):
        end = data.index(b"\r\n", at)
        assert data[at : at + 1] == b"*"
        count, at, words = int(data[at + 1 : end]), end + 2, []
        for _word in range(count):
            end = data.index(b"\r\n", at)
            assert data[at : at + 1] == b"$"
            size = int(data[at + 1 : end])
            words.append(data[end + 2 : end + 2 + size])
            at = end + 2 + size
            assert data[at : at + 2] == b"\r\n"
            at += 2
        found.append(words)
    assert len(found) == packed.replies
    return found


def refused(message: str) -> ReplyError:
    return ReplyError("here", "EXEC", message)


def test_strings_and_payloads_are_one_command() -> None:
    writer, anew = Writer(REDIS_8), Writer(REDIS_8, replace=True)
    plain, expiring = Entry(0, b"k%s", "string", b"v%d"), Entry(0, b"k", "string", b"v", 1700000000000)
    assert commands(writer.whole(plain, TEMPORARY)) == [[b"SET", b"k%s", b"v%d", b"NX"]]
    assert commands(anew.whole(plain, TEMPORARY)) == [[b"SET", b"k%s", b"v%d"]]
    assert commands(writer.whole(expiring, TEMPORARY)) == [[b"SET", b"k", b"v", b"NX", b"PXAT", b"1700000000000"]]
    assert commands(anew.whole(expiring, TEMPORARY)) == [[b"SET", b"k", b"v", b"PXAT", b"1700000000000"]]
    payload = Entry(0, b"k", "dump", b"p" * 12, 5)
    assert commands(writer.whole(payload, TEMPORARY)) == [[b"RESTORE", b"k", b"5", b"p" * 12, b"ABSTTL"]]
    lasting = payload._replace(expires_at=None)
    assert commands(anew.whole(lasting, TEMPORARY)) == [[b"RESTORE", b"k", b"0", b"p" * 12, b"ABSTTL", b"REPLACE"]]


def test_another_type_is_one_transaction() -> None:
    assert commands(Writer(REDIS_8).whole(ONE, TEMPORARY)) == [
        [b"MULTI"],
        [b"HSET", TEMPORARY, b"a", b"1"],
        [b"PEXPIREAT", TEMPORARY, b"1700000000000"],
        [b"RENAMENX", TEMPORARY, b"k"],
        [b"UNLINK", TEMPORARY],
        [b"EXEC"],
    ]
    assert commands(Writer(REDIS_8, replace=True).whole(ONE, TEMPORARY)) == [
        [b"MULTI"],
        [b"UNLINK", b"k"],
        [b"HSET", b"k", b"a", b"1"],
        [b"PEXPIREAT", b"k", b"1700000000000"],
        [b"EXEC"],
    ]


def test_renamed_commands() -> None:
    writer = Writer(REDIS_8, names={"set": "S%T", "restore": "R1", "multi": "M1", "exec": "E1", "rpush": "P1"})
    assert commands(writer.whole(Entry(0, b"k", "string", b"v"), TEMPORARY))[0][0] == b"S%T"
    assert commands(writer.whole(Entry(0, b"k", "dump", b"v"), TEMPORARY))[0][0] == b"R1"
    names = [words[0] for words in commands(writer.whole(Entry(0, b"k", "list", [b"v"]), TEMPORARY))]
    assert names == [b"M1", b"P1", b"RENAMENX", b"UNLINK", b"E1"]


@given(entries(), TARGETS, st.booleans())
def test_nothing_is_left_under_a_temporary_name(entry: Entry, target: Target, replace: bool) -> None:
    found = commands(Writer(target, replace).whole(entry, TEMPORARY))
    if len(found) > 1:
        assert (found[0], found[-1]) == ([b"MULTI"], [b"EXEC"])
        touched = [words for words in found if TEMPORARY in words[1:3]]
        assert not touched if replace else touched[-1] == [b"UNLINK", TEMPORARY]
        # Before it has its own name, the key's own name is not touched.
        assert replace or [words[0] for words in found if words[1:2] == [entry.key]] == []
    if entry.field_expiries:
        knows = [words for words in found if words[0] == b"HPEXPIREAT"]
        assert bool(knows) == target.field_expiries


@given(in_parts(), TARGETS)
def test_parts_always_have_an_end(parts: list[Entry], target: Target) -> None:
    writer = Writer(target)
    for entry in parts:
        found = commands(writer.part(entry, TEMPORARY))
        assert found[1] == [b"EXISTS" if entry.part else b"UNLINK", TEMPORARY]
        assert found[-2][:2] == [b"PEXPIRE", TEMPORARY]
    names = [words[0] for words in commands(writer.finish(parts[-1], TEMPORARY))]
    expiry = b"PERSIST" if parts[-1].expires_at is None else b"PEXPIREAT"
    assert names == [b"MULTI", expiry, b"RENAMENX", b"UNLINK", b"EXEC"]
    assert commands(Writer(target, replace=True).finish(parts[-1], TEMPORARY))[2][0] == b"RENAME"


def test_long_values_come_in_several_commands() -> None:
    value = [b"%d" % n for n in range(2500)]
    found = commands(Writer(REDIS_8).whole(Entry(0, b"k", "list", value), TEMPORARY))
    pushed = [words[2:] for words in found if words[0] == b"RPUSH"]
    assert [len(words) for words in pushed] == [1000, 1000, 500]
    assert [word for words in pushed for word in words] == value


def test_fields_that_expire_together_are_one_command() -> None:
    fields = [(b"a", b"1"), (b"b", b"2"), (b"c", b"3")]
    entry = Entry(0, b"k", "hash", fields, None, ((b"a", 5), (b"b", 6), (b"c", 5)))
    found = commands(Writer(REDIS_8, replace=True).whole(entry, TEMPORARY))
    assert [b"HPEXPIREAT", b"k", b"5", b"FIELDS", b"2", b"a", b"c"] in found
    assert [b"HPEXPIREAT", b"k", b"6", b"FIELDS", b"1", b"b"] in found


@given(st.floats(allow_nan=False))
def test_scores_are_exact(score: float) -> None:
    assert float(score_text(score)).hex() == score.hex()


@pytest.mark.parametrize(
    ("replies", "verdict"),
    [
        ([b"OK"], CREATED),
        ([None], EXISTED),
        ([refused("BUSYKEY Target key name already exists.")], EXISTED),
        ([b"OK", b"QUEUED", b"QUEUED", b"QUEUED", b"QUEUED", [1, 1, 1, 0]], CREATED),
        ([b"OK", b"QUEUED", b"QUEUED", b"QUEUED", b"QUEUED", [1, 1, 0, 1]], EXISTED),
        ([b"OK", b"QUEUED", b"QUEUED", b"QUEUED", b"QUEUED", [1, 1, refused("ERR no such key"), 0]], VANISHED),
    ],
)
def test_verdicts(replies: list[Any], verdict: str) -> None:
    assert Writer(REDIS_8).verdict(ONE, replies) == verdict


def test_the_reason_of_a_refusal_is_kept() -> None:
    oom, aborted = refused("OOM command not allowed"), refused("EXECABORT Transaction discarded")
    writer, anew = Writer(REDIS_8), Writer(REDIS_8, replace=True)
    assert writer.verdict(ONE, [oom]) is oom
    assert writer.verdict(ONE, [b"OK", oom, b"QUEUED", b"QUEUED", b"QUEUED", aborted]) is oom
    assert anew.verdict(ONE, [b"OK", b"QUEUED", b"QUEUED", b"QUEUED", [1, oom, 1]]) is oom
    assert writer.verdict(ONE, [b"OK", b"QUEUED", b"QUEUED", b"QUEUED", b"QUEUED", [oom, 1, 1, 0]]) is oom
    assert isinstance(writer.verdict(ONE, [b"OK", b"QUEUED", None]), ReplyError)
    assert anew.verdict(ONE, [b"OK", b"QUEUED", b"QUEUED", b"QUEUED", [1, 1, 1]]) == CREATED


def test_a_part_that_lost_the_earlier_ones() -> None:
    writer = Writer(REDIS_8)
    later = ONE._replace(part=1)
    assert writer.part_verdict(later, [b"OK", b"QUEUED", [1, 1, 1]]) == CREATED
    assert writer.part_verdict(later, [b"OK", b"QUEUED", [0, 1, 1]]) == VANISHED
    assert writer.part_verdict(ONE, [b"OK", b"QUEUED", [0, 1, 1]]) == CREATED
    assert writer.finish_verdict([b"OK", b"QUEUED", [1, 0, 1]]) == EXISTED
    assert writer.finish_verdict([b"OK", b"QUEUED", [1, 1, 0]]) == CREATED
    assert writer.finish_verdict([b"OK", b"QUEUED", [0, refused("ERR no such key"), 0]]) == VANISHED


def test_pending_entries_that_could_not_be_claimed() -> None:
    pending = (Pending(b"1-0", b"c", 1, 1), Pending(b"2-0", b"c", 1, 1))
    stream = Stream([(b"1-0", [b"a", b"b"])], b"2-0", None, None, (Group(b"g", b"2-0", None, (b"c",), pending),))
    entry = Entry(0, b"s", "stream", stream, part=1)
    assert pending_lost(entry, [b"OK", [1, b"1-0", 1, b"OK", 1, [b"1-0"], b"OK", 1]]) == 1
    assert pending_lost(ONE, [b"OK", [1]]) == 0
