# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The AOF switched by redis_config in a server that is busy, cramped, down, or not what its redis.conf says."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from support.enforcing import (
    MODULE,
    OFF,
    ON,
    MakeServer,
    assert_all_there,
    conf_says,
    converge,
    enforce,
    params,
    place_of,
    restarted,
    running,
    write_keys,
)
from support.servers import Build, RedisProcess
from support.untouched import refused, untouched
from support.waiting import wait_for

FEW = 2_000


def by_hand(server: RedisProcess, value: str) -> None:
    """CONFIG SET appendonly, and wait until it is so."""
    with server.client() as client:
        client.config_set("appendonly", value)
        wait_for(lambda: not client.info("persistence")["aof_rewrite_in_progress"], "the rewrite to end")


# --- what stands in the way ---


def slow_child(server: RedisProcess, command: str) -> None:
    """Have the server write a file for about half a second."""
    with server.client() as client:
        client.config_set("rdb-key-save-delay", 500_000 // FEW)
        client.execute_command(*command.split())
        client.config_set("rdb-key-save-delay", 0)


@pytest.mark.parametrize("busy", ["BGSAVE", "BGREWRITEAOF", "CONFIG SET appendonly yes"])
def test_another_child_is_at_work(layout: Build, make_server: MakeServer, busy: str) -> None:
    """The first rewrite waits for a BGSAVE; redis.conf waits for a rewrite that somebody else began."""
    server = make_server(layout, conf={"save": "3600 1"})
    with server.client() as client:
        write_keys(client, FEW)
        client.save()
    slow_child(server, busy)
    assert enforce(server, ON)["changed"]
    restarted(server, FEW, f"after the AOF was switched on beside {busy}")


@pytest.mark.parametrize("settings", [ON, OFF], ids=["on", "off"])
def test_no_room_on_the_disk(
    layout: Build, server_root: Path, small_tmpfs: Callable[[str], Path], settings: dict[str, object]
) -> None:
    disk = small_tmpfs("8M")
    server = RedisProcess(layout, disk / "server", conf={"appendonly": "yes" if settings is OFF else "no"})
    place = {"state_dir": str(server_root / "state")}
    try:
        with server.start().client() as client:
            write_keys(client, FEW)
            client.save()
            with contextlib.suppress(OSError), (disk / "filler").open("wb", buffering=0) as filler:
                while True:
                    filler.write(b"x" * 4096)
            before = server.conf_path.read_bytes()
            refused(MODULE, params(server, settings, **place), "shop", "full" if settings is OFF else "No space left")
            assert server.conf_path.read_bytes() == before
            assert running(server, "appendonly") == ("yes" if settings is OFF else "no")
        (disk / "filler").unlink()
        restarted(server, FEW, "after the switch had failed")
        assert enforce(server, settings, **place)["changed"]
        restarted(server, FEW, "after the switch")
    finally:
        server.destroy()


# --- redis.conf and the running server do not agree ---


@pytest.mark.parametrize("settings", [ON, OFF], ids=["on", "off"])
@pytest.mark.parametrize("state", ["only the server", "only the file", "only the file, by hand", "by the command line"])
def test_file_and_server_differ(
    layout: Build, make_server: MakeServer, state: str, settings: dict[str, object]
) -> None:
    command = ["--appendonly", "yes"] if state == "by the command line" else []
    server = make_server(layout, conf={"appendonly": "yes" if state == "only the file" else "no"}, args=command)
    with server.client() as client:
        write_keys(client, FEW // 2)
        client.save()
        if state == "only the file, by hand":
            server.conf_path.write_text(server.conf_path.read_text() + "appendonly yes\n")
        elif not command:
            by_hand(server, "yes" if state == "only the server" else "no")
        write_keys(client, FEW, FEW // 2 + 1)
    server.args = []
    assert enforce(server, settings)["changed"]
    wanted = "yes" if settings is ON else "no"
    assert (conf_says(server, "appendonly"), running(server, "appendonly")) == (wanted, wanted)
    restarted(server, FEW, f"appendonly was on in {state}")
    assert not enforce(server, settings)["changed"]


def test_empty_server(build: Build, make_server: MakeServer) -> None:
    """Its AOF is empty, and yet whole."""
    server = make_server(build, conf={"aof-use-rdb-preamble": "no"})
    begun = time.monotonic()
    assert enforce(server, ON, wait_timeout=20)["changed"]
    assert time.monotonic() - begun < 15
    with server.client() as client:
        write_keys(client, FEW)
    restarted(server, FEW, "after the AOF of an empty server was switched on")


# Directives that did not matter until now: edited by hand, and not in effect.
@pytest.mark.parametrize(
    ("settings", "name"),
    [(ON, "appendfilename"), ({**ON, "appendfilename": "other"}, "appendfilename"), (OFF, "dbfilename")],
    ids=["on", "on-with-the-name", "off"],
)
def test_next_start_would_look_elsewhere(
    any_build: Build, make_server: MakeServer, settings: dict[str, object], name: str
) -> None:
    server = make_server(any_build, conf={"appendonly": "yes" if settings is OFF else "no"})
    with server.client() as client:
        write_keys(client, FEW)
        client.save()
    server.conf_path.write_text(server.conf_path.read_text() + f"{name} other\n")
    with untouched(server.data_dir):
        before = server.conf_path.read_bytes()
        refused(MODULE, params(server, settings), "shop", name, "next start")
        assert server.conf_path.read_bytes() == before
    restarted(server, FEW, "after the refusal")
    converge(server, settings, FEW, "after the restart that was asked for")


@pytest.mark.parametrize("name", ["dir", "dbfilename"])
@pytest.mark.parametrize("wished", [True, False], ids=["wished", "not wished"])
def test_place_changed_by_hand(any_build: Build, make_server: MakeServer, name: str, wished: bool) -> None:
    """A restart for another reason would lose the keys: it is not safe."""
    server = make_server(any_build, conf={"save": "3600 1"})
    with server.client() as client:
        write_keys(client, FEW)
    (server.directory / "other").mkdir()
    place = {name: str(server.directory / "other") if name == "dir" else "other"}
    server.conf_path.write_text(server.conf_path.read_text() + f"{name} {place[name]}\n")
    result = enforce(server, {"databases": 32, **(place if wished else {})})
    assert result["restart_required"] and not result["restart_safe"]
    assert any(name in words for words in result["restart_refusals"]), result["restart_refusals"]


# --- the server is down ---


@pytest.mark.parametrize("aof", [False, True], ids=["on", "off"])
def test_server_down(layout: Build, make_server: MakeServer, aof: bool) -> None:
    """With the other appendonly, its start would load other data, or none."""
    server = make_server(layout, conf={"appendonly": "yes" if aof else "no"})
    with server.client() as client:
        write_keys(client, FEW)
        if not aof:
            client.save()
    server.kill()
    settings = OFF if aof else ON
    with untouched(server.directory):
        refused(MODULE, params(server, settings, **place_of(server)), "shop", "down", "start")
        assert not enforce(server, {"appendonly": aof}, **place_of(server))["changed"]
    server.conf_path.write_text(server.conf_path.read_text().replace(f"dir {server.data_dir}", "dir ./"))
    with untouched(server.directory):  # where the data lies is not known
        refused(MODULE, params(server, settings, **place_of(server)), "shop", "down")
    server.conf_path.write_text(server.conf_path.read_text().replace("dir ./", f"dir {server.data_dir}"))
    server.start()
    assert_all_there(server, FEW, "after the refusal")
