# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A real cluster, with replicas if wanted, all slots served; and its slots moved."""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence

from support.groups import following
from support.servers import Build, RedisProcess, free_port
from support.waiting import wait_for

SLOTS = 16384


def bus_is_free(port: int) -> bool:
    """Whether the port of the cluster's bus, 10000 above, can be had."""
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port + 10000))
        except OSError:
            return False
    return True


def make_cluster(
    make_server: Callable[..., RedisProcess], build: Build, primaries: int = 3, replicas: int = 0, **conf: str
) -> list[RedisProcess]:
    """Nodes with all slots, in agreement: the primaries, then a replica of each, as many rounds as `replicas` says.

    Where there are replicas the nodes are patient: a busy machine is no reason for a failover.
    """
    nodes = []
    timeout = "15000" if replicas else "2000"
    for _number in range(primaries * (1 + replicas)):
        port = next(port for port in iter(free_port, None) if bus_is_free(port))
        settings = {"port": str(port), "cluster-enabled": "yes", "cluster-node-timeout": timeout, **conf}
        nodes.append(make_server(build, conf=settings))
    for number, node in enumerate(nodes):
        with node.client() as client:
            if number < primaries:
                first, last = number * SLOTS // primaries, (number + 1) * SLOTS // primaries
                client.execute_command("CLUSTER", "ADDSLOTS", *range(first, last))
            client.execute_command("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
            if number:
                client.execute_command("CLUSTER", "MEET", "127.0.0.1", nodes[0].port)
    wait_for(lambda: all(state(node) == ("ok", len(nodes)) for node in nodes), "the cluster to be whole", 30)
    for number, node in enumerate(nodes[primaries:]):
        with node.client() as client:
            client.execute_command("CLUSTER", "REPLICATE", identity(nodes[number % primaries]))
    wait_for(
        lambda: all(following(node) == nodes[n % primaries].port for n, node in enumerate(nodes[primaries:])),
        "the replicas to follow",
        30,
    )
    wait_for(
        lambda: all(count_replicas(node) == primaries * replicas for node in nodes), "all to know the replicas", 30
    )
    return nodes


def count_replicas(node: RedisProcess) -> int:
    """How many replicas a node knows in its cluster."""
    return sum("slave" in line.split()[2] for line in table(node))


def table(node: RedisProcess) -> list[str]:
    """The lines of CLUSTER NODES."""
    with node.client() as client:
        client.response_callbacks.clear()
        found: bytes = client.execute_command("CLUSTER", "NODES")
    return found.decode().splitlines()


def state(node: RedisProcess) -> tuple[str, int]:
    """The cluster's state as a node sees it, and how many nodes it knows."""
    with node.client() as client:
        words = client.execute_command("CLUSTER", "INFO")
    found = words if isinstance(words, dict) else dict(line.split(":") for line in words.decode().split())
    return found["cluster_state"], int(found["cluster_known_nodes"])


def identity(node: RedisProcess) -> str:
    """A node's id in its cluster."""
    with node.client() as client:
        found: bytes = client.execute_command("CLUSTER", "MYID")
    return found.decode()


def give_slots(nodes: Sequence[RedisProcess], slots: Sequence[int], receiver: RedisProcess) -> None:
    """Have `receiver` serve slots, which must be empty, at once and in the eyes of all nodes."""
    name = identity(receiver)
    for node in sorted(nodes, key=lambda node: node is not receiver):
        with node.client() as client:
            for slot in slots:
                client.execute_command("CLUSTER", "SETSLOT", slot, "NODE", name)
