# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who uses a data directory; looked at with real processes."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from ansible_collections.globalscope.redis_backup.plugins.module_utils._errors import RestoreError
from ansible_collections.globalscope.redis_backup.plugins.module_utils._server.connection import Login
from ansible_collections.globalscope.redis_backup.plugins.module_utils._server.occupied import (
    answers,
    require_stopped,
    users_of,
)

NAME = "import sys; open('/proc/self/comm', 'w').write(sys.argv[2]); "
READY = "print('ready', flush=True); input()"


@contextmanager
def process(code: str, *arguments: str, cwd: str = "/") -> Iterator[int]:
    argv = [sys.executable, "-c", NAME + code + READY, *arguments]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=cwd) as child:
        assert child.stdout is not None and child.stdout.readline() == b"ready\n"
        try:
            yield child.pid
        finally:
            child.kill()


def test_a_writer_shows(tmp_path: Path) -> None:
    with process("f = open(sys.argv[1], 'w'); ", str(tmp_path / "temp-1.rdb"), "saver") as pid:
        (found,) = users_of(str(tmp_path))
        assert (found.pid, found.name) == (pid, "saver")
        assert str(found) == f"saver (pid {pid}) writes {tmp_path}/temp-1.rdb"
        assert users_of(str(tmp_path.parent / "other")) == []
    assert users_of(str(tmp_path)) == []


def test_a_server_shows_by_its_working_directory(tmp_path: Path) -> None:
    with process("", "-", "redis-server", cwd=str(tmp_path)) as pid:
        (found,) = users_of(str(tmp_path))
        assert found.pid == pid
        os.symlink(tmp_path, tmp_path.parent / "link")
        assert [user.pid for user in users_of(str(tmp_path.parent / "link"))] == [pid]
    with process("", "-", "vim", cwd=str(tmp_path)):
        assert users_of(str(tmp_path)) == []


def test_readers_and_logs_do_not_hinder(tmp_path: Path) -> None:
    (tmp_path / "dump.rdb").write_text("")
    with process("f = open(sys.argv[1]); ", str(tmp_path / "dump.rdb"), "backup"):
        assert users_of(str(tmp_path)) == []
    with process("f = open(sys.argv[1], 'a'); ", str(tmp_path / "redis.log"), "rsyslogd"):
        assert users_of(str(tmp_path)) == []


def test_we_ourselves_do_not_count(tmp_path: Path) -> None:
    with open(tmp_path / "x", "w"):
        assert users_of(str(tmp_path)) == []


def test_somebody_answers(tmp_path: Path) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        login = Login(port=listener.getsockname()[1], connect_timeout=2.0)
        assert not answers(login)
        listener.listen()
        assert answers(login)
        with pytest.raises(RestoreError, match=rf"db is not stopped: a server still answers at {login.where}"):
            require_stopped(login, str(tmp_path), "db", 0)
    path = str(tmp_path / "redis.sock")
    assert not answers(Login(unix_socket=path))
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        assert answers(Login(unix_socket=path))
    assert not answers(Login(unix_socket=path))


def test_stopped_and_not_stopped(tmp_path: Path) -> None:
    login = Login(unix_socket=str(tmp_path / "none"))
    require_stopped(login, str(tmp_path), "db", 0)
    words = r"db is not stopped: saver \(pid \d+\) writes .*was not touched"
    writing = process("f = open(sys.argv[1], 'w'); ", str(tmp_path / "dump.rdb"), "saver")
    with writing, pytest.raises(RestoreError, match=words):
        require_stopped(login, str(tmp_path), "db", 0.1)
