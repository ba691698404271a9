# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Links that are made beside a pass which hangs: made once, within the bound, taken as increments of the past."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.globalscope.redis_backup.plugins.module_utils._archive.look import MULTI, Files, look_at
from ansible_collections.globalscope.redis_backup.plugins.module_utils._archive.spool import Spool
from ansible_collections.globalscope.redis_backup.plugins.module_utils._archive.waiting import (
    drop_waiting,
    hold_waiting,
    take_waiting,
    waiting_names,
)
from ansible_collections.globalscope.redis_backup.plugins.module_utils._repository.layout import make_epoch
from ansible_collections.globalscope.redis_backup.plugins.module_utils._server.paths import Paths, resolve_paths

NAME = "x"


class Aof:
    """A folder as a server has it, with the increments of some numbers."""

    def __init__(self, directory: Path) -> None:
        self.paths: Paths = resolve_paths({"dir": str(directory), "appendonly": "yes"})
        self.folder = directory / "appendonlydir"
        self.folder.mkdir()
        self.spool = Spool(str(directory), NAME)

    def rewritten(self, number: int) -> None:
        """Only the increment of that number is left."""
        for path in self.folder.glob("*.aof"):
            path.unlink()
        name = f"appendonly.aof.{number}.incr.aof"
        (self.folder / name).write_text(f"increment {number}" * 500)
        (self.folder / "appendonly.aof.manifest").write_text(f"file {name} seq {number} type i\n")

    def pass_made(self) -> None:
        """The link of a pass to what is there."""
        with Files() as files:
            (seen,) = look_at(self.paths, MULTI, files).increments
            self.spool.hold({(make_epoch(1e9, seen.seq, "0" * 8), seen.name): seen.key}, files, {})

    def hold(self, bound: int = 1 << 20) -> None:
        hold_waiting(self.paths, MULTI, NAME, bound=bound, least_free=0.0)

    def taken(self, beyond: int) -> list[tuple[int, int]]:
        with Files() as files:
            look = look_at(self.paths, MULTI, files, beyond)
            found = take_waiting(self.spool, look, beyond, files)
            assert all(seen.key in files.fds for seen in found)
            return [(seen.seq, seen.size) for seen in found]


@pytest.fixture
def aof(tmp_path: Path) -> Aof:
    found = Aof(tmp_path)
    found.rewritten(1)
    return found


def test_nothing_is_held_before_the_first_pass(aof: Aof) -> None:
    aof.hold()
    assert waiting_names(aof.spool) == [] and not Path(aof.spool.root).exists()


def test_what_was_removed_meanwhile_is_taken_in_its_order(aof: Aof) -> None:
    aof.pass_made()
    aof.hold()
    assert waiting_names(aof.spool) == [], "the pass holds it"
    for number in (2, 3, 4):
        aof.rewritten(number)
        aof.hold()
        aof.hold()
    assert len(waiting_names(aof.spool)) == 3
    assert aof.taken(beyond=1) == [(2, 5500), (3, 5500)], "what is there is no past"
    assert aof.taken(beyond=2) == [(3, 5500)]
    assert aof.spool.room() > 0
    drop_waiting(aof.spool, waiting_names(aof.spool))
    assert aof.taken(beyond=1) == [] and waiting_names(aof.spool) == []


def test_they_are_bounded(aof: Aof) -> None:
    aof.pass_made()
    for number in range(2, 9):
        aof.rewritten(number)
        aof.hold(bound=30_000)
        assert aof.spool.room() <= 30_000
    assert len(waiting_names(aof.spool)) < 7


def test_other_names_there_are_left_alone(aof: Aof) -> None:
    aof.pass_made()
    aof.rewritten(2)
    aof.hold()
    folder = Path(aof.spool.root, "waiting")
    (folder / "7-something").write_text("else")
    (folder / "8-appendonly.aof.9.incr.aof").symlink_to("/etc/passwd")
    aof.rewritten(3)
    assert [seq for seq, _size in aof.taken(beyond=1)] == [2]
