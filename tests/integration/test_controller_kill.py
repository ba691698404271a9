# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The controller dies in the middle of a recovery: the same command, run again, ends well."""

from __future__ import annotations

import random
import time
from pathlib import Path
from typing import Any

import pytest

from support.machine import AgeKey
from support.servers import Build
from support.sites import Site
from support.values import differences, snapshot_values

SEED = 20261125


def test_a_controller_killed_at_a_random_instant(
    any_build: Build, make_server: Any, tmp_path: Path, age_key: AgeKey, pytestconfig: pytest.Config
) -> None:
    """SIGKILL to ansible-playbook and all it started; then the recovery again, as the guide says."""
    server = make_server(any_build, conf={"appendonly": "yes"})
    site = Site(server, tmp_path, age_key)
    server.client().mset({f"key:{n}": "x" * n for n in range(300)})
    wanted = snapshot_values(server.client())
    site.play("backup").ok()
    chance = random.Random(SEED)
    begun = time.monotonic()
    site.lose_the_disk()
    site.play("disaster_recovery").ok()
    lasted = time.monotonic() - begun
    for _round in range(20 if pytestconfig.getoption("--long") else 2):
        site.lose_the_disk()
        site.play("disaster_recovery", kill_after=chance.uniform(0.2, 1.0) * lasted)
        again = site.play("disaster_recovery", {"redis_disaster_recovery_confirm": "multiframe"}).ok()
        assert differences(wanted, snapshot_values(server.client())) == [], again.stdout
        assert server.client().set("writes", "are open") and server.client().delete("writes")
