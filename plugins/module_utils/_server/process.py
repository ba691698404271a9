# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The process of a server on this host, and the user it runs as."""

from __future__ import annotations

import contextlib
import grp
import os
import pwd
import re

from .facts import Facts
from .programs import unit_properties


def is_local(facts: Facts | None, directory: str = "") -> bool:
    """Whether the process that INFO names is a server on this host, working in `directory` where that is known."""
    pid = facts.number("process_id") if facts else 0
    return pid > 0 and is_server(f"/proc/{pid}", directory)


def is_server(proc: str, directory: str = "") -> bool:
    """Whether a process is a server: by its name, and by its working directory, which is its data directory.

    A server elsewhere (another host, a container) tells a process number that means someone else here.
    """
    program = _text(f"{proc}/cmdline").split("\0")[0].split(" ")[0]  # a server writes its address behind it
    if not re.search("redis|valkey", _text(f"{proc}/comm") + os.path.basename(program)):
        return False
    try:
        here = os.stat(f"{proc}/cwd")
    except OSError:
        return True  # another user's process: no more can be seen
    if not directory:
        return True
    try:
        there = os.stat(directory)
    except OSError:
        return False
    return (here.st_dev, here.st_ino) == (there.st_dev, there.st_ino)


def is_child(pid: int) -> bool:
    """Whether a process is a server's child that saves or rewrites, by the title it gives itself."""
    return bool(re.search(r"rdb-bgsave|aof-rewrite|rdb-to-slaves", _text(f"/proc/{pid}/cmdline")))


def parent_of(pid: int) -> int:
    """The process that started `pid`; 0 where it cannot be seen."""
    fields = _text(f"/proc/{pid}/stat").rpartition(")")[2].split()  # the name before may hold anything
    return int(fields[1]) if len(fields) > 1 else 0


def _text(path: str) -> str:
    with contextlib.suppress(OSError), open(path, encoding="utf-8", errors="replace") as stream:
        return stream.read()
    return ""


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


def may_read(path: str, uid: int, gid: int) -> bool:
    """Whether a user, with all its groups, may read a file. Asked as that user; for root only."""
    try:
        groups = os.getgrouplist(pwd.getpwuid(uid).pw_name, gid)
    except KeyError:
        groups = [gid]
    before = os.getgroups(), os.getegid(), os.geteuid()
    try:
        os.setgroups(groups)
        os.setegid(gid)
        os.seteuid(uid)
        os.close(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC))
    except OSError:
        return False
    finally:
        os.seteuid(before[2])
        os.setegid(before[1])
        os.setgroups(before[0])
    return True
