# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A throw-away server that holds a whole data set, and lets nothing of it expire.

It is a replica of a primary that cannot be (port 0 of this host): a replica neither drops what has expired when it
loads nor removes it later, it only hides it from readers. So what was in the backup is what comes out, however long it
takes.
"""

from __future__ import annotations

import contextlib
import os
import stat
import time
from collections.abc import Iterator, Sequence

from .._errors import ServerError
from .._files import PRIVATE_DIR
from .._server.connection import Server, UnreachableError, parse_info
from .._server.facts import Facts
from .._server.logfile import telling_lines
from .._server.throwaway import ThrowawayFailed, Workplace, throwaway, workplace

_NOISE = ("SYNC", "MASTER", "PRIMARY", "overcommit_memory", "Transparent Huge", "TCP backlog")
_LINES = (
    "replicaof 127.0.0.1 0",
    "replica-serve-stale-data yes",
    "replica-read-only yes",
    'save ""',
    "loglevel warning",
    "aof-use-rdb-preamble no",
    "aof-load-truncated no",
    "auto-aof-rewrite-percentage 0",
    "appendfsync no",
    "dbfilename dump.rdb",
    # When memory runs short, this server goes first.
    "oom-score-adj absolute",
    "oom-score-adj-values 1000 1000 1000",
    "dir .",
)


class HolderFailed(ServerError):
    """The throw-away server refused the data, or died over it."""

    def __init__(self, program: str, what: str, words: str) -> None:
        lines = [line for line in telling_lines(words, 50) if not any(noise in line for noise in _NOISE)]
        said = " | ".join(lines[-3:]) or "it said nothing; the kernel ends it when memory runs out"
        super().__init__(f"a throw-away server of {program} {what}: {said}", untouched="The live data was not touched")


class Holder:
    """A running throw-away server with its data set loaded; its files lie in `home`."""

    def __init__(self, program: str, server: Server, place: Workplace, home: str) -> None:
        self.program = program
        self.server = server
        self.home = home
        self._place = place

    def failed(self, what: str) -> HolderFailed:
        """The error that tells what it said."""
        return HolderFailed(self.program, what, self._place.words)

    def facts(self) -> Facts:
        return Facts(parse_info(self.server.call("INFO")))

    def wait(self, field: str, doing: str) -> Facts:
        """Wait until the INFO fields named in `field` are 0. Raises HolderFailed when the server dies meanwhile."""
        pause = 0.01
        while True:
            try:
                facts = self.facts()
            except UnreachableError:
                raise self.failed(f"ended while it was {doing}") from None
            if all(value == "0" for name, value in facts.info.items() if name in field.split()):
                return facts
            time.sleep(pause)
            pause = min(pause * 1.5, 0.5)

    def rewrite(self) -> str:
        """Have the AOF written anew as commands; its path."""
        self.server.call("BGREWRITEAOF")
        facts = self.wait("aof_rewrite_in_progress aof_rewrite_scheduled", "rewriting its data as commands")
        if not facts.flag_ok("aof_last_bgrewrite_status"):
            raise self.failed("could not write its data as commands")
        folder = os.path.join(self.home, "appendonlydir")
        names = [os.path.join(folder, n) for n in os.listdir(folder)] if os.path.isdir(folder) else []
        return next((path for path in names if path.endswith(".base.aof")), os.path.join(self.home, "appendonly.aof"))


@contextlib.contextmanager
def holder(
    program: str, home: str, user: tuple[int, int] | None, databases: int, lines: Sequence[str]
) -> Iterator[Holder]:
    """A server of `program` that has loaded what lies in `home`; it runs as `user` where we may choose.

    The socket lies elsewhere (paths of sockets must be short). Nobody but root can walk to `home`, so the server starts
    in it. Raises HolderFailed with its words.
    """
    with workplace(user) as place:
        own = [line for line in place.own_lines if not line.startswith("dir ")]
        text = "\n".join([*own, *_LINES, f"databases {databases}", *lines]) + "\n"
        conf = place.write("conf", text.encode())
        if place.user:
            for path in [*(os.path.join(home, name) for name in os.listdir(home)), home]:
                os.lchown(path, *place.user)
        try:
            with throwaway(program, place, conf, cwd=home) as server:
                server.reply_timeout = None
                found = Holder(program, server, place, home)
                found.wait("loading", "loading the data")
                try:
                    yield found
                except UnreachableError:
                    raise found.failed("ended") from None
        except ThrowawayFailed as error:
            raise HolderFailed(program, "did not load the data", error.words) from None


def new_home(parent: str, name: str) -> str:
    """A new directory for the files of one throw-away server."""
    path = os.path.join(parent, name)
    os.makedirs(path, PRIVATE_DIR)
    return path


def open_plain(path: str) -> int:
    """Open a regular file that the server's user has made; what it may have put in its place is not followed."""
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    found = os.fstat(fd)
    if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1:
        os.close(fd)
        raise ServerError(f"{path} is no plain file", untouched="The live data was not touched")
    return fd
