# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Instances as a run finds them: redis.conf in memory, INFO and CONFIG GET as texts, requests and verdicts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.globalscope.redis_backup.plugins.module_utils._config.conf_file import ConfFile, split_lines
from ansible_collections.globalscope.redis_backup.plugins.module_utils._enforce.judge import Verdict
from ansible_collections.globalscope.redis_backup.plugins.module_utils._enforce.situation import Situation
from ansible_collections.globalscope.redis_backup.plugins.module_utils._enforce.wish import Request, wishes_of
from ansible_collections.globalscope.redis_backup.plugins.module_utils._server.facts import Facts

PATH = "/etc/redis/redis.conf"
FIXED = ("databases", "appendfilename", "appenddirname", "cluster-enabled", "cluster-config-file")


def conf(text: str, includes: Mapping[str, str] | None = None, path: str = PATH) -> ConfFile:
    """A redis.conf in memory. `includes` gives the text of each file that an include line names."""
    file = ConfFile(path, split_lines(text))
    for line in file.lines:
        if line.name == "include" and includes and line.args and line.args[0] in includes:
            line.included = [conf(includes[line.args[0]], includes, f"/etc/redis/{line.args[0]}")]
    return file


def running(
    live: Mapping[str, str] | None = None,
    file: str | ConfFile | None = "",
    info: Mapping[str, str] | None = None,
    **over: Any,
) -> Situation:
    """A server that runs with one key; `live` is what CONFIG GET tells beside the defaults of a 7.0."""
    values = {
        "appendonly": "no",
        "cluster-enabled": "no",
        "databases": "16",
        "dbfilename": "dump.rdb",
        "dir": "/var/lib/redis",
        "enable-protected-configs": "no",
        "maxmemory": "0",
        "maxmemory-policy": "noeviction",
        "save": "3600 1 300 100 60 10000",
        **(live or {}),
    }
    said = {
        "aof_enabled": "1" if values["appendonly"] == "yes" else "0",
        "redis_mode": "cluster" if values["cluster-enabled"] == "yes" else "standalone",
        "config_file": PATH,
        "role": "master",
        "used_memory": "1000000",
        "db0": "keys=1,expires=0",
        **(info or {}),
    }
    found = {
        "title": "db-6379 (127.0.0.1:6379)",
        "facts": Facts({name: text for name, text in said.items() if text}),
        "version": (7, 0, 15),
        "live": values,
        "file": conf(file) if isinstance(file, str) else file,
        **over,
    }
    if found["facts"] is None or not found.get("config_allowed", True):
        found["live"] = {}
    return Situation(**found)


def down(file: str | ConfFile | None = "", **over: Any) -> Situation:
    """A server that does not run."""
    return running(file=file, **{"facts": None, **over})


def request(settings: Mapping[str, Any], **over: Any) -> Request:
    return Request(wishes_of(settings), **over)


def verdicts(asked: Request, defaults: Mapping[str, str] | None = None) -> dict[str, Verdict]:
    """What a server says to wishes that are written as it writes them. `defaults` answers a null."""
    found = {}
    for wish in asked.wishes:
        default = (defaults or {}).get(wish.name, "")
        settable = wish.readable and wish.name not in FIXED
        found[wish.name] = Verdict((wish.text if wish.text is not None else default), settable, default)
        if not wish.readable:
            found[wish.name] = Verdict(None, False)
    return found
