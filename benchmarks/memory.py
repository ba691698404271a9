# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Memory of a backup and of a restore's staging, all processes together, as the data set grows.

    ./dev run python benchmarks/memory.py [MEGABYTES...]

The sum of proportional set sizes (PSS) of the module and of every program it starts is sampled while it runs. The
server under test is not counted. The goal is under 64 MB at any size.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from measure import module

from support.machine import make_age_key
from support.servers import RedisProcess, build_named

_VALUE = 900


def measured(name: str, params: dict[str, Any]) -> tuple[float, float]:
    """Seconds and peak bytes of a module run."""
    found = module(name, params)
    return found.seconds, found.peak


def main() -> None:
    sizes = [int(word) for word in sys.argv[1:]] or [10, 100, 1000]
    build = build_named("redis-7.0")
    print(f"{build.name}, values of {_VALUE} random bytes, encrypted\n")
    print("| data set, MB | backup (stream), s | peak, MB | backup (file), s | peak, MB | staging, s | peak, MB |")
    print("|---|---|---|---|---|---|---|")
    for size in sizes:
        with tempfile.TemporaryDirectory() as folder:
            directory = Path(folder)
            server = RedisProcess(build, directory, conf={})
            server.start()
            client = server.client()
            for start in range(0, size * 1_000_000 // _VALUE, 1000):
                client.mset({f"key:{n}": os.urandom(_VALUE) for n in range(start, start + 1000)})
            (directory / "repository").mkdir()
            key = make_age_key(directory / "identity.txt")
            repository = {"name": "r", "path": str(directory / "repository")}
            common = {**server.connection, "instance": "memory", "state_dir": str(directory / "state")}
            row: list[float] = []
            for source in ("stream", "file"):
                asked = {"repositories": [repository], "source": source, "encryption": {"recipients": [key.recipient]}}
                row += measured("redis_backup", {**common, **asked})
            given = {"state": "staged", "repository": repository, "identities": [str(key.identity)]}
            row += measured("redis_restore", {**common, **given})
            server.destroy()
        cells = [f"{value:.1f}" if number % 2 == 0 else f"{value / 1e6:.0f}" for number, value in enumerate(row)]
        print(f"| {size} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
