# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How fast a live server answers before and during a drill beside it, asked by a process of its own.

That process has the priority that we had before we stepped back for the drill, and none of the drill's work holds it
up. It ends with us, however we end.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import select
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from .._errors import RedisBackupError
from .._server.connection import Login, Server
from .._server.latency import percentile

_PR_SET_PDEATHSIG = 1
_INTERVAL = 0.02
_MOST = 50_000  # samples kept of each part; then every second one goes, and they are taken half as often
_FIRST = 50
_MARK = b"m"


@dataclass
class Watched:
    """A live server that is asked all the time. `found` is there when it is over: None where it did not answer."""

    marker: int = -1
    found: dict[str, Any] | None = None

    def begin(self) -> None:
        """From here on it is the drill."""
        if self.marker >= 0:
            with contextlib.suppress(OSError):
                os.write(self.marker, _MARK)


@contextlib.contextmanager
def watched(login: Login | None) -> Iterator[Watched]:
    """Ask a live server from now to the end. Without a login, nobody is asked."""
    if login is None:
        yield Watched()
        return
    commands, marker = os.pipe()
    answers, out = os.pipe()
    parent = os.getpid()
    child = os.fork()
    if child == 0:
        _die_with(parent)
        os.close(marker)
        os.close(answers)
        _ask(login, commands, out)
    os.close(commands)
    os.close(out)
    watch = Watched(marker)
    try:
        yield watch
    finally:
        os.close(marker)
        with os.fdopen(answers, "rb") as stream:
            said = stream.read()
        os.waitpid(child, 0)
        with contextlib.suppress(ValueError):
            watch.found = json.loads(said)


def _die_with(parent: int) -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def _ask(login: Login, commands: int, out: int) -> None:
    """In the child: ask until nobody listens any more, tell, and end without any of our parent's own endings."""
    told: dict[str, Any] | None = None
    try:
        with Server(login, reply_timeout=None) as server:
            told = _asked(server, commands)
    except (RedisBackupError, OSError):
        told = None
    finally:
        with contextlib.suppress(OSError):
            if told is not None:
                os.write(out, json.dumps(told).encode())
        os._exit(0)


def _asked(server: Server, commands: int) -> dict[str, Any]:
    _one(server)  # which connects
    before: list[float] = [_one(server) for _number in range(_FIRST)]
    during: list[float] = []
    taken, interval = before, _INTERVAL
    while True:
        ready, _writable, _special = select.select([commands], [], [], interval)
        if ready and not os.read(commands, 1):
            break
        if ready:
            taken, interval = during, _INTERVAL
        taken.append(_one(server))
        if len(taken) >= _MOST:
            del taken[::2]
            interval *= 2
    return {"before": summed(before), "during": summed(during)}


def _one(server: Server) -> float:
    begun = time.perf_counter()
    server.call("PING")
    return (time.perf_counter() - begun) * 1000


def summed(milliseconds: list[float]) -> dict[str, float] | None:
    """Percentiles of what was measured; None of nothing. Pure."""
    if not milliseconds:
        return None
    shares = {"p50": 0.50, "p99": 0.99, "max": 1.0}
    found: dict[str, float] = {name: round(percentile(milliseconds, share), 3) for name, share in shares.items()}
    return {**found, "samples": len(milliseconds)}
