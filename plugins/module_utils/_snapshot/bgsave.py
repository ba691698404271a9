# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A snapshot by BGSAVE or SAVE, waited for and told apart from every other save of the server.

INFO and LASTSAVE alone deceive: LASTSAVE has seconds only, FLUSHALL kills a running save and leaves the status `ok`,
a failed save counts in rdb_saves. So: wait until no child runs and the clock has left the second of the last save, ask,
wait, and then look at the status, LASTSAVE and the file itself.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from typing import Any, Callable

from .._errors import SnapshotError
from .._server.connection import ReplyError, Server, parse_info
from .._server.facts import Facts
from .._server.logfile import reasons
from .proof import KeyWindow
from .source import FileSource, SnapshotOrigin

_GRACE = 3.0


@dataclass(frozen=True)
class DumpPlace:
    """The server's dump file and its log on this host."""

    path: str
    logfile: str | None = None


def _identity(path: str) -> tuple[int, int, int, int] | None:
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size


def _wait(done: Callable[[], bool], deadline: float, late: Callable[[], SnapshotError]) -> None:
    """Poll `done`, from every 20 ms down to twice a second, until it is true. Raises `late()` at the deadline."""
    pause = 0.02
    while not done():
        if time.monotonic() > deadline:
            raise late()
        time.sleep(pause)
        pause = min(pause * 1.5, 0.5)


def _busy(facts: Facts) -> bool:
    return any(
        facts.info.get(name, "0") != "0"
        for name in ("rdb_bgsave_in_progress", "aof_rewrite_in_progress", "aof_rewrite_scheduled")
    )


def save_to_disk(server: Server, place: DumpPlace, *, wait_timeout: float, foreground: bool = False) -> FileSource:
    """Make the server save, and open the file that came of it.

    `foreground` uses SAVE (the server answers nobody meanwhile). Raises SnapshotError with the server's reason.
    """
    where = server.login.where
    deadline = time.monotonic() + wait_timeout

    def failed(why: str) -> SnapshotError:
        full = ""
        if os.path.isdir(os.path.dirname(place.path)):
            room = os.statvfs(os.path.dirname(place.path))
            full = f"; the disk of {os.path.dirname(place.path)} is full" if room.f_bavail == 0 else ""
        return SnapshotError(
            f"the server at {where} made no snapshot: {why}{full}{reasons(place.logfile)}",
            untouched="Its earlier dump file and the backups are as they were",
            hint="Mend the cause the server names, then run again",
        )

    def idle() -> bool:
        facts = Facts(server.info())
        saved = facts.number("rdb_last_save_time")
        return not _busy(facts) and facts.number("server_time_usec") // 1_000_000 > saved

    while True:
        _wait(idle, deadline, lambda: failed(f"another save or AOF rewrite still ran after {wait_timeout:g} s"))
        old = _identity(place.path)
        before, reply, after = _ask(server, foreground)
        if not isinstance(reply, ReplyError):
            break
        if reply.hint:
            raise reply  # forbidden or renamed: nothing is wrong with the server
        if "already in progress" not in reply.message:
            raise failed(reply.message)
    seen = after
    quiet_since = 0.0

    def ended() -> bool:
        nonlocal seen, quiet_since
        seen = Facts(server.info())
        if _busy(seen):
            quiet_since = 0.0
            return False
        if not seen.flag_ok("rdb_last_bgsave_status"):
            return True
        if seen.number("rdb_last_save_time") > before.number("rdb_last_save_time"):
            return True
        quiet_since = quiet_since or time.monotonic()
        return time.monotonic() - quiet_since > _GRACE

    _wait(ended, deadline, lambda: failed(f"it had not ended after {wait_timeout:g} s"))
    if not seen.flag_ok("rdb_last_bgsave_status"):
        raise failed("its background save ended with an error")
    new = _identity(place.path)
    if new is None or new == old:
        raise failed(
            f"the save was cancelled (FLUSHALL or another command), or {place.path} is not its dump file on this host"
        )
    try:
        fd = os.open(place.path, os.O_RDONLY | os.O_CLOEXEC)
    except PermissionError:
        raise failed(f"{place.path} is not readable for this user; run as root or as the server's user") from None
    # One pipeline runs without another client between its commands: the counts on both sides are the fork's own.
    scheduled = isinstance(reply, bytes) and b"scheduled" in reply
    return FileSource(
        fd,
        SnapshotOrigin(
            method="save" if foreground else "bgsave",
            asked_at=before.number("server_time_usec") / 1e6,
            window=None if scheduled else KeyWindow(before.keys, after.keys, 0),
            keyspace=after.keyspace,
            path=place.path,
            size=os.fstat(fd).st_size,
            replid=before.info.get("master_replid", ""),
        ),
    )


def _ask(server: Server, foreground: bool) -> tuple[Facts, Any, Facts]:
    """INFO, the save, INFO, in one go; the save's reply may be a ReplyError."""
    command = ("SAVE",) if foreground else ("BGSAVE", "SCHEDULE")
    with Server(server.login, reply_timeout=None if foreground else server.reply_timeout) as patient:
        before, reply, after = patient.pipeline([("INFO",), command, ("INFO",)])
    for info in (before, after):
        if isinstance(info, ReplyError):
            raise info
    return Facts(parse_info(before)), reply, Facts(parse_info(after))
