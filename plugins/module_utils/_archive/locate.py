# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the AOF of an instance lies, and what its server says of itself. A server that is down is archived as well."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

from .._config.conf_file import load
from .._errors import ConfigError, ProgramError, RedisBackupError, ServerError
from .._server.connection import Login, LoginError, Server
from .._server.instance import Instance, Place, find_instance
from .._server.paths import Paths, resolve_paths, settings_of
from .look import layout_of


class AofOff(ServerError):
    """The server answers, and has no AOF."""


@dataclass(frozen=True)
class Located:
    """The place of an AOF. `why` tells what could not be asked of the server; empty when it answered."""

    paths: Paths
    layout: str
    server: dict[str, str] = field(default_factory=dict)
    why: str = ""


def locate(instance: Instance) -> Located:
    """Where an instance that was looked at keeps its AOF. Raises ServerError when it keeps none."""
    facts = instance.facts
    if not instance.paths.dir:
        raise ServerError(
            f"{instance.title}: its data directory is not known: {instance.why or 'nothing tells it'}",
            untouched="Nothing was changed",
            hint="Give data_dir, or config_file",
        )
    if facts is not None and "aof_enabled" in facts.info and not facts.number("aof_enabled"):
        raise AofOff(
            f"{instance.title} has no AOF: appendonly is off",
            untouched="Nothing was changed",
            hint="Turn it on (the role redis_persistence does), then archive it",
        )
    server: dict[str, str] = {}
    if facts is not None:
        server = {"flavour": facts.flavour, "version": facts.version_text, "run_id": facts.info.get("run_id", "")}
        server["role"] = str(facts.info.get("role", ""))
        server["offset"] = str(facts.info.get("master_repl_offset", ""))
    flavour_version = facts.version if facts is not None else ()
    if facts is not None and facts.flavour == "valkey":
        flavour_version = (7,)
    return Located(instance.paths, layout_of(instance.paths, flavour_version), server, instance.why)


def find_aof(login: Login, place: Place) -> Located:
    """Ask the server; where that is not possible (down, no redis-py, no right), what redis.conf and `place` say.

    Raises RedisBackupError.
    """
    try:
        found = find_instance(login, place, may_be_down=True)
        found.server.close()
    except (ProgramError, LoginError) as error:
        found = _by_files(login, place, error)
    return locate(found)


def _by_files(login: Login, place: Place, error: RedisBackupError) -> Instance:
    settings: dict[str, str] = {}
    if place.config_file and os.path.exists(place.config_file):
        try:
            settings = settings_of(load(place.config_file))
        except ConfigError:
            settings = {}
    paths = resolve_paths(settings, config_file=place.config_file, data_dir=place.data_dir)
    if not paths.dir:
        raise error
    return Instance(place, Server(login), "down", None, paths, why=error.what)
