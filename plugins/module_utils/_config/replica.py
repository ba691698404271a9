# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A replica fenced, followed or detached by lines in redis.conf. Pure.

A replica that starts with nothing would answer that there is nothing. With `replica-serve-stale-data no` it answers
MASTERDOWN until it has copied its primary. The last line of redis.conf leaves no gap, as a setting after the start
would.

A CONFIG REWRITE meanwhile (Sentinel asks for one) puts these values into the first lines of their names and drops the
others. So the mark remembers what the file said of its own.
"""

from __future__ import annotations

import re

from .conf_file import split_lines
from .quoting import quote_arg

STALE = "replica-serve-stale-data"
_STALE_NAMES = (STALE, "slave-serve-stale-data")
_PRIMARY_NAMES = ("replicaof", "slaveof")
_MARK = "# globalscope.redis_backup: it answers nothing until it follows its primary"
_DETACHED = "# globalscope.redis_backup: detached, was "
_BEFORE = re.compile(r" \(before: (\S+), (.*)\)$")

Primary = tuple[str, int]


def own_primary(text: str) -> Primary | None:
    """The primary that a redis.conf names, includes aside; None for a file of a primary."""
    found: Primary | None = None
    for line in split_lines(text):
        if line.name in _PRIMARY_NAMES and len(line.args) == 2:
            none = [word.lower() for word in line.args] == ["no", "one"] or not line.args[1].isdigit()
            found = None if none else (line.args[0], int(line.args[1]))
    return found


def own_stale(text: str) -> str:
    """The value that a redis.conf gives to replica-serve-stale-data, empty when none."""
    values = [line.args[0].lower() for line in split_lines(text) if line.name in _STALE_NAMES and line.args]
    return values[-1] if values else ""


def is_fenced(text: str) -> bool:
    """Whether redis.conf holds the fence."""
    return any(line.raw.startswith(_MARK) for line in split_lines(text))


def is_detached(text: str) -> bool:
    """Whether lines of redis.conf that made a replica were put out of effect by us."""
    return any(line.raw.startswith(_DETACHED) for line in split_lines(text))


def fence(text: str, primary: Primary | None = None) -> str:
    """redis.conf with the fence at its end, for a replica of `primary`; unchanged when it has that.

    A node of a cluster is told by its nodes.conf whom it copies, and refuses to start with a replicaof: None.
    """
    text = unfence(text)
    named = own_primary(text)
    before = f" (before: {own_stale(text) or '-'}, {' '.join(map(str, named)) if named else '-'})"
    end = "" if not text or text.endswith("\n") else "\n"
    return f"{text}{end}{_MARK}{before}\n{_replicaof(primary) if primary else ''}{STALE} no\n"


def unfence(text: str) -> str:
    """redis.conf as it was before the fence, wherever CONFIG REWRITE may have moved the lines."""
    lines = split_lines(text)
    mark = next((line.raw.rstrip("\r\n") for line in lines if line.raw.startswith(_MARK)), None)
    if mark is None:
        return text
    found = _BEFORE.search(mark)
    stale, primary = ("-", None)
    if found:
        words = found[2].split()
        stale, primary = found[1], (words[0], int(words[1])) if len(words) == 2 else None
    kept, in_place, behind = [], False, 0
    for line in lines:
        if line.raw.startswith(_MARK):
            behind = 2
            continue
        ours = behind and line.name in (*_PRIMARY_NAMES, *_STALE_NAMES)
        behind = behind - 1 if ours else 0
        in_place = in_place or bool(ours and line.name in _STALE_NAMES)
        if not ours:
            kept.append(line)
    if not in_place and stale != "no":  # CONFIG REWRITE has moved it to where the directive stood before
        kept = [line for line in kept if line.name not in _STALE_NAMES or line.args[:1] != ("no",)]
    text = _with_primary("".join(line.raw for line in kept), primary)
    if stale != "-" and own_stale(text) != stale:
        text += f"{STALE} {stale}\n"
    return text


def follow(text: str, primary: Primary) -> str:
    """redis.conf of a replica of `primary` without any fence; no other line is touched."""
    return _with_primary(forget_detached(unfence(text)), primary)


def detach(text: str) -> str:
    """redis.conf of a primary: what made it a replica stays as comments, until `attach` or `forget_detached`."""
    text = unfence(text)
    return "".join(f"{_DETACHED}{line.raw}" if line.name in _PRIMARY_NAMES else line.raw for line in split_lines(text))


def attach(text: str) -> str:
    """redis.conf as it was before `detach`."""
    raws = [line.raw for line in split_lines(text)]
    return "".join(raw[len(_DETACHED) :] if raw.startswith(_DETACHED) else raw for raw in raws)


def forget_detached(text: str) -> str:
    """redis.conf without the comments that `detach` left."""
    return "".join(line.raw for line in split_lines(text) if not line.raw.startswith(_DETACHED))


def before(text: str) -> str:
    """redis.conf as it was before any of these."""
    return attach(unfence(text))


def _replicaof(primary: Primary) -> str:
    return f"replicaof {quote_arg(primary[0])} {primary[1]}\n"


def _with_primary(text: str, primary: Primary | None) -> str:
    """The file with these words for its primary; one that says so already stays byte for byte."""
    if own_primary(text) == primary:
        return text
    kept = "".join(line.raw for line in split_lines(text) if line.name not in _PRIMARY_NAMES)
    if primary is None:
        return kept
    end = "" if not kept or kept.endswith("\n") else "\n"
    return f"{kept}{end}{_replicaof(primary)}"
