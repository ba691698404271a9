# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a server holds after a play that was cut short, by what INFO tells. Pure.

The offset that is announced with an RDB is so far ahead of the server's own that no other event can bring it there: a
server that shows it has taken that RDB over as a whole. A process never goes back to an older one. Its replication ids
tell less: they change with the first replica (or backup by stream), and an hour after the last one.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from .._server.facts import Facts

TAKEN, REFUSED, UNKNOWN = "taken", "not taken", "unknown"
_GAP = 1 << 40
_ID_BYTES = 20


@dataclass(frozen=True)
class Announced:
    """One play: what was played, where, under which replication id and offset, to which process of the server."""

    what: str
    host: str
    port: int
    replid: str
    offset: int
    run_id: str

    def entry(self) -> dict[str, Any]:
        """As a journal keeps it."""
        return asdict(self)


def announced_of(entry: Mapping[str, Any]) -> Announced | None:
    """As a journal kept it; None when nothing was played yet."""
    return Announced(**entry) if entry else None


def announce(what: str, host: str, port: int, facts: Facts) -> Announced:
    """Under which id and offset to play: the server's own id, and an offset far ahead of its own.

    With its own id, a server from 7.0 on goes on answering reads while it loads (async_loading): to it this is another
    state of the same data. With an offset far ahead no replica of the server can ask to go on from what it has: each
    has to take the whole new data over.
    """
    replid = facts.info.get("master_replid", "") or secrets.token_hex(_ID_BYTES)
    offset = facts.number("master_repl_offset") + _GAP + secrets.randbelow(_GAP)
    return Announced(what, host, port, replid, offset, facts.info.get("run_id", ""))


def follows_us(facts: Facts, played: Announced | None) -> bool:
    """Whether the server is the replica of a play of ours, running or cut short."""
    if facts.role != "replica" or played is None:
        return False
    return (facts.info.get("master_host"), facts.number("master_port")) == (played.host, played.port)


def outcome(facts: Facts, played: Announced | None) -> str:
    """Whether the server has taken over what was played: TAKEN, REFUSED, or UNKNOWN when it was started anew since."""
    if played is None:
        return REFUSED
    if facts.info.get("run_id") != played.run_id:
        return UNKNOWN
    return TAKEN if facts.number("master_repl_offset") >= played.offset else REFUSED
