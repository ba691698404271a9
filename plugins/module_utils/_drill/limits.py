# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a drill may take of its host: it steps back behind everything else, with all that it starts.

Where there is systemd and we are root, this process moves into a scope of its own, whose quota of CPU and bound of
memory the kernel holds for it and its children together. Elsewhere it keeps to so many processors. Memory of the
throw-away server is bounded by its address space in any case, and files by their size.
"""

from __future__ import annotations

import contextlib
import ctypes
import math
import os
import platform
import resource
import time
from dataclasses import dataclass

from .._errors import ProgramError
from .._run import find_program, run

_SYSTEMD = "/run/systemd/system"
_MANAGER = ("org.freedesktop.systemd1", "/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager")
_OWN = 512 * 1024 * 1024  # what we and the programs that read a backup take beside the server's data
_MARGIN = 64 * 1024 * 1024
_PATIENCE = 5.0
_IOPRIO_SET = {"x86_64": 251, "aarch64": 30, "riscv64": 30, "ppc64le": 273, "s390x": 282}
_IDLE = 3 << 13


@dataclass(frozen=True)
class Limits:
    """CPU in percent of one processor, memory and disk in bytes (None: as much as there is), and niceness."""

    cpu_percent: int = 100
    memory: int | None = None
    disk: int | None = None
    nice: int = 10


def step_back(limits: Limits) -> list[str]:
    """Bound this process and all that it will start. How, in words."""
    told = [f"niceness {os.nice(limits.nice)}"]
    if _idle_disk():
        told.append("the disk when nobody else wants it")
    if _in_scope(limits):
        told.append(f"a systemd scope with {limits.cpu_percent} % of a processor")
    else:
        kept = keep_to(sorted(os.sched_getaffinity(0)), limits.cpu_percent)
        os.sched_setaffinity(0, kept)
        told.append(f"{len(kept)} of {os.cpu_count() or len(kept)} processors")
    if limits.disk is not None:
        _soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        bound = limits.disk + _MARGIN
        resource.setrlimit(resource.RLIMIT_FSIZE, (bound if hard < 0 else min(bound, hard), hard))
    return told


def keep_to(processors: list[int], cpu_percent: int) -> list[int]:
    """So many of the processors, the last ones: others are more often bound to the first. Pure."""
    return processors[-max(math.ceil(cpu_percent / 100), 1) :]


def _idle_disk() -> bool:
    number = _IOPRIO_SET.get(platform.machine())
    return number is not None and ctypes.CDLL(None).syscall(number, 1, 0, _IDLE) == 0


def _in_scope(limits: Limits) -> bool:
    """Whether this process now lives in a scope of its own."""
    if os.geteuid() != 0 or not os.path.isdir(_SYSTEMD):
        return False
    name = f"redis-backup-drill-{os.getpid()}.scope"
    wanted = [("PIDs", "au", "1", str(os.getpid())), ("CPUQuotaPerSecUSec", "t", str(limits.cpu_percent * 10_000))]
    if limits.memory is not None:
        wanted.append(("MemoryMax", "t", str(limits.memory + _OWN)))
    properties = [word for each in wanted for word in each]
    arguments = [name, "fail", str(len(wanted)), *properties, "0"]
    try:
        busctl = find_program("busctl")
        run([busctl, "call", *_MANAGER, "StartTransientUnit", "ssa(sv)a(sa(sv))", *arguments], timeout=_PATIENCE)
    except ProgramError:
        return False
    return _moved(name)


def _moved(name: str) -> bool:
    """Whether systemd has moved us, which it does when it has answered."""
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), open("/proc/self/cgroup", encoding="utf-8") as stream:
            if name in stream.read():
                return True
        time.sleep(0.01)
    return False
