# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a server keeps its files: as it says itself, else as its redis.conf says, else as given."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from .._config.conf_file import Conf

NAMES = (
    "dir",
    "dbfilename",
    "appendonly",
    "appendfilename",
    "appenddirname",
    "aclfile",
    "logfile",
    "databases",
    "cluster-enabled",
    "cluster-config-file",
    "repl-diskless-sync",
    "save",
    "replicaof",
    "min-replicas-to-write",
)

_DEFAULTS = {
    "dbfilename": "dump.rdb",
    "appendonly": "no",
    "appendfilename": "appendonly.aof",
    "appenddirname": "appendonlydir",
    "cluster-config-file": "nodes.conf",
    "cluster-enabled": "no",
}


@dataclass(frozen=True)
class Paths:
    """The files of one instance. Empty texts mean unknown or unused. All paths but the file names are absolute."""

    dir: str = ""
    config_file: str = ""
    dbfilename: str = "dump.rdb"
    appendonly: str = "no"
    appendfilename: str = "appendonly.aof"
    appenddirname: str = "appendonlydir"
    aclfile: str = ""
    logfile: str = ""
    nodes_file: str = ""

    @property
    def dump(self) -> str:
        """The RDB file."""
        return os.path.join(self.dir, self.dbfilename)

    @property
    def manifest(self) -> str:
        """The manifest of the AOF (7.0 on)."""
        return os.path.join(self.dir, self.appenddirname, f"{self.appendfilename}.manifest")

    @property
    def aof_file(self) -> str:
        """The AOF of servers before 7.0, one file."""
        return os.path.join(self.dir, self.appendfilename)

    @property
    def has_aof(self) -> bool:
        """Whether an AOF lies where a server with these paths looks for it."""
        return os.path.exists(self.manifest) or os.path.exists(self.aof_file)

    def data_names(self) -> list[str]:
        """The entries of `dir` that hold the data set, in whatever layout the version uses."""
        return [self.dbfilename, self.appenddirname, self.appendfilename]


def resolve_paths(
    settings: Mapping[str, str], *, config_file: str = "", data_dir: str = "", default_dir: str = ""
) -> Paths:
    """Paths from settings by directive name (of CONFIG GET or of redis.conf), given ones first. Pure."""
    known = {**_DEFAULTS, **{name: value for name, value in settings.items() if value}}
    directory = data_dir or known.get("dir", "") or default_dir

    def inside(name: str) -> str:
        value = known.get(name, "")
        return os.path.normpath(os.path.join(directory, value)) if value and directory else ""

    return Paths(
        dir=os.path.normpath(directory) if directory else "",
        config_file=config_file,
        dbfilename=known["dbfilename"],
        appendonly=known["appendonly"].lower(),
        appendfilename=known["appendfilename"],
        appenddirname=known["appenddirname"],
        aclfile=inside("aclfile"),
        logfile=inside("logfile"),
        nodes_file=inside("cluster-config-file") if known["cluster-enabled"].lower() == "yes" else "",
    )


def settings_of(conf: Conf) -> dict[str, str]:
    """The directives of NAMES that a redis.conf sets."""
    return {name: value for name in NAMES for value in [conf.get(name)] if value is not None}


def command_line_settings(argv: list[str]) -> dict[str, str]:
    """The directives that a server's command line sets: they beat redis.conf. Pure.

    `redis-server /etc/redis.conf --appendonly yes` gives `{"appendonly": "yes"}`.
    """
    found: dict[str, str] = {}
    name = ""
    for word in argv[1:]:
        if word.startswith("--"):
            name = word[2:].lower()
            found[name] = ""
        elif name:
            found[name] = f"{found[name]} {word}".strip()
    return {name: value for name, value in found.items() if value}


def command_line_config(argv: list[str]) -> str:
    """The redis.conf that a server's command line names, empty when none. Pure."""
    return argv[1] if len(argv) > 1 and not argv[1].startswith("-") else ""
