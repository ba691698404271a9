# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is decided about a value without asking a server, and what is made of a server's words."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.globalscope.redis_backup.plugins.module_utils._enforce.judge import (
    NOT_PROVEN,
    Verdict,
    _literal,
    _only_at_start,
    _reason,
    judge_wish,
    meaning,
)
from ansible_collections.globalscope.redis_backup.plugins.module_utils._enforce.wish import Wish, wishes_of
from ansible_collections.globalscope.redis_backup.plugins.module_utils._errors import ConfigError
from ansible_collections.globalscope.redis_backup.plugins.module_utils._server.connection import Login, Server

NOBODY = Server(Login(unix_socket="/nonexistent/socket"))  # never connected: a question would fail


def wish_of(name: str, value: Any) -> Wish:
    (wish,) = wishes_of({name: value})
    return wish


@pytest.mark.parametrize(
    ("words", "name", "only"),
    [
        ("ERR Unsupported CONFIG parameter: databases", "databases", True),
        (
            "ERR CONFIG SET failed (possibly related to argument 'databases') - can't set immutable config",
            "databases",
            True,
        ),
        ("ERR CONFIG SET failed (possibly related to argument 'dir') - can't set protected config", "dir", True),
        ("ERR Unsupported CONFIG parameter: databases", "bases", False),
        ("ERR Unsupported CONFIG parameter: databases", "port", False),
        (
            "ERR CONFIG SET failed (possibly related to argument 'maxmemory') - argument must be a memory value",
            "maxmemory",
            False,
        ),
        ("ERR Invalid argument 'x' for CONFIG SET 'maxmemory' - argument must be a memory value", "maxmemory", False),
    ],
)
def test_what_only_a_start_changes(words: str, name: str, only: bool) -> None:
    assert _only_at_start(words, name) is only


@pytest.mark.parametrize(
    ("words", "name", "value", "reason"),
    [
        (
            "ERR CONFIG SET failed (possibly related to argument 'maxmemory') - argument must be a memory value",
            "maxmemory",
            "x",
            "argument must be a memory value",
        ),
        (
            "ERR Invalid argument 'x' for CONFIG SET 'maxmemory'",
            "maxmemory",
            "x",
            "Invalid argument 'x' for CONFIG SET 'maxmemory'",
        ),
        (
            "ERR Invalid argument 's3cret' for CONFIG SET",
            "requirepass",
            "s3cret",
            "Invalid argument '(hidden)' for CONFIG SET",
        ),
        ("ERR too long", "requirepass", "", "too long"),
        ("ERR bad " + "x" * 300, "maxmemory", "x" * 300, "bad " + "x" * 200 + "... (300 characters)"),
        ("ERR bad " + "x" * 300, "requirepass", "x" * 300, "bad (hidden)"),
    ],
)
def test_reasons(words: str, name: str, value: str, reason: str) -> None:
    assert _reason(words, wish_of(name, value)) == reason


@pytest.mark.parametrize(
    ("value", "default", "live", "literal"),
    [
        ("true", "no", {}, "yes"),
        ("YES", "no", {}, "yes"),
        ("off", "no", {}, "off"),
        ("true", "", {}, "true"),
        ("true", "", {"x": "no"}, "yes"),
        ("true", "no", {"x": "everysec"}, "true"),
        (None, "no", {"x": "yes"}, "no"),
        ("64", "1", {"x": "2"}, "64"),
    ],
)
def test_literals(value: str | None, default: str, live: dict[str, str], literal: str) -> None:
    assert _literal(wish_of("x", value), default, live) == literal


@pytest.mark.parametrize(
    ("name", "value", "protected", "verdict"),
    [
        ("rename-command", ["CONFIG x"], False, Verdict(None, False)),
        ("loadmodule", None, False, Verdict(None, False)),
        ("port", 6380, False, Verdict("6380", True, "6379")),
        ("port", None, False, Verdict("6379", True, "6379")),
        ("maxclients", 5, True, Verdict("5", True, "10000")),
        ("appendonly", "True", False, Verdict("yes", True, "no")),
        ("appendonly", None, False, Verdict("no", True, "no")),
        ("dir", "/srv", False, Verdict("/srv", True, "")),
        ("dir", "/srv", True, Verdict("/srv", False, "")),
        ("tls-port", 6380, False, Verdict("6380", False, "")),
        ("cluster-enabled", True, False, Verdict("yes", False, "no")),
        ("cluster-config-file", None, False, Verdict("nodes.conf", False, "nodes.conf")),
        ("replicaof", "10.0.0.1 6379", False, Verdict("10.0.0.1 6379", False, "")),
        ("aclfile", "/etc/redis/users.acl", False, Verdict("/etc/redis/users.acl", False, "")),
    ],
)
def test_what_is_not_asked(name: str, value: Any, protected: bool, verdict: Verdict) -> None:
    assert judge_wish(NOBODY, wish_of(name, value), {}, protected) == verdict


@pytest.mark.parametrize(
    ("name", "value", "literal"),
    [
        ("supervised", "SystemD", "systemd"),
        ("enable-protected-configs", True, "yes"),
        ("enable-debug-command", "LOCAL", "local"),
        ("unixsocketperm", "0700", "700"),
        ("unixsocketperm", "0", "0"),
        ("unixsocketperm", "rwx", "rwx"),
        ("logfile", "/Var/LOG", "/Var/LOG"),
    ],
)
def test_literals_as_config_get_tells_them(name: str, value: Any, literal: str) -> None:
    assert _literal(wish_of(name, value), "", {}) == literal


@pytest.mark.parametrize("value", ["maybe", "", "on", 1])
def test_appendonly_is_yes_or_no(value: Any) -> None:
    """With apply=live nothing else would look at it, and a word that is not yes would switch the AOF off."""
    with pytest.raises(ConfigError, match=r"the server refuses appendonly '.*': argument must be 'yes' or 'no'"):
        judge_wish(NOBODY, wish_of("appendonly", value), {"appendonly": "yes"}, False)


@pytest.mark.parametrize("name", ["tls-port", "dir", "port", "appendonly", "unixsocket", "maxclients"])
def test_meanings_that_are_not_asked(name: str) -> None:
    assert meaning(NOBODY, name, "1") is None


def test_what_a_proof_cannot_tell() -> None:
    assert "appendonly" not in NOT_PROVEN
    assert {"dir", "port", "logfile", "cluster-enabled"} <= NOT_PROVEN
