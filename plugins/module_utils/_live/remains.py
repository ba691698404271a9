# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a live restore that was cut short has left, as the journal on this host and the server tell. Looking only."""

from __future__ import annotations

import os
from dataclasses import dataclass

from .._config.writes import CLOSED, SETTING
from .._restore.journal import SWAPPED, Journal, Workspace
from .._server.facts import Facts
from .._server.instance import Instance
from .outcome import UNKNOWN, Announced, announced_of, follows_us, outcome
from .seat import seat_path

COMMITTED, ROLLED_BACK = "committed", "rolled_back"


@dataclass(frozen=True)
class Remains:
    """A live restore that was begun and not ended. `mend` is the state that ends it unasked, empty where none may."""

    id: str
    label: str
    state: str
    mend: str
    says: str

    def result(self) -> dict[str, str]:
        """As redis_assess returns it."""
        return {"id": self.id, "label": self.label, "state": self.state, "mend": self.mend}


def live_remains(instance: Instance, state_dir: str) -> Remains | None:
    """What a live restore of this instance has left; None where there is none, or it went to its end."""
    if not state_dir:
        return None
    workspace = Workspace(seat_path(os.path.normpath(state_dir), instance.name))
    if not os.access(workspace.root, os.R_OK | os.X_OK):
        return None
    journal = workspace.current()
    if journal is None or journal.instance != instance.name or journal.state not in SWAPPED:
        return None
    played = announced_of(journal.live.get("played") or {})
    closed = instance.facts is not None and instance.config.get(SETTING) == str(CLOSED)
    mend = how_to_mend(journal.state, instance.facts, played, closed=closed)
    return Remains(journal.id, journal.label, journal.state, mend, _says(journal, instance.facts, played, mend))


def how_to_mend(state: str, facts: Facts | None, played: Announced | None, *, closed: bool) -> str:
    """The state that ends a live restore unasked; empty where an operator has to choose. Pure.

    A server that was started anew since has its own settings again and may have taken writes: to play what it held
    before would cost them. One that still refuses writes for our sake has taken none.
    """
    if state == "committing":
        return COMMITTED if facts is not None else ""
    if facts is None:
        return ""
    if played is not None and outcome(facts, played) == UNKNOWN:
        return ""
    return ROLLED_BACK if closed or follows_us(facts, played) else ""


def _says(journal: Journal, facts: Facts | None, played: Announced | None, mend: str) -> str:
    """The remains in words, with the way out."""
    what = f"the live restore {journal.id} of {journal.label} was begun and is {journal.state}, not committed"
    if facts is None:
        return f"{what}; the server comes up with the old data or the new, by its own settings, when it is started"
    again = "run redis_restore again with method: replication, or with state: rolled_back"
    if follows_us(facts, played):
        return f"{what}: the server is a read-only replica of a task that has ended; {again}"
    if not mend:
        kept = "rolled_back plays what it held before the restore, and keeps what it holds now"
        return f"{what}, and the server takes writes by now; {again} ({kept})"
    return f"{what}: writes are closed; {again}"
