# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A file that is there whole or not at all, also where two write it at once."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.globalscope.redis_backup.plugins.module_utils._errors import RedisBackupError
from ansible_collections.globalscope.redis_backup.plugins.module_utils._keys.to_file import write_file
from ansible_collections.globalscope.redis_backup.plugins.module_utils._repository.pipeline import Packing, Stored

PLAIN = Packing(compress=False)


def write(path: Path, data: bytes) -> Stored:
    return write_file(str(path), [memoryview(data)], PLAIN, force=True, proven=lambda: None)


def test_one_that_ends_while_another_begins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other has opened what became the first one's file: it must not empty it."""
    path = tmp_path / "keys.jsonl"
    flock = fcntl.flock
    part = tmp_path / ".keys.jsonl.part"

    def named_first(fd: int, operation: int) -> None:
        part.write_bytes(b"whole\n")
        os.rename(part, path)
        flock(fd, operation)

    with monkeypatch.context() as within:
        within.setattr(fcntl, "flock", named_first)
        with pytest.raises(RedisBackupError, match="another process is writing"):
            write(path, b"other\n")
    assert path.read_bytes() == b"whole\n"
    write(path, b"other\n")
    assert path.read_bytes() == b"other\n"
    assert [each.name for each in tmp_path.iterdir()] == ["keys.jsonl"]


def test_two_at_once(tmp_path: Path) -> None:
    path = tmp_path / "keys.jsonl"

    def chunks() -> Iterator[memoryview]:
        yield memoryview(b"first ")
        with pytest.raises(RedisBackupError, match="another process is writing"):
            write(path, b"second")
        yield memoryview(b"whole")

    write_file(str(path), chunks(), PLAIN, force=False, proven=lambda: None)
    assert path.read_bytes() == b"first whole"


def test_what_somebody_else_laid_there(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    part = tmp_path / ".keys.jsonl.part"
    for lay in (os.link, os.symlink):
        lay(victim, part)
        with pytest.raises(RedisBackupError):
            write(tmp_path / "keys.jsonl", b"data")
        part.unlink()
    assert victim.read_bytes() == b"precious"
    assert [each.name for each in tmp_path.iterdir()] == ["victim"]
