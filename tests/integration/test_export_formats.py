# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The formats of exports and what is not ours: redis-cli loads a dump, servers take or refuse payloads, old scripts."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from ansible_collections.globalscope.redis_backup.plugins.module_utils._keys.entry import Entry
from ansible_collections.globalscope.redis_backup.plugins.module_utils._keys.formats import read, sniff, writer
from ansible_collections.globalscope.redis_backup.plugins.module_utils._keys.payload import (
    is_intact,
    type_name,
    version_of,
    why_refused,
)

from support.dataset import AWKWARD, HOUR_MS, load_multiframe, raw, send
from support.modules import run_module
from support.servers import BuildMissing, RedisProcess, build_named, builds
from support.values import differences, snapshot_values

MakeServer = Callable[..., RedisProcess]

# The two scripts of the manual that this collection replaces.
EXPORT_DATA = """
import json, sys
import redis

def export_pattern(r, pattern, filename):
    data = {}
    for key in r.keys(pattern):
        data[key] = r.get(key)
    with open(filename, "w") as f:
        json.dump(data, f, indent=2)
    print(f"Exported {len(data)} keys")

export_pattern(redis.Redis(host="localhost", port=int(sys.argv[1]), decode_responses=True), sys.argv[2], sys.argv[3])
"""
IMPORT_DATA = """
import json, sys
import redis

r = redis.Redis(host="localhost", port=int(sys.argv[1]), decode_responses=True)
with open(sys.argv[2]) as f:
    data = json.load(f)
for key, value in data.items():
    r.set(key, value)
print(f"Imported {len(data)} keys")
"""
TEXTS = {
    "user:1": json.dumps({"name": 'Zoë \\ "Z"', "rides": 3}, ensure_ascii=False),
    "user:2": "",
    "user:Jürgen 𝄞": "line\r\nline\0\x7f\u2028 ",
    'user:"\\': "12",
    "user:long": "é" * 300_000,
}


def dumped(server: RedisProcess, database: int) -> Iterator[Entry]:
    """Every key of a database as a payload, by plain commands."""
    with raw(server.client(), database) as client:
        keys = client.execute_command("KEYS", "*")
        payloads = send(client, (("DUMP", key) for key in keys))
        lasting = send(client, (("PTTL", key) for key in keys))
        seconds, micros = client.execute_command("TIME")
    moment = int(seconds) * 1000 + int(micros) // 1000
    for key, payload, left in zip(keys, payloads, lasting):
        yield Entry(database, key, "dump", payload, moment + left if left >= 0 else None)


def in_format(name: str, entries: Iterable[Entry]) -> bytes:
    """The whole file."""
    made = writer(name)
    return made.encode(list(entries)) + made.end()


def load_everything(server: RedisProcess) -> None:
    """Every type in every encoding, and hashes with fields that expire where the server knows them."""
    client = server.client()
    load_multiframe(client, users=200, drivers=50)
    words: list[tuple[Any, ...]] = [
        ("HSET", "hash:expiring", "a", "1", "b", "2"),
        ("HPEXPIRE", "hash:expiring", HOUR_MS, "FIELDS", 1, "a"),
        ("HSET", "hash:expiring:large", *(word for n in range(600) for word in (f"field {n}", "x"))),
        ("HPEXPIRE", "hash:expiring:large", HOUR_MS, "FIELDS", 2, "field 1", "field 2"),
    ]
    for command in words:
        try:
            raw(client).execute_command(*command)
        except redis.ResponseError as refusal:
            assert "unknown command" in str(refusal)


def test_redis_cli_loads_a_dump_file(server: RedisProcess, make_server: MakeServer, tmp_path: Path) -> None:
    load_everything(server)
    before = snapshot_values(server.client())
    path = tmp_path / "keys.dump"
    path.write_bytes(in_format("dump", [*dumped(server, 0), *dumped(server, 1)]))
    empty = make_server(server.build)
    with path.open("rb") as file:
        command = ["redis-cli", "-p", str(empty.port), "--pipe"]
        told = subprocess.run(command, stdin=file, capture_output=True, text=True, check=True, timeout=60).stdout
    assert f"errors: 0, replies: {len(before) + 3}" in told  # two SELECT and the end mark
    assert differences(before, snapshot_values(empty.client()), expiry_ms=1000) == []  # PTTL is not asked at once


def try_to_restore(client: redis.Redis, entry: Entry) -> str | None:
    """The server's refusal; None when it takes the payload."""
    try:
        client.execute_command("RESTORE", entry.key, 0, entry.value, "REPLACE")
    except redis.ResponseError as refusal:
        return str(refusal)
    return None


def test_who_takes_whose_payloads(server: RedisProcess, make_server: MakeServer) -> None:
    """Every type and encoding of each version into each version: taken exactly where it is said to be."""
    load_everything(server)
    entries = list(dumped(server, 0))
    with raw(server.client()) as client:
        kinds = [kind.decode() for kind in send(client, (("TYPE", entry.key) for entry in entries))]
    assert [type_name(entry.value) for entry in entries] == kinds
    assert {entry.key: is_intact(entry.value) for entry in entries} == {entry.key: True for entry in entries}
    assert len({entry.value[0] for entry in entries}) >= 9  # encodings
    for build in builds():
        target = make_server(build)
        with raw(target.client()) as client:
            for entry in entries:
                why = why_refused(version_of(entry.value), entry.value[0], build.flavour, build.version)
                refusal = try_to_restore(client, entry)
                assert (why is None) == (refusal is None), (str(build), entry.key, entry.value[0], why, refusal)
                assert refusal is None or "DUMP payload version or checksum are wrong" in refusal
        target.destroy()


def test_damaged_payloads_are_known_as_the_server_knows_them(server: RedisProcess) -> None:
    with raw(server.client()) as client:
        client.execute_command("SET", "k", AWKWARD)
        payload = client.execute_command("DUMP", "k")
        for damaged in (payload[:-1] + bytes([payload[-1] ^ 1]), payload[:-8] + bytes(8), payload[:5] + payload[6:]):
            assert not is_intact(damaged)
            assert "checksum" in str(try_to_restore(client, Entry(0, b"l", "dump", damaged)))
        assert try_to_restore(client, Entry(0, b"l", "dump", payload)) is None and is_intact(payload)


def script(code: str, *words: object) -> str:
    """What a script prints."""
    command = [sys.executable, "-c", code, *map(str, words)]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout


@pytest.fixture
def any_server(make_server: MakeServer) -> RedisProcess:
    """An empty server of some version."""
    for name in ("redis-7.0", "redis-8.2"):
        try:
            return make_server(build_named(name))
        except BuildMissing:
            continue
    pytest.skip("no server here")


def test_the_old_export_script_writes_what_is_read_here(any_server: RedisProcess, tmp_path: Path) -> None:
    client = any_server.client()
    client.mset(TEXTS)
    client.set("driver:1", "not asked for")
    path = tmp_path / "users_backup.json"
    assert script(EXPORT_DATA, any_server.port, "user:*", path) == f"Exported {len(TEXTS)} keys\n"
    assert sniff(path.read_bytes()[:1000]) == "json"
    items = list(read("json", [path.read_bytes()]))
    assert [item.why for item in items] == [""] * len(TEXTS)
    found = [item.entry for item in items if item.entry]
    assert {(e.key.decode(), e.kind, e.value.decode()) for e in found} == {
        (name, "string", value) for name, value in TEXTS.items()
    }
    assert in_format("json", found) == path.read_bytes()


def test_the_old_import_script_reads_what_is_written_here(any_server: RedisProcess, tmp_path: Path) -> None:
    path = tmp_path / "users_backup.json"
    entries = [Entry(0, name.encode(), "string", value.encode()) for name, value in TEXTS.items()]
    path.write_bytes(in_format("json", entries))
    assert script(IMPORT_DATA, any_server.port, path) == f"Imported {len(TEXTS)} keys\n"
    assert {key: value for (_db, key), (_kind, value, _at) in snapshot_values(any_server.client()).items()} == {
        name.encode(): value.encode() for name, value in TEXTS.items()
    }


def test_the_old_scripts_and_the_modules_read_each_other(any_server: RedisProcess, tmp_path: Path) -> None:
    """The script's file by redis_import, and redis_export's by the script; the two files are equal byte for byte."""
    client = any_server.client()
    client.mset(TEXTS)
    client.set("config:system", "stays")
    before = snapshot_values(client)
    theirs, ours = tmp_path / "users_backup.json", tmp_path / "ours.json"
    script(EXPORT_DATA, any_server.port, "user:*", theirs)
    wanted = {**any_server.connection, "path": str(ours), "patterns": ["user:*"], "format": "json"}
    result = run_module("redis_export", wanted)
    assert result["exported"] == len(TEXTS)
    assert json.loads(ours.read_bytes()) == json.loads(theirs.read_bytes())
    client.delete(*TEXTS)
    result = run_module("redis_import", {**any_server.connection, "path": str(theirs)})
    assert result["imported"] == len(TEXTS)
    assert differences(before, snapshot_values(client)) == []
    client.delete(*TEXTS)
    script(IMPORT_DATA, any_server.port, ours)
    assert differences(before, snapshot_values(client)) == []


def test_a_line_is_found_with_stock_tools(any_server: RedisProcess, tmp_path: Path) -> None:
    """What the guide says one can do by hand: zstd and grep, and any language's reader of JSON."""
    client = any_server.client()
    client.hset("driver:7", mapping={"name": "Zoë", "binary": AWKWARD})
    client.pexpireat("driver:7", 4102444800123)
    path = tmp_path / "keys.jsonl.zst"
    run_module("redis_export", {**any_server.connection, "path": str(path)})
    command = f'zstd -dc {path} | grep \'"key":"driver:7"\''
    line = subprocess.run(["sh", "-c", command], check=True, capture_output=True, timeout=60).stdout
    found = json.load(io.BytesIO(line))
    assert (found["type"], found["expire_at_ms"], found["value"]["name"]) == ("hash", 4102444800123, "Zoë")
    assert set(found["value"]["binary"]) == {"base64"}
