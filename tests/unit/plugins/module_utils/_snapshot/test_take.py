# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which way a snapshot is taken, and where its file appears."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from ansible_collections.globalscope.redis_backup.plugins.module_utils._server.connection import Login, Server
from ansible_collections.globalscope.redis_backup.plugins.module_utils._server.instance import Instance, Place
from ansible_collections.globalscope.redis_backup.plugins.module_utils._server.paths import Paths
from ansible_collections.globalscope.redis_backup.plugins.module_utils._snapshot.source import (
    FileSource,
    SnapshotOrigin,
)
from ansible_collections.globalscope.redis_backup.plugins.module_utils._snapshot.take import (
    SnapshotRequest,
    _beside,
    _pin,
    _young_enough,
    choose_method,
)


@pytest.mark.parametrize(
    ("wanted", "dest", "no_stream", "method"),
    [
        ("auto", None, None, "bgsave"),
        ("auto", None, "off", "bgsave"),
        ("auto", "/x.rdb", None, "replication"),
        ("auto", "/x.rdb", "off", "bgsave"),
        ("bgsave", "/x.rdb", None, "bgsave"),
        ("save", None, None, "save"),
        ("replication", "/x.rdb", "off", "replication"),
    ],
)
def test_choose_method(wanted: str, dest: str | None, no_stream: str | None, method: str) -> None:
    assert choose_method(wanted, dest=dest, no_stream=no_stream) == method


def test_a_name_appears_only_when_all_went_well(tmp_path: Path) -> None:
    dest = tmp_path / "out.rdb"
    dest.write_bytes(b"old")
    with pytest.raises(RuntimeError), _beside(str(dest)) as part:
        Path(part).write_bytes(b"half")
        raise RuntimeError
    assert os.listdir(tmp_path) == ["out.rdb"]
    assert dest.read_bytes() == b"old"
    (tmp_path / ".out.rdb.part").write_bytes(b"left by a run that was killed")
    with _beside(str(dest)) as part:
        assert not os.path.exists(part)
        Path(part).write_bytes(b"new")
        assert dest.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["out.rdb"]
    assert dest.read_bytes() == b"new"


def test_the_opened_file_is_pinned_not_its_name(tmp_path: Path) -> None:
    dump = tmp_path / "dump.rdb"
    dump.write_bytes(b"proven" * 100_000)
    source = FileSource(os.open(dump, os.O_RDONLY), SnapshotOrigin("bgsave", 0.0, None))
    os.rename(dump, tmp_path / "gone")
    dump.write_bytes(b"the next save")
    _pin(source, str(tmp_path / "pinned.rdb"))
    assert (tmp_path / "pinned.rdb").read_bytes() == b"proven" * 100_000
    assert b"".join(bytes(chunk) for chunk in source.chunks()) == b"proven" * 100_000
    assert b"".join(bytes(chunk) for chunk in source.chunks()) == b"proven" * 100_000  # from the beginning again
    source.close()


@pytest.mark.parametrize("content", [b"", b"REDIS", b"no RDB at all", None])
def test_what_is_no_rdb_is_never_young_enough(tmp_path: Path, content: bytes | None) -> None:
    dump = tmp_path / "dump.rdb"
    if content is not None:
        dump.write_bytes(content)
    instance = Instance(Place("db"), Server(Login()), "running", None, Paths(dir=str(tmp_path)))
    assert _young_enough(instance, SnapshotRequest(max_age=1e12)) is None
    assert _young_enough(instance, SnapshotRequest(dest=str(dump), max_age=1e12)) is None
