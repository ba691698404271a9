# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The playbook prune as an operator runs it, over a fleet: three hosts, one of them with two instances."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.globalscope.redis_backup.plugins.module_utils._repository.identity import HostState

from support.history import Template
from support.plays import PlayResult, playbook_path, run_playbook
from support.servers import Build, RedisProcess

DAY = 86400.0
T0 = 1_795_000_000.0  # 2026-11-18T10:26:40Z
NAMES = ("one", "two-a", "two-b", "three")


@pytest.fixture(scope="module")
def template(any_build: Build, tmp_path_factory: pytest.TempPathFactory) -> Template:
    server = RedisProcess(any_build, tmp_path_factory.mktemp("fleet") / "server").start()
    server.client().mset({f"key:{number}": "value" for number in range(50)})
    try:
        return Template.made(server, tmp_path_factory.mktemp("template"))
    finally:
        server.destroy()


class Fleet:
    """Hosts whose instances have a history of ten days in two repositories."""

    def __init__(self, root: Path, template: Template) -> None:
        self.root, self.template = root, template
        self.local = {"name": "local", "path": str(root / "local"), "keep": {"last": 4}}
        self.nas = {"name": "nas", "path": str(root / "nas")}
        for name in NAMES:
            for entry in (self.local, self.nas):
                template.copy_to(entry, [T0 + day * DAY for day in range(10)], instance=name)
            HostState(str(root / "state")).write(name, template.uuid)

    def labels(self, repository: str, name: str) -> int:
        return len(list((self.root / repository / name / "backup").iterdir()))

    def play(self, playbook: str | Path, extra: dict[str, Any] | None = None, **options: Any) -> PlayResult:
        def instances(*names: str) -> dict[str, Any]:
            common = {"state_dir": str(self.root / "state")}
            found = [{"name": name, "login_port": 7000 + number, **common} for number, name in enumerate(names)]
            return {"redis_instances": found}

        hosts = {"one": instances("one"), "two": instances("two-a", "two-b"), "three": instances("three")}
        variables = {
            "redis_become": False,
            "redis_common_install": False,
            "redis_backup_repositories": [self.local, self.nas],
            "redis_backup_keep": {"daily": 6, "weekly": 4},
        }
        return run_playbook(playbook, {"redis": {"hosts": hosts, "vars": variables}}, extra, **options)

    def told(self, result: PlayResult, host: str) -> list[str]:
        lines: list[str] = result.last("Tell what was kept and removed", host)["msg"]
        return lines


@pytest.fixture
def fleet(tmp_path: Path, template: Template) -> Fleet:
    return Fleet(tmp_path, template)


def test_each_repository_by_its_own_rules(fleet: Fleet) -> None:
    """By FQCN; check mode tells it before, and a second run, from the checkout, changes nothing."""
    dry = fleet.play("globalscope.redis_backup.prune", check=True, diff=True).ok()
    assert dry.changed == len(NAMES)
    assert fleet.labels("local", "one") == 10
    assert "kept 4, would remove 6" in fleet.told(dry, "one")[0]
    result = fleet.play("globalscope.redis_backup.prune").ok()
    assert result.changed == len(NAMES)
    for name in NAMES:
        assert (fleet.labels("local", name), fleet.labels("nas", name)) == (4, 6)
    told = [line for host in ("one", "two", "three") for line in fleet.told(result, host)]
    assert len(told) == 8
    assert told[2].startswith("two-a in local: kept 4, removed 6, freed ")
    assert told[5].startswith("two-b in nas: kept 6, removed 4, freed ")
    again = fleet.play(playbook_path("prune")).ok()
    assert again.changed == 0
    assert fleet.told(again, "one")[0] == "one in local: kept 4, removed 0"


def test_what_fails_is_told_when_all_others_are_done(fleet: Fleet) -> None:
    """An instance that is another server's there, and one with a suspect; the second instance of the host goes on."""
    (fleet.root / "nas" / "two-a" / "instance.json").write_text('{"uuid": "another"}')
    empty = {"total": 0, "expires": 0}
    (suspect,) = fleet.template.copy_to(fleet.local, [T0 + 11 * DAY], instance="three", first=10, keys=empty)
    result = fleet.play("globalscope.redis_backup.prune")
    assert result.rc != 0
    assert [host for host, stats in result.stats.items() if stats["failures"]] == ["two"]
    assert "two-a: pruning failed in nas" in result.last("Fail where not", "two")["msg"]
    assert (fleet.labels("nas", "two-a"), fleet.labels("local", "two-a"), fleet.labels("nas", "two-b")) == (10, 4, 6)
    assert fleet.told(result, "two")[1].startswith("two-a in nas: FAILED, kept 0, removed 0")
    assert fleet.labels("local", "three") == 11
    assert f"nothing may go: {suspect} is suspect" in fleet.told(result, "three")[0]
    assert f"{suspect} is suspect" in result.stdout.partition("[WARNING]")[2]


def test_without_rules_nothing_is_removed(fleet: Fleet) -> None:
    result = fleet.play("globalscope.redis_backup.prune", {"redis_backup_keep": {}})
    assert result.rc != 0
    assert "keep names no rule for nas" in result.last("Fail where not", "one")["msg"]
    assert fleet.labels("local", "one") == 10
