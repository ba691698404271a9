# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What redis_config leaves on the disk and in its result: no secret, no litter, and redis.conf in its place."""

from __future__ import annotations

import json
import os
import shutil
import signal
from pathlib import Path

import pytest

from support.enforcing import MODULE, MakeServer, enforce, params, place_of, running
from support.modules import ModuleFailed, finish, run_module, start_module
from support.servers import Build, RedisProcess
from support.waiting import wait_for

SECRET = "correct-horse-battery"
OTHER = "staple-of-the-house"
NOBODY = 65534


def throwaways(pid: int) -> list[Path]:
    """The directories of a run's throw-away servers."""
    return list(Path("/run").glob(f"redis_backup-throwaway-{pid}-*"))


def processes_below(folder: Path) -> list[str]:
    """The processes whose working directory is there."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if str((entry / "cwd").readlink()).startswith(str(folder)):
                    found.append(entry.name)
            except OSError:
                continue
    return found


@pytest.fixture
def guarded(any_build: Build, make_server: MakeServer) -> RedisProcess:
    """A server with a password and others in its redis.conf, run by a user of its own."""
    conf = {"requirepass": SECRET, "masterauth": OTHER, "save": "900 1"}
    return make_server(any_build, conf=conf, user=NOBODY)


SETTINGS = [
    {"requirepass": "new-" + SECRET, "masterauth": "new-" + OTHER, "timeout": 77},
    {"masterauth": "new-" + OTHER, "maxmemory-policy": SECRET + "-no-policy"},
    {"masterauth": "new-" + OTHER, "bind": "127.0.0.2"},
    {"user": [f"worker on >{OTHER} ~* +@all"], "rename-command": [["DEBUG", OTHER]]},
]


@pytest.mark.parametrize("settings", SETTINGS, ids=["works", "is refused", "fails", "only at a start"])
def test_no_secret_is_told_or_left(guarded: RedisProcess, settings: dict[str, object]) -> None:
    process = start_module(MODULE, params(guarded, settings), diff=True)
    try:
        words = json.dumps(finish(process, MODULE))
    except ModuleFailed as failure:
        words = json.dumps(failure.result) + failure.msg
    told = words.replace(SECRET + "-no-policy", "")
    assert SECRET not in told and OTHER not in told
    assert not throwaways(process.pid)
    for path in (guarded.directory / "state").rglob("*"):
        assert not path.stat().st_mode & 0o077, f"{path} can be read by others"


def test_what_a_killed_run_leaves(guarded: RedisProcess) -> None:
    """Its throw-away server dies with it, nobody else may read the directory, and the next run removes it.

    That may be the run of another test, which goes on beside this one.
    """
    process = start_module(MODULE, params(guarded, {"masterauth": "new-" + OTHER}))
    wait_for(
        lambda: any(path.joinpath("pid").exists() for path in throwaways(process.pid)), "a throw-away", interval=0.001
    )
    (left,) = throwaways(process.pid)
    assert left.stat().st_mode & 0o777 == 0o700
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    wait_for(lambda: not processes_below(left), "the throw-away server to die")
    enforce(guarded, {"masterauth": "new-" + OTHER})
    assert not left.exists()


def copies(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.name.startswith("redis.conf"))


def test_copies_are_bounded(guarded: RedisProcess) -> None:
    """The first one, which nobody of us wrote, and the newest."""
    made = []
    for number in range(1, 6):
        text = guarded.conf_path.read_bytes()
        made.append(Path(enforce(guarded, {"timeout": number}, backup_count=3)["backup_file"]))
        assert made[-1].read_bytes() == text
        assert made[-1].stat().st_mode & 0o777 == 0o600
    folder = made[0].parent
    assert copies(folder) == sorted([made[0], *made[-2:]])
    assert folder.stat().st_mode & 0o777 == 0o700
    assert enforce(guarded, {"timeout": 9}, backup=False)["backup_file"] is None
    assert copies(folder) == sorted([made[0], *made[-2:]])


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o644])
def test_redis_conf_stays_what_it_is(guarded: RedisProcess, mode: int) -> None:
    """Mode and owner; a symbolic link stays one, and what it points to is changed."""
    guarded.stop()
    real = guarded.directory / "real" / "shop.conf"
    real.parent.mkdir()
    shutil.move(guarded.conf_path, real)
    guarded.conf_path.symlink_to("real/shop.conf")
    os.chown(real, NOBODY, 1234)
    real.chmod(mode)
    guarded.start()
    result = enforce(guarded, {"timeout": 77})
    assert result["config_file"] == str(real)
    assert guarded.conf_path.is_symlink() and os.readlink(guarded.conf_path) == "real/shop.conf"
    found = real.stat()
    assert (found.st_mode & 0o7777, found.st_uid, found.st_gid) == (mode, NOBODY, 1234)
    assert "timeout 77" in real.read_text() and running(guarded, "timeout") == "77"
    assert sorted(path.name for path in real.parent.iterdir()) == ["shop.conf"]


def test_check_mode_leaves_nothing(guarded: RedisProcess) -> None:
    """Not even a folder."""
    before = sorted(guarded.directory.rglob("*"))
    text = guarded.conf_path.read_bytes()
    for settings in (SETTINGS[0], {"dir": str(guarded.directory)}):
        assert run_module(MODULE, params(guarded, settings), check=True, diff=True)["drift"]
    guarded.stop()
    assert run_module(MODULE, params(guarded, {"timeout": 77}, **place_of(guarded)), check=True)["changed"]
    assert guarded.conf_path.read_bytes() == text
    assert [path for path in sorted(guarded.directory.rglob("*")) if "dump.rdb" not in path.name] == [
        path for path in before if path.name not in ("redis.pid",)
    ]
