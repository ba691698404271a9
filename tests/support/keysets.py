# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Any set of keys, as commands that make them: every type, any bytes and scores, expiries of keys and fields."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

Command = tuple[Any, ...]

AWKWARD = (b"", b"\0", b"\xff", b"\r\n", b'"', b"\\", b"{}", b"{a}b", b"}{", b"*3\r\n", b"\xc3\x28", b"base64")
BYTES = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=10).map(str.encode),
    st.binary(max_size=10),
    st.sampled_from(AWKWARD),
    st.integers(-(2**63), 2**63 - 1).map(lambda number: str(number).encode()),
)
MANY = st.sampled_from([1, 1, 1, 3, 130, 600])  # beyond what stands in one piece of memory, and in one command
SCORES = st.one_of(
    st.floats(allow_nan=False),
    st.sampled_from([0.0, -0.0, float("inf"), float("-inf"), 5e-324, 1.7976931348623157e308, 0.1, 2.0**53 + 2]),
    st.integers(-(10**6), 10**6).map(float),
)
# Long behind any run of the tests; the last one is what a double cannot tell from its neighbours.
MOMENTS = st.integers(4_102_444_800_000, 4_102_444_900_000) | st.sampled_from([2**53 + 1, 33_000_000_000_001])


@st.composite
def _words(draw: st.DrawFn) -> list[bytes]:
    few = draw(st.lists(BYTES, min_size=1, max_size=5))
    count = draw(MANY)
    return few if count == 1 else [*few, *(b"%d %b" % (number, few[0]) for number in range(count))]


def _id(draw: st.DrawFn, last: tuple[int, int]) -> tuple[int, int]:
    ahead = draw(st.sampled_from([1, 1, 2, 1000, 2**40]))
    return (
        (last[0], last[1] + ahead) if draw(st.booleans()) else (last[0] + ahead, draw(st.sampled_from([0, 1, 2**60])))
    )


def _stream(draw: st.DrawFn, key: bytes) -> list[Command]:
    """A stream: entries, some deleted, groups that have read, acknowledged and left messages whose entry is gone."""
    found: list[Command] = []
    last, ids = (0, 0), []
    for _entry in range(draw(st.integers(0, 6))):
        last = _id(draw, last)
        ids.append(b"%d-%d" % last)
        fields = draw(st.lists(BYTES, min_size=2, max_size=2)) * draw(st.integers(1, 2))
        found.append(("XADD", key, ids[-1], *fields))
    for number in range(draw(st.integers(0 if ids else 1, 2))):
        group = b"group %d\xff" % number
        start = draw(st.sampled_from([b"0", b"$", *ids]))
        found.append(("XGROUP", "CREATE", key, group, start, "MKSTREAM"))
        for consumer in draw(st.lists(BYTES.filter(bool), max_size=2, unique=True)):
            found.append(("XGROUP", "CREATECONSUMER", key, group, consumer))
            count = draw(st.integers(0, 3))
            if count:
                found.append(("XREADGROUP", "GROUP", group, consumer, "COUNT", count, "STREAMS", key, ">"))
        for name in draw(st.lists(st.sampled_from(ids), max_size=2)) if ids else []:
            found.append(("XACK", key, group, name))
    for name in draw(st.lists(st.sampled_from(ids), max_size=2, unique=True)) if ids else []:
        found.append(("XDEL", key, name))
    if draw(st.booleans()) and ids:
        found.append(("XSETID", key, b"%d-%d" % (last[0] + 5, 0)))
    return found


@st.composite
def key_commands(draw: st.DrawFn, key: bytes, *, field_expiries: bool) -> list[Command]:
    """The commands that make one key of any type."""
    kind = draw(st.sampled_from(["string", "list", "set", "zset", "hash", "stream"]))
    found: list[Command] = []
    if kind == "string":
        found.append(("SET", key, draw(BYTES) * draw(MANY)))
    elif kind in ("list", "set"):
        found.append(("RPUSH" if kind == "list" else "SADD", key, *draw(_words())))
    elif kind == "zset":
        found.append(("ZADD", key, *(word for member in draw(_words()) for word in (repr(draw(SCORES)), member))))
    elif kind == "hash":
        names = list(dict.fromkeys(draw(_words())))
        found.append(("HSET", key, *(word for name in names for word in (name, draw(BYTES)))))
        if field_expiries:
            for name in draw(st.lists(st.sampled_from(names), max_size=3, unique=True)):
                at = draw(st.integers(4_102_444_800_000, 4_102_444_800_009))
                found.append(("HPEXPIREAT", key, at, "FIELDS", 1, name))
    else:
        found += _stream(draw, key)
    if draw(st.booleans()):
        found.append(("PEXPIREAT", key, draw(MOMENTS)))
    return found


@st.composite
def keysets(draw: st.DrawFn, *, databases: int = 2, field_expiries: bool = False) -> list[tuple[int, list[Command]]]:
    """Some keys: the database of each, and the commands that make it."""
    found = []
    for key in draw(st.lists(BYTES, min_size=1, max_size=8, unique=True)):
        database = draw(st.integers(0, databases - 1))
        found.append((database, draw(key_commands(key, field_expiries=field_expiries))))
    return found
