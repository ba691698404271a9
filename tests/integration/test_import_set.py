# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The backup of a whole cluster into another number of shards, a single server, and a cluster again: all keys equal."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from support.clusters import make_cluster
from support.dataset import load_multiframe
from support.fleets import Fleet
from support.modules import run_module
from support.plays import PlayResult, playbook_path, run_playbook
from support.servers import BUILD_NAMES, Build, BuildMissing, RedisProcess, build_named
from support.values import Values, differences, snapshot_values

# Its bus has a port of its own, 10000 above, that is not free everywhere.
CLUSTERED = [name for name in BUILD_NAMES if name != "redis-6.2"]


_EACH = [pytest.param(name, marks=() if name == "redis-7.0" else pytest.mark.long) for name in CLUSTERED]


@pytest.fixture(params=_EACH)
def version(request: pytest.FixtureRequest) -> Build:
    try:
        return build_named(request.param)
    except BuildMissing as error:
        pytest.skip(str(error))


def values_of(nodes: list[RedisProcess]) -> Values:
    """All that primaries hold together; a key that two of them hold fails."""
    found: Values = {}
    for node in nodes:
        own = snapshot_values(node.client())
        assert not found.keys() & own.keys()
        found.update(own)
    return found


def import_set(fleet: Fleet, into: str, **extra: Any) -> PlayResult:
    """Run the playbook `import` for one instance."""
    wanted = {"redis_restore_import_set": "latest", "target": into, **extra}
    return run_playbook(playbook_path("import"), fleet.inventory(), wanted)


def back_up(fleet: Fleet) -> None:
    """Back all of a fleet up, in a repository that holds nothing else."""
    shutil.rmtree(fleet.repository)
    fleet.repository.mkdir()
    fleet.back_up().ok()


def fill(directory: Path, build: Build, make_server: Any, node: RedisProcess) -> None:
    """All kinds of keys into a cluster."""
    single = make_server(build)
    load_multiframe(single.client(), 60, 20)
    path = str(directory / "keys.dump")
    run_module("redis_export", {**single.connection, "path": path, "format": "dump", "db": [0]})
    run_module("redis_import", {**node.connection, "path": path, "state_dir": str(directory / "state")})
    single.stop()


def test_three_shards_five_shards_one_server_and_back(version: Build, make_server: Any, tmp_path: Path) -> None:
    three = make_cluster(make_server, version, 3)
    fill(tmp_path, version, make_server, three[0])
    values = values_of(three)
    first = Fleet(tmp_path, **{f"three{n}": node for n, node in enumerate(three)})
    back_up(first)

    five = make_cluster(make_server, version, 5)
    first.servers = {f"five{n}": node for n, node in enumerate(five)}
    import_set(first, "five3").ok()
    assert differences(values, values_of(five)) == []
    assert all(node.client().dbsize() for node in five)
    again = import_set(first, "five3")
    assert again.rc != 0 and "exist" in again.stdout

    back_up(first)
    single = make_server(version)
    first.servers = {"single": single}
    import_set(first, "single").ok()
    assert differences(values, values_of([single])) == []

    for node in three:
        node.client().flushall()
    path = str(tmp_path / "back.dump")
    run_module("redis_export", {**single.connection, "path": path, "format": "dump"})
    run_module("redis_import", {**three[1].connection, "path": path, "state_dir": str(tmp_path / "state")})
    assert differences(values, values_of(three)) == []


def test_a_set_that_lacks_a_shard_is_refused(any_build: Build, make_server: Any, tmp_path: Path) -> None:
    three = make_cluster(make_server, any_build, 3)
    fill(tmp_path, any_build, make_server, three[0])
    fleet = Fleet(tmp_path, **{f"three{n}": node for n, node in enumerate(three)})
    back_up(fleet)
    (name,) = {found["id"] for found in fleet.catalog()["sets"]}
    shutil.rmtree(fleet.repository / "three1")
    single = make_server(any_build)
    fleet.servers = {"single": single}
    latest = import_set(fleet, "single")
    assert latest.rc != 0 and "no set latest that can be used" in latest.stdout and name in latest.stdout
    named = import_set(fleet, "single", redis_restore_import_set=name)
    assert named.rc != 0 and "1 of 3 shards" in named.stdout
    assert single.client().dbsize() == 0
