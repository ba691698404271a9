# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes closed and opened again by two lines at the end of redis.conf. Pure.

A restored server must not take writes before it is verified. A setting made after the start would leave a gap; the
last line of redis.conf leaves none: with so many replicas demanded, every write is refused with NOREPLICAS.

A restore and a freeze both close writes so, and each opens only what it has closed itself: they have a mark and a
number of their own. A restore's lines stand behind those of a freeze.

A CONFIG REWRITE meanwhile (Sentinel asks for one) puts these values into the first lines of their names and drops the
others. So the mark remembers what the file said of its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from .quoting import split_args

SETTING = "min-replicas-to-write"
LAG = "min-replicas-max-lag"
LAG_CLOSED = "10"
_ALIASES = {"min-slaves-to-write": SETTING, "min-slaves-max-lag": LAG}
_BEFORE = re.compile(rf"({SETTING}|{LAG}) (\d+)")


@dataclass(frozen=True)
class Closing:
    """Who closes writes: the number of replicas it demands, and the mark above its lines."""

    number: int
    mark: str

    @property
    def value(self) -> str:
        return str(self.number)


RESTORE = Closing(
    1_000_000, "# globalscope.redis_backup: writes stay closed until the restore is committed or rolled back"
)
FREEZE = Closing(1_000_001, "# globalscope.redis_backup: frozen, writes stay closed until it is thawed")
CLOSED = RESTORE.number
FROZEN = FREEZE.number
_IN_ORDER = (FREEZE, RESTORE)
VALUES = tuple(each.value for each in _IN_ORDER)


def _lines(text: str) -> list[str]:
    """Lines with their ends. Only a newline ends one, as in Redis."""
    return re.split(r"(?<=\n)", text)


def own_values(text: str) -> dict[str, str]:
    """The values that a redis.conf gives to our two directives by itself; the last line of each counts."""
    return _values(_opened(text))


def _values(text: str) -> dict[str, str]:
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


def close_writes(text: str, by: Closing = RESTORE) -> str:
    """redis.conf with the closing lines at its end; unchanged when it has them."""
    if are_closed(text, by):
        return text
    return _with(_opened(text), [each for each in _IN_ORDER if each == by or are_closed(text, each)])


def open_writes(text: str, by: Closing = RESTORE) -> str:
    """redis.conf without the closing lines, wherever CONFIG REWRITE may have moved them, its own values as before.

    What another has closed stays closed.
    """
    others = [each for each in _IN_ORDER if each != by and are_closed(text, each)]
    if others and not are_closed(text, by):
        return text
    return _with(_opened(text, by if not others else None), others)


def are_closed(text: str, by: Closing = RESTORE) -> bool:
    """Whether redis.conf holds the closing lines."""
    return any(line.startswith(by.mark) for line in _lines(text))


def _with(text: str, closings: Iterable[Closing]) -> str:
    """An open redis.conf with the lines of each of `closings` at its end."""
    before = ", ".join(f"{name} {value}" for name, value in _values(text).items())
    for each in closings:
        end = "" if not text or text.endswith("\n") else "\n"
        mark = f"{each.mark} (before: {before})" if before else each.mark
        text = f"{text}{end}{mark}\n{SETTING} {each.number}\n{LAG} {LAG_CLOSED}\n"
    return text


def _opened(text: str, by: Closing | None = None) -> str:
    """redis.conf without the lines of `by`, or of everybody."""
    closings = _IN_ORDER if by is None else (by,)
    numbers = [each.value for each in closings]
    kept: list[str] = []
    own: dict[str, str] = {}
    behind = 0
    for line in _lines(text):
        words = line.lower().split()
        if line.startswith(tuple(each.mark for each in closings)):
            own = own or dict(_BEFORE.findall(line))
            behind = 2
            continue
        ours = (words[:1] == [SETTING] and words[1:2] and words[1] in numbers) or (
            behind and words[:2] == [LAG, LAG_CLOSED]
        )
        behind = max(behind - 1, 0)
        if not ours:
            kept.append(line)
    opened = "".join(kept)
    lost = {name: value for name, value in own.items() if _values(opened).get(name) != value}
    return opened + "".join(f"{name} {value}\n" for name, value in lost.items())
