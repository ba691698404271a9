# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every format: what is written is read back, however the file is cut into chunks; what is damaged gets a word."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from ansible_collections.globalscope.redis_backup.plugins.module_utils._keys.entry import Entry, Item
from ansible_collections.globalscope.redis_backup.plugins.module_utils._keys.formats import (
    FORMATS,
    read,
    sniff,
    why_unfit,
    writer,
)
from ansible_collections.globalscope.redis_backup.tests.unit.helpers.entries import TEXTS, cut, entries, exact, in_parts
from hypothesis import given
from hypothesis import strategies as st

PLAIN_TEXT = st.tuples(TEXTS, TEXTS).map(lambda pair: Entry(0, pair[0], "string", pair[1]))
FITTING = {
    "jsonl": st.lists(st.one_of(entries().map(lambda e: [e]), in_parts()), max_size=6).map(
        lambda found: [entry for group in found for entry in group]
    ),
    "json": st.lists(PLAIN_TEXT, max_size=6),
    "dump": st.lists(entries(("dump",)), max_size=6),
}


def written(name: str, keys: Sequence[Entry], at_once: int = 2) -> bytes:
    """The whole file."""
    made = writer(name)
    return b"".join([*(made.encode(keys[at : at + at_once]) for at in range(0, len(keys), at_once)), made.end()])


def good(items: Sequence[Item]) -> list[tuple]:
    """The entries, all of them good."""
    assert not [item.why for item in items if item.entry is None]
    return [exact(item.entry) for item in items if item.entry]


def as_read(name: str, entry: Entry) -> Entry:
    """An entry as it comes back: a payload has no expiry at time 0."""
    if name == "dump" and entry.expires_at == 0:
        return entry._replace(expires_at=1)
    return entry


@pytest.mark.parametrize("name", FORMATS)
@given(data=st.data())
def test_round_trip(name: str, data: st.DataObject) -> None:
    keys = data.draw(FITTING[name])
    assert [why_unfit(name, entry) for entry in keys] == [None] * len(keys)
    file = written(name, keys, data.draw(st.integers(1, 7)))
    assert sniff(file) == name
    items = list(read(name, data.draw(cut(file))))
    assert good(items) == [exact(as_read(name, entry)) for entry in keys]
    numbers = [item.number for item in items]
    assert numbers == list(range(1, len(keys) + 1))
    assert list(read(name, [file])) == items


@pytest.mark.parametrize("name", FORMATS)
@given(data=st.data())
def test_cut_short(name: str, data: st.DataObject) -> None:
    """The keys before the cut are read, and the end says that there is more, save between two lines."""
    keys = data.draw(FITTING[name])
    file = written(name, keys)
    short = file[: data.draw(st.integers(0, len(file) - 1))]
    items = list(read(name, data.draw(cut(short))))
    found = [exact(item.entry) for item in items if item.entry]
    assert found == [exact(as_read(name, entry)) for entry in keys][: len(found)]
    if name == "jsonl" and short and b"\n" in (short[-1:], file[len(short) : len(short) + 1]):
        last = items[-1].entry if items else None
        assert last is None or not last.more
    else:
        assert items[-1].entry is None and items[-1].why
        assert len([item for item in items if item.entry is None]) == 1


@pytest.mark.parametrize("name", FORMATS)
@given(data=st.data())
def test_damage_of_any_kind(name: str, data: st.DataObject) -> None:
    """Some bytes changed, put in or taken out: whatever comes of it is an entry or has a reason; cuts do not matter."""
    file = bytearray(written(name, data.draw(FITTING[name])))
    for _change in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(file)))
        end = data.draw(st.integers(at, min(at + 4, len(file))))
        file[at:end] = data.draw(
            st.binary(max_size=4) | st.sampled_from([b'"', b"{", b"}", b"[", b"]", b",", b"\n", b"9"])
        )
    items = list(read(name, [bytes(file)]))
    assert all(item.entry is None if item.why else item.entry is not None for item in items)
    assert all("\n" not in item.why for item in items)
    assert [item.number for item in items] == sorted(item.number for item in items)
    again = list(read(name, data.draw(cut(bytes(file)))))
    assert [(i.number, i.entry and exact(i.entry), i.why) for i in again] == [
        (i.number, i.entry and exact(i.entry), i.why) for i in items
    ]


@pytest.mark.parametrize("name", FORMATS)
@given(st.binary(max_size=200), st.data())
def test_any_bytes(name: str, file: bytes, data: st.DataObject) -> None:
    for item in read(name, data.draw(cut(file))):
        assert (item.entry is None) == bool(item.why)


@pytest.mark.parametrize("name", FORMATS)
def test_every_file_of_another_kind(name: str) -> None:
    for head, word in (
        (b"\x28\xb5\x2f\xfd\x04\x00", "compressed with zstd"),
        (b"\x1f\x8b\x08\x00", "compressed with gzip"),
        (b"age-encryption.org/v1\n-> X25519", "encrypted with age"),
        (b"REDIS0011\xfa\x09redis-ver", "an RDB snapshot"),
        (b"VALKEY080\xfa", "an RDB snapshot"),
        ('{"a": "b"}'.encode("utf-16"), "UTF-16"),
    ):
        (item,) = read(name, [head * 100])
        assert item.entry is None and word in item.why and name in item.why
        assert sniff(head) is None


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("other", FORMATS)
def test_a_file_of_another_format(name: str, other: str) -> None:
    keys = [Entry(0, b"k%d" % n, "dump" if other == "dump" else "string", b"0123456789abcdef") for n in range(9)]
    items = list(read(name, [written(other, keys)]))
    if name == other:
        assert len(items) == 9 and all(item.entry for item in items)
    else:
        assert [item.why for item in items] == [f"the file is no {name}: it looks like format {other}"]


@pytest.mark.parametrize("name", FORMATS)
def test_an_empty_file_is_no_export_and_an_export_without_keys_is_no_empty_file(name: str) -> None:
    (item,) = read(name, [])
    assert item.entry is None and "empty" in item.why
    assert list(read(name, [written(name, [])])) == []


@pytest.mark.parametrize("name", ["jsonl", "json"])
def test_a_byte_order_mark_is_passed_over(name: str) -> None:
    file = b"\xef\xbb\xbf" + written(name, [Entry(0, b"k", "string", b"v")])
    assert [item.entry for item in read(name, [file[:1], file[1:]])] == [Entry(0, b"k", "string", b"v")]
    assert sniff(file) == name
