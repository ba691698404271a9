# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Kill a module in the middle of its work: some time after its first change to files, or before its n-th change.

Most of a module's life is the start of Python, so an instant drawn from all of it would seldom hit. Python's audit
events tell, from inside the module's process and without a change to it, when a file or folder is about to change.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support.modules import TREE, finish, start_module

_WATCHER = '''
import os, signal, sys, time

_roots = tuple(os.environ["WATCHED_ROOTS"].split(os.pathsep))
_kill_at = int(os.environ["WATCHED_KILL_AT"])
_note = os.environ["WATCHED_NOTE"]
_count = 0
_EVENTS = ("os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.link", "os.chmod", "os.chown", "os.truncate")
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT

def _watch(event, args):
    global _count
    if event not in _EVENTS and not (event == "open" and isinstance(args[2], int) and args[2] & _WRITES):
        return
    path = args[1] if event in ("os.rename", "os.link") else args[0]
    if not isinstance(path, str) or not path.startswith(_roots):
        return
    _count += 1
    if _count == _kill_at:
        os.killpg(0, signal.SIGKILL)
    fd = os.open(_note, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(fd, f"{time.monotonic()} {event} {path}\\n".encode())
    os.close(fd)

sys.addaudithook(_watch)
'''


@dataclass(frozen=True)
class Work:
    """What a module did to files when it ran to its end: its changes in words, and the seconds from first to end."""

    changes: list[str]
    seconds: float


@contextlib.contextmanager
def _watched(roots: Sequence[Path], kill_at: int) -> Iterator[tuple[dict[str, str], Path]]:
    """The environment that makes a module note its changes below `roots`, and the file with the notes."""
    with tempfile.TemporaryDirectory(prefix="redis-backup-watch-") as folder:
        Path(folder, "sitecustomize.py").write_text(_WATCHER)
        note = Path(folder, "note")
        yield {
            "PYTHONPATH": f"{folder}{os.pathsep}{TREE}",
            "PYTHONDONTWRITEBYTECODE": "1",
            "WATCHED_ROOTS": os.pathsep.join(map(str, roots)),
            "WATCHED_KILL_AT": str(kill_at),
            "WATCHED_NOTE": str(note),
        }, note


def _reap(process: subprocess.Popen[bytes]) -> None:
    """Read what a killed module may have said, so that its pipes are closed."""
    process.communicate(timeout=60)


def watch(name: str, params: Mapping[str, Any], roots: Sequence[Path]) -> Work:
    """Run a module to its end. Raises ModuleFailed."""
    with _watched(roots, 0) as (environment, note):
        finish(start_module(name, params, env=environment), name)
        ended = time.monotonic()
        lines = note.read_text().splitlines()
        return Work([line.partition(" ")[2] for line in lines], ended - float(lines[0].split()[0]))


def kill_at_change(name: str, params: Mapping[str, Any], roots: Sequence[Path], number: int) -> None:
    """Run a module that kills its process group right before its change `number` (from 1) below `roots`."""
    with _watched(roots, number) as (environment, _note):
        process = start_module(name, params, env=environment)
        _reap(process)
        assert process.returncode == -signal.SIGKILL, f"{name} ended {process.returncode} before change {number}"


@contextlib.contextmanager
def _under_way(
    name: str, params: Mapping[str, Any], roots: Sequence[Path], seconds: float
) -> Iterator[subprocess.Popen[bytes]]:
    """A module `seconds` after its first change below `roots`."""
    with _watched(roots, 0) as (environment, note):
        process = start_module(name, params, env=environment)
        while not note.exists() and process.poll() is None:
            time.sleep(0.001)
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            time.sleep(0.0005)
        yield process


def kill_after(
    name: str, params: Mapping[str, Any], roots: Sequence[Path], seconds: float, *, group: bool = True
) -> subprocess.Popen[bytes]:
    """Kill a module `seconds` after its first change below `roots`, with all it started or (`group=False`) alone."""
    with _under_way(name, params, roots, seconds) as process:
        with contextlib.suppress(ProcessLookupError):
            (os.killpg if group else os.kill)(process.pid, signal.SIGKILL)
        _reap(process)
        return process


def kill_when(name: str, params: Mapping[str, Any], condition: Callable[[], bool]) -> None:
    """Kill a module with all it started, as soon as something holds that it brings about."""
    process = start_module(name, params)
    while not condition():
        assert process.poll() is None, f"{name} ended {process.returncode} before"
        time.sleep(0.001)
    os.killpg(process.pid, signal.SIGKILL)
    _reap(process)
    assert process.returncode == -signal.SIGKILL, f"{name} ended {process.returncode} before it was killed"


def act_after(
    name: str, params: Mapping[str, Any], roots: Sequence[Path], seconds: float, act: Callable[[], None]
) -> dict[str, Any]:
    """Do something else `seconds` after a module's first change below `roots`, and return the module's result.

    Raises ModuleFailed.
    """
    with _under_way(name, params, roots, seconds) as process:
        act()
        return finish(process, name)


def members(process: subprocess.Popen[bytes]) -> list[str]:
    """The living processes of a module's process group, by name."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                name, _bracket, rest = (entry / "stat").read_text().rpartition(")")
                state, _parent, group = rest.split()[:3]
                if int(group) == process.pid and state not in "ZX":
                    found.append(name.partition("(")[2])
    return found
