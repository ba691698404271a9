# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""redis_import: every kind of bad input leaves all as it was."""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path
from typing import Any

import pytest

from support.imported import (
    MakeServer,
    line,
    nothing_written,
    options,
    refused_here,
    server_with_keys,
    strings,
    write,
)
from support.modules import run_module
from support.servers import Build, RedisProcess, build_named
from support.untouched import refused


@pytest.fixture
def server(any_build: Build, make_server: MakeServer) -> RedisProcess:
    return server_with_keys(any_build, make_server)


@pytest.fixture
def params(server: RedisProcess, tmp_path: Path) -> dict[str, Any]:
    return options(server, tmp_path)


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
