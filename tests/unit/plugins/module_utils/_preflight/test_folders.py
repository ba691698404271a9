# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who the server is, and what he may write."""

from __future__ import annotations

import os
import pwd
import tempfile
from pathlib import Path

from ansible_collections.globalscope.redis_backup.plugins.module_utils._preflight.folders import (
    User,
    user_with,
    why_not_writable,
)
from ansible_collections.globalscope.redis_backup.plugins.module_utils._server.paths import Paths


def test_a_user_by_number_has_the_groups_the_host_knows() -> None:
    me = pwd.getpwuid(os.getuid())
    found = user_with(me.pw_uid, me.pw_gid)
    assert (found.name, found.uid, found.free) == (me.pw_name, me.pw_uid, me.pw_uid == 0)
    assert found.groups >= {me.pw_gid, *os.getgrouplist(me.pw_name, me.pw_gid)}


def test_a_user_the_host_does_not_know() -> None:
    assert user_with(3999999, 3999998) == User("user 3999999", 3999999, frozenset({3999998}), False)


def test_a_group_of_the_user_is_enough() -> None:
    with tempfile.TemporaryDirectory() as place:  # not pytest's own, which nobody else may enter
        os.chmod(place, 0o770)
        group = os.stat(place).st_gid
        stranger = User("db", 3999999, frozenset({3999998}), False)
        member = User("db", 3999999, frozenset({3999998, group}), False)
        assert why_not_writable(Paths(dir=place), stranger, "/", "") == "is not writable by db"
        assert why_not_writable(Paths(dir=place), member, "/", "") == ""


def test_no_directory(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert why_not_writable(Paths(dir=str(tmp_path / "no")), None, "/", "") == "does not exist"
    assert why_not_writable(Paths(dir=str(tmp_path / "file")), None, "/", "") == "is no directory"
