# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A pass that is killed at any instant: the next ones ship every byte once, under names that follow each other."""

from __future__ import annotations

import random
import subprocess
from pathlib import Path

import pytest
from redis import Redis

from support.archives import INSTANCE, Archived, with_aof
from support.killing import kill_after, kill_at_change, members, watch
from support.machine import AgeKey
from support.servers import Build, RedisProcess
from support.waiting import wait_for, wait_for_aof

SEED = 20261123


@pytest.fixture
def scene(layout: Build, make_server: object, tmp_path: Path, age_key: AgeKey) -> Archived:
    server: RedisProcess = make_server(layout, conf=with_aof(layout))  # type: ignore[operator]
    return Archived(server, tmp_path, age_key)


def write(client: Redis, chance: random.Random) -> None:
    pipe = client.pipeline(transaction=False)
    for number in range(300):
        pipe.set(f"key:{number}", chance.randbytes(50))
    pipe.execute()
    wait_for_aof(client)


def roots(scene: Archived) -> list[Path]:
    return [scene.place, scene.spool]


def judge(scene: Archived, client: Redis, number: int, process: subprocess.Popen[bytes] | None = None) -> None:
    """The next passes complete what the killed one began; now and then the server rewrites before."""
    scene.witness()
    if process is not None:
        wait_for(lambda: not members(process), "the programs of the killed pass to end", 10)
    if number % 3 == 2:
        client.bgrewriteaof()
        wait_for(lambda: not client.info("persistence")["aof_rewrite_in_progress"], "the rewrite to end")
    final = scene.all()[-1]
    assert final.archive["lag_bytes"] == 0 and final.archive["gaps"] == []
    scene.assert_true()
    assert len(scene.coverage().ranges) == 1
    assert not list((scene.repository / INSTANCE).rglob("*.part"))


def test_killed_at_a_random_instant(scene: Archived, long: bool) -> None:
    chance = random.Random(SEED)
    with scene.server.client() as client:
        write(client, chance)
        scene.all()
        write(client, chance)
        work = watch("redis_aof_archive", scene.params, roots(scene))
        for number in range(20 if long else 5):
            write(client, chance)
            seconds = chance.uniform(0, work.seconds)
            process = kill_after("redis_aof_archive", scene.params, roots(scene), seconds, group=number % 2 == 0)
            judge(scene, client, number, process)


@pytest.mark.parametrize("first", [True, False])
def test_killed_before_a_change(scene: Archived, long: bool, first: bool) -> None:
    """Some of the changes that a pass makes to the file system, with --long each; also of the very first pass."""
    chance = random.Random(f"{SEED} {first}")
    with scene.server.client() as client:
        write(client, chance)
        if first:
            for number in range(1, 40 if long else 10):
                try:
                    kill_at_change("redis_aof_archive", scene.params, roots(scene), number)
                except AssertionError:
                    assert number > 8
                    break
            judge(scene, client, 0)
            return
        scene.all()
        write(client, chance)
        changes = watch("redis_aof_archive", scene.params, roots(scene)).changes
        numbers = range(1, len(changes) + 1)
        for number in numbers if long else sorted(chance.sample(numbers, 3)):
            write(client, chance)
            kill_at_change("redis_aof_archive", scene.params, roots(scene), number)
            judge(scene, client, number)


def test_a_commit_that_nobody_noted_is_counted(scene: Archived) -> None:
    """Killed between the object's commit and the state that tells of it: the object is taken as it is."""
    chance = random.Random(SEED)
    with scene.server.client() as client:
        write(client, chance)
        scene.all()
        write(client, chance)
        made = scene.one_unnoted()
        assert made.object is not None
        path = scene.repository / made.object["path"]
        stored = path.read_bytes()
        write(client, chance)
        judge(scene, client, 0)
        assert path.read_bytes() == stored
