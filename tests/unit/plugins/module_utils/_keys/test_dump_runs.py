# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs of commands: what is in them is what we would write, byte for byte, however the file is made or cut."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from ansible_collections.globalscope.redis_backup.plugins.module_utils._keys import dumps
from ansible_collections.globalscope.redis_backup.plugins.module_utils._keys.dump_runs import BEGIN, END, Run
from ansible_collections.globalscope.redis_backup.plugins.module_utils._keys.entry import Entry, Item
from ansible_collections.globalscope.redis_backup.plugins.module_utils._keys.payload import version_of
from ansible_collections.globalscope.redis_backup.tests.unit.helpers.entries import cut
from hypothesis import given, settings
from hypothesis import strategies as st

VERSIONS = (9, 10, 11, 12, 80, 13)  # the last is known to nobody


def payload(value: bytes = b"v", kind: int = 0, version: int = 10) -> bytes:
    """A payload."""
    return bytes([kind]) + value + version.to_bytes(2, "little") + b"checksum"


def command(key: bytes, time: bytes = b"0", value: bytes = b"") -> bytes:
    """A RESTORE as we write it."""
    words = [b"RESTORE", key, time, value or payload(), b"ABSTTL"]
    return b"*5\r\n" + b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in words)


INNER = command(b"in", b"0", payload(b"ner"))
NAMES = st.one_of(
    st.binary(max_size=20), st.integers(125, 130).map(bytes), st.sampled_from([INNER, INNER[:30], INNER[30:]])
)
VALUES = st.one_of(
    st.binary(min_size=1, max_size=30),
    st.integers(495, 520).map(bytes),
    st.integers(0, 30).map(lambda count: b"x" * count + INNER * 3),
    st.sampled_from([bytes(3000), INNER[:-1], b"\r\n$6\r\nABSTTL\r\n" * 3]),
)
PAYLOADS = st.builds(
    payload, VALUES, st.sampled_from([0, 0, 0, 4, 7, 15, 16, 22, 25, 99]), st.sampled_from([10, 10, 10, *VERSIONS])
)
TIMES = st.one_of(st.none(), st.none(), st.integers(1, 2**63 - 1), st.integers(10**12, 10**13 - 1))
ENTRIES = st.tuples(st.sampled_from([0, 0, 0, 3]), NAMES, st.just("dump"), PAYLOADS, TIMES).map(
    lambda parts: Entry(*parts)
)
ODD = st.sampled_from(
    [
        b"*1\r\n$8\r\nFLUSHALL\r\n",
        INNER.replace(b"RESTORE", b"restore"),
        INNER.replace(b"$2\r\nin", b"$02\r\nin"),
        INNER.replace(b"$1\r\n0", b"$2\r\n0"),
        INNER.replace(b"$1\r\n0", b"$2\r\n00"),
        INNER.replace(b"$1\r\n0", b"$30\r\n0"),
        INNER.replace(b"$1\r\n0", b"$1\r\n-"),
        INNER.replace(b"$1\r\n0", b"$19\r\n9999999999999999999"),
        INNER.replace(b"ABSTTL", b"absttl"),
        INNER.replace(b"*5", b"*6") + b"$7\r\nREPLACE\r\n",
        command(b"short", b"0", b"x" * 11),
        INNER[:-1],
        b"\n",
    ]
)


def items_of(found: Sequence[dumps.Piece]) -> list[Item]:
    """All of them one by one."""
    return [each for piece in found for each in (piece.items() if isinstance(piece, Run) else [piece])]


def by_hand(file: bytes) -> list[Item]:
    """The items of a file of well-formed commands, found by its lengths alone."""
    found, at, database = [], 0, 0
    while at < len(file):
        words = []
        count, at = int(file[at + 1 : file.index(b"\r\n", at)]), file.index(b"\r\n", at) + 2
        for _word in range(count):
            length, at = int(file[at + 1 : file.index(b"\r\n", at)]), file.index(b"\r\n", at) + 2
            words.append(file[at : at + length])
            at += length + 2
        if words[0] == b"SELECT":
            database = int(words[1])
        elif words[0] == b"RESTORE":
            entry = Entry(database, words[1], "dump", words[3], int(words[2]) or None)
            found.append(Item(len(found) + 1, entry, ""))
    return found


def assert_right(run: Run) -> None:
    """What a run tells of its bytes is so, and a server reads them as we do."""
    found = [item.entry for item in run.items() if item.entry]
    assert len(found) == run.keys
    on_zero = [entry._replace(database=0) for entry in found]
    written = dumps.Writer().encode(on_zero)
    assert written == b"*2\r\n$6\r\nSELECT\r\n$1\r\n0\r\n" + run.data
    assert {entry.database for entry in found} == {run.database}
    assert {version_of(entry.value) for entry in found} == {run.version}
    assert not {entry.value[0] for entry in found} & {6, 7, 99}
    assert run.earliest == min((entry.expires_at for entry in found if entry.expires_at), default=None)
    other = [b"*6\r\n$2\r\nr%\r\n$", END + b"$7\r\nREPLACE\r\n"]
    reworded = run.reworded(*other)
    if reworded is not None:
        inner = [dumps.Writer().encode([each])[23 + len(BEGIN) : -len(END)] for each in on_zero]
        assert reworded == b"".join(other[0] + each + other[1] for each in inner)
    else:
        assert any(END + BEGIN in each.key + each.value for each in found)
    assert run.names() == [entry.key for entry in found]
    size = sum(len(entry.key) + len(entry.value) for entry in found)
    assert size - 8 * run.keys <= run.size <= size
    assert [item.number for item in run.items()] == list(range(run.number, run.number + run.keys))


@settings(max_examples=200)
@given(st.lists(ENTRIES, max_size=30), st.data())
def test_any_keys(keys: list[Entry], data: st.DataObject) -> None:
    made = dumps.Writer()
    file = made.encode(keys) + made.end()
    found = list(dumps.pieces(data.draw(cut(file))))
    for piece in found:
        if isinstance(piece, Run):
            assert_right(piece)
    assert items_of(found) == [Item(number, key, "") for number, key in enumerate(keys, 1)] == by_hand(file)
    assert list(dumps.read(data.draw(cut(file)))) == items_of(found)


@settings(max_examples=200)
@given(st.lists(ENTRIES.map(lambda e: command(e.key, b"%d" % (e.expires_at or 0), e.value)) | ODD), st.data())
def test_what_is_written_otherwise_is_in_no_run(parts: list[bytes], data: st.DataObject) -> None:
    file = b"".join(parts)
    found = list(dumps.pieces([file]))
    for piece in found:
        if isinstance(piece, Run):
            assert_right(piece)
    assert items_of(list(dumps.pieces(data.draw(cut(file))))) == items_of(found)


@settings(max_examples=100)
@given(st.lists(ENTRIES, min_size=1, max_size=5), st.data())
def test_damage_of_any_kind(keys: list[Entry], data: st.DataObject) -> None:
    file = bytearray(dumps.Writer().encode(keys))
    for _change in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(file)))
        end = data.draw(st.integers(at, min(at + 4, len(file))))
        file[at:end] = data.draw(st.binary(max_size=4) | st.sampled_from([b"\r\n", b"$", b"9", b"0"]))
    for piece in dumps.pieces([bytes(file)]):
        if isinstance(piece, Run):
            assert_right(piece)


@pytest.mark.parametrize("size", [1, 127, 128, 499, 500, 501, 512, 5000])
def test_many_keys_of_one_size_are_one_run(size: int) -> None:
    """Whether they are short or long."""
    made = dumps.Writer()
    keys = [Entry(0, b"%04d" % number * (size // 4), "dump", payload(bytes(size)), None) for number in range(300)]
    file = made.encode(keys) + made.end()
    (run,) = dumps.pieces([file])
    assert isinstance(run, Run)
    assert_right(run)
    assert (run.keys, run.earliest, run.version) == (300, None, 10)
