# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Restored files go to the server's user, with the modes and the context that were there."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from ansible_collections.globalscope.redis_backup.plugins.module_utils._errors import RestoreError
from ansible_collections.globalscope.redis_backup.plugins.module_utils._restore import ownership
from ansible_collections.globalscope.redis_backup.plugins.module_utils._restore.fetch import settle
from ansible_collections.globalscope.redis_backup.plugins.module_utils._restore.ownership import (
    Ownership,
    find_ownership,
    own_files,
)
from ansible_collections.globalscope.redis_backup.plugins.module_utils._server.connection import Login, Server
from ansible_collections.globalscope.redis_backup.plugins.module_utils._server.instance import Instance, Place
from ansible_collections.globalscope.redis_backup.plugins.module_utils._server.paths import Paths

ROOT = os.geteuid() == 0
UID, GID = (65534, 65533) if ROOT else (os.geteuid(), os.getegid())
as_root = pytest.mark.skipif(not ROOT, reason="only root gives files away")
CONTEXT = b"system_u:object_r:redis_var_lib_t:s0\0"


@pytest.fixture
def attribute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """An attribute that anyone may set, in place of SELinux's own: the copying is the same."""
    name = "user.redis_backup_test"
    (tmp_path / "try").write_text("")
    try:
        os.setxattr(tmp_path / "try", name, b"x")
    except OSError as error:
        pytest.skip(f"this file system keeps no extended attributes: {error.strerror}")
    os.unlink(tmp_path / "try")
    monkeypatch.setattr(ownership, "_CONTEXT", name)
    return name


def instance_in(directory: Path) -> Instance:
    return Instance(Place("db"), Server(Login()), "down", None, Paths(dir=str(directory)))


def modes(path: Path) -> tuple[int, int, int]:
    found = os.stat(path)
    return stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid


def give(owner: Ownership, path: Path) -> None:
    fd = os.open(path, os.O_RDONLY)
    owner.give(fd)
    os.close(fd)


def test_own_files_come_each_before_its_directory(tmp_path: Path) -> None:
    (tmp_path / "dir" / "inner").mkdir(parents=True)
    for name in ("file", "dir/one", "dir/inner/two"):
        (tmp_path / name).write_text("")
    found = [os.readlink(f"/proc/self/fd/{fd}").removeprefix(f"{tmp_path}/") for fd in own_files(str(tmp_path))]
    assert found == ["dir/inner/two", "dir/inner", "dir/one", "dir", "file"]


@as_root
def test_no_planted_link_is_followed(tmp_path: Path) -> None:
    """The server's user owns the data directory: it may swap what is being staged there for a link to anywhere."""
    precious = tmp_path / "etc"
    precious.mkdir()
    (precious / "shadow").write_text("")
    theirs, ours = tmp_path / "theirs", tmp_path / "ours"
    theirs.mkdir()
    os.chown(theirs, UID, GID)
    os.link(precious / "shadow", theirs / "dump.rdb")
    ours.mkdir()
    (ours / "dump.rdb").symlink_to(precious / "shadow")
    (tmp_path / "link").symlink_to(precious)
    for place in (theirs, ours, tmp_path / "link"):
        with pytest.raises((RestoreError, OSError)):
            settle(str(place), Ownership(UID, GID))
    (ours / "dump.rdb").unlink()
    (ours / "appendonlydir").symlink_to(precious)
    settle(str(ours), Ownership(UID, GID))
    assert (modes(precious)[1:], modes(precious / "shadow")[1:]) == ((0, 0), (0, 0))


def test_give(tmp_path: Path) -> None:
    (tmp_path / "dir").mkdir()
    (tmp_path / "file").write_text("")
    owner = Ownership(UID, GID, file_mode=0o640, dir_mode=0o750)
    for name in ("dir", "file"):
        give(owner, tmp_path / name)
        give(owner, tmp_path / name)
    assert modes(tmp_path / "file") == (0o640, UID, GID)
    assert modes(tmp_path / "dir") == (0o750, UID, GID)


def test_the_context_is_copied(tmp_path: Path, attribute: str) -> None:
    (tmp_path / "dump.rdb").write_text("")
    os.setxattr(tmp_path / "dump.rdb", attribute, CONTEXT)
    owner = find_ownership(instance_in(tmp_path))
    assert owner.context == CONTEXT
    (tmp_path / "new").write_text("")
    (tmp_path / "newdir").mkdir()
    for name in ("new", "newdir"):
        give(owner, tmp_path / name)
        assert os.getxattr(tmp_path / name, attribute) == CONTEXT


def test_without_a_context_none_is_set(tmp_path: Path, attribute: str) -> None:
    (tmp_path / "dump.rdb").write_text("")
    owner = find_ownership(instance_in(tmp_path))
    assert owner.context == b""
    (tmp_path / "new").write_text("")
    give(owner, tmp_path / "new")
    assert attribute not in os.listxattr(tmp_path / "new")


def test_a_context_that_cannot_be_set_hinders_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ownership, "_CONTEXT", "nonsense.x")
    (tmp_path / "new").write_text("")
    give(Ownership(os.geteuid(), os.getegid(), file_mode=0o600, context=CONTEXT), tmp_path / "new")
    assert modes(tmp_path / "new")[0] == 0o600


@as_root
def test_owner_of_the_files_that_are_there(tmp_path: Path) -> None:
    (tmp_path / "dump.rdb").write_text("")
    (tmp_path / "appendonlydir").mkdir()
    (tmp_path / "redis.log").write_text("")
    for name, mode in (("dump.rdb", 0o660), ("appendonlydir", 0o770)):
        os.chown(tmp_path / name, UID, GID)
        os.chmod(tmp_path / name, mode)
    found = find_ownership(instance_in(tmp_path))
    assert found == Ownership(UID, GID, file_mode=0o660, dir_mode=0o770, context=found.context)


@as_root
def test_owner_of_the_directory_where_no_data_is(tmp_path: Path) -> None:
    (tmp_path / "other").write_text("")
    os.chown(tmp_path, UID, GID)
    found = find_ownership(instance_in(tmp_path))
    assert (found.uid, found.gid, found.file_mode, found.dir_mode) == (UID, GID, 0o640, 0o750)


@as_root
def test_what_root_copied_in_is_no_sample(tmp_path: Path) -> None:
    (tmp_path / "dump.rdb").write_text("")
    os.chown(tmp_path, UID, GID)
    found = find_ownership(instance_in(tmp_path))
    assert (found.uid, found.gid) == (UID, GID)


def test_the_server_can_always_read_and_write_its_files(tmp_path: Path) -> None:
    (tmp_path / "dump.rdb").write_text("")
    (tmp_path / "appendonlydir").mkdir()
    os.chmod(tmp_path / "dump.rdb", 0o444)
    os.chmod(tmp_path / "appendonlydir", 0o555)
    found = find_ownership(instance_in(tmp_path))
    assert found.file_mode & 0o600 == 0o600
    assert found.dir_mode & 0o700 == 0o700


@pytest.mark.skipif(ROOT, reason="root may give files to anyone")
def test_another_users_data_needs_root() -> None:
    with pytest.raises(RestoreError, match="belongs to user 0"):
        find_ownership(instance_in(Path("/")))
