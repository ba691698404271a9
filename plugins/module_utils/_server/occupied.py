# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who still uses a data directory: a server, or the child of a dead one that is about to rename its snapshot in."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass

from .._errors import RestoreError
from .connection import Login

_WRITES = os.O_WRONLY | os.O_RDWR


@dataclass(frozen=True)
class User:
    """A process that has the directory in use."""

    pid: int
    name: str
    how: str

    def __str__(self) -> str:
        return f"{self.name} (pid {self.pid}) {self.how}"


def _writes(pid: str, fd: str) -> bool:
    with open(f"/proc/{pid}/fdinfo/{fd}", encoding="ascii") as stream:
        for line in stream:
            if line.startswith("flags:"):
                return bool(int(line.split()[1], 8) & _WRITES)
    return False


def users_of(directory: str, only: Sequence[str] = ()) -> list[User]:
    """The processes that write a file below `directory`, and servers whose working directory it is.

    With `only`, the processes that write one of these entries of it: other instances may work in the same directory.

    Redis changes into its data directory at the start, so that an idle server and its saving child show as well. Files
    are told by device and inode: a container may have another directory under the same path, or this one elsewhere.
    """
    if not os.path.isdir(directory):
        return []
    here = os.stat(directory)
    inside = _inodes([os.path.join(directory, name) for name in only] if only else [directory])
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        if int(pid) == os.getpid():
            continue
        with contextlib.suppress(OSError):
            name = _text(f"/proc/{pid}/comm")
            cwd = os.stat(f"/proc/{pid}/cwd")
            at_home = (cwd.st_dev, cwd.st_ino) == (here.st_dev, here.st_ino)
            if not only and at_home and ("redis" in name or "valkey" in name):
                found.append(User(int(pid), name, f"works in {directory}"))
                continue
            for fd in os.listdir(f"/proc/{pid}/fd"):
                with contextlib.suppress(OSError):
                    file = os.stat(f"/proc/{pid}/fd/{fd}")
                    path = os.readlink(f"/proc/{pid}/fd/{fd}")
                    if (file.st_dev, file.st_ino) in inside and not path.endswith(".log") and _writes(pid, fd):
                        found.append(User(int(pid), name, f"writes {path}"))
                        break
    return found


def _inodes(paths: Sequence[str]) -> set[tuple[int, int]]:
    """Device and inode of the paths that exist, and of all below them."""
    found = set()
    below = [os.path.join(root, name) for p in paths for root, folders, files in os.walk(p) for name in folders + files]
    for path in (*paths, *below):
        with contextlib.suppress(OSError):
            stat = os.lstat(path)
            found.add((stat.st_dev, stat.st_ino))
    return found


def _text(path: str) -> str:
    with open(path, encoding="utf-8", errors="replace") as stream:
        return stream.read().strip()


def answers(login: Login) -> bool:
    """Whether anybody accepts connections at the address."""
    try:
        if login.unix_socket:
            with socket.socket(socket.AF_UNIX) as sock:
                sock.settimeout(login.connect_timeout)
                sock.connect(login.unix_socket)
        else:
            socket.create_connection((login.host, login.port), login.connect_timeout).close()
    except OSError:
        return False
    return True


def require_stopped(login: Login, directory: str, instance: str, wait: float) -> None:
    """Wait up to `wait` seconds until nobody serves at the address or uses the directory. Raises RestoreError."""
    deadline = time.monotonic() + wait
    pause = 0.05
    while True:
        if answers(login):
            reason = f"a server still answers at {login.where}"
        else:
            users = users_of(directory)
            if not users:
                return
            reason = "; ".join(map(str, users[:3]))
        if time.monotonic() > deadline:
            raise RestoreError(
                f"{instance} is not stopped: {reason}",
                untouched=f"The data in {directory} was not touched",
                hint="Stop it with its service manager (Restart=always undoes a SHUTDOWN), then run again",
            )
        time.sleep(pause)
        pause = min(pause * 2, 1.0)
