# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""redis_config changes where a server's next start looks for its data: it finds all of it, at any moment."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from support.enforcing import (
    MODULE,
    MakeServer,
    assert_all_there,
    conf_says,
    converge,
    crash_server_after,
    enforce,
    instants,
    is_old,
    params,
    place_of,
    restarted,
    running,
    write_keys,
)
from support.killing import kill_at_change, watch
from support.servers import Build, RedisProcess, build_named
from support.untouched import refused, tree, untouched

SEED = random.SystemRandom().randrange(10**6)
KEYS = 2_000
VALUES = {"dbfilename": "moved.rdb", "appendfilename": "moved.aof", "appenddirname": "moved dir"}
Settings = dict[str, Any]


def new_place(server: RedisProcess, name: str) -> Settings:
    """The settings that move the data of a server; a new directory is made."""
    if name == "dir":
        (server.directory / "elsewhere").mkdir(exist_ok=True)
    return {name: VALUES.get(name, str(server.directory / "elsewhere"))}


def begin(
    make_server: MakeServer, build: Build, *, aof: bool, unlocked: bool = False, saved: int = KEYS // 2
) -> RedisProcess:
    """A running server; the keys that are not saved are in its AOF, or only in memory."""
    conf = {"appendonly": "yes" if aof else "no", "save": "3600 1"}
    server = make_server(build, conf={**conf, **({"enable-protected-configs": "yes"} if unlocked else {})})
    with server.client() as client:
        write_keys(client, saved)
        client.save()
        write_keys(client, KEYS, saved + 1)
    return server


@pytest.mark.parametrize(
    ("name", "aof", "unlocked"),
    [
        *((name, aof, False) for name in ("dir", *VALUES) for aof in (False, True)),
        *((name, False, True) for name in ("dir", "dbfilename")),
    ],
)
def test_moved(layout: Build, make_server: MakeServer, name: str, aof: bool, unlocked: bool) -> None:
    """At once where the server can and no data is missed; else when it is stopped, by copies."""
    if is_old(layout) and (unlocked or name == "appenddirname"):
        pytest.skip("6.2 has no such directive")
    server = begin(make_server, layout, aof=aof, unlocked=unlocked)
    settings = new_place(server, name)
    at_stake = name == "dir" or aof == (name != "dbfilename")
    live = name in ("dir", "dbfilename") and (unlocked or is_old(layout)) and not (aof and at_stake)
    deferred = at_stake and not live
    conf = server.conf_path.read_bytes()
    result = enforce(server, settings)
    assert result["deferred"] == ([name] if deferred else [])
    assert result["restart_required"] is not live
    assert result["changed"] is not deferred
    assert (server.conf_path.read_bytes() == conf) is deferred
    restarted(server, KEYS, "after the run", crash=aof or (live and at_stake))
    if deferred:
        server.stop()
        before = tree(server.data_dir)
        result = enforce(server, settings, **place_of(server))
        assert result["changed"] and result["state"] == "down" and not result["deferred"]
        assert before.items() <= tree(server.data_dir).items(), "the old place holds everything"
        server.start()
        assert_all_there(server, KEYS, "after the data was carried over")
    elif live and at_stake:
        assert (server.data_dir / "dump.rdb").exists()
    assert running(server, name) == settings[name] == (conf_says(server, name) or "").strip('"')
    with server.client() as client:
        write_keys(client, KEYS + 100, KEYS + 1)
    restarted(server, KEYS + 100, "after more was written", crash=aof)
    result = enforce(server, settings)
    assert not result["changed"] and not result["restart_required"]


@pytest.mark.parametrize(("name", "aof"), [("dir", True), ("dbfilename", False), ("appendfilename", True)])
def test_killed_while_it_carries(layout: Build, make_server: MakeServer, name: str, aof: bool, long: bool) -> None:
    """The server starts from redis.conf as it is, and goes on writing, before the module runs again."""
    server = begin(make_server, layout, aof=aof)
    server.stop()
    saved = server.directory.parent / "saved"
    shutil.copytree(server.directory, saved)

    def again() -> tuple[Settings, dict[str, str]]:
        shutil.rmtree(server.directory)
        shutil.copytree(saved, server.directory)
        return new_place(server, name), place_of(server)

    settings, place = again()
    changes = watch(MODULE, params(server, settings, **place), [server.directory]).changes
    for number in instants(changes, SEED, None if long else 2):
        settings, place = again()
        when = f"seed {SEED}: killed before {changes[number - 1]}"
        kill_at_change(MODULE, params(server, settings, **place), [server.directory], number)
        restarted(server, KEYS, when)
        with server.client() as client:
            write_keys(client, KEYS + 100, KEYS + 1)
        server.stop()
        enforce(server, settings, **place)
        restarted(server, KEYS + 100, f"{when}, and another run")
        assert running(server, name) == settings[name], when
        assert not enforce(server, settings)["changed"], when
        server.stop()


@pytest.mark.parametrize(("build_name", "name"), [("redis-6.2", "dir"), ("redis-7.0", "dbfilename")])
def test_killed_while_it_moves_live(build_name: str, name: str, make_server: MakeServer, long: bool) -> None:
    """Half of the keys are only in memory: whoever stops the server has it save, and finds them again."""
    build = build_named(build_name)
    unlocked = not is_old(build)
    server = begin(make_server, build, aof=False, unlocked=unlocked)
    work = watch(MODULE, params(server, new_place(server, name)), [server.directory])
    for number in instants(work.changes, SEED, None if long else 1):
        server = begin(make_server, build, aof=False, unlocked=unlocked)
        settings = new_place(server, name)
        when = f"seed {SEED}: killed before {work.changes[number - 1]}"
        kill_at_change(MODULE, params(server, settings), [server.directory], number)
        restarted(server, KEYS, when, crash=False)
        converge(server, settings, KEYS, when)
    chance = random.Random(SEED)
    for _round in range(10 if long else 1):
        server = begin(make_server, build, aof=False, unlocked=unlocked, saved=KEYS)
        settings, instant = new_place(server, name), chance.uniform(0, work.seconds)
        when = f"seed {SEED}: the server killed {instant:.3f} s after the first change"
        crash_server_after(server, settings, instant)
        restarted(server, KEYS, when)
        converge(server, settings, KEYS, when)


# --- refused ---


@pytest.mark.parametrize(
    ("build_name", "name", "aof", "taken"),
    [
        ("redis-7.0", "dir", False, "dump.rdb"),
        ("redis-7.0", "dir", False, "appendonlydir/appendonly.aof.manifest"),
        ("redis-7.0", "dir", True, "appendonlydir/appendonly.aof.manifest"),
        ("redis-7.0", "dir", True, "dump.rdb"),
        ("redis-6.2", "dir", False, "dump.rdb"),
        ("redis-6.2", "dir", False, "appendonly.aof"),
        ("redis-6.2", "dir", True, "appendonly.aof"),
        ("redis-7.0", "dbfilename", True, "moved.rdb"),
        ("redis-6.2", "dbfilename", True, "moved.rdb"),
        ("redis-7.0", "appenddirname", False, "moved dir/appendonly.aof.manifest"),
    ],
)
def test_place_is_taken(build_name: str, make_server: MakeServer, name: str, aof: bool, taken: str) -> None:
    """By files that are not this server's, and that it would replace."""
    server = begin(make_server, build_named(build_name), aof=aof)
    if aof and name == "dir":
        (server.data_dir / "dump.rdb").unlink()
    settings = new_place(server, name)
    other = Path(settings["dir"] if name == "dir" else server.data_dir) / taken
    other.parent.mkdir(exist_ok=True)
    other.write_bytes(b"other data")
    place = {}
    if name == "dir" and (aof or not is_old(server.build)):
        assert enforce(server, settings)["deferred"]
        server.stop()
        place = place_of(server)
    with untouched(server.directory):
        refused(MODULE, params(server, settings, **place), "shop", str(other), "exists already")


def test_live_alone(make_server: MakeServer) -> None:
    """The server would save at the new place, and start from the old one."""
    server = begin(make_server, build_named("redis-6.2"), aof=False)
    for name in ("dir", "dbfilename"):
        settings = new_place(server, name)
        with untouched(server.directory):
            refused(MODULE, params(server, settings, apply="live"), "shop", name, "apply=both")
    restarted(server, KEYS, "after the refusals", crash=False)


def test_no_room(any_build: Build, make_server: MakeServer, small_tmpfs: Callable[[str], Path]) -> None:
    """On another file system, too small; then on one that is not."""
    server = begin(make_server, any_build, aof=True)
    server.stop()
    small, large = small_tmpfs("1M"), small_tmpfs("32M")
    with untouched(server.directory):
        refused(MODULE, params(server, {"dir": str(small)}, **place_of(server)), "shop", "does not fit", str(small))
        assert not list(small.iterdir())
    assert enforce(server, {"dir": str(large)}, **place_of(server))["changed"]
    restarted(server, KEYS, "on another file system")


@pytest.mark.parametrize("name", ["dir", "appendfilename"])
def test_where_the_data_lies_is_not_known(any_build: Build, make_server: MakeServer, name: str) -> None:
    """A relative dir is taken from where the server is started."""
    server = begin(make_server, any_build, aof=True)
    server.stop()
    settings = new_place(server, name)
    server.conf_path.write_text(server.conf_path.read_text().replace(f"dir {server.data_dir}", "dir ./"))
    with untouched(server.directory):
        refused(MODULE, params(server, settings, **place_of(server)), "shop", "data_dir")
    assert enforce(server, settings, **place_of(server), data_dir=str(server.data_dir))["changed"]
    server.conf_path.write_text(server.conf_path.read_text().replace("dir ./", f"dir {server.data_dir}"))
    restarted(server, KEYS, "when it was told")


def test_owners_and_users_are_carried(any_build: Build, make_server: MakeServer) -> None:
    """Files stay the server's own, and an ACL file that lies beside the data comes with it."""
    server = make_server(any_build, conf={"appendonly": "yes", "aclfile": "users.acl"}, user=65534, start=False)
    (server.data_dir / "users.acl").write_text("user default on nopass ~* &* +@all\nuser shop on nopass ~* +@all\n")
    shutil.chown(server.data_dir / "users.acl", 65534, 65534)
    with server.start().client() as client:
        write_keys(client, KEYS)
        client.save()
    server.stop()
    settings = new_place(server, "dir")
    shutil.chown(settings["dir"], 65534, 65534)
    assert enforce(server, settings, **place_of(server))["changed"]
    restarted(server, KEYS, "in the new directory")
    assert {path.stat().st_uid for path in Path(settings["dir"]).rglob("*")} == {65534}
    with server.client() as client:
        assert "shop" in client.acl_users()
        assert client.bgsave()
