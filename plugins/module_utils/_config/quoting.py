# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The words of a line of redis.conf, and words as such a line holds them. Pure.

Quoting is that of sdssplitargs in sds.c: no comments behind a value, `"` with \\xHH \\n \\r \\t \\b \\a, `'` with
\\' only.
"""

from __future__ import annotations

import re

_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "a": "\a"}
_BLANKS = " \t\n\r\v\f\0"  # what C's isspace takes for a blank; Python knows many more
ENCODING = "utf-8"
ERRORS = "surrogateescape"


def split_args(line: str) -> list[str]:
    """The words of one line. Raises ValueError for unbalanced quotes. Pure."""
    words: list[str] = []
    at, end = 0, len(line)
    while True:
        while at < end and line[at] in _BLANKS:
            at += 1
        if at >= end:
            return words
        if line[at] in "\"'":
            word, at = _quoted(line, at)
        else:
            start = at
            while at < end and line[at] not in " \t\n\r\0\"'":
                at += 1
            word = line[start:at]
            if at < end and line[at] in "\"'":
                quoted, at = _quoted(line, at)
                word += quoted
        words.append(word)


def _quoted(line: str, at: int) -> tuple[str, int]:
    """The quoted word that begins at `at`, and the offset behind its closing quote."""
    quote = line[at]
    at += 1
    word = bytearray()
    while at < len(line):
        char = line[at]
        if quote == '"' and char == "\\" and at + 1 < len(line):
            hexa = re.match(r"\\x([0-9a-fA-F]{2})", line[at : at + 4])
            if hexa:
                word.append(int(hexa.group(1), 16))
                at += 4
                continue
            word += _ESCAPES.get(line[at + 1], line[at + 1]).encode(ENCODING, ERRORS)
            at += 2
        elif quote == "'" and line.startswith("\\'", at):
            word += b"'"
            at += 2
        elif char == quote:
            at += 1
            if at < len(line) and line[at] not in _BLANKS:
                break
            return word.decode(ENCODING, ERRORS), at
        else:
            word += char.encode(ENCODING, ERRORS)
            at += 1
    raise ValueError("unbalanced quotes")


def quote_arg(word: str) -> str:
    """A word as `split_args` reads it back: in quotes where it must be. Pure."""
    if word and word.isprintable() and not any(char in word for char in _BLANKS + "\"'\\"):
        return word
    controls = {chr(code): f"\\x{code:02x}" for code in (*range(32), 127)}
    letters = {char: f"\\{letter}" for letter, char in _ESCAPES.items()}
    escapes = {**controls, **letters, "\\": "\\\\", '"': '\\"'}
    return '"' + "".join(escapes.get(char, char) for char in word) + '"'
