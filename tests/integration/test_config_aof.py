# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The AOF switched on and off by redis_config: whatever is killed, and whenever, no key that was there is lost.

"There" means: the next start had it before the run began. After each kill the server starts from its redis.conf as it
is, then the module runs again and must converge.
"""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Callable

import pytest
import redis

from support.enforcing import (
    MODULE,
    OFF,
    ON,
    MakeServer,
    Stock,
    conf_says,
    converge,
    crash_server_after,
    enforce,
    instants,
    kill_module_after,
    params,
    restarted,
    running,
    write_keys,
)
from support.killing import Work, kill_at_change, watch
from support.modules import start_module
from support.servers import BUILD_NAMES, Build, RedisProcess
from support.waiting import wait_for

SEED = random.SystemRandom().randrange(10**6)
KEYS = 200_000
FEW = 2_000
ONLY_AOF = {"appendonly": True, "save": ""}
StockOf = Callable[..., Stock]


@pytest.fixture(scope="module")
def stock_of(tmp_path_factory: pytest.TempPathFactory) -> StockOf:
    """Call it with a build, `aof` and a number of keys: data made once. An AOF alone holds half of the keys."""
    made: dict[tuple[str, bool, int], Stock] = {}

    def of(build: Build, *, aof: bool = False, keys: int = KEYS) -> Stock:
        what = (build.name, aof, keys)
        if what not in made:
            folder = tmp_path_factory.mktemp("stock") / "server"
            conf = {"appendonly": "yes" if aof else "no"}
            made[what] = Stock.of(build, folder, conf, keys, saved=keys // 2 if aof else keys)
        return made[what]

    return of


def work_of(server: RedisProcess, settings: dict[str, object]) -> Work:
    """What an undisturbed run does, and how long that takes."""
    return watch(MODULE, params(server, settings), [server.directory])


def test_every_key_survives_the_switch(build: Build, stock_of: StockOf, make_server: MakeServer) -> None:
    server = stock_of(build).start(build, make_server)
    result = enforce(server, ON)
    assert result["changed"] and not result["restart_required"]
    assert (conf_says(server, "appendonly"), running(server, "appendonly")) == ("yes", "yes")
    restarted(server, KEYS, "after the AOF was switched on")
    with server.client() as client:
        write_keys(client, KEYS + FEW, KEYS + 1)
    restarted(server, KEYS + FEW, "after more was written to the AOF")
    with server.client() as client:
        write_keys(client, KEYS + 2 * FEW, KEYS + FEW + 1)
    assert enforce(server, OFF)["changed"]
    assert (conf_says(server, "appendonly"), running(server, "appendonly")) == ("no", "no")
    restarted(server, KEYS + 2 * FEW, "after the AOF was switched off")
    assert not enforce(server, OFF)["changed"]


@pytest.mark.parametrize("settings", [ON, OFF], ids=["on", "off"])
def test_killed_at_random(
    build: Build, stock_of: StockOf, make_server: MakeServer, settings: dict[str, object], long: bool
) -> None:
    """The server, then the module; switching off, with --long alone that and each version."""
    if settings is OFF and build.name == BUILD_NAMES[-1] and not long:
        pytest.skip("needs --long")
    stock = stock_of(build, aof=settings is OFF)
    seconds = work_of(stock.start(build, make_server), settings).seconds
    chance = random.Random(SEED)
    for number in range(20 if long else 2 if settings is ON else 1):
        server = stock.start(build, make_server)
        instant = chance.uniform(0, seconds)
        when = f"seed {SEED}: {instant:.3f} s after the first change, the {('server', 'module')[number % 2]} was killed"
        (kill_module_after if number % 2 else crash_server_after)(server, settings, instant)
        restarted(server, KEYS, when)
        converge(server, settings, KEYS, when)
        server.destroy()


@pytest.mark.parametrize(
    ("settings", "who"), [(ON, "server"), (ON, "module"), (OFF, "module")], ids=["on, server", "on", "off"]
)
def test_killed_between_the_server_and_the_file(
    layout: Build, stock_of: StockOf, make_server: MakeServer, settings: dict[str, object], who: str
) -> None:
    """While the first rewrite, or the snapshot that takes the AOF's place, is being written."""
    server = stock_of(layout, aof=settings is OFF, keys=FEW).start(layout, make_server)
    with server.client() as client:
        client.config_set("rdb-key-save-delay", 400_000 // FEW)
        process = start_module(MODULE, params(server, settings))
        wait_for(lambda: half_done(client, settings), "it to be half done")
        server.kill() if who == "server" else os.kill(process.pid, signal.SIGKILL)
        process.communicate()
    when = f"the {who} killed half-way"
    restarted(server, FEW, when)
    converge(server, settings, FEW, when)


def half_done(client: redis.Redis, settings: dict[str, object]) -> bool:
    """Whether appendonly is switched in the running server, and a child writes."""
    found = client.info("persistence")
    child = "aof_rewrite_in_progress" if settings is ON else "rdb_bgsave_in_progress"
    return found["aof_enabled"] == int(settings is ON) and bool(found[child])


@pytest.mark.parametrize(
    ("settings", "by_hand"),
    [(ON, False), (OFF, False), (ONLY_AOF, False), (ONLY_AOF, True)],
    ids=["on", "off", "on, no save points", "on by hand, no save points"],
)
def test_module_killed_before_a_change_of_a_file(
    layout: Build, make_server: MakeServer, settings: dict[str, object], by_hand: bool, long: bool
) -> None:
    """That of redis.conf, with --long each. Half of the keys are only in memory: a stop saves them."""

    def begin() -> RedisProcess:
        server = make_server(layout, conf={"appendonly": "yes" if settings is OFF else "no", "save": "3600 1"})
        with server.client() as client:
            write_keys(client, FEW // 2)
            client.save()
            write_keys(client, FEW, FEW // 2 + 1)
            if by_hand:
                client.config_set("appendonly", "yes")
        return server

    changes = work_of(begin(), settings).changes
    for number in instants(changes, SEED, None if long else 1):
        server = begin()
        when = f"seed {SEED}: the module killed before {changes[number - 1]}"
        kill_at_change(MODULE, params(server, settings), [server.directory], number)
        restarted(server, FEW, when, crash=settings is OFF)
        converge(server, settings, FEW, when)
        server.destroy()
