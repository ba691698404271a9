# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which files make a server load a restored RDB at its next start. Pure.

With the AOF on, Redis ignores dump.rdb. From 7.0 on it loads the AOF directory's manifest: an RDB as its base and no
increments is whole. 6.2 loads a single AOF file, which may begin with an RDB. A base without its manifest would be
overwritten by an empty one, and a missing AOF directory gives a server with no keys that then saves over dump.rdb.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from .._config.quoting import quote_arg
from .._server.paths import Paths


@dataclass(frozen=True)
class LinkFile:
    """A name for the restored RDB below the data directory. `copy` where the server appends to it (6.2's AOF)."""

    name: str
    copy: bool = False


@dataclass(frozen=True)
class TextFile:
    """A small file below the data directory."""

    name: str
    text: str


@dataclass(frozen=True)
class DataLayout:
    """The files to stage, and the top-level names to swap in. `aof_only` where the server will load its AOF alone."""

    rdb: tuple[LinkFile, ...]
    texts: tuple[TextFile, ...] = ()
    aof_only: bool = False

    @property
    def top_names(self) -> list[str]:
        names = [f.name.split("/")[0] for f in self.rdb] + [f.name.split("/")[0] for f in self.texts]
        return list(dict.fromkeys(names))

    @property
    def copies(self) -> int:
        """How many whole files of the RDB's size are needed."""
        return 1 + sum(1 for f in self.rdb[1:] if f.copy or self.rdb[0].copy)


def aof_at_next_start(
    running: Mapping[str, str], at_start: Mapping[str, str], *, config_known: bool
) -> tuple[bool, bool]:
    """Whether the next start will load (the AOF, the RDB file); both where it cannot be told.

    What the server will read counts, not what was set live. When redis.conf says one thing and the running server
    another, a command line that we do not see may be why.
    """
    now_on = running.get("appendonly")
    if not config_known:
        return (now_on == "yes", now_on != "yes") if now_on else (True, True)
    then_on = at_start.get("appendonly", "no").lower()
    if now_on is not None and now_on != then_on:
        return True, True
    return then_on == "yes", then_on != "yes"


def data_layout(paths: Paths, version: tuple[int, ...], *, aof: bool, rdb: bool) -> DataLayout:
    """The files that hold the restored RDB for a server of `version` that will load the AOF, the RDB, or either."""
    links: list[LinkFile] = []
    texts: list[TextFile] = []
    if aof and version >= (7, 0):
        base = f"{paths.appendfilename}.1.base.rdb"
        links.append(LinkFile(f"{paths.appenddirname}/{base}"))
        texts.append(
            TextFile(
                f"{paths.appenddirname}/{paths.appendfilename}.manifest", f"file {quote_arg(base)} seq 1 type b\n"
            )
        )
    elif aof:
        links.append(LinkFile(paths.appendfilename, copy=True))
    if rdb:
        links.append(LinkFile(paths.dbfilename))
    return DataLayout(tuple(links), tuple(texts), aof and not rdb)
