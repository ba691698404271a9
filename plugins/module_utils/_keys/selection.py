# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which keys to read: what a user chooses, and what of it a server can do by itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .._errors import ServerError
from .._server.connection import parse_info
from .._server.facts import Facts
from .entry import TYPED_KINDS
from .glob import Patterns
from .wire import Wire


@dataclass(frozen=True)
class Selection:
    """Which keys to read. No types or databases mean all. `types` are what TYPE says."""

    patterns: tuple[bytes, ...] = (b"*",)
    databases: frozenset[int] | None = None
    types: frozenset[str] = frozenset()
    keys_per_second: int | None = None


def facts_of(wire: Wire) -> Facts:
    """What the server says about itself. Raises ServerError when it has not loaded its data."""
    facts = Facts(parse_info(wire.call("INFO")))
    if facts.loading:
        raise ServerError(
            f"the server at {wire.login.where} is still loading its data",
            untouched="Nothing was exported; the server is as it was",
            hint="Wait until it has loaded",
        )
    return facts


def databases_of(facts: Facts, selection: Selection) -> list[int]:
    """The databases of the selection that hold any keys."""
    found = sorted(int(name[2:]) for name in facts.keyspace)
    return [each for each in found if selection.databases is None or each in selection.databases]


def select(wire: Wire, facts: Facts, database: int) -> None:
    """Turn to a database. A cluster may not know the command."""
    if facts.mode != "cluster" or database:
        wire.call("SELECT", database)


def scan_words(selection: Selection, patterns: Patterns) -> tuple[Any, ...]:
    """What the server can leave out of a scan by itself: keys of one pattern, keys of one type."""
    words: tuple[Any, ...] = ()
    if patterns.by_server is not None:
        words += ("MATCH", patterns.by_server)
    if len(selection.types) == 1 and selection.types <= set(TYPED_KINDS):
        words += ("TYPE", *selection.types)
    return words
