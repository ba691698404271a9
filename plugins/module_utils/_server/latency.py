# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How fast a server answers: the baseline kept with each backup, and the bound after a recovery."""

from __future__ import annotations

import time
from collections.abc import Sequence

from .connection import Server


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which `share` (0 to 1) of the values lie, by nearest rank. Pure."""
    ordered = sorted(values)
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)]


def ping_latency(server: Server, rounds: int = 100) -> dict[str, float]:
    """Milliseconds that PING takes, one after the other: `{"p50": 0.08, "p99": 0.2, "max": 0.3}`."""
    taken = []
    for _round in range(rounds):
        begun = time.perf_counter()
        server.call("PING")
        taken.append((time.perf_counter() - begun) * 1000)
    return {
        "p50": round(percentile(taken, 0.50), 3),
        "p99": round(percentile(taken, 0.99), 3),
        "max": round(max(taken), 3),
    }


def ping_throughput(server: Server, commands: int = 20_000, depth: int = 200) -> float:
    """Commands a second in pipelines of `depth` PINGs over one connection."""
    batch = [("PING",)] * depth
    begun = time.perf_counter()
    for _batch in range(commands // depth):
        server.pipeline(batch)
    return round(commands / (time.perf_counter() - begun), 1)
