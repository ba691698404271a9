# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The round trip on a real host: systemd, ssh, Debian's own Redis, the unit's own restarts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.hosts import Host, Lab
from support.machine import AgeKey
from support.plays import PlayResult, playbook_path, run_playbook
from support.waiting import wait_for

REPOSITORY = "/srv/backup"
FENCE = "/var/lib/redis/.redis_backup/fence"
DROP_IN = "/etc/systemd/system/redis-server.service.d/50-redis_backup-restore.conf"


class RealSite:
    """A host with Debian's redis-server, its AOF on, and a repository on its disk."""

    def __init__(self, lab: Lab, host: Host, key: AgeKey, reports: Path) -> None:
        self.lab, self.host, self.key, self.reports = lab, host, key, reports

    def play(self, playbook: str, extra: dict[str, Any] | None = None, **options: Any) -> PlayResult:
        secret = next(line for line in self.key.identity.read_text().splitlines() if line.startswith("AGE-SECRET"))
        variables = {
            "redis_instances": [{"name": "real", "service": "redis-server"}],
            "redis_backup_repositories": [{"name": "local", "path": REPOSITORY}],
            "redis_backup_recipients": [self.key.recipient],
            "redis_restore_identity": secret,
            "redis_disaster_recovery_report_dir": str(self.reports),
        }
        return run_playbook(
            playbook_path(playbook), self.lab.inventory(self.host, **variables), extra, **options
        )

    def sh(self, command: str) -> str:
        """What a shell command prints on the host."""
        return str(self.host.run(command).stdout)

    def cli(self, command: str) -> str:
        return self.sh(f"redis-cli {command} 2>&1 || true").strip()

    def report(self) -> dict[str, Any]:
        (path,) = self.reports.glob("*.json")
        found: dict[str, Any] = json.loads(path.read_text())
        return found


@pytest.fixture
def real_site(host_lab: Lab, host: Host, age_key: AgeKey, tmp_path: Path) -> Iterator[RealSite]:
    host.run(
        f"systemctl stop redis-server; rm -rf {REPOSITORY} /var/lib/redis_backup /var/lib/redis/* "
        "/var/lib/redis/.redis_backup; "
        "sed -i 's/^appendonly no/appendonly yes/' /etc/redis/redis.conf; "
        f"install -d -m 700 {REPOSITORY}; systemctl reset-failed redis-server; systemctl start redis-server"
    )
    site = RealSite(host_lab, host, age_key, tmp_path)
    wait_for(lambda: site.cli("ping") == "PONG", 20)
    host.run("for i in $(seq 200); do echo SET key:$i value:$i; done | redis-cli --pipe")
    yield site


def test_a_wiped_host_comes_back(real_site: RealSite) -> None:
    """systemd starts the wiped server again, empty: the recovery sees through that, and brings all back."""
    site = real_site
    site.play("backup").ok()
    owner = site.sh("stat -c %U:%G:%a /var/lib/redis").strip()
    site.sh("rm -rf /var/lib/redis/*; systemctl kill -s KILL redis-server")
    wait_for(lambda: site.cli("dbsize") == "0", 20)

    site.play("disaster_recovery").ok()

    assert site.cli("dbsize") == "200" and site.cli("get key:200") == "value:200"
    assert site.cli("set again writable") == "OK"
    report = site.report()
    assert report["ok"] and report["rto_seconds"] > 0
    assert [entry["kind"] for entry in report["damage"]] == ["empty"]
    files = site.sh("find /var/lib/redis -not -path '*/.redis_backup*' -not -user redis").strip()
    assert files == "" and site.sh("stat -c %U:%G:%a /var/lib/redis").strip() == owner
    site.sh("redis-cli bgrewriteaof; systemctl restart redis-server")
    wait_for(lambda: site.cli("dbsize") == "201", 20)
    assert site.sh(f"test ! -e {DROP_IN} && test ! -e {FENCE} && echo gone").strip() == "gone"
    assert site.play("disaster_recovery").ok().changed == 0


def test_a_stopped_host_with_an_emptied_disk_tells_when_it_failed(real_site: RealSite) -> None:
    site = real_site
    site.play("backup").ok()
    site.sh("systemctl stop redis-server; rm -rf /var/lib/redis/*")
    site.play("disaster_recovery").ok()
    assert site.cli("dbsize") == "200"
    assert site.report()["failed_at_source"] == "the unit's exit"


def test_the_fence_outlives_a_power_cut(real_site: RealSite) -> None:
    """A power cut in the middle of the swap: the unit does not start at boot; running again recovers."""
    site = real_site
    site.play("backup").ok()
    site.sh("systemctl enable redis-server; systemctl stop redis-server; rm -rf /var/lib/redis/*")
    lost = run_playbook(
        [
            {
                "hosts": "redis",
                "gather_facts": False,
                "tasks": [
                    {
                        "globalscope.redis_backup.redis_restore": {
                            "state": "staged",
                            "instance": "real",
                            "service": "redis-server",
                            "repository": {"name": "local", "path": REPOSITORY},
                            "identities": ["/run/identity"],
                        }
                    }
                ],
            }
        ],
        _with_identity(site),
    )
    lost.ok()
    # Everything of the swap but its end: the fence stands, the journal says activating, nothing is in place.
    site.sh(
        "cd /var/lib/redis/.redis_backup && "
        "sed -i 's/\"state\": \"staged\"/\"state\": \"activating\"/' */journal.json && "
        f"touch {FENCE} && mkdir -p $(dirname {DROP_IN}) && "
        f"printf '[Unit]\\nConditionPathExists=!{FENCE}\\n' > {DROP_IN} && systemctl daemon-reload && sync"
    )
    site.host.power_cut()
    site.host.boot()
    state = site.sh("systemctl is-active redis-server || true; systemctl show -p ConditionResult redis-server")
    assert "inactive" in state and "ConditionResult=no" in state
    assert site.sh("systemctl start redis-server; systemctl is-active redis-server || true").strip() == "inactive"

    site.play("restore").ok()

    assert site.cli("dbsize") == "200"
    assert site.sh(f"test ! -e {DROP_IN} && test ! -e {FENCE} && echo gone").strip() == "gone"


def _with_identity(site: RealSite) -> dict[str, Any]:
    site.host.write("/run/identity", site.key.identity.read_text(), "0600")
    return site.lab.inventory(site.host)
