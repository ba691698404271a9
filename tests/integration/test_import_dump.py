# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""redis_import of files of format dump: commands that are passed on as they are do all that those taken apart do.

Each test imports one file both ways. With the pattern `*`, which asks for all keys, each key is looked at by its name.
"""

from __future__ import annotations

import hashlib
import random
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.globalscope.redis_backup.plugins.module_utils._errors import RedisBackupError
from ansible_collections.globalscope.redis_backup.plugins.module_utils._keys.dump_runs import Run
from ansible_collections.globalscope.redis_backup.plugins.module_utils._keys.dumps import Piece, Writer
from ansible_collections.globalscope.redis_backup.plugins.module_utils._keys.entry import Entry
from ansible_collections.globalscope.redis_backup.plugins.module_utils._keys.file_source import FileSource
from ansible_collections.globalscope.redis_backup.plugins.module_utils._keys.import_options import (
    import_spec,
    request_of,
    result_of,
)
from ansible_collections.globalscope.redis_backup.plugins.module_utils._keys.importing import import_keys
from ansible_collections.globalscope.redis_backup.plugins.module_utils._keys.lanes import Lane
from ansible_collections.globalscope.redis_backup.plugins.module_utils._server.connection import Login

from support.dataset import raw
from support.modules import run_module, start_module
from support.servers import Build, RedisProcess
from support.untouched import assert_told
from support.values import differences, snapshot_values

MakeServer = Callable[..., RedisProcess]
WAYS = {"as they are": [], "one by one": ["*"]}
LATER = 4_102_444_800_000
COUNT = 6000
TAKEN_OVER = ("imported", "replaced", "skipped_count", "expired", "repeated", "failed_keys", "failed_count")


@pytest.fixture(params=WAYS)
def params(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, Any]:
    """The options of one way; those of a server come to them."""
    return {
        "path": str(tmp_path / "keys.dump"),
        "state_dir": str(tmp_path / "state"),
        "patterns": WAYS[request.param],
    }


@pytest.fixture
def payloads(any_build: Build, make_server: MakeServer) -> dict[str, bytes]:
    return payloads_of(make_server(any_build))


def payloads_of(server: RedisProcess) -> dict[str, bytes]:
    """What DUMP says of keys of some types and sizes. They are gone then."""
    with raw(server.client()) as client:
        client.execute_command("SET", "string", "value")
        client.execute_command("SET", "number", "7")
        client.execute_command("SET", "large", random.Random(1).randbytes(1_200_000))
        client.execute_command("HSET", "hash", "a", "1", "b", "2")
        client.execute_command("ZADD", "zset", "1.5", "a")
        names = ("string", "number", "large", "hash", "zset")
        found = {name: client.execute_command("DUMP", name) for name in names}
        client.execute_command("FLUSHALL")
        return found


@pytest.fixture
def server(any_build: Build, make_server: MakeServer) -> RedisProcess:
    """A server with a key of its own."""
    found = make_server(any_build)
    found.client().set("mine", "1")
    return found


def entries_of(payloads: dict[str, bytes], count: int = COUNT) -> list[Entry]:
    """Keys of all these kinds, in two databases, some of which expire."""
    small = [name for name in payloads if name != "large"]
    found = []
    for number in range(count):
        name = "large" if "large" in payloads and number % 1999 == 7 else small[number % len(small)]
        at = LATER + number if number % 10 == 3 else None
        found.append(Entry(3 * (number >= count // 2), b"user:%d" % number, "dump", payloads[name], at))
    return found


def write(params: dict[str, Any], entries: list[Entry]) -> bytes:
    made = Writer()
    data = made.encode(entries) + made.end()
    Path(params["path"]).write_bytes(data)
    return data


class Meddled(FileSource):
    """A file, beside whose second reading something happens: before each of its pieces `act` is called."""

    def __init__(self, path: str, act: Callable[[int], object]) -> None:
        super().__init__(path)
        self._act, self.readings, self.runs = act, 0, 0

    def pieces(self) -> Iterator[Piece]:
        self.readings += 1
        for number, piece in enumerate(super().pieces()):
            if self.readings == 2:
                self._act(number)
                self.runs += isinstance(piece, Run)
            yield piece


def run_here(
    params: dict[str, Any], server: RedisProcess, act: Callable[[int], object] = lambda _number: None, **more: Any
) -> dict[str, Any]:
    """What the module does, in this process."""
    given = {**{name: option.get("default") for name, option in import_spec().items()}, **params, **more}
    request = request_of(given, Login(port=server.port, password=server.password))
    source = Meddled(params["path"], act)
    done = result_of(import_keys(source, request))
    assert source.runs > 1
    return done


def refused_here(
    params: dict[str, Any],
    server: RedisProcess,
    *needles: str,
    act: Callable[[int], object] = lambda _number: None,
    **more: Any,
) -> dict[str, Any]:
    with pytest.raises(RedisBackupError) as caught:
        run_here(params, server, act, **more)
    assert_told(caught.value.paragraph("shop", "Nothing was changed"), *needles)
    return caught.value.details


def values(server: RedisProcess) -> Any:
    with server.client() as client:
        return snapshot_values(client)


def keys_in(server: RedisProcess) -> int:
    with server.client() as first, server.client(db=3) as third:
        return int(first.dbsize()) + int(third.dbsize())


@pytest.mark.parametrize("conflict", ["fail", "skip", "replace"])
def test_the_same_comes_of_both_ways(
    build: Build, make_server: MakeServer, params: dict[str, Any], conflict: str
) -> None:
    server = make_server(build)
    entries = entries_of(payloads_of(server), 3000)
    entries[10] = entries[10]._replace(expires_at=5)
    entries[2999] = entries[2999]._replace(expires_at=1_700_000_000_000)
    write(params, [*entries, entries[20]])
    given = {**params, **server.connection, "on_conflict": conflict}
    with raw(server.client(), 0) as client:
        client.execute_command("SET", "user:77", "in the way")
        client.execute_command("SET", "mine", "1")
    before = values(server)
    if conflict == "fail":
        details = refused_here(given, server, "1 of 2999 keys", "key 78 (key user:77): a key of this name exists")
        assert details["failed_keys"] == [{"number": 78, "key": "user:77", "why": "a key of this name exists"}]
        assert values(server) == before
        server.client().delete("user:77")
        wanted = {"imported": 2998, "repeated": 1}
    elif conflict == "skip":
        wanted = {"imported": 2997, "skipped_count": 2}
    else:
        wanted = {"imported": 2999, "replaced": 2}
    if conflict != "fail":
        plan = run_module("redis_import", given, check=True)
        assert (plan["expired"], plan["failed_count"]) == (2, 0)
        assert values(server) == before
    done = run_here(given, server)
    told = {name: done[name] for name in TAKEN_OVER if done[name]}
    assert told == {**wanted, "expired": 2}
    with raw(server.client(), 0) as client:
        assert client.execute_command("EXISTS", "user:10", "user:2999") == 0
        assert client.execute_command("GET", "user:0") == b"value"
        assert client.execute_command("GET", "mine") == b"1"
        assert client.execute_command("STRLEN", "user:7") == 1_200_000
        assert client.execute_command("GET", "user:77") == (b"in the way" if conflict == "skip" else b"7")
    assert keys_in(server) == 2998 + 1
    assert abs(values(server)[0, b"user:13"][2] - LATER - 13) < 1000  # 6.2 tells what is left, and that takes time


def test_a_damaged_payload(server: RedisProcess, payloads: dict[str, bytes], params: dict[str, Any]) -> None:
    """Whatever the end mark says, or does not say, nothing is written."""
    entries = entries_of(payloads)
    damaged = bytearray(payloads["hash"])
    damaged[5] ^= 1
    data = write(params, entries)
    wrong = entries[2000]._replace(value=bytes(damaged), key=b"user:2000")
    before = values(server)
    # Changed behind the export: the mark tells, and the payload is found.
    bad = data.replace(Writer().encode([entries[2000]])[23:], Writer().encode([wrong])[23:])
    assert bad != data
    Path(params["path"]).write_bytes(bad)
    words = ("key 2001 (key user:2000): its payload is damaged", "not those of its SHA-256")
    refused_here(params, server, f"2 of {COUNT + 1} keys", *words)
    # Without its hash, as it was made by hand.
    unproven = re.sub(rb"\$\d+\r\n(end of export, \d+ keys), sha256 [0-9a-f]{64}", mended, bad)
    Path(params["path"]).write_bytes(unproven)
    refused_here(params, server, f"1 of {COUNT} keys", words[0])
    assert values(server) == before
    # Not the payload but a name: only the mark can tell.
    Path(params["path"]).write_bytes(data.replace(b"user:2000", b"user:2ooo"))
    refused_here(params, server, f"1 of {COUNT + 1} keys", words[1])
    assert values(server) == before
    # Good, and made by hand: it goes the long way.
    Path(params["path"]).write_bytes(re.sub(rb"\$\d+\r\n(end of export, \d+ keys), sha256 [0-9a-f]{64}", mended, data))
    done = result_of(import_keys(FileSource(params["path"]), request(params, server)))
    assert done["imported"] == COUNT


def mended(found: re.Match[bytes]) -> bytes:
    return b"$%d\r\n%b" % (len(found[1]), found[1])


def request(params: dict[str, Any], server: RedisProcess) -> Any:
    given = {**{name: option.get("default") for name, option in import_spec().items()}, **params}
    return request_of(given, Login(port=server.port, password=server.password))


def test_a_payload_that_was_bad_from_the_beginning(
    server: RedisProcess, payloads: dict[str, bytes], params: dict[str, Any]
) -> None:
    """Its file is what it was: the server has the last word."""
    entries = entries_of(payloads)
    entries[4000] = entries[4000]._replace(value=payloads["hash"][:-1] + b"x")
    write(params, entries)
    failure = refused_here(params, server, "key 4001 (key user:4000): the server refused it", "checksum")
    assert (failure["imported"], failure["failed_count"]) == (COUNT - 1, 1)
    assert keys_in(server) == COUNT
    for _again in range(2):
        failure = refused_here(params, server, "key 4001 (key user:4000)")
        assert (failure["imported"], failure["failed_count"]) == (COUNT - 1, 1)


def test_a_key_that_appears_meanwhile(server: RedisProcess, payloads: dict[str, bytes], params: dict[str, Any]) -> None:
    entries = entries_of(payloads)
    write(params, entries)

    def meddle(number: int) -> None:
        if number == 0:
            with raw(server.client()) as client:
                client.execute_command("SET", "user:2999", "an application's")
                client.execute_command("RESTORE", "user:100", 0, entries[100].value, "ABSTTL")

    failure = refused_here(params, server, "key 3000 (key user:2999)", "with another value", act=meddle)
    assert (failure["imported"], failure["failed_count"]) == (COUNT - 2, 1)
    assert server.client().get("user:2999") == b"an application's"
    server.client().delete("user:2999")
    assert run_here(params, server)["imported"] == COUNT


STOPS = {
    "OOM": lambda client: client.config_set("maxmemory", 1),
    "READONLY": lambda client: client.replicaof("127.0.0.1", 1),
    "NOREPLICAS": lambda client: client.config_set("min-replicas-to-write", 1),
    "did not answer": lambda client: client.client_kill_filter(_type="normal", skipme=True),
}


@pytest.mark.parametrize("word", STOPS)
@pytest.mark.parametrize("conflict", ["fail", "skip", "replace"])
def test_a_server_that_stops_taking_them(
    server: RedisProcess, payloads: dict[str, bytes], params: dict[str, Any], word: str, conflict: str
) -> None:
    """It ends in the same words, counts what is there, and goes on from there."""
    entries = entries_of(payloads)
    write(params, entries)
    given = {**params, "on_conflict": conflict}

    def meddle(number: int) -> None:
        if number == 2:
            STOPS[word](server.client())

    failure = refused_here(given, server, word, "run the same again", act=meddle)
    client = server.client()
    client.replicaof("NO", "ONE")
    client.config_set("maxmemory", 0)
    client.config_set("min-replicas-to-write", 0)
    there = keys_in(server) - 1
    assert failure["imported"] == there or word == "did not answer"
    assert there < COUNT
    done = run_here(given, server)
    assert (done["imported"] + done["skipped_count"], done["resumed"]) == (COUNT, True)
    assert keys_in(server) == COUNT + 1


def test_a_database_that_is_not_there(server: RedisProcess, payloads: dict[str, bytes], params: dict[str, Any]) -> None:
    entries = [each._replace(database=16) if each.database else each for each in entries_of(payloads, 100)]
    write(params, entries)
    before = values(server)
    with pytest.raises(RedisBackupError, match="50 of 100 keys") as caught:
        import_keys(FileSource(params["path"]), request(params, server))
    assert "has only 16" in caught.value.details["failed_keys"][0]["why"]
    assert values(server) == before


@pytest.mark.parametrize("conflict", ["fail", "replace"])
def test_commands_of_other_names(
    any_build: Build, make_server: MakeServer, payloads: dict[str, bytes], params: dict[str, Any], conflict: str
) -> None:
    """And values that look like commands."""
    server = make_server(any_build, conf={"rename-command": ["RESTORE R%1", "EXISTS E1"]})
    entries = entries_of(payloads)
    client = server.client()
    client.set("inner", Writer().encode(entries[:2]) * 3)
    entries[300] = entries[300]._replace(value=raw(client).execute_command("DUMP", "inner"))
    client.flushall()
    client.set("user:20", "in the way") if conflict == "replace" else client.set("mine", "1")
    write(params, entries)
    names = {"restore": "R%1", "exists": "E1"}
    given = {**params, **server.connection, "on_conflict": conflict, "command_map": names}
    done = run_module("redis_import", given)
    assert (done["imported"], done["replaced"]) == (COUNT, int(conflict == "replace"))
    assert client.get("user:300") == Writer().encode(entries[:2]) * 3
    assert keys_in(server) == COUNT + (conflict == "fail")


def test_too_little_memory(server: RedisProcess, payloads: dict[str, bytes], params: dict[str, Any]) -> None:
    write(params, entries_of(payloads))
    client = server.client()
    client.config_set("maxmemory", client.info("memory")["used_memory"] + 1_000_000)
    before = values(server)
    with pytest.raises(RedisBackupError, match="below its maxmemory"):
        import_keys(FileSource(params["path"]), request(params, server))
    assert values(server) == before


_TELL = """
redis.call('SELECT', ARGV[1])
local right, words = 0, {'value', '7'}
for n = tonumber(ARGV[2]), tonumber(ARGV[3]) - 1 do
  local expiry = n % 10 == 3 and tonumber(ARGV[4]) + n or -1
  local found = redis.call('GET', 'user:' .. n) == words[n % 2 + 1]
  if found and redis.call('PEXPIRETIME', 'user:' .. n) == expiry then right = right + 1 end
end
return right
"""


@pytest.mark.parametrize(
    "conflict", ["fail", *(pytest.param(each, marks=pytest.mark.long) for each in ("skip", "replace"))]
)
def test_killed_at_any_instant(
    server: RedisProcess, payloads: dict[str, bytes], params: dict[str, Any], long: bool, conflict: str
) -> None:
    """Then run again: all is there once, nothing else has changed."""
    count, half = 150_000, 75_000
    payload = {"string": payloads["string"], "number": payloads["number"]}
    entries = entries_of(payload, count)
    write(params, entries)
    given = {**params, **server.connection, "on_conflict": conflict}
    for number in range(6 if long else 1):
        server.client().flushall()
        server.client().set("mine", "1")
        for kill in range(1 + number % 3):
            process = start_module("redis_import", given)
            instant = 11 + (number * 79_190 + kill * 104_729) % count
            while keys_in(server) < instant and process.poll() is None:
                pass
            process.kill()
            process.communicate(timeout=60)
        done = run_module("redis_import", given)
        assert done["imported"] + done["skipped_count"] == count, done
        client = server.client()
        assert (client.dbsize(), keys_in(server)) == (half + 1, count + 1)
        for database, first in ((0, 0), (3, half)):
            assert client.execute_command("EVAL", _TELL, 0, database, first, first + half, LATER) == half
        assert client.get("mine") == b"1"
        assert not list((Path(params["state_dir"]) / "imports").iterdir())


def test_our_own_export_is_passed_on(
    any_build: Build,
    make_server: MakeServer,
    server: RedisProcess,
    params: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It ends with the SHA-256 of what stands before."""
    forward, forwarded = Lane.forward, []

    def noted(lane: Lane, run: Run) -> None:
        forwarded.append(run.keys)
        forward(lane, run)

    monkeypatch.setattr(Lane, "forward", noted)
    source = make_server(any_build)
    client = source.client()
    client.mset({f"k:{number}": number for number in range(5000)})
    client.pexpireat("k:7", LATER)
    run_module("redis_export", {**source.connection, "path": params["path"], "format": "dump"})
    data = Path(params["path"]).read_bytes()
    before, mark = data[: data.rindex(b"*2\r\n$4\r\nECHO")], data[-66:-2]
    assert hashlib.sha256(before).hexdigest().encode() == mark
    client.set("mine", "1")
    done = run_here(params, server)
    assert (done["imported"], sum(forwarded)) == (5000, 0 if params["patterns"] else 5000)
    assert differences(snapshot_values(client), snapshot_values(server.client())) == []
