# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A run of the playbook `persistence` that changes nothing, beside `ansible -m ping` on the same hosts.

    ./dev run python benchmarks/persistence.py [ROUNDS]

Four real hosts with two instances each, reached by ssh. Both commands run in turn, so that what slows the machine slows
both; the ratio of each pair counts. The goal is a median of at most 2.5. Also told: how many module calls the run made
for each instance.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from support.fleet import INSTANCES, RealFleet
from support.hosts import lab
from support.modules import ansible_environment
from support.plays import ansible_settings, playbook_path

_HOSTS = 4


def timed(command: list[str], environment: dict[str, str]) -> tuple[float, str]:
    """Seconds of a command that must end well, and what it printed."""
    begun = time.monotonic()
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    taken = time.monotonic() - begun
    if done.returncode:
        raise SystemExit(f"{command[0]} ended {done.returncode}:\n{done.stdout}{done.stderr}")
    return taken, done.stdout


def main(rounds: int) -> None:
    """Print the ratios."""
    with lab() as found, tempfile.TemporaryDirectory() as name:
        fleet = RealFleet(found, found.first(_HOSTS), Path(name))
        with fleet.prepared():
            fleet.play({"redis_persistence_report_dir": ""}).ok()
            inventory = Path(name, "inventory.json")
            inventory.write_text(json.dumps(fleet.inventory()))
            environment = ansible_environment(ansible_settings(Path(name)))
            ping = ["ansible", "-i", str(inventory), "redis", "-m", "ansible.builtin.ping"]
            play = ["ansible-playbook", "-i", str(inventory), str(playbook_path("persistence"))]
            play += ["-e", "redis_persistence_report_dir="]  # on the screen, as by default
            for command in (ping, play):
                timed(command, environment)  # connections are open from here on, for both
            pairs = []
            for _round in range(rounds):
                (base, _words), (taken, _out) = timed(ping, environment), timed(play, environment)
                pairs.append((base, taken))
            report(pairs, fleet)


def report(pairs: list[tuple[float, float]], fleet: Any) -> None:
    ratios = [taken / base for base, taken in pairs]
    result = fleet.play({"redis_persistence_report_dir": ""}).ok()
    calls = [each for each in result.find("redis_config") if each.status != "skipped"]
    instances = _HOSTS * len(INSTANCES)
    print(f"{_HOSTS} hosts, {instances} instances, {len(pairs)} rounds; changed={result.changed}")
    print(f"ansible -m ping     median {statistics.median(base for base, _taken in pairs):.2f} s")
    print(f"persistence.yml     median {statistics.median(taken for _base, taken in pairs):.2f} s")
    print(f"ratio               median {statistics.median(ratios):.2f} (min {min(ratios):.2f}, max {max(ratios):.2f})")
    print(f"module calls        {len(calls)} tasks with a loop over {instances} instances")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 7)
