# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""redis.conf as Redis reads it: its quoting, its includes, the last directive wins. Reading never changes a byte.

Quoting is that of sdssplitargs in sds.c: no comments behind a value, `"` with \\xHH \\n \\r \\t \\b \\a, `'` with
\\' only.
"""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from .._errors import ConfigError

_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "a": "\a"}
_BLANKS = " \t\n\r\v\f\0"  # what C's isspace takes for a blank; Python knows many more
_MAX_DEPTH = 16
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
    escapes = {"\\": "\\\\", '"': '\\"', **{char: f"\\{letter}" for letter, char in _ESCAPES.items()}}
    return '"' + "".join(escapes.get(char, char) for char in word) + '"'


@dataclass(frozen=True)
class Directive:
    """One effective line: its lower-case name, its arguments, and where it stands."""

    name: str
    args: tuple[str, ...]
    path: str
    line: int


@dataclass
class Conf:
    """The directives of a redis.conf and its includes, in the order in which Redis applies them."""

    path: str
    directives: list[Directive] = field(default_factory=list)
    files: list[str] = field(default_factory=list)

    def all(self, name: str) -> list[tuple[str, ...]]:
        """The arguments of every line of directive `name`."""
        return [d.args for d in self.directives if d.name == name]

    def get(self, name: str, default: str | None = None) -> str | None:
        """The first argument of the last line of directive `name`."""
        found = self.all(name)
        return found[-1][0] if found and found[-1] else default


def parse(text: str, path: str) -> Iterator[Directive]:
    """The directives of one file, includes unfollowed. Raises ConfigError with the line. Pure."""
    for number, line in enumerate(text.split("\n"), 1):
        line = line.strip(" \t\r\n")
        if not line or line.startswith("#"):
            continue
        try:
            words = split_args(line)
        except ValueError as error:
            raise ConfigError(
                f"{path}, line {number}: {error}", untouched="Nothing was changed", hint="Correct the line"
            ) from None
        if words:
            yield Directive(words[0].lower(), tuple(words[1:]), path, number)


def load(path: str) -> Conf:
    """Read redis.conf `path` with its includes. Raises ConfigError where Redis would refuse to read it."""
    conf = Conf(path)
    _load(path, conf, 0)
    return conf


def _load(path: str, conf: Conf, depth: int) -> None:
    if depth > _MAX_DEPTH:
        raise ConfigError(f"{path}: includes go round in a circle", untouched="Nothing was changed")
    try:
        with open(path, encoding=ENCODING, errors=ERRORS, newline="") as stream:
            text = stream.read()
    except OSError as error:
        raise ConfigError(
            f"the configuration file {path} cannot be read: {error.strerror}",
            untouched="Nothing was changed",
            hint="Name the right file with config_file, or run as a user who may read it",
        ) from None
    conf.files.append(path)
    for directive in parse(text, path):
        if directive.name == "include" and directive.args:
            for included in _included(directive, os.path.dirname(conf.path)):
                _load(included, conf, depth + 1)
        else:
            conf.directives.append(directive)


def _included(directive: Directive, base: str) -> list[str]:
    """The files that an include names. Redis takes a relative one from its working directory, which is seldom known."""
    wanted = os.path.join(base, directive.args[0])
    if glob.has_magic(wanted):
        return sorted(glob.glob(wanted))
    return [wanted]
