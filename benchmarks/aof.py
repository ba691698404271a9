# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The check of an AOF, beside the load of the same files by the server that wrote them.

    ./dev run python benchmarks/aof.py [MEGABYTES [ROUNDS [BUILD]]]

Several AOFs of so many megabytes, each of another kind of commands. Both happen in turn, so that what slows the machine
slows both; the ratio of each pair counts. The load is the server's own measure of it. The goal is a median below 1.
"""

from __future__ import annotations

import random
import re
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from ansible_collections.globalscope.redis_backup.plugins.module_utils._aof.check import check_set
from ansible_collections.globalscope.redis_backup.plugins.module_utils._aof.parts import open_set
from ansible_collections.globalscope.redis_backup.plugins.module_utils._aof.resp import encode

from support.servers import Build, RedisProcess, build_named

_WINDOW = 1000  # commands that are sent before the answers are waited for
_SPREAD = 1_000_000
_LOADED = re.compile(r"DB loaded from (?:append only|base|incr) file[^:]*: ([0-9.]+) seconds")


def key() -> bytes:
    return b"key:%d" % random.randrange(_SPREAD)


def small() -> list[bytes]:
    """Strings of 100 bytes."""
    return [b"SET", key(), random.randbytes(100)]


def tiny() -> list[bytes]:
    """Counters: hardly any bytes for each command."""
    return [b"INCR", b"counter:%d" % random.randrange(_SPREAD)]


def mixed() -> list[bytes]:
    """Strings, hashes, lists, sorted sets, sets and deletions."""
    kind = random.randrange(8)
    name = b"%d:%b" % (kind, key())
    value = random.randbytes(random.randrange(1, 300))
    return [
        [b"SET", name, value],
        [b"SET", name, value, b"PX", b"86400000"],
        [b"HSET", name, b"field1", value, b"field2", random.randbytes(20)],
        [b"RPUSH", name, value],
        [b"ZADD", name, b"%d" % random.randrange(_SPREAD), value[:20]],
        [b"SADD", name, *(random.randbytes(8) for _each in range(12))],
        [b"INCRBY", name, b"5"],
        [b"DEL", name],
    ][kind]


def pages() -> list[bytes]:
    """Strings of 1 to 4 KB."""
    return [b"SET", b"page:%d" % random.randrange(20_000), random.randbytes(random.randrange(1000, 4000))]


def fields() -> list[bytes]:
    """Hashes of five fields of 300 to 900 bytes."""
    values = (random.randbytes(random.randrange(300, 900)) for _each in range(5))
    pairs = (word for number, value in enumerate(values) for word in (b"%d" % number, value))
    return [b"HSET", b"record:%d" % random.randrange(20_000), *pairs]


def lots() -> list[bytes]:
    """Transactions of two commands."""
    return [b"EVAL", b"redis.call('SET', KEYS[1], ARGV[1]) redis.call('INCR', 'n')", b"1", key(), random.randbytes(30)]


KINDS: tuple[Callable[[], list[bytes]], ...] = (small, tiny, mixed, pages, fields, lots)


def fill(server: RedisProcess, make: Callable[[], list[bytes]], size: int) -> None:
    """Send commands until the AOF has that size."""
    with socket.create_connection(("127.0.0.1", server.port)) as connection, server.client() as client:
        while client.info("persistence")["aof_current_size"] < size:
            for _window in range(10):
                window = b"".join(encode(make()) for _each in range(_WINDOW)) + encode([b"ECHO", b"that was it"])
                connection.sendall(window)
                answer = b""
                while not answer.endswith(b"\r\nthat was it\r\n"):
                    answer = answer[-64:] + connection.recv(1 << 20)


def load(server: RedisProcess) -> float:
    """Seconds in which the server loads its AOF, by its own measure."""
    before = server.log_path.stat().st_size
    server.start(timeout=600)
    server.kill()
    with server.log_path.open(encoding="utf-8", errors="replace") as log:
        log.seek(before)
        return sum(float(seconds) for seconds in _LOADED.findall(log.read()))


def measure(build: Build, make: Callable[[], list[bytes]], size: int, rounds: int) -> None:
    """Print the ratios for one kind of commands."""
    with tempfile.TemporaryDirectory() as name:
        conf = {"appendonly": "yes", "auto-aof-rewrite-percentage": "0", "appendfsync": "no"}
        if build.version >= (7,):
            conf["aof-timestamp-enabled"] = "yes"
        server = RedisProcess(build, Path(name, "server"), conf=conf)
        path = server.data_dir / ("appendonlydir" if build.version >= (7,) else "appendonly.aof")
        server.start()
        fill(server, make, size)
        server.stop()
        pairs = []
        for _round in range(rounds):
            loaded = load(server)
            begun = time.monotonic()
            report = check_set(open_set(str(path)), str(build.executable))
            pairs.append((loaded, time.monotonic() - begun))
            if not report.valid:
                raise SystemExit(f"{make.__name__}: {report.why()}")
    ratios = [checked / loaded for loaded, checked in pairs]
    loaded, checked = (statistics.median(column) for column in zip(*pairs, strict=True))
    print(f"{make.__name__}: {make.__doc__} {report.commands / 1e6:.2f} M commands")
    print(f"  load {loaded:.2f} s, check {checked:.2f} s", end="; ")
    print(f"ratio median {statistics.median(ratios):.2f} (min {min(ratios):.2f}, max {max(ratios):.2f})", flush=True)


def main(megabytes: int, rounds: int, build: Build) -> None:
    """Print the ratios."""
    print(f"{build.name}, AOFs of {megabytes} MB, {rounds} rounds")
    for make in KINDS:
        measure(build, make, megabytes * 1_000_000, rounds)


if __name__ == "__main__":
    words = sys.argv[1:]
    main(
        int(words[0]) if words else 200,
        int(words[1]) if len(words) > 1 else 5,
        build_named(words[2] if len(words) > 2 else "redis-7.0"),
    )
