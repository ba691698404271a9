# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The server's program: never one that is not on this host."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.globalscope.redis_backup.plugins.module_utils._errors import ProgramError
from ansible_collections.globalscope.redis_backup.plugins.module_utils._server.programs import (
    exec_start_argv,
    program_version,
    server_program,
)


@pytest.mark.parametrize(
    ("text", "argv"),
    [
        ("", []),
        ("{ path=/usr/bin/redis-server ; }", []),
        (
            "{ path=/usr/bin/redis-server ; argv[]=/usr/bin/redis-server /etc/redis/redis.conf --supervised systemd "
            "--daemonize no ; ignore_errors=no ; start_time=[n/a] ; stop_time=[n/a] ; pid=0 ; code=(null) ; "
            "status=0/0 }",
            ["/usr/bin/redis-server", "/etc/redis/redis.conf", "--supervised", "systemd", "--daemonize", "no"],
        ),
        ("{ path=/a ; argv[]=/a --dir '/srv/a b' ; x=y }", ["/a", "--dir", "/srv/a b"]),
        ("{ path=/a ; argv[]=/a don't ; x=y }", ["/a", "don't"]),
    ],
)
def test_exec_start(text: str, argv: list[str]) -> None:
    assert exec_start_argv(text) == argv


def script(path: Path, text: str) -> str:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


def test_what_is_given_counts_alone(tmp_path: Path) -> None:
    program = script(tmp_path / "redis-server", "exit 0")
    assert server_program(program, {"executable": "/elsewhere"}, None) == program
    with pytest.raises(ProgramError, match=r"tried /nowhere/redis-server"):
        server_program("/nowhere/redis-server", {"executable": program}, None)


def test_info_tells(tmp_path: Path) -> None:
    program = script(tmp_path / "my-redis", "exit 0")
    assert server_program(None, {"executable": program}, None) == program


def test_path_is_asked_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = script(tmp_path / "redis-server", "exit 0")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert server_program(None, {"executable": "/gone/redis-server"}, None) == program


@pytest.mark.parametrize("kind", ["relative", "directory", "not executable"])
def test_what_cannot_run_is_refused(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "redis-server"
    if kind == "directory":
        path.mkdir()
    else:
        path.write_text("x")
    with pytest.raises(ProgramError, match="no Redis or Valkey server program"):
        server_program("redis-server" if kind == "relative" else str(path), None, None)


@pytest.mark.parametrize(
    ("said", "version"),
    [
        ("Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc-5.3.0 bits=64 build=1", ("redis", (7, 0, 15))),
        ("Valkey server v=9.1.2 sha=00000000:0 malloc=libc bits=64 build=2", ("valkey", (9, 1, 2))),
    ],
)
def test_version(tmp_path: Path, said: str, version: tuple[str, tuple[int, ...]]) -> None:
    assert program_version(script(tmp_path / "server", f"echo '{said}'")) == version


def test_another_program_is_no_server(tmp_path: Path) -> None:
    with pytest.raises(ProgramError, match="is no Redis or Valkey server: it calls itself 'nginx'"):
        program_version(script(tmp_path / "server", "echo nginx"))
