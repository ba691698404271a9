# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The private directories of throw-away servers. The servers themselves start in the integration tests."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from ansible_collections.globalscope.redis_backup.plugins.module_utils._server.throwaway import (
    ThrowawayFailed,
    Workplace,
    _remove_orphans,
    _words,
    workplace,
)

NAME = "redis_backup-throwaway"


@pytest.fixture
def dead() -> int:
    """The number of a process that is no more."""
    process = subprocess.Popen(["true"])
    process.wait()
    return process.pid


def test_orphans_go_and_nothing_else(tmp_path: Path, dead: int) -> None:
    stay = [
        f"{NAME}-{os.getpid()}-abc",  # in use
        f"{NAME}-{os.getppid()}-abc",
        f"{NAME}-x{dead}-abc",
        f"{NAME}-",
        NAME,
        f"{NAME}{dead}-abc",
        f"x{NAME}-{dead}-abc",
        f"other-{dead}-abc",
    ]
    gone = [f"{NAME}-{dead}-abc", f"{NAME}-{dead}-d-e", f"{NAME}-{dead}"]
    for name in (*stay, *gone):
        (tmp_path / name / "deep").mkdir(parents=True)
        (tmp_path / name / "deep" / "redis.conf").touch()
    _remove_orphans(str(tmp_path))
    assert sorted(os.listdir(tmp_path)) == sorted(stay)


def test_a_planted_link_leads_nowhere(tmp_path: Path, dead: int) -> None:
    precious, parent = tmp_path / "precious", tmp_path / "run"
    precious.mkdir()
    parent.mkdir()
    (precious / "dump.rdb").touch()
    (parent / f"{NAME}-{dead}-abc").symlink_to(precious)
    (parent / f"{NAME}-{dead}-file").touch()
    _remove_orphans(str(parent))
    assert (precious / "dump.rdb").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to make files of another user")
def test_root_removes_the_orphans_of_the_servers_user(tmp_path: Path, dead: int) -> None:
    orphan = tmp_path / f"{NAME}-{dead}-abc"
    orphan.mkdir()
    os.chown(orphan, 1, 1)
    _remove_orphans(str(tmp_path))
    assert not orphan.exists()


def test_a_workplace_is_private_and_goes() -> None:
    with workplace() as place:
        assert os.stat(place.path).st_mode & 0o777 == 0o700
        assert place.user is None
        path = place.write("conf0/redis.conf", b"requirepass x\n")
        assert os.path.dirname(os.path.dirname(path)) == place.path
        assert os.stat(path).st_mode & 0o777 == 0o600
        assert os.stat(os.path.dirname(path)).st_mode & 0o777 == 0o700
        with pytest.raises(FileExistsError):  # nor through a link that somebody planted
            place.write("conf0/redis.conf", b"y")
    assert not os.path.exists(place.path)


def test_a_workplace_goes_with_its_askers_failure() -> None:
    with pytest.raises(ZeroDivisionError), workplace() as place:
        os.rmdir(place.path + "/" * (1 // 0))
    assert not os.path.exists(place.path)


def test_two_workplaces_are_two() -> None:
    with workplace() as one, workplace() as other:
        assert one.path != other.path
        assert os.path.isdir(one.path)  # the second has not taken the first for an orphan


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to hand files over")
def test_the_servers_user_owns_its_workplace() -> None:
    with workplace((1, 1)) as place:
        path = place.write("conf/redis.conf", b"")
        assert os.stat(place.path).st_uid == 0  # nobody else plants anything while root writes here
        place.hand_over()
        for each in (place.path, os.path.dirname(path), path):
            assert (os.stat(each).st_uid, os.stat(each).st_gid) == (1, 1)
    with workplace((0, 0)) as place:
        assert place.user is None


def test_own_lines_keep_it_inside_and_off_the_network() -> None:
    lines = Workplace("/run/x").own_lines
    assert {"port 0", "dir /run/x", "unixsocket /run/x/socket", "daemonize no", "pidfile /run/x/pid"} <= set(lines)


def test_its_words(tmp_path: Path) -> None:
    place = Workplace(str(tmp_path))
    assert _words(place) == ""
    (tmp_path / "output").write_bytes(b"FATAL \xff\n")
    (tmp_path / "log").write_text("# bad\n")
    assert _words(place) == "FATAL \ufffd\n\n# bad\n"
    assert "did not start: FATAL" in str(ThrowawayFailed("redis-server", _words(place)))
