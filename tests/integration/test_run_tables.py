# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Exports and verifications of many instances end with one table, whatever hangs."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

from support.fleets import Fleet, table
from support.groups import make_group
from support.modules import run_module
from support.plays import playbook_path, run_playbook
from support.servers import Build


def test_a_group_and_a_server_that_hangs(any_build: Build, make_server: Any, tmp_path: Path) -> None:
    """A Sentinel is not asked; a primary whose replica was backed up has no backup of its own, and needs none."""
    group = make_group(make_server, any_build, replicas=1, sentinels=1)
    servers = {"first": group.primary, "copy": group.replicas[0], "watch": group.sentinels[0]}
    fleet = Fleet(tmp_path, **servers, hung=make_server(any_build))
    for each in (group.primary, fleet.servers["hung"]):
        each.client().mset({f"k{n}": n for n in range(50)})
    for name in ("copy", "hung"):
        params = {**fleet.instance(name, fleet.servers[name]), "instance": name, "repositories": [fleet.place]}
        del params["name"]
        run_module("redis_backup", params)
    arguments = ["--forks", "4"]

    verified = run_playbook(playbook_path("verify"), fleet.inventory(), arguments=arguments).ok()
    lines = table(verified)
    assert lines[0].startswith("3 instances, 1 none of its own, 2 good, "), lines
    assert lines[2].split() == ["INSTANCE", "RESULT", "LABEL", "REPOSITORY", "SIZE", "TIME"]

    pid = fleet.servers["hung"].pid
    assert pid
    os.kill(pid, signal.SIGSTOP)
    try:
        extra = {
            "redis_backup_exports": [{"name": "all"}],
            "redis_common_look_timeout": 20,
            "redis_backup_timeout": 20,
        }
        result = run_playbook(playbook_path("export"), fleet.inventory(), extra, arguments=arguments)
    finally:
        os.kill(pid, signal.SIGCONT)
    assert result.rc != 0
    assert [host for host, stats in result.stats.items() if stats["failures"]] == ["hung"]
    lines = table(result)
    assert lines[0].startswith("3 instances, 2 exported, 1 TIMED OUT, "), lines
    assert any(line.startswith("hung  its export did not end within 20 s (redis_backup_timeout)") for line in lines)
    assert sorted(path.parts[-4] for path in fleet.repository.glob("*/export/*/manifest.json")) == ["copy", "first"]
