# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Links that are made while a pass hangs in its repository, so that rewrites meanwhile remove nothing for good.

A repository that does not answer (a share whose server is gone, packets that are dropped) keeps a pass for minutes, and
two rewrites in that time would remove an increment that nobody held. These links lie in `waiting/<inode>-<name>` beside
those of the epochs. They need no state; the next pass takes them as increments of the past.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Collection

from .._server.paths import Paths
from .._times import now
from .look import Files, Look, Seen, look_at, open_plain
from .spool import WAITING, Spool

_NAME = re.compile(r"(\d+)-(.+\.(\d+)\.incr\.aof)")


def hold_waiting(paths: Paths, layout: str, instance: str, *, bound: int, least_free: float) -> None:
    """Have links to all increments that there are, within the bound of the spool. Raises RedisBackupError, OSError."""
    spool = Spool(paths.dir, instance)
    held = {pin.key for pin in spool.pins()}
    if not held:
        return  # nothing was archived yet
    with Files() as files:
        look = look_at(paths, layout, files)
        there = set(waiting_names(spool))
        for seen in look.increments:
            name = f"{seen.inode}-{seen.name}"
            if seen.key not in held and name not in there and _NAME.fullmatch(name):
                spool.link((WAITING, name), files.fds[seen.key])
    disk = os.statvfs(paths.dir)
    if spool.room() > bound or disk.f_bavail < disk.f_blocks * least_free:
        drop_waiting(spool, waiting_names(spool))


def take_waiting(spool: Spool, look: Look, beyond: int | None, files: Files) -> list[Seen]:
    """Increments that only such links hold, with a number beyond the last that is followed; opened into `files`."""
    known = {(seen.name, seen.inode) for seen in (*look.past, *look.increments)}
    found: list[Seen] = []
    for name in waiting_names(spool):
        match = _NAME.fullmatch(name)
        if match is None or beyond is None or int(match[3]) <= beyond or (match[2], int(match[1])) in known:
            continue
        with contextlib.suppress(OSError):
            before = now()
            fd = open_plain(os.path.join(spool.root, WAITING, name))
            stat = os.fstat(fd)
            files.add((match[2], stat.st_ino), fd)
            found.append(Seen(match[2], "incr", int(match[3]), stat.st_ino, stat.st_size, before, now()))
    return sorted(found, key=lambda seen: seen.seq)


def drop_waiting(spool: Spool, names: Collection[str]) -> None:
    """Remove these links: others hold the files now, or nobody needs them."""
    for name in names:
        spool.remove((WAITING, name))
    with contextlib.suppress(OSError):
        os.rmdir(os.path.join(spool.root, WAITING))


def waiting_names(spool: Spool) -> list[str]:
    """The names of these links."""
    try:
        return sorted(os.listdir(os.path.join(spool.root, WAITING)))
    except (FileNotFoundError, NotADirectoryError):
        return []
