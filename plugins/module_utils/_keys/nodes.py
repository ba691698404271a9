# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The servers whose keys make up a data set: one server, a replica of it, or the nodes of a cluster."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Iterator

from .._errors import ServerError
from .._server.cluster import Node, parse_nodes, why_not_whole
from .._server.connection import Login, UnreachableError, parse_info
from .._server.facts import Facts
from .._server.topology import replication
from .wire import Wire

GIVEN, REPLICA = READ_FROM = ("given", "replica")

_PATIENCE = 10.0
_POLL = 0.05
_NOTHING = "Nothing was exported; the server is as it was"


class Nodes:
    """The servers to read from, connected. `layout` tells later whether the cluster is as it was."""

    def __init__(self, wires: list[Wire], layout: tuple[Node, ...] = (), words: str = "") -> None:
        self.wires = wires
        self.words = words
        self._layout = _slots_of(layout)
        self._login = wires[0].login

    def require_same(self) -> None:
        """Raise ServerError when slots of a cluster have moved since it was opened: keys may be missing, or twice."""
        if not self._layout:
            return
        with Wire(self._login) as wire:
            nodes, why = _cluster(wire)
        if why or _slots_of(tuple(nodes)) != self._layout:
            raise ServerError(
                f"the cluster of {self._login.where} changed while it was read: {why or 'slots have moved'}",
                hint="Export again when the cluster is at rest",
            )


def _slots_of(nodes: tuple[Node, ...]) -> frozenset[tuple[str, int, int]]:
    """Which slots each node serves. After a failover it is another one: what it did not get in time is missing."""
    return frozenset((node.identity, first, last) for node in nodes for first, last in node.slots)


@contextlib.contextmanager
def open_nodes(login: Login, read_from: str = GIVEN) -> Iterator[Nodes]:
    """The servers whose keys make up the data set behind `login`. Raises ServerError.

    GIVEN is the server itself, or every primary of its cluster; REPLICA a replica of each, in step.
    """
    with contextlib.ExitStack() as opened:
        wire = opened.enter_context(Wire(login))
        facts = _facts(wire)
        if facts.mode == "sentinel":
            raise ServerError(
                f"{login.where} is a Sentinel, which holds no keys",
                untouched=_NOTHING,
                hint="Give the address of a Redis server",
            )
        if facts.mode == "cluster":
            yield _open_cluster(opened, wire, read_from)
            return
        if facts.role == "replica":
            _require_fed(wire, facts)
            yield Nodes([wire], words=f"the replica {login.where}")
        elif read_from == REPLICA:
            replica = _replica_of(opened, wire, facts)
            yield Nodes([replica], words=f"the replica {replica.login.where}")
        else:
            yield Nodes([wire], words=login.where)


def _facts(wire: Wire) -> Facts:
    return Facts(parse_info(wire.call("INFO")))


def _require_fed(wire: Wire, facts: Facts) -> None:
    """Refuse a replica that does not know what its primary has."""
    why = "is receiving its data" if facts.syncing else "" if facts.link_up else "has lost its link to its primary"
    if why:
        raise ServerError(
            f"the replica {wire.login.where} {why}: what it holds is not the data set of now",
            untouched=_NOTHING,
            hint="Mend the replication, or read from the primary",
        )


def _replica_of(opened: contextlib.ExitStack, wire: Wire, facts: Facts) -> Wire:
    """A connection to a replica of a primary that has all its primary had just now."""
    whys = []
    for each in replication(facts)["replicas"]:
        where = f"{each['host']}:{each['port']}"
        if each["state"] != "online":
            whys.append(f"{where} is {each['state']}")
            continue
        try:
            replica = opened.enter_context(Wire(_login_for(wire.login, each["host"], each["port"])))
        except ServerError as error:
            whys.append(error.what)
            continue
        why = _why_behind(replica, wire)
        if why is None:
            return replica
        whys.append(f"{where} {why}")
    raise ServerError(
        f"no replica of {wire.login.where} can be read from: {'; '.join(whys) or 'it has none'}",
        untouched=_NOTHING,
        hint="Look at INFO replication of both, or read from the server itself",
    )


def _why_behind(replica: Wire, primary: Wire) -> str | None:
    """None once the replica has what its primary had at the time of the call; else what is wrong with it."""
    wanted = _facts(primary)
    offset = wanted.number("master_repl_offset")
    deadline = time.monotonic() + _PATIENCE
    while True:
        facts = _facts(replica)
        if facts.role != "replica" or facts.info.get("master_replid") != wanted.info.get("master_replid"):
            return "is no replica of it"
        if facts.syncing or facts.loading:
            return "is receiving its data"
        if not facts.link_up:
            return "has lost its link to its primary"
        behind = offset - facts.number("slave_repl_offset")
        if behind <= 0:
            return None
        if time.monotonic() > deadline:
            return f"is {behind} bytes behind, and was for {_PATIENCE:g} s"
        time.sleep(_POLL)


def _login_for(login: Login, host: str, port: int) -> Login:
    return dataclasses.replace(login, host=host, port=port, unix_socket=None)


# --- clusters ---


def _cluster(wire: Wire) -> tuple[list[Node], str | None]:
    """The nodes of a cluster, and why it cannot be read as a whole. Each primary is asked what it moves."""
    nodes = parse_nodes(wire.call("CLUSTER", "NODES"), wire.login.host)
    why = why_not_whole(nodes)
    if why:
        return nodes, why
    for node in nodes:
        if node.slots and "myself" not in node.flags:
            try:
                with Wire(_login_for(wire.login, node.host, node.port)) as other:
                    told = other.call("CLUSTER", "NODES")
            except UnreachableError as error:
                return nodes, error.what
            why = why_not_whole(parse_nodes(told, node.host))
            if why:
                return nodes, why
    return nodes, None


def _open_cluster(opened: contextlib.ExitStack, wire: Wire, read_from: str) -> Nodes:
    nodes, why = _cluster(wire)
    if why:
        raise ServerError(
            f"the cluster of {wire.login.where} cannot be read as a whole: {why}",
            untouched=_NOTHING,
            hint="Wait until the cluster is at rest (redis-cli --cluster check)",
        )
    primaries = [node for node in nodes if node.slots]
    wires = []
    for node in primaries:
        primary = opened.enter_context(Wire(_login_for(wire.login, node.host, node.port)))
        if read_from == REPLICA:
            wires.append(_cluster_replica(opened, primary, node, nodes))
        else:
            wires.append(primary)
    what = "replicas" if read_from == REPLICA else "primaries"
    return Nodes(wires, tuple(primaries), f"{len(wires)} {what} of the cluster of {wire.login.where}")


def _cluster_replica(opened: contextlib.ExitStack, primary: Wire, node: Node, nodes: list[Node]) -> Wire:
    """A replica of a node; it serves reads once it is told that they may be old."""
    whys = []
    for each in nodes:
        if each.primary == node.identity and each.is_replica and each.usable:
            try:
                replica = opened.enter_context(Wire(_login_for(primary.login, each.host, each.port)))
            except ServerError as error:
                whys.append(error.what)
                continue
            why = _why_behind(replica, primary)
            if why is None:
                replica.call("READONLY")
                return replica
            whys.append(f"{each.where} {why}")
    raise ServerError(
        f"no replica of the node {node.where} can be read from: {'; '.join(whys) or 'it has none'}",
        untouched=_NOTHING,
        hint="Read from the primaries, or mend the replicas",
    )
