# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The fence, in words and in files."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from ansible_collections.globalscope.redis_backup.plugins.module_utils._restore.fence import (
    drop_in_path,
    drop_in_text,
    fence_is_up,
    lower_fence,
    raise_fence,
    unit_name,
)
from ansible_collections.globalscope.redis_backup.plugins.module_utils._restore.journal import Workspace


def test_drop_in() -> None:
    lines = drop_in_text("/var/lib/redis 100%/.redis_backup/fence").splitlines()
    assert lines[1:] == ["[Unit]", "ConditionPathExists=!/var/lib/redis 100%%/.redis_backup/fence"]
    assert lines[0].startswith("#")


@pytest.mark.parametrize(
    ("service", "unit"),
    [("redis-server", "redis-server.service"), ("redis@6380", "redis@6380.service"), ("x.service", "x.service")],
)
def test_units(service: str, unit: str) -> None:
    assert unit_name(service) == unit
    assert drop_in_path(service, "/etc") == f"/etc/{unit}.d/50-redis_backup-restore.conf"


def test_without_a_unit(tmp_path: Path) -> None:
    workspace = Workspace(str(tmp_path))
    workspace.prepare()
    assert not fence_is_up(workspace, "")
    for _twice in range(2):
        raise_fence(workspace, "")
        assert fence_is_up(workspace, "")
    assert stat.S_IMODE(os.stat(workspace.fence).st_mode) == 0o600
    for _twice in range(2):
        lower_fence(workspace, "")
        assert not fence_is_up(workspace, "")
    assert os.listdir(workspace.root) == []
