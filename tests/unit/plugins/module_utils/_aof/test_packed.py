# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is in the archive of an AOF, and where its files go."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from ansible_collections.globalscope.redis_backup.plugins.module_utils._aof.manifest import (
    AofFile,
    AofManifest,
    parse_manifest,
)
from ansible_collections.globalscope.redis_backup.plugins.module_utils._aof.packed import (
    SetError,
    SetFound,
    opener_in,
    place_set,
    read_packed,
)
from ansible_collections.globalscope.redis_backup.plugins.module_utils._aof.tar import END, header, padding

SET = b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1\r\nb\r\n"
STAMP = b"#TS:1763900000\r\n"
TEXT = b"file a.aof.3.base.aof seq 3 type b\nfile a.aof.7.incr.aof seq 7 type i\nfile a.aof.8.incr.aof seq 8 type i\n"
GOOD = [
    ("dir/a.aof.manifest", TEXT),
    ("dir/a.aof.3.base.aof", SET * 2),
    ("dir/a.aof.7.incr.aof", STAMP + SET),
    ("dir/a.aof.8.incr.aof", b""),
]


def archive(files: list[tuple[str, bytes]]) -> list[memoryview]:
    parts = [part for name, data in files for part in (header(name, len(data), 7), data, padding(len(data)))]
    return [memoryview(b"".join([*parts, END]))]


def read(files: list[tuple[str, bytes]]) -> SetFound:
    return read_packed(archive(files), "/bin/false", None, None)


def test_read() -> None:
    found = read(GOOD)
    assert [(name, each.size, each.commands) for name, each in found.files.items()] == [
        ("a.aof.3.base.aof", 54, 2),
        ("a.aof.7.incr.aof", 43, 1),
        ("a.aof.8.incr.aof", 0, 0),
    ]
    assert (found.commands, found.first_stamp, found.last_stamp) == (3, 1763900000, 1763900000)
    single = read([("a.aof", SET)])
    assert (single.manifest, single.commands, single.first_stamp) == (None, 1, None)


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ([], "lacks everything"),
        (GOOD[1:], "no manifest"),
        (GOOD[:1], "lacks a.aof.3.base.aof, a.aof.7.incr.aof"),
        (GOOD[:3], "lacks a.aof.8.incr.aof"),
        ([*GOOD, ("dir/more", b"")], "does not name"),
        ([GOOD[0], GOOD[2], GOOD[1], GOOD[3]], "does not name"),
        ([GOOD[0], ("other/a.aof.3.base.aof", SET), *GOOD[2:]], "does not name"),
        ([("a.aof", SET), ("b.aof", SET)], "does not name"),
        ([("../a.aof.manifest", TEXT), *GOOD[1:]], "no manifest"),
        ([("x/dir/a.aof.manifest", TEXT), *GOOD[1:]], "no manifest"),
        ([("dir/a.aof.manifest", b"\n"), *GOOD[1:]], "manifest is none"),
        ([("dir/a.aof.manifest", b"file a seq 1 type i\n"), ("dir/a", SET)], "names no base"),
        ([*GOOD[:2], ("dir/a.aof.7.incr.aof", SET + b"x"), GOOD[3]], "damaged at byte 27"),
        ([*GOOD[:3], ("dir/a.aof.8.incr.aof", SET[:-1])], "cut at byte 0"),
        ([*GOOD[:3], ("dir/a.aof.8.incr.aof", b"*1\r\n$5\r\nMULTI\r\n" + SET)], "cut at byte 0"),
        ([("a.aof", b"REDIS0011")], "redis-check-rdb"),
    ],
)
def test_refused(files: list[tuple[str, bytes]], words: str) -> None:
    with pytest.raises(SetError, match=words):
        read(files)


def test_written(tmp_path: Path) -> None:
    os.umask(0o22)
    read_packed(
        archive(GOOD),
        "/bin/false",
        lambda found, member: place_set(found, member, (7, 0), "here", "b.aof"),
        opener_in(str(tmp_path)),
    )
    there = {path.name: path.read_bytes() for path in (tmp_path / "here").iterdir()}
    assert there == {
        "b.aof.manifest": TEXT.replace(b"a.aof.", b"b.aof."),
        "b.aof.3.base.aof": GOOD[1][1],
        "b.aof.7.incr.aof": GOOD[2][1],
        "b.aof.8.incr.aof": b"",
    }
    assert {path.stat().st_mode & 0o777 for path in tmp_path.rglob("*")} == {0o600, 0o700}


def test_place() -> None:
    """Under the target's names; offsets of another server's replication are left out."""
    made = AofManifest((AofFile("x y.2.base.rdb", 2, "b"), AofFile("x y.9.incr.aof", 9, "i", 5, 17)))
    placed = place_set(made, "", (8, 2), "dir", "my file")
    assert placed.top == "dir"
    assert dict(placed.files) == {
        "x y.2.base.rdb": "dir/my file.2.base.rdb",
        "x y.9.incr.aof": "dir/my file.9.incr.aof",
    }
    assert placed.manifest == "dir/my file.manifest"
    assert parse_manifest(placed.text).files == (
        AofFile("my file.2.base.rdb", 2, "b"),
        AofFile("my file.9.incr.aof", 9, "i"),
    )
    with pytest.raises(SetError, match="before 7"):
        place_set(made, "", (6, 2, 14), "dir", "a.aof")
    single = place_set(None, "old.aof", (6, 2), "dir", "a.aof")
    assert (single.top, dict(single.files), single.text) == ("a.aof", {"old.aof": "a.aof"}, b"")
    base = place_set(None, "old.aof", (7, 0), "dir", "a.aof")
    assert dict(base.files) == {"old.aof": "dir/a.aof.1.base.aof"}
    assert base.text == b"file a.aof.1.base.aof seq 1 type b\n"
