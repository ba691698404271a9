# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A backup to S3 that is killed at any instant is there whole or not at all, and the next runs clean up after it."""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.history import FILES, INSTANCE, Place
from support.killing import kill_after, members, watch
from support.s3 import S3Server
from support.servers import Build, RedisProcess
from support.waiting import wait_for
from support.within import run_within

SEED = 20261124


@pytest.fixture(scope="module")
def server(any_build: Build, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisProcess]:
    """A server whose dump needs three parts: a multipart upload is under way for most of a backup's time."""
    server = RedisProcess(any_build, tmp_path_factory.mktemp("s3-kill") / "server").start()
    server.client().mset({f"large:{number}": os.urandom(100_000) for number in range(200)})
    yield server
    server.destroy()


@pytest.mark.parametrize("whom", ["group", pytest.param("module", marks=pytest.mark.long)])
def test_killed_at_a_random_instant(
    s3: S3Server, server: RedisProcess, tmp_path: Path, long: bool, whom: str
) -> None:
    """All processes killed, or the module alone. Nothing but the lock must be waited for, by its lease."""
    place = Place(s3.entry(s3.bucket()), tmp_path / "state", s3)
    params: dict[str, Any] = {**server.connection, **place.common}
    run_within("redis_backup", params)
    work = watch("redis_backup", params, [place.state_dir])
    chance = random.Random(f"{SEED} {whom}")
    torn = 0
    count = 30 if long else 3
    for number in range(count):
        before = place.labels
        instant = (number + chance.random()) / count * work.seconds
        when = f"{whom} killed after {instant * 1000:.1f} of {work.seconds * 1000:.0f} ms"
        process = kill_after("redis_backup", params, [place.state_dir], instant, group=whom == "group")
        if process.returncode == -signal.SIGKILL:
            wait_for(lambda process=process: not members(process), f"its programs to end ({when})", 10)
        place.assert_none_torn(when)
        assert set(before) <= set(place.labels), when
        torn += len(place.folders) > len(place.labels) or bool(s3.uploads(place.entry["bucket"]))
        place.end_lease()
        made = run_within("redis_backup", params)["backup"]["label"]
        place.assert_no_remains(when)
        run_within("redis_backup_prune", {**place.common, "keep": {"last": 3}})
        place.assert_no_remains(when)
        assert place.labels[-1] == made and len(place.labels) <= 3, when
        assert place.folders[made] == FILES, when
        assert not [key for key in s3.objects(place.entry["bucket"]) if key.endswith(".lock")], when
    assert torn or not long, "no kill fell into the middle of a backup"
    shown = run_within("redis_backup_info", {**place.common})["backups"]
    assert all(entry["usable"] for entry in shown)
    assert shown[0]["instance"] == INSTANCE
