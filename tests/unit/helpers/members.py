# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Instances of an inventory as a run finds them: primaries, replicas, Sentinels, nodes of clusters, lost hosts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

PORT, SENTINEL_PORT = 6379, 26379


def member(number: int, port: int = PORT, *, state: str = "running", **topology: Any) -> dict[str, Any]:
    """An instance on host h<number>, which has the address 10.0.0.<number>; `topology` is what it tells."""
    told = {
        "mode": "standalone",
        "role": "primary",
        "source": "server" if state in ("running", "loading") else "files",
        "machine": f"machine{number}",
        "network": f"machine{number}/net",
        "addresses": [f"10.0.0.{number}:{port}", f"127.0.0.1:{port}", f"h{number}:{port}"],
        "primary": None,
        "replicas": [],
        "replid": "",
        "offset": None,
        "watched_by": [],
        "sentinel": None,
        "cluster": None,
        "problems": [],
        **topology,
    }
    instance = {"state": state, "state_reason": "", "flavour": "redis", "version": "7.0.15", "topology": told}
    return {**gone(number, port), "reachable": True, "instance": instance}


def gone(number: int, port: int = PORT, service: str = "") -> dict[str, Any]:
    """An instance whose host does not answer."""
    entry = {"name": f"h{number}-{port}", "service": service, "module_args": {"login_port": port}}
    return {"host": f"h{number}", "address": f"10.0.0.{number}", "reachable": False, "entry": entry, "instance": None}


def primary(number: int, *replicas: int, offset: int = 1000, **more: Any) -> dict[str, Any]:
    """A primary with replicas on these hosts, each having acknowledged all."""
    told = [
        {"host": f"10.0.0.{each}", "port": PORT, "state": "online", "offset": offset, "lag": 0} for each in replicas
    ]
    return member(number, **{"replicas": told, "replid": "a" * 40, "offset": offset, **more})


def replica(number: int, of: int, *, link_up: bool = True, syncing: bool = False, **more: Any) -> dict[str, Any]:
    """A replica of the server of another host."""
    told = {
        "host": f"10.0.0.{of}",
        "port": PORT,
        "link_up": link_up and more.get("state", "running") == "running",
        "sync_in_progress": syncing,
        "last_io_seconds": 7 if link_up else -1,
        "priority": 100,
        "addresses": [],
    }
    return member(number, **{"role": "replica", "primary": told, "replid": "a" * 40, "offset": 1000, **more})


def sentinel(
    number: int, of: int, replicas: Sequence[int] = (), others: Sequence[int] = (), *, name: str = "shop", **more: Any
) -> dict[str, Any]:
    """A Sentinel that watches the primary of a host; `others` are the hosts of the other Sentinels."""
    state = more.pop("state", "running")
    master = {
        "name": name,
        "host": f"10.0.0.{of}",
        "port": PORT,
        "ok": state == "running",
        "flags": ["master"] if state == "running" else [],
        "quorum": 2,
        "quorum_ok": state == "running",
        "quorum_says": "",
        "replicas": [f"10.0.0.{each}:{PORT}" for each in replicas],
        "sentinels": [f"10.0.0.{each}:{SENTINEL_PORT}" for each in others],
        **more,
    }
    told = {"my_id": f"{number:08x}" * 5, "masters": [master]}
    return member(number, SENTINEL_PORT, state=state, mode="sentinel", role="sentinel", sentinel=told)


def node_id(number: int) -> str:
    return f"{number:08x}" + "0" * 32


def nodes(shards: Mapping[int, Sequence[int]]) -> list[dict[str, Any]]:
    """The table of a cluster: for each primary's host those of its replicas. All slots are shared out."""
    found = []
    for at, (head, replicas) in enumerate(shards.items()):
        slots = [[16384 * at // len(shards), 16384 * (at + 1) // len(shards) - 1]]
        found.append(row(head, slots=slots))
        found += [row(each, role="replica", primary_id=node_id(head)) for each in replicas]
    return found


def row(number: int, **more: Any) -> dict[str, Any]:
    """One node of a cluster's table."""
    return {
        "id": node_id(number),
        "host": f"10.0.0.{number}",
        "port": PORT,
        "hostname": "",
        "role": "primary",
        "primary_id": "",
        "slots": [],
        "epoch": number,
        "usable": True,
        "flags": [],
        **more,
    }


def node(number: int, table: Sequence[Mapping[str, Any]], **more: Any) -> dict[str, Any]:
    """A node of a cluster that sees this table."""
    own = next(
        (each for each in table if each["id"] == node_id(number)), {"id": "", "role": "primary", "primary_id": ""}
    )
    state = more.get("state", "running")
    cluster = {
        "state": "ok" if state == "running" else "",
        "my_id": own["id"],
        "shard_id": "",
        "epoch": 6,
        "slots_served": 16384,
        "nodes": list(table),
        "moving": [],
        **more.pop("cluster", {}),
    }
    head = next((each for each in table if own["primary_id"] and each["id"] == own["primary_id"]), None)
    link = {"link_up": state == "running", "sync_in_progress": False, "last_io_seconds": 1, "addresses": []}
    feeder = {"host": head["host"], "port": head["port"], **link} if head else None
    return member(number, mode="cluster", role=own["role"], cluster=cluster, primary=feeder, **more)


def cluster(shards: Mapping[int, Sequence[int]], **more: Any) -> list[dict[str, Any]]:
    """All nodes of a cluster, each with the same table."""
    table = nodes(shards)
    order = [*shards, *(each for replicas in shards.values() for each in replicas)]
    return [node(number, table, **more) for number in order]
