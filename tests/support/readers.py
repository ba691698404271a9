# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Clients that read and write all the time while something is done to their server, and note what they are told."""

from __future__ import annotations

import contextlib
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import redis

from support.servers import RedisProcess


@dataclass
class Seen:
    """What one reader and one writer were told, with how often: values (None: no such key), and codes of errors."""

    values: Counter[bytes | None] = field(default_factory=Counter)
    refused_reads: Counter[str] = field(default_factory=Counter)
    refused_writes: Counter[str] = field(default_factory=Counter)
    writes: int = 0


def _code(error: redis.RedisError) -> str:
    """The code of an error reply, of which redis-py may have cut it; else what kind of break it was."""
    named = {
        redis.BusyLoadingError: "LOADING",
        redis.ReadOnlyError: "READONLY",
        redis.TimeoutError: "timeout",
        redis.ConnectionError: "connection",
    }
    known = next((code for kind, code in named.items() if isinstance(error, kind)), "")
    return known or str(error).partition(" ")[0]


@contextlib.contextmanager
def busy_clients(server: RedisProcess, key: str, written: str = "busy") -> Iterator[Seen]:
    """Read `key`, and write the key `written`, again and again in threads of their own until the block ends."""
    seen, ended = Seen(), threading.Event()

    def read() -> None:
        with server.client() as client:
            while not ended.is_set():
                try:
                    seen.values[client.get(key)] += 1
                except redis.RedisError as error:
                    seen.refused_reads[_code(error)] += 1
                ended.wait(0.002)

    def write() -> None:
        with server.client() as client:
            while not ended.is_set():
                try:
                    client.set(written, seen.writes)
                    seen.writes += 1
                except redis.RedisError as error:
                    seen.refused_writes[_code(error)] += 1
                ended.wait(0.01)

    threads = [threading.Thread(target=work, daemon=True) for work in (read, write)]
    for thread in threads:
        thread.start()
    try:
        yield seen
    finally:
        ended.set()
        for thread in threads:
            thread.join()
