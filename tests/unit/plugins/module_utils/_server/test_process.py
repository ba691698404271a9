# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The process of a server on this host, and its user."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.globalscope.redis_backup.plugins.module_utils._server.facts import Facts
from ansible_collections.globalscope.redis_backup.plugins.module_utils._server.process import (
    is_local,
    is_server,
    process_user,
    unit_user,
)


@contextlib.contextmanager
def process_called(title: str, directory: Path | None = None) -> Iterator[int]:
    """The number of a process that runs under a name."""
    pipe = subprocess.PIPE
    with subprocess.Popen([title], executable="cat", stdin=pipe, stdout=pipe, cwd=directory) as process:
        assert process.stdin and process.stdout
        process.stdin.write(b"\n")
        process.stdin.flush()
        assert process.stdout.read(1)  # until its program runs, the kernel knows no name
        yield process.pid
        process.stdin.close()


def test_no_service_no_user() -> None:
    assert unit_user("") is None
    assert unit_user("no-such-unit-of-redis") is None


def test_another_process_of_that_number_is_no_server() -> None:
    assert not is_local(Facts({"process_id": str(os.getpid())}))
    assert not is_local(Facts({}))
    assert not is_local(None)


@pytest.mark.parametrize(
    ("title", "server"),
    [
        ("/usr/bin/redis-server", True),
        ("/opt/valkey/bin/valkey-server 127.0.0.1:6379", True),
        ("redis-server unixsocket:/tmp/socket", True),
        ("/srv/redis_backup/venv/bin/python", False),
        ("python /etc/redis.conf", False),
    ],
)
def test_a_server_by_its_name_and_not_by_its_path(title: str, server: bool) -> None:
    with process_called(title) as pid:
        assert is_server(f"/proc/{pid}") is server


def test_a_server_works_in_its_data_directory(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "data")
    with process_called("redis", tmp_path / "data") as pid:
        proc = f"/proc/{pid}"
        assert is_server(proc, str(tmp_path / "data")) and is_server(proc, str(tmp_path / "link"))
        assert not is_server(proc, str(tmp_path)) and not is_server(proc, str(tmp_path / "none"))


def test_a_process_has_a_user() -> None:
    assert process_user(os.getpid()) == (os.geteuid(), os.getegid())
    assert process_user(2**22 + 1) is None
