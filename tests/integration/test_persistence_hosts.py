# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One policy on four real hosts with two instances each: systemd, ssh, Debian's own units."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support.fleet import SECOND_CONF, RealFleet, cli
from support.hosts import Host, Lab


@pytest.fixture
def real_fleet(host_lab: Lab, hosts: Callable[[int], list[Host]], tmp_path: Path) -> Iterator[RealFleet]:
    fleet = RealFleet(host_lab, hosts(4), tmp_path)
    with fleet.prepared():
        yield fleet


def test_four_hosts_converge_and_the_one_that_drifts_is_named(real_fleet: RealFleet) -> None:
    """Converge; a second run changes nothing; what is changed by hand on one instance is all that is reported."""
    fleet = real_fleet
    first = fleet.play().ok()
    assert all(first.stats[host.name]["changed"] for host in fleet.hosts)
    for host in fleet.hosts:
        for port, save in ((6379, "900 1 300 10 60 10000"), (6380, "900 1")):
            answers = cli(host, port, "config get 'save'"), cli(host, port, "config get 'appendonly'")
            assert answers == (f"save\n{save}", "appendonly\nyes")
    assert fleet.play().ok().changed == 0
    nightly = {"redis_persistence_fail_on_drift": True}
    quiet = fleet.play(nightly, check=True).ok()
    assert quiet.changed == 0 and fleet.report()["summary"]["as_wanted"] == 8

    third = fleet.hosts[2]
    cli(third, 6380, "config set appendfsync always")
    third.run(f"sed -i 's/^maxmemory .*/maxmemory 1gb/' {SECOND_CONF}")
    result = fleet.play(nightly, check=True)

    assert result.rc != 0
    drifting = {found["name"]: found["drift"] for found in fleet.report()["instances"] if found["drift"]}
    assert list(drifting) == [f"{third.name}-6380"]
    told = {entry["directive"]: (entry["running"], entry["in_file"]) for entry in drifting[f"{third.name}-6380"]}
    assert set(told) == {"appendfsync", "maxmemory"}
    assert told["appendfsync"] == ("always", "everysec") and told["maxmemory"][1] == "1gb"
    assert [name for name, stats in result.stats.items() if stats["failures"]] == [third.name]

    mended = fleet.play({**nightly, "redis_persistence_serial": 2}).ok()
    assert [name for name, stats in mended.stats.items() if stats["changed"]] == [third.name]
    assert fleet.play(nightly, check=True).ok().changed == 0


def test_settings_outlive_a_restart_of_the_units(real_fleet: RealFleet) -> None:
    """A restart by systemd, where directives need one, and one that renames the AOF: the keys stay, on both of each."""
    fleet = real_fleet
    fleet.hosts = fleet.hosts[:2]
    fleet.play().ok()
    settings = {"redis_persistence_settings": {"databases": 32, "appendfilename": "renamed.aof"}}
    fleet.play(settings).ok()
    assert fleet.report()["summary"]["restart_required"] == 4
    done = fleet.play({**settings, "redis_persistence_restart": "safe", "redis_persistence_serial": 2}).ok()
    assert fleet.report()["ok"], done.stdout
    for host in fleet.hosts:
        for port in (6379, 6380):
            assert cli(host, port, "get where") == f"{host.name}-{port}"
            assert cli(host, port, "config get databases") == "databases\n32"
            assert cli(host, port, "config get appendfilename") == "appendfilename\nrenamed.aof"
    assert fleet.play(settings).ok().changed == 0


def test_a_host_without_power_is_named_and_the_others_follow(real_fleet: RealFleet) -> None:
    fleet = real_fleet
    dark = fleet.hosts[1]
    dark.power_cut()
    result = fleet.play()
    dark.boot()
    assert result.rc != 0
    states = {found["host"]: found["state"] for found in fleet.report()["instances"]}
    assert states == {host.name: "unreachable" if host is dark else "running" for host in fleet.hosts}
    assert fleet.report()["summary"]["mended"] == 6
    dark.run("systemctl start redis-server@second")
    fleet.play().ok()
