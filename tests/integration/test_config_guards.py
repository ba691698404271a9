# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What redis_config refuses because it would lose keys or lock everybody out, and how it takes back what it did."""

from __future__ import annotations

import contextlib
import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.confs import config_of
from support.enforcing import (
    MODULE,
    MakeServer,
    assert_all_there,
    conf_says,
    enforce,
    params,
    place_of,
    restarted,
    running,
    write_keys,
)
from support.modules import ModuleFailed, finish, start_module
from support.servers import Build, RedisProcess, free_port
from support.untouched import assert_told, refused, untouched
from support.waiting import wait_for

KEYS = 2_000


@contextlib.contextmanager
def nothing_changes(server: RedisProcess) -> Iterator[None]:
    """Behind the block, the server has the same values, redis.conf is the same, and no key is gone."""
    with server.client() as client:
        before = config_of(client)
        with untouched(server.conf_path.parent / "data"):
            text = server.conf_path.read_bytes()
            yield
            assert server.conf_path.read_bytes() == text
        assert config_of(client) == before


@pytest.fixture
def shop(layout: Build, make_server: MakeServer) -> RedisProcess:
    """A server with keys that are saved, of a version that sets one value a call and one that sets all at once."""
    return with_keys(make_server(layout))


@pytest.fixture
def one(any_build: Build, make_server: MakeServer) -> RedisProcess:
    """A server of one version with keys that are saved."""
    return with_keys(make_server(any_build))


def with_keys(server: RedisProcess) -> RedisProcess:
    with server.client() as client:
        write_keys(client, KEYS)
        client.save()
    return server


# --- keys ---


def test_memory_that_would_evict(shop: RedisProcess) -> None:
    with shop.client() as client:
        used = client.info("memory")["used_memory"]
        low = {"maxmemory": int(used * 0.9), "maxmemory-policy": "allkeys-random"}
        with nothing_changes(shop):
            refused(MODULE, params(shop, low), "shop", "evict", "allow_eviction")
        enforce(shop, {"maxmemory": int(used * 1.05)})
        with nothing_changes(shop):
            refused(MODULE, params(shop, {"maxmemory-policy": "allkeys-lru"}), "shop", "evict", "allow_eviction")
        enforce(shop, {"maxmemory": "1gb", "maxmemory-policy": "allkeys-lru"})
        with nothing_changes(shop):
            refused(MODULE, params(shop, {"maxmemory": "900kb"}), "shop", "evict", "allow_eviction")
        assert_all_there(shop, KEYS, "so far")
        assert enforce(shop, low, allow_eviction=True)["changed"]
        assert running(shop, "maxmemory") == str(low["maxmemory"])


def test_databases_below_a_used_one(shop: RedisProcess) -> None:
    with shop.client(db=5) as client:
        client.set("here", "and now")
        client.save()
    with nothing_changes(shop):
        refused(MODULE, params(shop, {"databases": 5}), "shop", "databases 5", "database 5 holds keys")
    result = enforce(shop, {"databases": 6})
    assert result["restart_required"] and not result["restart_safe"], "it has no save points"
    shop.kill()
    with untouched(shop.directory):
        refused(MODULE, params(shop, {"databases": 5}, **place_of(shop)), "shop", "databases", "down")
    restarted(shop, KEYS, "with six databases")
    with shop.client(db=5) as client:
        assert client.get("here") == b"and now"
    assert not enforce(shop, {"databases": 6})["restart_required"]


@pytest.mark.parametrize(
    "settings", [{"replicaof": "127.0.0.1 6399"}, {"slaveof": "127.0.0.1 6399"}, {"cluster-enabled": True}]
)
def test_data_that_would_be_replaced(one: RedisProcess, settings: dict[str, Any]) -> None:
    with nothing_changes(one):
        refused(MODULE, params(one, settings), "shop", *settings)
    one.kill()
    with untouched(one.directory):
        refused(MODULE, params(one, settings, **place_of(one)), "shop", *settings)


# --- getting in ---


def test_bind_that_excludes_us(shop: RedisProcess) -> None:
    with nothing_changes(shop):
        refused(MODULE, params(shop, {"timeout": 77, "bind": "127.0.0.2"}), "shop", "bind", "connection")
    assert enforce(shop, {"bind": "127.0.0.2 127.0.0.1"})["changed"]
    restarted(shop, KEYS, "with another bind")


def test_port(shop: RedisProcess) -> None:
    settings = {"port": free_port()}
    assert enforce(shop, settings)["changed"]
    shop.port = settings["port"]
    assert not enforce(shop, settings)["changed"]
    restarted(shop, KEYS, "at another port")
    assert not enforce(shop, settings)["changed"]


@pytest.mark.parametrize("rewritten", [False, True], ids=["", "after CONFIG REWRITE"])
def test_password(shop: RedisProcess, rewritten: bool) -> None:
    """The first one with an inventory that knows it already; then another; then none. Each works after a restart."""
    for number, (login, wish) in enumerate([("first one", "first one"), ("first one", 'a "#\\ b'), ('a "#\\ b', None)]):
        if rewritten:
            with shop.client() as client:
                client.config_rewrite()
        shop.password = login
        result = enforce(shop, {"requirepass": wish})
        assert result["changed"], number
        shop.password = wish
        restarted(shop, KEYS, f"password number {number}")
        assert (conf_says(shop, "requirepass") is None) is (wish is None)
        shop.password = wish or login
        assert not enforce(shop, {"requirepass": wish})["changed"], number
        shop.password = wish


def test_password_of_an_acl_file(any_build: Build, make_server: MakeServer) -> None:
    """It beats requirepass at the next start."""
    server = make_server(any_build, conf={"aclfile": "users.acl"}, start=False)
    (server.data_dir / "users.acl").write_text("user default on nopass ~* &* +@all\n")
    with_keys(server.start())
    with nothing_changes(server):
        refused(MODULE, params(server, {"requirepass": "first one"}), "shop", "users.acl", "requirepass")


def test_value_that_only_the_running_server_refuses(build: Build, make_server: MakeServer, server_root: Path) -> None:
    """It may open few files, as others of its program may not: what was set before is set back."""
    wrapper = server_root / "few-files"
    wrapper.write_text(f'#!/bin/sh\nexec prlimit --nofile=300:300 {build.executable} "$@"\n')
    wrapper.chmod(0o755)
    limited = dataclasses.replace(build, executable=wrapper)
    server = with_keys(make_server(limited, conf={"maxclients": "50"}, user=65534))
    settings = {"timeout": 77, "save": "60 1", "maxclients": 100_000, "hz": 50}
    for order in (settings, dict(reversed(settings.items()))):
        with nothing_changes(server):
            more = {"executable": str(build.executable)}
            refused(MODULE, params(server, order, **more), "shop", "maxclients", "operating system")


# --- CONFIG that is not ours ---


def test_renamed(build: Build, make_server: MakeServer) -> None:
    server = make_server(build, conf={"rename-command": "CONFIG hidden"})
    more = {"command_map": {"config": "hidden"}}
    assert enforce(server, {"timeout": 77, "appendonly": True}, **more)["changed"]
    assert not enforce(server, {"timeout": 77, "appendonly": True}, **more)["changed"]
    with server.client() as client:
        assert client.execute_command("hidden", "GET", "timeout") == [b"timeout", b"77"]
        write_keys(client, KEYS)
    restarted(server, KEYS, "with CONFIG renamed")
    result = enforce(server, {"timeout": 78})
    assert result["restart_required"] and conf_says(server, "timeout") == "78"


def test_forbidden(shop: RedisProcess, any_build: Build, make_server: MakeServer) -> None:
    """Only redis.conf is changed; where there is none, nothing can be."""
    bare = make_server(any_build, start=False)
    bare.conf_path.unlink()
    command = [str(any_build.executable), "--port", str(bare.port), "--dir", str(bare.data_dir)]
    bare._command = lambda *_privileges: command  # type: ignore[method-assign]
    bare.start()
    for server in (shop, bare):
        with server.client() as client:
            client.execute_command("ACL", "SETUSER", "guest", "on", ">pass", "~*", "+@all", "-config")
    guest = {"login_user": "guest", "login_password": "pass"}
    result = enforce(shop, {"timeout": 77}, **guest)
    assert result["changed"] and result["restart_required"] and not result["restart_safe"]
    assert any("timeout" in words for words in result["restart_reasons"])
    assert (conf_says(shop, "timeout"), running(shop, "timeout")) == ("77", "0")
    with nothing_changes(shop):
        refused(MODULE, params(shop, {"appendonly": True}, **guest), "shop", "appendonly", "CONFIG")
        refused(MODULE, params(shop, {"timeout": 78}, apply="live", **guest), "shop", "CONFIG")
    refused(MODULE, params(bare, {"timeout": 78}, **guest), "shop", "CONFIG", "config_file")


# --- others who write redis.conf ---


@pytest.mark.parametrize("how", ["CONFIG REWRITE", "an editor"])
def test_file_changed_meanwhile(layout: Build, make_server: MakeServer, how: str) -> None:
    """It is not overwritten, and no key depends on what they wrote."""
    server = with_keys(make_server(layout, conf={"save": "3600 1"}))
    with server.client() as client:
        client.config_set("rdb-key-save-delay", 500_000 // KEYS)
        process = start_module(MODULE, params(server, {"appendonly": True, "timeout": 77}))
        wait_for(lambda: client.info("persistence")["aof_rewrite_in_progress"], "the first rewrite to begin")
        if how == "CONFIG REWRITE":
            client.config_rewrite()
        else:
            server.conf_path.write_text(server.conf_path.read_text() + "# mine\n")
        text = server.conf_path.read_text()
        with pytest.raises(ModuleFailed) as failure:
            finish(process, MODULE)
        assert_told(failure.value.msg, "shop", "by somebody else", str(server.conf_path))
        ours = re.compile(r"(appendonly|timeout) .*\n")
        assert ours.sub("", server.conf_path.read_text()) == ours.sub("", text), "only what was ours is taken out again"
        client.config_set("rdb-key-save-delay", 0)
        assert running(server, "timeout") == "0"
        write_keys(client, 2 * KEYS, KEYS + 1)
    assert (running(server, "appendonly"), conf_says(server, "appendonly") or "no") == ("no", "no")
    restarted(server, 2 * KEYS, f"after {how}", crash=False)
    enforce(server, {"appendonly": True, "timeout": 77})
    restarted(server, 2 * KEYS, "and another run")
