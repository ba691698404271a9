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


def _busy(facts: Facts) -> bool:
    return any(
        facts.info.get(name, "0") != "0"
        for name in ("rdb_bgsave_in_progress", "aof_rewrite_in_progress", "aof_rewrite_scheduled")
    )


class DiskSave:
    """One save that the server was asked for. `origin` is known when the asking has succeeded.

    `foreground` uses SAVE (the server answers nobody meanwhile). Raises SnapshotError with the server's reason.
    """

    def __init__(self, server: Server, place: DumpPlace, *, wait_timeout: float, foreground: bool = False) -> None:
        self.place = place
        self._server = server
        self._wait_timeout = wait_timeout
        self._deadline = time.monotonic() + wait_timeout
        self._quiet_since = 0.0
        while True:
            self._wait(self._idle, f"another save or AOF rewrite still ran after {wait_timeout:g} s")
            self._old = _identity(place.path)
            before, reply, after = _ask(server, foreground)
            if not isinstance(reply, ReplyError):
                break
            if reply.hint:
                raise reply  # forbidden or renamed: nothing is wrong with the server
            if "already in progress" not in reply.message:
                raise self.failed(reply.message)
        self._before = before
        self._seen = after
        # One pipeline runs without another client between its commands: the counts on both sides are the fork's own.
        scheduled = isinstance(reply, bytes) and b"scheduled" in reply
        self.origin = SnapshotOrigin(
            method="save" if foreground else "bgsave",
            asked_at=before.number("server_time_usec") / 1e6,
            window=None if scheduled else KeyWindow(before.keys, after.keys, 0),
            keyspace=after.keyspace,
            path=place.path,
            replid=before.info.get("master_replid", ""),
        )

    def failed(self, why: str) -> SnapshotError:
        """The error for a save that came to nothing, with what the server's log and disk tell."""
        full = ""
        if os.path.isdir(os.path.dirname(self.place.path)):
            room = os.statvfs(os.path.dirname(self.place.path))
            full = f"; the disk of {os.path.dirname(self.place.path)} is full" if room.f_bavail == 0 else ""
        return SnapshotError(
            f"the server at {self._server.login.where} made no snapshot: {why}{full}{reasons(self.place.logfile)}",
            untouched="Its earlier dump file and the backups are as they were",
            hint="Mend the cause the server names, then run again",
        )

    def ended(self) -> bool:
        """Whether the server is done, well or not. Raises SnapshotError when it has taken too long."""
        seen = self._seen = Facts(self._server.info())
        if _busy(seen):
            self._quiet_since = 0.0
            self._in_time()
            return False
        if not seen.flag_ok("rdb_last_bgsave_status"):
            return True
        if seen.number("rdb_last_save_time") > self._before.number("rdb_last_save_time"):
            return True
        self._quiet_since = self._quiet_since or time.monotonic()
        return time.monotonic() - self._quiet_since > _GRACE

    def wait(self) -> FileSource:
        """Wait for the save, and open the file that came of it."""
        self._wait(self.ended, self._late)
        self.require_good()
        try:
            fd = os.open(self.place.path, os.O_RDONLY | os.O_CLOEXEC)
        except PermissionError:
            raise self.failed(
                f"{self.place.path} is not readable for this user; run as root or as the server's user"
            ) from None
        self.origin.size = os.fstat(fd).st_size
        return FileSource(fd, self.origin)

    def require_good(self) -> tuple[int, int]:
        """The device and inode of the new dump file, once `ended`. Raises SnapshotError when there is none."""
        if not self._seen.flag_ok("rdb_last_bgsave_status"):
            raise self.failed("its background save ended with an error")
        new = _identity(self.place.path)
        if new is None or new == self._old:
            raise self.failed(
                "the save was cancelled (FLUSHALL or another command), or "
                f"{self.place.path} is not its dump file on this host"
            )
        return new[:2]

    @property
    def server_pid(self) -> int:
        """The server's process, in its own numbering."""
        return self._before.number("process_id")

    @property
    def _late(self) -> str:
        return f"it had not ended after {self._wait_timeout:g} s"

    def _in_time(self) -> None:
        if time.monotonic() > self._deadline:
            raise self.failed(self._late)

    def _idle(self) -> bool:
        facts = Facts(self._server.info())
        saved = facts.number("rdb_last_save_time")
        return not _busy(facts) and facts.number("server_time_usec") // 1_000_000 > saved

    def _wait(self, done: Callable[[], bool], late: str) -> None:
        """Poll `done`, from every 20 ms down to twice a second, until it is true. Raises at the deadline."""
        pause = 0.02
        while not done():
            if time.monotonic() > self._deadline:
                raise self.failed(late)
            time.sleep(pause)
            pause = min(pause * 1.5, 0.5)


def _ask(server: Server, foreground: bool) -> tuple[Facts, Any, Facts]:
    """INFO, the save, INFO, in one go; the save's reply may be a ReplyError."""
    command = ("SAVE",) if foreground else ("BGSAVE", "SCHEDULE")
    with Server(server.login, reply_timeout=None if foreground else server.reply_timeout) as patient:
        before, reply, after = patient.pipeline([("INFO",), command, ("INFO",)])
    for info in (before, after):
        if isinstance(info, ReplyError):
            raise info
    return Facts(parse_info(before)), reply, Facts(parse_info(after))
