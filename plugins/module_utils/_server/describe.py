# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An instance in the words of the modules' return values."""

from __future__ import annotations

import contextlib
from typing import Any

from .._config.quoting import ENCODING, ERRORS
from .._config.replica import is_fenced
from .._errors import ProgramError
from .capabilities import capabilities
from .instance import Instance
from .topology import role_of, topology


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
        "role": role_of(facts) if facts else "",
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
        "fenced": _fenced(instance.paths.config_file),
        "topology": topology(instance),
        "capabilities": capabilities(instance, facts) if facts else {},
    }


def _fenced(config_file: str) -> bool:
    """Whether a recovery has fenced the replica, and has not come to open it."""
    try:
        with open(config_file, encoding=ENCODING, errors=ERRORS) as stream:
            return is_fenced(stream.read())
    except OSError:
        return False
