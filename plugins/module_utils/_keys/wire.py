# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One connection for very many small commands: packed by hand, sent in large batches, replies read in one pass.

A general client spends most of its time on each command; here a batch is one string, and its replies are cut out of
the bytes as they came. RESP2, whole replies only. What was sent and what arrives may overlap: a batch can be sent
before the replies to the one before it are read.
"""

from __future__ import annotations

import io
import select
import socket
import ssl
from collections.abc import Sequence
from typing import Any, Union

from .._server.connection import Login, ReplyError, UnreachableError, open_connection

Word = Union[bytes, str, int]
KEY = b"%d\r\n%b"
"""Stands in a template for a key: its length and itself are filled in."""

_READ_BYTES = 256 * 1024
_SEND_BYTES = 256 * 1024
_LONG = 1024 * 1024  # from here on a reply of one piece is gathered without copies
_SIMPLE, _ERROR, _INTEGER, _BULK, _ARRAY = b"+-:$*"
_BLOCKED = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


def pack(*words: Word) -> bytes:
    """One command as the server reads it. Pure."""
    parts = [b"*%d\r\n" % len(words)]
    for word in words:
        data = word if isinstance(word, bytes) else str(word).encode()
        parts.append(b"$%d\r\n%b\r\n" % (len(data), data))
    return b"".join(parts)


class Wire:
    """Batches of commands to one server over one connection. Raises UnreachableError and LoginError."""

    def __init__(self, login: Login, reply_timeout: float = 30.0) -> None:
        self.login = login
        self._patience = reply_timeout
        self._connection = open_connection(login, reply_timeout)
        self._socket: socket.socket = self._connection._sock  # redis-py offers no other way to the bytes
        self._socket.setblocking(False)
        self._poll = select.poll()
        self._poll.register(self._socket, 0)
        self._data = b""  # what has arrived, and is looked at
        self._at = 0
        self._arrived: list[bytes] = []  # what came while we sent
        self._what = "a batch of commands"
        self.refusals = 0  # error replies so far: who sees the same number needs not look for them

    def __enter__(self) -> Wire:
        return self

    def __exit__(self, *_unused: object) -> None:
        self.close()

    def close(self) -> None:
        """End the connection."""
        self._connection.disconnect()

    # --- commands ---

    def renamed(self, command: str) -> bytes:
        """The name by which this server knows a command."""
        return self.login.command_map.get(command.lower(), command).encode()

    def packed(self, command: str, *words: Word) -> bytes:
        """As `pack`, under the name by which this server knows the command."""
        return pack(self.renamed(command), *words)

    def template(self, command: str, *words: Word) -> bytes:
        """A command with holes: each KEY among the words is filled by `%` with the length of a key and the key."""
        parts = [b"*%d\r\n" % (len(words) + 1)]
        for word in (self.renamed(command), *words):
            if word is KEY:
                parts.append(b"$" + KEY + b"\r\n")
            else:
                data = word if isinstance(word, bytes) else str(word).encode()
                parts.append(b"$%d\r\n%b\r\n" % (len(data), data.replace(b"%", b"%%")))
        return b"".join(parts)

    def exchange(self, packed: bytes, count: int, what: str = "") -> list[Any]:
        """Send a batch and return its `count` replies: bytes, int, None, lists of them, a ReplyError where refused."""
        self.send(packed, what)
        return self.receive(count)

    def call(self, command: str, *words: Word) -> Any:
        """The reply to one command. Raises ReplyError."""
        (reply,) = self.exchange(self.packed(command, *words), 1, command)
        if isinstance(reply, ReplyError):
            raise reply
        return reply

    # --- bytes out ---

    def send(self, packed: bytes, what: str = "") -> None:
        """Send a batch; `what` names it in errors. What arrives meanwhile is kept, so that neither side gets stuck."""
        self._what = what or "a batch of commands"
        view = memoryview(packed)
        try:
            while view:
                try:
                    view = view[self._socket.send(view[:_SEND_BYTES]) :]
                except _BLOCKED:
                    self._wait(select.POLLIN | select.POLLOUT)
                    self._take()
        except OSError as error:
            raise self._lost(error) from None

    # --- bytes in ---

    def receive(self, count: int) -> list[Any]:
        """The next `count` replies."""
        try:
            return self._replies(count)
        except OSError as error:
            raise self._lost(error) from None

    def receive_lines(self, count: int) -> list[bytes]:
        """The next `count` replies as the lines they are, marks and all: cheaper, where no reply can be of many lines.

        Integers, simple strings, errors and nil are such.
        """
        try:
            while True:
                found = self._data[self._at :].split(b"\r\n", count)
                if len(found) > count:
                    break
                self._more()
        except OSError as error:
            raise self._lost(error) from None
        self._at = len(self._data) - len(found.pop())
        return found

    def receive_alike(self, line: bytes, count: int) -> bool:
        """Whether the next `count` replies are all this line: then they are taken, else all of them are still to come.

        In one comparison: this is how thousands of commands are mostly answered.
        """
        wanted = (line + b"\r\n") * count
        try:
            while True:
                end = self._at + len(wanted)
                if len(self._data) >= end:
                    break
                if not wanted.startswith(self._data[self._at :]):
                    return False
                self._more()
        except OSError as error:
            raise self._lost(error) from None
        if not self._data.startswith(wanted, self._at):
            return False
        self._at = end
        return True

    def refused(self, line: bytes) -> ReplyError:
        """The error of a line that begins with a minus."""
        return ReplyError(self.login.where, self._what, line[1:].decode("utf-8", "replace"))

    def _replies(self, count: int) -> list[Any]:
        found: list[Any] = []
        add = found.append
        data, at = self._data, self._at
        held = len(data)
        while count:
            end = data.find(b"\r\n", at)
            if end < 0:
                self._at = at
                self._more()
                data, at = self._data, self._at
                held = len(data)
                continue
            mark = data[at]
            if mark == _BULK:
                size = int(data[at + 1 : end])
                at = end + 2
                if at + size + 2 <= held and size >= 0:
                    add(data[at : at + size])
                    at += size + 2
                elif size < 0:
                    add(None)
                else:
                    self._at = at
                    add(self._long(size))
                    data, at = self._data, self._at
                    held = len(data)
            elif mark == _INTEGER:
                add(int(data[at + 1 : end]))
                at = end + 2
            elif mark == _ARRAY:
                size = int(data[at + 1 : end])
                self._at = end + 2
                add(self._replies(size) if size >= 0 else None)
                data, at = self._data, self._at
                held = len(data)
            elif mark == _SIMPLE:
                add(data[at + 1 : end])
                at = end + 2
            elif mark == _ERROR:
                self.refusals += 1
                add(self.refused(data[at:end]))
                at = end + 2
            else:
                raise UnreachableError(
                    f"what answers at {self.login.where} does not speak RESP2: {data[at:end][:40]!r}",
                    hint="Correct login_host, login_port or tls",
                )
            count -= 1
        self._at = at
        return found

    def _long(self, size: int) -> bytes:
        """A reply of one piece that is not there as a whole."""
        if size < _LONG:
            while len(self._data) - self._at < size + 2:
                self._more()
            found = self._data[self._at : self._at + size]
            self._at += size + 2
            return found
        gathered = io.BytesIO()  # its getvalue() does not copy
        pieces = [self._data[self._at :], *self._arrived]
        self._data, self._at, self._arrived = b"", 0, []
        left = size + 2
        while True:
            for number, piece in enumerate(pieces):
                if len(piece) >= left:
                    gathered.write(piece[:left])
                    self._arrived = [piece[left:], *pieces[number + 1 :], *self._arrived]
                    gathered.truncate(size)
                    return gathered.getvalue()
                gathered.write(piece)
                left -= len(piece)
            self._await_bytes()
            pieces, self._arrived = self._arrived, []

    def _more(self) -> None:
        """Wait for more bytes behind those that are looked at."""
        if not self._arrived:
            self._await_bytes()
        self._data = b"".join([self._data[self._at :], *self._arrived])
        self._at, self._arrived = 0, []

    def _await_bytes(self) -> None:
        while not self._take():
            self._wait(select.POLLIN)

    def _take(self) -> bool:
        """Read what has come, without waiting."""
        try:
            data = self._socket.recv(_READ_BYTES)
        except _BLOCKED:
            return False
        if not data:
            raise ConnectionResetError("the server closed the connection")
        self._arrived.append(data)
        return True

    def _wait(self, events: int) -> None:
        self._poll.modify(self._socket, events)
        if not self._poll.poll(self._patience * 1000):
            raise TimeoutError(f"nothing for {self._patience:g} s")

    def _lost(self, error: OSError) -> UnreachableError:
        self.close()
        return UnreachableError(
            f"the server at {self.login.where} did not answer {self._what}: {error}",
            hint="Look at its log; it may have stopped, or be blocked by a long command",
        )


def require_good(replies: Sequence[Any]) -> Sequence[Any]:
    """The replies themselves. Raises the first ReplyError among them."""
    for reply in replies:
        if isinstance(reply, ReplyError):
            raise reply
    return replies
