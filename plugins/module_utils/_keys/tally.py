# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What became of the keys while they were read."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from .entry import Entry
from .payload import type_name

NAMED = 20
"""So many keys are named; of the others only the number is told."""

_SHOWN = 200


def shown(name: bytes) -> str:
    """A key for people, as a value of a result: bytes that are no text as escapes, a long one cut. Pure."""
    text = name[:_SHOWN].decode("utf-8", "backslashreplace")
    return text if len(name) <= _SHOWN else f"{text}..."


@dataclass
class Tally:
    """Counts of keys.

    `gone` counts those that SCAN showed and that were no more when they were read, `skipped` those that were left out
    since the format cannot hold them, `in_parts` those read in several steps, `changed` those of them that somebody
    changed meanwhile. `repeated` counts what SCAN showed twice and was read once.
    """

    exported: int = 0
    by_type: Counter[str] = field(default_factory=Counter)
    by_database: Counter[int] = field(default_factory=Counter)
    with_expiry: int = 0
    gone: int = 0
    repeated: int = 0
    skipped: int = 0
    failed: list[dict[str, Any]] = field(default_factory=list)
    in_parts: int = 0
    changed: int = 0
    changed_keys: list[str] = field(default_factory=list)

    def skip(self, database: int, key: bytes, kind: str, why: str) -> None:
        """Count a key that is left out, and why."""
        self.skipped += 1
        if len(self.failed) < NAMED:
            self.failed.append({"db": database, "key": shown(key), "type": kind, "why": why})

    def unfit(self, entry: Entry, kind: str, why: str) -> None:
        """Take back a key that was counted as exported: the format cannot hold it. Parts of it count once."""
        if not entry.part:
            self.skip(entry.database, entry.key, kind, why)
        if not entry.more:
            self.exported -= 1
            self.by_type[kind] -= 1
            self.by_database[entry.database] -= 1
            self.with_expiry -= entry.expires_at is not None

    def change(self, key: bytes) -> None:
        """Count a key that changed while it was read in parts: what was read of it was never true at once."""
        self.changed += 1
        if len(self.changed_keys) < NAMED:
            self.changed_keys.append(shown(key))


_FIRST_BYTES: dict[int, str] = {}


def kind_of_dump(payload: bytes) -> str:
    """The type of the key that a payload was made of."""
    known = _FIRST_BYTES.get(payload[0])
    if known is not None:
        return known
    name = type_name(payload)
    if payload[0] not in (6, 7):  # of a module: the name stands behind
        _FIRST_BYTES[payload[0]] = name
    return name
