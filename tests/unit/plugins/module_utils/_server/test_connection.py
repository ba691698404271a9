# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Words about commands and logins: none of them may tell a secret."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.globalscope.redis_backup.plugins.module_utils._server.connection import (
    Login,
    ReplyError,
    Server,
    UnreachableError,
    _accepted,
    _name,
)
from hypothesis import given
from hypothesis import strategies as st

SECRETS = st.text("XYZ0123456789", min_size=8)


@given(SECRETS)
def test_a_login_does_not_show_its_password(secret: str) -> None:
    assert secret not in repr(Login(password=secret))


@given(SECRETS)
def test_commands_are_named_without_values(secret: str) -> None:
    for command in (
        ("AUTH", secret),
        ("SET", "key", secret),
        ("CONFIG", "SET", "requirepass", secret),
        ("ACL", "SETUSER", "bob", f">{secret}"),
        ("MIGRATE", secret),
    ):
        assert secret not in _name(command)


@pytest.mark.parametrize(
    ("command", "name"),
    [
        (("INFO",), "INFO"),
        (("CONFIG", "GET", "dir"), "CONFIG GET dir"),
        (("config", "set", "maxmemory", 1), "config set maxmemory"),
        (("ACL", "WHOAMI"), "ACL WHOAMI"),
        (("GET", b"key"), "GET"),
    ],
)
def test_names(command: tuple[object, ...], name: str) -> None:
    assert _name(command) == name  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("message", "code", "hint"),
    [
        ("NOPERM User bk1 has no permissions to run the 'config|set' command", "NOPERM", "Allow this command"),
        ("ERR unknown command 'CONFIG', with args beginning with: ", "ERR", "command_map"),
        ("LOADING Redis is loading the dataset in memory", "LOADING", ""),
        ("", "ERR", ""),
    ],
)
def test_reply_errors(message: str, code: str, hint: str) -> None:
    error = ReplyError("127.0.0.1:6379", "CONFIG GET dir", message)
    assert error.code == code
    assert hint in error.hint and bool(hint) == bool(error.hint)
    assert str(error).startswith("the server at 127.0.0.1:6379 refused CONFIG GET dir")


def test_where() -> None:
    assert Login(host="10.0.0.1", port=1).where == "10.0.0.1:1"
    assert Login(unix_socket="/run/redis.sock").where == "/run/redis.sock"


def test_only_known_constructor_arguments_are_passed_on() -> None:
    class Base:
        def __init__(self, host: str, *, retry: int = 0) -> None: ...

    class Child(Base):
        def __init__(self, path: str, **more: object) -> None: ...

    wanted = {"host": "h", "path": "p", "retry": 1, "protocol": 2}
    assert _accepted(Child, wanted) == {"host": "h", "path": "p", "retry": 1}


def test_nobody_at_the_socket(tmp_path: Path) -> None:
    pytest.importorskip("redis")
    login = Login(unix_socket=str(tmp_path / "none.sock"), connect_timeout=1.0)
    with Server(login) as server, pytest.raises(UnreachableError, match=r"none\.sock"):
        server.call("PING")
