# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The archiving agent as hosts run it: packed into one file, in a process of its own, with a configuration."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ansible_collections.globalscope.redis_backup.plugins.module_utils._agent.pack import packed

from support.archives import INSTANCE, Archived
from support.checkout import CACHE

LIBRARY = CACHE / "tree/ansible_collections/globalscope/redis_backup/plugins/module_utils"


class Agent:
    """The packed agent with a configuration for an archive. Its files lie in `place`."""

    def __init__(self, archived: Archived, place: Path, **options: Any) -> None:
        self.archived = archived
        self.program = place / "redis-archive"
        self.program.write_bytes(packed(str(LIBRARY)))
        self.log = place / "agent.log"
        self.metrics = place / "metrics.prom"
        self.config = place / "config.json"
        key = archived.key
        document = {
            "instance": INSTANCE,
            "login": {"host": "127.0.0.1", "port": archived.server.port},
            "repository": {"name": "test", "type": "posix", "path": str(archived.repository), "create": True},
            "encryption": "age" if key else "none",
            "recipients": [key.recipient] if key else [],
            "interval": 0.1,
            "state_dir": str(archived.state_dir),
            "metrics_file": str(self.metrics),
            **options,
        }
        self.config.write_text(json.dumps(document))
        self.config.chmod(0o600)

    def start(self, *words: str) -> subprocess.Popen[bytes]:
        """Start it. It dies with the test run."""
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        with self.log.open("ab") as log:
            return subprocess.Popen(
                ["setpriv", "--pdeathsig=KILL", sys.executable, str(self.program), *words, str(self.config)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
            )

    @contextmanager
    def running(self) -> Iterator[subprocess.Popen[bytes]]:
        """Running until the end of the block, then told to end."""
        process = self.start()
        try:
            yield process
        finally:
            process.terminate()
            assert process.wait(30) == 0, self.log.read_text()
