# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Among which servers the instance of a backup was, as its manifest tells. What makes no sense tells nothing. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from .._server.slots import why_no_ranges
from .manifest import Manifest

_ID = re.compile(r"[0-9a-f]{40}")


def cluster_of(manifest: Manifest) -> Mapping[str, Any]:
    """The cluster as the node saw it (`my_id`, `nodes`, `epoch`); empty where it was in none, or does not tell."""
    cluster = _mapping(_topology(manifest).get("cluster"))
    nodes = cluster.get("nodes")
    if not isinstance(nodes, list) or not nodes or not all(_is_node(each) for each in nodes):
        return {}
    mine = cluster.get("my_id")
    known = mine in [each["id"] for each in nodes] and _is_number(cluster.get("epoch") or 0)
    return cluster if known and isinstance(cluster.get("shard_id") or "", str) else {}


def relatives_of(manifest: Manifest) -> list[tuple[str, str]]:
    """Role and address (`host:port`) of those with whom a server of no cluster shared its data."""
    place = _topology(manifest)
    if place.get("mode") != "standalone":
        return []
    replicas = place.get("replicas")
    told = [("primary", _mapping(place.get("primary")))]
    told += [("replica", _mapping(each)) for each in (replicas if isinstance(replicas, list) else [])]
    return [
        (role, f"{each['host']}:{each['port']}")
        for role, each in told
        if isinstance(each.get("host"), str) and each["host"] and _is_number(each.get("port")) and each["port"]
    ]


def _topology(manifest: Manifest) -> Mapping[str, Any]:
    return _mapping(manifest.document.get("topology"))


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _is_number(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_node(row: object) -> bool:
    """Whether a row tells of a node all that is read of it."""
    if not isinstance(row, dict) or not isinstance(row.get("id"), str) or not _ID.fullmatch(row["id"]):
        return False
    words = all(isinstance(row.get(name) or "", str) for name in ("host", "hostname", "primary_id", "shard_id"))
    numbers = all(_is_number(row.get(name) or 0) for name in ("bus_port", "epoch"))
    there = "host" in row and _is_number(row.get("port")) and row.get("role") in ("primary", "replica")
    return words and numbers and there and why_no_ranges(row.get("slots")) is None
