# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""redis_import and redis_export where somebody means ill, or a server lacks what they rest on."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.globalscope.redis_backup.plugins.module_utils._errors import RedisBackupError
from ansible_collections.globalscope.redis_backup.plugins.module_utils._keys.formats import Piece
from ansible_collections.globalscope.redis_backup.plugins.module_utils._keys.from_repository import (
    StoredExport,
    find_export,
    import_export,
)
from ansible_collections.globalscope.redis_backup.plugins.module_utils._keys.importing import ImportRequest
from ansible_collections.globalscope.redis_backup.plugins.module_utils._repository.open import open_store
from ansible_collections.globalscope.redis_backup.plugins.module_utils._server.connection import Login

from support.modules import ModuleFailed, run_module
from support.servers import Build, RedisProcess
from support.untouched import refused
from support.values import snapshot_values

MakeServer = Callable[..., RedisProcess]


def line(key: str, kind: str, value: Any, **members: Any) -> str:
    return json.dumps({"db": 0, "key": key, "type": kind, "value": value, **members}) + "\n"


@pytest.fixture
def server(any_build: Build, make_server: MakeServer) -> RedisProcess:
    """A server with a key of its own."""
    found = make_server(any_build)
    found.client().hset("live", "mine", "1")
    return found


@pytest.fixture
def params(server: RedisProcess, tmp_path: Path) -> dict[str, Any]:
    return {**server.connection, "path": str(tmp_path / "keys.jsonl"), "state_dir": str(tmp_path / "state")}


def user_without(server: RedisProcess, *rights: str) -> dict[str, str]:
    """A user who may do all but that."""
    server.client().execute_command("ACL", "SETUSER", "u", "on", ">pw", "~*", "+@all", *rights)
    return {"login_user": "u", "login_password": "pw"}


@pytest.mark.parametrize("denied", [["-multi"], ["-exec"], ["-multi", "-hset"], ["-exec", "-hset"]], ids=" ".join)
@pytest.mark.parametrize("conflict", ["fail", "replace"])
@pytest.mark.parametrize("parts", [False, True], ids=["whole", "in parts"])
def test_no_transactions_no_keys(
    server: RedisProcess, params: dict[str, Any], denied: list[str], conflict: str, parts: bool
) -> None:
    """Without MULTI, what should happen at once would happen one by one: a live key deleted, its heir refused."""
    name = "live" if conflict == "replace" else "new"
    text = line(name, "hash", {"a": "b"})
    if parts:
        text = line(name, "hash", {"a": "b"}, part=0, more=True) + line(name, "hash", {"c": "d"}, part=1, more=False)
    Path(params["path"]).write_text(text)
    before = snapshot_values(server.client())
    login = user_without(server, *denied)
    with pytest.raises(ModuleFailed, match=r"refused (MULTI|EXEC): .*NOPERM") as caught:
        run_module("redis_import", {**params, **login, "on_conflict": conflict})
    assert "0 keys are there for sure" in caught.value.msg
    assert snapshot_values(server.client()) == before


def test_strings_need_no_transactions(server: RedisProcess, params: dict[str, Any]) -> None:
    Path(params["path"]).write_text(line("s", "string", "v"))
    assert run_module("redis_import", {**params, **user_without(server, "-multi", "-exec")})["imported"] == 1


def test_a_refusal_tells_no_value(any_build: Build, make_server: MakeServer, params: dict[str, Any]) -> None:
    """A server repeats the arguments of a command that it does not know."""
    server = make_server(any_build, conf={"rename-command": ['HSET ""', 'SET ""']})
    Path(params["path"]).write_text(line("s", "string", "hush-1") + line("h", "hash", {"hush-2": "hush-3"}))
    with pytest.raises(ModuleFailed, match="unknown command") as caught:
        run_module("redis_import", {**params, **server.connection})
    assert "hush" not in str(caught.value.result) + caught.value.msg


def test_a_fifo_is_no_file(server: RedisProcess, params: dict[str, Any], tmp_path: Path) -> None:
    """And nobody waits for who might be at its other end."""
    os.mkfifo(params["path"])
    refused("redis_import", params, "is no file")
    os.mkfifo(tmp_path / ".out.jsonl.part")
    refused("redis_export", {**server.connection, "path": str(tmp_path / "out.jsonl")}, "out.jsonl.part")
    assert not (tmp_path / "out.jsonl").exists()


@pytest.mark.parametrize("limit", ["inf", "nan", "-1"])
def test_a_speed_that_is_none(server: RedisProcess, params: dict[str, Any], limit: str) -> None:
    Path(params["path"]).write_text(line("s", "string", "v"))
    refused("redis_import", {**params, "keys_per_second": limit}, "must be more than 0, and finite")


class Swapped(StoredExport):
    """An export whose bytes are others when they are read a second time."""

    def __init__(self, export: StoredExport, path: Path, second: bytes) -> None:
        super().__init__(export.store, export.manifest)
        self._path, self._turns = path, [path.read_bytes(), second]

    def prove(self) -> None:
        super().prove()
        self._turns.pop(0)

    def pieces(self) -> Iterator[Piece]:
        self._path.write_bytes(self._turns.pop(0))
        return super().pieces()


@pytest.mark.parametrize("validate", [True, False])
@pytest.mark.parametrize("form", ["jsonl", "dump"])
def test_a_repository_that_says_another_thing_the_second_time(
    any_build: Build, make_server: MakeServer, server: RedisProcess, tmp_path: Path, form: str, validate: bool
) -> None:
    """Its first answer was proven; its second is held against the first before anything of it is written."""
    server.client().mset({f"key:{number}": f"right {number * 7919}" for number in range(25_000)})
    place = {"name": "local", "path": str(tmp_path)}
    common = {"instance": "shop", "state_dir": str(tmp_path / "state")}
    given = {**server.connection, **common, "repositories": [place], "name": "keys", "format": form}
    label = run_module("redis_export", given)
    target = make_server(any_build)
    export = find_export(open_store({**place, "type": "posix"}), "shop", label=label["export"]["label"])
    path = tmp_path / "shop" / "export" / label["export"]["label"] / f"keys.{form}.zst"
    good = path.read_bytes()
    plain = subprocess.run(["zstd", "-dc"], input=good, stdout=subprocess.PIPE, check=True).stdout
    bad = plain.replace(b"right ", b"wrong ")
    packed = subprocess.run(["zstd", "-19", "-c"], input=bad, stdout=subprocess.PIPE, check=True).stdout
    room = len(good) - len(packed) - 8  # filled, so that the size is right: a frame to be skipped
    packed += b"\x50\x2a\x4d\x18" + room.to_bytes(4, "little") + bytes(room)
    login = Login(port=target.port, password=target.password)
    request = ImportRequest(login, common["state_dir"], validate=validate)
    with pytest.raises(RedisBackupError, match="holds other bytes now than when they were proven"):
        import_export(Swapped(export, path, packed), request)
    assert target.client().dbsize() == 0
    path.write_bytes(good)
    import_export(export, request)
    assert snapshot_values(target.client()) == snapshot_values(server.client())


@pytest.mark.parametrize("conflict", ["skip", "replace"])
@pytest.mark.parametrize("check", [True, False])
def test_names_that_meet_are_told(params: dict[str, Any], conflict: str, check: bool) -> None:
    """One of two keys is lost, and no count says so."""
    text = line("a:1", "string", "one") + line("b:1", "string", "two")
    Path(params["path"]).write_text(text + line("a:2", "string", "three", db=1))
    given = {**params, "on_conflict": conflict}
    told = run_module("redis_import", {**given, "rename": {"from": "a:", "to": "b:"}}, check=check)["warnings"]
    kept = "the first is kept" if conflict == "skip" else "the last is kept"
    assert [words for words in told if "called so already" in str(words) and kept in str(words)]
    told = run_module("redis_import", {**given, "into_db": 3}, check=check)["warnings"]
    assert [words for words in told if "2 databases come into one" in str(words) and kept in str(words)]
    assert "warnings" not in run_module("redis_import", {**given, "rename": {"from": "a:", "to": "c:"}}, check=check)
