# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Time and memory of a module or a shell command, with every program that it starts."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from support.modules import finish, start_module

_INTERVAL = 0.02


@dataclass(frozen=True)
class Measured:
    """Seconds, and the largest sum of proportional set sizes (PSS) seen, in bytes."""

    seconds: float
    peak: int
    result: dict[str, Any]


def pss(pid: int) -> int:
    """Bytes of a process's proportional set size; 0 when it has ended."""
    try:
        with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as stream:
            return next(int(line.split()[1]) * 1024 for line in stream if line.startswith("Pss:"))
    except (OSError, StopIteration):
        return 0


def family(leader: int) -> list[int]:
    """A process and all that came of it, in whatever group or session they are.

    A child that is about to become another program still is its parent, memory and all: it is left out.
    """
    children: dict[int, list[int]] = {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            parent = int(_read(pid, "stat").rpartition(")")[2].split()[1])
            if _read(pid, "cmdline") != _read(str(parent), "cmdline"):
                children.setdefault(parent, []).append(int(pid))
    found, todo = [], [leader]
    while todo:
        found.append(todo.pop())
        todo += children.get(found[-1], [])
    return found


def _read(pid: str, name: str) -> str:
    with open(f"/proc/{pid}/{name}", encoding="utf-8", errors="replace") as stream:
        return stream.read()


def watched(process: subprocess.Popen[bytes], watch: Callable[[], None] | None = None) -> int:
    """Wait for a process; the peak of the memory of all that came of it. `watch` is called beside."""
    peak = 0
    while process.poll() is None:
        peak = max(peak, sum(map(pss, family(process.pid))))
        if watch:
            watch()
        time.sleep(_INTERVAL)
    return peak


def module(name: str, params: dict[str, Any], watch: Callable[[], None] | None = None) -> Measured:
    """A module's run. Raises when it fails."""
    begun = time.monotonic()
    process = start_module(name, params)
    peak = watched(process, watch)
    taken = time.monotonic() - begun
    return Measured(taken, peak, finish(process, name))


def shell(command: str, environment: dict[str, str] | None = None) -> Measured:
    """A shell command's run, with pipefail. Raises CalledProcessError when it fails."""
    begun = time.monotonic()
    process = subprocess.Popen(
        ["bash", "-c", f"set -euo pipefail; {command}"],
        env={**os.environ, **(environment or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    peak = watched(process)
    taken = time.monotonic() - begun
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return Measured(taken, peak, {})
