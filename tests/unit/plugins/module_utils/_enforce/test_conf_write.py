# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""redis.conf replaced, and copies of it kept."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from ansible_collections.globalscope.redis_backup.plugins.module_utils._config.quoting import ENCODING, ERRORS
from ansible_collections.globalscope.redis_backup.plugins.module_utils._enforce.conf_write import (
    holds,
    keep_copy,
    replace,
    require_unchanged,
    require_writable,
)
from ansible_collections.globalscope.redis_backup.plugins.module_utils._errors import ConfigError


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    path = tmp_path / "etc" / "redis.conf"
    path.parent.mkdir()
    path.write_bytes(b"port 1\r\ndir /srv/\xff")
    return path


def text_of(path: Path) -> str:
    return path.read_bytes().decode(ENCODING, ERRORS)


def test_copies_are_bounded_and_the_first_and_the_newest_stay(conf: Path, tmp_path: Path) -> None:
    directory = tmp_path / "state" / "config" / "db"
    directory.mkdir(parents=True)
    (directory / "lock").touch()
    (directory / "other.conf.20260101T000000Z").touch()
    for number in range(7):
        for copy in directory.glob("redis.conf.*"):  # an hour goes by
            os.utime(copy, ns=(0, copy.stat().st_mtime_ns - 3600 * 10**9))
        conf.write_text(f"port {number}\n")
        made = keep_copy(str(conf), str(directory), 3)
        assert Path(made).read_text() == f"port {number}\n"
    kept = sorted(path.read_text() for path in directory.glob("redis.conf.*"))
    assert kept == ["port 0\n", "port 5\n", "port 6\n"]
    assert {"lock", "other.conf.20260101T000000Z"} <= set(os.listdir(directory))


def test_two_copies_in_one_second_are_two(conf: Path, tmp_path: Path) -> None:
    made = [keep_copy(str(conf), str(tmp_path / "copies"), 5) for _again in range(4)]
    assert len(set(made)) == 4
    for copy in made:
        assert Path(copy).read_bytes() == conf.read_bytes()
        assert os.stat(copy).st_mode & 0o777 == 0o600  # it may hold secrets


def test_replaced_in_one_step_as_it_was_owned(conf: Path) -> None:
    conf.chmod(0o640)
    if os.geteuid() == 0:
        os.chown(conf, 1, 2)
    before = conf.stat()
    replace(str(conf), text_of(conf) + "\nport 2\n")
    after = conf.stat()
    assert conf.read_bytes() == b"port 1\r\ndir /srv/\xff\nport 2\n"
    assert (after.st_mode, after.st_uid, after.st_gid) == (before.st_mode, before.st_uid, before.st_gid)
    assert after.st_ino != before.st_ino
    assert os.listdir(conf.parent) == ["redis.conf"]


def test_attributes_stay(conf: Path) -> None:
    try:
        os.setxattr(conf, "user.note", b"kept")
    except OSError as error:
        pytest.skip(f"no extended attributes here: {error.strerror}")
    replace(str(conf), "port 2\n")
    assert os.getxattr(conf, "user.note") == b"kept"


def test_somebody_else_wrote_it(conf: Path) -> None:
    text = text_of(conf)
    require_unchanged(str(conf), text)
    assert holds(str(conf), text) and not holds(str(conf), text + "x")
    conf.write_bytes(conf.read_bytes().replace(b"\r\n", b"\n"))
    with pytest.raises(ConfigError, match="was changed by somebody else") as error:
        require_unchanged(str(conf), text)
    assert error.value.untouched == "What they wrote stays, and what this run had set is set back"


def test_writable(conf: Path) -> None:
    require_writable(str(conf))


def test_a_mount_of_its_own_cannot_be_replaced() -> None:
    """As in a container into which redis.conf is mounted."""
    with pytest.raises(ConfigError, match=r"^/proc cannot be replaced: it is a mount of its own.*apply=live"):
        require_writable("/proc")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_not_ours(conf: Path) -> None:
    conf.parent.chmod(0o500)
    try:
        with pytest.raises(ConfigError, match="this user may not write in its directory"):
            require_writable(str(conf))
    finally:
        conf.parent.chmod(0o700)
