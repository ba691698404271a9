# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a look at the instances of one host gave, as members. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def seen_members(
    looked: Mapping[str, Any], host: str, entries: Sequence[Mapping[str, Any]], address: str = ""
) -> list[dict[str, Any]]:
    """The members of a host from the registered loop over the names of its instances.

    The loop ends where the host does not answer: what it did not come to is not reachable either.
    """
    results = looked.get("results") or []
    by_name = {str(result.get("redis_common_name")): result for result in results}
    gone = bool(looked.get("unreachable")) or any(result.get("unreachable") for result in results)
    found = []
    for entry in entries:
        result = by_name.get(str(entry["name"]), {})
        instance = result.get("instance") or None
        found.append(
            {
                "host": host,
                "address": address,
                "reachable": bool(instance) or not gone,
                "entry": dict(entry),
                "instance": instance,
                "error": "" if instance else str(result.get("msg") or "it was not looked at"),
            }
        )
    return found
