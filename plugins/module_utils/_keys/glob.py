# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Patterns of keys as the server understands them in KEYS and SCAN, for when there are several. Pure.

`*`, `?`, `[abc]`, `[^a-c]` and `\\` act on bytes. A pattern becomes a regular expression that never tries twice what a
star could be, so that no pattern takes long.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

_NOTHING = b"(?!)"


def _signed(byte: int) -> int:
    """A byte as the server's C compares it in a range: a signed char, on the processors that most servers run on."""
    return byte - 256 if byte > 127 else byte


def _one_of(pattern: bytes, at: int) -> tuple[bytes, int]:
    """The class that begins behind a `[`, as an expression, and where the pattern goes on. It may be unclosed."""
    negated = pattern[at : at + 1] == b"^"
    at += negated
    found: set[int] = set()
    while at < len(pattern):
        left = len(pattern) - at
        byte = pattern[at]
        if byte == ord("\\") and left >= 2:
            at += 1
            found.add(pattern[at])
        elif byte == ord("]"):
            break
        elif left >= 3 and pattern[at + 1] == ord("-"):
            first, last = sorted((_signed(byte), _signed(pattern[at + 2])))
            found.update(each % 256 for each in range(first, last + 1))
            at += 2
        else:
            found.add(byte)
        at += 1
    if negated:
        found = set(range(256)) - found
    if not found:
        return _NOTHING, at + 1
    return b"[" + b"".join(b"\\x%02x" % each for each in sorted(found)) + b"]", at + 1


def expression(pattern: bytes) -> bytes:
    """A pattern as the source of a regular expression for a whole key (with DOTALL). Pure."""
    pieces: list[list[bytes]] = [[]]  # between the stars
    at = 0
    while at < len(pattern):
        char = pattern[at : at + 1]
        at += 1
        if char == b"*":
            if len(pieces) == 1 or pieces[-1]:
                pieces.append([])
        elif char == b"?":
            pieces[-1].append(b".")
        elif char == b"[":
            piece, at = _one_of(pattern, at)
            pieces[-1].append(piece)
        else:
            if char == b"\\" and at < len(pattern):
                char = pattern[at : at + 1]
                at += 1
            pieces[-1].append(re.escape(char))
    first, *rest = (b"".join(piece) for piece in pieces)
    if not rest:
        return first
    # What stands between two stars may be found at its first place: looking further never helps the rest.
    early = (b"(?=(?P<s%d>.*?%b))(?P=s%d)" % (number, piece, number) for number, piece in enumerate(rest[:-1]))
    return first + b"".join(early) + b".*" + rest[-1]


def compile_pattern(pattern: bytes) -> re.Pattern[bytes]:
    """An expression whose `fullmatch` says what the server would."""
    if pattern == b"*":
        return re.compile(b".*", re.DOTALL)
    if pattern and not pattern.strip(b"*"):
        return re.compile(b".+", re.DOTALL)  # the server's loop never begins with an empty key
    return re.compile(expression(pattern) if pattern else b"", re.DOTALL)


class Patterns:
    """Several patterns: which keys one of them matches, and which patterns have matched none."""

    def __init__(self, patterns: Sequence[bytes]) -> None:
        self.texts = tuple(dict.fromkeys(patterns))
        self._compiled = {pattern: compile_pattern(pattern).fullmatch for pattern in self.texts}
        self._waiting = dict(self._compiled)  # those that have matched none yet

    @property
    def everything(self) -> bool:
        """All keys are asked for."""
        return b"*" in self.texts

    @property
    def by_server(self) -> bytes | None:
        """The pattern that the server can look for, when there is just one."""
        return self.texts[0] if len(self.texts) == 1 and not self.everything else None

    @property
    def unmatched(self) -> tuple[bytes, ...]:
        """The patterns that no key has matched yet."""
        return tuple(self._waiting)

    def matching(self, keys: list[bytes]) -> list[bytes]:
        """Those of the keys that a pattern matches."""
        if len(self.texts) > 1 and not self.everything:
            matches = self._compiled.values()
            keys = [key for key in keys if any(match(key) for match in matches)]
        if self._waiting and keys:
            self._notice(keys)
        return keys

    def _notice(self, keys: Iterable[bytes]) -> None:
        if len(self.texts) == 1:
            self._waiting.clear()  # the server has looked
            return
        for pattern, match in list(self._waiting.items()):
            if any(match(key) for key in keys):
                del self._waiting[pattern]
