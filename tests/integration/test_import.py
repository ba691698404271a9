# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""redis_import: what it takes, with keys that exist, and how fast."""

from __future__ import annotations

import base64
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from support.dataset import AWKWARD, HOUR_MS, raw
from support.imported import (
    LATER,
    MakeServer,
    line,
    nothing_written,
    options,
    parts_of,
    refused_here,
    run_here,
    server_with_keys,
    stream_part,
    strings,
    write,
)
from support.machine import AgeKey
from support.modules import run_module
from support.servers import Build, RedisProcess, build_named
from support.untouched import refused


@pytest.fixture
def server(any_build: Build, make_server: MakeServer) -> RedisProcess:
    return server_with_keys(any_build, make_server)


@pytest.fixture
def params(server: RedisProcess, tmp_path: Path) -> dict[str, Any]:
    return options(server, tmp_path)


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


def test_a_throttle(server: RedisProcess, params: dict[str, Any]) -> None:
    write(params, strings(2000))
    done = run_module("redis_import", {**params, "keys_per_second": 2000})
    assert done["imported"] == 2000
    assert done["keys_per_second"] <= 2500
