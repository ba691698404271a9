# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The last lines of a server's log that tell why something failed."""

from __future__ import annotations

import os
import re

_TAIL_BYTES = 32 * 1024
_TELLING = re.compile(
    r"No space|Write error|Background saving error|Failed opening|Permission denied|Fatal|MISCONF|"
    r"Short read|Can't|can't|error|Wrong|abort",
    re.IGNORECASE,
)
_PREFIX = re.compile(r"^\d+:[A-Z] \d+ \w+ \d{4} [\d:.]+ [#*.\-] ")


def telling_lines(text: str, limit: int = 3) -> list[str]:
    """The last `limit` lines that speak of a failure, without process id and time. Pure."""
    found = [_PREFIX.sub("", line).strip() for line in text.splitlines() if _TELLING.search(line)]
    return found[-limit:]


def tail(path: str | None) -> str:
    """The end of the log `path`; empty where it cannot be read, or is no file."""
    if not path or not os.path.isabs(path) or not os.path.isfile(path):
        return ""
    try:
        with open(path, "rb") as stream:
            stream.seek(0, os.SEEK_END)
            stream.seek(max(stream.tell() - _TAIL_BYTES, 0))
            return stream.read().decode("utf-8", "replace")
    except OSError:
        return ""


def reasons(path: str | None, limit: int = 3) -> str:
    """The telling last lines of the log `path` as half a sentence; empty where it cannot be read."""
    lines = telling_lines(tail(path), limit)
    return f" (its log says: {' | '.join(lines)})" if lines else ""
