# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""redis_import: what it takes and leaves, every kind of bad input, servers that refuse, check mode."""

from __future__ import annotations

import base64
import binascii
import contextlib
import json
import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.globalscope.redis_backup.plugins.module_utils._errors import RedisBackupError
from ansible_collections.globalscope.redis_backup.plugins.module_utils._keys.digest import digest
from ansible_collections.globalscope.redis_backup.plugins.module_utils._keys.file_source import FileSource
from ansible_collections.globalscope.redis_backup.plugins.module_utils._keys.import_options import (
    import_spec,
    request_of,
    result_of,
)
from ansible_collections.globalscope.redis_backup.plugins.module_utils._keys.importing import import_keys
from ansible_collections.globalscope.redis_backup.plugins.module_utils._server.connection import Login, Server

from support.clusters import give_slots, make_cluster
from support.dataset import AWKWARD, HOUR_MS, raw
from support.machine import AgeKey
from support.modules import ModuleFailed, finish, run_module, start_module
from support.servers import Build, RedisProcess, build_named
from support.untouched import assert_told, refused
from support.values import differences, snapshot_values
from support.waiting import wait_for

MakeServer = Callable[..., RedisProcess]
LATER = 4_102_444_800_000


def line(key: str = "k", kind: str = "string", value: Any = "v", **members: Any) -> str:
    """A line of jsonl."""
    return json.dumps({"db": 0, "key": key, "type": kind, "value": value, **members}) + "\n"


def strings(count: int) -> str:
    return "".join(line(f"user:{n}", value=f"value {n}") for n in range(count))


@pytest.fixture
def server(any_build: Build, make_server: MakeServer) -> RedisProcess:
    """A server with keys of its own."""
    found = make_server(any_build)
    client = found.client()
    client.mset({f"mine:{n}": n for n in range(10)})
    client.rpush("mine:list", "a", "b")
    return found


@pytest.fixture
def params(server: RedisProcess, tmp_path: Path) -> dict[str, Any]:
    """The options that all share."""
    return {**server.connection, "path": str(tmp_path / "keys.jsonl"), "state_dir": str(tmp_path / "state")}


def run_here(params: Mapping[str, Any]) -> dict[str, Any]:
    """What the module does, in this process: it starts so often in these tests."""
    given = {**{name: option.get("default") for name, option in import_spec().items()}, **params}
    login = Login(port=given["login_port"], password=given.get("login_password"))
    request = request_of(given, login)
    done = import_keys(FileSource(given["path"], given["format"], given["identities"]), request)
    return {**result_of(done), "warnings": done.warnings}


def refused_here(params: Mapping[str, Any], *needles: str) -> dict[str, Any]:
    """Must fail, and tell so in a paragraph with all of `needles`. Returns what it tells beside."""
    with pytest.raises(RedisBackupError) as caught:
        run_here(params)
    assert_told(caught.value.paragraph("shop", "Nothing was changed"), *needles)
    return caught.value.details


def write(params: dict[str, Any], text: str | bytes) -> None:
    Path(params["path"]).write_bytes(text if isinstance(text, bytes) else text.encode())


def digest_of(server: RedisProcess) -> tuple[str, int]:
    with Server(Login(port=server.port, password=server.password)) as found:
        return digest(found)


@contextlib.contextmanager
def nothing_written(server: RedisProcess) -> Iterator[None]:
    """Assert that the server holds the same behind the block, and no journal was begun."""
    before = digest_of(server)
    yield
    assert digest_of(server) == before


# --- what is taken ---


def test_keys_of_every_type(server: RedisProcess, params: dict[str, Any]) -> None:
    shown = {"base64": base64.b64encode(AWKWARD).decode()}
    stream = {"entries": [["1-1", [["f", shown]]]], "last_id": "2-0", "entries_added": None, "max_deleted_id": None}
    write(
        params,
        line("s", value=shown, expire_at_ms=LATER)
        + line("l", "list", ["a", shown, "a"])
        + line("t", "set", ["a", shown])
        + line("z", "zset", [["a", "-inf"], ["b", 0.1], [shown, 1e300]])
        + line("h", "hash", {"a": "1", "": ""}, expire_at_ms=LATER)
        + line("x", "stream", {**stream, "groups": []})
        + line("other", db=3),
    )
    done = run_module("redis_import", params)
    assert (done["changed"], done["imported"], done["replaced"], done["failed_keys"]) == (True, 7, 0, [])
    with raw(server.client()) as client:
        assert client.execute_command("GET", "s") == AWKWARD
        assert client.execute_command("LRANGE", "l", 0, -1) == [b"a", AWKWARD, b"a"]
        assert set(client.execute_command("SMEMBERS", "t")) == {b"a", AWKWARD}
        assert client.execute_command("ZRANGE", "z", 0, -1, "WITHSCORES")[:2] == [b"a", b"-inf"]
        assert client.execute_command("HGETALL", "h") == [b"a", b"1", b"", b""]
        assert client.execute_command("XRANGE", "x", "-", "+") == [[b"1-1", [b"f", AWKWARD]]]
        assert [client.execute_command("PEXPIRETIME", key) for key in ("s", "h", "l")] == [LATER, LATER, -1]
        assert client.execute_command("EXISTS", "mine:1") == 1
    with raw(server.client(), 3) as third:
        assert third.execute_command("GET", "other") == b"v"
    assert not list((Path(params["state_dir"]) / "imports").iterdir())


def test_encrypted_and_compressed(params: dict[str, Any], age_key: AgeKey, tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.write_text(strings(100))
    for number, chain in enumerate(
        (
            "zstd -q -c {} > keys.zst",
            "age -r {key} < {} > keys.jsonl.age",
            "zstd -q -c {} | age -r {key} > keys.jsonl.zst.age",
            "zstd -q -c {} | age -r {key} > packed",
            "zstd -q -c {} | age -a -r {key} > armoured",
        )
    ):
        command = chain.replace("{key}", age_key.recipient).replace("{}", str(plain))
        subprocess.run(["sh", "-c", command], cwd=tmp_path, check=True)
        path = str(tmp_path / command.rpartition("> ")[2])
        given = {**params, "path": path, "into_db": number, "identities": [str(age_key.identity)]}
        assert run_module("redis_import", given)["imported"] == 100, command


def test_wrong_identity_and_damage(
    server: RedisProcess, params: dict[str, Any], age_key: AgeKey, tmp_path: Path
) -> None:
    plain, path = tmp_path / "plain", tmp_path / "keys.jsonl.zst.age"
    plain.write_text(strings(20000))
    subprocess.run(["sh", "-c", f"zstd -q -c {plain} | age -r {age_key.recipient} > {path}"], check=True)
    other = tmp_path / "other.txt"
    subprocess.run(["age-keygen", "-o", other], check=True, capture_output=True)
    given = {**params, "path": str(path)}
    with nothing_written(server):
        refused_here(given, "encrypted with age", "no identity was given")
        refused_here({**given, "identities": [str(other)]}, "cannot be opened", "no identity matched")
        refused_here({**given, "identities": [str(tmp_path / "none")]}, "identity file", "cannot be read")
        packed = path.read_bytes()
        path.write_bytes(packed[: len(packed) // 2])
        given["identities"] = [str(age_key.identity)]
        refused_here(given, "cannot be opened", "age ended")
        cut = tmp_path / "cut.jsonl.zst"
        subprocess.run(["zstd", "-q", str(plain), "-o", str(cut)], check=True)
        cut.write_bytes(cut.read_bytes()[:-20])
        refused_here({**params, "path": str(cut)}, "cut short", "zstd")
        plain.rename(tmp_path / "plain.zst")
        refused_here({**params, "path": str(tmp_path / "plain.zst")}, "not compressed with zstd")


def test_filters_names_and_databases(server: RedisProcess, params: dict[str, Any]) -> None:
    write(params, strings(5) + line("driver:1", "list", ["a"]) + line("driver:2", db=1) + line("other"))
    given = {**params, "patterns": ["user:*", "driver:*"], "types": ["string"], "db": [0], "into_db": 2}
    done = run_module("redis_import", {**given, "rename": {"from": "user:", "to": "old:"}, "allow_unmatched": True})
    assert (done["imported"], done["unmatched"]) == (5, 3)
    with raw(server.client(), 2) as client:
        assert sorted(client.execute_command("KEYS", "*")) == [b"old:%d" % n for n in range(5)]
    with nothing_written(server):
        refused("redis_import", {**given, "patterns": ["user:*", "nobody:*"]}, "no key", "nobody:*")


@pytest.mark.parametrize(
    ("policy", "kept"),
    [("keep", ["later", "never"]), ("shift", ["later", "never", "past"]), ("drop", ["never"]), ("persist", "*")],
)
def test_expiry(server: RedisProcess, params: dict[str, Any], policy: str, kept: list[str]) -> None:
    now = round(time.time() * 1000)
    exported = now - 2 * HOUR_MS
    write(
        params,
        line("never") + line("later", expire_at_ms=now + HOUR_MS) + line("past", expire_at_ms=exported + HOUR_MS),
    )
    given = {**params, "ttl_policy": policy}
    if policy == "shift":
        with nothing_written(server):
            refused_here(given, "shift_from")
        given["shift_from"] = f"@{exported / 1000}"
    done = run_here(given)
    with raw(server.client()) as client:
        found = {name: client.execute_command("PEXPIRETIME", name) for name in ("later", "never", "past")}
    there = sorted(name for name, at in found.items() if at != -2)
    assert there == (["later", "never", "past"] if kept == "*" else sorted(kept))
    assert done["imported"] == len(there)
    assert (done["expired"], done["dropped"]) == (int(policy == "keep"), 2 * int(policy == "drop"))
    assert found["never"] == -1
    if policy == "keep":
        assert found["later"] == now + HOUR_MS
    elif policy == "shift":
        # An hour was left of one, three of the other; the clock went on since the file was written.
        assert 0 <= found["past"] - (now + HOUR_MS) < 60_000
        assert found["later"] - found["past"] == 2 * HOUR_MS
    elif policy == "persist":
        assert set(found.values()) == {-1}


def test_fields_that_expire(params: dict[str, Any], make_server: MakeServer) -> None:
    modern, old = make_server(build_named("redis-8.2")), make_server(build_named("redis-6.2"))
    expiries = {"a": LATER, "b": 1}
    write(params, line("h", "hash", {"a": "1", "b": "2", "c": "3"}, fields_expire_at_ms=expiries))
    for server in (modern, old):
        done = run_here({**params, **server.connection})
        assert raw(server.client()).execute_command("HGETALL", "h") == [b"a", b"1", b"c", b"3"]
        assert bool(done["warnings"]) == (server is old)
    told = str(done["warnings"])
    assert "1 fields of hashes expire" in told and "Redis 6.2" in told
    times = raw(modern.client()).execute_command("HPEXPIRETIME", "h", "FIELDS", 2, "a", "c")
    assert times == [LATER, -1]


# --- keys that exist ---


def test_keys_that_exist(server: RedisProcess, params: dict[str, Any]) -> None:
    write(params, strings(3) + line("mine:1", "list", ["other type"]) + line("mine:list", value="new"))
    with nothing_written(server):
        failure = refused("redis_import", params, "2 of 5 keys", "line 4 (key mine:1)", "line 5", "on_conflict=skip")
        assert failure.result["failed_keys"] == [
            {"line": 4, "key": "mine:1", "why": "a key of this name exists"},
            {"line": 5, "key": "mine:list", "why": "a key of this name exists"},
        ]
        assert (failure.result["imported"], failure.result["failed_count"]) == (0, 2)
        plan = run_module("redis_import", {**params, "on_conflict": "skip"}, check=True)
        assert (plan["changed"], plan["imported"], plan["skipped_count"]) == (True, 3, 2)
        plan = run_module("redis_import", {**params, "on_conflict": "replace"}, check=True, diff=True)
        assert (plan["imported"], plan["replaced"]) == (5, 2)
        assert plan["actions"] == ["3 keys would be created, 2 replaced, 0 skipped"]
        assert plan["diff"]["after"] == "3 keys created\n2 keys replaced\n"
        refused("redis_import", params, "2 of 5 keys", check=True)
    done = run_module("redis_import", {**params, "on_conflict": "skip"})
    assert (done["imported"], done["skipped_count"]) == (3, 2)
    with raw(server.client()) as client:
        assert client.execute_command("TYPE", "mine:list") == b"list"
        # Nothing is merged, and no type is in the way.
        done = run_module("redis_import", {**params, "on_conflict": "replace"})
        assert (done["imported"], done["replaced"]) == (5, 5)
        assert client.execute_command("GET", "mine:list") == b"new"
        assert client.execute_command("LRANGE", "mine:1", 0, -1) == [b"other type"]
        assert client.execute_command("EXISTS", "mine:2") == 1


def test_an_expiry_goes_with_the_key_it_belonged_to(server: RedisProcess, params: dict[str, Any]) -> None:
    with raw(server.client()) as client:
        for key in ("user:0", "l"):
            client.execute_command("SET", key, "old", "PX", HOUR_MS)
        write(params, line("user:0") + line("l", "list", ["a"]))
        run_here({**params, "on_conflict": "replace"})
        assert [client.execute_command("PTTL", key) for key in ("user:0", "l")] == [-1, -1]


def test_a_key_that_comes_twice(server: RedisProcess, params: dict[str, Any]) -> None:
    """As the scan of a busy server may show it."""
    write(params, line("a", "hash", {"f": "1"}) + line("b") + line("a", "hash", {"f": "1"}) + line("b", value="2"))
    failure = refused_here(params, "line 4 (key b)", "with another value", "2 keys are there now")
    assert failure["failed_count"] == 1
    server.client().delete("a", "b")
    write(params, line("a", "hash", {"f": "1"}) + line("a", "hash", {"f": "1"}))
    done = run_here(params)
    assert (done["imported"], done["repeated"]) == (1, 1)


def test_what_an_earlier_run_wrote_is_known_again(
    build: Build, make_server: MakeServer, params: dict[str, Any]
) -> None:
    """The first run left a journal, since a line was bad: whatever exists is held against the file."""
    server = make_server(build)
    members = {f"member {n}": n / 7 for n in range(300)}
    text = (
        line("s", expire_at_ms=LATER)
        + line("l", "list", ["a", "b"])
        + line("t", "set", list(members))
        + line("z", "zset", [list(pair) for pair in members.items()], expire_at_ms=LATER)
        + line("h", "hash", {name: str(n) for name, n in members.items()}, fields_expire_at_ms={"member 1": LATER})
        + line("x", "stream", {**stream_part(range(3, 6)), "entries": [["5-0", [["f", "v"]]]]})
        + parts_of("p", "list", [["a"], ["b"]], expire_at_ms=LATER)
        + parts_of("q", "set", [["a"], ["b"]])
    )
    write(params, text + "nonsense")
    given = {**params, **server.connection, "validate": False}
    for _run in range(3):
        failure = refused_here(given, "1 keys", "line 11", "8 keys are there now")
        assert (failure["imported"], failure["failed_count"]) == (8, 1)
    with raw(server.client()) as client:
        client.execute_command("APPEND", "s", "x")
        client.execute_command("PERSIST", "z")
        client.execute_command("HSET", "h", "member 2", "x")
        client.execute_command("XACK", "x", "g", "5-0")
        client.execute_command("SET", "q", "other")
        client.execute_command("DEL", "l")
        failure = refused_here(given, "6 keys", "3 keys are there now")
        assert [each["line"] for each in failure["failed_keys"]] == [1, 4, 5, 6, 10, 11]
        assert client.execute_command("LRANGE", "l", 0, -1) == [b"a", b"b"]
        assert client.execute_command("KEYS", "redis_backup:*") == []


# --- what is bad ---

BAD_LINES = {
    "no JSON": "{nonsense",
    "a cut line": line()[:-9],
    "not an object": "[1, 2]\n",
    "wrong type of value": line(kind="list", value="text"),
    "unknown type": line(kind="tree", value={}),
    "no base64": line(value={"base64": "###"}),
    "base64 cut": line(value={"base64": "AAA"}),
    "empty list": line(kind="list", value=[]),
    "score that is none": line(kind="zset", value=[["a", "many"]]),
    "score NaN": '{"key": "k", "type": "zset", "value": [["a", NaN]]}\n',
    "key missing": '{"type": "string", "value": "v"}\n',
    "expiry no number": line(expire_at_ms="soon"),
    "no UTF-8": b'{"key": "\xff", "type": "string", "value": "v"}\n',
    "stream out of order": line(
        kind="stream",
        value={
            "entries": [["2-0", [["a", "b"]]], ["1-0", [["a", "b"]]]],
            "last_id": "2-0",
            "entries_added": 2,
            "max_deleted_id": "0-0",
            "groups": [],
        },
    ),
    "payload of nothing": line(kind="string", value="AAAA", encoding="dump"),
    "database that is not there": line(db=16),
}


@pytest.mark.parametrize("name", BAD_LINES)
def test_bad_lines(server: RedisProcess, params: dict[str, Any], name: str) -> None:
    bad = BAD_LINES[name]
    bad = bad if isinstance(bad, bytes) else bad.encode()
    good = strings(3).encode()
    whole = bad.endswith(b"\n")
    write(params, good + bad + (line("last").encode() if whole else b""))
    with nothing_written(server):
        failure = refused_here(params, "1 of ", "line 4", "Nothing was changed", "Mend them, or")
        (told,) = failure["failed_keys"]
        assert told["line"] == 4 and told["why"]
        assert failure["failed_count"] == 1
        assert not os.path.exists(params["state_dir"] + "/imports") or not os.listdir(params["state_dir"] + "/imports")
    # Where it is wanted, the others are written, and the bad one is still told.
    failure = refused_here({**params, "validate": False}, "line 4", "not touched")
    assert (failure["imported"], failure["failed_count"]) == (3 + whole, 1)
    assert server.client().exists("user:0", "user:1", "user:2", "last") == 3 + whole


def test_the_first_twenty_are_named(server: RedisProcess, params: dict[str, Any]) -> None:
    write(params, "".join(line("k", "list", n) + line(f"user:{n}") for n in range(50)))
    with nothing_written(server):
        failure = refused_here(params, "50 of 100 keys", "line 1", "and 45 more")
    assert [each["line"] for each in failure["failed_keys"]] == list(range(1, 41, 2))
    assert failure["failed_count"] == 50


def test_files_that_are_none(server: RedisProcess, params: dict[str, Any], tmp_path: Path) -> None:
    with nothing_written(server):
        refused_here(params, "No such file")
        refused_here({**params, "path": str(tmp_path)}, "directory")
        write(params, "")
        refused_here(params, "it is empty")
        write(params, b"REDIS0011\xfa" + bytes(100))
        refused_here(params, "RDB snapshot")
        write(params, b"hello\n")
        refused_here({**params, "format": "json"}, "cannot be imported")
        write(params, line())
        refused_here({**params, "format": "dump"}, "looks like format jsonl")
        os.rename(params["path"], tmp_path / "keys.jsonl.age")
        refused_here({**params, "path": str(tmp_path / "keys.jsonl.age")}, "not encrypted with age")


def test_an_old_script_file(server: RedisProcess, params: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "users_backup.json"
    path.write_text(json.dumps({"user:1": '{"name": "Zoë"}', "user:2": "12", "user:3": None}, indent=2))
    given = {**params, "path": str(path)}
    with nothing_written(server):
        failure = refused_here(given, "key 3")
    assert failure["failed_keys"][0]["number"] == 3
    refused_here({**given, "validate": False}, "key 3", "2 keys are there now")
    assert server.client().get("user:1") == '{"name": "Zoë"}'.encode()


def test_options_that_make_no_sense(server: RedisProcess, params: dict[str, Any]) -> None:
    write(params, line())
    with nothing_written(server):
        for wrong, words in (
            ({"db": [-1]}, "negative"),
            ({"into_db": 99}, "only 16"),
            ({"keys_per_second": 0}, "more than 0"),
            ({"ttl_policy": "shift", "shift_from": "yesterday"}, "no time with a zone"),
            ({"patterns": [""]}, "empty"),
        ):
            refused_here({**params, **wrong}, words)


# --- payloads ---


def dumped(server: RedisProcess, *keys: str) -> list[bytes]:
    return [server.client().dump(key) for key in keys]


def payload_line(key: str, payload: bytes, kind: str = "string") -> str:
    return line(key, kind, base64.b64encode(payload).decode(), encoding="dump")


def test_payloads_of_newer_versions(params: dict[str, Any], make_server: MakeServer, tmp_path: Path) -> None:
    new, old = make_server(build_named("redis-8.2")), make_server(build_named("redis-7.0"))
    new.client().set("k", "v")
    path = str(tmp_path / "keys.dump")
    run_module("redis_export", {**new.connection, "path": path, "format": "dump"})
    given = {**params, **old.connection, "path": path}
    with nothing_written(old):
        refused("redis_import", given, "RDB format", "Redis 7.0", "jsonl")
    # Nor is it sent where nothing is checked before.
    refused("redis_import", {**given, "validate": False}, "RDB format", "0 keys are there now")
    assert old.client().dbsize() == 0


def test_damaged_payloads(server: RedisProcess, params: dict[str, Any]) -> None:
    server.client().set("source", "value" * 10)
    (payload,) = dumped(server, "source")
    damaged = bytearray(payload)
    damaged[5] ^= 1
    write(params, payload_line("good", payload) + payload_line("bad", bytes(damaged)))
    with nothing_written(server):
        refused_here(params, "line 2 (key bad)", "checksum")
    refused_here({**params, "validate": False}, "line 2 (key bad)", "1 keys are there now")
    assert server.client().get("good") == b"value" * 10


# --- servers that refuse ---


def test_a_replica(server: RedisProcess, params: dict[str, Any], make_server: MakeServer) -> None:
    replica = make_server(server.build, conf={"replicaof": f"127.0.0.1 {server.port}"})
    wait_for(lambda: replica.client().info()["master_link_status"] == "up", "the replica")
    write(params, line())
    with nothing_written(server):
        refused("redis_import", {**params, **replica.connection}, "is a replica", f"127.0.0.1:{server.port}")


def test_too_little_memory(server: RedisProcess, params: dict[str, Any]) -> None:
    client = server.client()
    client.config_set("maxmemory", client.info("memory")["used_memory"] + 1_000_000)
    write(params, "".join(line(f"user:{n}", value="x" * 1000) for n in range(2000)))
    with nothing_written(server):
        refused_here(params, "maxmemory", "Nothing was changed")
    # Not foreseen, since nothing is looked at before: it ends in the middle, and goes on when there is room.
    failure = refused_here({**params, "validate": False}, "OOM", "run the same again", "Raise maxmemory")
    there = failure["imported"]
    assert 0 < there < 2000
    assert client.dbsize() == there + 11
    client.config_set("maxmemory", 0)
    done = run_here({**params, "validate": False})
    assert (done["imported"], done["resumed"]) == (2000, True)
    assert client.dbsize() == 2011


def test_eviction_is_told(server: RedisProcess, params: dict[str, Any]) -> None:
    client = server.client()
    client.config_set("maxmemory-policy", "allkeys-lru")
    client.config_set("maxmemory", client.info("memory")["used_memory"] + 1_000_000)
    write(params, "".join(line(f"user:{n}", value="x" * 1000) for n in range(2000)))
    (told,) = run_here(params)["warnings"]
    assert "allkeys-lru" in str(told)


def test_rights_that_are_missing(server: RedisProcess, params: dict[str, Any]) -> None:
    client = server.client()
    client.acl_setuser("loader", enabled=True, passwords=["+s3cret-enough"], keys=["user:*"], commands=["+@all"])
    given = {**params, "login_user": "loader", "login_password": "s3cret-enough"}
    write(params, strings(3))
    assert run_module("redis_import", given)["imported"] == 3
    write(params, line("user:9", "list", ["a"]))
    refused("redis_import", given, "NOPERM", "redis_backup:import:")
    raw(client).execute_command("ACL", "SETUSER", "loader", "~redis_backup:import:*")
    assert run_module("redis_import", given)["imported"] == 1


def test_a_database_that_is_not_there_and_nobody_tells(server: RedisProcess, params: dict[str, Any]) -> None:
    raw(server.client()).execute_command("ACL", "SETUSER", "loader", "on", ">s3cret-enough", "~*", "+@all", "-config")
    given = {**params, "login_user": "loader", "login_password": "s3cret-enough"}
    write(params, line("far", db=16) + line("far", "list", ["a"], db=99) + line("near", db=15))
    with nothing_written(server):
        refused("redis_import", given, "2 of 3 keys", "line 1 (key far)", "out of range", "into_db")
    assert run_module("redis_import", {**given, "db": [15]})["imported"] == 1


def test_renamed_commands(any_build: Build, make_server: MakeServer, params: dict[str, Any]) -> None:
    conf = {"rename-command": ["SET S1", "MULTI M1", "RPUSH P1", "UNLINK U1"]}
    server = make_server(any_build, conf=conf)
    write(params, strings(3) + line("l", "list", ["a"]))
    names = {"set": "S1", "multi": "M1", "rpush": "P1", "unlink": "U1"}
    done = run_module("redis_import", {**params, **server.connection, "command_map": names})
    assert done["imported"] == 4


# --- in the middle ---

MANY = 24_000


def while_importing(params: dict[str, Any], server: RedisProcess, act: Callable[[], object]) -> ModuleFailed:
    """Start a slow import of many keys, do something once it has begun, and return its failure."""
    before = server.client().dbsize()
    process = start_module("redis_import", params)
    wait_for(lambda: server.client().dbsize() > before + 1000, "the first keys")
    act()
    with pytest.raises(ModuleFailed) as caught:
        finish(process, "redis_import")
    assert_told(caught.value.msg, "run the same again")
    return caught.value


@pytest.fixture
def slow(params: dict[str, Any]) -> dict[str, Any]:
    """An import that takes some seconds."""
    write(params, "".join(line(f"user:{n}", "hash", {"n": str(n)}) for n in range(MANY)))
    return {**params, "keys_per_second": 12000}


def assert_whole(server: RedisProcess, others: int = 11) -> None:
    """All keys of `slow` are there once, and nothing else but the server's own."""
    with raw(server.client()) as client:
        assert client.execute_command("DBSIZE") == MANY + others
        assert client.execute_command("HGETALL", f"user:{MANY - 1}") == [b"n", b"%d" % (MANY - 1)]
        assert client.execute_command("KEYS", "redis_backup:*") == []


def test_a_failover_in_the_middle(server: RedisProcess, slow: dict[str, Any]) -> None:
    failure = while_importing(slow, server, lambda: server.client().replicaof("127.0.0.1", 1))
    assert_told(failure.msg, "READONLY", "new primary")
    server.client().replicaof("NO", "ONE")
    assert run_module("redis_import", slow)["imported"] == MANY
    assert_whole(server)


def test_a_connection_lost_in_the_middle(server: RedisProcess, slow: dict[str, Any]) -> None:
    def cut() -> None:
        server.client().client_kill_filter(_type="normal", skipme=True)

    failure = while_importing(slow, server, cut)
    assert_told(failure.msg, "did not answer")
    done = run_module("redis_import", {**slow, "keys_per_second": None})
    assert (done["imported"], done["resumed"]) == (MANY, True)
    assert_whole(server)


def test_a_server_killed_in_the_middle(server: RedisProcess, slow: dict[str, Any]) -> None:
    """What it confirmed is lost with it: all of it is written again."""
    while_importing(slow, server, server.kill)
    server.start()
    assert server.client().dbsize() == 0
    done = run_module("redis_import", {**slow, "keys_per_second": None})
    assert (done["imported"], done["resumed"]) == (MANY, True)
    assert_whole(server, 0)


def test_one_import_at_a_time(server: RedisProcess, slow: dict[str, Any]) -> None:
    process = start_module("redis_import", slow)
    wait_for(lambda: server.client().dbsize() > 100, "the first keys")
    refused("redis_import", {**slow, "keys_per_second": None}, "another run is importing")
    assert finish(process)["imported"] == MANY
    assert_whole(server)


def test_a_key_that_appears_meanwhile(server: RedisProcess, slow: dict[str, Any]) -> None:
    process = start_module("redis_import", slow)
    wait_for(lambda: server.client().dbsize() > 100, "the first keys")
    client = server.client()
    client.set(f"user:{MANY - 1}", "an application's")
    with pytest.raises(ModuleFailed) as caught:
        finish(process)
    assert_told(caught.value.msg, f"line {MANY}", "with another value")
    assert caught.value.result["imported"] == MANY - 1
    assert client.get(f"user:{MANY - 1}") == b"an application's"
    # The same again: what is there is known, and the one is still in the way.
    failure = refused("redis_import", {**slow, "keys_per_second": None}, f"line {MANY}")
    assert failure.result["imported"] == MANY - 1
    client.delete(f"user:{MANY - 1}")
    assert run_module("redis_import", {**slow, "keys_per_second": None})["imported"] == MANY
    assert_whole(server)


def test_a_file_that_changes_meanwhile(server: RedisProcess, slow: dict[str, Any]) -> None:
    """A new file is a new import."""

    def change() -> None:
        write(slow, strings(5))
        server.client().client_kill_filter(_type="normal", skipme=True)

    while_importing(slow, server, change)
    server.client().flushall()
    done = run_module("redis_import", slow)
    assert (done["imported"], done["resumed"]) == (5, False)


# --- a cluster ---


def test_a_cluster(any_build: Build, make_server: MakeServer, params: dict[str, Any]) -> None:
    nodes = make_cluster(make_server, any_build)
    given = {**params, **nodes[2].connection}
    write(params, strings(200) + line("far", db=1))
    refused("redis_import", given, "line 201 (key far)", "only database 0")
    assert [node.client().dbsize() for node in nodes] == [0, 0, 0]
    write(params, strings(200) + line("mine}{", "list", ["a"]))
    assert run_module("redis_import", given)["imported"] == 201
    assert sum(node.client().dbsize() for node in nodes) == 201
    refused("redis_import", given, "201 of 201 keys", "exists")
    # A slot on its way is refused before; one that has gone elsewhere meanwhile is followed.
    with nodes[0].client() as client:
        client.execute_command("CLUSTER", "SETSLOT", 0, "MIGRATING", nodes[1].client().execute_command("CLUSTER MYID"))
        refused("redis_import", given, "on their way")
        client.execute_command("CLUSTER", "SETSLOT", 0, "STABLE")
        client.execute_command("CLUSTER", "DELSLOTS", 0)
    wait_for(lambda: b"cluster_state:fail" in raw(nodes[0].client()).execute_command("CLUSTER", "INFO"), "a gap")
    refused("redis_import", {**params, **nodes[0].connection}, "cluster")


def test_slots_that_move_meanwhile(any_build: Build, make_server: MakeServer, slow: dict[str, Any]) -> None:
    nodes = make_cluster(make_server, any_build)
    first: dict[int, int] = {}  # the first key of each slot
    for n in range(MANY):
        first.setdefault(binascii.crc_hqx(b"user:%d" % n, 0) % 16384, n)
    late = sorted(slot for slot, n in first.items() if n > MANY // 2 and slot < 16384 // 3)
    assert len(late) > 20
    process = start_module("redis_import", {**slow, **nodes[0].connection})
    wait_for(lambda: nodes[0].client().dbsize() > 100, "the first keys")
    give_slots(nodes, late[:20], nodes[2])
    assert finish(process)["imported"] == MANY
    assert sum(node.client().dbsize() for node in nodes) == MANY


# --- killed ---


@pytest.mark.parametrize("conflict", ["fail", "replace", pytest.param("skip", marks=pytest.mark.long)])
def test_killed_at_any_instant(
    server: RedisProcess, params: dict[str, Any], long: bool, conflict: str, make_server: MakeServer
) -> None:
    """Then run again: all is there once, nothing else has changed."""
    count = 40_000 if long else 22_000
    large = [
        line("large", "list", ["x" * 1000] * 4000, part=part, more=part < 4, expire_at_ms=LATER) for part in range(5)
    ]
    lines = [
        line(f"user:{n}", "hash", {"n": str(n)}) if n % 3 else line(f"user:{n}", expire_at_ms=LATER)
        for n in range(count)
    ]
    write(params, "".join([*lines[: count // 2], *large, *lines[count // 2 :]]))
    given = {**params, "on_conflict": conflict}
    client = server.client()
    mine = snapshot_values(client)
    reference = make_server(server.build)
    run_module("redis_import", {**given, **reference.connection})
    wanted = {**snapshot_values(reference.client()), **mine}
    for number in range(12 if long else 1):
        client.flushall()
        client.mset({f"mine:{n}": n for n in range(10)})
        client.rpush("mine:list", "a", "b")
        kills = 0
        while kills <= number % 3:
            process = start_module("redis_import", given)
            instant = 11 + (number * 7919 + kills * 104_729) % count
            reached = wait_until_keys(client, instant, process)
            process.kill()
            process.communicate(timeout=60)
            kills += 1
            if not reached:
                break
        done = run_module("redis_import", given)
        assert done["imported"] + done["skipped_count"] == count + 1, done
        assert differences(wanted, snapshot_values(client)) == [], (number, instant)
        assert not list((Path(params["state_dir"]) / "imports").iterdir())


def wait_until_keys(client: Any, count: int, process: subprocess.Popen[bytes]) -> bool:
    """Wait for a number of keys; False when the import has ended before."""
    while client.dbsize() < count:
        if process.poll() is not None:
            return False
    return True


def test_killed_while_a_large_value_is_built(server: RedisProcess, params: dict[str, Any]) -> None:
    """What there is of it is removed by the next run, and by the server itself where there is none."""
    parts = [
        line("large", "set", [f"{part} {n}" for n in range(5000)], part=part, more=part < 99) for part in range(100)
    ]
    write(params, "".join(parts))
    client = server.client()
    process = start_module("redis_import", params)
    (name,) = wait_for(lambda: client.keys("redis_backup:import:*"), "the first part")
    process.kill()
    process.communicate(timeout=60)
    assert not client.exists("large")
    assert 0 < client.pttl(name) <= 15 * 60 * 1000
    done = run_module("redis_import", params)
    assert (done["imported"], done["resumed"]) == (1, True)
    assert client.scard("large") == 500_000 and client.ttl("large") == -1
    assert client.keys("redis_backup:*") == []


def parts_of(key: str, kind: str, values: list[Any], **members: Any) -> str:
    last = len(values) - 1
    return "".join(line(key, kind, v, part=n, more=n < last, **members) for n, v in enumerate(values))


def stream_part(numbers: range) -> dict[str, Any]:
    pending = [[f"{n}-0", "alice", 1_700_000_000_000, n] for n in (1, 2, 5)]
    group = {"name": "g", "last_delivered_id": "5-0", "entries_read": 5, "consumers": ["alice", "bob"]}
    return {
        "entries": [[f"{n}-0", [["f", str(n)]]] for n in numbers],
        "last_id": "9-0",
        "entries_added": 9,
        "max_deleted_id": "2-0",
        "groups": [{**group, "pending": pending}] if 5 in numbers else [],
    }


@pytest.mark.parametrize("conflict", ["fail", "skip", "replace"])
def test_values_in_parts(server: RedisProcess, params: dict[str, Any], conflict: str) -> None:
    write(
        params,
        parts_of("p:l", "list", [["a", "b"], ["c"], ["d"]], expire_at_ms=LATER)
        + parts_of("p:s", "set", [["a", "b"], ["b", "c"]])
        + line("p:small")
        + parts_of("p:z", "zset", [[["a", 1]], [["b", "inf"]]])
        + parts_of("p:h", "hash", [{"a": "1"}, {"b": "2"}])
        + parts_of("p:string", "string", ["abc", "def", {"base64": "/w=="}], expire_at_ms=LATER)
        + parts_of("p:x", "stream", [stream_part(range(1, 2)), stream_part(range(3, 6))])
        + parts_of("p:past", "list", [["a"], ["b"]], expire_at_ms=1),
    )
    with raw(server.client()) as client:
        client.execute_command("SET", "p:l", "in the way", "PX", HOUR_MS)
        given = {**params, "on_conflict": conflict}
        if conflict == "fail":
            with nothing_written(server):
                refused_here(given, "line 1 (key p:l)", "exists")
            client.execute_command("DEL", "p:l")
        done = run_here(given)
        assert (done["imported"], done["replaced"]) == (7 - (conflict == "skip"), int(conflict == "replace"))
        assert (done["skipped_count"], done["expired"]) == (int(conflict == "skip"), 1)
        if conflict == "skip":
            assert client.execute_command("GET", "p:l") == b"in the way"
        else:
            assert client.execute_command("LRANGE", "p:l", 0, -1) == [b"a", b"b", b"c", b"d"]
            assert client.execute_command("PEXPIRETIME", "p:l") == LATER
        assert set(client.execute_command("SMEMBERS", "p:s")) == {b"a", b"b", b"c"}
        assert client.execute_command("ZRANGE", "p:z", 0, -1, "WITHSCORES") == [b"a", b"1", b"b", b"inf"]
        assert client.execute_command("HGETALL", "p:h") == [b"a", b"1", b"b", b"2"]
        assert client.execute_command("GET", "p:string") == b"abcdef\xff"
        assert [client.execute_command("PEXPIRETIME", key) for key in ("p:string", "p:x", "p:h")] == [LATER, -1, -1]
        assert client.execute_command("EXISTS", "p:past") == 0
        assert client.execute_command("XLEN", "p:x") == 4
        # The message 2-0 is gone, and what was pending of it is not told from what is yet to come.
        pending = client.execute_command("XPENDING", "p:x", "g", "-", "+", 9)
        assert [(entry, times) for entry, _consumer, _idle, times in pending] == [(b"1-0", 1), (b"5-0", 5)]
        assert client.execute_command("KEYS", "redis_backup:*") == []
    assert "1 pending entries" in str(done["warnings"])


def test_a_large_value_that_is_not_whole(server: RedisProcess, params: dict[str, Any]) -> None:
    first, second, third = (line("large", "list", [str(n)], part=n, more=n < 2) for n in range(3))
    other = line("other")
    for text, where in (
        (first + second + other, "line 3"),
        (first + third + other, "line 2"),
        (second + third + other, "line 1"),
        (first + "nonsense\n" + third + other, "line 2"),
        (other + first + second, "line 3"),
    ):
        write(params, text)
        with nothing_written(server):
            refused_here(params, where)
        refused_here({**params, "validate": False}, where)
        assert server.client().keys("[lor]*") == [b"other"]
        server.client().delete("other")


def test_a_throttle(server: RedisProcess, params: dict[str, Any]) -> None:
    write(params, strings(2000))
    done = run_module("redis_import", {**params, "keys_per_second": 2000})
    assert done["imported"] == 2000
    assert done["keys_per_second"] <= 2500


def test_what_watches_a_key_sees_it_whole(server: RedisProcess, params: dict[str, Any]) -> None:
    """While keys are replaced again and again, whoever reads them finds all of the old or all of the new."""
    write(params, "".join(line(f"h:{n}", "hash", {"a": "new", "b": "new", "c": "new"}) for n in range(3000)))
    client = raw(server.client())
    for n in range(3000):
        client.execute_command("HSET", f"h:{n}", "a", "old", "b", "old", "c", "old")
    found: set[tuple[bytes, ...]] = set()
    ended = threading.Event()

    def watch() -> None:
        with raw(server.client()) as reader:
            n = 0
            while not ended.is_set():
                n = (n + 1) % 3000
                found.add(tuple(reader.execute_command("HMGET", f"h:{n}", "a", "b", "c")))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        run_module("redis_import", {**params, "on_conflict": "replace"})
    finally:
        ended.set()
        watcher.join()
    assert found <= {(b"old",) * 3, (b"new",) * 3}
