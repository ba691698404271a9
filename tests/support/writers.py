# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Clients that write in every way there is, and note which writes were acknowledged."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import redis

from support.servers import RedisProcess

QUEUE = "queue"
_SCRIPT = "return redis.call('SET', KEYS[1], ARGV[1])"
_LIBRARY = "#!lua name=writers\nredis.register_function('w', function(k, a) return redis.call('SET', k[1], a[1]) end)"
_PAUSE = 0.002

Write = Callable[[redis.Redis, str], object]


def _transaction(client: redis.Redis, key: str) -> object:
    with client.pipeline(transaction=True) as pipe:
        return pipe.set(key, 1).execute()


def _script_in_transaction(client: redis.Redis, key: str) -> object:
    with client.pipeline(transaction=True) as pipe:
        return pipe.eval(_SCRIPT, 1, key, "1").execute()


def _pipeline(client: redis.Redis, key: str) -> object:
    """Two writes in one packet; the second alone is noted."""
    with client.pipeline(transaction=False) as pipe:
        return pipe.setnx("twin", 1).set(key, 1).execute()


WAYS: dict[str, Write] = {
    "set": lambda client, key: client.set(key, 1),
    "eval": lambda client, key: client.eval(_SCRIPT, 1, key, "1"),
    "multi": _transaction,
    "multi_eval": _script_in_transaction,
    "pipeline": _pipeline,
    "push": lambda client, key: client.lpush(QUEUE, key),
}


@dataclass
class Writer:
    """One way of writing. `acked` are the keys, `sent` when (monotonic) the last acknowledged one was sent."""

    name: str
    acked: list[str] = field(default_factory=list)
    sent: float = 0.0
    refused: int = 0
    words: set[str] = field(default_factory=set)


class Writers:
    """All ways at once, a reader, and one that waits for the queue (BLPOP)."""

    def __init__(self, server: RedisProcess) -> None:
        self.server = server
        self.writers = [Writer(name) for name in WAYS]
        self.popped: list[str] = []
        self.reads = 0
        self._stop = threading.Event()
        if server.build.version >= (7, 0):
            server.client().execute_command("FUNCTION", "LOAD", _LIBRARY)
            self.writers.append(Writer("function"))
        server.client().set("read", "me")

    @contextlib.contextmanager
    def working(self) -> Iterator[Writers]:
        jobs = [*((self._write, writer) for writer in self.writers), (self._read, None), (self._pop, None)]
        threads = [threading.Thread(target=job, args=(on,), daemon=True) for job, on in jobs]
        for thread in threads:
            thread.start()
        try:
            yield self
        finally:
            self._stop.set()
            for thread in threads:
                thread.join()

    def counts(self) -> dict[str, int]:
        """Acknowledged writes, by way."""
        return {writer.name: len(writer.acked) for writer in self.writers}

    def refusals(self) -> dict[str, int]:
        return {writer.name: writer.refused for writer in self.writers}

    @property
    def keys(self) -> set[str]:
        """The keys whose write was acknowledged."""
        return {key for writer in self.writers if writer.name != "push" for key in writer.acked}

    @property
    def queued(self) -> set[str]:
        """What was pushed, and has not been popped."""
        pushed = next(writer for writer in self.writers if writer.name == "push")
        return set(pushed.acked) - set(self.popped)

    def _write(self, writer: Writer) -> None:
        number = 0
        with self.server.client(socket_timeout=60) as client:
            way = WAYS.get(writer.name, lambda client, key: client.fcall("w", 1, key, "1"))
            while not self._stop.wait(_PAUSE):
                number += 1
                key, begun = f"{writer.name}:{number}", time.monotonic()
                try:
                    way(client, key)
                except redis.ResponseError as error:
                    writer.refused += 1
                    writer.words.add(str(error))
                else:
                    writer.acked.append(key)
                    writer.sent = begun

    def _read(self, _none: None) -> None:
        with self.server.client() as client:
            while not self._stop.wait(_PAUSE):
                assert client.get("read") == b"me"
                self.reads += 1

    def _pop(self, _none: None) -> None:
        """Takes half of what is pushed: it waits most of the time, as the queue is filled slowly."""
        with self.server.client(socket_timeout=60) as client:
            while not self._stop.is_set():
                with contextlib.suppress(redis.ResponseError):
                    found = client.blpop([QUEUE], timeout=0.2)
                    if found:
                        self.popped.append(found[1].decode())
