# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A repository in a directory, and the module parameters that fill it and restore from it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support.machine import AgeKey
from support.modules import run_module
from support.servers import RedisProcess


@dataclass
class Shelf:
    """The repository `root` as the one `instance` uses it, with or without encryption for `key`."""

    root: Path
    state_dir: Path
    instance: str = "shop"
    key: AgeKey | None = None

    @property
    def repository(self) -> dict[str, Any]:
        return {"name": "shelf", "path": str(self.root)}

    def of(self, server: RedisProcess, **more: Any) -> dict[str, Any]:
        """The parameters that every module takes."""
        program = str(server.build.executable)
        common = {"instance": self.instance, "state_dir": str(self.state_dir), "executable": program}
        return {**server.connection, **common, **more}

    def to_backup(self, server: RedisProcess, **more: Any) -> dict[str, Any]:
        """The parameters of redis_backup."""
        params = self.of(server, repositories=[self.repository])
        if self.key is not None:
            params["encryption"] = {"recipients": [self.key.recipient]}
        return {**params, **more}

    def to_restore(self, server: RedisProcess, state: str = "staged", **more: Any) -> dict[str, Any]:
        """The parameters of redis_restore."""
        params = self.of(server, state=state, config_file=str(server.conf_path))
        if state == "staged":
            params["repository"] = self.repository
            params["identities"] = [str(self.key.identity)] if self.key is not None else []
        return {**params, **more}

    def backup(self, server: RedisProcess, **more: Any) -> dict[str, Any]:
        """Make a backup and return its description."""
        made: dict[str, Any] = run_module("redis_backup", self.to_backup(server, **more))["backup"]
        return made

    def folder(self, label: str) -> Path:
        """Where a backup lies."""
        return self.root / self.instance / "backup" / label

    @property
    def labels(self) -> list[str]:
        """Names of everything that lies where backups are, whole or not."""
        return sorted(path.name for path in (self.root / self.instance / "backup").glob("*"))
