# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A cluster as an inventory has it, its data, and a watcher of all its nodes."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import redis
from redis.crc import key_slot

from support.clusters import SLOTS, state, table
from support.group_sites import GroupSite
from support.groups import Group, following
from support.machine import AgeKey
from support.servers import RedisProcess
from support.values import snapshot_values
from support.waiting import wait_for

Values = dict[Any, Any]


class ClusterSite(GroupSite):
    """Hosts h1, h2 ... with a node each: first the primaries, then a replica of each; all are this machine."""

    def __init__(self, nodes: list[RedisProcess], directory: Path, key: AgeKey, primaries: int = 3) -> None:
        super().__init__(Group("", nodes[0], nodes[1:], []), directory, key)
        self.nodes, self.primaries = nodes, primaries

    @property
    def heads(self) -> list[RedisProcess]:
        return self.nodes[: self.primaries]

    @property
    def replicas(self) -> list[RedisProcess]:
        return self.nodes[self.primaries :]

    def head_of(self, key: str) -> RedisProcess:
        slot = key_slot(key.encode())
        return next(h for n, h in enumerate(self.heads) if slot < (n + 1) * SLOTS // self.primaries)

    def write(self, values: dict[str, str]) -> None:
        """Values to the nodes that their keys belong to, and to their replicas."""
        for head in self.heads:
            own = {key: value for key, value in values.items() if self.head_of(key) is head}
            with head.client() as client:
                pipeline = client.pipeline(transaction=False)
                for key, value in own.items():
                    pipeline.set(key, value)
                pipeline.execute()
                if self.replicas:
                    assert client.wait(1, 30000) >= 1

    def values(self) -> list[Values]:
        """What each primary holds."""
        return [snapshot_values(head.client()) for head in self.heads]

    def values_of(self, node: RedisProcess) -> Values:
        """What a node holds."""
        return snapshot_values(node.client())

    def whole(self) -> None:
        """All slots are served, each replica is in step, no fence is left, and a write reaches the replicas."""
        wait_for(lambda: all(state(node) == ("ok", len(self.nodes)) for node in self.nodes), "a whole cluster", 60)
        for number, replica in enumerate(self.replicas):
            head = self.heads[number % self.primaries]
            wait_for(lambda replica=replica, head=head: following(replica) == head.port, "the replica to follow", 60)
            assert "globalscope" not in replica.conf_path.read_text()
        for node in self.nodes:
            assert len(table(node)) == len(self.nodes)
        self.write({f"probe:{number}": "1" for number in range(30)})
        for number in range(30):
            with self.head_of(f"probe:{number}").client() as client:
                client.delete(f"probe:{number}")


class NodeWatcher:
    """Asks all nodes again and again how much they hold: none may say that there is nothing."""

    def __init__(self, nodes: list[RedisProcess]) -> None:
        self.nodes = nodes
        self.empty: list[str] = []
        self.looks = 0
        self._stop = threading.Event()

    @contextlib.contextmanager
    def watching(self) -> Iterator[NodeWatcher]:
        threads = [threading.Thread(target=self._watch, args=(node,), daemon=True) for node in self.nodes]
        for thread in threads:
            thread.start()
        try:
            yield self
        finally:
            self._stop.set()
            for thread in threads:
                thread.join()

    def _watch(self, node: RedisProcess) -> None:
        while not self._stop.wait(0.01):
            with contextlib.suppress(redis.RedisError, OSError), node.client(socket_timeout=2) as client:
                client.response_callbacks.clear()
                client.execute_command("READONLY")
                while not self._stop.wait(0.01):
                    try:
                        size = client.execute_command("DBSIZE")
                    except redis.ResponseError:  # MASTERDOWN, LOADING
                        continue
                    self.looks += 1
                    if not size:
                        self.empty.append(f"{node!r} at look {self.looks}")
