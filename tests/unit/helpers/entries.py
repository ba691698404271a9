# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Any keys, as hypothesis draws them: every type, any bytes, any scores, expiries, streams with groups."""

from __future__ import annotations

import struct

from ansible_collections.globalscope.redis_backup.plugins.module_utils._keys.entry import Entry, Group, Pending, Stream
from hypothesis import strategies as st

# Bytes that break readers: quotes, escapes, newlines, BOM, half letters, our own mark, letters outside of the BMP.
AWKWARD = (b"", b'"', b"\\", b"\n", b"\r\n", b"\0", b"\xff", b"\xc3", b"\xef\xbb\xbf", b'{"base64":"AA=="}', b"base64")
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12).map(str.encode)
BYTES = st.one_of(
    TEXTS, TEXTS, st.binary(max_size=12), st.sampled_from(AWKWARD), st.sampled_from(["é", "𝄞", " "]).map(str.encode)
)
SCORES = st.one_of(st.floats(allow_nan=False), st.integers(-(2**60), 2**60).map(float))
TIMES = st.integers(0, 2**63 - 1)
EXPIRIES = st.none() | TIMES
DATABASES = st.sampled_from([0, 0, 0, 1, 15, 2**31 - 1])
FOOTER_BYTES = 10


def named(values: st.SearchStrategy, least: int = 1) -> st.SearchStrategy[list]:
    """Pairs of names, no two the same, and values."""
    return st.lists(st.tuples(BYTES, values), min_size=least, max_size=5, unique_by=lambda pair: pair[0])


@st.composite
def ids(draw: st.DrawFn, most: int = 5) -> list[bytes]:
    """Ids of a stream's entries, in their order."""
    numbers = st.integers(0, 2**64 - 1) | st.integers(0, 3)
    drawn = draw(st.lists(st.tuples(numbers, numbers), max_size=most, unique=True))
    return [b"%d-%d" % pair for pair in sorted(drawn)]


@st.composite
def groups(draw: st.DrawFn) -> Group:
    """A group of a stream."""
    consumers = draw(st.lists(BYTES, max_size=3, unique=True))
    pending = []
    for name in draw(ids(3)) if consumers else []:
        pending.append(Pending(name, draw(st.sampled_from(consumers)), draw(TIMES), draw(st.integers(0, 9))))
    last = draw(ids(1)) or [b"0-0"]
    return Group(draw(BYTES), last[0], draw(EXPIRIES), tuple(consumers), tuple(pending))


@st.composite
def streams(draw: st.DrawFn) -> Stream:
    """A stream, the empty one too."""
    fields = st.lists(st.tuples(BYTES, BYTES), min_size=1, max_size=3).map(lambda pairs: [w for p in pairs for w in p])
    entries = [(name, draw(fields)) for name in draw(ids())]
    last = entries[-1][0] if entries else b"0-0"
    found = draw(st.lists(groups(), max_size=2, unique_by=lambda group: group.name))
    return Stream(entries, last, draw(EXPIRIES), draw(st.none() | st.just(b"1-0")), tuple(found))


VALUES = {
    "string": BYTES,
    "list": st.lists(BYTES, min_size=1, max_size=5),
    "set": st.lists(BYTES, min_size=1, max_size=5, unique=True),
    "zset": named(SCORES),
    "hash": named(BYTES),
    "stream": streams(),
    "dump": st.binary(min_size=2 + FOOTER_BYTES, max_size=40),
}


@st.composite
def entries(draw: st.DrawFn, kinds: tuple[str, ...] = tuple(VALUES)) -> Entry:
    """A key with its whole value."""
    kind = draw(st.sampled_from(kinds))
    value = draw(VALUES[kind])
    expiries: tuple[tuple[bytes, int], ...] = ()
    if kind == "hash" and draw(st.booleans()):
        fields = draw(st.lists(st.sampled_from([name for name, found in value]), unique=True))
        expiries = tuple((field, draw(TIMES)) for field in fields)
    return Entry(draw(DATABASES), draw(BYTES), kind, value, draw(EXPIRIES), expiries)


@st.composite
def in_parts(draw: st.DrawFn) -> list[Entry]:
    """A key with its value in several parts."""
    kind = draw(st.sampled_from(["string", "list", "set", "zset", "hash"]))
    whole = draw(entries((kind,)))
    count = draw(st.integers(2, 4))
    values = [draw(VALUES[kind]) for _part in range(count)]
    return [
        whole._replace(value=value, field_expiries=(), part=part, more=part + 1 < count)
        for part, value in enumerate(values)
    ]


def exact(entry: Entry) -> tuple:
    """An entry for comparison in which 0.0 and -0.0 differ."""
    if entry.kind != "zset":
        return tuple(entry)
    return tuple(entry._replace(value=[(member, struct.pack(">d", score)) for member, score in entry.value]))


@st.composite
def cut(draw: st.DrawFn, data: bytes) -> list[memoryview]:
    """The data in chunks of any size."""
    places = sorted(draw(st.lists(st.integers(0, len(data)), max_size=8)))
    return [memoryview(data)[a:b] for a, b in zip([0, *places], [*places, len(data)])]
