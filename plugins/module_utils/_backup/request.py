# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a backup (or an export of keys) is asked to be, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .._repository.identity import HostState
from .._repository.pipeline import Packing
from .._repository.store import Store
from .cluster_set import SetPart

RDB, AOF = "rdb", "aof"
ENGINES = (RDB, AOF)


@dataclass(frozen=True)
class WriteRequest:
    """Something of one instance to be written to one or several repositories. Times are seconds.

    `repositories_min` of the stores must have it for the task to succeed; all of them where it is None. `max_ages`
    holds the age, by a store's name, up to which its newest backup makes a new one needless there.
    """

    stores: tuple[Store, ...]
    state: HostState
    packing: Packing
    max_age: float | None = None
    max_ages: Mapping[str, float] = field(default_factory=dict)
    annotations: Mapping[str, Any] = field(default_factory=dict)
    adopt: bool = False
    repositories_min: int | None = None

    @property
    def least(self) -> int:
        """How many repositories must have the backup in the end."""
        return len(self.stores) if self.repositories_min is None else self.repositories_min


@dataclass(frozen=True)
class BackupRequest(WriteRequest):
    """One backup; `part` tells which part of a cluster's set it is, `siblings` who holds the same data."""

    engine: str = RDB
    source: str = "auto"
    wait_timeout: float = 3600.0
    part: SetPart | None = None
    siblings: tuple[str, ...] = ()


@dataclass
class BackupResult:
    """`backup` (or export) is the module's return value, None only in check mode; `actions` tells what was done."""

    changed: bool
    actions: list[str]
    backup: dict[str, Any] | None
    diff: dict[str, str] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
