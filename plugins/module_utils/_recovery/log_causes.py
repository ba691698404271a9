# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a server says in its log about why it ended, or does not start: the lines that matter, and what they mean. Pure.

The texts are those of server.c, rdb.c, aof.c, config.c and acl.c, from Redis 6.2 to Valkey 9.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_START = re.compile(r"is starting oO0OoO0OoO0Oo")
_FIRST_AGAIN = 400  # lines of the run before, for a server that was ended before it could say anything

# In the order of what explains more: a torn file is no wonder on a full disk.
_CAUSES: tuple[tuple[str, str, str], ...] = (
    ("disk_full", r"No space left on device|Disk quota exceeded", "the disk is full"),
    (
        "permission",
        r"Permission denied|Operation not permitted|Read-only file system",
        "it may not read or write a file",
    ),
    (
        "too_new",
        r"Can't handle RDB format version|Unknown RDB encoding type|RDB file was saved with checksum disabled: too new",
        "its files were written by a newer server",
    ),
    (
        "memory",
        r"Out Of Memory allocating|Cannot allocate memory|Can't allocate|OOM command not allowed|Killed by the OOM",
        "there was not enough memory",
    ),
    (
        "config",
        r"FATAL CONFIG FILE ERROR|Bad directive or wrong number of arguments|can't open config file",
        "its redis.conf is missing or wrong",
    ),
    (
        "acl",
        r"Error loading ACLs|Aborting Redis startup because of ACL errors|opening ACL",
        "its ACL file is missing or wrong",
    ),
    (
        "aof_damaged",
        r"Bad file format reading the append only file|Unexpected end of file reading the append only file|"
        r"Error reading the append only file|Unrecoverable error reading the append only file|"
        r"AOF .* doesn't exist|Invalid AOF manifest file format|AOF loading aborted",
        "its AOF is damaged",
    ),
    (
        "rdb_damaged",
        r"Short read or OOM loading DB|Wrong signature trying to load DB|Internal error in RDB reading|"
        r"Terminating server after rdb file reading failure|Wrong RDB checksum|Fatal error loading the DB",
        "its RDB is damaged",
    ),
    ("port", r"Address already in use", "another process listens on its port"),
    ("crash", r"REDIS BUG REPORT START|crashed by signal|Software Failure", "it crashed"),
)
_PREFIX = re.compile(r"^\d+:[A-Z] \d+ \w+ \d{4} [\d:.]+ [#*.\-] ")


@dataclass(frozen=True)
class Cause:
    """One reason that the log names: its kind, what it means, and the line that says so, without process and time."""

    kind: str
    says: str
    line: str


def causes_in(text: str) -> list[Cause]:
    """What the end of a log gives as reasons, the most telling first, each kind once with its last line.

    Only what was written since the last start counts; of a server that ended before it said anything wrong, nothing.
    """
    lines = text.splitlines()
    begins = [number for number, line in enumerate(lines) if _START.search(line)]
    recent = lines[begins[-1] :] if begins else lines[-_FIRST_AGAIN:]
    found = []
    for kind, pattern, says in _CAUSES:
        matching = [line for line in recent if re.search(pattern, line, re.IGNORECASE)]
        if matching:
            found.append(Cause(kind, says, _PREFIX.sub("", matching[-1]).strip()[:300]))
    return found
