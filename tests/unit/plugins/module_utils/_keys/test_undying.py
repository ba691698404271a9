# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Times that are moved away and back, and commands at the end of an AOF that is laid out."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from ansible_collections.globalscope.redis_backup.plugins.module_utils._aof.parts import open_set
from ansible_collections.globalscope.redis_backup.plugins.module_utils._aof.resp import encode, read_commands
from ansible_collections.globalscope.redis_backup.plugins.module_utils._keys.entry import Entry
from ansible_collections.globalscope.redis_backup.plugins.module_utils._keys.import_options import means_backup
from ansible_collections.globalscope.redis_backup.plugins.module_utils._keys.undying import (
    append_commands,
    as_it_was,
    moving_script,
    rdb_as_aof,
)

KEYS, FIELDS = 2**51, 2**45
NOW = 1_795_443_234_627


def test_times_come_back() -> None:
    plain = Entry(0, b"k", "string", b"v")
    assert as_it_was(plain) is plain
    assert as_it_was(plain._replace(expires_at=NOW + KEYS)).expires_at == NOW
    assert as_it_was(plain._replace(expires_at=KEYS)).expires_at == 0  # expired, nobody knows when
    far = 9_999_999_999_999_999  # what lies behind all of them was not moved
    assert as_it_was(plain._replace(expires_at=far)).expires_at == far
    fields = Entry(0, b"h", "hash", [(b"a", b"1")], None, ((b"a", NOW + FIELDS), (b"b", NOW)))
    assert as_it_was(fields).field_expiries == ((b"a", NOW), (b"b", NOW))


def test_the_script_is_two_commands() -> None:
    first, second = read_commands(io.BytesIO(moving_script(1024)))
    assert first.words == [b"SELECT", b"0"]
    assert second.words[0] == b"EVAL" and second.words[2:] == [b"0", b"%d" % KEYS, b"%d" % FIELDS, b"1024"]


def laid(root: Path, version: tuple[int, ...]) -> list[str]:
    with rdb_as_aof(str(root), version) as out:
        out.write(b"REDIS0009 and so on")
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


def test_one_file(tmp_path: Path) -> None:
    assert laid(tmp_path, (6, 2, 14)) == ["appendonly.aof"]
    append_commands(str(tmp_path), (6, 2, 14), [encode([b"SELECT", b"0"]), encode([b"PING"])])
    data = (tmp_path / "appendonly.aof").read_bytes()
    assert data == b"REDIS0009 and so on" + encode([b"SELECT", b"0"]) + encode([b"PING"])


def test_several_files(tmp_path: Path) -> None:
    assert laid(tmp_path, (7, 0, 15)) == [
        "appendonlydir/appendonly.aof.1.base.rdb",
        "appendonlydir/appendonly.aof.manifest",
    ]
    for number in (1, 2):
        append_commands(str(tmp_path), (7, 0, 15), [encode([b"PING"])])
        found = open_set(str(tmp_path / "appendonlydir"))
        assert [part.kind for part in found.parts] == ["base-rdb", *["incr"] * number]
        assert Path(found.parts[-1].path).read_bytes() == encode([b"PING"])


@pytest.mark.parametrize(
    ("more", "wanted"),
    [
        ({}, True),
        ({"label": "latest"}, True),
        ({"label": "20261122T235141Z_rdb"}, True),
        ({"label": "20261122T235141Z_aof", "at": None}, True),
        ({"label": "20261122T235141Z_keys"}, False),
        ({"name": "drivers"}, False),
        ({"repository": None}, False),
    ],
)
def test_what_is_meant(more: dict[str, str | None], wanted: bool) -> None:
    params = {"repository": {"name": "nfs"}, "label": None, "name": None, **more}
    assert means_backup(params) is wanted
