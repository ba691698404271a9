# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A replication group as an inventory has it, the playbooks run on it, and a watcher of all its nodes."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import redis

from support.groups import Group
from support.machine import AgeKey
from support.plays import PlayResult, playbook_path, run_playbook
from support.servers import RedisProcess


class GroupSite:
    """Hosts h1, h2 ... with a data server and, as far as there are any, a Sentinel each; all are this machine."""

    def __init__(self, group: Group, directory: Path, key: AgeKey) -> None:
        self.group, self.directory, self.key = group, directory, key
        self.repository = directory / "repository"
        self.repository.mkdir(exist_ok=True)
        self.reports = directory / "reports"
        self.unreachable: set[str] = set()

    def name(self, server: RedisProcess) -> str:
        """Name of a server's instance."""
        number, _host = self._place(server)
        return f"h{number}-{'sentinel' if server in self.group.sentinels else 'data'}"

    def _place(self, server: RedisProcess) -> tuple[int, str]:
        row: Sequence[RedisProcess] = self.group.sentinels if server in self.group.sentinels else self.group.servers
        number = row.index(server) + 1
        return number, f"h{number}"

    def instance(self, server: RedisProcess) -> dict[str, Any]:
        return {
            "name": self.name(server),
            **server.connection,
            "config_file": str(server.conf_path),
            "executable": str(server.build.executable),
            "start_command": server.start_command,
            "stop_command": server.stop_command,
            "state_dir": str(self.directory / f"state-{self._place(server)[1]}"),
        }

    def inventory(self) -> dict[str, Any]:
        hosts: dict[str, dict[str, Any]] = {}
        for server in self.group.everything:
            host = hosts.setdefault(self._place(server)[1], {"redis_instances": []})
            host["redis_instances"].append(self.instance(server))
        for name in self.unreachable:
            hosts[name].update(ansible_connection="ssh", ansible_host="127.0.0.1", ansible_port=9)
        variables = {
            "redis_become": False,
            "redis_common_install": False,
            "redis_backup_repositories": [{"name": "local", "path": str(self.repository)}],
            "redis_backup_recipients": [self.key.recipient],
            "redis_restore_identities": [str(self.key.identity)],
            "redis_disaster_recovery_report_dir": str(self.reports),
        }
        return {"redis": {"hosts": hosts, "vars": variables}}

    def play(self, playbook: str, extra: Mapping[str, Any] | None = None, **options: Any) -> PlayResult:
        return run_playbook(playbook_path(playbook), self.inventory(), extra, **options)

    def report(self) -> dict[str, Any]:
        """The newest recovery report."""
        newest = max(self.reports.glob("*.json"), key=os.path.getmtime)
        found: dict[str, Any] = json.loads(newest.read_text())
        return found

    def lose(self, *servers: RedisProcess) -> None:
        """SIGKILL, and the data is gone."""
        for server in servers:
            server.destroy()
        for server in servers:
            shutil.rmtree(server.data_dir)
            server.data_dir.mkdir()


class Watcher:
    """What all nodes of a group answer, asked again and again: sizes of data sets, and whom Sentinels name."""

    def __init__(self, group: Group) -> None:
        self.group = group
        self.empty: list[str] = []
        self.looks = 0
        self.views: set[tuple[int, str, str]] = set()
        self._stop = threading.Event()

    @contextlib.contextmanager
    def watching(self) -> Iterator[Watcher]:
        threads = [
            threading.Thread(target=self._watch, args=(look, each), daemon=True)
            for look, servers in ((self._size, self.group.servers), (self._view, self.group.sentinels))
            for each in servers
        ]
        for thread in threads:
            thread.start()
        try:
            yield self
        finally:
            self._stop.set()
            for thread in threads:
                thread.join()

    def _watch(self, look: Any, server: RedisProcess) -> None:
        while not self._stop.wait(0.01):
            with contextlib.suppress(redis.RedisError, OSError), server.client(socket_timeout=2) as client:
                client.response_callbacks.clear()
                while not self._stop.wait(0.005):
                    look(server, client)
                    self.looks += 1

    def _size(self, server: RedisProcess, client: redis.Redis) -> None:
        try:
            size = client.execute_command("DBSIZE")
        except redis.ResponseError:  # MASTERDOWN, LOADING
            return
        if not size:
            self.empty.append(f"{server!r} at look {self.looks}")

    def _view(self, server: RedisProcess, client: redis.Redis) -> None:
        words = [word.decode() for word in client.execute_command("SENTINEL", "MASTER", self.group.name)]
        found = dict(zip(words[::2], words[1::2], strict=True))
        self.views.add((server.port, found["port"], found["config-epoch"]))

    def failed_over(self) -> bool:
        """Whether any Sentinel named more than one primary, or raised the epoch of its configuration."""
        return len(self.views) > len({port for port, _named, _epoch in self.views})
