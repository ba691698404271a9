# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A backup that is killed at any instant is there whole or not at all, and the next run cleans up after it."""

from __future__ import annotations

import random
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from support.dataset import load_multiframe
from support.killing import Work, kill_after, kill_at_change, members, watch
from support.machine import AgeKey
from support.modules import run_module
from support.restores import SOURCE, file_tree
from support.servers import BUILD_NAMES, BuildMissing, RedisProcess, build_named
from support.waiting import wait_for

SEED = 20261124
FILES = {"SHA256SUMS", "dump.rdb.zst.age", "manifest.json", "server.tar.zst.age"}


@dataclass
class Scene:
    """A running server and a repository with one backup of it."""

    server: RedisProcess
    place: Path
    key: AgeKey
    source: str
    work: Work | None = None

    @property
    def repository(self) -> dict[str, Any]:
        return {"name": "test", "path": str(self.place / "repository")}

    @property
    def folder(self) -> Path:
        return self.place / "repository" / SOURCE / "backup"

    @property
    def roots(self) -> list[Path]:
        return [self.place]

    @property
    def params(self) -> dict[str, Any]:
        return {
            **self.server.connection,
            "instance": SOURCE,
            "repositories": [{**self.repository, "create": True}],
            "state_dir": str(self.place / "state"),
            "encryption": {"recipients": [self.key.recipient]},
            "source": self.source,
        }

    def reset(self, *, first: bool = False) -> list[str]:
        """A repository with one backup, or (`first`) none yet: the labels it holds."""
        kept = self.place.parent / "kept"
        if not kept.exists():
            run_module("redis_backup", self.params)
            shutil.copytree(self.place, kept)
        shutil.rmtree(self.place)
        if first:
            return []
        shutil.copytree(kept, self.place)
        return [path.name for path in self.folder.iterdir()]

    def catalog(self) -> list[dict[str, Any]]:
        if not (self.place / "repository").exists():
            return []
        params = {"instance": SOURCE, "repositories": [self.repository], "usable_only": True}
        found: list[dict[str, Any]] = run_module("redis_backup_info", params)["backups"]
        return found

    def judge(self, before: list[str], process: subprocess.Popen[bytes] | None, instant: str) -> None:
        """After a kill: the backups from before, and the new one whole or not at all; a next run leaves no remains."""
        if process is not None:
            wait_for(lambda: not members(process), f"the programs of the killed module to end ({instant})", 10)
        shown = [entry["label"] for entry in self.catalog()]
        new = [label for label in shown if label not in before]
        assert shown[: len(before)] == before, instant
        assert len(new) <= 1, instant
        for label in new:
            self.assert_whole(label)
        made = run_module("redis_backup", self.params)
        labels = [*shown, made["backup"]["label"]]
        assert sorted(path.name for path in self.folder.iterdir()) == labels, f"{instant}: remains in the repository"
        for label in labels:
            assert {path.name for path in (self.folder / label).iterdir()} == FILES, f"{instant}: {label}"
        self.assert_whole(labels[-1])
        expected = {"state/instances", f"state/instances/{SOURCE}.json", "state/locks", f"state/locks/{SOURCE}.lock"}
        there = set(file_tree(self.place, "state")) - {"state/locks/.snapshot.lock"}  # from the first snapshot on
        assert there == {"state", *expected}, f"{instant}: remains in the state folder"
        here = {path.name for path in (self.place / "repository" / SOURCE).iterdir()}
        assert here == {"backup", "instance.json", ".lock"}, instant
        left = [path.name for path in self.server.data_dir.iterdir() if path.name != "dump.rdb"]
        assert not left, f"{instant}: remains in the server's directory"

    def assert_whole(self, label: str) -> None:
        """By hand, as the design promises: sums, decryption, check."""
        folder = self.folder / label
        subprocess.run(["sha256sum", "--quiet", "-c", "SHA256SUMS"], cwd=folder, check=True)
        opened = f"age -d -i {self.key.identity} dump.rdb.zst.age | zstd -q -d -c"
        dump = subprocess.run(opened, shell=True, cwd=folder, check=True, stdout=subprocess.PIPE).stdout
        tool = self.server.build.executable
        subprocess.run(["redis-check-rdb", "/dev/stdin"], executable=tool, input=dump, check=True, capture_output=True)


SceneOf = Callable[[str, str], Scene]


@pytest.fixture(scope="module")
def scene_of(tmp_path_factory: pytest.TempPathFactory, age_key: AgeKey) -> Iterator[SceneOf]:
    """Scenes by the build's name and the source of its backups, made at their first use."""
    made: dict[tuple[str, str], Scene] = {}

    def of(name: str, source: str) -> Scene:
        if (name, source) not in made:
            try:
                build = build_named(name)
            except BuildMissing as error:
                pytest.skip(str(error))
            directory = tmp_path_factory.mktemp(f"{name}-{source}")
            server = RedisProcess(build, directory / "server", conf={"repl-diskless-sync": "yes"}).start()
            load_multiframe(server.client(), 3000, 500)
            scene = made[name, source] = Scene(server, directory / "place", age_key, source)
            scene.reset()
            scene.work = watch("redis_backup", scene.params, scene.roots)
        return made[name, source]

    yield of
    for scene in made.values():
        scene.server.destroy()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One version, and with --long all."""
    if "name" in metafunc.fixturenames:
        metafunc.parametrize("name", BUILD_NAMES if metafunc.config.getoption("--long") else ("redis-7.0",))


@pytest.mark.parametrize("source", ["stream", "file"])
@pytest.mark.parametrize("whom", ["group", "module"])
def test_killed_at_a_random_instant(
    scene_of: SceneOf, pytestconfig: pytest.Config, name: str, source: str, whom: str
) -> None:
    """20 instants: all processes killed, or the module alone, whose programs must then end by themselves."""
    scene = scene_of(name, source)
    assert scene.work is not None
    chance = random.Random(f"{SEED} {name} {source} {whom}")
    for number in range(20 if pytestconfig.getoption("--long") else 5):
        seconds = chance.uniform(0, scene.work.seconds)
        before = scene.reset(first=number == 0)
        process = kill_after("redis_backup", scene.params, scene.roots, seconds, group=whom == "group")
        scene.judge(before, process, f"{whom} killed {seconds * 1000:.1f} ms after its first change")


@pytest.mark.parametrize("first", [True, False])
def test_killed_before_a_change(scene_of: SceneOf, pytestconfig: pytest.Config, name: str, first: bool) -> None:
    """Some of the changes that a backup makes to the file system, with --long each of them."""
    scene = scene_of(name, "file")
    scene.reset(first=first)
    changes = watch("redis_backup", scene.params, scene.roots).changes
    assert len(changes) >= 10, changes
    numbers = list(range(1, len(changes) + 1))
    if not pytestconfig.getoption("--long"):
        numbers = sorted(random.Random(f"{SEED} {first}").sample(numbers, 2))
    for number in numbers:
        before = scene.reset(first=first)
        kill_at_change("redis_backup", scene.params, scene.roots, number)
        scene.judge(before, None, f"killed before change {number}, {changes[number - 1]}")
