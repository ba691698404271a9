# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Retention of what belongs together: members of a replication group that took turns, and the sets of a cluster."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.globalscope.redis_backup.plugins.module_utils._repository.identity import HostState
from ansible_collections.globalscope.redis_backup.plugins.module_utils._repository.open import open_store

from support.fleets import Fleet
from support.groups import make_group
from support.history import Template
from support.killing import kill_at_change, watch
from support.plays import PlayResult, playbook_path, run_playbook
from support.servers import Build, RedisProcess
from support.within import run_within

SEED = 20261125
DAY = 86400.0
T0 = 1_795_000_000.0  # 2026-11-18T10:26:40Z
THIRDS = ([[0, 5460]], [[5461, 10922]], [[10923, 16383]])
NAMES = ("p1", "p2", "p3")


@pytest.fixture(scope="module")
def template(any_build: Build, tmp_path_factory: pytest.TempPathFactory) -> Template:
    """One real backup, to be multiplied."""
    server = RedisProcess(any_build, tmp_path_factory.mktemp("together") / "server").start()
    server.client().mset({f"key:{number}": "value" for number in range(50)})
    try:
        return Template.made(server, tmp_path_factory.mktemp("template"))
    finally:
        server.destroy()


def test_a_group_is_thinned_out_as_one(any_build: Build, make_server: Any, template: Template, tmp_path: Path) -> None:
    """The playbook finds out who holds the same data; the last four are those of both names."""
    group = make_group(make_server, any_build, replicas=1, sentinels=0)
    fleet = Fleet(tmp_path, first=group.primary, copy=group.replicas[0], alone=make_server(any_build))
    for name in fleet.servers:
        HostState(str(tmp_path / "state")).write(name, template.uuid)
    first = template.copy_to(fleet.place, [T0 + day * DAY for day in (0, 1, 2, 6)], instance="first")
    copied = template.copy_to(fleet.place, [T0 + day * DAY for day in (3, 4, 5, 7, 8, 9)], instance="copy")
    alone = template.copy_to(fleet.place, [T0 + day * DAY for day in range(6)], instance="alone")

    def prune(**options: Any) -> PlayResult:
        keep = {"redis_backup_keep": {"last": 4}, "redis_backup_minimum_verified": 0}
        arguments = ["--forks", "3"]
        return run_playbook(playbook_path("prune"), fleet.inventory(), keep, arguments=arguments, **options).ok()

    dry = prune(check=True)
    assert {name: len(labels) for name, labels in fleet.backups().items()} == {"first": 4, "copy": 6, "alone": 6}
    removed = {name: dry.last("Remove what retention", name)["removed"] for name in fleet.servers}
    assert removed == {"first": first[:3], "copy": copied[:3], "alone": alone[:2]}
    result = prune()
    assert {name: result.last("Remove what retention", name)["removed"] for name in fleet.servers} == removed
    assert fleet.backups() == {"first": first[3:], "copy": copied[3:], "alone": alone[2:]}

    group.primary.kill()  # nobody but its files tells where it belongs; and what is down loses nothing
    assert prune().changed == 0


class Shelf:
    """A repository with the sets of a cluster of three shards."""

    def __init__(self, entry: dict[str, Any], template: Template, state: Path) -> None:
        self.entry, self.template, self.state = entry, template, state
        for name in NAMES:
            HostState(str(state)).write(name, template.uuid)

    def fill(self, nights: list[str]) -> None:
        """A set each night, of the shards that are named by their numbers."""
        for night, shards in enumerate(nights):
            for number in map(int, shards):
                part = {"id": f"set-{night}", "shards": 3, "shard": f"s{number}", "slots": THIRDS[number]}
                at = [T0 + night * DAY + number]
                self.template.copy_to(self.entry, at, instance=NAMES[number], first=night, set=part)

    def params(self, name: str, **more: Any) -> dict[str, Any]:
        return {
            "instance": name,
            "state_dir": str(self.state),
            "repositories": [self.entry],
            "shards": [[each] for each in NAMES],
            "keep": {"last": 2},
            "minimum_verified": 0,
            **more,
        }

    def prune(self, name: str, check: bool = False, **more: Any) -> dict[str, Any]:
        return run_within("redis_backup_prune", self.params(name, **more), check=check)

    def sets(self) -> dict[str, bool]:
        """Whether each set is usable."""
        found = run_within("redis_backup_info", {"repositories": [self.entry], "state_dir": str(self.state)})
        return {each["id"]: each["usable"] for each in found["sets"]}

    def backups(self) -> list[int]:
        store = open_store({"type": "posix", **self.entry})
        return [len(store.names(f"{name}/backup")) for name in NAMES]


@pytest.fixture(params=["posix", "s3"])
def shelf(request: pytest.FixtureRequest, template: Template, tmp_path: Path) -> Shelf:
    if request.param == "posix":
        return Shelf({"name": "nas", "path": str(tmp_path / "nas")}, template, tmp_path / "state")
    service = request.getfixturevalue("s3")
    return Shelf(service.entry(service.bucket(), prefix="p"), template, tmp_path / "state")


def test_sets_go_whole(shelf: Shelf) -> None:
    """Those that lack a part first; each run removes its own, in any order, as check mode has said."""
    shelf.fill(["012", "012", "02", "012", "1", "012", "01"])
    dry = {name: shelf.prune(name, check=True) for name in NAMES}
    assert shelf.backups() == [6, 6, 5]
    assert [len(dry[name]["removed"]) for name in NAMES] == [3, 3, 3]
    for name in ("p3", "p1", "p2"):
        wet = shelf.prune(name)
        assert (wet["removed"], wet["freed_bytes"]) == (dry[name]["removed"], dry[name]["freed_bytes"])
    assert shelf.sets() == {"set-3": True, "set-5": True, "set-6": False}
    assert not any(shelf.prune(name)["changed"] for name in NAMES)
    reasons = [each["reasons"][0] for each in shelf.prune("p1")["kept"]]
    assert reasons == ["one of the last 2 (set set-3)", "one of the last 2 (set set-5)", "one of the last 2"]
    shelf.fill([*[""] * 7, "012"])
    for name in NAMES:
        shelf.prune(name)
    assert shelf.sets() == {"set-5": True, "set-7": True}


def test_killed_at_a_random_instant(template: Template, tmp_path: Path, long: bool) -> None:
    """A set of which a part is gone is none any more, counts for nothing, and goes with the next runs."""
    chance = random.Random(SEED)
    for number in range(6 if long else 2):
        root = tmp_path / f"{number}"
        shelf = Shelf({"name": "nas", "path": str(root / "nas")}, template, root / "state")
        shelf.fill(["012"] * 5)
        roots = [root / "nas", root / "state"]
        shelf.prune("p2", check=True)
        work = watch("redis_backup_prune", shelf.params("p1"), roots)
        removals = [at for at, words in enumerate(work.changes, 1) if words.startswith(("os.remove", "os.rmdir"))]
        shelf.fill(["0"] * 3)
        kill_at_change("redis_backup_prune", shelf.params("p1"), roots, chance.choice(removals))
        assert {name for name, usable in shelf.sets().items() if usable} >= {"set-3", "set-4"}
        for name in ("p3", "p1", "p2"):
            shelf.prune(name)
        assert shelf.sets() == {"set-3": True, "set-4": True} and shelf.backups() == [2, 2, 2]
