# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The process of a server on this host, and the user it runs as."""

from __future__ import annotations

import contextlib
import grp
import os
import pwd

from .facts import Facts
from .programs import unit_properties


def is_local(facts: Facts | None) -> bool:
    """Whether the process that INFO names is a server on this host, not another one of that number."""
    pid = facts.number("process_id") if facts else 0
    with contextlib.suppress(OSError), open(f"/proc/{pid}/comm", encoding="utf-8") as stream:
        name = stream.read()
        return "redis" in name or "valkey" in name
    return False


def process_user(pid: int) -> tuple[int, int] | None:
    """The uid and gid that a process runs with."""
    with contextlib.suppress(OSError):
        found = os.stat(f"/proc/{pid}")
        return found.st_uid, found.st_gid
    return None


def unit_user(service: str) -> tuple[int, int] | None:
    """The uid and gid of a systemd unit's User= and Group=."""
    properties = unit_properties(service, "User", "Group") if service else {}
    user = properties.get("User", "")
    if not user:
        return None
    try:
        entry = pwd.getpwuid(int(user)) if user.isdigit() else pwd.getpwnam(user)
        group = properties.get("Group", "")
        gid = entry.pw_gid if not group else int(group) if group.isdigit() else grp.getgrnam(group).gr_gid
    except KeyError:
        return None
    return entry.pw_uid, gid
