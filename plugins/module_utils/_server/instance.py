# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One instance as found on this host: whether it answers, what it is, where its files lie."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field

from .._config.conf_file import load
from .._errors import ConfigError, ServerError
from .connection import Login, LoginError, ReplyError, Server, UnreachableError, parse_info
from .facts import Facts
from .paths import NAMES, Paths, command_line_config, command_line_settings, resolve_paths, settings_of
from .programs import exec_start_argv, program_version, server_program, unit_properties


@dataclass(frozen=True)
class Place:
    """What the user told about an instance beside the login. Empty texts are discovered."""

    name: str
    config_file: str = ""
    data_dir: str = ""
    executable: str = ""
    service: str = ""


@dataclass
class Instance:
    """A server and its files. `state` is `running`, `loading`, `down` or `refused`; `why` says more of the last two."""

    place: Place
    server: Server
    state: str
    facts: Facts | None
    paths: Paths
    config: Mapping[str, str] = field(default_factory=dict)
    next_start: Mapping[str, str] = field(default_factory=dict)
    why: str = ""
    command: tuple[str, ...] = ()  # with which its systemd unit starts it

    @property
    def name(self) -> str:
        return self.place.name

    @property
    def title(self) -> str:
        """Name and address, for messages."""
        return f"{self.name} ({self.server.login.where})"

    def program(self) -> str:
        """The server's program on this host. Raises ProgramError."""
        info = self.facts.info if self.facts else None
        return server_program(self.place.executable or None, info, self.place.service or None)

    def version(self) -> tuple[str, tuple[int, ...]]:
        """Flavour and version: of the running server, else of its program."""
        if self.facts and self.facts.version:
            return self.facts.flavour, self.facts.version
        return program_version(self.program())

    def require_running(self) -> Facts:
        """The facts of a server that serves its whole data set. Raises ServerError otherwise."""
        untouched = "Nothing was changed"
        if self.facts is None:
            raise ServerError(f"{self.title} is down: {self.why}", untouched=untouched, hint="Start it, then run again")
        if self.state == "loading":
            eta = self.facts.info.get("loading_eta_seconds", "?")
            raise ServerError(
                f"{self.title} is still loading its data set ({eta} s left by its own estimate)",
                untouched=untouched,
                hint="Wait until it has loaded, then run again",
            )
        if self.facts.syncing:
            raise ServerError(
                f"{self.title} is a replica in the middle of a full synchronisation: its data set is not whole",
                untouched=untouched,
                hint="Wait for the synchronisation, or use another node",
            )
        return self.facts


def default_name(hostname: str, login: Login) -> str:
    """The name of an instance that the user did not name."""
    return f"{hostname}-{login.port}"


def find_instance(login: Login, place: Place, *, may_be_down: bool = False) -> Instance:
    """Look at an instance: one round trip when it answers, else its unit and redis.conf.

    Raises LoginError when the server refuses us, and UnreachableError when it is down, unless `may_be_down`.
    """
    server = Server(login)
    try:
        return _running(server, place)
    except UnreachableError as error:
        server.close()
        if not may_be_down:
            raise UnreachableError(
                f"{place.name} is down: {error.what}", untouched="Nothing was changed", hint=error.hint
            ) from None
        return _down(server, place, error.what)
    except LoginError as error:
        server.close()
        raise LoginError(f"{place.name}: {error.what}", untouched=error.untouched, hint=error.hint) from None


def _running(server: Server, place: Place) -> Instance:
    info, *replies = server.pipeline([("INFO",), *(("CONFIG", "GET", name) for name in NAMES)])
    if isinstance(info, ReplyError):
        code = info.code
        raise LoginError(
            f"the server at {server.login.where} refused INFO: {info.message}",
            untouched="Nothing was changed",
            hint="Give login_user and login_password of a user who may use INFO"
            if code in ("NOAUTH", "NOPERM")
            else info.hint,
        )
    facts = Facts(parse_info(info))
    config: dict[str, str] = {}
    for reply in replies:
        if isinstance(reply, list) and len(reply) == 2:
            name, value = (item.decode("utf-8", "surrogateescape") for item in reply)
            config[name] = value
    config_file = place.config_file or facts.info.get("config_file", "")
    argv = _unit_command(place)
    at_start: dict[str, str] = {}
    with contextlib.suppress(ConfigError):  # a server that runs tells its settings itself
        at_start = _next_start(config_file, argv)
    settings = config or at_start
    default = os.path.dirname(config_file) if config_file else ""
    paths = resolve_paths(settings, config_file=config_file, data_dir=place.data_dir, default_dir=default)
    state = "loading" if facts.loading else "running"
    return Instance(place, server, state, facts, paths, config, at_start, "", tuple(argv))


def _down(server: Server, place: Place, why: str) -> Instance:
    argv = _unit_command(place)
    config_file = place.config_file or command_line_config(argv)
    at_start = _next_start(config_file, argv)
    paths = resolve_paths(at_start, config_file=config_file, data_dir=place.data_dir)
    return Instance(place, server, "down", None, paths, {}, at_start, why, tuple(argv))


def _unit_command(place: Place) -> list[str]:
    """The command line with which the instance's systemd unit starts it; empty without a unit."""
    if not place.service:
        return []
    return exec_start_argv(unit_properties(place.service, "ExecStart").get("ExecStart", ""))


def _next_start(config_file: str, argv: list[str]) -> dict[str, str]:
    """The settings that the next start will read: redis.conf, then the unit's command line over it."""
    found: dict[str, str] = {}
    if config_file and os.path.exists(config_file):
        found.update(settings_of(load(config_file)))
    known = command_line_settings(argv)
    found.update({name: known[name] for name in NAMES if name in known})
    return found
