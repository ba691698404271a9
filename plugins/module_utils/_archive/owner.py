# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Act as the owner of a folder for a while: what root does in another user's folder must not be led elsewhere."""

from __future__ import annotations

import contextlib
import os
import pwd
from collections.abc import Iterator


@contextlib.contextmanager
def acting_as_owner(folder: str) -> Iterator[None]:
    """Root acts as the owner of `folder` (with that user's groups) until the end; everybody else as ever.

    The process must have one thread only. A folder that is not there changes nothing.
    """
    try:
        found = os.stat(folder)
    except OSError:
        found = None
    if found is None or os.geteuid() != 0 or found.st_uid == 0:
        yield
        return
    groups, group = os.getgroups(), os.getegid()
    try:
        os.setgroups(_groups_of(found.st_uid, found.st_gid))
        os.setegid(found.st_gid)
        os.seteuid(found.st_uid)
        yield
    finally:
        os.seteuid(0)
        os.setegid(group)
        os.setgroups(groups)


def _groups_of(uid: int, gid: int) -> list[int]:
    try:
        return os.getgrouplist(pwd.getpwuid(uid).pw_name, gid)
    except KeyError:
        return [gid]
