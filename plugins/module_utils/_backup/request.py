# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a backup is asked to be, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .._repository.identity import HostState
from .._repository.pipeline import Packing
from .._repository.store import Store


@dataclass(frozen=True)
class BackupRequest:
    """One backup of one instance into one or several repositories. Times are seconds."""

    stores: tuple[Store, ...]
    state: HostState
    packing: Packing
    source: str = "auto"
    max_age: float | None = None
    annotations: Mapping[str, Any] = field(default_factory=dict)
    adopt: bool = False
    wait_timeout: float = 3600.0


@dataclass
class BackupResult:
    """`backup` is the module's return value, None only in check mode; `actions` tells in words what was done."""

    changed: bool
    actions: list[str]
    backup: dict[str, Any] | None
    diff: dict[str, str] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
