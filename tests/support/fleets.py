# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Servers of this machine as an inventory, each on a host of its own, and backups made of them."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from support.modules import run_module
from support.plays import PlayResult, playbook_path, run_playbook
from support.servers import Build, RedisProcess


class Fleet:
    """Hosts of one server each, named as given; repository and state below one directory, nothing encrypted."""

    def __init__(self, directory: Path, **servers: RedisProcess) -> None:
        self.directory = directory
        self.servers = servers
        self.repository = directory / "repository"
        self.repository.mkdir(exist_ok=True)

    @property
    def place(self) -> dict[str, Any]:
        return {"name": "local", "path": str(self.repository)}

    def inventory(self, leave_out: Sequence[str] = ()) -> dict[str, Any]:
        hosts = {
            name: {"redis_instances": [self.instance(name, server)]}
            for name, server in self.servers.items()
            if name not in leave_out
        }
        variables = {
            "redis_become": False,
            "redis_common_install": False,
            "redis_backup_repositories": [self.place],
            "redis_backup_encryption": "none",
        }
        return {"redis": {"hosts": hosts, "vars": variables}}

    def instance(self, name: str, server: RedisProcess) -> dict[str, Any]:
        return {
            "name": name,
            **server.connection,
            "config_file": str(server.conf_path),
            "executable": str(server.build.executable),
            "state_dir": str(self.directory / "state"),
        }

    def back_up(
        self, extra: Mapping[str, Any] | None = None, *, leave_out: Sequence[str] = (), **options: Any
    ) -> PlayResult:
        """Run the playbook `backup` on all of them but some, as many at once as there are."""
        arguments = ["--forks", str(len(self.servers)), *options.pop("arguments", [])]
        return run_playbook(playbook_path("backup"), self.inventory(leave_out), extra, arguments=arguments, **options)

    def backups(self) -> dict[str, list[str]]:
        """The labels of the complete backups in the repository, by instance."""
        found: dict[str, list[str]] = {}
        for path in sorted(self.repository.glob("*/backup/*/manifest.json")):
            found.setdefault(path.parts[-4], []).append(path.parts[-2])
        return found

    def catalog(self, **params: Any) -> dict[str, Any]:
        return run_module(
            "redis_backup_info", {"repositories": [self.place], "state_dir": str(self.directory / "state"), **params}
        )

    def load(self, instance: str, label: str, build: Build, make_server: Any) -> RedisProcess:
        """A new server that has loaded a stored backup, by stock tools alone."""
        server: RedisProcess = make_server(build, start=False)
        stored = self.repository / instance / "backup" / label / "dump.rdb.zst"
        with (server.data_dir / "dump.rdb").open("wb") as dump:
            subprocess.run(["zstd", "-dc", str(stored)], stdout=dump, check=True)
        return server.start()


def table(result: PlayResult) -> list[str]:
    """The lines of the summary at the end of a run."""
    found: list[str] = result.last("Summary")["msg"]
    return found


def told(result: PlayResult) -> str:
    """The same as one line, for words that may be wrapped."""
    return " ".join(" ".join(table(result)).split())
