# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Regular expressions that match a whole command at once, so that C and not Python reads an AOF. Pure.

A regular expression cannot count to a number that stands in the text, but it can know each number: `$12` is the branch
`1`, then `2`, then any 12 bytes. So the short words are a tree of digits; a longer word ends the match, and its length
is captured. What matches is exactly what a server writes; for all else there is the reader's slow path.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

_LONGEST_NAME = 24
_SHORT = 127  # the longest word that has its own branch: more of them cost more to compile than they save
_WORDS = 6  # the most words of a command that is matched at once
_RUN = 8  # the words of a long command that are matched at once
_LONG = r"[1-9][0-9]{2,8}"
_ANY = r"[\s\S]"
_OTHER = rf"|(?P<other>{_ANY})"


@dataclass(frozen=True)
class Shapes:
    """`command` matches at the beginning of a command or annotation, `run` and `word` where a word begins.

    In a match of `command` the last group tells what it is: none, a whole command; `multi`, `exec` or `stamp`,
    that one; `many`, the number of words and the first of them, of which the others follow; one in `left`, the length
    of a long word that follows, and there how many words are behind it; `other`, one byte where nothing of that
    stands, so that matches follow upon each other without a gap. A match of `run` or `word` with a group is one too,
    unless it is `long`, the length of a long word.
    """

    command: re.Pattern[bytes]
    run: re.Pattern[bytes]
    word: re.Pattern[bytes]
    left: dict[int, int]
    multi: int
    exec: int
    stamp: int
    many: int
    other: int
    long: int

    words_in_a_run = _RUN

    @functools.cached_property
    def marks(self) -> frozenset[int]:
        """What is whole, but no common command."""
        return frozenset((self.multi, self.exec, self.stamp))


@functools.lru_cache(maxsize=8)
def shapes(named: tuple[bytes, ...] = (), annotations: bool = True) -> Shapes:
    """The expressions, matching no command of these names (in lower case), nor MULTI or EXEC with more than one word.

    Without `annotations` these do not match either.
    """
    kept = {name.decode("latin-1") for name in named} | {"multi", "exec"}
    name = r"\$" + _tree(range(1, _LONGEST_NAME + 1), lambda length: _but(kept, length) + _bytes(length))
    word = r"\$" + _tree(range(_SHORT + 1), _bytes)
    commands = [rf"{count}\r\n{name}{_words(word, count, count - 1)}" for count in range(2, _WORDS + 1)]
    whole = (
        rf"\*(?:{'|'.join(commands)}|(?P<many>{_WORDS + 1}|[{_WORDS + 2}-9]|[1-9][0-9]{{1,8}})\r\n{name})"
        rf"|(?P<multi>\*1\r\n\$5\r\n(?i:MULTI)\r\n)|(?P<exec>\*1\r\n\$4\r\n(?i:EXEC)\r\n)"
    )
    if annotations:
        whole += r"|\#TS:(?P<stamp>[0-9]{1,11})\r\n"
    command = re.compile((whole + _OTHER).encode("latin-1"))
    groups = command.groupindex
    one = re.compile((word + rf"|\$(?P<long>{_LONG})\r\n" + _OTHER).encode())
    return Shapes(
        command=command,
        run=re.compile((word * _RUN + _OTHER).encode()),
        word=one,
        long=one.groupindex["long"],
        left={groups[key]: int(key.split("_")[2]) for key in groups if key.startswith("long_")},
        multi=groups["multi"],
        exec=groups["exec"],
        stamp=groups.get("stamp", 0),
        many=groups["many"],
        other=groups["other"],
    )


def _words(word: str, count: int, left: int) -> str:
    """So many words, the first long one of which ends the match."""
    if not left:
        return ""
    return rf"(?:{word}{_words(word, count, left - 1)}|\$(?P<long_{count}_{left - 1}>{_LONG})\r\n)"


def _bytes(length: int) -> str:
    return rf"{_ANY}{{{length}}}\r\n" if length else r"\r\n"


def _but(names: Iterable[str], length: int) -> str:
    """Not these names, where they are of that length."""
    found = "|".join(re.escape(name) for name in sorted(names) if len(name) == length)
    return rf"(?!(?i:{found}))" if found else ""


def _tree(lengths: range, body: Callable[[int], str], prefix: str = "") -> str:
    """The decimal numbers of the range, each followed by what `body` makes of it, as a tree of digits."""
    branches = [rf"\r\n{body(int(prefix))}"] if prefix and int(prefix) in lengths else []
    if prefix != "0":
        for digit in "0123456789":
            longer = prefix + digit
            if any(str(length).startswith(longer) for length in lengths):
                branches.append(digit + _tree(lengths, body, longer))
    return branches[0] if len(branches) == 1 else f"(?:{'|'.join(branches)})"
