# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Data carried to a new place: copied, whole, and never over somebody else's."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from ansible_collections.globalscope.redis_backup.plugins.module_utils._enforce.relocate import (
    Carry,
    carried,
    carry_over,
    plan_carry,
    require_room,
)
from ansible_collections.globalscope.redis_backup.plugins.module_utils._errors import ConfigError
from ansible_collections.globalscope.redis_backup.plugins.module_utils._server.paths import Paths


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A data directory with everything in it."""
    place = tmp_path / "old"
    (place / "appendonlydir").mkdir(parents=True)
    for name in (
        "dump.rdb",
        "nodes.conf",
        "users.acl",
        "appendonly.aof",
        "appendonlydir/appendonly.aof.1.base.rdb",
        "appendonlydir/appendonly.aof.1.incr.aof",
        "appendonlydir/appendonly.aof.manifest",
    ):
        (place / name).write_text(f"this is {name}\n")
    return place


def pairs(carries: list[Carry]) -> dict[str, str]:
    return {carry.source: carry.dest for carry in carries}


def test_a_new_dir_gets_everything(old: Path, tmp_path: Path) -> None:
    new = tmp_path / "new"
    acl = (str(old / "users.acl"), str(new / "users.acl"))
    found = plan_carry(
        Paths(dir=str(old), nodes_file=str(old / "nodes.conf")),
        Paths(dir=str(new), nodes_file=str(new / "nodes.conf")),
        acl,
    )
    everything = [path for path in sorted(old.rglob("*")) if path.is_file()]
    assert pairs(found) == {str(path): str(new / path.relative_to(old)) for path in everything}


@pytest.mark.parametrize(
    ("change", "moves"),
    [
        ({}, {}),
        ({"dbfilename": "x.rdb"}, {"dump.rdb": "x.rdb"}),
        ({"dbfilename": "sub"}, {"dump.rdb": "sub"}),
        (
            {"appenddirname": "aofs"},
            {
                "appendonlydir/appendonly.aof.1.base.rdb": "aofs/appendonly.aof.1.base.rdb",
                "appendonlydir/appendonly.aof.1.incr.aof": "aofs/appendonly.aof.1.incr.aof",
                "appendonlydir/appendonly.aof.manifest": "aofs/appendonly.aof.manifest",
            },
        ),
        # The manifest names its parts: they keep their names.
        (
            {"appendfilename": "x.aof"},
            {
                "appendonly.aof": "x.aof",
                "appendonlydir/appendonly.aof.manifest": "appendonlydir/x.aof.manifest",
            },
        ),
    ],
)
def test_new_names(old: Path, change: dict[str, str], moves: dict[str, str]) -> None:
    found = plan_carry(Paths(dir=str(old)), Paths(dir=str(old), **change))
    assert pairs(found) == {str(old / source): str(old / dest) for source, dest in moves.items()}


def test_what_is_not_there_is_not_carried(tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    old, new = Paths(dir=str(tmp_path / "old")), Paths(dir=str(tmp_path / "new"))
    assert plan_carry(old, new, ("", str(tmp_path / "acl"))) == []


def test_copies_are_whole_and_the_old_place_keeps_all(old: Path, tmp_path: Path) -> None:
    new = tmp_path / "a" / "new"
    new.mkdir(parents=True)
    (old / "appendonlydir").chmod(0o750)
    (old / "dump.rdb").chmod(0o640)
    os.utime(old / "dump.rdb", (1, 1))
    if os.geteuid() == 0:
        os.chown(old / "dump.rdb", 1, 1)
    carries = plan_carry(Paths(dir=str(old)), Paths(dir=str(new)))
    journal = tmp_path / "state" / "carrying.json"
    before = {path: path.read_bytes() for path in old.rglob("*") if path.is_file()}
    require_room(carries, str(new), str(journal))
    carry_over(carries, str(journal))
    for path, data in before.items():
        assert path.read_bytes() == data
        if path.name not in ("nodes.conf", "users.acl"):
            assert (new / path.relative_to(old)).read_bytes() == data
    one, other = os.stat(old / "dump.rdb"), os.stat(new / "dump.rdb")
    assert (one.st_mode, one.st_uid, one.st_gid, one.st_mtime) == (
        other.st_mode,
        other.st_uid,
        other.st_gid,
        other.st_mtime,
    )
    assert (new / "appendonlydir").stat().st_mode & 0o777 == 0o750
    assert not list(new.rglob("*.part"))


def test_other_data_is_in_the_way(old: Path, tmp_path: Path) -> None:
    new, journal = tmp_path / "new", str(tmp_path / "carrying.json")
    new.mkdir()
    (new / "dump.rdb").write_text("another data set")
    carries = [Carry(str(old / "dump.rdb"), str(new / "dump.rdb"))]
    with pytest.raises(ConfigError, match=r"new/dump\.rdb exists already and is not the data of .*old/dump\.rdb"):
        require_room(carries, str(new), journal)
    (new / "dump.rdb").write_bytes((old / "dump.rdb").read_bytes())
    require_room(carries, str(new), journal)
    (new / "dump.rdb").unlink()
    (new / "dump.rdb").mkdir()
    with pytest.raises(ConfigError, match="exists already"):
        require_room(carries, str(new), journal)


def test_our_own_unused_copy_is_not_in_the_way_until_it_is_in_use(old: Path, tmp_path: Path) -> None:
    """A run that was cut before redis.conf was written; the data has moved on since."""
    new, journal = tmp_path / "new", str(tmp_path / "carrying.json")
    new.mkdir()
    carries = [Carry(str(old / "dump.rdb"), str(new / "dump.rdb"))]
    carry_over(carries, journal)
    (old / "dump.rdb").write_text("newer")
    require_room(carries, str(new), journal)
    carry_over(carries, journal)
    assert (new / "dump.rdb").read_text() == "newer"
    carried(journal)
    (old / "dump.rdb").write_text("of another time")
    with pytest.raises(ConfigError, match="exists already"):
        require_room(carries, str(new), journal)
    carried(journal)


def test_a_torn_journal_names_nothing(old: Path, tmp_path: Path) -> None:
    journal = tmp_path / "carrying.json"
    journal.write_text('["')
    (tmp_path / "dump.rdb").write_text("another data set")
    with pytest.raises(ConfigError, match="exists already"):
        require_room([Carry(str(old / "dump.rdb"), str(tmp_path / "dump.rdb"))], str(tmp_path), str(journal))


def test_no_room(old: Path, tmp_path: Path) -> None:
    room = os.statvfs(tmp_path)
    try:
        os.truncate(old / "dump.rdb", room.f_bavail * room.f_frsize + (1 << 36))  # a hole: it takes nothing
    except OSError as error:
        pytest.skip(f"no file of that size here: {error.strerror}")
    with pytest.raises(ConfigError, match=r"the data \(\d+ bytes\) does not fit into"):
        require_room([Carry(str(old / "dump.rdb"), str(tmp_path / "x"))], str(tmp_path), str(tmp_path / "j"))


def test_no_planted_link_is_followed(tmp_path: Path) -> None:
    """The new directory is the server's user's, who may expect the copy."""
    source, elsewhere, dest = tmp_path / "dump.rdb", tmp_path / "elsewhere", tmp_path / "new" / "dump.rdb"
    source.write_bytes(b"data")
    dest.parent.mkdir()
    (dest.parent / "dump.rdb.part").symlink_to(elsewhere)
    carry_over([Carry(str(source), str(dest))], str(tmp_path / "journal"))
    assert dest.read_bytes() == b"data"
    assert not dest.is_symlink() and not elsewhere.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to make a link of another user")
def test_a_directory_that_the_servers_user_made_a_link_is_refused(tmp_path: Path) -> None:
    source, elsewhere, folder = tmp_path / "base.rdb", tmp_path / "elsewhere", tmp_path / "appendonlydir"
    source.write_bytes(b"data")
    elsewhere.mkdir()
    folder.symlink_to(elsewhere)
    os.lchown(folder, 1, 1)
    with pytest.raises(ConfigError, match="is a link that user 1 made"):
        carry_over([Carry(str(source), str(folder / "base.rdb"))], str(tmp_path / "journal"))
    assert not os.listdir(elsewhere)
