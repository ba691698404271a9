# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A restore into a server on another host, whose disk nobody of us reaches: everything works on the controller."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import redis

from support.hosts import Host
from support.modules import ModuleFailed, run_module
from support.plays import run_playbook
from support.servers import BuildMissing, build_named, connect
from support.values import differences, snapshot_values
from support.waiting import wait_for

PASSWORD = "correct-horse-battery-staple"


def test_a_server_whose_disk_is_out_of_reach(host: Host, tmp_path: Path) -> None:
    try:
        build = build_named("redis-7.0")  # as on the host
    except BuildMissing as error:
        pytest.skip(str(error))
    host.run(
        "systemctl stop redis-server; rm -rf /var/lib/redis/*; "
        "sed -i -e 's/^bind .*/bind 0.0.0.0/' -e 's/^appendonly no/appendonly yes/' /etc/redis/redis.conf; "
        f"echo requirepass {PASSWORD} >>/etc/redis/redis.conf; "
        "systemctl reset-failed redis-server; systemctl start redis-server"
    )
    client = connect(host.address, 6379, PASSWORD)
    wait_for(client.ping, "the server to answer")
    client.mset({f"key:{n}": f"value {n}" for n in range(500)})
    values = snapshot_values(client)
    instance: dict[str, Any] = {"name": "managed", "login_host": host.address, "login_port": 6379}
    instance.update(login_password=PASSWORD, state_dir=str(tmp_path / "state"), executable=str(build.executable))
    inventory = {"redis": {"hosts": {"controller": {"redis_instances": [instance]}}}}
    repository = {"name": "here", "path": str(tmp_path / "repository")}
    login = {name: value for name, value in instance.items() if name != "name"}
    made = run_module(
        "redis_backup", {**login, "instance": "managed", "repositories": [{**repository, "create": True}]}
    )
    client.flushall()
    client.mset({f"wrong:{n}": "wrong" for n in range(50)})
    before = client.info("server")["run_id"]
    variables = {
        "redis_restore_repositories": [repository],
        "redis_restore_method": "replication",
        "redis_restore_label": made["backup"]["label"],
        "redis_become": False,
    }
    run_playbook("globalscope.redis_backup.restore", inventory, variables).ok()
    assert client.info("server")["run_id"] == before
    assert differences(values, snapshot_values(client)) == []
    assert host.run("ls -A /var/lib/redis").stdout.split() == ["appendonlydir", "dump.rdb"]

    host.run("systemctl kill -s KILL redis-server")
    wait_for(lambda: _run_id(host) not in ("", before), "systemd to start the server again")
    client = connect(host.address, 6379, PASSWORD)
    assert differences(values, snapshot_values(client)) == []

    request = {**login, "instance": "managed", "repository": repository, "method": "replication", "force": True}
    run_module("redis_restore", {**request, "state": "staged"})
    with pytest.raises(ModuleFailed, match="has not connected"):
        run_module("redis_restore", {**request, "state": "active", "announce_host": "127.0.0.1", "wait_timeout": 2})
    info = client.info("replication")
    assert info["role"] == "master"
    assert client.set("written", "again")


def _run_id(host: Host) -> str:
    try:
        return str(connect(host.address, 6379, PASSWORD).info("server")["run_id"])
    except (redis.ConnectionError, redis.BusyLoadingError):
        return ""
