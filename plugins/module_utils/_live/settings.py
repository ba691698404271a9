# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings of the target that are lent for a while: what they were is noted before, and put back afterwards.

They are set live only: redis.conf is never written, so that a restart of the server brings them all back as well.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from .._config.writes import CLOSED, LAG, SETTING
from .._errors import RestoreError
from .._server.connection import ReplyError, Server

SWAP = "repl-diskless-load"
AUTH = "masterauth"

CLOSING: Mapping[str, str] = {LAG: "10", SETTING: str(CLOSED)}
"""Writes closed: every one is refused with NOREPLICAS; reads go on, and what expires still does."""

PLAYING: Mapping[str, str] = {
    # A load that fails leaves the old data: it stands beside the new until all of that is read.
    SWAP: "swapdb",
    # What the server holds comes as a stream that leaves its own dump file alone, and at once.
    "repl-diskless-sync": "yes",
    "repl-diskless-sync-delay": "0",
    # Reads are answered while the server is our replica; writes are not, and nothing is evicted meanwhile.
    "replica-serve-stale-data": "yes",
    "replica-read-only": "yes",
    "replica-ignore-maxmemory": "yes",
    "masteruser": "",
}


@dataclass(frozen=True)
class Lent:
    """One setting: what it was, and what we have set it to."""

    name: str
    old: str
    ours: str


def lent_of(entries: Iterable[Mapping[str, str]]) -> list[Lent]:
    """Settings as a journal keeps them."""
    return [Lent(**entry) for entry in entries]


def as_entries(lent: Iterable[Lent]) -> list[dict[str, Any]]:
    """Settings for a journal."""
    return [asdict(each) for each in lent]


def plan(wanted: Mapping[str, str], current: Mapping[str, str], before: Iterable[Lent]) -> list[Lent]:
    """What to note before the `wanted` settings are made, in their order. Pure.

    `before` was noted by an earlier run that was cut short: where the setting is still what that run made it, what it
    was before that counts. Otherwise the server was started anew, or somebody else has set it. So what is wanted must
    be the same in all runs of one restore.
    """
    known = {each.name: each for each in before}
    found = []
    for name, ours in wanted.items():
        earlier = known.pop(name, None)
        now = current[name]
        found.append(Lent(name, earlier.old if earlier is not None and now == earlier.ours else now, ours))
    return [*known.values(), *found]


def to_return(lent: Iterable[Lent], current: Mapping[str, str]) -> list[tuple[str, str]]:
    """The settings to put back, the last made first: those that are still ours. Pure."""
    return [(e.name, e.old) for e in reversed(list(lent)) if current.get(e.name) == e.ours != e.old]


def borrow(
    server: Server,
    wanted: Mapping[str, str],
    before: Iterable[Lent],
    note: Callable[[list[Lent]], None],
    title: str,
) -> None:
    """Make the `wanted` settings, after `note` has made durable what they were. Raises RestoreError."""
    current = server.config_get(*wanted)
    missing = [name for name in wanted if name not in current]
    if missing:
        raise _refused(title, missing[0], "the server does not know it")
    note(plan(wanted, current, before))
    for name, value in wanted.items():
        if current[name] != value:
            try:
                server.call("CONFIG", "SET", name, value)
            except ReplyError as error:
                raise _refused(title, name, error.message) from None


def give_back(server: Server, lent: Iterable[Lent]) -> list[str]:
    """Put settings back where they are still what we made them; their names. Raises ServerError."""
    entries = list(lent)
    if not entries:
        return []
    returned = to_return(entries, server.config_get(*dict.fromkeys(each.name for each in entries)))
    for name, value in returned:
        server.call("CONFIG", "SET", name, value)
    return [name for name, _value in returned]


def _refused(title: str, name: str, why: str) -> RestoreError:
    return RestoreError(
        f"{title} does not let us set {name}: {why}",
        untouched="What the server holds was not touched",
        hint="Allow CONFIG SET to the login user (or name a renamed CONFIG in command_map), or restore its files",
    )
