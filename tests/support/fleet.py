# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Real hosts with two instances of Redis each: Debian's own unit, and a second one from its template."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from support.hosts import Host, Lab
from support.plays import PlayResult, playbook_path, run_playbook
from support.waiting import wait_for

SECOND_CONF = "/etc/redis/redis-second.conf"
DROP_IN = "/etc/systemd/system/redis-server@second.service.d"
INSTANCES = [
    {"service": "redis-server"},
    {"login_port": 6380, "service": "redis-server@second", "profile": "development"},
]
MAKE_SECOND = f"""
cp -a /etc/redis/redis.conf /etc/redis/redis.conf.before-test
systemctl stop redis-server; rm -rf /var/lib/redis/* /var/lib/redis_backup; systemctl start redis-server
cp -a /etc/redis/redis.conf {SECOND_CONF}
sed -i -e 's/^port .*/port 6380/' -e 's,^dir .*,dir /var/lib/redis-second,' \
  -e 's,^pidfile .*,pidfile /run/redis-second/redis-server.pid,' \
  -e 's,^logfile .*,logfile /var/log/redis/redis-second.log,' {SECOND_CONF}
install -d -o redis -g redis -m 750 /var/lib/redis-second
mkdir -p {DROP_IN} && printf '[Service]\nReadWritePaths=/var/lib/redis-second\n' > {DROP_IN}/paths.conf
systemctl daemon-reload
systemctl start redis-server@second
"""
UNMAKE_SECOND = f"""
systemctl stop redis-server@second redis-server; systemctl reset-failed
mv /etc/redis/redis.conf.before-test /etc/redis/redis.conf
rm -rf {SECOND_CONF} {DROP_IN} /var/lib/redis-second /var/lib/redis/* /var/lib/redis_backup
systemctl daemon-reload; systemctl start redis-server
"""


class RealFleet:
    """Four hosts, each with Debian's redis-server and a second instance from its template unit."""

    def __init__(self, lab: Lab, hosts: list[Host], reports: Path) -> None:
        self.lab, self.hosts, self.reports = lab, hosts, reports

    def play(self, extra: dict[str, Any] | None = None, **options: Any) -> PlayResult:
        return run_playbook(playbook_path("persistence"), self.inventory(), extra, **options)

    def inventory(self) -> dict[str, Any]:
        """The hosts with their instances, and a policy."""
        variables = {
            "redis_instances": INSTANCES,
            "redis_persistence_group_settings": {"maxmemory": "256mb", "maxmemory-policy": "noeviction"},
            "redis_persistence_report_dir": str(self.reports),
        }
        return self.lab.inventory(*self.hosts, **variables)

    @contextlib.contextmanager
    def prepared(self) -> Iterator[None]:
        """The instances, running, each with a key that tells it; taken away at the end."""
        hosts = list(self.hosts)
        for host in hosts:
            host.run(MAKE_SECOND)
        for host in hosts:
            for port in (6379, 6380):
                wait_for(lambda host=host, port=port: cli(host, port, "ping") == "PONG", f"{host!r}:{port} to serve")
                cli(host, port, f"set where {host.name}-{port}")
        yield
        for host in hosts:
            if host.running:
                host.run(UNMAKE_SECOND)

    def report(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.reports / "drift.json").read_text())
        return found


def cli(host: Host, port: int, command: str) -> str:
    return str(host.run(f"redis-cli -p {port} {command} 2>&1 || true").stdout).strip()
