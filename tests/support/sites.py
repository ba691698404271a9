# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One server with all that an inventory says of it, and the playbooks run on it."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from support.machine import AgeKey
from support.plays import PlayResult, playbook_path, run_playbook
from support.servers import RedisProcess


class Site:
    """One server with what an inventory says of it: repository, key, state, reports below one directory."""

    def __init__(self, server: RedisProcess, directory: Path, key: AgeKey, name: str = "multiframe") -> None:
        self.server, self.directory, self.key, self.name = server, directory, key, name
        self.repository = directory / "repository"
        self.repository.mkdir(exist_ok=True)
        self.reports = directory / "reports"

    def instance(self, **more: Any) -> dict[str, Any]:
        return {
            "name": self.name,
            **self.server.connection,
            "config_file": str(self.server.conf_path),
            "executable": str(self.server.build.executable),
            "start_command": self.server.start_command,
            "stop_command": self.server.stop_command,
            "state_dir": str(self.directory / f"state-{self.name}"),
            **more,
        }

    def variables(self) -> dict[str, Any]:
        return {
            "redis_become": False,
            "redis_common_install": False,
            "redis_backup_repositories": [{"name": "local", "path": str(self.repository)}],
            "redis_backup_recipients": [self.key.recipient],
            "redis_restore_identities": [str(self.key.identity)],
            "redis_disaster_recovery_report_dir": str(self.reports),
        }

    def play(self, playbook: str, extra: Mapping[str, Any] | None = None, **options: Any) -> PlayResult:
        instance = self.instance(**options.pop("instance", {}))
        inventory = {"redis": {"hosts": {self.name: {"redis_instances": [instance]}}, "vars": self.variables()}}
        found = playbook if "." in playbook else playbook_path(playbook)
        return run_playbook(found, inventory, extra, **options)

    def report(self) -> dict[str, Any]:
        """The newest recovery report."""
        newest = max(self.reports.glob("*.json"), key=os.path.getmtime)
        found: dict[str, Any] = json.loads(newest.read_text())
        return found

    def lose_the_disk(self) -> None:
        self.server.kill()
        self.server.destroy()
        shutil.rmtree(self.server.data_dir)
        self.server.data_dir.mkdir()
