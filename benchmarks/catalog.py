# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The catalog of many backups: redis_backup_info and the decision of redis_backup_prune, cold and warm.

    ./dev run python benchmarks/catalog.py [BACKUPS]

Each as a ratio to a plain listing of the same files by the store, on posix and on S3 (SeaweedFS). Cold: nothing is
known yet. Warm: the host has read the manifests before. The backups are small copies of one real backup, one an hour.
"""

from __future__ import annotations

import contextlib
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from ansible_collections.globalscope.redis_backup.plugins.module_utils._repository.open import open_store

from support.history import INSTANCE, Template
from support.modules import run_module
from support.s3 import S3Missing, S3Server
from support.servers import RedisProcess, build_named

_HOUR = 3600.0


def seconds(work: Callable[[], Any]) -> float:
    """How long `work` takes."""
    begun = time.monotonic()
    work()
    return time.monotonic() - begun


@contextlib.contextmanager
def template(directory: Path) -> Iterator[Template]:
    """One real backup, to be copied."""
    server = RedisProcess(build_named("redis-7.0"), directory / "server").start()
    try:
        server.client().mset({f"key:{number}": number for number in range(100)})
        yield Template.made(server, directory / "template")
    finally:
        server.destroy()


def measure(entry: dict[str, Any], state: Path, count: int) -> None:
    """A line of the table."""
    asked = {"instance": INSTANCE, "repositories": [entry], "state_dir": str(state)}
    keep = {**asked, "keep": {"hourly": count}, "adopt": True}
    listing = min(seconds(lambda: open_store(entry).files(f"{INSTANCE}/backup")) for _run in range(3))
    short = {"query": "[0].label", **asked}
    found = [
        seconds(lambda: run_module("redis_backup_info", short, timeout=600)),
        min(seconds(lambda: run_module("redis_backup_info", short, timeout=600)) for _run in range(3)),
        min(seconds(lambda: run_module("redis_backup_prune", keep, check=True, timeout=600)) for _run in range(3)),
    ]
    start = seconds(lambda: run_module("redis_backup_info", {**short, "instance": "nobody"}))
    cells = " | ".join(f"{value:.2f} ({value / listing:.1f})" for value in found)
    print(f"| {entry['type']} | {listing:.2f} | {start:.2f} | {cells} |", flush=True)


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    print(f"{count} backups; seconds, and in brackets the ratio to the listing\n")
    print("| store | plain listing | a module that finds nothing | info, cold | info, warm | prune, warm |")
    print("|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory(prefix="redis-backup-catalog-") as folder, contextlib.ExitStack() as services:
        directory = Path(folder)
        origin = services.enter_context(template(directory))
        newest = time.time()
        times = [newest - (count - number) * _HOUR for number in range(count)]
        posix = {"name": "posix", "type": "posix", "path": str(directory / "shelf")}
        origin.copy_to(posix, times)
        measure(posix, directory / "state", count)
        (directory / "s3").mkdir()
        try:
            service = S3Server(directory / "s3")
        except S3Missing as error:
            print(error)
            return
        services.callback(service.destroy)
        service.start()
        s3 = service.entry(service.bucket())
        with ThreadPoolExecutor(4) as workers:
            list(workers.map(lambda part: origin.copy_to(s3, times[part::4], first=part, step=4), range(4)))
        measure(s3, directory / "state", count)


if __name__ == "__main__":
    main()
