# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The repository is away while the agent runs: nothing is lost, or it is told; the disk never fills; status is true."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import redis
from ansible_collections.globalscope.redis_backup.plugins.module_utils._repository.open import open_store
from ansible_collections.globalscope.redis_backup.plugins.module_utils._repository.store import Store
from ansible_collections.globalscope.redis_backup.plugins.module_utils._times import from_iso

from support.agents import Agent
from support.aofs import rewrite
from support.archives import Archived, with_aof
from support.exact import assert_restored, assert_seconds, gaps_of, status
from support.faulty import Fault, FaultyProxy, faulty
from support.machine import AgeKey, tmpfs
from support.pace import Pace, writing
from support.s3 import S3Server
from support.servers import Build, RedisProcess
from support.waiting import wait_for, wait_for_aof

from .conftest import MakeServer

RATE = 2000
BOUND = 256 << 20


class Away(Archived):
    """An archive in a directory that can be renamed away, as a share that is unmounted."""

    @property
    def entry(self) -> dict[str, Any]:
        return {"name": "test", "type": "posix", "path": str(self.repository)}

    @property
    def params(self) -> dict[str, Any]:
        return {**super().params, "repository": self.entry}

    @property
    def hidden(self) -> Path:
        return self.place / "hidden"

    def go(self) -> None:
        self.repository.rename(self.hidden)

    def come(self) -> None:
        self.hidden.rename(self.repository)


class AwayS3(Away):
    """An archive in a bucket whose service can be unreachable."""

    proxy: FaultyProxy
    told: dict[str, Any]

    @property
    def entry(self) -> dict[str, Any]:
        return self.told

    @property
    def store(self) -> Store:  # type: ignore[override]
        return open_store(self.entry)

    def go(self) -> None:
        self.proxy.arm(Fault.CUT_BEFORE, 1, lasting=True)

    def come(self) -> None:
        self.proxy.arm()


@pytest.fixture(params=["directory", pytest.param("S3", marks=pytest.mark.long)])
def archived(
    request: pytest.FixtureRequest, any_build: Build, make_server: MakeServer, tmp_path: Path, age_key: AgeKey
) -> Iterator[Away]:
    server = make_server(any_build, conf=with_aof(any_build))
    if request.param == "directory":
        found = Away(server, tmp_path, age_key)
        found.repository.mkdir()
        yield found
        return
    s3: S3Server = request.getfixturevalue("s3")
    with faulty(s3.port) as proxy:
        away = AwayS3(server, tmp_path, age_key)
        away.proxy, away.told = proxy, s3.entry(s3.bucket(), endpoint_url=proxy.endpoint)
        yield away


def looked(archived: Archived) -> float:
    try:
        return float(archived.state()["looked"] or 0)
    except (FileNotFoundError, json.JSONDecodeError):
        return 0.0


def next_look(archived: Archived) -> None:
    """Until the agent has looked, and held what there is."""
    begun = time.time()
    wait_for(lambda: looked(archived) > begun, "the agent to look", 120)


@contextmanager
def writer(archived: Archived, rate: int) -> Iterator[Pace]:
    """Steady writes; behind the block, all stands in the AOF, and a later second has begun."""
    with archived.server.client() as client:
        with writing(archived.server, rate) as pace:
            wait_for(lambda: pace.count, "the writer")
            yield pace
        wait_for_aof(client)
        reached = pace.seconds[-1] + 3
        wait_for(lambda: client.time()[0] >= reached, "the server's clock to pass the last write")


def outage(archived: Archived, agent: Agent, client: redis.Redis, rounds: int, seconds: float) -> None:
    """Rewrites while the repository is away, at least so many and for so long: status says how it is each time."""
    begun, number = time.time(), 0
    worst = 0
    while number < rounds or time.time() < begun + seconds:
        next_look(archived)
        rewrite(client)
        number += 1
        next_look(archived)
        told = status(archived)
        if told["last_error"] is not None:
            assert told["lag_bytes"] > 0 and told["lag_seconds"] > 0 and told["gaps"] == []
            assert from_iso(told["last_success"]) <= begun + 1 and from_iso(told["last_time"]) <= begun + 1
            assert told["lag_bytes"] >= worst, "it grows as long as nothing is stored"
            worst = told["lag_bytes"]
            assert told["spool_bytes"] <= BOUND
            metrics = agent.metrics.read_text()
            assert 'archive_up{instance="archived"} 0' in metrics
    assert worst > 0, "the agent has told an error"
    assert told["spool_bytes"] > 0, "what the server has removed is held"


def test_nothing_is_lost(archived: Away, make_server: MakeServer, tmp_path: Path, long: bool) -> None:
    """Ten minutes away (--long), or a number of rewrites: each second of them comes back."""
    agent = Agent(archived, tmp_path, interval=0.5, spool_bytes=BOUND, repository=archived.entry)
    with agent.running() as process, archived.server.client() as client:
        wait_for(lambda: status(archived)["first_time"] is not None, "the first base to be archived", 60)
        with writer(archived, RATE) as pace:
            next_look(archived)
            archived.go()
            wait_for(lambda: status(archived)["last_error"], "the error to be told", 240, 0.2)
            outage(archived, agent, client, 4, 600 if long else 0)
            assert process.poll() is None
            archived.come()
            wait_for(lambda: "well again" in agent.log.read_text(), "the agent to be well again", 240)
        wait_for(lambda: status(archived)["lag_bytes"] == 0, "all to be archived", 900 if long else 120)
        next_look(archived)
    told = status(archived)
    assert told["gaps"] == [] and told["last_error"] is None and told["lag_bytes"] == 0
    assert told["spool_bytes"] == 0, archived.remains()
    assert agent.log.read_text().count("error: ") <= 3, agent.log.read_text()
    there = assert_seconds(archived, pace, make_server, [], 60 if long else 4)
    assert there == list(pace.seconds)
    assert_restored(archived, make_server, [there[len(there) // 2]], pace)


def assert_held_now(archived: Archived) -> None:
    """The agent comes to hold the increment that the server writes to."""
    (live,) = archived.server.data_dir.glob("appendonlydir/*.incr.aof")
    inode = live.stat().st_ino
    wait_for(lambda: inode in {path.stat().st_ino for path in archived.spool.rglob("*")}, "a link", 30)


def test_nothing_is_lost_while_a_pass_hangs(
    any_build: Build, make_server: MakeServer, tmp_path: Path, age_key: AgeKey, s3: S3Server
) -> None:
    """A service that takes requests and answers none: rewrites meanwhile must not wait for the end of the pass."""
    archived = AwayS3(make_server(any_build, conf=with_aof(any_build)), tmp_path, age_key)
    archived.told = s3.entry(s3.bucket())
    agent = Agent(archived, tmp_path, interval=0.3, repository=archived.entry)
    with agent.running(), archived.server.client() as client:
        wait_for(lambda: status(archived)["first_time"] is not None, "the first base to be archived", 60)
        with writer(archived, RATE) as pace:
            next_look(archived)
            with s3.silent():
                for _rewrite in range(4):
                    assert_held_now(archived)
                    rewrite(client)
                assert_held_now(archived)
                told = status(archived)
                assert told["lag_bytes"] > 0 and told["gaps"] == [] and told["spool_bytes"] > 0
                silent = looked(archived)
            assert list(archived.spool.rglob("waiting/*"))
            wait_for(lambda: looked(archived) > silent, "the pass to end", 120)
        wait_for(lambda: status(archived)["lag_bytes"] == 0, "all to be archived", 120)
        next_look(archived)
    told = status(archived)
    assert told["gaps"] == [] and told["spool_bytes"] == 0 and told["lag_bytes"] == 0
    assert not list(archived.spool.rglob("waiting/*"))
    assert assert_seconds(archived, pace, make_server, [], 4) == list(pace.seconds)


def test_a_full_disk(any_build: Build, make_server: MakeServer, tmp_path: Path, age_key: AgeKey) -> None:
    """Links on the data's file system must never be what fills it: they are let go, which is a gap that is told."""
    with tmpfs("120M") as disk:
        # What is held back as almost full is a share of the disk: most of it filled beforehand, the agent has seconds.
        disk.joinpath("others").write_bytes(bytes(104 << 20))
        server = RedisProcess(any_build, disk / "server", conf=with_aof(any_build)).start()
        try:
            archived = Away(server, tmp_path, age_key)
            archived.repository.mkdir()
            agent = Agent(archived, tmp_path, interval=0.2, repository=archived.entry)
            with agent.running(), server.client() as client:
                wait_for(lambda: status(archived)["first_time"] is not None, "the first base to be archived", 60)
                with writer(archived, 10_000) as pace:
                    next_look(archived)
                    archived.go()
                    for _rewrite in range(60):
                        wanted = pace.count + 10_000
                        wait_for(lambda wanted=wanted: pace.count > wanted or pace.error, "the writer")
                        rewrite(client)
                        next_look(archived)
                        assert os.statvfs(disk).f_bavail > 0
                        if "let go" in agent.log.read_text():
                            break
                    assert "almost full" in agent.log.read_text()
                    room = os.statvfs(disk)
                    assert room.f_bavail > room.f_blocks * 0.04
                    assert client.info("persistence")["aof_last_write_status"] == "ok"
                    archived.come()
                    wait_for(lambda: "well again" in agent.log.read_text(), "the agent to be well again", 120)
                    wanted = pace.count + 20_000
                    wait_for(lambda: pace.count > wanted or pace.error, "the writer")
                wait_for(lambda: status(archived)["lag_bytes"] == 0, "all to be archived", 120)
                told = status(archived)
            assert "No space left" not in server.log
        finally:
            server.destroy()
    assert told["last_error"] is None and any("almost full" in gap["reason"] for gap in told["gaps"])
    there = assert_seconds(archived, pace, make_server, gaps_of(told), 4)
    assert 2 < len(there) < len(pace.seconds)
