# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is to be played is proven first, in the server's own version: by redis-check-rdb, and by a load.

A server that gets a damaged RDB as a replica ends itself (rdbReportError in rdb.c), whatever its settings say; one that
gets an RDB of too many databases as well. So nothing is sent that the same version has not loaded before.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass

from .._config.quoting import quote_arg
from .._convert.holder import holder, new_home
from .._errors import IncompatibleError, RestoreError
from .._files import remove_tree
from .._server.memory import available_memory
from .._snapshot.checker import check_file
from .._snapshot.proof import CheckReport
from .seat import DUMP

_MARGIN = 64 * 1024 * 1024
_FACTOR = 3  # how much larger than its RDB a data set is, at most


@dataclass(frozen=True)
class Proof:
    """What a throw-away server held: keys, those that expire, and its memory in bytes."""

    keys: int
    expires: int
    memory: int


def prove(path: str, folder: str, program: str, databases: int, user: tuple[int, int], what: str) -> Proof:
    """Have a throw-away server of `program` load the RDB at `path`. Works in `folder`. Raises RedisBackupError."""
    size = os.path.getsize(path)
    available = available_memory()
    if available is not None and available < size * _FACTOR // 2 + _MARGIN:
        raise RestoreError(
            f"this host has {available} bytes of memory left, too few to prove {what} by a load",
            untouched="The live data was not touched",
            hint="Do it from a host with more memory",
        )
    home = os.path.join(folder, "proof")
    remove_tree(home)
    new_home(folder, "proof")
    try:
        # A second name of the file, which the server only reads; where that cannot be, a copy.
        try:
            os.link(path, os.path.join(home, DUMP))
        except OSError:
            shutil.copyfile(path, os.path.join(home, DUMP))
        with holder(program, home, user, databases, [f"dbfilename {quote_arg(DUMP)}", "maxmemory 0"]) as loaded:
            facts = loaded.facts()
        keys, expires = (sum(db[name] for db in facts.keyspace.values()) for name in ("keys", "expires"))
        return Proof(keys, expires, facts.number("used_memory"))
    finally:
        remove_tree(home)


def checked(path: str, program: str, what: str) -> tuple[int, int, CheckReport]:
    """The RDB at `path`, opened, its size, and what redis-check-rdb says of these very bytes. Raises IncompatibleError.

    The caller closes it.
    """
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        report = check_file(program, fd)
        size = os.fstat(fd).st_size
        if not report.ok or report.end_offset not in (-1, size):
            raise IncompatibleError(
                f"{what} in {path} is damaged: {report.words}",
                untouched="What the server holds was not touched",
                hint="Run state: staged again",
            )
        os.lseek(fd, 0, os.SEEK_SET)
        return fd, size, report
    except BaseException:
        os.close(fd)
        raise
