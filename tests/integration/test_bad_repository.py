# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Repositories that are missing, closed, full or somebody else's, and keys that do not fit."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from support.machine import AgeKey, make_age_key
from support.modules import run_module
from support.servers import Build, RedisProcess
from support.shelf import Shelf
from support.untouched import refused, untouched

MakeServer = Callable[..., RedisProcess]
NOBODY = 65534


@pytest.fixture
def server(any_build: Build, make_server: MakeServer) -> RedisProcess:
    """A server whose data does not compress: about 600 kB of it."""
    server = make_server(any_build)
    with server.client() as client:
        client.mset({f"key:{n}": os.urandom(2000) for n in range(300)})
    return server


@pytest.fixture
def shelf(server_root: Path) -> Shelf:
    (server_root / "repository").mkdir()
    return Shelf(server_root / "repository", server_root / "state")


def catalog(shelf: Shelf, server: RedisProcess) -> dict[str, Any]:
    """The parameters of redis_backup_info."""
    return shelf.of(server, repositories=[shelf.repository])


# --- not there, not writable ---


@pytest.mark.parametrize("check", [False, True], ids=["run", "check mode"])
def test_missing(server: RedisProcess, shelf: Shelf, check: bool) -> None:
    """As when a share is not mounted: its mount point must not be filled."""
    shelf.root.rmdir()
    with untouched(server.data_dir):
        for name, params in (
            ("redis_backup", shelf.to_backup(server)),
            ("redis_backup_info", catalog(shelf, server)),
            ("redis_restore", shelf.to_restore(server)),
            ("redis_assess", catalog(shelf, server)),
        ):
            refused(name, params, "shop", str(shelf.root), "does not exist", "Mount it", check=check)
        assert not shelf.root.exists()


def test_path_is_a_file_or_not_absolute(server: RedisProcess, shelf: Shelf) -> None:
    shelf.root.rmdir()
    shelf.root.write_text("words")
    with untouched(server.data_dir, shelf.root.parent):
        for name, params in (("redis_backup", shelf.to_backup(server)), ("redis_restore", shelf.to_restore(server))):
            refused(name, params, "shop", str(shelf.root))
        relative = [{"name": "shelf", "path": "backups"}]
        # Ansible itself makes an absolute path of it; what lies there is not ours to make.
        refused("redis_backup", shelf.to_backup(server, repositories=relative), "shop", "backups")
        twice = [shelf.repository, shelf.repository]
        refused("redis_backup", shelf.to_backup(server, repositories=twice), "shop", "each name once")


def test_not_writable(server: RedisProcess, shelf: Shelf) -> None:
    """For root without the right to override modes, as on an NFS share with root_squash."""
    if os.geteuid():
        pytest.skip("another owner needs root")
    shelf.backup(server)
    for path in (shelf.root, *shelf.root.rglob("*")):
        os.chown(path, NOBODY, NOBODY)
    squashed = ["--bounding-set=-dac_override", "--inh-caps=-dac_override"]
    shelf.root.chmod(0o755)
    with untouched(shelf.root, server.data_dir):
        words = ("shop", str(shelf.root), "not writable", "owner and mode")
        refused("redis_backup", shelf.to_backup(server), *words, privileges=squashed)
        refused("redis_backup", shelf.to_backup(server), *words, privileges=squashed, check=True)
    shelf.root.chmod(0o777)
    with untouched(shelf.root, server.data_dir):
        refused("redis_backup", shelf.to_backup(server), "shop", "owner and mode", privileges=squashed)
    shelf.root.chmod(0o700)
    squashed[0] += ",-dac_read_search"
    with untouched(shelf.root, server.data_dir):
        for name, params in (
            ("redis_restore", shelf.to_restore(server)),
            ("redis_backup_info", catalog(shelf, server)),
        ):
            refused(name, params, "shop", str(shelf.root), "Permission denied", "owner and mode", privileges=squashed)


def test_read_only(server: RedisProcess, shelf: Shelf, small_tmpfs: Callable[[str], Path]) -> None:
    """A backup is refused; restoring from a share that is mounted read-only is a good habit, and works."""
    shelf.root = small_tmpfs("8M")
    label = shelf.backup(server)["label"]
    subprocess.run(["mount", "-o", "remount,ro", shelf.root], check=True)
    with untouched(shelf.root, server.data_dir):
        refused("redis_backup", shelf.to_backup(server), "shop", str(shelf.root), "not writable")
    assert run_module("redis_backup_info", catalog(shelf, server))["latest"]["label"] == label
    assert run_module("redis_restore", shelf.to_restore(server))["restore"]["label"] == label


# --- full ---


def test_too_little_room_for_another(server: RedisProcess, shelf: Shelf, small_tmpfs: Callable[[str], Path]) -> None:
    shelf.root = small_tmpfs("1M")
    label = shelf.backup(server)["label"]
    with untouched(shelf.root, server.data_dir):
        words = ("shop", str(shelf.root), "bytes left", "Free or add room")
        refused("redis_backup", shelf.to_backup(server), *words)
    assert shelf.labels == [label]


def test_full_while_the_backup_is_written(
    server: RedisProcess, shelf: Shelf, small_tmpfs: Callable[[str], Path]
) -> None:
    """The last backup was small and is no measure: here it shows while the next one is written."""
    shelf.root = small_tmpfs("1M")
    with server.client() as client:
        client.flushall()
        small = shelf.backup(server)["label"]
        client.mset({f"key:{n}": os.urandom(2000) for n in range(900)})
    for source in ("stream", "file"):
        with untouched(shelf.root):
            params = shelf.to_backup(server, source=source)
            refused("redis_backup", params, "shop", "dump.rdb.zst", "No space left", "Free or add room", "as they were")
    assert shelf.labels == [small]


def test_one_of_two_is_full(server: RedisProcess, shelf: Shelf, small_tmpfs: Callable[[str], Path]) -> None:
    """The other one gets its backup whole, and the failure says so."""
    small = Shelf(small_tmpfs("300K"), shelf.state_dir)
    both = [{"name": "small", "path": str(small.root)}, shelf.repository]
    failure = refused(
        "redis_backup",
        shelf.to_backup(server, repositories=both),
        "shop",
        "small",
        "No space left",
        "complete in: shelf",
    )
    assert failure.result["failed_repositories"] == ["small"]
    assert small.labels == []
    (label,) = shelf.labels
    assert run_module("redis_backup_info", catalog(shelf, server))["latest"]["label"] == label
    assert run_module("redis_restore", shelf.to_restore(server))["restore"]["keys"] == 300


def test_data_directory_without_room_for_a_restore(
    server: RedisProcess, shelf: Shelf, small_tmpfs: Callable[[str], Path], make_server: MakeServer
) -> None:
    shelf.backup(server)
    target = make_server(server.build, conf={"dir": str(small_tmpfs("10M"))})
    disk = Path(target.client().config_get("dir")["dir"])
    with untouched(disk, shelf.root):
        refused("redis_restore", shelf.to_restore(target), "shop", str(disk), "bytes left", "Free or add room")
        refused("redis_restore", shelf.to_restore(target), "shop", str(disk), check=True)


# --- somebody else's ---


def test_foreign_files(server: RedisProcess, shelf: Shelf) -> None:
    """Beside instances they are no matter; in an instance's own folder the place is somebody else's."""
    (shelf.root / "holiday.jpg").write_bytes(b"\xff\xd8")
    (shelf.root / "photos" / "backup").mkdir(parents=True)
    (shelf.root / "a b" / "backup").mkdir(parents=True)
    (shelf.root / "shop").mkdir()
    (shelf.root / "shop" / "prices.xls").write_text("1,2")
    with untouched(shelf.root, server.data_dir):
        refused("redis_backup", shelf.to_backup(server), "shop", str(shelf.root / "shop"), "prices.xls", "move")
        refused("redis_restore", shelf.to_restore(server), "no usable backup of shop", str(shelf.root))
        shown = run_module("redis_backup_info", {**catalog(shelf, server), "instance": None})
        assert shown["backups"] == []
    (shelf.root / "shop" / "prices.xls").unlink()
    (shelf.root / "shop").rmdir()
    (shelf.root / "shop").write_text("a file where the folder should be")
    with untouched(shelf.root, server.data_dir):
        refused("redis_backup", shelf.to_backup(server), "shop", str(shelf.root / "shop"))
        refused("redis_restore", shelf.to_restore(server), "no usable backup of shop", str(shelf.root))
    (shelf.root / "shop").unlink()
    shelf.backup(server)
    strange = shelf.root / "shop" / "backup" / "notes"
    strange.mkdir()
    (strange / "words.txt").write_text("words")
    with untouched(strange):
        shelf.backup(server)
        assert len(run_module("redis_backup_info", catalog(shelf, server))["backups"]) == 2


def test_another_server_of_the_same_name(server: RedisProcess, shelf: Shelf, make_server: MakeServer) -> None:
    """Two inventories with one `localhost`: the second is refused, until somebody says that it is the same."""
    shelf.backup(server)
    other = make_server(server.build)
    for state in ("state-of-a-new-host", "state-of-an-old-host"):
        elsewhere = Shelf(shelf.root, shelf.state_dir.with_name(state))
        if "old" in state:
            own = Shelf(shelf.root.with_name("own-repository"), elsewhere.state_dir)
            own.root.mkdir()
            own.backup(other)
        for check in (False, True):
            with untouched(shelf.root, other.data_dir):
                words = ("shop", str(shelf.root), "another server", "UUID", "adopt: true", "another instance name")
                refused("redis_backup", elsewhere.to_backup(other), *words, check=check)
    assert elsewhere.backup(other, adopt=True)["label"] in shelf.labels
    assert elsewhere.backup(other)["keys"] == 0


@pytest.mark.parametrize("content", [b"", b"{}", b"[1]", b'{"uuid": 7', b"\xff"])
def test_damaged_identity(server: RedisProcess, shelf: Shelf, content: bytes) -> None:
    """The repository's and the host's memory of who the instance is."""
    shelf.backup(server)
    stored, kept = shelf.root / "shop" / "instance.json", shelf.state_dir / "instances" / "shop.json"
    for path in (stored, kept):
        whole = path.read_bytes()
        path.write_bytes(content)
        with untouched(shelf.root, shelf.state_dir, server.data_dir):
            refused("redis_backup", shelf.to_backup(server), "shop", str(path))
        path.write_bytes(whole)
    shelf.backup(server)


def test_state_directory_that_cannot_be_used(server: RedisProcess, shelf: Shelf) -> None:
    shelf.state_dir.write_text("a file")
    with untouched(shelf.root, server.data_dir):
        refused("redis_backup", shelf.to_backup(server), "shop", str(shelf.state_dir), "state_dir")


# --- keys ---


def test_identity_that_does_not_fit(server: RedisProcess, shelf: Shelf, age_key: AgeKey, server_root: Path) -> None:
    shelf.key = age_key
    label = shelf.backup(server)["label"]
    wrong = make_age_key(server_root / "wrong.txt").identity
    garbage = server_root / "garbage.txt"
    garbage.write_text("these are no keys, S3CRET\n")
    missing = server_root / "missing.txt"
    with untouched(shelf.root, server.data_dir):
        for identities, words in (
            ([], ("encrypted", "no identity", "Give identities")),
            ([missing], (str(missing), "missing", "Give identities")),
            ([wrong], ("dump.rdb.zst.age", "no identity matched", "Give the age identity")),
            ([garbage], ("dump.rdb.zst.age", "cannot be opened", "Give the age identity")),
            ([wrong, missing], (str(missing), "missing")),
        ):
            params = shelf.to_restore(server, identities=[str(path) for path in identities])
            failure = refused("redis_restore", params, "shop", label, "not touched", *words)
            assert "S3CRET" not in str(failure.result)
    both = [str(wrong), str(age_key.identity)]
    assert run_module("redis_restore", shelf.to_restore(server, identities=both))["restore"]["label"] == label


def test_recipient_or_level_that_makes_no_sense(server: RedisProcess, shelf: Shelf) -> None:
    shelf.backup(server)
    with untouched(shelf.root, server.data_dir):
        params = shelf.to_backup(server, encryption={"recipients": ["age1nonsense"]})
        refused("redis_backup", params, "shop", "age ended with", "recipient", "as they were")
        for recipient in ("", "-o/etc/passwd", "AGE-SECRET-KEY-1"):
            params = shelf.to_backup(server, encryption={"recipients": [recipient]})
            failure = refused("redis_backup", params, "recipient 1", "no public key", "Nothing was changed")
            assert not recipient or recipient not in failure.msg
        params = shelf.to_backup(server, compression={"level": -7})
        refused("redis_backup", params, "shop", "zstd ended with", "as they were")
