# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The value that a server would take from redis.conf for one directive: aliases, includes, lines that add up. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from .conf_file import ConfFile
from .values import REPEATING, Words, names_of, takes_words

SEVERAL_VALUES_SINCE = (7, 0)  # `save 900 1 300 10` on one line; and behind an include each save resets the others


def effective_lines(file: ConfFile, name: str, version: Sequence[int]) -> list[Words] | None:
    """The value that a server starting with this file would take for a directive, as lines; None where it says none.

    For what the file says in a way that versions read differently, the answer fits no wish: [[]].
    """
    names = names_of(name)
    found = [line for _file, _index, line in file.walk() if line.name in names]
    if not found:
        return None
    if name not in REPEATING:
        last = list(found[-1].args)
        if found[-1].error or (len(last) != 1 and not takes_words(name)):
            return [[]]
        return [last or [""]]
    if any(line.error for line in found):
        return [[]]
    if name == "save":
        return _effective_saves(file, version)
    lines = [list(line.args) for line in found]
    if name == "client-output-buffer-limit":
        return lines if all(len(line) % 4 == 0 for line in lines) else [[]]
    return lines


def _effective_saves(file: ConfFile, version: Sequence[int]) -> list[Words]:
    """The save points (setConfigSaveOption in config.c): lines add up; from 7.0 on, not behind an include."""
    several = tuple(version) >= SEVERAL_VALUES_SINCE
    points: list[Words] = []
    odd = False

    def read(part: ConfFile) -> None:
        nonlocal points, odd
        adding = True
        for line in part.lines:
            for inner in line.included:
                read(inner)
                adding = not several
            if line.name != "save":
                continue
            words = [word for arg in line.args for word in arg.split()] if several else list(line.args)
            if not adding or not [word for word in words if word]:
                points = []
            if len(words) % 2 == 0 and (several or len(words) <= 2):
                points += [words[at : at + 2] for at in range(0, len(words), 2)]
            elif words != [""]:
                odd = True

    read(file)
    return [[]] if odd else points or [[""]]
