# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads what the host is to one instance: kernel settings, memory, room, and what the server's user may write.

Nothing here fails: what cannot be read (a container without /sys, a task without root) is None and is not judged.
`root` is where the host's files lie; tests lay out a host of their own.
"""

from __future__ import annotations

import contextlib
import os
import re
from dataclasses import dataclass

from .._errors import ProgramError
from .._server.instance import Instance
from .._server.paths import Paths
from .._server.process import is_server
from .._server.programs import unit_properties
from .folders import Folder, at, inside_unit, user_of_process, user_of_unit, why_not_writable
from .unit_paths import PROPERTIES, unit_rules

_UNIT = ("LoadState", "User", "Group", "SupplementaryGroups", "DynamicUser", "MemoryMax", *PROPERTIES)


@dataclass(frozen=True)
class HostFacts:
    """The host as one instance meets it. Sizes are bytes; None is unread."""

    overcommit: str | None = None
    hugepages: str | None = None
    server_hugepages: bool | None = None
    memory: int | None = None
    memory_limit: int | None = None
    free: int | None = None
    dump_bytes: int = 0
    aof_bytes: int = 0
    user: str = ""
    dir: Folder | None = None
    unit: tuple[Folder, ...] = ()


def look(instance: Instance, root: str = "/") -> HostFacts | None:
    """The host of an instance; None when the server does not seem to run, or to lie, on this one."""
    paths, service = instance.paths, instance.place.service
    pid = instance.facts.number("process_id") if instance.facts else 0
    proc = at(root, f"/proc/{pid}")
    seen = pid > 0 and is_server(proc, at(root, paths.dir))
    unit = _unit(service)
    if not (seen if instance.facts else unit or _exists(root, paths)):
        return None
    status = _fields(f"{proc}/status") if seen else {}
    user = user_of_process(status) if seen else user_of_unit(unit) if unit else None
    rules = unit_rules(unit) if unit else None
    limits = [limit for limit in (_cgroup_limit(proc, root) if seen else None, _number(unit.get("MemoryMax"))) if limit]
    total = re.match(r"\d+", _fields(at(root, "/proc/meminfo")).get("MemTotal", ""))
    hugepages = re.search(r"\[(\w+)\]", _text(at(root, "/sys/kernel/mm/transparent_hugepage/enabled")) or "")
    thp = status.get("THP_enabled")
    folder = paths.dir if os.path.isabs(paths.dir) else ""
    view = f"{proc}/root" if seen else ""
    return HostFacts(
        overcommit=_text(at(root, "/proc/sys/vm/overcommit_memory")),
        hugepages=hugepages.group(1) if hugepages else None,
        server_hugepages=thp == "1" if thp else None,
        memory=int(total.group()) * 1024 if total else None,
        memory_limit=min(limits, default=None),
        free=_free(at(root, folder)) if folder else None,
        dump_bytes=_size(at(root, paths.dump)) if folder else 0,
        aof_bytes=_aof_size(paths, root) if folder else 0,
        user=user.name if user else "",
        dir=Folder(folder, why_not_writable(paths, user, root, view)) if folder else None,
        unit=inside_unit(paths, rules, root, view) if unit else (),
    )


def _text(path: str) -> str | None:
    try:
        with open(path, encoding="utf-8", errors="replace") as stream:
            return stream.read().strip()
    except OSError:
        return None


def _fields(path: str) -> dict[str, str]:
    lines = (line.partition(":") for line in (_text(path) or "").splitlines())
    return {name: value.strip() for name, _colon, value in lines}


def _number(text: str | None) -> int | None:
    """A limit in bytes; None for `max`, `infinity` and systemd's and the kernel's greatest numbers."""
    return int(text) if text and text.isdecimal() and int(text) < 1 << 60 else None


def _size(path: str) -> int:
    with contextlib.suppress(OSError):
        return os.stat(path).st_size
    return 0


def _aof_size(paths: Paths, root: str) -> int:
    folder = at(root, os.path.join(paths.dir, paths.appenddirname))
    names: list[str] = []
    with contextlib.suppress(OSError):
        names = os.listdir(folder)
    single = at(root, os.path.join(paths.dir, paths.appendfilename))
    return sum(_size(os.path.join(folder, name)) for name in names) or _size(single)


def _free(path: str) -> int | None:
    try:
        room = os.statvfs(path)
    except OSError:
        return None
    return room.f_bavail * room.f_frsize


def _exists(root: str, paths: Paths) -> bool:
    return any(os.path.isabs(path) and os.path.exists(at(root, path)) for path in (paths.dir, paths.config_file))


def _unit(service: str) -> dict[str, str]:
    """The properties of the instance's unit, by one call; empty without a unit."""
    if not service:
        return {}
    try:
        found = unit_properties(service, *_UNIT)
    except ProgramError:
        return {}
    return found if found.get("LoadState") == "loaded" else {}


def _cgroup_limit(proc: str, root: str) -> int | None:
    """The tightest memory limit of the process's control groups, version 2 or 1, from its own up to the top."""
    limits = []
    for line in (_text(f"{proc}/cgroup") or "").splitlines():
        controllers, _colon, path = line.partition(":")[2].partition(":")
        if not controllers:
            top, name = at(root, "/sys/fs/cgroup"), "memory.max"
        elif "memory" in controllers.split(","):
            top, name = at(root, "/sys/fs/cgroup/memory"), "memory.limit_in_bytes"
        else:
            continue
        parts = [part for part in path.split("/") if part and part != ".."]
        for depth in range(len(parts) + 1):
            limits.append(_number(_text(os.path.join(top, *parts[:depth], name))))
    return min((limit for limit in limits if limit), default=None)
