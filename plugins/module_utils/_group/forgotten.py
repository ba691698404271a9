# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A Sentinel that was made to forget its primary, and not made to watch it again, as the run was killed between.

It watches nothing, so that nobody would find out whose Sentinel it is; but what it watched is written down.
"""

from __future__ import annotations

from typing import Any

from .._server.sentinel import unseen_master
from .._server.topology import SENTINEL
from .journal import held_by


def with_forgotten(described: dict[str, Any], state_dir: str) -> dict[str, Any]:
    """The value `instance` of redis_instance_info, with the primaries that a Sentinel should be watching, and does not.

    Such a one is marked `forgotten`. Of a Sentinel that is down its sentinel.conf and the journal tell together.
    """
    topology = described["topology"]
    told = topology.get("sentinel")
    if topology.get("role") != SENTINEL or told is None:
        return described
    known = {master["name"] for master in told["masters"]}
    lost = []
    for watch in held_by(state_dir, described["name"]):
        if watch.master in known:
            continue
        master = unseen_master(watch.master, watch.host, watch.port, watch.quorum)
        numbers = {"down_after_ms": "down-after-milliseconds", "failover_timeout_ms": "failover-timeout"}
        for key, option in {**numbers, "parallel_syncs": "parallel-syncs"}.items():
            value = watch.value(option)
            master[key] = int(value) if value.isdecimal() else master[key]
        lost.append({**master, "forgotten": True})
    if not lost:
        return described
    masters = [*told["masters"], *lost]
    return {**described, "topology": {**topology, "sentinel": {**told, "masters": masters}}}
