# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What became of the keys of an import: numbers, and the first bad ones by name. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .tally import NAMED, shown

_IN_WORDS = 5  # so many bad ones stand in the message; NAMED in the result


@dataclass
class Bad:
    """The keys that cannot be imported: how many, and the first of them. `unit` is what their numbers count."""

    unit: str = "line"
    count: int = 0
    named: list[dict[str, Any]] = field(default_factory=list)
    conflicts: int = 0

    def add(self, number: int, key: bytes | None, why: str, *, conflict: bool = False) -> None:
        """Count one. `key` is None where it is not known."""
        self.count += 1
        self.conflicts += conflict
        if len(self.named) < NAMED:
            name = None if key is None else shown(key)
            self.named.append({self.counted: number, "key": name, "why": why})

    @property
    def counted(self) -> str:
        """What the numbers are called in a result."""
        return "line" if self.unit == "line" else "number"

    @property
    def words(self) -> str:
        """The first few of them, for a message."""
        named = sorted(self.named, key=lambda each: int(each[self.counted]))
        told = [f"{self.unit} {each[self.counted]}{_of(each['key'])}: {each['why']}" for each in named[:_IN_WORDS]]
        if self.count > len(told):
            told.append(f"and {self.count - len(told)} more")
        return "; ".join(told)


def _of(key: str | None) -> str:
    return "" if key is None else f" (key {key})"


@dataclass
class Counts:
    """How many keys were taken, and why the others were not.

    `imported` are the keys that are there now, `replaced` those of them that were there before. `repeated` came twice
    with the same value, `rewritten` were gone when the import was run again after it had been killed.
    """

    imported: int = 0
    replaced: int = 0
    skipped: int = 0
    expired: int = 0
    dropped: int = 0
    unmatched: int = 0
    repeated: int = 0
    rewritten: int = 0
    fields_kept: int = 0
    fields_lost: int = 0
    pending_lost: int = 0

    def as_dict(self) -> dict[str, int]:
        return dict(vars(self))

    @classmethod
    def of(cls, found: Mapping[str, int]) -> Counts:
        """Those that a journal kept."""
        return cls(**{name: int(found.get(name, 0)) for name in vars(cls())})

    def leave_out(self, reason: str) -> None:
        """Count a key that a rule leaves out."""
        setattr(self, reason, getattr(self, reason) + 1)

    def __add__(self, other: Counts) -> Counts:
        mine, added = Counter(self.as_dict()), other.as_dict()
        return Counts(**{name: mine[name] + added[name] for name in added})


def warnings_of(counts: Counts, target: str, policy: str) -> list[str]:
    """What the user should know though the import went well."""
    found = []
    if counts.fields_lost:
        found.append(
            f"{counts.fields_lost} fields of hashes expire where they were exported. {target} does not know that: "
            f"here they stay until their key goes"
        )
    if counts.fields_kept:
        found.append(
            f"{counts.fields_kept} payloads hold hashes whose fields expire, which ttl_policy={policy} does not change"
        )
    if counts.pending_lost:
        found.append(
            f"{counts.pending_lost} pending entries of large streams were left out: their messages had been deleted"
        )
    return found
