# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""jsonl: what stands in a line, by the standard library's own reading; and the word that each wrong line gets."""

from __future__ import annotations

import base64
import functools
import json
import math
from typing import Any

import pytest
from ansible_collections.globalscope.redis_backup.plugins.module_utils._keys import jsonl, lines
from ansible_collections.globalscope.redis_backup.plugins.module_utils._keys.entry import Entry, Group, Pending, Stream
from ansible_collections.globalscope.redis_backup.plugins.module_utils._keys.jsonl import encode, read, why_unfit
from ansible_collections.globalscope.redis_backup.plugins.module_utils._keys.jsonl_judging import (
    UnreadableError,
    judge,
)
from ansible_collections.globalscope.redis_backup.tests.unit.helpers.entries import entries, exact
from hypothesis import given
from hypothesis import strategies as st

STREAM = Stream(
    [(b"1-0", [b"ride", b"7", b"\xff", b""]), (b"2-1", [b"a", b"b"])],
    b"2-1",
    3,
    b"1-5",
    (Group(b"billing", b"1-0", None, (b"alice", b"bob"), (Pending(b"1-0", b"bob", 1700000000000, 2),)),),
)
FOOTER = b"\x0b\x00" + bytes(8)


def line(**members: Any) -> str:
    """A line of a string as we write it, with other members."""
    plain = {"db": 0, "key": "k", "type": "string", "value": "v", "expire_at_ms": None, "encoding": "utf-8"}
    return json.dumps({**plain, **members}) + "\n"


def test_lines_as_documented() -> None:
    keys = [
        Entry(0, b"user:1", "string", 'é"\n'.encode()),
        Entry(3, b"user:2", "string", b"\xff", 1764000000000),
        Entry(0, b"\xff", "list", [b"a", b""]),
        Entry(0, b"s", "set", [b"a", b"\xc3"]),
        Entry(0, b"z", "zset", [(b"a", 0.1), (b"b", math.inf), (b"c", -math.inf), (b"d", -0.0), (b"e", 3.0)]),
        Entry(0, b"h", "hash", [(b"f", b"v"), (b"g", b"\xff")], None, ((b"g", 5),)),
        Entry(0, b"h", "hash", [(b"\xff", b"v"), (b"g", b"w")], None, ((b"\xff", 5),)),
        Entry(0, b"x", "stream", STREAM),
        Entry(0, b"m", "dump", b"\x07\x81" + (0x123456789ABCDEF0).to_bytes(8, "big") + b"\x00" + FOOTER),
        Entry(0, b"big", "string", b"half", None, (), 1, True),
    ]
    assert encode(keys).decode().splitlines() == [
        r'{"db":0,"key":"user:1","type":"string","value":"é\"\n","expire_at_ms":null,"encoding":"utf-8"}',
        '{"db":3,"key":"user:2","type":"string","value":{"base64":"/w=="},"expire_at_ms":1764000000000,"encoding":"base64"}',
        '{"db":0,"key":{"base64":"/w=="},"type":"list","value":["a",""],"expire_at_ms":null,"encoding":"base64"}',
        '{"db":0,"key":"s","type":"set","value":["a",{"base64":"ww=="}],"expire_at_ms":null,"encoding":"base64"}',
        '{"db":0,"key":"z","type":"zset","value":[["a",0.1],["b","inf"],["c","-inf"],["d",-0.0],["e",3.0]],'
        '"expire_at_ms":null,"encoding":"utf-8"}',
        '{"db":0,"key":"h","type":"hash","value":{"f":"v","g":{"base64":"/w=="}},"expire_at_ms":null,'
        '"fields_expire_at_ms":{"g":5},"encoding":"base64"}',
        '{"db":0,"key":"h","type":"hash","value":[[{"base64":"/w=="},"v"],["g","w"]],"expire_at_ms":null,'
        '"fields_expire_at_ms":[[{"base64":"/w=="},5]],"encoding":"base64"}',
        '{"db":0,"key":"x","type":"stream","value":{"entries":[["1-0",[["ride","7"],[{"base64":"/w=="},""]]],'
        '["2-1",[["a","b"]]]],"last_id":"2-1","entries_added":3,"max_deleted_id":"1-5","groups":[{"name":"billing",'
        '"last_delivered_id":"1-0","entries_read":null,"consumers":["alice","bob"],'
        '"pending":[["1-0","bob",1700000000000,2]]}]},"expire_at_ms":null,"encoding":"base64"}',
        '{"db":0,"key":"m","type":"EjRWeJq83","value":"B4ESNFZ4mrze8AALAAAAAAAAAAAA","expire_at_ms":null,'
        '"encoding":"dump"}',
        '{"db":0,"key":"big","type":"string","value":"half","expire_at_ms":null,"part":1,"more":true,"encoding":"utf-8"}',
    ]


def plain_bytes(found: Any) -> bytes:
    """A byte string, read by the documentation alone."""
    return found.encode() if isinstance(found, str) else base64.b64decode(found["base64"])


def words_of(entry: Entry) -> list[bytes]:
    """The byte strings of a key."""
    if entry.kind == "string":
        return [entry.key, entry.value]
    if entry.kind == "zset":
        return [entry.key, *(member for member, _score in entry.value)]
    if entry.kind == "hash":
        return [entry.key, *(word for pair in entry.value for word in pair)]
    return [entry.key, *entry.value]


def is_text(word: bytes) -> bool:
    """Whether it is UTF-8."""
    return word.decode("utf-8", "ignore").encode() == word


@given(entries(("string", "list", "set", "zset", "hash", "dump")))
def test_a_stock_reader_gets_all_of_it(entry: Entry) -> None:
    text = encode([entry])
    assert text.endswith(b"\n") and text.count(b"\n") == 1
    found = json.loads(text, parse_constant=pytest.fail)
    assert plain_bytes(found["key"]) == entry.key
    assert (found["db"], found["expire_at_ms"]) == (entry.database, entry.expires_at)
    value = found["value"]
    if entry.kind == "dump":
        assert found["encoding"] == "dump" and base64.b64decode(value) == entry.value
        return
    assert found["type"] == entry.kind
    assert found["encoding"] == ("utf-8" if all(map(is_text, words_of(entry))) else "base64")
    if entry.kind == "string":
        assert plain_bytes(value) == entry.value
    elif entry.kind == "zset":
        pairs = [(plain_bytes(member), float(score)) for member, score in value]
        assert exact(entry._replace(value=pairs)) == exact(entry)
    elif entry.kind == "hash":
        pairs = value.items() if isinstance(value, dict) else value
        assert [(plain_bytes(field), plain_bytes(word)) for field, word in pairs] == entry.value
        expiries = found.get("fields_expire_at_ms", {})
        expiries = expiries.items() if isinstance(expiries, dict) else expiries
        assert tuple((plain_bytes(field), at) for field, at in expiries) == entry.field_expiries
    else:
        assert [plain_bytes(word) for word in value] == entry.value


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(max_size=3)
    | st.sampled_from(["inf", "a", {"base64": "YQ=="}, {"base64": "/w=="}, {"base64": "/x=="}]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)
MARKS = st.sampled_from([{"base64": "YQ=="}, {"base64": "/w=="}])
WORDS = st.sampled_from(["a", "b"]) | st.text(max_size=2) | MARKS
SCORES = st.sampled_from([0.5, -0.0, 1e300, 3, "inf", True])
PAIRS = st.lists(st.tuples(WORDS, SCORES | WORDS | JSON).map(list), max_size=3)
HASHES = st.dictionaries(st.text(max_size=2), WORDS, max_size=3) | st.lists(
    st.tuples(WORDS, WORDS).map(list), max_size=3
)


ALL_SORTS = (StopIteration, ValueError, TypeError, AttributeError)


@given(
    st.fixed_dictionaries(
        {
            "db": st.sampled_from([0, 0, 0, -1, 2**31, True, 0.0]),
            "key": WORDS,
            "type": st.sampled_from(["string", "list", "set", "zset", "hash"]),
            "value": st.lists(WORDS, max_size=3) | PAIRS | HASHES | WORDS | JSON,
            "expire_at_ms": st.sampled_from([None, None, 5, 2**63, -1, True]),
            "encoding": st.sampled_from(["utf-8", "base64", "base64", "dump"]),
        }
    ),
    st.dictionaries(st.sampled_from(["db", "key", "type", "value", "expire_at_ms", "part"]), JSON, max_size=1),
    st.sampled_from(["", "", "", "\r", " ", "x"]),
)
def test_the_short_path_and_the_long_one_agree(members: dict[str, Any], other: dict[str, Any], end: str) -> None:
    """What the short path takes, the long one takes as the same."""
    text = json.dumps({**members, **other}) + end
    try:
        short = jsonl._plain(text)
    except (jsonl._Plain, *ALL_SORTS):
        try:
            judge(text)
        except UnreadableError as error:
            assert str(error)
        return
    long = judge(text)
    assert long is not None and repr(exact(short)) == repr(exact(long))


def of_json(kind: str, value: str) -> str:
    """A line as we write it, with a value that json.dumps would not write."""
    return line(type=kind, value="?").replace('"?"', value)


WRONG = [
    ("no JSON at all", "no JSON: a value is missing at character 1"),
    ('{"key": "k", "type": ', "no JSON"),
    ("{'key': 'k'}", "no JSON"),
    (line().strip() + " x", "more text behind its end"),
    (line().strip() * 2, "more text behind its end"),
    ('"text"', "the line is a string, not an object"),
    ("[1]", "the line is an array, not an object"),
    (json.dumps(list(json.loads(line()).items())), "the line is an array, not an object"),
    ("17", "the line is a number, not an object"),
    ("[" * 100_000, "nested too deeply"),
    ('{"key":' * 100_000, "nested too deeply"),
    (line(value=None), 'key "k": the value is null'),
    (line(value=12), "the value is a number"),
    (line(value=True), "the value is true"),
    (line(value=["a"]), "the value is an array"),
    (line(value={"base64": "a"}), "the value is not base64"),
    (line(value={"base64": "YQ"}), "the value is not base64"),
    (line(value={"base64": "YR=="}), "the value is not base64"),
    (line(value={"base64": "Y Q=="}), "the value is not base64"),
    (line(value={"base64": "é"}), "the value is not base64"),
    (line(value={"base64": 1}), "the value is a number, not base64"),
    (line(value={"base64": "YQ==", "x": 1}), "the value is an object"),
    (line(value={}), "the value is an object"),
    (line(value="\ud800"), "half a surrogate pair"),
    (line(key=None), "the key is null"),
    (line(key={"base64": "?"}), "the key is not base64"),
    (line(db=-1), "db is not between 0 and"),
    (line(db=2**31), "db is not between 0 and"),
    (line(db=0.0), "db is a number, not a whole number"),
    (line(db=True), "db is true, not a whole number"),
    (line(db="0"), "db is a string, not a whole number"),
    (line(expire_at_ms=2**63), "expire_at_ms is not between 0 and 9223372036854775807"),
    (line(expire_at_ms=-1), "expire_at_ms is not between"),
    (line(expire_at_ms="2026-01-01"), "expire_at_ms is a string"),
    ('{"key":"k","type":"string","value":"v","expire_at_ms":' + "9" * 9999 + "}", "thousands of digits"),
    (line(type="strin"), "the type 'strin' is not known"),
    (line(type="graphdata"), "and the value is no payload"),
    (line(type=None), "type is null"),
    (line(ttl=5), "the line has 'ttl', which is not known"),
    ('{"key":"k","key":"l","type":"string","value":"v"}', "the line has 'key' twice"),
    ('{"key":"k","type":"string"}', "the line has no 'value'"),
    (line(encoding="latin-1"), "encoding is neither of utf-8, base64, dump"),
    (line(encoding=["utf-8"]), "encoding is neither of"),
    (line(type="list"), "the value is a string, not an array"),
    (line(type="list", value=[]), "the list is empty"),
    (line(type="list", value=["a", 5]), "an element is a number"),
    (line(type="set", value=["a", "b", "a"]), 'the member "a" stands there twice'),
    (line(type="set", value=["a", {"base64": "YQ=="}]), 'the member "a" stands there twice'),
    (line(type="zset", value=["a"]), "a member with its score is a string"),
    (line(type="zset", value=[["a", 1, 2]]), "is an array of 3, not of 2"),
    (line(type="zset", value=[["a", "1"]]), "the score of \"a\" is '1'"),
    (line(type="zset", value=[["a", "nan"]]), "the score of \"a\" is 'nan'"),
    (line(type="zset", value=[["a", float("nan")]]), "NaN is no JSON"),
    (line(type="zset", value=[["a", float("inf")]]), "Infinity is no JSON"),
    (line(type="zset", value=[["a", 10**400]]), 'the score of "a" is larger than any'),
    (of_json("zset", '[["a",1e999]]'), 'the score of "a" is larger than any'),
    (of_json("zset", '[["a",-1e999]]'), 'the score of "a" is larger than any'),
    (line(type="zset", value=[["a", 1.0], ["b", 1.0, 2.0]]), "is an array of 3, not of 2"),
    (line(type="zset", value=[["a", True]]), 'the score of "a" is true'),
    (line(type="zset", value=[["a", 1.0], ["a", 2.0]]), 'the member "a" stands there twice'),
    (line(type="zset", value={"a": 1}), "the value is an object, not an array"),
    (line(type="hash", value=[["f"]]), "a pair of the value is an array of 1, not of 2"),
    (line(type="hash", value=["f", "v"]), "a pair of the value is a string"),
    (line(type="hash", value="v"), "the value is a string, not an array"),
    (line(type="hash", value={"f": 1}), 'the field "f" is a number'),
    (of_json("hash", '{"f":"a","f":"b"}'), 'the field "f" stands there twice'),
    (line(type="hash", value=[["f", "a"], ["f", "b"]]), 'the field "f" stands there twice'),
    (line(type="hash", value=["fv"]), "a pair of the value is a string"),
    (line(type="hash", value={"f": "v"}, fields_expire_at_ms={"g": 1}), 'names "g", which is no field'),
    (line(type="hash", value={"f": "v"}, fields_expire_at_ms={"f": None}), 'the expiry of the field "f" is null'),
    (line(fields_expire_at_ms={"g": 1}), "fields_expire_at_ms is for hashes only"),
    (line(type="dump", encoding="dump", value="YQ=="), "the payload is too short"),
    (line(type="x", encoding="dump", value={"base64": "YQ=="}), "the payload is an object, not base64"),
    (line(type="x", encoding="dump", value="Y" * 40, more=True), "a payload comes in one part"),
    (line(part=-1), "part is not between"),
    (line(more=1), "more is a number, neither true nor false"),
    (line(type="stream", value=[]), "the value of a stream is an array, not an object"),
    (line(type="stream", value={"entries": []}), "the value of a stream has no 'last_id'"),
    (line(type="stream", value={"entries": [], "last_id": "x"}), "last_id is no id of a stream"),
    (line(type="stream", value={"entries": [], "last_id": f"{2**64}-0"}), "last_id is no id of a stream"),
    (line(type="stream", value={"entries": [["1-0", []]], "last_id": "1-0"}), "the entry 1-0 has no fields"),
    (
        line(type="stream", value={"entries": [["1-0", ["a"]]], "last_id": "1-0"}),
        "a field of the entry 1-0 is a string",
    ),
    (line(type="stream", value={"entries": [["1-0", [["a", "b"]]]], "last_id": "0-5"}), "last_id is smaller"),
    (
        line(type="stream", value={"entries": [["2-0", [["a", "b"]]], ["1-9", [["a", "b"]]]], "last_id": "2-0"}),
        "the entry 1-9 does not follow",
    ),
    (
        line(type="stream", value={"entries": [], "last_id": "0-0", "groups": [{"name": "g"}]}),
        "a group has no 'last_delivered_id'",
    ),
    (
        line(
            type="stream",
            value={
                "entries": [],
                "last_id": "0-0",
                "groups": [{"name": "g", "last_delivered_id": "0-0", "pending": [["1-0", "alice", 1, 1]]}],
            },
        ),
        'a pending entry of the group "g" has a consumer that is not among its consumers',
    ),
]


@pytest.mark.parametrize(("text", "word"), WRONG)
def test_a_wrong_line_gets_a_word_and_the_next_one_is_read(text: str, word: str) -> None:
    file = (line() + text.rstrip("\n") + "\n" + line(key="next")).encode("utf-8", "surrogatepass")
    first, wrong, last = read([file])
    assert first.entry and first.number == 1
    assert wrong.entry is None and wrong.number == 2 and word in wrong.why, wrong.why
    assert len(wrong.why) < 200 and "\n" not in wrong.why
    assert last.entry and last.entry.key == b"next" and last.number == 3


def test_a_line_that_is_no_utf8() -> None:
    file = line().encode() + line(value="?").encode().replace(b"?", b"\xff") + line().encode()
    assert [item.why for item in read([file])] == ["", "no UTF-8: byte 51 of the line is 0xff", ""]


def test_blank_lines_and_lines_of_other_systems() -> None:
    file = ("\n  \r\n" + line().strip() + "\r\n\n" + line(key="l").strip()).encode()
    assert [(item.number, item.entry and item.entry.key) for item in read([file])] == [(3, b"k"), (5, b"l")]


def test_lines_written_by_others() -> None:
    """Any order of members, blanks, integers as scores, members left out, marks where there could be text."""
    file = (
        ' { "value" : [ [ "a" , 3 ] , [ {"base64": "Yg=="}, "-inf" ] ], "type":"zset", "key":"z" } \n'
        '{"key":"h","type":"hash","value":[["f","v"]],"encoding":"utf-8","fields_expire_at_ms":[["f",7]]}\n'
        '{"key":"x","type":"stream","value":{"entries":[],"last_id":"5-0"}}\n'
    )
    assert [item.entry for item in read([file.encode()])] == [
        Entry(0, b"z", "zset", [(b"a", 3.0), (b"b", -math.inf)]),
        Entry(0, b"h", "hash", [(b"f", b"v")], None, ((b"f", 7),)),
        Entry(0, b"x", "stream", Stream([], b"5-0", None, None, ())),
    ]


def part(number: int, more: bool, key: bytes = b"k") -> str:
    """A line with a part of a list."""
    return encode([Entry(0, key, "list", [b"%d" % number], None, (), number, more)]).decode()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (part(0, True) + part(1, True) + part(2, False), ["", "", ""]),
        (
            part(0, True) + part(2, False),
            ["", "ends after part 0, and more", "part 2 of its value comes behind part 0"],
        ),
        (part(1, False) + line(), ["part 1 of its value comes without the parts before it", ""]),
        (part(0, True) + line(), ["", "its value ends after part 0, and more", ""]),
        (part(0, True) + part(0, False, b"l"), ["", "its value ends after part 0, and more", ""]),
        (part(0, True) + part(1, False, b"l"), ["", "its value ends after part 0", "comes without the parts before"]),
        (
            part(0, True) + "x\n" + part(1, True) + part(2, False),
            ["", "no JSON", "without the parts", "without the parts"],
        ),
        (part(0, True) + part(1, True), ["", "", "the file ends after part 1, and more of its value should follow"]),
        (part(0, True) + "\n", ["", "the file ends after part 0, and more of its value should follow"]),
    ],
)
def test_parts_follow_one_another(text: str, words: list[str]) -> None:
    items = list(read([text.encode()]))
    assert len(items) == len(words)
    for item, word in zip(items, words):
        assert word in item.why and bool(item.why) == bool(word) == (item.entry is None)


def test_the_last_line_is_cut() -> None:
    whole = line().encode()
    *_before, last = read([whole + whole[:-5]])
    assert last.number == 2 and last.why.startswith("the file ends within this line: no JSON")
    assert [item.why for item in read([whole + whole[:-1]])] == ["", ""]


def test_a_line_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file without newlines does not fill the memory."""
    monkeypatch.setattr(jsonl, "blocks", functools.partial(lines.blocks, longest=1000))
    first, last = read([line().encode(), *[b"x" * 400] * 10, b"\n" + line().encode()])
    assert first.entry and (last.number, last.entry) == (2, None)
    assert last.why == "a line of more than 1000 bytes: nothing is read from here on"


def test_members_that_a_scan_showed_twice_are_written_once() -> None:
    keys = [
        Entry(0, b"s", "set", [b"a", b"b", b"a"], None, (), 0, True),
        Entry(0, b"s", "set", [], None, (), 1, False),
        Entry(0, b"h", "hash", [(b"f", b"old"), (b"f", b"new")], None, (), 0, True),
        Entry(0, b"h", "hash", [(b"g", b"")], None, (), 1, False),
    ]
    assert [item.entry and item.entry.value for item in read([encode(keys)])] == [
        [b"a", b"b"],
        [],
        [(b"f", b"new")],
        [(b"g", b"")],
    ]


def test_what_no_line_can_hold() -> None:
    assert why_unfit(Entry(0, b"k", "string", b"")) is None
    assert why_unfit(Entry(0, b"k", "vectorset", b"?")) == "its type is vectorset, which is exported as a payload only"
    assert why_unfit(Entry(0, b"k", "zset", [(b"a", math.nan)])) == "a score of it is not a number"
    assert why_unfit(Entry(0, b"k", "list", [])) == "it is empty"
    assert why_unfit(Entry(0, b"k", "list", [], part=2)) is None
    assert why_unfit(Entry(0, b"k", "dump", b"short")) == "its DUMP payload is too short"
