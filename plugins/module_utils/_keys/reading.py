# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The keys of a running server, read with SCAN in constant memory and one round trip a page.

    request n:    SCAN of page n+2    type and size of page n+1    values of page n

The next request is on its way before the values of this one are looked at, so that the server and we work at the same
time. Sizes are known before values are asked for: what is under way at once is bounded. What is read is no point in
time; a key is read at one moment, but for large values that come in parts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from .database import Database
from .entry import Entry
from .glob import Patterns
from .pace import Pace
from .selection import Selection, databases_of, facts_of, select
from .tally import Tally
from .values import TYPED
from .wire import Wire

__all__ = ["TYPED", "Selection", "read_keys"]


def read_keys(
    wires: Wire | Sequence[Wire],
    selection: Selection,
    kind: str = TYPED,
    *,
    tally: Tally | None = None,
    patterns: Patterns | None = None,
    unfit: Callable[[str], str | None] | None = None,
) -> Iterator[list[Entry]]:
    """Every key of the selection, of one server or of the nodes of a cluster, in lists as they come.

    `kind` is TYPED, or DUMP for payloads of all. What cannot be read typed comes as a dump in both. `tally` counts
    what else became of keys, `patterns` notes which of them matched. `unfit` tells why a type shall be left out.
    Raises ServerError.
    """
    wires = [wires] if isinstance(wires, Wire) else wires
    tally = Tally() if tally is None else tally
    patterns = Patterns(selection.patterns) if patterns is None else patterns
    pace = Pace(selection.keys_per_second)
    for wire in wires:
        facts = facts_of(wire)
        for database in databases_of(facts, selection):
            select(wire, facts, database)
            yield from Database(wire, facts, database, selection, kind, tally, patterns, unfit, pace).read()
