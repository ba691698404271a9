# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a restore is asked to be, and what came of a step."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from .._repository.identity import HostState
from .._repository.store import Store
from .point_plan import Point


@dataclass(frozen=True)
class Selection:
    """Which backup: of `instance`, with `label`, or the newest whose data is not newer than `at` (UTC seconds).

    With a `point`, that moment, where an archive or backups of the AOF can give it.
    """

    store: Store
    instance: str
    label: str | None = None
    at: float | None = None
    point: Point | None = None


@dataclass(frozen=True)
class Options:
    """How. `force` restores again what was restored last; `restore_id` names an older restore to roll back.

    `convert` allows to rewrite a backup that the target refuses, by the server program `convert_executable` (or one of
    PATH), at the price of `convert_drop`. `server_files` is `none`, `missing` or `replace`; `wait` seconds bound the
    wait for processes to end. `sentinels_held`: those that watch the server will not act meanwhile.
    `cluster_node`: it is one step of the recovery of a cluster, which is taken care of as a whole."""

    identities: tuple[str, ...] = ()
    server_files: str = "missing"
    close_writes: bool = False
    wait: float = 30.0
    force: bool = False
    restore_id: str = ""
    check_mode: bool = False
    convert: bool = False
    convert_executable: str = ""
    convert_drop: tuple[str, ...] = ()
    state: HostState | None = None
    sentinels_held: bool = False
    cluster_node: bool = False


@dataclass
class Outcome:
    """What a step did."""

    changed: bool
    actions: list[str] = field(default_factory=list)
    restore: dict[str, Any] | None = None
    diff: dict[str, str] | None = None
