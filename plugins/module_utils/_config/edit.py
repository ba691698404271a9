# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Directives set in redis.conf, line by line: what is not concerned stays byte for byte. Pure.

Only the main file is edited. An include may serve other instances, so what it says is overridden behind it, as CONFIG
REWRITE does.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

from .._errors import ConfigError
from .conf_file import ConfFile, Line, split_lines
from .effective import SEVERAL_VALUES_SINCE
from .quoting import quote_arg
from .values import REPEATING, Words, all_limits, names_of


def set_directive(
    file: ConfFile, name: str, lines: Sequence[Words] | None, version: Sequence[int], default: Sequence[Words] = ()
) -> None:
    """Make the main file give directive `name` the value `lines`, or (None) not mention it.

    Where an include sets it, the main file overrides that behind the include; with `default` when `lines` is None.
    Raises ConfigError where an include holds what no later line can take back.
    """
    names = names_of(name)
    behind = _last_include_with(file, names)
    if lines is None:
        _remove(file, [i for i, line in enumerate(file.lines) if line.name in names])
        if behind < 0:
            return
        if name in REPEATING and name not in ("save", "client-output-buffer-limit"):
            raise _in_include(file, names)
        lines = default
        behind = _last_include_with(file, names)
    if name == "save":
        _set_saves(file, [list(line) for line in lines], version, behind)
    elif name in REPEATING:
        if behind >= 0:
            if name != "client-output-buffer-limit":
                raise _in_include(file, names)
            lines = all_limits(lines)  # or the include's would count for the classes that are not mentioned
        _set_lines(file, name, list(lines), behind)
    else:
        _set_last(file, name, list(lines)[-1], behind)


def _in_include(file: ConfFile, names: Collection[str]) -> ConfigError:
    where = next((owner, i) for owner, i, line in file.walk() if line.name in names and owner is not file)
    return ConfigError(
        f"{where[0].path}, line {where[1] + 1}: this include of {file.path} sets {min(names, key=len)}, whose lines "
        "add up; a later line cannot take it back",
        untouched="Nothing was changed",
        hint="Take the line out of the include, or the directive out of settings",
    )


def _last_include_with(file: ConfFile, names: Collection[str]) -> int:
    """The index of the last line of the main file whose includes set the directive; -1 when none does."""
    return max(
        (
            index
            for index, line in enumerate(file.lines)
            if any(inner.name in names for each in line.included for _file, _index, inner in each.walk())
        ),
        default=-1,
    )


def _set_saves(file: ConfFile, lines: list[Words], version: Sequence[int], behind: int) -> None:
    if tuple(version) >= SEVERAL_VALUES_SINCE and any(line.included for line in file.lines):
        # One line, the last that counts; nothing before it adds to it.
        mine = [i for i, line in enumerate(file.lines) if line.name == "save"]
        keep = mine[-1] if mine and mine[-1] > behind else -1
        gone = [i for i in mine if i != keep]
        if keep >= 0:
            file.lines[keep] = _written(file.lines[keep], "save", [word for line in lines for word in line])
        _remove(file, gone)
        if keep < 0:
            _insert(file, "save", [[word for line in lines for word in line]], _last_include_with(file, ("save",)))
        return
    if behind >= 0 and lines != [[""]]:
        lines = [[""], *lines]
    _set_lines(file, "save", lines, behind)


def _set_lines(file: ConfFile, name: str, lines: list[Words], behind: int) -> None:
    """Lines that add up: those that are right stay, others are rewritten in place, then removed or added."""
    names = names_of(name)
    mine = [i for i, line in enumerate(file.lines) if line.name in names]
    overridden = [i for i in mine if i < behind]
    _remove(file, overridden)
    behind -= len(overridden)
    mine = [i - len(overridden) for i in mine if i > behind + len(overridden)]
    if [list(file.lines[i].args) for i in mine] == lines:
        return
    for index, words in zip(mine, lines):
        if list(file.lines[index].args) != words:
            file.lines[index] = _written(file.lines[index], name, words)
    extra = lines[len(mine) :]
    if not mine:
        _insert(file, name, extra, behind)
    elif extra:
        _add(file, mine[-1] + 1, name, extra)
    _remove(file, mine[len(lines) :])


def _set_last(file: ConfFile, name: str, words: Words, behind: int) -> None:
    mine = [i for i, line in enumerate(file.lines) if line.name in names_of(name) and i > behind]
    if mine:
        file.lines[mine[-1]] = _written(file.lines[mine[-1]], name, words)
    else:
        _insert(file, name, [words], behind)


def _insert(file: ConfFile, name: str, lines: list[Words], behind: int) -> None:
    """New lines where the file documents the directive, else at its end; behind line `behind` in any case."""
    _add(file, max(_documented(file, name, behind), default=len(file.lines)), name, lines)


def _documented(file: ConfFile, name: str, behind: int) -> list[int]:
    """The indexes behind examples of the directive that are commented out and stand apart from prose."""
    example = re.compile(rf"#+[ \t]*({'|'.join(map(re.escape, names_of(name)))})([ \t]+\S+)*$", re.IGNORECASE)

    def matches(index: int) -> bool:
        return not file.lines[index].name and bool(example.match(file.lines[index].raw.strip(" \t\r\n")))

    def is_prose(index: int) -> bool:
        inside = 0 <= index < len(file.lines)
        return inside and not file.lines[index].name and bool(file.lines[index].raw.strip("# \t\r\n"))

    found = []
    first = behind + 1
    for index in range(behind + 1, len(file.lines)):
        if not matches(index):
            first = index + 1
        elif (index + 1 == len(file.lines) or not matches(index + 1)) and not (
            is_prose(index + 1) or (first > 0 and is_prose(first - 1))
        ):
            found.append(index + 1)
    return found


def _add(file: ConfFile, at: int, name: str, lines: list[Words]) -> None:
    before = file.lines[at - 1] if at else None
    end = _end_of(before) if before else "\n"
    if before and not end:
        end = _end_of(file.lines[0]) or "\n"
        file.lines[at - 1] = _with_raw(before, before.raw + end)
    texts = [f"{name} {' '.join(map(quote_arg, words))}".rstrip(" ") + end for words in lines]
    file.lines[at:at] = [line for text in texts for line in split_lines(text)]


def _written(line: Line, name: str, words: Words) -> Line:
    """A line with another value: its indentation, its spelling of the name and its end stay."""
    indent = line.raw[: len(line.raw) - len(line.raw.lstrip(" \t"))]
    first = line.raw.split(None, 1)[0]
    spelt = first if first.lower() in names_of(name) else name
    (new,) = split_lines(f"{indent}{spelt} {' '.join(map(quote_arg, words))}{_end_of(line)}")
    return new


def _with_raw(line: Line, raw: str) -> Line:
    return Line(raw, line.name, line.args, line.error, line.included)


def _end_of(line: Line) -> str:
    match = re.search(r"\r?\n$", line.raw)
    return match.group() if match else ""


def _remove(file: ConfFile, indexes: Sequence[int]) -> None:
    for index in sorted(indexes, reverse=True):
        del file.lines[index]
