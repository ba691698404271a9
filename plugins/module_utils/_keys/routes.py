# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which node of a cluster a key is written to, and where a node sends us instead."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

from .._errors import ServerError
from .._server.cluster import SLOTS
from .._server.connection import Login, ReplyError, Server

_ELSEWHERE = re.compile(r"(MOVED|ASK) (\d+) (\S*):(\d+)$")


class Routes:
    """The slots of a cluster and the primaries that serve them, by address."""

    def __init__(self, login: Login) -> None:
        self._login = login
        self._owners: list[tuple[str, int] | None] = [None] * SLOTS

    def learn(self, server: Server) -> None:
        """Ask a node who serves what. Raises ServerError when slots are served by nobody."""
        owners: list[tuple[str, int] | None] = [None] * SLOTS
        for first, last, primary, *_replicas in server.call("CLUSTER", "SLOTS"):
            address = self._address(primary)
            for slot in range(int(first), int(last) + 1):
                owners[slot] = address
        unserved = owners.count(None)
        if unserved:
            raise ServerError(
                f"{unserved} of the cluster's {SLOTS} slots are served by no node",
                untouched="Nothing was changed",
                hint="Mend the cluster (redis-cli --cluster check), then run again",
            )
        self._owners = owners

    def _address(self, node: list[Any]) -> tuple[str, int]:
        host = node[0].decode() if node[0] else ""
        return (host if host not in ("", "?") else self._login.host, int(node[1]))

    @property
    def nodes(self) -> list[tuple[str, int]]:
        """All primaries, each once."""
        return list(dict.fromkeys(owner for owner in self._owners if owner is not None))

    def owner(self, slot: int) -> tuple[str, int]:
        """Who serves a slot."""
        found = self._owners[slot]
        if found is None:
            raise ServerError(f"slot {slot} of the cluster is served by no node")
        return found

    def moved(self, slot: int, address: tuple[str, int]) -> None:
        """A slot is served elsewhere now."""
        self._owners[slot] = address

    def login(self, address: tuple[str, int]) -> Login:
        """How to reach a node: by its address, else as the node that was named."""
        return dataclasses.replace(self._login, host=address[0], port=address[1], unix_socket=None)


def elsewhere(refusal: ReplyError, host: str) -> tuple[str, tuple[str, int]] | None:
    """MOVED or ASK, and the address to go to; None for any other refusal. Pure. `host` stands for an empty one."""
    found = _ELSEWHERE.match(refusal.message)
    return (found[1], (found[3] or host, int(found[4]))) if found else None
