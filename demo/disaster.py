# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The main job: a Redis loses its disk and comes back, verified, by one command."""

from __future__ import annotations

import shutil

from stage import Story, say

from support.dataset import load_multiframe


class Disaster(Story):
    """An encrypted backup, SIGKILL, an emptied disk, `disaster_recovery.yml`, the report."""

    def run(self) -> None:
        say("Two servers: multiframe, with its AOF on, and a blank replacement")
        self.lost.start()
        self.blank.start()
        client = self.lost.client()
        load_multiframe(client, acl_user=True)
        client.acl_save()
        before = self.state(self.lost)
        print(f"multiframe on port {self.lost.port} holds {before['keys']} keys, digest {before['digest'][:16]}…")

        say("A key pair: the servers' host holds the public half only")
        self.write_inventory(
            self.make_identity(),
            {
                "redis_disaster_recovery_report_dir": str(self.home / "reports"),
                "redis_restore_expect": {"present": ["config:system", "user:1", "driver:1"]},
                # The replacement has an ACL file of its own, which the recovered one replaces.
                "redis_restore_server_files": "replace",
            },
        )

        say("An encrypted backup")
        self.play("backup", "-e", "target=multiframe")

        say("Life goes on: 1000 more writes. Then SIGKILL, and the disk is lost")
        for number in range(1000):
            client.set(f"late:{number}", number)
        self.lost.kill()
        shutil.rmtree(self.lost.home / "data")
        (self.lost.home / "data").mkdir()
        print(f"{self.lost.home / 'data'} is empty")

        say("One command recovers it, and brings the same data to the replacement")
        self.play("disaster_recovery")

        say("Is it the data that was backed up?")
        for server in (self.lost, self.blank):
            after = self.state(server)
            for name, value in before.items():
                verdict = "equal" if after[name] == value else "DIFFERENT"
                print(f"{server.home.name}: {name}: {verdict}")
                if verdict != "equal":
                    raise SystemExit(f"{server.home.name} is not what was backed up: {name}")
        self.tell()

    def tell(self) -> None:
        """Where everything lies, and how to open a backup with stock tools alone."""
        folder = next((self.repository / f"{self.instance}/backup").iterdir())
        say("Done. Everything lies here:")
        print(f"reports     {self.home / 'reports'}")
        print(f"repository  {self.repository}")
        print(f"inventory   {self.home / 'inventory.json'}")
        say("By hand, with no part of this collection:")
        checker = "redis-check-rdb"
        if not shutil.which(checker):  # the server is that tool when it is called so
            checker = f"bash -c 'exec -a redis-check-rdb {self.lost.program} /tmp/dump.rdb'"
        else:
            checker += " /tmp/dump.rdb"
        print(f"cd {folder}")
        print("sha256sum -c SHA256SUMS")
        print(f"age -d -i {self.home / 'identity.txt'} dump.rdb.zst.age | zstd -d > /tmp/dump.rdb")
        print(checker)
