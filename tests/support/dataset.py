# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Data like MultiFrame's, plus one of everything Redis can hold, and a reading of it that shares no code with us."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable
from typing import Any

import redis

FUNCTION = """#!lua name=multiframe
redis.register_function('mf_total', function(keys, args)
  local total = 0
  for _, name in ipairs(keys) do total = total + redis.call('HLEN', name) end
  return total
end)
"""
HOUR_MS = 3600 * 1000
# Every byte, then what would break a reader that thinks in lines or C strings.
AWKWARD = bytes(range(256)) + b"\r\n$3\r\nfoo\r\n\x00*1\r\n"


def raw(client: redis.Redis, db: int = 0) -> redis.Redis:
    """A client of its own for the same server and another database, whose answers nothing converts."""
    options = dict(client.connection_pool.connection_kwargs)
    options["db"] = db
    found = redis.Redis(connection_pool=redis.ConnectionPool(client.connection_pool.connection_class, **options))
    found.response_callbacks.clear()
    return found


def server_version(client: redis.Redis) -> tuple[int, ...]:
    """The version of Redis that the server is compatible with: Valkey 8 and 9 say 7.2.4."""
    text = raw(client).execute_command("INFO", "server").decode()
    line = next(line for line in text.splitlines() if line.startswith("redis_version:"))
    return tuple(int(part) for part in line.partition(":")[2].split("."))


def send(client: redis.Redis, commands: Iterable[tuple[Any, ...]], chunk: int = 5000) -> list[Any]:
    """Run many commands in few round trips, and return their answers. Raises the first error."""
    answers: list[Any] = []
    pipeline = client.pipeline(transaction=False)
    for command in commands:
        pipeline.execute_command(*command)
        if len(pipeline) >= chunk:
            answers += pipeline.execute()
    return answers + pipeline.execute()


def load_multiframe(
    client: redis.Redis, users: int = 20000, drivers: int = 5000, *, acl_user: bool = False, types: bool = True
) -> dict[int, int]:
    """Write the data, the same at every call, and return the number of keys of each database.

    `types` adds every type in every encoding (databases 0 and 1) and, from 7.0 on, a function; `acl_user` the user
    `multiframe`. Some keys have a time to live of one hour and more, and one ends in 2100.
    """
    first = raw(client, 0)
    send(first, _multiframe(users, drivers))
    if types:
        send(first, _every_type())
        with raw(client, 1) as second:
            send(second, [("SET", f"second:{n}", f"value {n}") for n in range(100)])
            send(second, [("SET", "config:system", b"another database, same name"), ("PEXPIRE", "second:0", HOUR_MS)])
        if server_version(client) >= (7,):
            first.execute_command("FUNCTION", "LOAD", "REPLACE", FUNCTION)
    if acl_user:
        first.execute_command("ACL", "SETUSER", "multiframe", "reset", "on", ">s3cret", "~user:*", "+@read", "+ping")
    counts = {db: raw(client, db).execute_command("DBSIZE") for db in (0, 1)}
    first.close()
    return {db: count for db, count in counts.items() if count}


def _multiframe(users: int, drivers: int) -> Iterable[tuple[Any, ...]]:
    chance = random.Random(20)
    for n in range(users):
        user = {"id": n, "name": f"User {n}", "rides": chance.randrange(500), "token": chance.randbytes(12).hex()}
        yield ("SET", f"user:{n}", json.dumps(user))
    for n in range(drivers):
        place = (f"{chance.uniform(-90, 90):.6f}", f"{chance.uniform(-180, 180):.6f}")
        yield ("HSET", f"driver:{n}", "name", f"Driver {n}", "lat", place[0], "lon", place[1], "on_duty", n % 2)
    yield ("SET", "config:system", json.dumps({"mode": "live", "region": "eu-central", "surge": 1.25}))
    for n in range(min(users, 200)):
        yield ("SET", f"session:{n}", f"token {n}", "PX", HOUR_MS + n * 60_000)


def _every_type() -> Iterable[tuple[Any, ...]]:
    numbers = range(2000)
    yield ("SET", "string:empty", b"")
    yield ("SET", "string:binary", AWKWARD)
    yield ("SET", b"key:\x00\xff\r\n " + AWKWARD, b"a key of awkward bytes")
    yield ("SET", "string:compressible", b"ab" * 50_000)
    yield ("SET", "string:incompressible", random.Random(1).randbytes(70_000))
    for number in (0, -1, 12, 300, 70_000, 2**31, -(2**63), 2**63 - 1):
        yield ("SET", f"string:int:{number}", str(number))
    yield ("SET", "string:float", "3.0e10")
    yield ("PEXPIREAT", "string:float", 4102444800123)
    yield ("RPUSH", "list:small", "a", "", AWKWARD, "-5", "a")
    yield ("RPUSH", "list:large", *(f"element {n}" for n in numbers))
    yield ("RPUSH", "list:huge-element", b"x" * 100_000, "y")
    yield ("SADD", "set:intset", *range(-50, 50), 2**40)
    yield ("SADD", "set:small", "a", "b", AWKWARD)
    yield ("SADD", "set:large", *(f"member {n}" for n in numbers))
    scores = ("-inf", "-1.5", "-0", "0.1", "3", "1e300", "17179869184.123", "+inf")
    yield ("ZADD", "zset:small", *(word for n, score in enumerate(scores) for word in (score, f"m{n}")))
    yield ("ZADD", "zset:large", *(word for n in numbers for word in (n / 7, f"member {n}")))
    yield ("ZADD", "zset:large", "inf", AWKWARD)
    yield ("HSET", "hash:small", "field", "value", AWKWARD, AWKWARD, "n", "12", "", "")
    yield ("HSET", "hash:large", *(word for n in numbers for word in (f"field {n}", f"value {n}")))
    yield ("PEXPIRE", "hash:large", 2 * HOUR_MS)
    yield ("PFADD", "hyperloglog:sparse", *range(50))
    yield ("PFADD", "hyperloglog:dense", *(f"visitor {n}" for n in range(5000)))
    yield ("GEOADD", "geo", "13.361389", "38.115556", "Palermo", "15.087269", "37.502669", "Catania")
    yield ("SETBIT", "bitmap", 100_000, 1)
    yield ("SETBIT", "bitmap", 7, 1)
    yield from _streams()


def _streams() -> Iterable[tuple[Any, ...]]:
    for n in range(1, 301):
        yield ("XADD", "stream", f"{1_700_000_000_000 + n}-{n % 3}", "ride", n, AWKWARD if n == 7 else "note", f"#{n}")
    yield ("XDEL", "stream", f"{1_700_000_000_300}-0", f"{1_700_000_000_005}-2")
    yield ("XGROUP", "CREATE", "stream", "billing", "0")
    yield ("XGROUP", "CREATE", "stream", "idle", "$")
    yield ("XREADGROUP", "GROUP", "billing", "alice", "COUNT", 20, "STREAMS", "stream", ">")
    yield ("XREADGROUP", "GROUP", "billing", "bob", "COUNT", 10, "STREAMS", "stream", ">")
    yield ("XACK", "stream", "billing", f"{1_700_000_000_001}-1", f"{1_700_000_000_002}-2")
    yield ("XCLAIM", "stream", "billing", "bob", 0, f"{1_700_000_000_003}-0")
    yield ("XGROUP", "CREATECONSUMER", "stream", "billing", "nobody")
    yield ("XGROUP", "CREATE", "stream:empty", "waiting", "$", "MKSTREAM")
