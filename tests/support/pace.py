# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A writer that counts at a steady rate and notes when: what a server held at the end of each second is known."""

from __future__ import annotations

import re
import socket
import threading
import time
from bisect import bisect_left
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from support.servers import RedisProcess

KEYS = 5000
_CHUNK = 20  # writes between two questions for the server's time
_MOST = 2000  # writes that are sent at once when the writer is late
_STEP = 0.01
_TAIL = b"x" * 40
_SET = b"*3\r\n$3\r\nSET\r\n$8\r\nkey:%04d\r\n$52\r\n%012d" + _TAIL + b"\r\n"
_TIME = b"*1\r\n$4\r\nTIME\r\n"
_OVER = b"$4\r\nover\r\n"
_ANSWER = re.compile(rb"\*2\r\n\$10\r\n(\d{10})\r\n\$\d\r\n(\d{1,6})\r\n")
_NUMBER = re.compile(rb"\$52\r\n(\d{12})" + _TAIL + rb"\r\n")


def last_number(data: bytes) -> int | None:
    """The number of the last whole write in bytes of an AOF."""
    found = _NUMBER.findall(data[-8192:]) or _NUMBER.findall(data)
    return int(found[-1]) if found else None


def values_after(count: int) -> dict[bytes, bytes]:
    """What a server holds after so many writes."""
    return {b"key:%04d" % (n % KEYS): b"%012d" % n + _TAIL for n in range(max(count - KEYS, 0) + 1, count + 1)}


@dataclass
class Pace:
    """The writer, and what it noted: writes up to `numbers[i]` were executed between `before[i]` and `after[i]`.

    These are times of the server's clock.
    """

    server: RedisProcess
    rate: int
    numbers: list[int] = field(default_factory=list)
    before: list[float] = field(default_factory=list)
    after: list[float] = field(default_factory=list)
    error: str = ""

    @property
    def count(self) -> int:
        """Writes that were answered."""
        return self.numbers[-1] if self.numbers else 0

    def run(self, stop: threading.Event) -> None:
        """Write until told to stop."""
        begun, sent = time.monotonic(), 0
        with socket.create_connection(("127.0.0.1", self.server.port)) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while not stop.is_set():
                wanted = int((time.monotonic() - begun) * self.rate) - sent
                chunks = min(wanted, _MOST) // _CHUNK
                if not chunks:
                    stop.wait(_STEP)
                    continue
                self._send(connection, sent, chunks)
                sent += chunks * _CHUNK

    def _send(self, connection: socket.socket, sent: int, chunks: int) -> None:
        parts, numbers = [_TIME], []
        for _chunk in range(chunks):
            parts += [_SET % (n % KEYS, n) for n in range(sent + 1, sent + _CHUNK + 1)]
            parts.append(_TIME)
            sent += _CHUNK
            numbers.append(sent)
        connection.sendall(b"".join(parts) + b"*2\r\n$4\r\nECHO\r\n" + _OVER)
        answer = b""
        while not answer.endswith(_OVER):
            data = connection.recv(1 << 16)
            if not data:
                raise ConnectionError("the server closed the connection of the writer")
            answer += data
        if answer.count(b"+OK\r\n") != chunks * _CHUNK:
            self.error = answer[:200].decode(errors="replace")
            raise AssertionError(f"a write was refused: {self.error}")
        times = [int(seconds) + int(micro) / 1e6 for seconds, micro in _ANSWER.findall(answer)]
        assert len(times) == chunks + 1
        self.before += times[:-1]
        self.after += times[1:]
        self.numbers += numbers

    def at_end_of(self, second: int) -> tuple[int, int]:
        """Least and most writes that the server had executed at the end of a second."""
        end = second + 1.0
        least = bisect_left(self.after, end)
        most = bisect_left(self.before, end)
        return (self.numbers[least - 1] if least else 0), (self.numbers[most - 1] if most else 0)

    def time_of(self, number: int) -> float:
        """The earliest time at which a write can have been executed."""
        return self.before[bisect_left(self.numbers, number)]

    @property
    def seconds(self) -> range:
        """The whole seconds in which it wrote."""
        return range(int(self.before[0]), int(self.after[-1]))


@contextmanager
def writing(server: RedisProcess, rate: int) -> Iterator[Pace]:
    """A writer at work until the end of the block."""
    pace, stop = Pace(server, rate), threading.Event()
    thread = threading.Thread(target=pace.run, args=(stop,))
    thread.start()
    try:
        yield pace
    finally:
        stop.set()
        thread.join()
    assert not pace.error, pace.error
