# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Throw-away servers: the same program with its own directory and a unix socket, for questions only a server answers.

It listens on no port, dies with its asker (Linux's parent-death signal), and its directory goes with it. What a killed
asker leaves is removed by the next one.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Callable

from .._config.quoting import quote_arg
from .._errors import ServerError
from .._files import PRIVATE_DIR, PRIVATE_FILE
from .._run import environment
from .connection import Login, Server, UnreachableError

_PREFIX = "redis_backup-throwaway"
_PR_SET_PDEATHSIG = 1
_START_TIMEOUT = 30.0


class ThrowawayFailed(ServerError):
    """The throw-away server did not start. `words` is all it printed and logged."""

    def __init__(self, program: str, words: str) -> None:
        self.words = words
        super().__init__(f"a throw-away server of {program} did not start: {words}", untouched="Nothing was changed")


@dataclass(frozen=True)
class Workplace:
    """The private directory of one throw-away server, and whom it runs as (None: as ourselves).

    It is ours while files are written into it, and that user's from `hand_over` on.
    """

    path: str
    user: tuple[int, int] | None = None

    def write(self, name: str, data: bytes) -> str:
        """Write a new file that only the server's user will be able to read; its path."""
        path = os.path.join(self.path, name)
        os.makedirs(os.path.dirname(path), mode=PRIVATE_DIR, exist_ok=True)
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, PRIVATE_FILE)
        with os.fdopen(fd, "wb") as stream:
            stream.write(data)
        return path

    def hand_over(self) -> None:
        """Give all of it to the server's user, the directory last: until then nobody can plant a link into it."""
        if not self.user:
            return
        for folder, _folders, files in os.walk(self.path, topdown=False):
            for path in [*(os.path.join(folder, name) for name in files), folder]:
                os.lchown(path, *self.user)

    @property
    def own_lines(self) -> list[str]:
        """Lines for the end of a redis.conf that keep a server inside this directory and off the network."""
        inside = {
            "dir": self.path,
            "unixsocket": os.path.join(self.path, "socket"),
            "logfile": os.path.join(self.path, "log"),
            "pidfile": os.path.join(self.path, "pid"),
        }
        lines = [f"{name} {quote_arg(path)}" for name, path in inside.items()]
        return ["port 0", "unixsocketperm 700", "daemonize no", *lines]

    @property
    def words(self) -> str:
        """What the server printed and logged so far."""
        return _words(self)


@contextlib.contextmanager
def workplace(user: tuple[int, int] | None = None, parent: str = "") -> Iterator[Workplace]:
    """A private directory for one throw-away server, in `parent`, which is a file system with room for its data.

    Without one, on a tmpfs where there is one: redis.conf may hold secrets.
    """
    parent = parent or ("/run" if os.access("/run", os.W_OK) else tempfile.gettempdir())
    _remove_orphans(parent)
    owner = user if user and os.geteuid() == 0 and user[0] != 0 else None
    path = tempfile.mkdtemp(prefix=f"{_PREFIX}-{os.getpid()}-", dir=parent)
    try:
        yield Workplace(path, owner)
    finally:
        shutil.rmtree(path, ignore_errors=True)


def _remove_orphans(parent: str) -> None:
    for name in os.listdir(parent):
        pid = name[len(_PREFIX) + 1 :].split("-")[0] if name.startswith(f"{_PREFIX}-") else ""
        path = os.path.join(parent, name)
        if pid.isdecimal() and not os.path.exists(f"/proc/{pid}"):
            with contextlib.suppress(OSError):
                if os.lstat(path).st_uid == os.geteuid() or os.geteuid() == 0:
                    shutil.rmtree(path, ignore_errors=True)


@contextlib.contextmanager
def throwaway(
    program: str, place: Workplace, conf: str, cwd: str = "/", confine: Callable[[], None] | None = None
) -> Iterator[Server]:
    """A running server of `program` with the redis.conf `conf`, which holds the workplace's own lines.

    It may still be loading its data. `confine` is called in the new process, before it gives up our rights.
    Raises ThrowawayFailed with the server's words when it does not start.
    """
    with open(place.write("output", b""), "wb") as stream:
        place.hand_over()
        process = subprocess.Popen(
            [program, conf],
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
            env=environment(),
            cwd=cwd,
            preexec_fn=lambda: _become(place.user, confine),  # noqa: PLW1509 - no threads here
        )
    server = Server(Login(unix_socket=os.path.join(place.path, "socket"), connect_timeout=5.0))
    try:
        _wait(process, place, program)
        yield server
    finally:
        server.close()
        process.kill()
        process.wait()


def _become(user: tuple[int, int] | None, confine: Callable[[], None] | None = None) -> None:
    """In the child: give up root for the server's user, then die with the parent (a change of user forgets that)."""
    if confine:
        confine()
    if user:
        os.setgroups([])
        os.setgid(user[1])
        os.setuid(user[0])
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _wait(process: subprocess.Popen[bytes], place: Workplace, program: str) -> None:
    deadline = time.monotonic() + _START_TIMEOUT
    login = Login(unix_socket=os.path.join(place.path, "socket"), connect_timeout=5.0)
    while True:
        if os.path.exists(login.unix_socket or ""):
            with contextlib.suppress(UnreachableError), Server(login) as server:
                server.pipeline([("PING",)])
                return
        if process.poll() is not None:
            raise ThrowawayFailed(program, _words(place))
        if time.monotonic() > deadline:
            raise ThrowawayFailed(program, f"it did not answer within {_START_TIMEOUT:g} s")
        time.sleep(0.01)


def _words(place: Workplace, files: Sequence[str] = ("output", "log")) -> str:
    """What the server printed and logged."""
    found = []
    for name in files:
        path = os.path.join(place.path, name)
        with contextlib.suppress(OSError), open(path, errors="replace", opener=_own) as stream:
            found.append(stream.read())
    return "\n".join(found)


def _own(path: str, flags: int) -> int:
    """Open a file of the server's user, who may have put a link or a pipe in its place."""
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
