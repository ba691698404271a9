# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the running server keeps its data, and where the next start will look for it. Only looks.

redis.conf may have been edited by hand since the server started, or values set without it: as long as that is so, a
change of appendonly, or a restart, could make the server miss its data.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Collection, Sequence

from .._errors import ConfigError
from .._server.occupied import users_of
from .._server.paths import Paths
from .._server.process import is_child

WITH_AOF = ("appendfilename", "appenddirname")
WITHOUT_AOF = ("dbfilename",)
_NAMES = ("dir", *WITHOUT_AOF, *WITH_AOF)


def moved_by(running: Paths, changes: Sequence[tuple[str, str]]) -> Paths:
    """The paths of the running server after values (name, new) were set."""
    return dataclasses.replace(running, **{name: new for name, new in changes if name in ("dir", "dbfilename")})


def strays(running: Paths, after: Paths) -> tuple[str, ...]:
    """The directives of which the next start will have other values. A relative `dir` says nothing."""
    if not (os.path.isabs(after.dir) and os.path.isabs(running.dir)):
        after = dataclasses.replace(after, dir=running.dir)
    differing = [name for name in _NAMES if getattr(running, name) != getattr(after, name)]
    if "dir" in differing and os.path.realpath(running.dir) == os.path.realpath(after.dir):
        differing.remove("dir")
    return tuple(differing)


def _data_paths(paths: Paths) -> list[str]:
    """The files by which a server finds its data; empty texts for those it has not."""
    return [paths.dump, paths.aof_file, paths.manifest, paths.nodes_file]


def require_own_aof(title: str, paths: Paths, pid: int) -> None:
    """Raise ConfigError where another server writes the AOF that this one, of process `pid`, would begin.

    Servers that share a directory often differ in `dbfilename` alone: two with one `appendfilename` lose their keys.
    """
    folder = os.path.join(paths.dir, paths.appenddirname)
    found = os.listdir(folder) if os.path.isdir(folder) else []
    names = [os.path.join(paths.appenddirname, name) for name in found if name.startswith(f"{paths.appendfilename}.")]
    users = users_of(paths.dir, [paths.appendfilename, *names])
    users = [user for user in users if user.pid != pid and not is_child(user.pid)]  # that of a dead server is no matter
    if users:
        raise ConfigError(
            f"{title}: another server has its AOF where this one would begin one: {users[0]}",
            untouched="Nothing was changed",
            hint="Give each server a dir, or an appendfilename, of its own",
        )


def require_vacant(now: Paths, new: Paths, *, carried: bool = False, ours: Collection[str] = ()) -> None:
    """Raise ConfigError for data of somebody else where this server's is to be: a save there would replace it.

    `carried`: files that are there now are copied, and compared by whoever does so. `ours` are files that may be there.
    """
    present = [os.path.realpath(path) for path in _data_paths(now) if path]
    for path, old in zip(_data_paths(new), _data_paths(now)):
        if not os.path.isabs(path) or not os.path.exists(path) or path in ours or os.path.realpath(path) in present:
            continue
        if not (carried and old and os.path.exists(old)):
            raise ConfigError(
                f"{path} exists already and is not the data of this server, which would replace it",
                untouched="Nothing was changed",
                hint="Move it away, or choose another place",
            )
