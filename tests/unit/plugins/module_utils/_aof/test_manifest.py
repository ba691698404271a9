# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Manifests are read as strictly as the servers read them, and written as they write them."""

from __future__ import annotations

import contextlib

import pytest
from ansible_collections.globalscope.redis_backup.plugins.module_utils._aof.manifest import (
    AofFile,
    AofManifest,
    ManifestError,
    parse_manifest,
)
from hypothesis import given
from hypothesis import strategies as st

NAMES = st.text(st.characters(exclude_characters="/\\\0", exclude_categories=["Cs"]), max_size=20)
OFFSETS = st.one_of(st.none(), st.integers(-1, 2**62))
BASES = st.builds(AofFile, NAMES, st.integers(1, 2**62), st.just("b"))
HISTORY = st.builds(AofFile, NAMES, st.integers(1, 2**62), st.just("h"), OFFSETS, OFFSETS)
INCREMENTS = st.builds(AofFile, NAMES, st.integers(1, 2**62), st.just("i"), OFFSETS, OFFSETS)
MANIFESTS = st.builds(
    lambda bases, history, increments: AofManifest(
        (*bases, *history, *sorted(increments, key=lambda each: each.seq)),
    ),
    st.lists(BASES, max_size=1),
    st.lists(HISTORY, max_size=3),
    st.lists(INCREMENTS, max_size=4, unique_by=lambda each: each.seq),
).filter(lambda manifest: manifest.files)

LINE = "file appendonly.aof.1.incr.aof seq 1 type i\n"
BASE_LINE = "file appendonly.aof.1.base.rdb seq 1 type b\n"
MALFORMED = "Invalid AOF manifest file format"
LONG = "The AOF manifest file contains too long line"


@given(MANIFESTS)
def test_what_was_written_is_read(manifest: AofManifest) -> None:
    assert parse_manifest(manifest.data()) == manifest


def test_as_redis_8_writes_it() -> None:
    text = (
        "file appendonly.aof.2.base.rdb seq 2 type b\n"
        "file appendonly.aof.1.base.rdb seq 1 type h\n"
        "file appendonly.aof.2.incr.aof seq 2 type i startoffset 3 endoffset 250\n"
        'file "a b.3.incr.aof" seq 3 type i startoffset 250\n'
    )
    manifest = parse_manifest(text.encode())
    assert manifest.text() == text
    assert manifest.base == AofFile("appendonly.aof.2.base.rdb", 2, "b")
    assert [each.seq for each in manifest.history] == [1]
    assert manifest.increments == (
        AofFile("appendonly.aof.2.incr.aof", 2, "i", 3, 250),
        AofFile("a b.3.incr.aof", 3, "i", 250),
    )
    assert manifest.without_history().text() == "".join(text.splitlines(keepends=True)[i] for i in (0, 2, 3))


@pytest.mark.parametrize(
    "text",
    [
        LINE.replace("\n", "\r\n"),
        "# a comment\n" + LINE + "#" + "x" * 500 + "\n",
        LINE + "# no end",
        "  " + LINE,
        LINE.replace("type i", "type increment"),
        LINE.replace("\n", " colour blue\n"),
        LINE.replace("file ", "FILE "),
        LINE.replace("seq 1", "seq '1'"),
        "seq 1 type i file appendonly.aof.1.incr.aof\n",
        LINE.replace("seq 1", "seq 1x"),
    ],
)
def test_what_the_servers_accept(text: str) -> None:
    assert parse_manifest(text.encode()).files == (AofFile("appendonly.aof.1.incr.aof", 1, "i"),)


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        ("", 0, "Found an empty AOF manifest"),
        (LINE.rstrip(), 1, LONG),
        (LINE + BASE_LINE.rstrip(), 2, LONG),
        (LINE.replace("\n", " " * 1100 + "\n"), 1, LONG),
        (LINE.replace("seq", "\0seq"), 1, LONG),
        ("\n" + LINE, 1, MALFORMED),
        (LINE + " \t\r\n", 2, MALFORMED),
        (LINE.replace("seq 1", "seq 0"), 1, MALFORMED),
        (LINE.replace("seq 1", "seq x"), 1, MALFORMED),
        (LINE.replace("type i", "type"), 1, MALFORMED),
        (LINE.replace("type i", 'type ""'), 1, MALFORMED),
        (LINE.replace("file ", "fil "), 1, MALFORMED),
        (LINE.replace("appendonly", '"appendonly'), 1, MALFORMED),
        (LINE.replace("type i", "type x"), 1, "Unknown AOF file type"),
        (LINE.replace("appendonly", "../appendonly"), 1, "File can't be a path, just a filename"),
        (LINE.replace("appendonly", "a\\\\b"), 1, "File can't be a path, just a filename"),
        (BASE_LINE + BASE_LINE, 2, "Found duplicate base file information"),
        (LINE + LINE, 2, "Found a non-monotonic sequence number"),
        (LINE.replace("seq 1", "seq -1"), 1, "Found a non-monotonic sequence number"),
        ("#" + "x" * 1100 + "\n" + LINE, 2, MALFORMED),
    ],
)
def test_what_the_servers_refuse(text: str, line: int, reason: str) -> None:
    with pytest.raises(ManifestError) as error:
        parse_manifest(text.encode())
    assert (error.value.line, error.value.reason) == (line, reason)
    assert str(error.value) == f"line {line}: {reason}"


@given(st.one_of(st.binary(max_size=300), st.binary(max_size=30).map(lambda data: LINE.encode() + data)))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    with contextlib.suppress(ManifestError):
        parse_manifest(data)
