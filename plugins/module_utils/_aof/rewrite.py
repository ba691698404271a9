# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The AOF rewritten by BGREWRITEAOF, waited for, and proven by the files.

INFO alone deceives: a rewrite that was killed by SIGUSR1 or by CONFIG SET appendonly leaves the status `ok`, and one
that failed earlier leaves `err` until the next has ended. So: wait until no child runs, look at the base file, ask,
wait, look at the status, and then at the base file again: it must be another, of the size that INFO tells.
"""

from __future__ import annotations

import os
import sys
import time
from dataclasses import dataclass
from typing import Any, Callable

from .._errors import AofError, ServerError
from .._server.connection import ReplyError
from .._server.facts import Facts
from .._server.instance import Instance
from .._server.logfile import reasons
from .parts import open_plain, read_manifest

_BUSY = ("rdb_bgsave_in_progress", "aof_rewrite_in_progress", "aof_rewrite_scheduled")
_UNTOUCHED = "The AOF that was there stays in use"


@dataclass(frozen=True)
class Base:
    """The file that a rewrite replaces. `seq` is 0 for the one file of servers before 7.0."""

    name: str
    seq: int
    inode: tuple[int, int]
    size: int


@dataclass(frozen=True)
class Rewritten:
    """A proven rewrite; `base` is None where this host cannot see the server's files. Sizes are bytes."""

    base: Base | None
    base_size: int
    size_before: int
    size_after: int
    duration_s: float

    def document(self) -> dict[str, Any]:
        """As the module returns it."""
        return {
            "base": self.base.name if self.base else None,
            "base_size": self.base_size,
            "size_before": self.size_before,
            "size_after": self.size_after,
            "duration_s": round(self.duration_s, 3),
        }


def require_aof_on(instance: Instance) -> Facts:
    """The facts of a running server that writes an AOF. Raises ServerError."""
    facts = instance.require_running()
    if facts.info.get("aof_enabled") != "1":
        raise ServerError(
            f"the AOF of {instance.title} is off (appendonly no): there is nothing to rewrite",
            untouched="Nothing was changed",
            hint="Switch it on first, by redis_config with appendonly: true",
        )
    return facts


def find_base(instance: Instance) -> Base | None:
    """The base file of the AOF as it lies on this host; None when it is not to be seen here."""
    paths = instance.paths
    if not paths.dir or not os.path.isdir(paths.dir):
        return None
    name, seq, path = paths.appendfilename, 0, paths.aof_file
    try:
        open_plain(paths.manifest).close()
        base = read_manifest(paths.manifest).base
        if base is None:
            return None
        name, seq, path = base.name, base.seq, os.path.join(os.path.dirname(paths.manifest), base.name)
    except FileNotFoundError:
        pass
    except (OSError, AofError):
        return None
    try:
        found = os.stat(path)
    except OSError:
        return None
    return Base(name, seq, (found.st_dev, found.st_ino), found.st_size)


def why_not_new(before: Base | None, after: Base | None, limit: int, multi: bool) -> str | None:
    """The reason why `after` is no rewrite of `before`; None when it is. Pure.

    With `multi` the base has a number that must have risen; else the one file, which grows at once, must be another. It
    may not be longer than `limit`, the whole AOF by INFO.
    """
    if after is None:
        return None if before is None else "the base file is gone"
    if before is not None:
        if multi and after.seq <= before.seq:
            return f"the base file is still {after.name}"
        if not multi and after.inode == before.inode:
            return f"{after.name} is still the same file"
    if after.size > limit:
        return f"{after.name} is {after.size} bytes long, but the server tells of {limit}"
    return None


def rewrite_aof(instance: Instance, wait_timeout: float) -> Rewritten:
    """Have the server rewrite its AOF, and prove that it did. Raises ServerError with the server's reason."""
    server = instance.server
    deadline = time.monotonic() + wait_timeout

    def failed(why: str) -> ServerError:
        return ServerError(
            f"the AOF of {instance.title} was not rewritten: {why}{reasons(instance.paths.logfile)}",
            untouched=_UNTOUCHED,
            hint="Mend the cause the server names, then run again",
        )

    def facts() -> Facts:
        return Facts(server.info())

    def idle() -> bool:
        return not _busy(facts())

    while True:
        _wait(idle, deadline, lambda: failed(f"another save or rewrite still ran after {wait_timeout:g} s"))
        first, before = require_aof_on(instance), find_base(instance)
        started = time.monotonic()
        try:
            first = facts()
            server.call("BGREWRITEAOF")
            break
        except ReplyError as error:
            if error.hint:
                raise
            if "already in progress" not in error.message:
                raise failed(error.message) from None
    _wait(idle, deadline, lambda: failed(f"it had not ended after {wait_timeout:g} s"))
    last = facts()
    if last.info.get("aof_enabled") != "1":
        raise failed("the AOF was switched off meanwhile")
    if not last.flag_ok("aof_last_bgrewrite_status"):
        raise failed("it ended with an error")
    after = find_base(instance)
    multi = instance.version()[1] >= (7, 0)
    base_size = after.size if multi and after else last.number("aof_base_size")
    why = why_not_new(before, after, last.number("aof_current_size") if multi else sys.maxsize, multi)
    if why:
        raise failed(f"{why}, so it was cancelled or went elsewhere")
    return Rewritten(
        after,
        base_size,
        first.number("aof_current_size"),
        last.number("aof_current_size"),
        time.monotonic() - started,
    )


def _busy(facts: Facts) -> bool:
    return any(facts.info.get(name, "0") != "0" for name in _BUSY)


def _wait(done: Callable[[], bool], deadline: float, late: Callable[[], ServerError]) -> None:
    """Poll `done`, from every 20 ms down to twice a second, until it is true. Raises `late()` at the deadline."""
    pause = 0.02
    while not done():
        if time.monotonic() > deadline:
            raise late()
        time.sleep(pause)
        pause = min(pause * 1.5, 0.5)
