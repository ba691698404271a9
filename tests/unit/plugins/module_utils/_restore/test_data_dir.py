# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Is it a Redis data directory?"""

from __future__ import annotations

import pytest
from ansible_collections.globalscope.redis_backup.plugins.module_utils._restore.data_dir import (
    data_entries,
    why_no_data_dir,
)
from ansible_collections.globalscope.redis_backup.plugins.module_utils._server.paths import Paths
from hypothesis import given
from hypothesis import strategies as st

PATHS = Paths(dir="/srv")


@pytest.mark.parametrize(
    "names",
    [
        [],
        [".redis_backup"],
        ["dump.rdb"],
        ["appendonlydir"],
        ["appendonly.aof"],
        ["dump.rdb", "something else"],
        ["lost+found", ".snapshot", ".bashrc"],
        [
            "redis.log",
            "redis.log.1",
            "redis.pid",
            "redis.sock",
            "redis.conf",
            "users.acl",
            "nodes.conf",
            "nodes-6379.conf",
        ],
        ["temp-4711.rdb", "temp-rewriteaof-1.aof", "dump.rdb.bak", "mod.so"],
    ],
)
def test_data_directories(names: list[str]) -> None:
    assert why_no_data_dir(names, PATHS) is None


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["etc", "home", "usr", "var"], "it holds etc, home, usr and more and none of dump.rdb, appendonlydir"),
        (["ibdata1"], "it holds ibdata1 and none of"),
        (["redis.log", "PG_VERSION"], "it holds PG_VERSION and none of"),
        (["other.rdb"], "it holds other.rdb"),
        (["dump.rdb.d"], "it holds dump.rdb.d"),
        (["xlost+found"], "it holds xlost+found"),
    ],
)
def test_foreign_directories(names: list[str], words: str) -> None:
    assert (why_no_data_dir(names, PATHS) or "").startswith(words)


def test_own_names() -> None:
    paths = Paths(dir="/srv", dbfilename="other.rdb", appenddirname="aof", appendfilename="x.aof")
    assert why_no_data_dir(["other.rdb", "ibdata1"], paths) is None
    assert why_no_data_dir(["dump.rdb"], paths) == "it holds dump.rdb and none of other.rdb, aof, x.aof"


@given(st.lists(st.text(min_size=1)))
def test_entries(names: list[str]) -> None:
    assert data_entries(names, PATHS.data_names()) == [n for n in PATHS.data_names() if n in names]
