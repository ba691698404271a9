# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading keys while somebody else works: keys that go, tables that change size, large values, other types."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.globalscope.redis_backup.plugins.module_utils._keys.entry import Entry
from ansible_collections.globalscope.redis_backup.plugins.module_utils._keys.pace import Pace
from ansible_collections.globalscope.redis_backup.plugins.module_utils._keys.reading import Selection, read_keys
from ansible_collections.globalscope.redis_backup.plugins.module_utils._keys.tally import Tally
from ansible_collections.globalscope.redis_backup.plugins.module_utils._keys.wire import Wire
from ansible_collections.globalscope.redis_backup.plugins.module_utils._server.connection import (
    Login,
    UnreachableError,
)

from support.dataset import HOUR_MS, raw, send
from support.exported import large, lines_of, values_of
from support.modules import run_module
from support.servers import Build, RedisProcess
from support.untouched import refused
from support.values import differences, snapshot_values
from support.waiting import wait_for

MakeServer = Callable[..., RedisProcess]
FIELD_TTLS = ("redis-8.2", "valkey-9.1")
EVERYTHING = Selection()


class Interfering(Wire):
    """A connection that does something else right before it sends what has `word` in it; once."""

    def __init__(self, login: Login, word: bytes, act: Callable[[], Any]) -> None:
        super().__init__(login)
        self._word, self._act = word, act
        self.times = 0
        self.most = 1

    def send(self, packed: bytes, what: str = "") -> None:
        if self._word in packed and self.times < self.most:
            self.times += 1
            self._act()
        super().send(packed, what)


def login(server: RedisProcess) -> Login:
    return Login(port=server.port)


def keys_of(batches: Iterator[list[Entry]]) -> list[bytes]:
    return [entry.key for batch in batches for entry in batch if not entry.more]


def dbsize(server: RedisProcess) -> int:
    return int(server.client().dbsize())


# --- tables that change their size ---


def test_a_table_that_shrinks(server: RedisProcess) -> None:
    """Each key that stays is read once, and no other more than once, while nearly all go and the table with them."""
    client = raw(server.client())
    send(client, (("SET", f"key:{n}", n) for n in range(60_000)))
    stay = {f"key:{n}".encode() for n in range(0, 60_000, 40)}
    tally = Tally()
    with Wire(login(server)) as wire:
        reading = read_keys(wire, EVERYTHING, tally=tally)
        found = [entry.key for _page in range(10) for entry in next(reading)]
        send(client, (("DEL", f"key:{n}") for n in range(60_000) if n % 40))
        _wait_for_rehash(server, client)
        found += keys_of(reading)
    assert len(found) == len(set(found))
    assert stay <= set(found)
    assert tally.exported == len(found)


def test_a_table_that_grows(server: RedisProcess) -> None:
    client = raw(server.client())
    send(client, (("SET", f"key:{n}", n) for n in range(10_000)))
    with Wire(login(server)) as wire:
        reading = read_keys(wire, EVERYTHING)
        found = [entry.key for _page in range(3) for entry in next(reading)]
        send(client, (("SET", f"new:{n}", n) for n in range(100_000)))
        found += keys_of(reading)
    assert len(found) == len(set(found))
    assert {f"key:{n}".encode() for n in range(10_000)} <= set(found)


def _wait_for_rehash(server: RedisProcess, client: Any) -> None:
    """The server shrinks a table by and by, from its timer: it is done when it takes little memory."""

    def small() -> bool:
        for number in range(200):
            client.execute_command("EXISTS", f"nothing:{number}")
        return int(server.client().info("memory").get("used_memory_overhead", 0)) < 1_300_000

    wait_for(small, "the table to shrink")


def test_under_writes(server: RedisProcess, tmp_path: Path) -> None:
    """What nobody touches is there once and right, whatever happens to the rest."""
    client = raw(server.client())
    send(client, (("SET", f"still:{n}", n) for n in range(20_000)))
    send(client, (("HSET", f"still:hash:{n}", "a", n) for n in range(2_000)))
    ended = threading.Event()
    writing = threading.Thread(target=_write, args=(server, ended))
    writing.start()
    try:
        path = tmp_path / "keys.jsonl"
        result = run_module("redis_export", {**server.connection, "path": str(path), "keys_per_second": 40_000})
    finally:
        ended.set()
        writing.join()
    lines = lines_of(path)
    found = values_of(line for line in lines if line["key"].startswith("still:"))
    wanted = {name: value for name, value in snapshot_values(server.client()).items() if name[1].startswith(b"still:")}
    assert differences(wanted, found) == []
    assert len(lines) == result["exported"] == len({line["key"] for line in lines})
    assert {line["type"] for line in lines} <= {"string", "hash", "list", "set"}


def _write(server: RedisProcess, ended: threading.Event) -> None:
    """Keys that come, go, change their type and expire, until told to end."""
    client = raw(server.client())
    number = 0
    while not ended.is_set():
        number += 1
        base = number % 50 * 100
        commands: list[tuple[Any, ...]] = []
        for key in (f"busy:{n}" for n in range(base, base + 100)):
            kind = number % 7
            commands.append(("DEL", key))
            if kind == 1:
                commands.append(("RPUSH", key, "a", "b"))
            elif kind == 2:
                commands.append(("SADD", key, "a", "b"))
            elif kind == 3:
                commands.append(("HSET", key, "a", "b"))
            elif kind == 4:
                commands.append(("SET", key, "short", "PX", 5))
            elif kind > 4:
                commands.append(("SET", key, "x" * 100))
        send(client, commands)


def test_keys_that_expire_meanwhile(server: RedisProcess) -> None:
    client = raw(server.client())
    send(client, (("SET", f"key:{n}", n) for n in range(3000)))
    tally = Tally()

    def expire() -> None:
        send(client, (("PEXPIRE", f"key:{n}", 1) for n in range(0, 3000, 2)))
        wait_for(lambda: client.execute_command("EXISTS", "key:2998") == 0, "a key to expire")

    with Interfering(login(server), b"MEMORY", expire) as wire:
        found = keys_of(read_keys(wire, EVERYTHING, tally=tally))
    assert {f"key:{n}".encode() for n in range(1, 3000, 2)} == set(found)
    assert tally.exported == len(found) == 1500
    assert 0 < tally.gone <= 1500


# --- other types ---


@pytest.mark.parametrize("size", [1, 20_000])
def test_another_type_between_two_questions(server: RedisProcess, size: int) -> None:
    """TYPE said list, and it is a hash when it is read: it is asked about again, and read as what it is."""
    client = raw(server.client())
    send(client, [("RPUSH", "key", *range(size)), ("SET", "other", "x"), ("RPUSH", "list", "y")])

    def change() -> None:
        send(client, [("DEL", "key"), ("HSET", "key", "field", "value")])

    tally = Tally()
    with Interfering(login(server), b"LRANGE", change) as wire:
        found = {entry.key: entry for batch in read_keys(wire, EVERYTHING, tally=tally) for entry in batch}
        assert wire.times == 1
    assert found[b"key"].kind == "hash"
    assert found[b"key"].value == [(b"field", b"value")]
    assert {key: entry.kind for key, entry in found.items()} == {b"key": "hash", b"other": "string", b"list": "list"}
    assert (tally.exported, tally.gone, tally.skipped) == (3, 0, 0)


def test_a_key_that_never_keeps_its_type(any_build: Build, make_server: MakeServer) -> None:
    server = make_server(any_build)
    client = raw(server.client())
    send(client, [("RPUSH", "key", "a")])
    kinds = [("HSET", "key", "a", "b"), ("RPUSH", "key", "a")]

    def change() -> None:
        kinds.reverse()
        send(client, [("DEL", "key"), kinds[1]])

    tally = Tally()
    with Interfering(login(server), b"PEXPIRETIME", change) as wire:
        wire.most = 100
        assert keys_of(read_keys(wire, EVERYTHING, tally=tally)) == []
    assert tally.skipped == 1
    assert "its type changed" in tally.failed[0]["why"]


def test_fields_that_begin_to_expire_meanwhile(build: Build, make_server: MakeServer) -> None:
    """No field expired when the reading began, and some do when it comes to them."""
    if build.name not in FIELD_TTLS:
        pytest.skip("fields do not expire there")
    server = make_server(build)
    client = raw(server.client())
    send(client, (("HSET", f"hash:{n}", "a", n, "b", n) for n in range(3000)))
    send(client, [("SET", "string", "x")])

    def expire() -> None:
        send(client, (("HPEXPIRE", f"hash:{n}", HOUR_MS, "FIELDS", 1, "a") for n in range(0, 3000, 3)))

    with Interfering(login(server), b"HGETALL", expire) as wire:
        entries = [entry for batch in read_keys(wire, EVERYTHING) for entry in batch]
    assert len(entries) == len({entry.key for entry in entries}) == 3001
    for entry in entries:
        if entry.kind == "hash":
            number = int(entry.value[0][1])
            assert bool(entry.field_expiries) == (number % 3 == 0), entry


# --- large values ---


def test_large_values(layout: Build, make_server: MakeServer, tmp_path: Path) -> None:
    server = make_server(layout)
    client = raw(server.client())
    large(client)
    if layout.name in FIELD_TTLS:
        fields = [f"{n:040}{'w' * 260}" for n in (7, 59_999)]
        send(client, [("HPEXPIREAT", "hash", 4102444800125, "FIELDS", 2, *fields)])
    path = tmp_path / "keys.jsonl"
    result = run_module("redis_export", {**server.connection, "path": str(path)})
    assert result["in_parts"] == 6
    assert result["changed_in_parts"] == 0
    lines = lines_of(path)
    assert {line["key"] for line in lines if "part" not in line} == {"small:list", "small:string"}
    # What its consumers saw is told to a millisecond or so for a stream in parts.
    wanted, found = snapshot_values(server.client(), portable=True), values_of(lines)
    for values in (wanted, found):
        stream = values[0, b"stream"][1]
        stream["groups"][b"group"]["consumers"].clear()
        stream["groups"][b"group"]["pending"] = [
            (entry, who, at // 10_000, times) for entry, who, at, times in stream["groups"][b"group"]["pending"]
        ]
    assert differences(wanted, found, expiry_ms=5) == []


CHANGES: dict[str, tuple[Any, ...]] = {
    "string": ("APPEND", "string", "x"),
    "list": ("LPUSH", "list", "x"),
    "set": ("SADD", "set", "x"),
    "zset": ("ZADD", "zset", 1, "x"),
    "hash": ("HSET", "hash", "x", "y"),
    "stream": ("XADD", "stream", "*", "x", "y"),
}


def test_large_values_that_change_meanwhile(any_build: Build, make_server: MakeServer) -> None:
    """A value that is read in parts and changed in between is told as such; one that is left alone is not.

    One that goes in between is ended where it went, so that nobody waits for the rest.
    """
    server = make_server(any_build)
    client = raw(server.client())
    gone = {key: [("DEL", key)] for key in CHANGES}
    other = {key: [("DEL", key), ("SET", key, "x") if key != "string" else ("RPUSH", key, "x")] for key in CHANGES}
    for how in ({key: [change] for key, change in CHANGES.items()}, other, gone):
        large_again(client)
        for key, commands in how.items():
            tally, parts = Tally(), list[Entry]()
            with Wire(login(server)) as wire:
                for batch in read_keys(wire, Selection(patterns=(key.encode(), b"small:*")), tally=tally):
                    parts += [entry for entry in batch if entry.key == key.encode()]
                    if batch[0].more and batch[0].part == 0:
                        send(client, commands)
            assert (tally.in_parts, tally.changed, tally.changed_keys) == (1, 1, [key])
            assert tally.exported == 3
            assert [part.part for part in parts] == list(range(len(parts)))
            assert [part.more for part in parts] == [True] * (len(parts) - 1) + [False]
    # The large payloads come one by one.
    large_again(client)
    with Wire(login(server)) as wire:
        batches = list(read_keys(wire, EVERYTHING, "dump"))
    assert sum(map(len, batches)) == 8
    assert all(len(batch) == 1 and not batch[0].more for batch in batches)


def large_again(client: Any) -> None:
    client.execute_command("FLUSHALL")
    large(client)


def test_what_is_under_way_is_bounded(any_build: Build, make_server: MakeServer) -> None:
    """Values of all sizes: no list of entries is large, neither in bytes nor in keys."""
    server = make_server(any_build)
    client = raw(server.client())
    send(client, (("SET", f"key:{n}", b"x" * (n * 37 % 100_000)) for n in range(2000)), chunk=100)
    send(client, (("HSET", f"hash:{n}", *range(200), "blob", b"x" * 300_000, "z", "y") for n in range(100)), chunk=10)
    count = 0
    with Wire(login(server)) as wire:
        for batch in read_keys(wire, EVERYTHING):
            count += len(batch)
            strings = sum(len(entry.value) for entry in batch if entry.kind == "string")
            hashes = sum(len(value) for entry in batch if entry.kind == "hash" for _field, value in entry.value)
            assert strings + hashes < 1_400_000
    assert count == 2100


# --- how fast, and how it ends ---


def test_a_server_that_goes_away(any_build: Build, make_server: MakeServer, tmp_path: Path) -> None:
    server = make_server(any_build)
    send(raw(server.client()), (("SET", f"key:{n}", "x" * 100) for n in range(30_000)))
    with Wire(login(server)) as wire:
        reading = read_keys(wire, EVERYTHING)
        next(reading)
        server.kill()
        with pytest.raises(UnreachableError, match=f"127.0.0.1:{server.port} did not answer"):
            keys_of(reading)
    refused("redis_export", {**server.connection, "path": str(tmp_path / "keys")}, "no Redis server answers")
    assert list(tmp_path.iterdir()) == []


def test_throttle(any_build: Build, make_server: MakeServer, tmp_path: Path) -> None:
    server = make_server(any_build)
    send(raw(server.client()), (("SET", f"key:{n}", n) for n in range(2000)))
    result = run_module("redis_export", {**server.connection, "path": str(tmp_path / "keys"), "keys_per_second": 4000})
    assert result["exported"] == 2000
    assert result["keys_per_second"] <= 5000
    with Wire(login(server)) as wire:
        sizes = [len(batch) for batch in read_keys(wire, Selection(keys_per_second=2000))]
    assert max(sizes) <= Pace(2000).most == 200
    assert sum(sizes) == 2000
