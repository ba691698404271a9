# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that survive a crash."""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
import threading
from pathlib import Path

import pytest
from ansible_collections.globalscope.redis_backup.plugins.module_utils._errors import RedisBackupError
from ansible_collections.globalscope.redis_backup.plugins.module_utils._files import (
    free_bytes,
    fsync_dir,
    locked,
    locked_in_turn,
    make_dirs,
    read_json,
    remove_tree,
    write_atomic,
    write_json,
)


def test_write_atomic(tmp_path: Path) -> None:
    path = tmp_path / "f"
    write_atomic(str(path), b"one")
    first = os.stat(path)
    write_atomic(str(path), b"two", mode=0o644, owner=(os.geteuid(), os.getegid()))
    assert path.read_bytes() == b"two"
    assert (stat.S_IMODE(first.st_mode), stat.S_IMODE(os.stat(path).st_mode)) == (0o600, 0o644)
    assert os.stat(path).st_ino != first.st_ino  # replaced, not written over
    assert os.listdir(tmp_path) == ["f"]


def test_a_write_that_fails_leaves_the_old(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"old")
    with pytest.raises(TypeError):
        write_atomic(str(tmp_path / "f"), "text")  # type: ignore[arg-type]
    (tmp_path / "d").mkdir()
    with pytest.raises(OSError):
        write_atomic(str(tmp_path / "d"), b"new")
    assert sorted(os.listdir(tmp_path)) == ["d", "f"]
    assert (tmp_path / "f").read_bytes() == b"old"


def test_no_planted_link_is_followed(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    os.symlink(victim, tmp_path / ".f.tmp")
    write_atomic(str(tmp_path / "f"), b"new")
    assert victim.read_bytes() == b"precious"
    assert sorted(os.listdir(tmp_path)) == ["f", "victim"]


def test_make_dirs(tmp_path: Path) -> None:
    for _twice in range(2):
        make_dirs(str(tmp_path / "a" / "b"))
    assert stat.S_IMODE(os.stat(tmp_path / "a").st_mode) == 0o700
    (tmp_path / "f").write_text("")
    with pytest.raises(OSError):
        make_dirs(str(tmp_path / "f" / "b"))


def test_json(tmp_path: Path) -> None:
    write_json(str(tmp_path / "x"), {"b": [1], "a": "ä"})
    assert read_json(str(tmp_path / "x")) == {"b": [1], "a": "ä"}
    assert (tmp_path / "x").read_text().startswith('{\n  "a"')
    (tmp_path / "x").write_text("{")
    with pytest.raises(ValueError):
        read_json(str(tmp_path / "x"))


def test_small_ones(tmp_path: Path) -> None:
    (tmp_path / "d" / "e").mkdir(parents=True)
    fsync_dir(str(tmp_path))
    remove_tree(str(tmp_path / "d"))
    remove_tree(str(tmp_path / "d"))
    assert os.listdir(tmp_path) == []
    assert free_bytes(str(tmp_path)) > 0


def test_lock(tmp_path: Path) -> None:
    path, busy = str(tmp_path / "lock"), RedisBackupError("somebody else is at it")
    with locked(path, busy=busy), pytest.raises(RedisBackupError, match="somebody else"), locked(path, busy=busy):
        pytest.fail("held twice")
    with pytest.raises(KeyError), locked(path, busy=busy):
        raise KeyError
    with locked(path, busy=busy):
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o600


def test_a_lock_that_is_removed_meanwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever got the removed file would have a lock of it, and the next one another lock."""
    path, busy = str(tmp_path / "lock"), RedisBackupError("somebody else is at it")
    flock = fcntl.flock

    def removed_first(fd: int, operation: int) -> None:
        os.unlink(path)
        flock(fd, operation)

    with monkeypatch.context() as within:
        within.setattr(fcntl, "flock", removed_first)
        with pytest.raises(RedisBackupError, match="somebody else"), locked(path, busy=busy):
            pytest.fail("held what is not there")
    with locked(path, busy=busy):
        assert os.path.exists(path)


def test_a_turn_comes_when_the_other_is_done_or_not_at_all(tmp_path: Path) -> None:
    path, busy = str(tmp_path / "lock"), RedisBackupError("somebody else is at work")
    with contextlib.ExitStack() as held:
        held.enter_context(locked(path, busy=busy))
        with pytest.raises(RedisBackupError, match="somebody else"), locked_in_turn(path, busy=busy, patience=0):
            pytest.fail("two hold it at once")
        timer = threading.Timer(0.3, held.close)
        timer.start()
        with locked_in_turn(path, busy=busy, patience=60):
            timer.join()
