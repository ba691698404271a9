# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who the server is on its host, and whether the host, its mounts and the unit let it write its directories."""

from __future__ import annotations

import grp
import os
import pwd
import stat
from collections.abc import Mapping
from dataclasses import dataclass

from .._server.paths import Paths
from .unit_paths import Rule, why_closed

_CAP_DAC_OVERRIDE = 1 << 1
_ACL = "system.posix_acl_access"


@dataclass(frozen=True)
class User:
    """Who the server is to the file system. `free` is one whom modes do not bind."""

    name: str
    uid: int
    groups: frozenset[int]
    free: bool


@dataclass(frozen=True)
class Folder:
    """A directory the server writes. Empty `closed` is writable; None is not known."""

    path: str
    closed: str | None


def at(root: str, path: str) -> str:
    """Where a path of the host lies below `root`."""
    return os.path.join(root, path.lstrip("/"))


def _real(root: str, path: str) -> str:
    """A path of the host with its symbolic links followed."""
    return os.path.normpath("/" + os.path.relpath(os.path.realpath(at(root, path)), os.path.realpath(root)))


def _name_of(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"


def user_of_process(status: Mapping[str, str]) -> User | None:
    try:
        uid, gid = (int(status[name].split()[3]) for name in ("Uid", "Gid"))  # the fourth is the file system's
        groups = frozenset({gid, *map(int, status.get("Groups", "").split())})
        free = bool(int(status["CapEff"], 16) & _CAP_DAC_OVERRIDE)
    except (KeyError, IndexError, ValueError):
        return None
    return User(_name_of(uid), uid, groups, free)


def user_of_unit(unit: Mapping[str, str]) -> User | None:
    if unit.get("DynamicUser") == "yes":
        return None
    name = unit.get("User") or "root"
    try:
        entry = pwd.getpwuid(int(name)) if name.isdecimal() else pwd.getpwnam(name)
        gid = entry.pw_gid
        words = [*unit.get("Group", "").split(), *unit.get("SupplementaryGroups", "").split()]
        more = [int(word) if word.isdecimal() else grp.getgrnam(word).gr_gid for word in words]
        known = os.getgrouplist(entry.pw_name, more[0] if unit.get("Group") else gid)
    except (KeyError, OSError, OverflowError):
        return None
    return User(entry.pw_name, entry.pw_uid, frozenset({*known, *more}), entry.pw_uid == 0)


def user_with(uid: int, gid: int) -> User:
    """A user of the host by number, with the groups that the host knows of him."""
    name = _name_of(uid)
    try:
        groups = os.getgrouplist(name, gid)
    except OSError:
        groups = [gid]
    return User(name, uid, frozenset({gid, *groups}), uid == 0)


def _lets(user: User, found: os.stat_result, wanted: int) -> bool:
    """Whether mode and owner let a user do what the bits (4 read, 2 write, 1 enter) ask."""
    if user.free:
        return True
    shift = 6 if user.uid == found.st_uid else 3 if found.st_gid in user.groups else 0
    return (found.st_mode >> shift) & wanted == wanted


def _has_acl(path: str) -> bool:
    try:
        return bool(os.getxattr(path, _ACL))
    except (OSError, AttributeError):
        return False


def _read_only(path: str) -> bool | None:
    try:
        return bool(os.statvfs(path).f_flag & os.ST_RDONLY)
    except OSError:
        return None


def why_not_writable(paths: Paths, user: User | None, root: str, view: str) -> str | None:
    """Why the user cannot write the data directory; empty when he can, None when that cannot be told.

    `view` is the root directory as the running server sees it, with the mounts of its own.
    """
    target = _real(root, paths.dir)
    if view and os.path.isdir(at(view, target)):
        root = view
    try:
        if not stat.S_ISDIR(os.stat(at(root, target)).st_mode):
            return "is no directory"
    except FileNotFoundError:
        return "does not exist"
    except OSError:
        return None
    if _read_only(at(root, target)):
        return "lies on a read-only mount"
    if user is None:
        return None
    steps = [(target, 3, f"is not writable by {user.name}")]
    aof = os.path.join(target, paths.appenddirname)
    if os.path.isdir(at(root, aof)):
        steps.append((aof, 3, f"holds {paths.appenddirname}, which is not writable by {user.name}"))
    above = target
    while above != "/":
        above = os.path.dirname(above)
        steps.append((above, 1, f"lies below {above}, which {user.name} may not enter"))
    for path, bits, words in steps:
        try:
            if not _lets(user, os.stat(at(root, path)), bits):
                return None if _has_acl(at(root, path)) else words
        except OSError:
            return None
    return ""


def inside_unit(paths: Paths, rules: list[Rule] | None, root: str, view: str) -> tuple[Folder, ...]:
    """What the unit makes of the directories of data and of redis.conf: as the server's mounts are, else its rules."""

    folders = [path for path in (paths.dir, os.path.dirname(paths.config_file)) if os.path.isabs(path)]
    found = []
    for path in dict.fromkeys(folders):
        closed = why_closed(path, rules, lambda name: _real(root, name)) if rules is not None else None
        mount = _read_only(at(view, _real(root, path))) if view else None
        if mount is not None:
            closed = (closed or "read-only for the running server") if mount else ""
        found.append(Folder(path, closed))
    return tuple(found)
