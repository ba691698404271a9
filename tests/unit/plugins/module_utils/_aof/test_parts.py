# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An AOF on disk: a manifest, its directory, or one file."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from ansible_collections.globalscope.redis_backup.plugins.module_utils._aof.parts import (
    begins_with_rdb,
    open_set,
    read_into,
)
from ansible_collections.globalscope.redis_backup.plugins.module_utils._aof.resp import Reader, encode
from ansible_collections.globalscope.redis_backup.plugins.module_utils._errors import AofError

MANIFEST = (
    "file appendonly.aof.3.incr.aof seq 3 type i\n"
    "file appendonly.aof.1.base.rdb seq 1 type h\n"
    "file appendonly.aof.2.base.rdb seq 2 type b\n"
    "file appendonly.aof.4.incr.aof seq 4 type i\n"
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A directory of an AOF whose base is there."""
    Path(tmp_path, "appendonly.aof.manifest").write_text(MANIFEST)
    Path(tmp_path, "temp-appendonly.aof.manifest").write_text("half writ")
    Path(tmp_path, "appendonly.aof.2.base.rdb").write_bytes(b"REDIS0011")
    return tmp_path


@pytest.mark.parametrize("name", ["", "appendonly.aof.manifest"])
def test_parts_come_in_the_order_of_loading(folder: Path, name: str) -> None:
    found = open_set(str(folder / name))
    assert found.directory == str(folder)
    assert found.title == str(folder / "appendonly.aof.manifest")
    assert found.manifest is not None and len(found.manifest.files) == 4
    assert [(part.name, part.kind) for part in found.parts] == [
        ("appendonly.aof.2.base.rdb", "base-rdb"),
        ("appendonly.aof.3.incr.aof", "incr"),
        ("appendonly.aof.4.incr.aof", "incr"),
    ]


@pytest.mark.parametrize(
    ("data", "kind"),
    [(b"VALKEY080", "base-rdb"), (b"*1\r\n", "base-aof"), (b"", "base-aof"), (None, "base-rdb")],
)
def test_the_kind_of_a_base_is_in_its_first_bytes(folder: Path, data: bytes | None, kind: str) -> None:
    base = folder / "appendonly.aof.2.base.rdb"
    base.unlink()
    if data is not None:
        base.write_bytes(data)
    assert open_set(str(folder)).parts[0].kind == kind


def test_a_single_file(tmp_path: Path) -> None:
    path = tmp_path / "appendonly.aof"
    path.write_bytes(b"REDIS0009")
    found = open_set(str(path))
    assert (found.manifest, found.title, found.parts[0].kind) == (None, str(path), "single")


def test_what_is_no_set(folder: Path) -> None:
    with pytest.raises(AofError, match="There is no AOF at"):
        open_set(str(folder / "appendonly.aof"))
    (folder / "other.manifest").write_text("")
    with pytest.raises(AofError, match=r"holds 2 manifests: appendonly\.aof\.manifest, other\.manifest"):
        open_set(str(folder))
    with pytest.raises(AofError, match=r"other\.manifest: line 0: Found an empty AOF manifest") as error:
        open_set(str(folder / "other.manifest"))
    assert error.value.details == {"line": 0, "reason": "Found an empty AOF manifest"}
    with pytest.raises(AofError, match="cannot be read: No such file"):
        open_set(str(folder / "third.manifest"))


def test_so_many_bytes_are_read() -> None:
    command = encode([b"SET", b"k", b"v" * 100_000])
    stream = io.BytesIO(b"VALKEY" + command * 10)
    assert begins_with_rdb(stream)
    stream.seek(6)
    reader = Reader(6)
    read_into(reader, stream, len(command) * 5 + 1)
    assert (reader.offset, reader.commands) == (6 + len(command) * 5 + 1, 5)
    read_into(reader, stream)
    reader.finish()
    assert (reader.offset, reader.commands, reader.torn) == (6 + len(command) * 10, 10, None)
