# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A replication group on three real hosts, whose user is no root: all is lost, and comes back by the playbook alone."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from support.hosts import Host, Lab
from support.machine import AgeKey
from support.plays import PlayResult, playbook_path, run_playbook
from support.servers import connect
from support.values import differences, snapshot_values
from support.waiting import wait_for

PASSWORD = "correct-horse-battery-staple"
NAME = "shop"
REPOSITORY = "/srv/backup"
SENTINEL_DIR = "/var/lib/redis-sentinel"
SENTINEL_CONF = f"{SENTINEL_DIR}/sentinel.conf"
UNIT = f"""[Unit]
Description=Sentinel
[Service]
User=redis
ExecStart=/usr/bin/redis-server {SENTINEL_CONF} --sentinel
"""
PREPARE = f"""
id ops >/dev/null 2>&1 || useradd --create-home ops
install -d -o ops -m 700 /home/ops/.ssh && install -o ops -m 600 /root/.ssh/authorized_keys /home/ops/.ssh/
echo 'ops ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/ops
systemctl stop redis-server; rm -rf /var/lib/redis/* /var/lib/redis/.redis_backup /var/lib/redis_backup {REPOSITORY}
install -d -m 700 {REPOSITORY}; install -d -o redis -g redis -m 750 {SENTINEL_DIR}
sed -i -e 's/^bind .*/bind 0.0.0.0/' -e 's/^appendonly no/appendonly yes/' /etc/redis/redis.conf
printf 'requirepass {PASSWORD}\\nmasterauth {PASSWORD}\\n' >>/etc/redis/redis.conf
"""
BARE = f"port 26379\ndir {SENTINEL_DIR}\n"


def start(host: Host, primary: Host) -> None:
    """Debian's own server, a replica unless it is the primary, and a Sentinel beside it."""
    follow = "" if host is primary else f"replicaof {primary.address} 6379"
    host.run(f"{PREPARE}\necho '{follow}' >>/etc/redis/redis.conf")
    watched = [f"monitor {NAME} {primary.address} 6379 2", f"auth-pass {NAME} {PASSWORD}"]
    watched += [f"down-after-milliseconds {NAME} 60000", f"failover-timeout {NAME} 70000"]
    host.write(SENTINEL_CONF, BARE + "".join(f"sentinel {line}\n" for line in watched))
    host.write("/etc/systemd/system/redis-sentinel.service", UNIT)
    host.run(f"chown redis:redis {SENTINEL_CONF}; systemctl daemon-reload; systemctl reset-failed; ")
    host.run("systemctl start redis-server redis-sentinel")


def sentinel(host: Host, command: str) -> str:
    return str(host.run(f"redis-cli -p 26379 SENTINEL {command}").stdout)


def sees_all(host: Host, primary: Host) -> bool:
    """The Sentinel sees a healthy primary with two replicas, and the other Sentinels."""
    words = sentinel(host, f"MASTER {NAME}").splitlines()
    told = dict(zip(words[::2], words[1::2], strict=False))
    known = {"ip": primary.address, "flags": "master", "num-slaves": "2", "num-other-sentinels": "2"}
    return known.items() <= told.items() and told["down-after-milliseconds"] == "60000"


@pytest.mark.long
def test_all_of_a_group_on_three_hosts_is_lost(
    hosts: Callable[[int], list[Host]], host_lab: Lab, age_key: AgeKey, tmp_path: Path
) -> None:
    members = hosts(3)
    first, *others = members
    for host in members:
        start(host, first)
    client = connect(first.address, 6379, PASSWORD)
    wait_for(lambda: client.info("replication")["connected_slaves"] == 2, "the replicas")
    client.mset({f"key:{n}": f"value {n}" for n in range(500)})
    wait_for(lambda: all(sees_all(host, first) for host in members), "the Sentinels to agree")
    wanted = snapshot_values(client)

    secret = next(line for line in age_key.identity.read_text().splitlines() if line.startswith("AGE-SECRET"))
    server = {"login_port": 6379, "login_password": PASSWORD, "service": "redis-server"}
    variables: dict[str, Any] = {
        "redis_instances": [server, {"login_port": 26379, "service": "redis-sentinel"}],
        "redis_common_install": False,
        "redis_backup_repositories": [{"name": "local", "path": REPOSITORY}],
        "redis_backup_recipients": [age_key.recipient],
        "redis_backup_from": "primary",  # each host has a disk of its own
        "redis_restore_identity": secret,
        "redis_disaster_recovery_report_dir": str(tmp_path),
    }
    inventory = host_lab.inventory(*members, **variables)
    for host in members:
        inventory["redis"]["hosts"][host.name] = {**host.variables, "ansible_user": "ops"}

    def play(playbook: str, extra: dict[str, Any] | None = None, **options: Any) -> PlayResult:
        return run_playbook(playbook_path(playbook), inventory, extra, **options)

    play("backup").ok()
    for host in members:
        host.run("systemctl kill -s KILL redis-sentinel; systemctl stop redis-server redis-sentinel")
        host.run("rm -rf /var/lib/redis/*")
    others[1].write(SENTINEL_CONF, BARE)  # written anew by hand: it knows nobody
    others[1].run(f"chown redis:redis {SENTINEL_CONF}")

    alone = play("disaster_recovery", {"target": first.name})
    assert alone.rc != 0 and others[0].address in alone.stdout and "Nothing was changed" in alone.stdout, alone.stdout
    assert first.run("systemctl is-active redis-server", check=False).stdout.strip() == "inactive"

    result = play("disaster_recovery").ok()
    assert differences(wanted, snapshot_values(connect(first.address, 6379, PASSWORD))) == [], result.stdout
    for host in others:
        copy = connect(host.address, 6379, PASSWORD)
        told = copy.info("replication")
        assert (told["role"], told["master_host"], told["master_link_status"]) == ("slave", first.address, "up")
        assert differences(wanted, snapshot_values(copy)) == []
    for host in members:
        wait_for(lambda host=host: sees_all(host, first), f"the Sentinel of {host!r} to see all")
        assert sentinel(host, f"CKQUORUM {NAME}").startswith("OK 3 usable")
        owners = host.run("find /var/lib/redis -not -path '*/.redis_backup*' -not -user redis").stdout
        assert owners == "" and "globalscope" not in host.run("cat /etc/redis/redis.conf").stdout
    newest = max(tmp_path.glob("*.json"), key=lambda path: path.stat().st_mtime)
    report = json.loads(newest.read_text())
    assert report["ok"] and report["group"]["id"] == NAME and report["group"]["left_over"] == []
    assert PASSWORD not in result.stdout
    assert play("disaster_recovery").ok().changed == 0
