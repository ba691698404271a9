# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A snapshot as a replication stream: the server forks and sends its RDB; no disk is touched on the way.

The dialogue is that of `redis-cli --rdb` with PSYNC in place of SYNC. Asked with `rdb-only`, the server buffers no
writes for us. Only a diskless transfer (`$EOF:`) leaves the server's own dump.rdb and LASTSAVE alone.
"""

from __future__ import annotations

import contextlib
import re
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from .._errors import ServerError, SnapshotError
from .._server.connection import Login, ReplyError, Server, UnreachableError, open_connection
from .._server.facts import Facts
from .proof import key_window
from .source import CHUNK_BYTES, SnapshotOrigin

_MARK_BYTES = 40
_SILENCE = 60.0


@dataclass(frozen=True)
class TransferHeader:
    """How the RDB comes: `length` bytes, or (-1) until `mark`."""

    length: int
    mark: bytes = b""


def parse_transfer_header(line: bytes) -> TransferHeader:
    """The line before the payload: `$<length>` or `$EOF:<40 characters>`. Raises ValueError. Pure."""
    match = re.fullmatch(rb"\$(?:EOF:(.{40})|(\d+))", line)
    if not match:
        raise ValueError(f"unexpected words before the RDB: {line[:80]!r}")
    return TransferHeader(-1, match.group(1)) if match.group(1) else TransferHeader(int(match.group(2)))


class StreamSource:
    """A running full synchronisation. Use as a context manager: entering asks, `chunks` reads, leaving hangs up."""

    def __init__(self, server: Server, wait_timeout: float) -> None:
        self._server = server
        self._login: Login = server.login
        self._deadline = time.monotonic() + wait_timeout
        self._wait_timeout = wait_timeout
        self._connection: Any = None
        self._rest = b""
        self.origin = SnapshotOrigin("replication", 0.0, None)

    def __enter__(self) -> StreamSource:
        before = Facts(self._server.info())
        self._connection = open_connection(self._login, reply_timeout=_SILENCE)
        try:
            replid, offset = self._ask(before)
            self._header = parse_transfer_header(self._line())
            after = Facts(self._server.info())
        except ValueError as error:
            self.__exit__()
            raise SnapshotError(f"the server at {self._login.where} sent no snapshot: {error}") from None
        except BaseException:
            self.__exit__()
            raise
        self.origin = SnapshotOrigin(
            method="replication",
            asked_at=before.number("server_time_usec") / 1e6,
            window=key_window(before, after),
            keyspace=after.keyspace,
            replid=replid,
            repl_offset=offset,
        )
        return self

    def __exit__(self, *_unused: object) -> None:
        if self._connection is not None:
            self._connection.disconnect()
            self._connection = None

    def _ask(self, before: Facts) -> tuple[str, int]:
        """REPLCONF, PSYNC; the replication id and offset of the snapshot."""
        connection = self._connection
        mapped = self._login.command_map
        replconf, psync = (mapped.get(name, name).upper() for name in ("replconf", "psync"))
        # Valkey 9 writes an older format, without hash field expiry, to a replica that does not say how new it is.
        requests: list[tuple[str, str]] = [("capa", "eof"), ("version", before.version_text), ("rdb-only", "1")]
        for words in requests:
            connection.send_command(replconf, *words)
            answer = self._line()
            # A server that does not know `version` needs none; without the others the transfer would be another one.
            if answer.startswith(b"-") and words[0] != "version":
                raise ReplyError(self._login.where, "REPLCONF", answer[1:].decode("utf-8", "replace"))
        connection.send_command(psync, "?", "-1")
        line = self._line()
        match = re.fullmatch(rb"\+FULLRESYNC ([0-9a-f]{40}) (\d+)", line)
        if not match:
            raise ReplyError(self._login.where, "PSYNC", line.lstrip(b"-").decode("utf-8", "replace"))
        return match.group(1).decode(), int(match.group(2))

    def _socket(self) -> socket.socket:
        found: socket.socket = self._connection._sock  # redis-py offers no other way to the bytes
        found.settimeout(min(_SILENCE, max(self._deadline - time.monotonic(), 0.1)))
        return found

    def _line(self) -> bytes:
        """The next line; the empty ones by which a waiting server shows that it lives are passed over."""
        while True:
            line, found, rest = self._rest.partition(b"\n")
            if found:
                self._rest = rest
                if line.strip(b"\r"):
                    return line.rstrip(b"\r")
                if time.monotonic() >= self._deadline:
                    raise self._late()
                continue
            try:
                data = self._socket().recv(16384)
            except (TimeoutError, socket.timeout):
                if time.monotonic() >= self._deadline:
                    raise self._late() from None
                raise self._lost("it was silent for too long") from None
            except OSError as error:
                raise self._lost(str(error)) from None
            if not data:
                raise self._lost("it closed the connection")
            self._rest += data

    def _late(self) -> SnapshotError:
        return SnapshotError(
            f"the server at {self._login.where} did not begin its snapshot within {self._wait_timeout:g} s",
            hint="Another save or AOF rewrite may be running: look at its log, then run again, or raise wait_timeout",
        )

    def _lost(self, why: str) -> ServerError:
        """The error for a transfer that broke, with the server's own state where it still tells."""
        reason = ""
        with contextlib.suppress(ServerError):
            facts = Facts(self._server.info())
            if not facts.flag_ok("rdb_last_bgsave_status"):
                reason = "; its last background save failed (see its log: fork refused, or a value it cannot write)"
        return UnreachableError(
            f"the snapshot from {self._login.where} broke off: {why}{reason}",
            untouched="No backup was made; the earlier ones and the server are as they were",
        )

    def chunks(self) -> Iterator[memoryview]:
        """The RDB's bytes, without the end mark. Raises UnreachableError when the stream is cut or stalls."""
        sock = self._socket()
        sock.settimeout(_SILENCE)
        if self._header.length >= 0:
            yield from self._counted(sock, self._header.length)
        else:
            yield from self._marked(sock, self._header.mark)

    def _receive(self, sock: socket.socket, view: memoryview) -> int:
        try:
            count = sock.recv_into(view)
        except (TimeoutError, socket.timeout):
            raise self._lost(f"it stalled for {_SILENCE:g} s") from None
        except OSError as error:
            raise self._lost(str(error)) from None
        if not count:
            raise self._lost("the stream ended before its end mark")
        return count

    def _counted(self, sock: socket.socket, left: int) -> Iterator[memoryview]:
        first, self._rest = memoryview(self._rest)[:left], b""
        if first:
            left -= len(first)
            yield first
        view = memoryview(bytearray(CHUNK_BYTES))
        while left:
            count = self._receive(sock, view[: min(left, len(view))])
            left -= count
            yield view[:count]

    def _marked(self, sock: socket.socket, mark: bytes) -> Iterator[memoryview]:
        """All but the last 40 bytes are handed on; when those are the mark, the server is done."""
        buffer = bytearray(CHUNK_BYTES + _MARK_BYTES)
        view = memoryview(buffer)
        held = len(self._rest)
        buffer[:held] = self._rest
        self._rest = b""
        while True:
            if held >= _MARK_BYTES:
                ready = held - _MARK_BYTES
                ended = buffer[ready:held] == mark
                if ready:
                    yield view[:ready]
                if ended:
                    return
                buffer[:_MARK_BYTES] = buffer[ready:held]
                held = _MARK_BYTES
            held += self._receive(sock, view[held:])
