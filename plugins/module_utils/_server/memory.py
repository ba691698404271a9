# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How much memory this host can still give, without harm to what runs on it."""

from __future__ import annotations

import contextlib
import os
import re

_MEMINFO = "/proc/meminfo"
_CGROUPS = "/sys/fs/cgroup"


def parse_available(meminfo: str) -> int | None:
    """The bytes that /proc/meminfo calls available. Pure."""
    found = re.search(r"^MemAvailable:\s+(\d+) kB$", meminfo, re.MULTILINE)
    return int(found.group(1)) * 1024 if found else None


def _read(path: str) -> str:
    with contextlib.suppress(OSError), open(path, encoding="ascii", errors="replace") as stream:
        return stream.read()
    return ""


def _left_in_cgroup() -> int | None:
    """The bytes below the nearest limit of this process's control groups (v2); None without a limit."""
    own = re.search(r"^0::(/.*)$", _read("/proc/self/cgroup"), re.MULTILINE)
    path = own.group(1) if own else ""
    left: list[int] = []
    while path.strip("/"):
        limit, used = (_read(f"{_CGROUPS}{path}/memory.{name}").strip() for name in ("max", "current"))
        if limit.isdecimal() and used.isdecimal():
            left.append(max(int(limit) - int(used), 0))
        path = os.path.dirname(path)
    return min(left, default=None)


def available_memory() -> int | None:
    """Bytes that may still be taken: of the host, or of the control group that limits us; None when nobody tells."""
    known = [found for found in (parse_available(_read(_MEMINFO)), _left_in_cgroup()) if found is not None]
    return min(known, default=None)
