# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A backup of many instances in one run, beside `ansible -m ping` on the same hosts.

    ./dev run python benchmarks/fleet.py [--hosts 8] [--instances 3] [--forks 4 8] [--rounds 3]

Real hosts, reached by ssh, with 1 to so many small instances each. Commands run in turn, so that what slows the machine
slows all. For each number of forks: the seconds of a ping per host, those of a backup for each number of instances, and
the slope of a line through them. The goals are a slope of at most 4 pings for each further instance, and points that
lie on that line: the largest distance is told as a share of the longest run.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from support.hosts import Host, lab
from support.modules import ansible_environment
from support.plays import ansible_settings, playbook_path
from support.waiting import wait_for

_FIRST = 7000
_KEYS = 1000
_START = """
install -d -m 700 /srv/{port} && redis-server --port {port} --dir /srv/{port} --daemonize yes --save '' \
  --repl-diskless-sync-delay 0 --pidfile /srv/{port}/pid --logfile /srv/{port}/log
"""
_FILL = "seq {keys} | awk '{{print \"SET key:\" $1 \" \" $1}}' | redis-cli -p {port} >/dev/null"


def prepare(host: Host, ports: Sequence[int]) -> None:
    """Servers on a host, each with a little data."""
    for port in ports:
        host.run(_START.format(port=port))
        wait_for(lambda port=port: host.run(f"redis-cli -p {port} ping", check=False).stdout == "PONG\n", "a server")
        host.run(_FILL.format(keys=_KEYS, port=port))


def timed(command: Sequence[str], environment: dict[str, str]) -> float:
    """Seconds of a command that must end well."""
    begun = time.monotonic()
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    taken = time.monotonic() - begun
    if done.returncode:
        raise SystemExit(f"{command[0]} ended {done.returncode}:\n{done.stdout}{done.stderr}")
    return taken


def slope(points: Sequence[tuple[int, float]]) -> tuple[float, float]:
    """Slope of the line of least squares, and the largest distance of a point from it."""
    at, by = [float(x) for x, _y in points], [y for _x, y in points]
    line = statistics.linear_regression(at, by)
    return line.slope, max(abs(y - line.slope * x - line.intercept) for x, y in zip(at, by, strict=True))


def inventory(found: Any, hosts: Sequence[Host], instances: int) -> dict[str, Any]:
    """The hosts with their first instances, backed up to their own disks."""
    variables = {
        "redis_instances": [{"login_port": _FIRST + number} for number in range(instances)],
        "redis_common_install": False,
        "redis_backup_encryption": "none",
        "redis_backup_repositories": [{"name": "local", "path": "/srv/backups", "create": True}],
    }
    listed: dict[str, Any] = found.inventory(*hosts, **variables)
    return listed


def main(options: argparse.Namespace) -> None:
    """Print what was measured."""
    ports = [_FIRST + number for number in range(options.instances)]
    with lab() as found, tempfile.TemporaryDirectory() as name:
        hosts = found.first(options.hosts)
        for host in hosts:
            prepare(host, ports)
        environment = ansible_environment(ansible_settings(Path(name)))
        for forks in options.forks:
            measure(found, hosts, forks, options, Path(name), environment)


def measure(
    found: Any, hosts: Sequence[Host], forks: int, options: argparse.Namespace, place: Path, environment: dict[str, str]
) -> None:
    """One number of forks: rounds of a ping and of backups of 1, 2 ... instances of each host."""
    commands = {}
    for count in range(1, options.instances + 1):
        listed = place / f"inventory{count}.json"
        listed.write_text(json.dumps(inventory(found, hosts, count)))
        where = ["-i", str(listed), "--forks", str(forks)]
        commands[count] = ["ansible-playbook", *where, str(playbook_path("backup"))]
    ping = ["ansible", *where, "redis", "-m", "ansible.builtin.ping"]
    for command in (ping, *commands.values()):
        timed(command, environment)  # connections are open and files read from here on, for all
    pings: list[float] = []
    runs: dict[int, list[float]] = {count: [] for count in commands}
    for _round in range(options.rounds):
        pings.append(timed(ping, environment) / len(hosts))
        for count, command in commands.items():
            runs[count].append(timed(command, environment))
    per_host = statistics.median(pings)
    points = [(count * len(hosts), statistics.median(taken)) for count, taken in runs.items()]
    print(f"{len(hosts)} hosts, {forks} forks, {options.rounds} rounds")
    print(f"  ansible -m ping            {per_host:6.2f} s for each host")
    for count, taken in points:
        each = taken / count
        print(f"  backup.yml, {count:4} instances {taken:6.2f} s, {each:5.2f} s or {each / per_host:4.1f} pings each")
    if len(points) > 1:
        further, away = slope(points)
        print(f"  each further instance      {further:6.2f} s, {further / per_host:.1f} pings (goal: at most 4)")
        share = 100 * away / max(taken for _count, taken in points)
        print(f"  farthest from a line       {away:6.2f} s, {share:.0f} % of the longest run")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hosts", type=int, default=8)
    parser.add_argument("--instances", type=int, default=3, help="of each host, at most")
    parser.add_argument("--forks", type=int, nargs="+", default=[4, 8])
    parser.add_argument("--rounds", type=int, default=3)
    main(parser.parse_args())
