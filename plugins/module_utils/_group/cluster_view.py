# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A cluster as one of its nodes sees it at this moment, and what is missing until it is whole."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .._errors import GroupError
from .._server.cluster import SLOTS, Node, cluster_result, count_slots, migrations, moves, parse_nodes
from .._server.connection import ReplyError, parse_info
from .._server.facts import Facts
from .._server.instance import Instance
from .._server.slots import in_words, merged_ranges, uncovered


@dataclass(frozen=True)
class Seen:
    """One look: the nodes it knows, the fields of CLUSTER INFO, slots on their way that the nodes do not tell, INFO."""

    nodes: Sequence[Node]
    info: Mapping[str, str]
    facts: Facts
    moving: Sequence[str] = ()

    @property
    def me(self) -> Node:
        return next(node for node in self.nodes if node.is_myself)

    def find(self, identity: str) -> Node | None:
        """The node of that id, unless it is still being greeted."""
        return next((n for n in self.nodes if n.identity == identity and "handshake" not in n.flags), None)

    @property
    def state(self) -> str:
        return self.info.get("cluster_state", "")

    def result(self) -> dict[str, Any]:
        """As `topology.cluster` of redis_instance_info."""
        return cluster_result(self.nodes, self.info, "", self.moving)


def see(instance: Instance) -> Seen:
    """Ask a running node. Raises GroupError when it does not tell, UnreachableError when it ended."""
    login = instance.server.login
    commands = [("INFO",), ("CLUSTER", "NODES"), ("CLUSTER", "INFO")]
    facts = instance.facts
    if facts is not None and facts.flavour == "valkey" and facts.version >= (9,):
        commands.append(("CLUSTER", "GETSLOTMIGRATIONS"))
    told, table, state, *more = instance.server.pipeline(commands)
    for reply in (told, table, state):
        if isinstance(reply, ReplyError):
            raise GroupError(f"{instance.title} does not tell its cluster: {reply.message}", hint=reply.hint)
    nodes = parse_nodes(table, login.host)
    if not any(node.is_myself for node in nodes):
        raise GroupError(f"{instance.title} does not tell which node of its cluster it is", hint="Look at its log")
    moving = migrations(more[0], login.where) if more else []
    return Seen(nodes, parse_info(state), Facts(parse_info(told)), moving)


def what_is_missing(seen: Seen, wanted: Sequence[Node], compared: Sequence[str] = ()) -> list[str]:
    """What is missing until the cluster is whole in the eyes of the node that told; empty when nothing is. Pure.

    With `wanted`, these nodes have to be there, and no others; the slots of those in `compared` must be as wanted.
    """
    found = []
    if seen.state != "ok":
        found.append(f"the cluster's state is {seen.state or 'not told'}")
    served = count_slots(seen.nodes)
    if served < SLOTS:
        owned = [each for node in seen.nodes if node.usable and not node.is_replica for each in node.slots]
        found.append(f"only {served} of {SLOTS} slots are served ({in_words(uncovered(owned))} are not)")
    for node in wanted:
        told = seen.find(node.identity)
        if told is None:
            found.append(f"{_name(node)} is not known")
        elif node.identity in compared and merged_ranges(told.slots) != merged_ranges(node.slots):
            has, wants = (in_words(each.slots) or "none" for each in (told, node))
            found.append(f"{_name(told)} serves the slots {has}, and should serve {wants}")
    names = {node.identity for node in wanted}
    for node in seen.nodes:
        if names and node.identity not in names:
            continue
        flags = sorted(node.flags & {"fail", "fail?", "handshake", "noaddr"})
        if flags:
            found.append(f"{_name(node)} is {_WORDS[flags[0]]}")
        elif not node.is_myself and not node.linked:
            found.append(f"{_name(node)} is not connected")
    moving = [*moves(seen.nodes), *seen.moving]
    if moving:
        found.append(f"slots are being moved ({', '.join(moving[:3])})")
    return found


def to_meet(seen: Seen, wanted: Sequence[Node]) -> list[Node]:
    """The wanted nodes that this one does not know, or knows at an address where nobody answers. Pure."""
    found = []
    for node in wanted:
        told = seen.find(node.identity)
        astray = told is not None and told.where != node.where and not (told.usable and told.linked)
        if (told is None or astray) and not (told is not None and told.is_myself):
            found.append(node)
    return found


_WORDS = {
    "fail": "failed",
    "fail?": "not reached",
    "handshake": "still being greeted",
    "noaddr": "known without an address",
}


def _name(node: Node) -> str:
    return f"{node.where} ({node.identity[:8]})"
