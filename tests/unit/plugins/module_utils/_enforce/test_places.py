# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from ansible_collections.globalscope.redis_backup.plugins.module_utils._enforce.places import (
    moved_by,
    require_vacant,
    strays,
)
from ansible_collections.globalscope.redis_backup.plugins.module_utils._errors import ConfigError
from ansible_collections.globalscope.redis_backup.plugins.module_utils._server.paths import Paths


def test_strays(tmp_path: Path) -> None:
    now = Paths(dir=str(tmp_path))
    (tmp_path / "link").symlink_to(tmp_path)
    assert strays(now, Paths(dir=str(tmp_path / "link"))) == ()
    assert strays(now, Paths(dir=".")) == ()
    assert strays(now, Paths(dir="/elsewhere", appendfilename="x.aof")) == ("dir", "appendfilename")
    assert strays(now, Paths(dir=".", dbfilename="x.rdb")) == ("dbfilename",)


def test_moved_by() -> None:
    now = Paths(dir="/a")
    assert moved_by(now, [("dir", "/b"), ("dbfilename", "x"), ("timeout", "5")]) == Paths(dir="/b", dbfilename="x")


@pytest.mark.parametrize(
    ("made", "carried", "refused"),
    [
        ([], False, False),
        (["old/dump.rdb"], False, False),
        (["new/dump.rdb"], False, True),
        (["new/dump.rdb"], True, True),
        (["old/dump.rdb", "new/dump.rdb"], False, True),
        (["old/dump.rdb", "new/dump.rdb"], True, False),
        (["old/dump.rdb", "new/appendonly.aof"], True, True),
        (["old/dump.rdb", "new/appendonlydir/appendonly.aof.manifest"], True, True),
    ],
)
def test_vacant(tmp_path: Path, made: list[str], carried: bool, refused: bool) -> None:
    old, new = (Paths(dir=str(tmp_path / name)) for name in ("old", "new"))
    for name in made:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    with pytest.raises(ConfigError) if refused else contextlib.nullcontext():
        require_vacant(old, new, carried=carried)
    require_vacant(old, new, carried=carried, ours=[str(tmp_path / name) for name in made])
    require_vacant(old, old)
