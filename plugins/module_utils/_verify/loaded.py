# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A throw-away server that has loaded data, within what this host can spare for it.

What is loaded is the caller's: a stored backup to be proven, or one from which keys are taken.
"""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .._errors import DamagedError, ServerError
from .._run import last_words
from .._server.connection import Server, UnreachableError, parse_info
from .._server.facts import Facts, parse_modules
from .._server.throwaway import ThrowawayFailed, Workplace, throwaway, workplace
from .host import DEFAULT_PLACE, confinement, require_bytes, require_place, require_within
from .request import Host

DUMP = "dump.rdb"
AOF_DIR, AOF_FILE = "appendonlydir", "appendonly.aof"  # as every server calls them by itself
DATABASES = 1024
_AOF_LINES = ["appendonly yes", "aof-load-truncated no", "auto-aof-rewrite-percentage 0", "appendfsync no"]
_PAUSE = 0.05
# A short read it cannot be: redis-check-rdb has just read all of it.
_OUT_OF_MEMORY = re.compile(
    r"Out Of Memory|Short read or OOM|failed allocating|Cannot allocate memory|Can't allocate", re.IGNORECASE
)
_BLAMES_THE_FILE = re.compile(
    r"Bad file format|Wrong RDB checksum|RDB CRC|Internal error in RDB|[Ee]rror loading"
    r"|reading the (?:append only|RDB base) file|AOF loading aborted|truncated file is not the last"
    r"|Can't handle RDB|Terminating server after rdb file reading failure|Unknown RDB|duplicated key|Corrupt",
)


@dataclass(frozen=True)
class Bounds:
    """What a throw-away server with data may take: a directory in `work_dir`, `memory` bytes, seconds to load, and
    `disk` bytes."""

    work_dir: str = ""
    memory: int | None = None
    wait_timeout: float = 3600.0
    disk: int | None = None

    @property
    def parent(self) -> str:
        return self.work_dir or DEFAULT_PLACE


@dataclass(frozen=True)
class Loaded:
    """A throw-away server that has loaded its data; `facts` are of that moment, `title` names what of which instance.
    """

    server: Server
    facts: Facts
    place: Workplace
    title: tuple[str, str]

    @property
    def words(self) -> str:
        """What it printed and logged."""
        return self.place.words

    def telling(self) -> contextlib.AbstractContextManager[None]:
        """Tells its end while it is asked by its own words."""
        return _told(self.place, self.title)


def built_in_modules(host: Host) -> list[str]:
    """The modules that come with the program (Redis 8, Valkey 9.1): a throw-away server has no others."""
    with workplace(host.user) as place:
        conf = place.write("redis.conf", ("\n".join(place.own_lines) + "\n").encode())
        with throwaway(host.program, place, conf) as server:
            return [module["name"] for module in parse_modules(parse_info(server.call("INFO")))]


def conf_lines(place: Workplace, databases: Mapping[str, Any], *, aof: bool = False) -> list[str]:
    """The redis.conf of a server that loads dump.rdb, or its AOF, and speaks to nobody. Pure.

    With an AOF, it adds one empty file to it.
    """
    numbers = [int(name[2:]) + 1 for name in databases if re.fullmatch(r"db\d+", name)]
    return [
        *place.own_lines,
        'save ""',
        *(_AOF_LINES if aof else ["appendonly no"]),
        f"dbfilename {DUMP}",
        f"databases {max([DATABASES, *numbers])}",
        "maxmemory 0",
    ]


@contextlib.contextmanager
def own_place(host: Host, bounds: Bounds, size: int) -> Iterator[Workplace]:
    """A directory for one throw-away server with `size` bytes of data, which is asked for before it is made."""
    require_place(bounds.parent)
    require_within(bounds.disk, size)
    with workplace(host.user, bounds.parent) as place:
        require_bytes(bounds.parent, size)  # asked when what a killed run has left is gone
        yield place


@contextlib.contextmanager
def loaded(
    host: Host,
    place: Workplace,
    lines: Sequence[str],
    bounds: Bounds,
    available: int | None,
    title: tuple[str, str],
    reply_timeout: float | None = 30.0,
) -> Iterator[Loaded]:
    """A server that has loaded what lies in `place`, by a redis.conf of these `lines`.

    `available` bytes of memory bound it where `bounds` names none. Raises DamagedError when the data is to blame, and
    ServerError when the host is.
    """
    conf = place.write("redis.conf", ("\n".join(lines) + "\n").encode())
    limit = bounds.memory if bounds.memory is not None else available
    with contextlib.ExitStack() as stack:
        with _told(place, title):
            server = stack.enter_context(
                throwaway(host.program, place, conf, cwd=place.path, confine=confinement(limit))
            )
            server.reply_timeout = reply_timeout
            facts = _wait_loaded(server, bounds.wait_timeout)
        yield Loaded(server, facts, place, title)


@contextlib.contextmanager
def _told(place: Workplace, title: tuple[str, str]) -> Iterator[None]:
    """Tell a server that ended while it loaded by its words: the backup's fault, or the host's."""
    try:
        yield
    except (ThrowawayFailed, UnreachableError) as error:
        words = place.words
        warnings = [line.split("# ", 1)[-1].strip() for line in words.splitlines() if "# " in line]
        said = last_words("\n".join(warnings).encode()) if warnings else ""
        if _BLAMES_THE_FILE.search(words) and not _OUT_OF_MEMORY.search(words):
            raise DamagedError(f"{title[0]} does not load in a server: {said}") from None
        why = "it had too little memory" if _OUT_OF_MEMORY.search(words) else said or error.what
        raise ServerError(
            f"the throw-away server for {title[0]} of {title[1]} ended by itself: {why}",
            untouched="Nothing was changed",
            hint="Raise memory_limit_mb, or look at this host's memory and its kernel log",
        ) from None


def _wait_loaded(server: Server, timeout: float) -> Facts:
    deadline = time.monotonic() + timeout
    while True:
        facts = Facts(parse_info(server.call("INFO")))
        if not facts.loading:
            return facts
        if time.monotonic() > deadline:
            raise ServerError(
                f"a throw-away server has not loaded within {timeout:g} s",
                untouched="Nothing was changed",
                hint="Raise wait_timeout",
            )
        time.sleep(_PAUSE)
