# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The files that make a server load a restored RDB."""

from __future__ import annotations

import pytest
from ansible_collections.globalscope.redis_backup.plugins.module_utils._config.quoting import (
    ENCODING,
    ERRORS,
    quote_arg,
    split_args,
)
from ansible_collections.globalscope.redis_backup.plugins.module_utils._restore.layout import (
    DataLayout,
    LinkFile,
    TextFile,
    aof_at_next_start,
    data_layout,
)
from ansible_collections.globalscope.redis_backup.plugins.module_utils._server.paths import Paths
from hypothesis import given
from hypothesis import strategies as st

BASE = LinkFile("appendonlydir/appendonly.aof.1.base.rdb")
MANIFEST = TextFile("appendonlydir/appendonly.aof.manifest", "file appendonly.aof.1.base.rdb seq 1 type b\n")
DUMP = LinkFile("dump.rdb")
OLD_AOF = LinkFile("appendonly.aof", copy=True)  # 6.2 appends to it: never a hard link


@pytest.mark.parametrize(
    ("version", "aof", "rdb", "layout", "top", "copies"),
    [
        ((7, 0, 15), True, False, DataLayout((BASE,), (MANIFEST,), True), ["appendonlydir"], 1),
        ((9, 1, 2), True, True, DataLayout((BASE, DUMP), (MANIFEST,)), ["appendonlydir", "dump.rdb"], 1),
        ((8, 2), False, True, DataLayout((DUMP,)), ["dump.rdb"], 1),
        ((6, 2, 14), True, False, DataLayout((OLD_AOF,), aof_only=True), ["appendonly.aof"], 1),
        ((6, 2, 14), True, True, DataLayout((OLD_AOF, DUMP)), ["appendonly.aof", "dump.rdb"], 2),
        ((6, 2, 14), False, True, DataLayout((DUMP,)), ["dump.rdb"], 1),
    ],
)
def test_layouts(
    version: tuple[int, ...], aof: bool, rdb: bool, layout: DataLayout, top: list[str], copies: int
) -> None:
    found = data_layout(Paths(dir="/srv"), version, aof=aof, rdb=rdb)
    assert found == layout
    assert found.top_names == top
    assert found.copies == copies


NAMES = st.binary(min_size=1, max_size=30).map(
    lambda raw: raw.replace(b"\0", b"").replace(b"/", b"").decode(ENCODING, ERRORS) or "x"
)


@given(NAMES, NAMES, NAMES)
def test_odd_names(dump: str, folder: str, aof: str) -> None:
    paths = Paths(dir="/srv", dbfilename=dump, appenddirname=folder, appendfilename=aof)
    layout = data_layout(paths, (7, 0), aof=True, rdb=True)
    (text,) = layout.texts
    assert text.name == f"{folder}/{aof}.manifest"
    assert text.text.endswith("\n") and text.text.count("\n") == 1
    base = f"{aof}.1.base.rdb"
    assert split_args(text.text[:-1]) == ["file", base, "seq", "1", "type", "b"]
    assert [link.name for link in layout.rdb] == [f"{folder}/{base}", dump]
    assert text.text.encode(ENCODING, ERRORS)


@given(NAMES)
def test_words_come_back_from_their_quotes(word: str) -> None:
    assert split_args(f"x {quote_arg(word)} y") == ["x", word, "y"]


@pytest.mark.parametrize(
    ("word", "quoted"), [("", '""'), ("a b", '"a b"'), ('a"b', '"a\\"b"'), ("ä", "ä"), ("a'b", '"a\'b"'), ("a", "a")]
)
def test_quotes_only_where_they_must_be(word: str, quoted: str) -> None:
    assert quote_arg(word) == quoted


YES, NO = {"appendonly": "yes"}, {"appendonly": "no"}
AOF, RDB, EITHER = (True, False), (False, True), (True, True)


@pytest.mark.parametrize(
    ("running", "at_start", "known", "loads"),
    [
        (YES, YES, True, AOF),
        (NO, NO, True, RDB),
        (NO, {}, True, RDB),
        (YES, NO, True, EITHER),  # set live, or by a command line that we do not see
        (NO, YES, True, EITHER),
        (YES, {}, True, EITHER),
        ({}, YES, True, AOF),  # the server is down
        ({}, {"appendonly": "YES"}, True, AOF),
        ({}, NO, True, RDB),
        ({}, {}, True, RDB),
        (YES, {}, False, AOF),
        (NO, {}, False, RDB),
        ({}, {}, False, EITHER),
    ],
)
def test_next_start(running: dict[str, str], at_start: dict[str, str], known: bool, loads: tuple[bool, bool]) -> None:
    assert aof_at_next_start(running, at_start, config_known=known) == loads
