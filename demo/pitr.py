# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A recovery to the second, and to the write before a FLUSHALL, out of an archive that is a second old at most."""

from __future__ import annotations

import json
import subprocess
import sys
import time

from ansible_collections.globalscope.redis_backup.plugins.module_utils._archive.locate import find_aof
from ansible_collections.globalscope.redis_backup.plugins.module_utils._archive.state import ArchiveHost
from ansible_collections.globalscope.redis_backup.plugins.module_utils._archive.status import archive_status
from ansible_collections.globalscope.redis_backup.plugins.module_utils._server.instance import Place
from stage import CACHE, Story, say

from support.dataset import load_multiframe

AGENT = "ansible_collections.globalscope.redis_backup.plugins.module_utils._agent.main"
_SECONDS = 5
_PATIENCE = 20.0  # seconds


class PointInTime(Story):
    """Orders come in, an agent archives them, somebody says FLUSHALL; both servers get back what was there."""

    agent: subprocess.Popen[bytes] | None = None

    def run(self) -> None:
        say("A server whose AOF has time stamps, and an agent that archives it every second, encrypted")
        self.lost.start()
        self.blank.start()
        load_multiframe(self.lost.client(), acl_user=False)
        recipient = self.make_identity()
        self.write_inventory(recipient)
        self.start_agent(recipient)

        say(f"Orders come in for {_SECONDS} seconds")
        orders = self.take_orders()
        for second, count in orders.items():
            print(f"{stamp(second)}  {count} orders")
        before = self.state(self.lost)

        say("Somebody says FLUSHALL")
        self.lost.client().flushall()
        print(f"multiframe holds {self.lost.client().dbsize()} keys")
        self.wait_until_archived()

        say("Everything comes back up to the write before it")
        self.play("restore", "-e", "target=multiframe", "-e", "redis_restore_before_command=FLUSHALL")
        after = self.state(self.lost)
        self.require("the data of before the FLUSHALL", after["digest"], before["digest"])

        second = list(orders)[len(orders) // 2]
        say(f"And on the other server, everything up to the end of {stamp(second)}")
        self.play("restore", "-e", "target=replacement", "-e", f"redis_restore_at={stamp(second)}")
        self.require("the number of orders then", int(self.blank.client().get("orders") or 0), orders[second])
        say("Done. Everything lies here:")
        print(f"archive     {self.repository / self.instance / 'archive'}")
        print(f"inventory   {self.home / 'inventory.json'}")

    def start_agent(self, recipient: str) -> None:
        """The program that the role redis_archive installs, told of one instance."""
        config = {
            "instance": self.instance,
            "login": {"port": self.lost.port, "password": self.lost.password},
            "place": {"config_file": str(self.lost.home / "redis.conf")},
            "repository": {"name": "local", "type": "posix", "path": str(self.repository)},
            "encryption": "age",
            "recipients": [recipient],
            "interval": 1,
            "state_dir": str(self.lost.home / "state"),
        }
        path = self.home / "agent.json"
        path.touch(mode=0o600)
        path.write_text(json.dumps(config, indent=2) + "\n")
        with open(self.home / "agent.log", "wb") as log:
            self.agent = subprocess.Popen([sys.executable, "-m", AGENT, str(path)], cwd=CACHE, stderr=log)

    def take_orders(self) -> dict[int, int]:
        """Count orders up; for each second of the server's clock the count at its end."""
        client, orders = self.lost.client(), dict[int, int]()
        begun = int(client.time()[0])
        while True:
            with client.pipeline() as pipe:  # one transaction: the clock and the count belong together
                pipe.time().incr("orders")
                (second, _micros), count = pipe.execute()
            if second > begun + _SECONDS:
                return {each: orders[each] for each in sorted(orders) if each > begun}
            orders[second] = count
            time.sleep(0.001)

    def wait_until_archived(self) -> None:
        """Until all that stands in the AOF is in the repository."""
        paths = find_aof(self.lost.login(), Place(self.instance)).paths
        deadline = time.monotonic() + _PATIENCE
        while archive_status(ArchiveHost(str(self.lost.home / "state")), self.instance, paths)["lag_bytes"]:
            if time.monotonic() > deadline:
                raise SystemExit(f"the agent does not archive: see {self.home / 'agent.log'}")
            time.sleep(0.2)

    def require(self, what: str, found: object, wanted: object) -> None:
        print(f"{what}: {'equal' if found == wanted else f'DIFFERENT: {found} instead of {wanted}'}")
        if found != wanted:
            raise SystemExit(1)

    def stop(self) -> None:
        if self.agent is not None:
            self.agent.terminate()
            self.agent.wait()
        super().stop()


def stamp(second: int) -> str:
    """ISO 8601, UTC."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(second))
