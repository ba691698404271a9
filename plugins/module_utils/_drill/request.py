# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a drill is asked for, and what came of loading."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Callable

from .._recovery.checks import Expectation
from .._repository.store import Store
from .._repository.suspects import SHRINK_RATIO
from .._server.connection import Login
from .._verify.loaded import Bounds
from .._verify.request import Host
from .choose import AUTO
from .limits import Limits


@dataclass(frozen=True)
class DrillRequest:
    """One drill of one instance. `live` is the server beside which it runs, whose latency is watched.

    `label`, `second` (UTC) and `export` name what is drilled; without any, it is what `pick` says. With `patterns`,
    only these keys are brought back. Targets are seconds.
    """

    stores: tuple[Store, ...]
    instance: str
    host: Callable[[], Host]
    seed: int
    pick: str = AUTO
    label: str = ""
    second: int | None = None
    export: str = ""
    patterns: tuple[bytes, ...] = ()
    expect: Expectation = field(default_factory=Expectation)
    identities: tuple[str, ...] = ()
    bounds: Bounds = field(default_factory=Bounds)
    limits: Limits = field(default_factory=Limits)
    live: Login | None = None
    rto_target: float | None = None
    rpo_target: float | None = None
    shrink_ratio: float = SHRINK_RATIO


@dataclass
class Result:
    """What a throw-away server said. `problems` are the data's, `trouble` the host's or the repository's.

    `served` is how many seconds it took until checked data was served, `seconds` its parts; `moment` the data's own
    time in UTC seconds, `size` its bytes as far as known. `unmet` are the user's expectations that were not met.
    """

    problems: list[str] = field(default_factory=list)
    trouble: str = ""
    label: str = ""
    keys: int | None = None
    size: int | None = None
    digest: str | None = None
    moment: float | None = None
    served: float = 0.0
    seconds: dict[str, float] = field(default_factory=dict)
    unmet: list[str] = field(default_factory=list)
    checks: list[dict[str, Any]] = field(default_factory=list)
    forms: dict[str, float] = field(default_factory=dict)
    server: Mapping[str, str] | None = None
    told: list[str] = field(default_factory=list)
    verified: bool = False
