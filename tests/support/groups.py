# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A real replication group: a primary, replicas in step with it, and Sentinels that agree about them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import redis

from support.servers import Build, RedisProcess
from support.waiting import wait_for

NAME = "shop"
PATIENT_MS = 60_000  # a busy machine keeps a server from answering: no failover but the one that is asked for


@dataclass
class Group:
    """Servers that hold one data set together. `name` is the primary's name among the Sentinels."""

    name: str
    primary: RedisProcess
    replicas: list[RedisProcess]
    sentinels: list[RedisProcess]

    @property
    def servers(self) -> list[RedisProcess]:
        """Those that hold the data."""
        return [self.primary, *self.replicas]

    @property
    def everything(self) -> list[RedisProcess]:
        return [*self.servers, *self.sentinels]

    def wait_in_step(self, timeout: float = 30.0) -> None:
        """Until the replicas follow the primary."""
        wait_for(
            lambda: all(following(each) == self.primary.port for each in self.replicas),
            "the replicas to follow",
            timeout,
        )

    def wait_agreed(self, timeout: float = 30.0) -> None:
        """Until every Sentinel sees the primary, all replicas and all other Sentinels."""
        wanted = (self.primary.port, ["master"], len(self.replicas), len(self.sentinels) - 1)
        wait_for(
            lambda: all(view(each, self.name) == wanted for each in self.sentinels), "the Sentinels to agree", timeout
        )

    def set_in_sentinels(self, option: str, value: int | str) -> None:
        """SENTINEL SET on each of them."""
        for each in self.sentinels:
            with each.client() as client:
                client.execute_command("SENTINEL", "SET", self.name, option, value)


def make_group(
    make_server: Callable[..., RedisProcess],
    build: Build,
    replicas: int = 2,
    sentinels: int = 3,
    *,
    name: str = NAME,
    down_after_ms: int = PATIENT_MS,
    failover_timeout_ms: int = 10_000,
    **conf: str | Sequence[str],
) -> Group:
    """A group at rest; `conf` is for the servers that hold the data."""
    password = conf.get("requirepass")
    if password:
        conf = {"masterauth": password, **conf}
    primary = make_server(build, conf=conf)
    followers = [make_server(build, conf={**conf, "replicaof": f"127.0.0.1 {primary.port}"}) for _n in range(replicas)]
    group = Group(name, primary, followers, [])
    group.wait_in_step()
    for _number in range(sentinels):
        lines = [
            f"monitor {name} 127.0.0.1 {primary.port} {sentinels // 2 + 1}",
            f"down-after-milliseconds {name} {down_after_ms}",
            f"failover-timeout {name} {failover_timeout_ms}",
            *([f"auth-pass {name} {password}"] if password else []),
        ]
        group.sentinels.append(make_sentinel(make_server, build, lines))
    group.wait_agreed()
    return group


def make_sentinel(make_server: Callable[..., RedisProcess], build: Build, lines: Sequence[str]) -> RedisProcess:
    """A Sentinel with these `sentinel` lines. It is the server's own program under another name."""
    found = make_server(build, conf={"sentinel": lines}, start=False)
    program = found.directory / "redis-sentinel"
    program.symlink_to(build.executable.resolve())
    found.build = dataclasses.replace(build, executable=program)
    return found.start()


def following(server: RedisProcess) -> int:
    """The port of the primary that a replica is in step with, 0 when it is with none."""
    try:
        with server.client() as client:
            found = client.info("replication")
    except redis.ConnectionError:  # Sentinel ends all connections when it gives a server another role
        return 0
    whole = found.get("master_link_status") == "up" and not found.get("master_sync_in_progress")
    return int(found["master_port"]) if whole else 0


def sentinel_master(sentinel: RedisProcess, name: str = NAME) -> dict[str, str]:
    """SENTINEL MASTER, as it stands."""
    with sentinel.client() as client:
        client.response_callbacks.clear()
        words: list[Any] = [word.decode() for word in client.execute_command("SENTINEL", "MASTER", name)]
    return dict(zip(words[::2], words[1::2], strict=True))


def view(sentinel: RedisProcess, name: str = NAME) -> tuple[int, list[str], int, int]:
    """What a Sentinel sees: port and flags of the primary, how many replicas, how many other Sentinels."""
    found = sentinel_master(sentinel, name)
    flags = found["flags"].split(",")
    return int(found["port"]), flags, int(found["num-slaves"]), int(found["num-other-sentinels"])
