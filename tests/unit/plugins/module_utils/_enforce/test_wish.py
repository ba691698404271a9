# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings as wishes."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.globalscope.redis_backup.plugins.module_utils._enforce.wish import (
    Request,
    secrets_in,
    secrets_of,
    wishes_of,
)
from ansible_collections.globalscope.redis_backup.plugins.module_utils._errors import ConfigError
from hypothesis import given
from hypothesis import strategies as st


def test_wishes_keep_their_order() -> None:
    found = wishes_of({"MaxMemory": "1gb", " save ": ["900 1", "300 10"], "databases": None})
    assert [(wish.name, wish.text) for wish in found] == [
        ("maxmemory", "1gb"),
        ("save", "900 1 300 10"),
        ("databases", None),
    ]


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({}, "names no directive"),
        ({"": 1}, "'' is no name"),
        ({"max memory": 1}, "'max memory' is no name"),
        ({"maxmemory\nport 1": 1}, "is no name"),
        ({"#x": 1}, "is no name"),
        ({"x" * 101: 1}, "'" + "x" * 100 + "' is no name"),
        ({"-x": 1}, "is no name"),
        ({1.5: {}}, "must be text"),
        ({"include": "/etc/x"}, "include is not a setting"),
        ({"Include": None}, "include is not a setting"),
        ({"sentinel": "monitor x"}, "sentinel is not a setting"),
        ({"slave-read-only": True, "replica-read-only": True}, "replica-read-only and slave-read-only are one"),
        ({"port": 1, "PORT": 2}, "PORT and port are one"),
        ({"save": "900"}, "save takes pairs"),
    ],
)
def test_what_no_redis_conf_can_hold(settings: dict[Any, Any], why: str) -> None:
    with pytest.raises(ConfigError, match=why) as error:
        wishes_of(settings)
    assert error.value.untouched == "Nothing was changed"


@given(st.dictionaries(st.text(max_size=8), st.none() | st.text(max_size=8) | st.integers(), max_size=3))
def test_any_settings_are_wishes_or_a_config_error(settings: dict[str, Any]) -> None:
    try:
        found = wishes_of(settings)
    except ConfigError:
        return
    assert len(found) == len(settings)
    assert not any(char.isspace() for wish in found for char in wish.name)


@pytest.mark.parametrize(
    ("name", "secret", "readable"),
    [
        ("requirepass", True, True),
        ("masterauth", True, True),
        ("primaryauth", True, True),
        ("tls-key-file-pass", True, True),
        ("user", True, False),
        ("rename-command", True, False),
        ("loadmodule", True, False),  # with arguments
        ("save", False, True),
        ("client-output-buffer-limit", False, True),
        ("maxmemory", False, True),
    ],
)
def test_kinds(name: str, secret: bool, readable: bool) -> None:
    (wish,) = wishes_of({name: "1 1"})
    assert (wish.secret, wish.readable) == (secret, readable)
    assert wish.shown("abc") == ("(hidden)" if secret else "abc")
    (bare,) = wishes_of({"loadmodule": "/x.so"})
    assert (bare.secret, bare.shown("/x.so"), bare.shown("/x.so pass word")) == (False, "/x.so", "(hidden)")
    assert wish.shown("") == ""
    assert wish.shown(None) is None


def test_secrets() -> None:
    settings = {
        "requirepass": "correct horse",
        "masterauth": "abc",
        "maxmemory": "123456",
        "rename-command": ["CONFIG b840fc02d524045429941cc15f59e41cb7be6c52"],
        "user": ["default on >hunter2 ~* +@all", "backup on #c3ab8ff1 allkeys"],
    }
    found = secrets_of(wishes_of(settings))
    assert {"correct horse", "abc", "b840fc02d524045429941cc15f59e41cb7be6c52", "hunter2", "c3ab8ff1"} <= found
    assert not found & {"CONFIG", "default", "backup", "allkeys", "+@all", "123456", ""}


def test_no_secret_in_a_null() -> None:
    assert secrets_of(wishes_of({"requirepass": None, "masterauth": "", "port": 1})) == frozenset()


@pytest.mark.parametrize(
    ("apply", "to_file", "to_server"), [("both", True, True), ("file", True, False), ("live", False, True)]
)
def test_where_it_applies(apply: str, to_file: bool, to_server: bool) -> None:
    asked = Request(wishes_of({"port": 1}), apply=apply)
    assert (asked.to_file, asked.to_server) == (to_file, to_server)


@pytest.mark.parametrize(
    ("settings", "found"),
    [
        ({"requirepass": "a", "maxmemory": "5"}, {"a"}),
        ({"requirepas": "long-secret", "MasterAuth": ["other-secret"]}, {"long-secret", "other-secret"}),
        ({"user": ["alice on >secret ~*"]}, {"alice on >secret ~*", ">secret", "secret"}),
        ({"loadmodule": "/x.so auth-word"}, {"/x.so auth-word", "auth-word"}),
        ({"masterauth": {"a": [None, True]}}, set()),
        ("no dict", set()),
        (None, set()),
    ],
)
def test_secrets_in_settings_that_make_no_sense(settings: Any, found: set[str]) -> None:
    assert secrets_in(settings) == found
