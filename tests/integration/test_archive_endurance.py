# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A server under steady writes and rewrites, its agent killed and started again: each second comes back, or is told."""

from __future__ import annotations

import os
import random
import signal
import statistics
import time
from pathlib import Path

import redis

from support.agents import Agent
from support.aofs import rewrite
from support.archives import Archived, with_aof
from support.exact import ages, assert_restored, assert_seconds, gaps_of, status
from support.machine import AgeKey
from support.pace import Pace, writing
from support.servers import Build
from support.waiting import wait_for, wait_for_aof

from .conftest import MakeServer

RATE = 20_000
SEED = 20261123
INTERVAL = 1.0


class Endurance:
    """What happens to a server and its agent while a writer is at work: all by counts of writes, from one seed."""

    def __init__(self, archived: Archived, agent: Agent, seed: int) -> None:
        self.archived = archived
        self.agent = agent
        self.chance = random.Random(seed)
        self.process = agent.start()
        self.kills = self.rewrites = 0
        self._rewritten = 0.0

    @property
    def seen(self) -> bool:
        """Whether an agent has looked since the last rewrite: nothing is lost by another one then."""
        return bool(self.archived.state()["looked"] > self._rewritten)

    def pause(self, pace: Pace, least: float, most: float) -> None:
        """Until that many seconds' worth of writes more were made."""
        wanted = pace.count + self.chance.uniform(least, most) * RATE
        wait_for(lambda: pace.count >= wanted or pace.error, "the writer", 120)

    def kill(self) -> None:
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.kills += 1

    def rewrite(self, client: redis.Redis) -> None:
        """A rewrite. The files before and behind it are witnessed."""
        self.archived.witness()
        rewrite(client)
        self.archived.witness()
        self.rewrites += 1
        self._rewritten = time.time()

    def run(self, pace: Pace, client: redis.Redis, writes: int) -> None:
        """Rewrites, and kills of the agent, until so many writes were made."""
        while pace.count < writes and not pace.error:
            self.pause(pace, 0.3, 2)
            if self.chance.random() < 0.5:
                self.kill()
                self.pause(pace, 0, 0.5)
                if self.chance.random() < 0.3 and self.seen:
                    self.rewrite(client)
                self.process = self.agent.start()
            else:
                wait_for(lambda: self.seen, "the agent to look")
                self.rewrite(client)

    def lose(self, pace: Pace, client: redis.Redis) -> None:
        """Two rewrites while no agent looks: what was written between them is gone, unless the server keeps it."""
        self.kill()
        for _rewrite in range(2):
            self.pause(pace, 1.1, 1.5)
            self.rewrite(client)
        self.process = self.agent.start()
        self.pause(pace, 2, 3)

    def end(self) -> None:
        """All is archived, and the agent has ended."""
        wait_for(lambda: status(self.archived)["lag_bytes"] == 0, "all to be archived")
        self.process.terminate()
        assert self.process.wait(30) == 0
        assert self.agent.start("--once").wait(60) == 0


def test_every_second_of_a_busy_server(
    any_build: Build, make_server: MakeServer, tmp_path: Path, age_key: AgeKey, long: bool
) -> None:
    """20,000 writes a second, rewrites, an agent that is killed: a second comes back exactly, or lies in a gap."""
    seed = random.randrange(10**6) if long else SEED
    pace_wanted = RATE if long else RATE // 4
    print(f"seed {seed}")
    archived = Archived(make_server(any_build, conf=with_aof(any_build)), tmp_path, age_key)
    endurance = Endurance(archived, Agent(archived, tmp_path, interval=INTERVAL), seed)
    wait_for(lambda: status(archived)["first_time"] is not None, "the first base to be archived")
    with archived.server.client() as client:
        with writing(archived.server, pace_wanted) as pace:
            endurance.run(pace, client, pace_wanted * (90 if long else 8))
            if long:
                endurance.lose(pace, client)
                endurance.run(pace, client, RATE * 180)
        wait_for_aof(client)
        reached = pace.seconds[-1] + 3
        wait_for(lambda: client.time()[0] >= reached, "the server's clock to pass the last write")
    endurance.end()
    told = status(archived)
    rate = pace.count / (pace.after[-1] - pace.before[0])
    print(f"{rate:.0f} writes a second, {endurance.kills} kills, {endurance.rewrites} rewrites, gaps {told['gaps']}")
    found = ages(archived, pace)
    late = [age for age in found if age >= 3 * INTERVAL]
    print(
        f"age of the oldest write that was not in the repository: median {statistics.median(found):.2f} s, "
        f"largest {max(found):.2f} s of {len(found)}, {len(late)} of three intervals or more"
    )
    if long:  # a time: nothing for a machine that runs other tests beside
        assert len(late) <= len(found) * 0.1
    assert told["lag_bytes"] == 0 and told["last_error"] is None
    assert bool(told["gaps"]) == long, told["gaps"]
    archived.assert_true()
    there = assert_seconds(archived, pace, make_server, gaps_of(told), 10 if long else 4)
    assert len(there) > len(pace.seconds) * 0.9
    assert_restored(archived, make_server, random.Random(seed).sample(there, 5 if long else 1), pace)


def test_two_rewrites_while_no_agent_looks_lose_nothing_that_the_server_keeps(
    any_build: Build, make_server: MakeServer, tmp_path: Path, age_key: AgeKey
) -> None:
    """With aof-disable-auto-gc yes (7.0 on) the agent finds what was written while it was dead."""
    conf = with_aof(any_build, **{"aof-disable-auto-gc": "yes"})
    archived = Archived(make_server(any_build, conf=conf), tmp_path, age_key)
    endurance = Endurance(archived, Agent(archived, tmp_path, interval=INTERVAL), 1)
    wait_for(lambda: status(archived)["first_time"] is not None, "the first base to be archived")
    with archived.server.client() as client:
        with writing(archived.server, RATE // 4) as pace:
            wait_for(lambda: pace.count > 2000, "the writer")
            endurance.kill()
            for number in range(3):
                wait_for(lambda wanted=(number + 2) * 2000: pace.count > wanted, "the writer")
                endurance.rewrite(client)
            endurance.process = endurance.agent.start()
            wait_for(lambda: pace.count > 12_000, "the writer")
        wait_for_aof(client)
        reached = pace.seconds[-1] + 3
        wait_for(lambda: client.time()[0] >= reached, "the server's clock to pass the last write")
    endurance.end()
    assert status(archived)["gaps"] == []
    archived.assert_true()
    there = assert_seconds(archived, pace, make_server, [], 3)
    assert there == list(pace.seconds)
