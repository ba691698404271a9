# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run found and did, as the module returns it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass
class Outcome:
    """What a run found and did, as the module returns it."""

    changed: bool = False
    actions: list[str] = field(default_factory=list)
    drift: list[dict[str, Any]] = field(default_factory=list)
    restart_required: bool = False
    restart_reasons: list[str] = field(default_factory=list)
    restart_safe: bool = False
    restart_refusals: list[str] = field(default_factory=list)
    deferred: list[str] = field(default_factory=list)
    backup_file: str | None = None
    config_file: str = ""
    state: str = ""
    keys: int | None = None
    preflight: list[dict[str, Any]] = field(default_factory=list)
    diff: dict[str, str] = field(default_factory=dict)
