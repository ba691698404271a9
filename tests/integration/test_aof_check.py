# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""redis_aof checks and repairs: its verdict is the real server's, and what it repaired starts."""

from __future__ import annotations

import random
import shutil
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.globalscope.redis_backup.plugins.module_utils._aof.request import AofRequest
from ansible_collections.globalscope.redis_backup.plugins.module_utils._aof.step import run_aof
from ansible_collections.globalscope.redis_backup.plugins.module_utils._errors import RedisBackupError
from ansible_collections.globalscope.redis_backup.plugins.module_utils._server.connection import Login, Server
from ansible_collections.globalscope.redis_backup.plugins.module_utils._server.instance import Instance, Place
from ansible_collections.globalscope.redis_backup.plugins.module_utils._server.paths import Paths

from support.aofs import FOLDER, MANIFEST, SINGLE, damage, listed, make_chain, verdict
from support.modules import ModuleFailed, run_module
from support.servers import Build
from support.values import differences

LONG_SEEDS, SEEDS = 60, 10  # of each of four versions


@pytest.fixture
def template(build: Build, make_server: Any) -> Path:
    """A data directory with a base and several increments that nobody uses any more."""
    return make_chain(make_server(build, conf={"appendonly": "yes"}))


def place_of(data_dir: Path) -> Path:
    """What to check in a data directory."""
    return data_dir / FOLDER / MANIFEST if (data_dir / FOLDER).is_dir() else data_dir / SINGLE


def run(build: Build, path: Path, state: str, **options: Any) -> dict[str, Any]:
    """The module's work, without the half second that a module takes to start."""
    place = Place("test", executable=str(build.executable))
    nobody = Instance(place, Server(Login(port=1)), "down", None, Paths())
    return run_aof(nobody, AofRequest(state, str(path), **options)).result()


def copied(data_dir: Path, place: Path) -> Path:
    shutil.copytree(data_dir, place)
    return place


def agree(build: Build, template: Path, root: Path, seed: int) -> tuple[str, str]:
    """Damage a copy, ask us and the server, and compare; then repair it and ask the server again."""
    data_dir = copied(template, root / f"{seed}")
    what = f"{build} seed {seed}, {damage(data_dir, random.Random(seed))}"
    aof = run(build, place_of(data_dir), "checked")["aof"]
    real = verdict(build, data_dir, root / "real", values=True)
    told = f"{what}: {aof['condition']}, {aof['why']}; the server: {real.starts}, {real.log[-1500:]}"
    assert (aof["condition"] != "damaged") == real.starts, told
    last = aof["files"][-1] if aof["files"] else None
    if aof["condition"] == "sound":
        assert real.cut is None, told
        assert not run(build, place_of(data_dir), "fixed")["changed"], told
    elif aof["condition"] == "torn":
        assert last and aof["bad_file"] == last["name"], told
        _same_place(build, listed(data_dir)[-1].read_bytes(), aof["ok_up_to"], real.cut, told)
    if aof["condition"] != "sound":
        _repaired(build, data_dir, root, real if real.cut else None, told)
    shutil.rmtree(data_dir)
    return what, aof["condition"]


def _same_place(build: Build, data: bytes, ours: int, cut: int | None, told: str) -> None:
    if cut is None:  # an annotation that is cut off loads; what is appended to it would not
        assert data[ours:].startswith(b"#") and b"\n" not in data[ours:], told
    elif cut == 0 and build.flavour == "redis" and data.startswith(b"REDIS"):
        assert b"SELECT" not in data[:ours], told  # Redis cuts off the RDB as well, when no whole command follows it
    elif cut > ours:
        # Within a transaction a server cuts behind its last whole command: what it appends would be swallowed by that.
        assert data[ours:].upper().startswith(b"*1\r\n$5\r\nMULTI\r\n"), told
        assert b"EXEC" not in data[ours:], told
    else:
        lines = data[cut:ours].splitlines(keepends=True)
        assert all(line.startswith(b"#") for line in lines), told


def _repaired(build: Build, data_dir: Path, root: Path, real: Any, told: str) -> None:
    """What we repair starts, holds what the server would have kept, and needs no second repair."""
    before = {path.name: path.read_bytes() for path in data_dir.rglob("*") if path.is_file()}
    try:
        done = run(build, place_of(data_dir), "fixed", drop_later=True)
    except RedisBackupError:
        after = {path.name: path.read_bytes() for path in data_dir.rglob("*") if path.is_file()}
        assert after == before, told
        return
    assert done["changed"] and done["aof"]["valid"], told
    for name, data in before.items():
        kept = [Path(path) for path in done["originals"] if Path(path).name.startswith(f"{name}.2")]
        path = place_of(data_dir).parent / name
        assert any(each.read_bytes() == data for each in kept) or path.read_bytes() == data, (name, told)
    again = verdict(build, data_dir, root / "real", values=True)
    assert again.starts and again.cut is None, (told, again.log)
    if real is not None:
        assert not differences(real.values or {}, again.values or {}), told
    assert not run(build, place_of(data_dir), "fixed")["changed"], told


def test_the_verdict_is_the_servers(build: Build, template: Path, server_root: Path, long: bool) -> None:
    found = [agree(build, template, server_root, seed) for seed in range(LONG_SEEDS if long else SEEDS)]
    conditions = {condition for _what, condition in found}
    assert conditions == {"sound", "torn", "damaged"} or not long, found


def test_redis_check_aof_agrees_where_it_can_be_trusted(build: Build, template: Path, server_root: Path) -> None:
    aof = run(build, place_of(template), "checked", second_opinion=True)["aof"]
    assert aof["second_opinion"]["agrees"], aof
    last = listed(template)[-1]
    for number, end in enumerate((b"*1\r\n$4\r\nPI", b"\0" * 64, b"*1\r\n$5\r\nMULTI\r\n*1\r\n$4\r\nPING\r\n")):
        data_dir = copied(template, server_root / f"copy{number}")
        damaged = data_dir / last.relative_to(template)
        damaged.write_bytes(damaged.read_bytes() + end)
        before = damaged.read_bytes()
        aof = run(build, place_of(data_dir), "checked", second_opinion=True)["aof"]
        assert aof["bad_file"] == last.name and aof["ok_up_to"] == last.stat().st_size
        assert aof["second_opinion"]["agrees"], aof
        assert damaged.read_bytes() == before
        assert sorted(p.name for p in damaged.parent.iterdir()) == sorted(p.name for p in last.parent.iterdir())


def test_a_live_server_is_writing_and_not_damaged(build: Build, make_server: Any) -> None:
    server = make_server(build, conf={"appendonly": "yes"})
    client = server.client()
    client.set("key", "value")
    with server.client().pipeline(transaction=False) as writes:
        for number in range(2000):
            writes.set(f"k{number}", b"\r\n*1\r\n" * 50)
        writes.execute()
    looked = run_module("redis_aof", {**server.connection, "state": "checked"})
    assert not looked["changed"] and looked["aof"]["valid"] and looked["aof"]["commands"] >= 2001
    # What a crash in the middle of a write leaves, or a write that is under way.
    path, torn = listed(server.data_dir)[-1], b"*3\r\n$3\r\nSET\r\n$100\r\nabc"
    with path.open("ab") as stream:
        stream.write(torn)
    looked = run_module("redis_aof", {**server.connection, "state": "checked"})
    assert looked["aof"]["valid"] and looked["aof"]["ok_up_to"] == path.stat().st_size - len(torn)
    with pytest.raises(ModuleFailed, match="not stopped"):
        run_module("redis_aof", {**server.connection, "state": "fixed", "stop_timeout": 0})
    if build.version >= (7,):
        with pytest.raises(ModuleFailed, match="in use"):
            run_module("redis_aof", {"login_port": 1, "path": str(path.parent), "state": "fixed", "stop_timeout": 0})


def test_a_repair_tells_what_is_lost_and_keeps_the_original(build: Build, template: Path) -> None:
    path, last = place_of(template), listed(template)[-1]
    healthy = last.read_bytes()
    lost = b"".join(b"*3\r\n$3\r\nSET\r\n$1\r\n%d\r\n$1\r\nx\r\n" % n for n in range(7))
    last.write_bytes(healthy + b"junk\r\n" + lost)
    params = {"login_port": 1, "path": str(path), "state": "fixed", "executable": str(build.executable)}
    with pytest.raises(ModuleFailed, match=r"more than max_truncate_bytes \(100\)"):
        run_module("redis_aof", {**params, "max_truncate_bytes": 100})
    foreseen = run_module("redis_aof", params, check=True)
    assert foreseen["changed"] and last.read_bytes() == healthy + b"junk\r\n" + lost
    owner = (last.stat().st_uid, last.stat().st_gid, last.stat().st_mode)
    done = run_module("redis_aof", params)
    assert done["lost"] == foreseen["lost"] and done["lost"]["bytes"] == 6 + len(lost)
    assert done["lost"]["commands"] == 7
    assert last.read_bytes() == healthy and done["aof"]["valid"]
    assert [Path(name).read_bytes() for name in done["originals"]] == [healthy + b"junk\r\n" + lost]
    assert (last.stat().st_uid, last.stat().st_gid, last.stat().st_mode) == owner
    assert not run_module("redis_aof", params)["changed"]


def test_damage_with_files_behind_it_is_refused_unless_asked(any_build: Build, make_server: Any) -> None:
    data_dir = make_chain(make_server(any_build, conf={"appendonly": "yes"}))
    path, files = place_of(data_dir), listed(data_dir)
    whole = files[1].read_bytes()
    files[1].write_bytes(whole[:-3])
    params = {"login_port": 1, "path": str(path), "state": "fixed", "executable": str(any_build.executable)}
    with pytest.raises(ModuleFailed, match=r"2 files follow.*drop_later"):
        run_module("redis_aof", params)
    done = run_module("redis_aof", {**params, "drop_later": True})
    assert done["lost"]["commands"] > 20 and done["aof"]["valid"]
    assert [path.name for path in listed(data_dir)] == [path.name for path in files[:2]]
    assert len(done["originals"]) == 4  # the manifest, the file that was cut, and both that were dropped


def test_a_damaged_base_is_not_repaired(any_build: Build, make_server: Any) -> None:
    data_dir = make_chain(make_server(any_build, conf={"appendonly": "yes"}))
    base = listed(data_dir)[0]
    base.write_bytes(base.read_bytes()[:-20])
    params = {"login_port": 1, "path": str(place_of(data_dir)), "executable": str(any_build.executable)}
    looked = run_module("redis_aof", {**params, "state": "checked"})["aof"]
    assert looked["bad_file"] == base.name and "refuses its RDB" in looked["why"]
    with pytest.raises(ModuleFailed, match=r"the base .* is damaged.*Restore a backup"):
        run_module("redis_aof", {**params, "state": "fixed", "drop_later": True})


def test_what_is_pinned_elsewhere_is_not_cut_there(any_build: Build, make_server: Any, server_root: Path) -> None:
    data_dir = make_chain(make_server(any_build, conf={"appendonly": "yes"}))
    last = listed(data_dir)[-1]
    last.write_bytes(last.read_bytes() + b"*1\r\n")
    pin = server_root / "pin"
    pin.hardlink_to(last)
    before = pin.read_bytes()
    done = run(any_build, place_of(data_dir), "fixed", keep_original=False)
    assert done["changed"] and not done["originals"]
    assert pin.read_bytes() == before and last.read_bytes() == before[:-4]


def test_a_path_that_is_no_aof_is_told(any_build: Build, server_root: Path) -> None:
    params = {"login_port": 1, "state": "checked", "executable": str(any_build.executable)}
    with pytest.raises(ModuleFailed, match="no manifest"):
        run_module("redis_aof", {**params, "path": str(server_root)})
    with pytest.raises(ModuleFailed, match="There is no AOF at"):
        run_module("redis_aof", {**params, "path": str(server_root / "missing")})
    with pytest.raises(ModuleFailed, match=r"no AOF of .* was found"):
        run_module("redis_aof", params)
