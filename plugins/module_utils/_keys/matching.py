# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How many keys a selection would find: their names alone are looked at."""

from __future__ import annotations

from collections.abc import Sequence

from .glob import Patterns
from .seen import LastSeen
from .selection import Selection, databases_of, facts_of, scan_words, select
from .wire import KEY, Wire, require_good

_PAGE = 4000


def count_keys(wires: Sequence[Wire], selection: Selection, patterns: Patterns) -> int:
    """Keys of the selection on all the servers; `patterns` notes which of them matched. Raises ServerError."""
    count = 0
    for wire in wires:
        facts = facts_of(wire)
        for database in databases_of(facts, selection):
            if patterns.everything and not selection.types:
                keys = facts.keyspace[f"db{database}"]["keys"]
                patterns.matching([b""] * bool(keys))
                count += keys
                continue
            select(wire, facts, database)
            count += _scanned(wire, selection, patterns)
    return count


def _scanned(wire: Wire, selection: Selection, patterns: Patterns) -> int:
    words = scan_words(selection, patterns)
    asks_for_types = bool(selection.types) and "TYPE" not in words
    asked_type = wire.template("TYPE", KEY)
    seen, count, cursor = LastSeen(), 0, b"0"
    while True:
        cursor, keys = wire.call("SCAN", cursor, *words, "COUNT", _PAGE)
        keys = seen.fresh(keys)
        if asks_for_types and keys:
            packed = b"".join(asked_type % (len(key), key) for key in keys)
            kinds = require_good(wire.exchange(packed, len(keys), "TYPE"))
            keys = [key for key, kind in zip(keys, kinds) if kind.decode("utf-8", "replace") in selection.types]
        count += len(patterns.matching(keys))
        if cursor == b"0":
            return count
