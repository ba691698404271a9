# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes closed before a restored server starts, and opened when it is proven: in redis.conf, then in the server."""

from __future__ import annotations

import os

from .._config.conf_file import load
from .._config.quoting import ENCODING, ERRORS
from .._config.writes import (
    CLOSED,
    FREEZE,
    LAG,
    RESTORE,
    SETTING,
    VALUES,
    Closing,
    are_closed,
    close_writes,
    open_writes,
)
from .._errors import ServerError
from .._files import write_atomic
from .._server.connection import ReplyError
from .._server.instance import Instance
from .journal import Journal


def edit_writes(path: str, *, close: bool, by: Closing = RESTORE) -> bool:
    """Close or open writes in redis.conf; whether that changed it. Owner and mode stay."""
    with open(path, encoding=ENCODING, errors=ERRORS, newline="") as stream:
        text = stream.read()
    changed = close_writes(text, by) if close else open_writes(text, by)
    if changed == text:
        return False
    found = os.stat(path)
    owner = (found.st_uid, found.st_gid) if os.geteuid() == 0 else None
    real = os.path.realpath(path)
    write_atomic(real, changed.encode(ENCODING, ERRORS), mode=found.st_mode & 0o7777, owner=owner)
    return True


def as_frozen_as(path: str, data: bytes) -> bytes:
    """A redis.conf that is to take the place of the one at `path`, frozen if that is, and open if it is not.

    A backup may have been made in a freeze, and a restore in a freeze must not end it.
    """
    frozen = False
    if os.path.exists(path):
        with open(path, encoding=ENCODING, errors=ERRORS, newline="") as stream:
            frozen = are_closed(stream.read(), FREEZE)
    text = data.decode(ENCODING, ERRORS)
    return (close_writes(text, FREEZE) if frozen else open_writes(text, FREEZE)).encode(ENCODING, ERRORS)


def writes_are_closed(instance: Instance) -> bool:
    """Whether the running server refuses writes because we closed them, for a restore or a freeze."""
    return instance.config.get(SETTING) in VALUES


def open_all_writes(instance: Instance, journal: Journal) -> list[str]:
    """Open writes in redis.conf and in the running server. The file first: a restart in between opens them too."""
    if not journal.writes_closed:
        return []
    path = journal.config_file
    actions = []
    wanted = {SETTING: "0", LAG: "10"}
    if os.path.exists(path):
        with open(path, encoding=ENCODING, errors=ERRORS, newline="") as stream:
            closed = are_closed(stream.read())
        if closed:
            edit_writes(path, close=False)
            actions.append(f"opened writes in {path}")
        conf = load(path)
        for name, default in wanted.items():
            wanted[name] = conf.get(name) or conf.get(name.replace("replicas", "slaves")) or default
    if instance.facts is not None:
        try:
            if instance.server.config_get(SETTING).get(SETTING) == str(CLOSED):
                for name, value in wanted.items():
                    instance.server.call("CONFIG", "SET", name, value)
                actions.append("opened writes in the running server")
        except ReplyError as error:
            raise ServerError(
                f"writes of {instance.title} cannot be opened: {error.message}",
                untouched="The restored data is in place and serves reads",
                hint=f"Set {SETTING} back with CONFIG SET, then run state: committed again",
            ) from None
    return actions
