# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every request to S3 in turn goes wrong, or the backup is killed: it is there whole or not at all, and the next heals.

A fault strikes once. With boto3's retries it must be overcome, without them it must be told.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.globalscope.redis_backup.plugins.module_utils._repository import s3 as s3_store
from ansible_collections.globalscope.redis_backup.plugins.module_utils._repository import s3_write

from support.faulty import Fault, FaultyProxy, faulty
from support.killing import kill_after, members, watch
from support.modules import ModuleFailed
from support.restores import SOURCE, WORKSPACE
from support.s3 import S3Server
from support.servers import Build, RedisProcess
from support.untouched import assert_told
from support.waiting import wait_for
from support.within import run_within

SEED = 20261125
FILES = {"SHA256SUMS", "dump.rdb.zst", "manifest.json", "server.tar.zst"}
PART_BYTES = 5 << 20  # the smallest that S3 takes


@dataclass
class Scene:
    """A server whose dump makes three parts, and a bucket behind a proxy."""

    server: RedisProcess
    s3: S3Server
    proxy: FaultyProxy
    bucket: str
    place: Path

    @property
    def repository(self) -> dict[str, Any]:
        return self.s3.entry(self.bucket, endpoint_url=self.proxy.endpoint)

    @property
    def params(self) -> dict[str, Any]:
        common = {**self.server.connection, "instance": SOURCE, "state_dir": str(self.place / "state")}
        return {**common, "repositories": [self.repository]}

    @property
    def staging(self) -> dict[str, Any]:
        params = {name: value for name, value in self.params.items() if name != "repositories"}
        program = {"config_file": str(self.server.conf_path), "executable": str(self.server.build.executable)}
        return {**params, **program, "state": "staged", "repository": self.repository}

    def labels(self) -> dict[str, set[str]]:
        return self.s3.labels(self.bucket, SOURCE)

    def reset(self) -> str:
        """A repository with one backup: its label."""
        self.proxy.arm()
        whole = [label for label, names in self.labels().items() if names == FILES]
        for key in self.s3.objects(self.bucket):
            if not whole or ("/backup/" in key and whole[0] not in key) or key.endswith(".lock"):
                self.s3.client.delete_object(Bucket=self.bucket, Key=key)
        for upload in self.s3.client.list_multipart_uploads(Bucket=self.bucket).get("Uploads", []):
            self.s3.client.abort_multipart_upload(
                Bucket=self.bucket, Key=upload["Key"], UploadId=upload["UploadId"]
            )
        label = whole[0] if whole else str(run_within("redis_backup", self.params)["backup"]["label"])
        self.proxy.arm()
        return label

    def free_the_lock(self) -> None:
        """What a killed owner left ends now, and not in two minutes."""
        key = f"{SOURCE}/.lock"
        if key in self.s3.objects(self.bucket):
            found = json.loads(self.s3.body(self.bucket, key))
            found["expires"] = "2026-01-01T00:00:00Z"
            self.s3.client.put_object(Bucket=self.bucket, Key=key, Body=json.dumps(found).encode())

    def assert_whole(self, label: str) -> None:
        folder = f"{SOURCE}/backup/{label}"
        for line in self.s3.body(self.bucket, f"{folder}/SHA256SUMS").decode().splitlines():
            digest, name = line.split("  ")
            assert hashlib.sha256(self.s3.body(self.bucket, f"{folder}/{name}")).hexdigest() == digest, name

    def judge(self, first: str, what: str, *, made: str = "") -> None:
        """After a fault: no manifest without its files. If anything else is not as before, the next run heals it."""
        labels = self.labels()
        assert labels.get(first) == FILES, what
        for label, names in labels.items():
            assert "manifest.json" not in names or names == FILES, f"{what}: {label} has {names}"
        if made:
            assert labels[made] == FILES, what
            self.assert_whole(made)
        if set(labels) - {made} != {first} or self.s3.uploads(self.bucket) or self.locked:
            self.proxy.arm()
            self.free_the_lock()
            made = run_within("redis_backup", self.params)["backup"]["label"]
            self.assert_whole(made)
            assert all(names == FILES for names in self.labels().values()), f"{what}: remains, {self.labels()}"
        assert self.s3.uploads(self.bucket) == [], f"{what}: unfinished uploads"
        assert not self.locked, what

    @property
    def locked(self) -> bool:
        return f"{SOURCE}/.lock" in self.s3.objects(self.bucket)


@pytest.fixture(scope="module")
def scene(any_build: Build, s3: S3Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    place = tmp_path_factory.mktemp("s3-faults")
    server = RedisProcess(any_build, place / "server").start()
    with server.client() as client, faulty(s3.port) as proxy:
        client.mset({f"key:{n}": os.urandom(2000) for n in range(5600)})
        yield Scene(server, s3, proxy, s3.bucket(), place)
    server.destroy()


def rounds(count: int, long: bool, salt: str) -> Iterator[tuple[int, Fault, bool]]:
    """Number of a request, what happens to it, whether boto3 tries again: each number once; with --long everything."""
    kinds = [kind for kind in Fault if long or kind is not Fault.DELAY]
    shift = random.Random(f"{SEED} {salt}").randrange(len(kinds))
    for number in range(1, count + 1):
        for turn, kind in enumerate(kinds):
            if long:
                yield from ((number, kind, again) for again in (False, True))
            elif turn == (number + shift) % len(kinds):
                yield number, kind, number % 4 == 0


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3_write, "_PART_BYTES", PART_BYTES)


def test_backup(scene: Scene, small_parts: None, long: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    scene.reset()
    run_within("redis_backup", scene.params)
    count = len(scene.proxy.requests)
    assert sum("partNumber" in request for request in scene.proxy.requests) == 3, scene.proxy.requests
    for number, fault, again in rounds(count, long, "backup"):
        first = scene.reset()
        monkeypatch.setattr(s3_store, "_ATTEMPTS", 6 if again else 1)
        scene.proxy.arm(fault, number)
        made = ""
        try:
            made = run_within("redis_backup", scene.params)["backup"]["label"]
        except ModuleFailed as error:
            assert_told(error.msg, SOURCE, f"s3://{scene.bucket}/")
            assert not again, f"not tried again: {error.msg}"
        requests = scene.proxy.requests
        struck = requests[number - 1] if len(requests) >= number else "nothing"
        monkeypatch.setattr(s3_store, "_ATTEMPTS", 6)
        scene.judge(first, f"request {number} ({struck}) {fault.value}, again={again}", made=made)


def test_staging(scene: Scene, long: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A body that breaks off in its middle is taken up where it broke, whatever boto3 does."""
    scene.reset()
    workspace = scene.server.data_dir / WORKSPACE
    run_within("redis_restore", scene.staging)
    shutil.rmtree(workspace)
    requests = list(scene.proxy.requests)
    for number, fault, again in rounds(len(requests), long, "staging"):
        monkeypatch.setattr(s3_store, "_ATTEMPTS", 6 if again else 1)
        scene.proxy.arm(fault, number)
        what = f"request {number} {fault.value}, again={again}"
        try:
            assert run_within("redis_restore", scene.staging)["restore"]["state"] == "staged", what
            shutil.rmtree(workspace)
        except ModuleFailed as error:
            assert_told(error.msg, SOURCE, f"s3://{scene.bucket}/")
            assert not again, f"{what}: not tried again: {error.msg}"
            assert [path.name for path in workspace.glob("*") if path.name != "lock"] == [], f"{what}: remains"
    number = next(n for n, request in enumerate(requests, 1) if request.endswith("dump.rdb.zst"))
    monkeypatch.setattr(s3_store, "_ATTEMPTS", 1)
    scene.proxy.arm(Fault.TRUNCATED, number)
    run_within("redis_restore", scene.staging)
    assert len(scene.proxy.requests) == len(requests) + 1
    shutil.rmtree(workspace)


def test_service_goes_away(scene: Scene, small_parts: None, long: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """From some request on nothing works, so that nothing can be cleaned up either: the next run does."""
    monkeypatch.setattr(s3_store, "_ATTEMPTS", 1)
    first = scene.reset()
    run_within("redis_backup", scene.params)
    count = len(scene.proxy.requests)
    chance = random.Random(f"{SEED} away")
    numbers = range(4, count - 5)
    for number in numbers if long else sorted(chance.sample(numbers, 5)):
        first = scene.reset()
        scene.proxy.arm(chance.choice([Fault.CUT_BEFORE, Fault.CUT_AFTER, Fault.SLOW_DOWN]), number, lasting=True)
        with pytest.raises(ModuleFailed) as caught:
            run_within("redis_backup", scene.params)
        assert_told(caught.value.msg, SOURCE, f"s3://{scene.bucket}/")
        scene.judge(first, f"away from request {number} on")


def test_killed_at_a_random_instant(scene: Scene, long: bool) -> None:
    """SIGKILL to the module and all it started."""
    scene.reset()
    seconds = watch("redis_backup", scene.params, [scene.place / "state"]).seconds
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    for _number in range(30 if long else 6):
        first = scene.reset()
        instant = chance.uniform(0, seconds)
        process = kill_after("redis_backup", scene.params, [scene.place / "state"], instant)
        wait_for(lambda process=process: not members(process), "the programs of the killed module to end", 10)
        scene.judge(first, f"killed {instant * 1000:.0f} ms after its first change (seed {seed})")
