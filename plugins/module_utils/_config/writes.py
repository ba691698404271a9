# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes closed and opened again by two lines at the end of redis.conf. Pure.

A restored server must not take writes before it is verified. A setting made after the start would leave a gap; the
last line of redis.conf leaves none: with so many replicas demanded, every write is refused with NOREPLICAS.
"""

from __future__ import annotations

CLOSED = 1_000_000
SETTING = "min-replicas-to-write"
LAG = "min-replicas-max-lag"
_MARK = "# globalscope.redis_backup: writes stay closed until the restore is committed or rolled back"


def close_writes(text: str) -> str:
    """redis.conf with the closing lines at its end; unchanged when it has them."""
    if _MARK in text:
        return text
    end = "" if not text or text.endswith("\n") else "\n"
    return f"{text}{end}{_MARK}\n{SETTING} {CLOSED}\n{LAG} 10\n"


def open_writes(text: str) -> str:
    """redis.conf without the closing lines, wherever CONFIG REWRITE may have moved them."""
    kept: list[str] = []
    behind = 0
    for line in text.splitlines(keepends=True):
        words = line.lower().split()
        if line.rstrip("\r\n") == _MARK:
            behind = 2
            continue
        ours = words[:2] == [SETTING, str(CLOSED)] or (behind and words[:2] == [LAG, "10"])
        behind = max(behind - 1, 0)
        if not ours:
            kept.append(line)
    return "".join(kept)


def are_closed(text: str) -> bool:
    """Whether redis.conf holds the closing lines."""
    return _MARK in text
