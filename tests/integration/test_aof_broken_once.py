# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What once broke redis_aof and backups of an AOF: planted links and pipes, odd paths, absurd times, two runs."""

from __future__ import annotations

import fcntl
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.globalscope.redis_backup.plugins.module_utils._aof import cut as cut_module
from ansible_collections.globalscope.redis_backup.plugins.module_utils._aof.request import AofRequest
from ansible_collections.globalscope.redis_backup.plugins.module_utils._aof.step import run_aof
from ansible_collections.globalscope.redis_backup.plugins.module_utils._errors import RedisBackupError
from ansible_collections.globalscope.redis_backup.plugins.module_utils._server.connection import Login, Server
from ansible_collections.globalscope.redis_backup.plugins.module_utils._server.instance import Instance, Place
from ansible_collections.globalscope.redis_backup.plugins.module_utils._server.paths import Paths

from support.modules import ModuleFailed, run_module, start_module
from support.restores import back_up
from support.servers import Build
from support.values import snapshot_values
from support.waiting import wait_for

MANIFEST = "appendonly.aof.manifest"
PING = b"*1\r\n$4\r\nPING\r\n"


def run(build: Build, path: Path | str, state: str, **options: Any) -> dict[str, Any]:
    """The module's work on files that no server uses."""
    nobody = Instance(Place("test", executable=str(build.executable)), Server(Login(port=1)), "down", None, Paths())
    return run_aof(nobody, AofRequest(state, str(path), **options)).result()


def handmade(folder: Path, *files: bytes, base: bool = True) -> Path:
    """A set of files of commands: a base and increments, or increments alone; its manifest."""
    folder.mkdir()
    lines = []
    for number, data in enumerate(files, 0 if base else 1):
        name = f"appendonly.aof.{number or 1}.{'incr' if number else 'base'}.aof"
        (folder / name).write_bytes(data)
        lines.append(f"file {name} seq {number or 1} type {'i' if number else 'b'}\n")
    (folder / MANIFEST).write_text("".join(lines))
    return folder / MANIFEST


def incr(manifest: Path, number: int = 1) -> Path:
    return manifest.parent / f"appendonly.aof.{number}.incr.aof"


@pytest.mark.parametrize("originals", [True, False])
@pytest.mark.parametrize("base", [True, False])
def test_no_planted_link_is_cut(any_build: Build, tmp_path: Path, originals: bool, base: bool) -> None:
    """The redis user may put a link to anybody's file in the place of its own; root does not cut that."""
    precious = tmp_path / "sudoers"
    precious.write_bytes(b"# a comment\nroot ALL=(ALL) ALL\n")
    manifest = handmade(tmp_path / "set", *([PING] if base else []), PING, base=base)
    incr(manifest).unlink()
    incr(manifest).symlink_to(precious)
    with pytest.raises(RedisBackupError, match="symbolic link"):
        run(any_build, manifest, "fixed", keep_original=originals)
    assert precious.read_bytes() == b"# a comment\nroot ALL=(ALL) ALL\n" and incr(manifest).is_symlink()
    single = tmp_path / "appendonly.aof"
    single.symlink_to(precious)
    with pytest.raises(RedisBackupError, match="symbolic link"):
        run(any_build, single, "fixed", keep_original=originals)
    assert precious.read_bytes() == b"# a comment\nroot ALL=(ALL) ALL\n"


@pytest.mark.parametrize("state", ["checked", "fixed"])
@pytest.mark.parametrize("which", [MANIFEST, "appendonly.aof.1.incr.aof", "appendonly.aof.1.base.aof"])
@pytest.mark.parametrize("kind", ["pipe", "directory", "device"])
def test_what_is_no_file_is_told_at_once(any_build: Build, tmp_path: Path, which: str, kind: str, state: str) -> None:
    """A pipe that nobody writes to would be waited for without end."""
    manifest = handmade(tmp_path / "set", PING, PING)
    place = manifest.parent / which
    place.unlink()
    if kind == "pipe":
        os.mkfifo(place)
    elif kind == "directory":
        place.mkdir()
    else:
        place.symlink_to("/dev/zero")
    with pytest.raises(ModuleFailed, match=r"is no file|symbolic link|holds no manifest"):
        params = {"login_port": 1, "path": str(manifest.parent), "state": state, "stop_timeout": 0}
        run_module("redis_aof", {**params, "executable": str(any_build.executable)}, timeout=20)


def test_nobody_but_the_owner_or_root_changes_it(any_build: Build, server_root: Path) -> None:
    """Another who may write there sees no server that uses the files, and cannot give them back to their owner."""
    if os.geteuid():
        pytest.skip("needs files of another user")
    manifest = handmade(server_root / "set", PING, PING + b"*1")
    for path in (manifest.parent, *manifest.parent.iterdir()):
        path.chmod(0o777)
    os.seteuid(65534)
    try:
        for check_mode in (True, False):
            with pytest.raises(RedisBackupError, match="belongs to user 0, and this task runs as user 65534"):
                run(any_build, manifest, "fixed", check_mode=check_mode)
    finally:
        os.seteuid(0)
    assert run(any_build, manifest, "fixed")["changed"]


def test_a_missing_first_increment_without_a_base_is_refused(any_build: Build, tmp_path: Path) -> None:
    manifest = handmade(tmp_path / "set", PING, PING, base=False)
    incr(manifest).unlink()
    before = manifest.read_bytes()
    for drop_later in (False, True):
        with pytest.raises(RedisBackupError, match="missing"):
            run(any_build, manifest, "fixed", drop_later=drop_later)
    assert manifest.read_bytes() == before and incr(manifest, 2).read_bytes() == PING


def test_times_beyond_2038(any_build: Build, tmp_path: Path) -> None:
    manifest = handmade(tmp_path / "set", b"", b"#TS:1700000000\r\n" + PING + b"#TS:%d\r\n" % 2**31 + PING)
    assert run(any_build, manifest, "checked")["aof"]["last_time"] == "2038-01-19T03:14:08Z"
    done = run(any_build, manifest, "truncated", to_timestamp=2**31 - 1)
    assert done["lost"]["commands"] == 1 and done["aof"]["last_timestamp"] == 1_700_000_000


@pytest.mark.parametrize("stamp", [253_402_300_800, 10**18 - 1])
def test_a_time_beyond_every_calendar_is_none(any_build: Build, tmp_path: Path, stamp: int) -> None:
    """Timestamps are digits: whoever writes the file says which."""
    manifest = handmade(tmp_path / "set", b"", b"#TS:1700000000\r\n" + PING + b"#TS:%d\r\n" % stamp + PING)
    aof = run(any_build, manifest, "checked")["aof"]
    assert aof["valid"] and aof["last_timestamp"] == 1_700_000_000
    assert "where a time should stand" in "".join(aof["warnings"])


def test_a_second_beyond_the_calendar_is_refused(any_build: Build, tmp_path: Path) -> None:
    manifest = handmade(tmp_path / "set", b"", b"#TS:1700000000\r\n" + PING)
    with pytest.raises(ModuleFailed, match=r"to_timestamp.*years 1 to 9999"):
        params = {"login_port": 1, "path": str(manifest), "state": "truncated", "to_timestamp": "999999999999"}
        run_module("redis_aof", {**params, "executable": str(any_build.executable)})


@pytest.mark.parametrize("state", ["fixed", "truncated"])
def test_a_cut_keeps_the_history_for_the_server_to_delete(any_build: Build, tmp_path: Path, state: str) -> None:
    manifest = handmade(tmp_path / "set", b"", b"#TS:1700000000\r\n" + PING + b"#TS:1700000009\r\n" + PING + b"*1\r\n")
    with manifest.open("a") as out:
        out.write("file old.aof seq 1 type h\n")
    options = {"to_timestamp": 1_700_000_000} if state == "truncated" else {}
    assert run(any_build, manifest, state, **options)["changed"]
    assert "file old.aof seq 1 type h\n" in manifest.read_text()
    assert not run(any_build, manifest, state, **options)["changed"]


def test_an_original_below_a_path_with_that_ending(any_build: Build, tmp_path: Path, monkeypatch: Any) -> None:
    """Two cuts in one second, in a directory whose own name ends so."""
    monkeypatch.setattr("time.gmtime", lambda _seconds: (2026, 11, 23, 0, 0, 0, 0, 0, 0))
    manifest = handmade(tmp_path / "set.orig", b"", PING + b"*1")
    first = run(any_build, manifest, "fixed")["originals"]
    with incr(manifest).open("ab") as out:
        out.write(b"*2")
    second = run(any_build, manifest, "fixed")["originals"]
    assert [Path(name).read_bytes() for name in first + second] == [PING + b"*1", PING + b"*2"]


def test_relative_paths_and_slashes_at_the_end(any_build: Build, tmp_path: Path, monkeypatch: Any) -> None:
    data = b"#TS:1700000000\r\n" + PING + b"#TS:1700000009\r\n" + PING
    manifest = handmade(tmp_path / "set", b"", data)
    monkeypatch.chdir(tmp_path)
    for dest in ("new/", "other", f"{tmp_path}/third//"):
        assert run(any_build, "set/", "truncated", to_timestamp=1_700_000_000, dest=dest)["changed"]
        assert not run(any_build, "set", "truncated", to_timestamp=1_700_000_000, dest=dest)["changed"]
    (tmp_path / "empty").mkdir()
    assert run(any_build, "set", "truncated", to_timestamp=1_700_000_000, dest="empty/")["changed"]
    shutil.copy(incr(manifest), tmp_path / "single.aof")
    for changed in (True, False):
        done = run(any_build, "single.aof", "truncated", to_timestamp=1_700_000_000, dest="single")
        assert done["changed"] == changed and done["aof"]["commands"] == 1
    assert run(any_build, "single.aof", "truncated", to_timestamp=1_700_000_000)["changed"]
    monkeypatch.chdir(manifest.parent)
    assert run(any_build, MANIFEST, "truncated", to_timestamp=1_700_000_000)["changed"]


def test_another_set_of_the_same_length_is_not_taken_for_ours(any_build: Build, tmp_path: Path) -> None:
    data = b"#TS:1700000000\r\n" + PING + b"#TS:1700000009\r\n" + PING
    ours = handmade(tmp_path / "ours", b"", data)
    other = handmade(tmp_path / "other", b"", data.replace(b"PING", b"TIME"))
    dest = str(tmp_path / "new")
    assert run(any_build, other, "truncated", to_timestamp=1_700_000_000, dest=dest)["changed"]
    with pytest.raises(RedisBackupError, match="holds something else"):
        run(any_build, ours, "truncated", to_timestamp=1_700_000_000, dest=dest)


def test_check_mode_refuses_what_the_run_would(any_build: Build, tmp_path: Path) -> None:
    manifest = handmade(tmp_path / "set", b"", b"#TS:1700000000\r\n" + PING)
    for check_mode in (True, False):
        with pytest.raises(RedisBackupError, match="no directory"):
            dest = str(tmp_path / "no" / "where")
            run(any_build, manifest, "truncated", to_timestamp=1_700_000_000, dest=dest, check_mode=check_mode)


def test_two_repairs_at_once_do_not_meet(any_build: Build, tmp_path: Path) -> None:
    """Both would write one temporary file, and the first would rename what the second had only begun."""
    manifest = handmade(tmp_path / "set", b"", PING + b"*1")
    fd = os.open(manifest.parent, os.O_RDONLY)
    fcntl.flock(fd, fcntl.LOCK_EX)
    try:
        with pytest.raises(RedisBackupError, match="another"):
            run(any_build, manifest, "fixed")
        assert run(any_build, manifest, "fixed", check_mode=True)["changed"]
    finally:
        os.close(fd)
    assert run(any_build, manifest, "fixed")["changed"]


def test_a_new_directory_is_not_given_away_through_a_planted_link(
    any_build: Build, tmp_path: Path, monkeypatch: Any
) -> None:
    """The user who owns the directory above may swap what is being made for a link to anywhere."""
    if os.geteuid():
        pytest.skip("only root gives files away")
    manifest = handmade(tmp_path / "set", b"", b"#TS:1700000000\r\n" + PING)
    os.chown(manifest.parent, 12345, 12345)
    etc = tmp_path / "etc"
    etc.mkdir(mode=0o700)
    copy = cut_module._write_copy

    def planting(*args: Any) -> None:
        copy(*args)
        if not (tmp_path / ".new.tmp").is_symlink():
            (tmp_path / ".new.tmp").rename(tmp_path / "away")
            (tmp_path / ".new.tmp").symlink_to(etc)

    monkeypatch.setattr(cut_module, "_write_copy", planting)
    with pytest.raises((RedisBackupError, OSError)):
        run(any_build, manifest, "truncated", to_timestamp=1_700_000_000, dest=str(tmp_path / "new"))
    assert (etc.stat().st_uid, etc.stat().st_mode & 0o777, list(etc.iterdir())) == (0, 0o700, [])


def test_more_increments_than_a_process_may_open_at_first(any_build: Build, make_server: Any, tmp_path: Path) -> None:
    """Each rewrite that fails leaves one."""
    server = make_server(any_build, conf={"appendonly": "yes"}, start=False)
    command = b"*3\r\n$3\r\nSET\r\n$4\r\n%04d\r\n$1\r\nx\r\n"
    handmade(server.data_dir / "appendonlydir", *(command % number for number in range(300)))
    server.start()
    params = {**server.connection, "state": "checked", "second_opinion": True}
    limited = ["prlimit", "--nofile=100:4096"]
    looked = run_module("redis_aof", params, privileges=limited)["aof"]
    assert (looked["valid"], looked["commands"], looked["second_opinion"]["agrees"]) == (True, 300, True)
    values = snapshot_values(server.client())
    backup = back_up(server, tmp_path, engine="aof", values=values)
    assert backup.made["keys"] == 300


def test_killed_while_it_makes_a_directory(any_build: Build, tmp_path: Path) -> None:
    """What a killed run leaves is taken away by the next."""
    data = b"#TS:1700000000\r\n" + b"*3\r\n$3\r\nSET\r\n$1\r\nx\r\n$%d\r\n" % 2**26 + os.urandom(2**26) + b"\r\n"
    manifest = handmade(tmp_path / "set", b"", data)
    params = {"login_port": 1, "path": str(manifest), "state": "truncated", "to_timestamp": "1700000000"}
    params.update(dest=str(tmp_path / "new"), executable=str(any_build.executable))
    left = tmp_path / ".new.tmp" / "appendonly.aof.1.incr.aof"
    process = start_module("redis_aof", params)
    wait_for(left.exists, "the copy to begin", timeout=60)
    process.kill()
    process.communicate()
    run_module("redis_aof", params)
    assert not left.parent.exists() and (tmp_path / "new" / left.name).read_bytes() == data
