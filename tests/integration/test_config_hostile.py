# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an adversary found: hands that set half of a thing, neighbours, planted links, and words that tell too much."""

from __future__ import annotations

import json
import os
import pwd
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from support.enforcing import conf_says, enforce, params, place_of, restarted, running, write_keys
from support.modules import ModuleFailed, finish, run_module, start_module
from support.servers import Build, RedisProcess
from support.untouched import assert_told, untouched
from support.waiting import wait_for

MakeServer = Callable[..., RedisProcess]
KEYS = 1000
SECRET = "correct-horse-battery"


@pytest.fixture
def filled(layout: Build, make_server: MakeServer) -> Callable[..., RedisProcess]:
    """A running server with keys, saved in its RDB."""

    def make(**conf: Any) -> RedisProcess:
        server = make_server(layout, conf={name.replace("_", "-"): value for name, value in conf.items()})
        with server.client() as client:
            write_keys(client, KEYS)
            client.execute_command("SAVE")
        return server

    return make


def settable(build: Build) -> dict[str, str]:
    """What lets `dir` and `dbfilename` be set in a running server."""
    return {"enable_protected_configs": "yes"} if build.version >= (7,) else {}


def refused(server: RedisProcess, settings: dict[str, Any], *needles: str, **more: Any) -> None:
    """The module fails with these words and changes no file."""
    with untouched(server.conf_path.parent), pytest.raises(ModuleFailed) as failure:
        enforce(server, settings, **more)
    assert_told(failure.value.msg, "shop", *needles)


# --- half set by hands, or only half to be set ---


def test_rdb_renamed_while_only_the_running_server_has_an_aof(filled: Callable[..., RedisProcess]) -> None:
    """The next start reads the RDB, as redis.conf says, and must find it."""
    server = filled()
    with server.client() as client:
        client.config_set("appendonly", "yes")
    assert enforce(server, {"dbfilename": "new.rdb"})["deferred"] == ["dbfilename"]
    restarted(server, KEYS, "behind the run")


@pytest.mark.parametrize("name", ["dir", "dbfilename"])
def test_place_changed_in_the_file_alone(layout: Build, filled: Callable[..., RedisProcess], name: str) -> None:
    server = filled(**settable(layout))
    value = str(server.directory) if name == "dir" else "new.rdb"
    assert enforce(server, {name: value}, apply="file")["deferred"] == [name]
    restarted(server, KEYS, "behind the run")


@pytest.mark.parametrize("name", ["dir", "dbfilename"])
def test_place_changed_where_config_is_renamed(layout: Build, make_server: MakeServer, name: str) -> None:
    server = make_server(layout, conf={"rename-command": "CONFIG hidden-config"})
    with server.client() as client:
        write_keys(client, KEYS)
        client.execute_command("SAVE")
    value = str(server.directory) if name == "dir" else "new.rdb"
    assert enforce(server, {name: value})["deferred"] == [name]
    restarted(server, KEYS, "behind the run")


@pytest.mark.parametrize("aof", ["yes", "no"])
@pytest.mark.parametrize("name", ["dir", "dbfilename"])
def test_file_follows_a_place_set_by_hand(
    layout: Build, filled: Callable[..., RedisProcess], name: str, aof: str
) -> None:
    """Only when the data lies there."""
    server = filled(appendonly=aof, **settable(layout))
    value = str(server.directory) if name == "dir" else "new.rdb"
    with server.client() as client:
        client.config_set(name, value)
    assert enforce(server, {name: value})["changed"]
    assert conf_says(server, name) == value
    restarted(server, KEYS, "behind the run")


@pytest.mark.parametrize("wanted", ["yes", "no"])
def test_config_rewrite_amid_a_switch(layout: Build, filled: Callable[..., RedisProcess], wanted: str) -> None:
    """Sentinel writes the half-made switch into redis.conf: the run fails, and takes it out again."""
    server = filled(appendonly="no" if wanted == "yes" else "yes", save="3600 1")
    with server.client(decode_responses=True) as client:
        client.config_set("rdb-key-save-delay", 500)
        module = start_module("redis_config", params(server, {"appendonly": wanted}))
        wait_for(lambda: client.config_get("appendonly")["appendonly"] == wanted, "the switch")
        client.config_rewrite()
        with pytest.raises(ModuleFailed, match="changed by somebody else"):
            finish(module)
        client.config_set("rdb-key-save-delay", 0)
        assert client.config_get("appendonly")["appendonly"] == conf_says(server, "appendonly") != wanted
        write_keys(client, KEYS + 500, KEYS + 1)
    restarted(server, KEYS + 500, "behind the run", crash=False)


# --- neighbours and names ---


def test_two_servers_with_one_directory_and_one_aof(layout: Build, make_server: MakeServer) -> None:
    first = make_server(layout, conf={"save": "900 1"})
    second = make_server(layout, conf={"save": "900 1", "dir": str(first.data_dir), "dbfilename": "second.rdb"})
    for server in (first, second):
        with server.client() as client:
            write_keys(client, KEYS)
    enforce(first, {"appendonly": True})
    refused(second, {"appendonly": True}, "another server", str(first.data_dir))
    assert running(second, "appendonly") == "no"
    restarted(first, KEYS, "behind the runs")


@pytest.mark.parametrize("name", ["logfile", "pidfile", "aclfile", "unixsocket"])
def test_no_file_takes_the_place_of_the_data(filled: Callable[..., RedisProcess], name: str) -> None:
    server = filled()
    refused(server, {name: str(server.data_dir / "dump.rdb")}, name, "dbfilename")


def test_rdb_does_not_take_the_place_of_the_aof(filled: Callable[..., RedisProcess]) -> None:
    refused(filled(appendonly="yes"), {"dbfilename": "appendonly.aof"}, "dbfilename", "appendfilename")


def test_start_that_would_fail_beyond_a_throw_away_server(filled: Callable[..., RedisProcess]) -> None:
    server = filled(user="bob on >x ~* +get")
    refused(server, {"unixsocket": "/nowhere/at/all.sock"}, "/nowhere/at/all.sock")
    refused(server, {"logfile": "/nowhere/at/all.log"}, "log")
    refused(server, {"aclfile": "/nowhere/at/all.acl"}, "aclfile")
    (server.directory / "users.acl").touch()
    refused(server, {"aclfile": str(server.directory / "users.acl")}, "users in redis.conf")


def test_maxmemory_where_only_the_file_tells_the_policy(layout: Build, make_server: MakeServer) -> None:
    conf = {"rename-command": "CONFIG hidden-config", "maxmemory-policy": "allkeys-lru", "save": "900 1"}
    server = make_server(layout, conf=conf)
    with server.client() as client:
        write_keys(client, 20_000)
    refused(server, {"maxmemory": "1500kb"}, "evict")
    server.stop()
    refused(server, {"maxmemory": "1500kb"}, "evict", **place_of(server))
    enforce(server, {"maxmemory": "1500kb"}, allow_eviction=True, **place_of(server))


def test_aof_of_a_server_without_a_file_stays_on(any_build: Build, server_root: Path) -> None:
    """Its command line may say --appendonly yes."""
    server = RedisProcess(any_build, server_root / "server")
    words = ["--port", str(server.port), "--dir", str(server.data_dir), "--appendonly", "yes"]
    server._command = lambda *privileges: [*server.build_words, *words]  # type: ignore[attr-defined,method-assign]
    server.build_words = [str(any_build.executable)]  # type: ignore[attr-defined]
    server.conf_path.unlink()
    try:
        server.start()
        with pytest.raises(ModuleFailed, match="command line"):
            enforce(server, {"appendonly": False}, apply="live")
        assert running(server, "appendonly") == "yes"
    finally:
        server.destroy()


# --- planted files ---


def test_links_and_includes_bring_the_servers_user_nothing(any_build: Build, make_server: MakeServer) -> None:
    if os.geteuid():
        pytest.skip("another user needs root")
    server = make_server(any_build, user=pwd.getpwnam("nobody").pw_uid)
    closed = server.directory.parent / "closed"
    closed.write_text("root:$6$hash:19000\n")
    closed.chmod(0o600)
    text = server.conf_path.read_text()
    server.conf_path.write_text(f"{text}include {closed}\n")
    refused(server, {"hz": 15}, str(closed), "may not read")
    server.conf_path.unlink()
    server.conf_path.symlink_to(closed)
    refused(server, {"hz": 15}, str(closed), "may not read")


def test_include_that_never_ends(any_build: Build, make_server: MakeServer) -> None:
    server = make_server(any_build)
    pipe = server.directory / "pipe"
    os.mkfifo(pipe)
    text = server.conf_path.read_text()
    for path in (str(pipe), "/dev/zero"):
        server.conf_path.write_text(f"{text}include {path}\n")
        with pytest.raises(ModuleFailed, match="no regular file"):
            enforce(server, {"hz": 15})


def test_check_mode_makes_no_log(layout: Build, make_server: MakeServer) -> None:
    server = make_server(layout)
    log = server.directory / "new.log"
    assert run_module("redis_config", params(server, {"logfile": str(log)}), check=True)["changed"]
    assert not log.exists()


# --- words ---


@pytest.mark.parametrize(
    ("settings", "more"),
    [
        ({"requirepass": SECRET, "include": "x"}, {}),
        ({"masterauth": SECRET, "maxmemory": {"a": 1}}, {}),
        ({"requirepass": [SECRET, "b"]}, {}),
        ({"requirepas": SECRET}, {}),
        ({"user": [f'bob on ">{SECRET} +@all']}, {}),
        ({"loadmodule": [f"/nowhere.so password {SECRET}"]}, {}),
        ({"requirepass": SECRET}, {"backup_count": "many"}),
        ({"requirepass": SECRET}, {"no_such_option": 1}),
    ],
)
def test_failure_shows_no_secret(
    any_build: Build, make_server: MakeServer, settings: dict[str, Any], more: dict[str, Any]
) -> None:
    """Not in the parameters either, which a controller stores."""
    server = make_server(any_build)
    with pytest.raises(ModuleFailed) as failure:
        enforce(server, settings, **more)
    assert SECRET not in json.dumps(failure.value.result)


def test_bytes_that_are_no_text(any_build: Build, make_server: MakeServer) -> None:
    """A controller refuses a result with them."""
    server = make_server(any_build, start=False)
    server.conf_path.write_bytes(server.conf_path.read_bytes() + b'# caf\xe9\nsyslog-ident "caf\xe9"\n')
    server.start()
    result = run_module("redis_config", params(server, {"syslog-ident": "x"}), diff=True)
    assert result["drift"][0]["running"] == "caf\\xe9"
    json.dumps(result, ensure_ascii=False).encode()


def test_booleans_as_templates_make_them(layout: Build, make_server: MakeServer) -> None:
    server = make_server(layout)
    settings = {"appendonly": "True", "rdbcompression": "False", "supervised": "False"}
    enforce(server, settings)
    assert [conf_says(server, name) for name in settings] == ["yes", "no", "no"]
    assert not enforce(server, settings)["changed"]


def test_renamed_auth_does_not_hinder_the_proof(any_build: Build, make_server: MakeServer) -> None:
    assert enforce(make_server(any_build, conf={"rename-command": "AUTH hidden-auth"}), {"databases": 20})["changed"]
