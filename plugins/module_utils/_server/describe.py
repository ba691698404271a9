# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An instance in the words of the modules' return values."""

from __future__ import annotations

import contextlib
import os
import shutil
from typing import Any

from .._errors import ProgramError
from .._snapshot.stream import why_no_stream
from .facts import Facts, parse_modules
from .instance import Instance


def topology(facts: Facts) -> dict[str, Any]:
    """The node's place among others, as INFO tells it. Pure."""
    replicas = []
    for number in range(facts.number("connected_slaves")):
        fields = dict(p.split("=", 1) for p in facts.info.get(f"slave{number}", "").split(",") if "=" in p)
        if "ip" in fields:
            replicas.append(
                {
                    "host": fields["ip"],
                    "port": int(fields.get("port", 0)),
                    "state": fields.get("state", ""),
                    "offset": int(fields.get("offset", 0)),
                }
            )
    primary = None
    if facts.role == "replica":
        primary = {
            "host": facts.info.get("master_host", ""),
            "port": facts.number("master_port"),
            "link_up": facts.link_up,
            "sync_in_progress": facts.syncing,
        }
    return {"mode": facts.mode, "role": facts.role, "primary": primary, "replicas": replicas}


def capabilities(instance: Instance, facts: Facts) -> dict[str, Any]:
    """What can be done with the server from this host, and why not where it cannot."""
    diskless = instance.config.get("repl-diskless-sync")
    no_stream = why_no_stream(facts, diskless)
    programs = {name: shutil.which(name) or "" for name in ("zstd", "age")}
    return {
        "config": bool(instance.config),
        "functions": facts.version >= (7, 0),
        "stream": no_stream is None,
        "stream_refused_because": no_stream or "",
        "dump_readable": bool(instance.paths.dir) and os.access(instance.paths.dir, os.R_OK | os.X_OK),
        "programs": programs,
        "modules": parse_modules(facts.info),
    }


def describe(instance: Instance) -> dict[str, Any]:
    """The value `instance` of redis_instance_info."""
    facts = instance.facts
    executable = ""
    flavour, version = "", ""
    with contextlib.suppress(ProgramError):
        executable = instance.program()
        if facts is None:
            flavour, numbers = instance.version()
            version = ".".join(map(str, numbers))
    if facts is not None:
        flavour, version = facts.flavour, facts.version_text
    return {
        "name": instance.name,
        "state": instance.state,
        "state_reason": instance.why,
        "flavour": flavour,
        "version": version,
        "role": facts.role if facts else "",
        "config_file": instance.paths.config_file,
        "dir": instance.paths.dir,
        "dbfilename": instance.paths.dbfilename,
        "appendonly": instance.paths.appendonly == "yes",
        "executable": executable,
        "pid": facts.number("process_id") if facts else None,
        "run_id": facts.info.get("run_id", "") if facts else "",
        "uptime_seconds": facts.number("uptime_in_seconds") if facts else None,
        "keys": facts.keys if facts else None,
        "keyspace": facts.keyspace if facts else {},
        "used_memory_bytes": facts.number("used_memory") if facts else None,
        "persistence": facts.persistence() if facts else {},
        "topology": topology(facts) if facts else {},
        "capabilities": capabilities(instance, facts) if facts else {},
    }
