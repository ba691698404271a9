# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Replies are the same however the bytes come; both sides may be full; what is no reply is told."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from ansible_collections.globalscope.redis_backup.plugins.module_utils._keys.wire import KEY, Wire, pack
from ansible_collections.globalscope.redis_backup.plugins.module_utils._server.connection import (
    Login,
    ReplyError,
    UnreachableError,
)
from hypothesis import given, settings
from hypothesis import strategies as st

Script = Callable[[socket.socket], None]

LINES = st.text("abc OK", max_size=5)
ATOMS = st.one_of(
    st.binary(max_size=20),
    st.none(),
    st.integers(-(2**63), 2**63 - 1),
    LINES,
    LINES.map(lambda words: ReplyError("x", "y", f"ERR {words}")),
)
REPLIES = st.lists(st.recursive(ATOMS, lambda inner: st.lists(inner, max_size=4), max_leaves=10), max_size=8)


def resp(reply: Any) -> bytes:
    """A reply as a server sends it; text is a simple string."""
    if reply is None:
        return b"$-1\r\n"
    if isinstance(reply, int):
        return b":%d\r\n" % reply
    if isinstance(reply, ReplyError):
        return b"-" + reply.message.encode() + b"\r\n"
    if isinstance(reply, str):
        return b"+" + reply.encode() + b"\r\n"
    if isinstance(reply, bytes):
        return b"$%d\r\n%b\r\n" % (len(reply), reply)
    return b"*%d\r\n" % len(reply) + b"".join(map(resp, reply))


def plain(reply: Any) -> Any:
    """A reply to compare: simple strings are bytes, an error is its words."""
    if isinstance(reply, ReplyError):
        return ("error", reply.message)
    if isinstance(reply, list):
        return [plain(each) for each in reply]
    return reply.encode() if isinstance(reply, str) else reply


@contextmanager
def wire_to(script: Script, timeout: float = 5.0) -> Iterator[Wire]:
    """A connection whose other end runs `script`."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            connection, _address = listening.accept()
            with connection:
                script(connection)

        thread = threading.Thread(target=serve)
        thread.start()
        wire = Wire(Login(port=listening.getsockname()[1]), reply_timeout=timeout)
        try:
            yield wire
        finally:
            wire.close()
            thread.join()


@settings(max_examples=50)
@given(REPLIES, st.integers(1, 30))
def test_any_replies_in_any_pieces(replies: list[Any], step: int) -> None:
    data = b"".join(map(resp, replies))

    def script(connection: socket.socket) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for start in range(0, len(data), step):
            connection.sendall(data[start : start + step])

    with wire_to(script) as wire:
        assert plain(wire.receive(len(replies))) == plain(replies)


def test_lines_and_replies_by_turns() -> None:
    with wire_to(lambda connection: connection.sendall(b":1\r\n+OK\r\n$-1\r\n-ERR no\r\n$2\r\n\r\n\r\n:5\r\n")) as wire:
        assert wire.receive_lines(4) == [b":1", b"+OK", b"$-1", b"-ERR no"]
        assert wire.receive(1) == [b"\r\n"]
        assert wire.receive_lines(1) == [b":5"]


@pytest.mark.parametrize("step", [1, 4, 7, 1000])
def test_replies_that_are_alike_and_those_that_are_not(step: int) -> None:
    data = b"+OK\r\n" * 100 + b"+OK\r\n" * 50 + b"-BUSYKEY no\r\n" + b"+OK\r\n" * 49 + b"+OKAY\r\n" + b"+OK\r\n"

    def script(connection: socket.socket) -> None:
        for start in range(0, len(data), step):
            connection.sendall(data[start : start + step])

    with wire_to(script) as wire:
        assert wire.receive_alike(b"+OK", 100)
        assert not wire.receive_alike(b"+OK", 100)
        assert wire.receive_lines(100) == [*[b"+OK"] * 50, b"-BUSYKEY no", *[b"+OK"] * 49]
        assert not wire.receive_alike(b"+OK", 1)
        assert wire.receive_lines(1) == [b"+OKAY"]
        assert wire.receive_alike(b"+OK", 1)


@pytest.mark.parametrize("size", [1, 300_000, 1_048_576, 5_000_000])
def test_long_replies(size: int) -> None:
    value = bytes(range(256)) * (size // 256 + 1)
    data = resp(value) + resp([b"a", value, b"b"]) + b":7\r\n"
    with wire_to(lambda connection: connection.sendall(data)) as wire:
        assert wire.receive(1) == [value]
        assert wire.receive(1) == [[b"a", value, b"b"]]
        assert wire.receive(1) == [7]


def test_both_sides_full() -> None:
    """A server that answers before it reads on, as much as it is asked, must not be waited for."""
    size = 8 * 1024 * 1024

    def echo(connection: socket.socket) -> None:
        read = answered = 0
        while read < size:
            read += len(connection.recv(65536))
            connection.sendall(b":1\r\n" * (read // 4 - answered))
            answered = read // 4

    with wire_to(echo) as wire:
        wire.send(b"abcd" * (size // 4))
        assert wire.receive_lines(size // 4) == [b":1"] * (size // 4)


def test_silence_and_an_end_are_told() -> None:
    done = threading.Event()

    def silent(connection: socket.socket) -> None:
        connection.sendall(b"$10\r\nabc")
        done.wait(10)

    with wire_to(silent, timeout=0.1) as wire:
        with pytest.raises(UnreachableError, match="did not answer PING: nothing for"):
            wire.exchange(pack("PING"), 1, "PING")
        done.set()
    with (
        wire_to(lambda connection: connection.sendall(b"$10\r\nabc")) as wire,
        pytest.raises(UnreachableError, match="closed the connection"),
    ):
        wire.receive(1)


def test_something_else_is_told() -> None:
    with (
        wire_to(lambda connection: connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")) as wire,
        pytest.raises(UnreachableError, match="does not speak RESP2"),
    ):
        wire.receive(1)


@given(st.lists(st.one_of(st.binary(max_size=10), st.integers(), st.text(max_size=5)), min_size=1, max_size=5))
def test_packing(words: list[Any]) -> None:
    parts = [word if isinstance(word, bytes) else str(word).encode() for word in words]
    assert pack(*words) == resp(parts)


def test_templates_and_other_names() -> None:
    with wire_to(lambda _connection: None) as wire:
        object.__setattr__(wire.login, "command_map", {"get": "100%get"})
        template = wire.template("GET", KEY, "50%")
        assert template % (3, b"%d\r") == pack("100%get", b"%d\r", "50%")
        assert wire.packed("Get", b"k") == pack("100%get", b"k")
