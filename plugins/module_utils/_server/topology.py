# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A node's place among others."""

from __future__ import annotations

from typing import Any

from .facts import Facts


def topology(facts: Facts) -> dict[str, Any]:
    """The node's place among others, as INFO tells it. Pure."""
    replicas = []
    for number in range(facts.number("connected_slaves")):
        fields = dict(p.split("=", 1) for p in facts.info.get(f"slave{number}", "").split(",") if "=" in p)
        if "ip" in fields:
            replicas.append(
                {
                    "host": fields["ip"],
                    "port": int(fields.get("port", 0)),
                    "state": fields.get("state", ""),
                    "offset": int(fields.get("offset", 0)),
                }
            )
    primary = None
    if facts.role == "replica":
        primary = {
            "host": facts.info.get("master_host", ""),
            "port": facts.number("master_port"),
            "link_up": facts.link_up,
            "sync_in_progress": facts.syncing,
        }
    return {"mode": facts.mode, "role": facts.role, "primary": primary, "replicas": replicas}
