# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A redis.conf proven before it is written: a throw-away server starts with it and says what it means."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator, Sequence

from .._config.conf_file import ConfFile, Line, split_lines
from .._config.quoting import ENCODING, ERRORS, quote_arg
from .._config.redact import HIDDEN, redact_conf
from .._errors import ConfigError
from .._server.connection import Login, Server
from .._server.process import may_read
from .._server.throwaway import ThrowawayFailed, Workplace, throwaway, workplace

_ASKER = "redis_backup-throwaway"
# What would reach beyond the throw-away server; the last line of each counts.
_HARMLESS = (
    "replicaof no one",
    "cluster-enabled no",
    "cluster-config-file nodes-of-a-throwaway.conf",
    "supervised no",
    "syslog-enabled no",
    'aclfile ""',
    "oom-score-adj no",
)
_ASKED_WITH = ("auth", "config")  # commands that the proof needs under their own names
_DROPPED = ("user",)  # users cannot be taken back; their lines are not proven


@contextlib.contextmanager
def judge_server(
    program: str, user: tuple[int, int] | None, version: Sequence[int], modules: Sequence[Line] = ()
) -> Iterator[Server]:
    """A throw-away server with defaults, and the modules that redis.conf loads."""
    with workplace(user) as place:
        lines = [*place.own_lines, *(line.raw.strip() for line in modules)]
        if tuple(version) >= (7, 0):
            lines.append("enable-protected-configs yes")
        conf = place.write("redis.conf", ("\n".join(lines) + "\n").encode(ENCODING, ERRORS))
        with throwaway(program, place, conf) as server:
            yield server


@contextlib.contextmanager
def proven(file: ConfFile, program: str, user: tuple[int, int] | None) -> Iterator[Server]:
    """A throw-away server that has started with the lines of `file` and its includes, as they stand in memory.

    Raises ConfigError with the file, the line and the server's words when it does not start.
    """
    with workplace(user) as place:
        if place.user:
            _require_readable(file, *place.user)
        path = _lay_out(file, place)
        try:
            with throwaway(program, place, path, cwd=os.path.dirname(os.path.abspath(file.path))) as server:
                asker = Login(unix_socket=server.login.unix_socket, user=_ASKER, password="none")
                with Server(asker) as asking:
                    yield asking
        except ThrowawayFailed as error:
            raise _refused(file, error.words) from None


def _require_readable(file: ConfFile, uid: int, gid: int) -> None:
    """Raise ConfigError for a file that the server's user may not read: it would get a copy.

    So a link or an include that this user planted does not bring it what only root may read.
    """
    closed = next((each.path for each in file.files() if not may_read(each.path, uid, gid)), "")
    if closed:
        raise ConfigError(
            f"{closed}: the server's user {uid} may not read it, so that the server would not start",
            untouched="Nothing was changed",
            hint="Let this user read it, or take the include out",
        )


def _lay_out(file: ConfFile, place: Workplace) -> str:
    """Copies of the files in a throw-away server's directory, their includes pointing at the copies; the main one."""
    names: dict[int, str] = {id(each): os.path.join(f"conf{n}", "redis.conf") for n, each in enumerate(file.files())}
    for each in file.files():
        copied = "".join(_copied(line, place, names) for line in each.lines)
        if each is file:
            end = "" if not copied or copied.endswith("\n") else "\n"
            own = [*place.own_lines, *_HARMLESS, f"user {_ASKER} on nopass ~* &* +@all"]
            if any(line.name == "tls-port" and line.args not in ((), ("0",)) for _file, _i, line in each.walk()):
                own += ["tls-port 0", "tls-replication yes"]  # its certificates are read without a listener
            copied += end + "\n".join(own) + "\n"
        place.write(names[id(each)], copied.encode(ENCODING, ERRORS))
    return os.path.join(place.path, names[id(file)])


def _copied(line: Line, place: Workplace, names: dict[int, str]) -> str:
    """A line for the copy; it stays one line, so that the server's line numbers are those of the original."""
    renamed = line.args[0].lower() if line.name == "rename-command" and line.args else ""
    if line.name in _DROPPED or renamed in _ASKED_WITH:
        return "\n"
    if line.name == "logfile" and len(line.args) == 1:  # 6.2 would make the file
        return "\n"
    if line.name != "include" or not line.args:
        return line.raw
    copies = [os.path.join(place.path, names[id(file)]) for file in line.included]
    if len(copies) == 1:
        return f"include {quote_arg(copies[0])}\n"
    folder = f"glob{os.path.basename(os.path.dirname(copies[0]))}" if copies else "glob"
    os.makedirs(os.path.join(place.path, folder), exist_ok=True)
    for number, copy in enumerate(copies):
        os.symlink(copy, os.path.join(place.path, folder, f"{number:06d}.conf"))
    return f"include {quote_arg(os.path.join(place.path, folder))}/*.conf\n"


def _refused(file: ConfFile, words: str) -> ConfigError:
    """The error for a redis.conf with which the server does not start, in its words but without secrets."""
    match = re.search(r"at line (\d+)\n>>> '(.*)'\n(.*)", words)
    if match:
        number, quoted, reason = int(match[1]), match[2], match[3].strip()
        owner = next((each for each in file.files() if _line_is(each, number, quoted)), file)
        name = quoted.split()[0] if quoted.split() else "?"
        what = f"{owner.path}, line {number} ({name}): the server would not start with it: {reason}"
    else:
        what = f"the server would not start with {file.path}: {_last_words(words) or 'it gave no reason'}"
    return ConfigError(what, untouched="Nothing was changed", hint="Correct the line, or the value in settings")


def _last_words(log: str) -> str:
    """The last warnings in a server's log, without their stamps and what it says at every start."""
    found = []
    for line in redact_conf(log, HIDDEN).splitlines():
        match = re.match(r"(?:\d+:[A-Z] .*?\d\.\d{3} )?# (?!WARNING|Configuration loaded|oO0)(.*)", line)
        if match or "FATAL" in line:
            found.append(match[1] if match else line.strip())
    return "; ".join(found[-3:])


def _line_is(file: ConfFile, number: int, quoted: str) -> bool:
    if number > len(file.lines):
        return False
    (line,) = split_lines(file.lines[number - 1].raw) or [Line("")]
    return line.raw.strip(" \t\r\n") == quoted
