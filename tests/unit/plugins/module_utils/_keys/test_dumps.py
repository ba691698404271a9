# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files of RESTORE commands: what stands in them, what else may, and the word for what may not."""

from __future__ import annotations

import hashlib

import pytest
from ansible_collections.globalscope.redis_backup.plugins.module_utils._keys.dumps import (
    Proof,
    Writer,
    pieces,
    read,
    why_unfit,
)
from ansible_collections.globalscope.redis_backup.plugins.module_utils._keys.entry import Entry, Item

PAYLOAD = b"\x00\x01a\x09\x00" + bytes(8)


def packed(*words: bytes) -> bytes:
    """A command."""
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in words)


def restore(key: bytes = b"k", time: bytes = b"0", payload: bytes = PAYLOAD, *options: bytes) -> bytes:
    """A RESTORE."""
    return packed(b"RESTORE", key, time, payload, *options or (b"ABSTTL",))


def end(keys: int) -> bytes:
    """The end mark of a file that was made by hand."""
    return packed(b"ECHO", b"end of export, %d keys" % keys)


def sealed(keys: int, before: bytes) -> bytes:
    """The bytes before the end mark, and the mark as we write it."""
    mark = b"end of export, %d keys, sha256 %b" % (keys, hashlib.sha256(before).hexdigest().encode())
    return before + packed(b"ECHO", mark)


KEY = Entry(0, b"k", "dump", PAYLOAD)


def test_commands_as_documented() -> None:
    made = Writer()
    file = made.encode([KEY, KEY._replace(key=b"\r\n\xff", expires_at=1764000000000)])
    file += made.encode([KEY._replace(database=12), KEY._replace(database=0, expires_at=0)]) + made.end()
    commands = [
        packed(b"SELECT", b"0"),
        restore(),
        restore(b"\r\n\xff", b"1764000000000"),
        packed(b"SELECT", b"12"),
        restore(),
        packed(b"SELECT", b"0"),
        restore(b"k", b"1"),
    ]
    assert file == sealed(4, b"".join(commands))


@pytest.mark.parametrize(
    "command",
    [
        restore(b"k", b"0", PAYLOAD, b"REPLACE"),
        restore(b"k", b"0", PAYLOAD, b"absttl", b"replace"),
        restore(b"k", b"0", PAYLOAD, b"ABSTTL", b"IDLETIME", b"5"),
        packed(b"restore", b"k", b"0", PAYLOAD),
    ],
)
def test_other_forms_of_restore(command: bytes) -> None:
    assert [item.entry for item in read([command + end(1)])] == [KEY]


@pytest.mark.parametrize(
    ("command", "word"),
    [
        (packed(b"FLUSHALL"), 'the command "FLUSHALL" is no part of an export, and is not sent'),
        (packed(b"SET", b"k", b"v"), 'the command "SET" is no part of an export'),
        (packed(b"\xff\n" * 100), "is no part of an export"),
        (packed(b"SELECT", b"x"), 'the command "SELECT" is no part'),
        (packed(b"SELECT", b"2147483648"), 'the command "SELECT" is no part'),
        (packed(b"ECHO", b"hello"), 'the command "ECHO" is no part'),
    ],
)
def test_other_commands_are_told_and_passed_over(command: bytes, word: str) -> None:
    first, wrong, last = read([restore() + command + restore(b"l") + end(2)])
    assert first.entry == KEY and last.entry == KEY._replace(key=b"l")
    assert wrong.entry is None and word in wrong.why and len(wrong.why) < 200
    assert (first.number, wrong.number, last.number) == (1, 2, 2)


@pytest.mark.parametrize(
    ("command", "word"),
    [
        (restore(time=b"-5"), 'key "k": its expiry is no time'),
        (restore(time=b"9" * 19), "its expiry is no time"),
        (restore(time=b"9" * 30), "its expiry is no time"),
        (restore(time=b""), "its expiry is no time"),
        (packed(b"RESTORE", b"k", b"5000", PAYLOAD), "relative to a time that is not known"),
        (restore(payload=b"short"), "its payload is too short"),
        (restore(payload=b""), "its payload is too short"),
        (packed(b"RESTORE", b"k"), "a RESTORE of too few words"),
    ],
)
def test_wrong_keys_are_told_and_passed_over(command: bytes, word: str) -> None:
    first, wrong, last = read([restore() + command + restore(b"l") + end(3)])
    assert first.entry == KEY and last.entry == KEY._replace(key=b"l")
    assert wrong.entry is None and word in wrong.why
    assert (first.number, wrong.number, last.number) == (1, 2, 3)


@pytest.mark.parametrize(
    ("rest", "word"),
    [
        (b"PING\r\n", "no commands from byte 63 on: a command should stand"),
        (b"*0\r\n", "a command of 0 words"),
        (b"*17\r\n", "a command of 17 words"),
        (b"*99999999999\r\n", "a command should stand"),
        (b"*1\r\n:5\r\n", "the length of a word should stand"),
        (b"*1\r\n$-1\r\n", "the length of a word should stand"),
        (b"*1\r\n$9999999999\r\n", "longer than any value"),
        (b"*1\r\n$2\r\nabc\r\n", "a word is not 2 bytes long"),
        (restore()[:30], "the file ends in the middle of a command"),
        (restore()[:-1], "the file ends in the middle of a command"),
        (restore(), "the file ends after 2 keys without its end mark"),
        (b"", "the file ends after 1 keys without its end mark"),
        (end(2), "the end mark says 2 keys, 1 stand before it"),
        (end(1) + restore(), "without its end mark"),
    ],
)
@pytest.mark.parametrize("size", [1, 7, 100_000])
def test_broken_files(rest: bytes, word: str, size: int) -> None:
    file = restore() + rest
    *good, last = read([file[at : at + size] for at in range(0, len(file), size)])
    assert good and all(item.entry for item in good)
    assert last.entry is None and word in last.why, last.why


def test_files_one_behind_the_other() -> None:
    file = restore() + end(1) + packed(b"SELECT", b"3") + restore() + restore(b"l") + end(2)
    assert [item.number for item in read([file]) if item.entry] == [1, 2, 3]


def test_a_large_payload_is_read_from_small_chunks() -> None:
    payload = b"\x00" + bytes(3_000_000) + PAYLOAD
    file = restore(payload=payload) + end(1)
    (item,) = read(file[at : at + 1000] for at in range(0, len(file), 1000))
    assert item.entry and item.entry.value == payload


def test_what_payloads_are_not() -> None:
    assert why_unfit(KEY) is None
    assert (
        why_unfit(KEY._replace(kind="set"))
        == "it is a set that was read piece by piece, and this format holds payloads"
    )
    assert why_unfit(KEY._replace(value=b"short")) == "its payload is too short for what DUMP makes"


@pytest.mark.parametrize("size", [1, 50, 100_000])
def test_a_file_that_proves_itself(size: int) -> None:
    def proven(file: bytes) -> tuple[bool, list[str]]:
        proof = Proof()
        found = list(pieces([file[at : at + size] for at in range(0, len(file), size)], proof))
        return proof.given, [piece.why for piece in found if isinstance(piece, Item)]

    whole = sealed(2, packed(b"SELECT", b"0") + restore() + restore(b"l"))
    assert proven(whole) == (True, [])
    assert proven(whole + whole) == (True, [])
    assert proven(whole + restore() + end(1)) == (False, [])
    assert proven(restore() + end(1)) == (False, [])
    changed = whole.replace(b"\r\nl\r\n", b"\r\nm\r\n")
    assert proven(changed) == (False, ["the bytes before the end mark are not those of its SHA-256"])
    given, words = proven(whole + packed(b"FLUSHALL") + whole)
    assert not given and "FLUSHALL" in words[0]
