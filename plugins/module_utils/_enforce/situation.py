# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is known of an instance when its settings are looked at: INFO, CONFIG GET, redis.conf, its files."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from .._config.conf_file import ConfFile, load_file, unreadable
from .._config.effective import effective_lines
from .._config.values import Words, lines_of, names_of, text_of
from .._errors import ConfigError
from .._preflight.judge import DIRECTIVES
from .._server.facts import Facts
from .._server.instance import Instance
from .._server.paths import Paths
from .._server.process import is_local
from .wish import Request, Wish

# Beside the wishes: what guards and preflight look at.
_LOOKED_AT = (
    "appenddirname",
    "appendfilename",
    "cluster-config-file",
    "cluster-enabled",
    "databases",
    "dbfilename",
    "dir",
    "enable-protected-configs",
    "maxmemory-policy",
    "shutdown-on-sigterm",
)


@dataclass(frozen=True)
class Situation:
    """`live` holds CONFIG GET's answers: empty when the server is down, or does not let us ask (`config_allowed`).

    `file` is redis.conf as it stands, None where there is none or it is not to be looked at. `has_rdb` and `has_aof`
    tell whether the data directory holds such data where the server looks for it. `stored_memory` is what the data of
    a server that is down took when it was saved, in bytes; 0 where that is not known.
    """

    title: str
    facts: Facts | None
    version: Sequence[int]
    live: Mapping[str, str] = field(default_factory=dict)
    config_allowed: bool = True
    file: ConfFile | None = None
    has_rdb: bool = False
    has_aof: bool = False
    local: bool = True
    stored_memory: int = 0

    @property
    def running(self) -> bool:
        return self.facts is not None

    @property
    def holds_data(self) -> bool:
        """Whether anything would be lost if the server did not find its files."""
        return self.has_rdb or self.has_aof or bool(self.facts and self.facts.keys)

    @property
    def aof_on(self) -> bool:
        """Whether the running server writes an AOF; for one that is down, whether it would."""
        if self.facts is not None:
            return self.facts.info.get("aof_enabled") == "1"
        return (self.file_text("appendonly") or "no").lower() == "yes"

    @property
    def in_cluster(self) -> bool:
        if self.facts is not None:
            return self.facts.mode == "cluster"
        return (self.file_text("cluster-enabled") or "no").lower() == "yes"

    @property
    def protected(self) -> bool:
        """Whether CONFIG SET may not change `dir` and `dbfilename` (7.0 on; `local` lets clients of this host)."""
        return self.live.get("enable-protected-configs", "") == "no"

    def file_lines(self, name: str) -> list[Words] | None:
        """The value of a directive in redis.conf, None without a line."""
        return effective_lines(self.file, name, self.version) if self.file else None

    def file_text(self, name: str) -> str | None:
        """The value of a directive in redis.conf as one text."""
        lines = self.file_lines(name)
        return None if lines is None else text_of(lines)

    def in_include(self, name: str) -> bool:
        """Whether a file that redis.conf includes sets a directive."""
        found = self.file.walk() if self.file else ()
        return any(owner is not self.file and line.name in names_of(name) for owner, _index, line in found)

    def live_lines(self, name: str) -> list[Words] | None:
        """The running value of a directive as lines, None where it is not known."""
        text = self.live.get(name)
        if text is None:
            return None
        return [[text]] if name == "dir" else lines_of(name, text)


def look(instance: Instance, request: Request) -> Situation:
    """Look at an instance: one round trip more than finding it, and redis.conf.

    Raises ConfigError where there is nothing that could be set, and ServerError for a server that is not ready.
    """
    facts = instance.require_running() if instance.facts is not None else None
    if facts is not None and facts.mode == "sentinel":
        raise ConfigError(
            f"{instance.title} is a Sentinel, which keeps its configuration itself", untouched="Nothing was changed"
        )
    live = instance.server.config_get_if_allowed(*_names(request.wishes)) if facts is not None else {}
    local = facts is None or is_local(facts, live.get("dir", ""))
    path = _config_file(instance, local)
    file = None
    if request.to_file:
        file = _readable(path, instance) if path else None
    allowed = facts is None or bool(live)
    _require_something(instance, request, file, allowed)
    rdb, aof = _data_files(instance, local)
    return Situation(
        title=instance.title,
        facts=facts,
        version=instance.version()[1],
        live=live,
        config_allowed=allowed,
        file=file,
        has_rdb=rdb,
        has_aof=aof,
        local=local,
        stored_memory=_stored_memory(instance.paths) if facts is None and _limits_memory(request) else 0,
    )


def _limits_memory(request: Request) -> bool:
    return any(wish.name in ("maxmemory", "maxmemory-policy") for wish in request.wishes)


def _stored_memory(paths: Paths) -> int:
    """The memory that the server had in use when it last wrote an RDB, which may begin an AOF."""
    from .._errors import DamagedError
    from .._snapshot.rdb_header import HEADER_BYTES, parse_header

    folder = os.path.join(paths.dir, paths.appenddirname)
    names = [paths.dump, paths.aof_file]
    names += [os.path.join(folder, name) for name in os.listdir(folder)] if os.path.isdir(folder) else []
    found = 0
    for name in names:
        with contextlib.suppress(OSError, DamagedError), open(name, "rb") as stream:
            said = parse_header(stream.read(HEADER_BYTES), name).aux.get("used-mem", "")
            found = max(found, int(said) if said.isdecimal() else 0)
    return found


def _names(wishes: Sequence[Wish]) -> list[str]:
    return sorted({*_LOOKED_AT, *DIRECTIVES, *(wish.name for wish in wishes if wish.readable)})


def _config_file(instance: Instance, local: bool) -> str:
    """The redis.conf to edit, links followed. What INFO names is a file of the server's host: not of ours by chance."""
    given = instance.place.config_file
    named = instance.facts.info.get("config_file", "") if instance.facts else ""
    if given and named and local and os.path.realpath(given) != os.path.realpath(named):
        raise ConfigError(
            f"{instance.title} was started with {named}, and config_file names {given}",
            untouched="Nothing was changed",
            hint="Correct config_file or the address of the instance",
        )
    path = given or (instance.paths.config_file if local else "")
    return os.path.realpath(path) if path else ""


def _readable(path: str, instance: Instance) -> ConfFile:
    file = load_file(path)
    if instance.version()[0] != "valkey":  # Valkey 9 takes quotes inside words; its own start is the judge then
        for owner, index, line in file.walk():
            if line.error:
                raise unreadable(owner.path, index + 1, line.error)
    return file


def _require_something(instance: Instance, request: Request, file: ConfFile | None, allowed: bool) -> None:
    if request.to_server and not request.to_file:
        if instance.facts is None:
            raise ConfigError(
                f"{instance.title} is down, so that apply=live finds nothing to change: {instance.why}",
                untouched="Nothing was changed",
                hint="Start it, or use apply=both",
            )
        if not allowed:
            raise ConfigError(
                f"{instance.title} does not let us use CONFIG",
                untouched="Nothing was changed",
                hint="Name a renamed CONFIG in command_map, allow +config|get +config|set to the login user, or use "
                "apply=file; a managed service is set up at its provider",
            )
    if request.to_file and file is None and instance.facts is None:
        raise ConfigError(
            f"{instance.title} does not answer, and its redis.conf is not known on this host: {instance.why}",
            untouched="Nothing was changed",
            hint="Start it, or correct login_host and login_port; or name its redis.conf (config_file) or its service",
        )
    if request.to_file and file is None:
        raise ConfigError(
            f"the redis.conf of {instance.title} is not known on this host"
            + ("" if allowed else ", and the server does not let us use CONFIG"),
            untouched="Nothing was changed",
            hint="Name it with config_file"
            + ("; or use apply=live, whose changes end with the server's next start" if allowed else ""),
        )


def _data_files(instance: Instance, local: bool) -> tuple[bool, bool]:
    paths = instance.paths
    if instance.facts is None and not os.path.isabs(paths.dir):
        return True, True  # nobody knows where it starts
    if not local or not paths.dir:
        return False, False
    return os.path.exists(paths.dump), paths.has_aof
