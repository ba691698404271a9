# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Values set in a running server, and taken back. Real servers are asked in the integration tests."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.globalscope.redis_backup.plugins.module_utils._enforce.live import LiveChanges, _login_after
from ansible_collections.globalscope.redis_backup.plugins.module_utils._enforce.plan import Change
from ansible_collections.globalscope.redis_backup.plugins.module_utils._errors import ConfigError
from ansible_collections.globalscope.redis_backup.plugins.module_utils._server.connection import (
    Login,
    ReplyError,
    UnreachableError,
)


class Settings:
    """What CONFIG SET does to a server's settings: one pair at a time, or all or none of several."""

    def __init__(self, refuses: tuple[str, ...] = (), breaks_at: str = "") -> None:
        self.login = Login()
        self.values = {"a": "1", "b": "2", "c": "3"}
        self.calls: list[list[str]] = []
        self.refuses = refuses
        self.breaks_at = breaks_at

    def call(self, *command: Any) -> bytes:
        words = [word.decode() if isinstance(word, bytes) else word for word in command[2:]]
        pairs = dict(zip(words[::2], words[1::2]))
        self.calls.append(list(pairs))
        refused = next((name for name in pairs if name in self.refuses), "")
        if refused:
            raise ReplyError("here", "CONFIG SET", f"ERR no {refused} as {pairs[refused]}")
        self.values.update(pairs)
        if self.breaks_at in pairs:
            self.breaks_at = "-"
            raise UnreachableError("gone")
        return b"OK"


ALL = [Change("a", "10", "1"), Change("b", "20", "2"), Change("c", "30", "3")]
BEFORE = {"a": "1", "b": "2", "c": "3"}
V6, V7 = (6, 2, 14), (7, 0, 0)


def changes_of(server: Settings, version: tuple[int, ...]) -> LiveChanges:
    return LiveChanges(server, "db", version)  # type: ignore[arg-type]


@pytest.mark.parametrize(("version", "calls"), [(V6, [["a"], ["b"], ["c"]]), (V7, [["a", "b", "c"]])])
def test_set_and_taken_back_last_first(version: tuple[int, ...], calls: list[list[str]]) -> None:
    server = Settings()
    changes = changes_of(server, version)
    changes.set([])
    changes.set(ALL)
    assert server.values == {"a": "10", "b": "20", "c": "30"}
    assert server.calls == calls
    assert changes.undo() == []
    assert server.values == BEFORE
    assert server.calls[len(calls) :] == [["c"], ["b"], ["a"]]
    assert changes.undo() == []
    assert server.calls[len(calls) + 3 :] == []


@pytest.mark.parametrize(("version", "undone"), [(V6, [["a"]]), (V7, [])])
def test_a_refusal(version: tuple[int, ...], undone: list[list[str]]) -> None:
    server = Settings(refuses=("b",))
    changes = changes_of(server, version)
    with pytest.raises(ConfigError, match=r"^db refuses to change .*b.* while it runs: ERR no b as 20"):
        changes.set(ALL)
    called = len(server.calls)
    assert changes.undo() == []
    assert server.values == BEFORE
    assert server.calls[called:] == undone


def test_what_cannot_be_taken_back_is_named() -> None:
    server = Settings()
    changes = changes_of(server, V7)
    changes.set(ALL)
    server.refuses = ("b",)
    assert changes.undo() == ["b"]
    assert server.values == {"a": "1", "b": "20", "c": "3"}


@pytest.mark.parametrize("version", [V6, V7])
def test_a_connection_that_breaks_may_have_set_it(version: tuple[int, ...]) -> None:
    server = Settings(breaks_at="b")
    changes = changes_of(server, version)
    with pytest.raises(UnreachableError):
        changes.set(ALL)
    changes.undo()
    assert server.values == BEFORE


def test_secrets_are_hidden_in_refusals() -> None:
    server = Settings(refuses=("requirepass",))
    with pytest.raises(ConfigError) as error:
        changes_of(server, V6).set([Change("requirepass", "hunter2", "", secret=True)])
    assert "hunter2" not in str(error.value) and "(hidden)" in str(error.value)


@pytest.mark.parametrize(
    ("login", "change", "after"),
    [
        (Login(), Change("requirepass", "x", ""), Login(password="x")),
        (Login(user="default", password="x"), Change("requirepass", "", "x"), Login(user="default")),
        (Login(user="admin", password="y"), Change("requirepass", "x", ""), Login(user="admin", password="y")),
        (Login(), Change("port", "6380", "6379"), Login(port=6380)),
        (Login(unix_socket="/s"), Change("port", "6380", "6379"), Login(unix_socket="/s")),
        (Login(host="::1"), Change("bind", "127.0.0.1", "::1"), Login(host="::1")),
    ],
)
def test_how_a_new_connection_gets_in(login: Login, change: Change, after: Login) -> None:
    assert _login_after(login, change) == after
