# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The flat file: byte for byte what json.dump writes; read as json.load reads it, and a word for what is no string."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from ansible_collections.globalscope.redis_backup.plugins.module_utils._keys.entry import Entry
from ansible_collections.globalscope.redis_backup.plugins.module_utils._keys.flat import Writer, read, why_unfit
from ansible_collections.globalscope.redis_backup.tests.unit.helpers.entries import cut
from hypothesis import given
from hypothesis import strategies as st

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
LAYOUTS: list[dict[str, Any]] = [
    {"indent": 2},
    {"indent": 2, "ensure_ascii": False},
    {},
    {"separators": (",", ":")},
    {"indent": "\t"},
    {"indent": 0},
]


def as_redis_py(value: Any) -> bytes:
    """What SET of redis-py sends."""
    return value.encode() if isinstance(value, str) else repr(value).encode()


@given(st.dictionaries(TEXTS, TEXTS, max_size=6), st.integers(1, 4))
def test_written_as_json_dump_writes(data: dict[str, str], at_once: int) -> None:
    keys = [Entry(0, name.encode(), "string", value.encode()) for name, value in data.items()]
    assert {why_unfit(entry) for entry in keys} <= {None}
    made = Writer()
    file = b"".join([*(made.encode(keys[at : at + at_once]) for at in range(0, len(keys), at_once)), made.end()])
    wanted = io.StringIO()
    json.dump(data, wanted, indent=2)
    assert file == wanted.getvalue().encode()


@given(
    st.dictionaries(TEXTS, TEXTS | st.integers() | st.floats(allow_nan=False, allow_infinity=False), max_size=8),
    st.sampled_from(LAYOUTS),
    st.sampled_from(["", "\n", "\r\n \n"]),
    st.data(),
)
def test_read_as_json_load_reads(data: dict[str, Any], layout: dict[str, Any], end: str, more: st.DataObject) -> None:
    file = (json.dumps(data, **layout) + end).encode()
    items = list(read(more.draw(cut(file))))
    assert [item.why for item in items] == [""] * len(data)
    found = [(item.entry.key, item.entry.value) for item in items if item.entry]
    assert found == [(name.encode(), as_redis_py(value)) for name, value in data.items()]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


@given(st.dictionaries(TEXTS, TEXTS | JSON, max_size=8), st.sampled_from(LAYOUTS), st.data())
def test_values_of_other_kinds_are_passed_over(
    data: dict[str, Any], layout: dict[str, Any], more: st.DataObject
) -> None:
    items = list(read(more.draw(cut(json.dumps(data, **layout).encode()))))
    assert [item.number for item in items] == list(range(1, len(data) + 1))
    for item, (name, value) in zip(items, data.items()):
        if isinstance(value, str) or (isinstance(value, int) and not isinstance(value, bool)):
            surrogates = isinstance(value, str) and any("\ud800" <= letter < "\ue000" for letter in value)
            assert (item.entry is None) == surrogates
            assert item.entry is None or item.entry[1:4] == (name.encode(), "string", as_redis_py(value))
        else:
            assert item.entry is None and item.why


@pytest.mark.parametrize(
    ("value", "word"),
    [
        ("null", 'key "k": its value is null: the key was gone when the file was written'),
        ("true", "its value is true"),
        ("{}", "its value is an object"),
        ('["a"]', "its value is an array"),
        ("NaN", "its value is NaN, which is no JSON"),
        ("-Infinity", "its value is -Infinity, which is no JSON"),
        ("1e999", "its value is a number too large for a double"),
        ("9" * 5000, "its value is a number of thousands of digits"),
        (r'"\ud800"', "is no text: it has half a surrogate pair"),
    ],
)
@pytest.mark.parametrize("layout", ['{"a":"1","k":%s,"z":"2"}', '{\n  "a": "1",\n  "k": %s,\n  "z": "2"\n}'])
@pytest.mark.parametrize("size", [1, 7, 100_000])
def test_a_value_that_is_no_string(value: str, word: str, layout: str, size: int) -> None:
    file = (layout % value).encode()
    first, wrong, last = read([file[at : at + size] for at in range(0, len(file), size)])
    assert first.entry == Entry(0, b"a", "string", b"1")
    assert wrong.entry is None and wrong.number == 2 and word in wrong.why
    assert last.entry == Entry(0, b"z", "string", b"2")


def test_numbers_are_written_as_redis_py_writes_them() -> None:
    file = b'{"a": 12, "b": 1.50, "c": -0.0, "d": 1e3, "e": 36893488147419103232}'
    assert [item.entry and item.entry.value for item in read([file])] == [
        b"12",
        b"1.5",
        b"-0.0",
        b"1000.0",
        b"36893488147419103232",
    ]


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("", "the file is no JSON object of keys and values: it is empty"),
        (" \n", "it is empty"),
        ("[1]", "it begins with '['"),
        ("null", "it begins with 'n'"),
        ("{", "the file ends in the middle"),
        ('{"a": "1"', "the file ends in the middle"),
        ('{"a": "1",', "the file ends in the middle"),
        ('{"a": "1', "the file ends in the middle"),
        ('{"a": 1', "the file ends in the middle"),
        ('{"a"', "the file ends in the middle"),
        ('{"a": ["x"', "the file ends in the middle"),
        ('{"a": "1",}', "no JSON: a name in double quotes should stand at character 11"),
        ("{a: 1}", "no JSON: a name in double quotes should stand at character 2"),
        ('{"a" "1"}', "no JSON: a colon should stand at character 6"),
        ('{"a": }', "no JSON: a value should stand at character 7"),
        ('{"a": "1" "b": "2"}', "no JSON: a comma or a brace should stand at character 11"),
        ('{"a": "1\n2"}' + " " * 50, "no JSON: Invalid control character at at character 9"),
        ('{"a": "\\x"}' + " " * 50, "no JSON: Invalid \\escape"),
        ('{"a": "1"} {"b": "2"}', "more text behind the closing brace, at character 12"),
        ('{"a": "1"}}', "more text behind the closing brace"),
        ('{"a": ' + "[" * 100_000, "a value is nested too deeply"),
        ('{"a": "1", "b": "\udcff"}', "no UTF-8: byte 0xff behind character 17"),
        ('{"a": "\udcc3', "no UTF-8: byte 0xc3 behind character 7"),
    ],
)
@pytest.mark.parametrize("size", [1, 3, 100_000])
def test_broken_files(text: str, word: str, size: int) -> None:
    file = text.encode("utf-8", "surrogateescape")
    *good, last = read([file[at : at + size] for at in range(0, len(file), size)])
    assert all(item.entry for item in good)
    assert last.entry is None and word in last.why, last.why
    assert last.number == len(good) + 1


def test_what_the_flat_file_cannot_hold() -> None:
    assert why_unfit(Entry(0, b"k", "string", "é".encode(), 5)) is None
    assert why_unfit(Entry(0, b"k", "hash", [])) == "it is a hash, and the flat file holds strings only"
    assert why_unfit(Entry(0, b"\xff", "string", b"")) == "its name is binary, and the flat file holds text only"
    assert why_unfit(Entry(0, b"k", "string", b"\xff")) == "its value is binary, and the flat file holds text only"
    assert "holds whole values only" in str(why_unfit(Entry(0, b"k", "string", b"", more=True)))


def test_a_long_value_is_read_from_small_chunks() -> None:
    """In a time that grows with its length, not with the square of it; and so a file of one long line."""
    value = "x" * 3_000_000
    file = json.dumps({"a": value, "b": "c"}).encode()
    items = list(read(file[at : at + 1000] for at in range(0, len(file), 1000)))
    assert [item.entry and len(item.entry.value) for item in items] == [3_000_000, 1]
