# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What can be done with a server from this host."""

from __future__ import annotations

import os
import shutil
from typing import Any

from .facts import Facts, parse_modules
from .instance import Instance


def why_no_stream(facts: Facts, diskless: str | None) -> str | None:
    """The reason not to ask this server for a stream; None when it can be asked. Pure.

    `diskless` is its repl-diskless-sync, None when it does not tell. A transfer by way of its disk would overwrite its
    dump.rdb and move LASTSAVE.
    """
    if facts.version < (6, 2):
        return f"version {facts.version_text} does not know rdb-only"
    if diskless == "no" or (diskless is None and facts.flavour == "redis" and facts.version < (7, 0)):
        return "repl-diskless-sync is off, so that the server would write the RDB over its own dump file first"
    if not facts.link_up:
        return "it is a replica whose link to its primary is down"
    return None


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
