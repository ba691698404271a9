# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What tests of redis_config that watch over keys share: many keys written and counted fast, runs and kills."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import redis

from support.killing import act_after, kill_after
from support.modules import ModuleFailed, run_module
from support.servers import Build, RedisProcess
from support.waiting import wait_for, wait_for_aof

MakeServer = Callable[..., RedisProcess]
MODULE = "redis_config"
ON, OFF = {"appendonly": True}, {"appendonly": False}

_WRITE = "for n = ARGV[1], ARGV[2] do redis.call('SET', 'key:' .. n, 'value ' .. n) end"
_LOST = """
local lost = 0
for n = 1, ARGV[1] do
  if redis.call('GET', 'key:' .. n) ~= 'value ' .. n then lost = lost + 1 end
end
return lost
"""


def write_keys(client: redis.Redis, last: int, first: int = 1) -> None:
    """Write the keys of these numbers, each with a value of its own; also into the AOF if there is one."""
    client.execute_command("EVAL", _WRITE, 0, first, last)
    wait_for_aof(client)


def lost_keys(client: redis.Redis, count: int) -> int:
    """How many of the keys 1 to `count` are not there, or have another value."""
    return int(client.execute_command("EVAL", _LOST, 0, count))


def params(server: RedisProcess, settings: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    """The module's parameters; those of a server that is down need `**place_of(server)` beside."""
    place = {"executable": str(server.build.executable), "state_dir": str(server.directory / "state")}
    return {**server.connection, **place, "instance": "shop", "settings": dict(settings), **more}


def enforce(server: RedisProcess, settings: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    """Run the module. Raises ModuleFailed."""
    return run_module(MODULE, params(server, settings, **more))


def place_of(server: RedisProcess) -> dict[str, str]:
    """What the module must be told of a server that cannot be asked."""
    return {"config_file": str(server.conf_path)}


def conf_says(server: RedisProcess, name: str) -> str | None:
    """The value of the last line of redis.conf with that directive, as it is written."""
    lines = [line.partition(" ") for line in server.conf_path.read_text().splitlines()]
    return next((value for word, _blank, value in reversed(lines) if word == name), None)


def running(server: RedisProcess, name: str) -> str:
    """The running value of a directive."""
    with server.client() as client:
        return str(client.config_get(name)[name])


def is_old(build: Build) -> bool:
    """Whether it is of the line that sets dir and dbfilename at any time, one value a call, and has one AOF file."""
    return build.flavour == "redis" and build.version < (7,)


def instants(changes: Sequence[str], seed: int, many: int | None) -> list[int]:
    """The numbers of changes to kill a run before: that of redis.conf, another rename, one more (`many`); or all."""
    numbers = list(range(1, len(changes) + 1))
    if many is None:
        return numbers
    last = max(number for number in numbers if changes[number - 1].endswith("redis.conf"))
    renames = [number for number in numbers if changes[number - 1].startswith("os.rename") and number != last]
    others = [number for number in numbers if number not in (last, *renames)]
    chance = random.Random(seed)
    return [last, *(chance.choice(part) for part in (renames, others) if part)][:many]


class Stock:
    """The data directory of a stopped server, kept so that many servers can start from copies of it."""

    def __init__(self, folder: Path, conf: Mapping[str, str | Sequence[str]], keys: int) -> None:
        self.folder, self.conf, self.keys = folder, conf, keys

    @classmethod
    def of(
        cls,
        build: Build,
        folder: Path,
        conf: Mapping[str, str | Sequence[str]],
        keys: int,
        *,
        saved: int,
    ) -> Stock:
        """Write keys, `saved` of them before a SAVE, the others only into the AOF that `conf` may switch on."""
        folder.mkdir()
        server = RedisProcess(build, folder, conf=conf).start()
        try:
            with server.client() as client:
                write_keys(client, saved)
                client.execute_command("SAVE")
                write_keys(client, keys, saved + 1)
            server.kill()
        finally:
            server.destroy()
        return cls(server.data_dir, conf, keys)

    def start(self, build: Build, make_server: MakeServer) -> RedisProcess:
        """A running server with a copy of the data."""
        server = make_server(build, conf=self.conf, start=False)
        shutil.copytree(self.folder, server.data_dir, dirs_exist_ok=True)
        return server.start()


def assert_all_there(server: RedisProcess, keys: int, when: str) -> None:
    """Assert that every key of 1 to `keys` is in the running server."""
    with server.client() as client:
        lost = lost_keys(client, keys)
        assert not lost, f"{when}: {lost} of {keys} keys are lost"


def restarted(server: RedisProcess, keys: int, when: str, *, crash: bool = True) -> None:
    """End the server, by SIGKILL or by SIGTERM, start it from its redis.conf, and assert that all keys are there."""
    if server.pid is not None:
        server.kill() if crash else server.stop()
    server.start()
    assert_all_there(server, keys, when)


def converge(server: RedisProcess, settings: Mapping[str, Any], keys: int, when: str) -> None:
    """Run the module again: it must reach the settings. A crash then loses nothing, and nothing is left to do.

    The child of a server that was killed ends by itself; until then, the module takes it for another server.
    """
    wait_for(lambda: set(server.processes()) <= {server.pid}, "children of a killed server to end")
    result = enforce(server, settings)
    assert not result["restart_required"] and not result["deferred"], f"{when}: {result}"
    restarted(server, keys, f"{when}, when another run had met the settings")
    assert not enforce(server, settings)["changed"], f"{when}: another run has something to do"


def crash_server_after(server: RedisProcess, settings: Mapping[str, Any], seconds: float) -> None:
    """SIGKILL the server `seconds` after the module's first change; if the module then fails, it must tell."""
    try:
        act_after(MODULE, params(server, settings), [server.directory], seconds, server.kill)
    except ModuleFailed as failure:
        assert failure.msg.startswith("shop") and "Traceback" not in failure.msg, failure.msg


def kill_module_after(server: RedisProcess, settings: Mapping[str, Any], seconds: float) -> None:
    """SIGKILL the module `seconds` after its first change."""
    kill_after(MODULE, params(server, settings), [server.directory], seconds)
