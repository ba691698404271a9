# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Values set in a running server, and taken back when a later step fails."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from .._errors import ConfigError, RedisBackupError
from .._server.connection import Login, ReplyError, Server, UnreachableError
from .plan import Change

_ATOMIC_SINCE = (7, 0)
_TRIES = 2


class LiveChanges:
    """The changes made so far in one server. Values go over one connection, which survives what would lock us out."""

    def __init__(self, server: Server, title: str, version: Sequence[int]) -> None:
        self._server = server
        self._title = title
        self._atomic = tuple(version) >= _ATOMIC_SINCE
        self._done: list[Change] = []
        self._login = server.login

    def set(self, changes: Sequence[Change]) -> None:
        """Set values: all or none of them. Raises ConfigError with the server's words."""
        if not changes:
            return
        if self._atomic:
            words = [word for change in changes for word in (change.name, _bytes(change.new))]
            self._call(words, changes)
            return
        for change in changes:
            self._call([change.name, _bytes(change.new)], [change])

    def set_proven(self, change: Change) -> None:
        """Set a value that could lock us out, and prove by a new connection that it does not."""
        self.set([change])
        login = _login_after(self._server.login, change)
        try:
            with Server(login) as fresh:
                fresh.call("INFO", "server")
        except RedisBackupError as error:
            raise ConfigError(
                f"{self._title}: with the new {change.name} no new connection gets in: {error.what}",
                hint="Correct the value; or give the address and user with which it will be reached",
            ) from None
        self._server.login = login

    def undo(self) -> list[str]:
        """Set the old values again, last first; the names of those that could not be."""
        failed = []
        self._server.login = self._login
        silent = 0
        for change in reversed(self._done):
            try:
                if silent < _TRIES:
                    self._server.call("CONFIG", "SET", change.name, _bytes(change.old))
                    silent = 0
                    continue
            except UnreachableError:  # a connection may break once; a server that hangs costs half a minute each time
                silent += 1
            except RedisBackupError:
                pass
            failed.append(change.name)
        self._done.clear()
        return failed

    def _call(self, words: Sequence[str | bytes], changes: Sequence[Change]) -> None:
        try:
            self._server.call("CONFIG", "SET", *words)
        except ReplyError as error:
            secrets = [change.new for change in changes if change.secret and change.new]
            text = error.message
            for secret in secrets:
                text = text.replace(secret, "(hidden)")
            names = ", ".join(change.name for change in changes)
            what = f"{self._title} refuses to change {names} while it runs: {text}"
            raise ConfigError(what, hint=error.hint) from None
        except UnreachableError:
            self._done += changes  # the server may have set them before the connection broke
            raise
        self._done += changes


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _login_after(login: Login, change: Change) -> Login:
    """How a new connection gets in after the change."""
    if change.name == "requirepass" and login.user in (None, "default"):
        return dataclasses.replace(login, password=change.new or None)
    if change.name == "port" and not login.unix_socket:
        return dataclasses.replace(login, port=int(change.new))
    return login
