# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes closed and opened again by two lines at the end of redis.conf. Pure.

A restored server must not take writes before it is verified. A setting made after the start would leave a gap; the
last line of redis.conf leaves none: with so many replicas demanded, every write is refused with NOREPLICAS.

A CONFIG REWRITE meanwhile (Sentinel asks for one) puts these values into the first lines of their names and drops the
others. So the mark remembers what the file said of its own.
"""

from __future__ import annotations

import re

from .quoting import split_args

CLOSED = 1_000_000
SETTING = "min-replicas-to-write"
LAG = "min-replicas-max-lag"
_ALIASES = {"min-slaves-to-write": SETTING, "min-slaves-max-lag": LAG}
_MARK = "# globalscope.redis_backup: writes stay closed until the restore is committed or rolled back"
_BEFORE = re.compile(rf"({SETTING}|{LAG}) (\d+)")


def _lines(text: str) -> list[str]:
    """Lines with their ends. Only a newline ends one, as in Redis."""
    return re.split(r"(?<=\n)", text)


def _own_values(text: str) -> dict[str, str]:
    """The values that a redis.conf gives to our two directives; the last line of each counts."""
    found: dict[str, str] = {}
    for line in _lines(text):
        try:
            words = split_args(line.strip())
        except ValueError:
            continue
        name = _ALIASES.get(words[0].lower(), words[0].lower()) if words else ""
        if len(words) > 1 and name in (SETTING, LAG):
            found[name] = words[1]
    return found


def close_writes(text: str) -> str:
    """redis.conf with the closing lines at its end; unchanged when it has them."""
    if are_closed(text):
        return text
    end = "" if not text or text.endswith("\n") else "\n"
    before = ", ".join(f"{name} {value}" for name, value in _own_values(text).items())
    mark = f"{_MARK} (before: {before})" if before else _MARK
    return f"{text}{end}{mark}\n{SETTING} {CLOSED}\n{LAG} 10\n"


def open_writes(text: str) -> str:
    """redis.conf without the closing lines, wherever CONFIG REWRITE may have moved them, its own values as before."""
    kept: list[str] = []
    own: dict[str, str] = {}
    behind = 0
    for line in _lines(text):
        words = line.lower().split()
        if line.startswith(_MARK):
            own = dict(_BEFORE.findall(line))
            behind = 2
            continue
        ours = words[:2] == [SETTING, str(CLOSED)] or (behind and words[:2] == [LAG, "10"])
        behind = max(behind - 1, 0)
        if not ours:
            kept.append(line)
    opened = "".join(kept)
    lost = {name: value for name, value in own.items() if _own_values(opened).get(name) != value}
    return opened + "".join(f"{name} {value}\n" for name, value in lost.items())


def are_closed(text: str) -> bool:
    """Whether redis.conf holds the closing lines."""
    return any(line.startswith(_MARK) for line in _lines(text))
