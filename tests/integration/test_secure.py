# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is left of a damaged server is saved aside, whatever is done to it afterwards."""

from __future__ import annotations

import os
import random
import signal
import stat
import time
from pathlib import Path
from typing import Any

import pytest

from support.modules import finish, run_module, start_module
from support.restores import file_tree
from support.servers import Build, RedisProcess

FOLDER = ".redis_secured"


def params_of(server: RedisProcess, state: Path, **more: Any) -> dict[str, Any]:
    return {
        **server.connection,
        "instance": "shop",
        "config_file": str(server.conf_path),
        "executable": str(server.build.executable),
        "state_dir": str(state),
        **more,
    }


def kept(found: dict[str, Any]) -> dict[str, str]:
    """How each file was kept, by its name."""
    return {each["kept"]: each["how"] for each in found["files"]}


def filled(make_server: Any, build: Build, **conf: str) -> RedisProcess:
    server: RedisProcess = make_server(build, conf={"appendonly": "yes", "save": "3600 1", **conf})
    server.client().mset({f"k:{n}": "x" * 50 for n in range(1000)})
    return server


def test_what_a_server_that_is_down_has_left(layout: Build, make_server: Any, tmp_path: Path) -> None:
    """An AOF whose end is torn, and a dump: they are kept as they are, though a repair and a start change them."""
    server = filled(make_server, layout)
    server.client().save()
    server.client().acl_setuser("bob", enabled=True, nopass=True)
    server.kill()
    name = "appendonly.aof" if layout.version < (7, 0) else "appendonlydir/appendonly.aof.1.incr.aof"
    aof = server.data_dir / name
    os.truncate(aof, aof.stat().st_size - 7)
    before, torn = file_tree(server.directory), aof.read_bytes()
    dump = (server.data_dir / "dump.rdb").read_bytes()
    params = params_of(server, tmp_path / "state")

    assert run_module("redis_secure", params, check=True)["changed"]
    assert file_tree(server.directory) == before
    result = run_module("redis_secure", params)
    found = result["secured"]
    folder = Path(found["dir"])
    assert result["changed"] and not found["problems"] and found["snapshot"] is None
    assert folder.parent == server.data_dir / FOLDER and stat.S_IMODE(folder.stat().st_mode) == 0o700
    how = kept(found)
    assert how["data/dump.rdb"] == "linked" and how[f"data/{name}"] == "copied" and how["log.tail"] == "copied"
    assert (folder / "server/conf" / str(server.conf_path).lstrip("/")).read_bytes() == server.conf_path.read_bytes()
    assert {n: e for n, e in file_tree(server.directory).items() if FOLDER not in n} == before
    assert not run_module("redis_secure", params)["changed"]

    server.start()  # it cuts the torn end off, and then saves and rewrites
    server.client().flushall()
    server.client().save()
    assert aof.read_bytes()[: len(torn)] != torn
    assert (folder / "data" / name).read_bytes() == torn and (folder / "data/dump.rdb").read_bytes() == dump
    again = run_module("redis_secure", params)["secured"]
    assert again["dir"] != found["dir"] and again["snapshot"]["keys"] == 0 and folder.is_dir()


def test_a_server_that_answers_gives_a_last_snapshot(any_build: Build, make_server: Any, tmp_path: Path) -> None:
    """Its files are gone; what it holds is saved, and it goes on."""
    server = filled(make_server, any_build)
    for path in (server.data_dir / "appendonlydir").iterdir():
        path.unlink()
    params = params_of(server, tmp_path / "state")
    found = run_module("redis_secure", params)["secured"]
    assert found["snapshot"]["keys"] == 1000 and not any(name.startswith("data/") for name in kept(found))
    assert not run_module("redis_secure", params)["changed"]
    assert server.client().dbsize() == 1000
    copy = make_server(any_build, start=False)
    (copy.data_dir / "dump.rdb").write_bytes(Path(found["snapshot"]["path"]).read_bytes())
    assert copy.start().client().dbsize() == 1000
    without = run_module("redis_secure", {**params, "snapshot_timeout": 0})["secured"]
    assert without["snapshot"] is None


@pytest.mark.long
def test_a_server_that_hangs_does_not_keep_its_files_from_being_saved(
    any_build: Build, make_server: Any, tmp_path: Path
) -> None:
    server = filled(make_server, any_build)
    pid = server.pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    try:
        params = params_of(server, tmp_path / "state", connect_timeout=1)
        found = run_module("redis_secure", params)["secured"]
        assert "data/appendonlydir/appendonly.aof.1.incr.aof" in kept(found) and found["snapshot"] is None
    finally:
        os.kill(pid, signal.SIGCONT)


def test_without_a_data_directory_the_rest_is_saved(any_build: Build, make_server: Any, tmp_path: Path) -> None:
    server = make_server(any_build)
    server.kill()
    server.data_dir.rename(server.directory / "lost")
    found = run_module("redis_secure", params_of(server, tmp_path / "state"))["secured"]
    assert Path(found["dir"]).is_relative_to(tmp_path / "state")
    assert "log.tail" in kept(found) and not (server.data_dir).exists()
    (server.directory / "lost").rename(server.data_dir)


@pytest.mark.long
def test_killed_at_any_instant_it_leaves_whole_folders_alone(
    any_build: Build, make_server: Any, tmp_path: Path
) -> None:
    server = filled(make_server, any_build)
    params = params_of(server, tmp_path / "state")
    begun = time.monotonic()
    run_module("redis_secure", params)
    usual, chance = time.monotonic() - begun, random.Random(3)
    for turn in range(15):
        server.client().set(f"turn:{turn}", 1)
        process = start_module("redis_secure", params)
        time.sleep(chance.uniform(0.4, 1.0) * usual)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        found = finish(start_module("redis_secure", params))["secured"]
        assert found["snapshot"]["keys"] == 1001 + turn and Path(found["snapshot"]["path"]).exists()
        names = os.listdir(server.data_dir / FOLDER)
        assert not [name for name in names if name.endswith(".part")]
        assert all((server.data_dir / FOLDER / name / "index.json").exists() for name in names if name != "lock")
