# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A cluster as one of its nodes tells it, by CLUSTER NODES or by its nodes.conf. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

SLOTS = 16384

_OVER = frozenset({b"success", b"failed", b"cancelled", b"canceled"})


@dataclass(frozen=True)
class Node:
    """A node of a cluster. `slots` are ranges, both ends included; `moving` what it gives away and takes, as told.

    `linked` is whether the node that told has a connection to it.
    """

    identity: str
    host: str
    port: int
    flags: frozenset[str]
    primary: str = ""
    slots: tuple[tuple[int, int], ...] = ()
    moving: tuple[str, ...] = ()
    epoch: int = 0
    bus_port: int = 0
    hostname: str = ""
    aux: tuple[tuple[str, str], ...] = ()
    linked: bool = field(default=True, compare=False)

    @property
    def usable(self) -> bool:
        """The cluster does not think that it has failed."""
        return not self.flags & {"fail", "fail?", "noaddr", "handshake"}

    @property
    def is_replica(self) -> bool:
        return bool(self.flags & {"slave", "replica"})

    @property
    def is_myself(self) -> bool:
        """It is the node that tells."""
        return "myself" in self.flags

    @property
    def where(self) -> str:
        return f"{self.host}:{self.port}"

    @property
    def shard_id(self) -> str:
        """The shard it says it belongs to; only nodes.conf has it, from Redis 7.2 on."""
        return dict(self.aux).get("shard-id", "")


def parse_nodes(reply: bytes, host: str) -> list[Node]:
    """The nodes of CLUSTER NODES, or of a nodes.conf. Lines that tell no node are passed over.

    `host` is where we reached the node that told it: it may not know its own address.
    """
    found = []
    for line in reply.decode("utf-8", "replace").splitlines():
        words = line.split()
        if len(words) < 8 or words[0] == "vars":
            continue
        address, *names = words[1].split(",")
        where, _at, bus = address.partition("@")
        ip, _colon, port = where.rpartition(":")
        flags = frozenset(words[2].split(","))
        ranges = [slot_range(word) for word in words[8:] if not word.startswith("[")]
        found.append(
            Node(
                words[0],
                ip or (host if "myself" in flags else ""),
                _number(port),
                flags,
                "" if words[3] == "-" else words[3],
                tuple(each for each in ranges if each),
                tuple(word for word in words[8:] if word.startswith("[")),
                epoch=_number(words[6]),
                bus_port=_number(bus),
                hostname=names[0] if names else "",
                aux=tuple((name, value) for name, sign, value in (word.partition("=") for word in names[1:]) if sign),
                linked=words[7] == "connected",
            )
        )
    return found


def current_epoch(text: str) -> int:
    """The epoch in the last line of a nodes.conf (`vars currentEpoch 3 lastVoteEpoch 0`), 0 where there is none."""
    found = re.findall(r"^vars currentEpoch (\d+)", text, re.MULTILINE)
    return int(found[-1]) if found else 0


def slot_range(word: str) -> tuple[int, int] | None:
    """`0-5460` as (0, 5460), `7` as (7, 7); None for anything else."""
    found = re.fullmatch(r"(\d{1,5})(?:-(\d{1,5}))?", word)
    if not found:
        return None
    first, last = int(found[1]), int(found[2] or found[1])
    return (first, last) if first <= last < SLOTS else None


def _number(word: str) -> int:
    return int(word) if word.isascii() and word.isdigit() else 0


def count_slots(nodes: Iterable[Node]) -> int:
    """How many slots are served by nodes that have not failed."""
    serving = [node for node in nodes if node.usable and not node.is_replica]
    return sum(last - first + 1 for node in serving for first, last in node.slots)


def why_not_whole(nodes: Sequence[Node]) -> str | None:
    """The reason why a cluster's data cannot be read as a whole now."""
    moving = moves(nodes)
    if moving:
        return f"slots are being moved ({', '.join(moving[:3])})"
    served = count_slots(nodes)
    if served < SLOTS:
        return f"only {served} of {SLOTS} slots are served"
    return None


def moves(nodes: Iterable[Node]) -> list[str]:
    """The slots on their way, with the node that tells of each: a node knows only its own."""
    return [f"{node.where} {word}" for node in nodes for word in node.moving]


def migrations(reply: object, where: str) -> list[str]:
    """The moves in CLUSTER GETSLOTMIGRATIONS (Valkey 9), which CLUSTER NODES does not tell."""
    found = []
    for entry in reply if isinstance(reply, list) else []:
        fields = dict(zip(entry[::2], entry[1::2])) if isinstance(entry, list) else {}
        if fields and fields.get(b"state") not in _OVER:
            words = [_text(fields.get(name, b"")) for name in (b"operation", b"slot_ranges", b"state")]
            found.append(f"{where} {' '.join(words)}")
    return found


def _text(value: object) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def cluster_result(
    nodes: Sequence[Node], info: Mapping[str, str], my_shard: str = "", moving: Sequence[str] = ()
) -> dict[str, Any]:
    """The value `topology.cluster`. `info` are the fields of CLUSTER INFO, empty when it was not to be had."""
    me = next((node for node in nodes if node.is_myself), None)
    return {
        "state": info.get("cluster_state", ""),
        "my_id": me.identity if me else "",
        "shard_id": my_shard or (me.shard_id if me else ""),
        "epoch": _number(info.get("cluster_current_epoch", "")) or max((node.epoch for node in nodes), default=0),
        "slots_served": count_slots(nodes),
        "nodes": [node_result(node) for node in nodes if "handshake" not in node.flags],
        "moving": [*moves(nodes), *moving],
    }


def node_result(node: Node) -> dict[str, Any]:
    """One element of `topology.cluster.nodes`."""
    return {
        "id": node.identity,
        "host": node.host,
        "port": node.port,
        "bus_port": node.bus_port,
        "hostname": node.hostname,
        "role": "replica" if node.is_replica else "primary",
        "primary_id": node.primary,
        "slots": [list(each) for each in node.slots],
        "epoch": node.epoch,
        "usable": node.usable,
        "flags": sorted(node.flags),
    }
