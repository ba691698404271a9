# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""redis.conf as Redis reads it: its lines, its includes, the last directive wins. Reading never changes a byte."""

from __future__ import annotations

import errno
import glob
import os
import re
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from .._errors import ConfigError
from .quoting import ENCODING, ERRORS, split_args

_MAX_DEPTH = 16


@dataclass(frozen=True)
class Directive:
    """One effective line: its lower-case name, its arguments, and where it stands."""

    name: str
    args: tuple[str, ...]
    path: str
    line: int


@dataclass
class Line:
    """One line as it stands, with its end. `name` is empty for blanks and comments, `error` for what can be read.

    `included` are the files that an include brings in here.
    """

    raw: str
    name: str = ""
    args: tuple[str, ...] = ()
    error: str = ""
    included: list[ConfFile] = field(default_factory=list)


@dataclass
class ConfFile:
    """A file line by line: joined, its lines are the file byte for byte."""

    path: str
    lines: list[Line]

    @property
    def text(self) -> str:
        return "".join(line.raw for line in self.lines)

    def walk(self) -> Iterator[tuple[ConfFile, int, Line]]:
        """Every line of this file and of those it includes, with its file and its index, in the order of effect."""
        for index, line in enumerate(self.lines):
            yield self, index, line
            for file in line.included:
                yield from file.walk()

    def files(self) -> Iterator[ConfFile]:
        """This file and those it includes, in order."""
        yield self
        for line in self.lines:
            for file in line.included:
                yield from file.files()

    def args_of(self, names: Iterable[str]) -> list[tuple[str, ...]]:
        """The arguments of every line of a directive, given by all its names, includes followed."""
        wanted = set(names)
        return [line.args for _file, _index, line in self.walk() if line.name in wanted]


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


def split_lines(text: str) -> list[Line]:
    """A file's text as lines, includes unfollowed. Only a newline ends a line, as in Redis. Pure."""
    return [_line(raw) for raw in re.split(r"(?<=\n)", text) if raw]


def _line(raw: str) -> Line:
    bare = raw.strip(" \t\r\n")
    if not bare or bare.startswith("#"):
        return Line(raw)
    try:
        words = split_args(bare)
    except ValueError as error:
        return Line(raw, bare.split()[0].lower(), (), str(error))
    return Line(raw, words[0].lower(), tuple(words[1:])) if words else Line(raw)


def unreadable(path: str, number: int, error: str) -> ConfigError:
    """The error for a line that cannot be read."""
    return ConfigError(f"{path}, line {number}: {error}", untouched="Nothing was changed", hint="Correct the line")


def parse(text: str, path: str) -> Iterator[Directive]:
    """The directives of one file, includes unfollowed. Raises ConfigError with the line. Pure."""
    for number, line in enumerate(split_lines(text), 1):
        if line.error:
            raise unreadable(path, number, line.error)
        if line.name:
            yield Directive(line.name, line.args, path, number)


def load(path: str) -> Conf:
    """Read redis.conf `path` with its includes. Raises ConfigError where Redis would refuse to read it."""
    top = load_file(path)
    conf = Conf(path, files=[file.path for file in top.files()])
    for file, index, line in top.walk():
        if line.error:
            raise unreadable(file.path, index + 1, line.error)
        if line.name and not (line.name == "include" and line.args):
            conf.directives.append(Directive(line.name, line.args, file.path, index + 1))
    return conf


def load_file(path: str) -> ConfFile:
    """Read redis.conf `path` with its includes, line by line. Lines that cannot be read are kept, and say why.

    Raises ConfigError for a file that is missing or cannot be read, and for includes that go round.
    """
    return _load(path, os.path.dirname(path), 0)


def _load(path: str, base: str, depth: int, by: str = "") -> ConfFile:
    if depth > _MAX_DEPTH:
        raise ConfigError(f"{path}: includes go round in a circle", untouched="Nothing was changed")
    try:
        with open(path, encoding=ENCODING, errors=ERRORS, newline="", opener=_regular) as stream:
            text = stream.read()
    except OSError as error:
        raise ConfigError(
            f"the configuration file {path} cannot be read: {error.strerror}" + (f" ({by} includes it)" if by else ""),
            untouched="Nothing was changed",
            hint="Correct the include, or bring the file back"
            if by
            else "Name the right file with config_file, or run as a user who may read it",
        ) from None
    file = ConfFile(path, split_lines(text))
    for number, line in enumerate(file.lines, 1):
        if line.name == "include" and line.args:
            by_line = f"{path}, line {number},"
            line.included = [_load(found, base, depth + 1, by_line) for found in _included(line.args[0], base)]
    return file


def _regular(path: str, flags: int) -> int:
    """Open a file, but no pipe or device, which might never end. A directory is refused by whoever reads it."""
    fd = os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC)
    mode = os.fstat(fd).st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        os.close(fd)
        raise OSError(errno.EINVAL, "it is no regular file", path)
    return fd


def _included(wanted: str, base: str) -> list[str]:
    """The files that an include names. Redis takes a relative one from its working directory, which is seldom known."""
    path = os.path.join(base, wanted)
    if glob.has_magic(path):
        return sorted(glob.glob(path))
    return [path]
