# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A restore that is killed at any instant leaves the old data or the new, whole; the same step finishes it.

The instant is chosen in two ways: by the clock, at random within the time that a step's work takes; and by the work,
before one of its changes to the file system, with --long before each of them.
"""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from support.killing import Work, kill_after, kill_at_change, watch
from support.modules import run_module
from support.restores import DATA_NAMES, WORKSPACE, Backups, Restore, data_tree, fill_with_old_data
from support.servers import BUILD_NAMES, Build, BuildMissing, RedisProcess, build_named
from support.values import Values, differences, snapshot_values

STEPS = ("staged", "active", "rolled_back", "committed")
SEED = 20261123


@dataclass
class Scene:
    """A stopped server with old data and a restore into it; everything can be put back to how it was before a step."""

    server: RedisProcess
    restore: Restore
    known: dict[str, Values]
    work: dict[str, Work] = field(default_factory=dict)
    had: set[str] = field(default_factory=set)

    def data_names(self) -> set[str]:
        return {name.partition("/")[0] for name in data_tree(self.server)}

    @property
    def roots(self) -> list[Path]:
        return [self.server.directory]

    @property
    def workspace(self) -> Path:
        return self.server.data_dir / WORKSPACE

    @property
    def fence(self) -> Path:
        return self.workspace / "fence"

    def _saved(self, step: str) -> Path:
        return self.server.directory.parent / "saved" / step

    def prepare(self) -> None:
        """Take all steps once: keep what each starts from, and watch what it does."""
        self.had = self.data_names()
        for step in ("staged", "active", "rolled_back", "committed"):
            if step == "committed":
                self.set_for("rolled_back")
            self._saved(step).mkdir(parents=True)
            shutil.copytree(self.server.data_dir, self._saved(step) / "data")
            shutil.copy2(self.server.conf_path, self._saved(step) / "redis.conf")
            self.work[step] = watch("redis_restore", self.restore.request(step), self.roots)

    def set_for(self, step: str) -> None:
        """Put everything back to how it was before the step."""
        shutil.rmtree(self.server.data_dir)
        shutil.copytree(self._saved(step) / "data", self.server.data_dir)
        shutil.copy2(self._saved(step) / "redis.conf", self.server.conf_path)

    def served(self) -> str | None:
        """Start the server as whoever respects the fence: whose data it serves; None where the start is refused."""
        if self.fence.exists():
            return None
        self.server.start()
        try:
            found = snapshot_values(self.server.client())
        finally:
            self.server.stop()
        matching = [name for name, values in self.known.items() if not differences(values, found)]
        return matching[0] if matching else f"neither: {len(found)} keys"

    def judge(self, step: str, instant: str) -> None:
        """After a kill: old or new data at once, where the fence allows; and what the step wants after a second run."""
        at_once = self.served()
        if step == "staged":
            assert at_once == "old", f"{instant}: staging touched the live data"
        if step == "committed":
            assert at_once == "new", f"{instant}: committing touched the live data"
        assert at_once in (None, "old", "new"), instant
        result = self.restore.step(step)["restore"]
        assert result["state"] == step, instant
        assert self.restore.step(step)["changed"] is False, instant
        assert not self.fence.exists(), instant
        if step == "staged":
            self.restore.step("active")  # what was staged is whole
        if step == "rolled_back":
            assert self.data_names() == self.had, f"{instant}: not all of the previous data is back"
        assert self.served() == ("old" if step == "rolled_back" else "new"), instant
        closed = "min-replicas-to-write" in self.server.conf_path.read_text()
        assert closed is (step in ("staged", "active")), instant
        folders = sorted(path.name for path in self.workspace.iterdir() if path.is_dir())
        assert folders == [result["id"]], f"{instant}: remains of the killed run"
        if step in ("staged", "active"):
            self.restore.step("rolled_back")
            assert self.data_names() == self.had, f"{instant}: not all of the previous data is back"
            assert self.served() == "old", f"{instant}: the previous data is not whole"
        assert not list(self.server.directory.rglob("*.tmp")), f"{instant}: remains of the killed run"


SceneOf = Callable[[str], Scene]


@pytest.fixture(scope="module")
def scene_of(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SceneOf]:
    """Scenes by the build's name, made at their first use: AOF and dump file, a restore that closes writes."""
    made: dict[str, Scene] = {}
    backups = Backups(tmp_path_factory.mktemp("backups"))

    def of(name: str) -> Scene:
        if name not in made:
            try:
                build: Build = build_named(name)
            except BuildMissing as error:
                pytest.skip(str(error))
            directory = tmp_path_factory.mktemp(name) / "server"
            directory.mkdir()
            server = RedisProcess(build, directory, conf={"appendonly": "yes", "save": "3600 1"}).start()
            backup = backups.of(build)
            known = {"old": fill_with_old_data(server.client()), "new": backup.values}
            server.stop()
            made[name] = Scene(server, Restore(server, backup, close_writes=True), known)
            made[name].prepare()
        return made[name]

    yield of
    for scene in made.values():
        scene.server.destroy()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One version, and with --long all."""
    if "name" in metafunc.fixturenames:
        metafunc.parametrize("name", BUILD_NAMES if metafunc.config.getoption("--long") else ("redis-7.0",))


@pytest.mark.parametrize("step", STEPS)
def test_killed_at_a_random_instant(scene_of: SceneOf, pytestconfig: pytest.Config, name: str, step: str) -> None:
    """20 instants over the four steps; --long takes 80 of each version."""
    scene = scene_of(name)
    chance = random.Random(f"{SEED} {name} {step}")
    for _round in range(20 if pytestconfig.getoption("--long") else 5):
        seconds = chance.uniform(0, scene.work[step].seconds)
        scene.set_for(step)
        kill_after("redis_restore", scene.restore.request(step), scene.roots, seconds)
        scene.judge(step, f"{step} killed {seconds * 1000:.1f} ms after its first change")


@pytest.mark.parametrize("step", STEPS)
def test_killed_before_a_change(scene_of: SceneOf, pytestconfig: pytest.Config, name: str, step: str) -> None:
    """Each rename of data and some other changes of a step to the file system, with --long all of them."""
    scene = scene_of(name)
    changes = scene.work[step].changes
    assert len(changes) >= 3, changes
    numbers = list(range(1, len(changes) + 1))
    if not pytestconfig.getoption("--long"):
        swaps = {n for n in numbers if changes[n - 1].startswith("os.rename") and changes[n - 1].endswith(DATA_NAMES)}
        others = random.Random(f"{SEED} {step}").sample(sorted({*numbers} - swaps), 2)
        numbers = sorted({*swaps, *others})
    for number in numbers:
        scene.set_for(step)
        kill_at_change("redis_restore", scene.restore.request(step), scene.roots, number)
        scene.judge(step, f"{step} killed before change {number}, {changes[number - 1]}")


def test_the_digest_agrees(scene_of: SceneOf, name: str) -> None:
    """The collection's own digest sees the same difference between old and new as the values compared above."""
    scene = scene_of(name)
    found = []
    for step in ("active", "rolled_back", "committed"):
        scene.set_for(step)
        scene.server.start()
        result = run_module("redis_check", {**scene.server.connection, "digest": True})
        assert result["keys"] == len(scene.known["old" if step == "active" else "new"])
        found.append(result["digest"])
        scene.server.stop()
    assert found[0] != found[1] == found[2]
