# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The collection at work on this machine, with servers on loopback.

Everything lies below one directory; when this program ends, however it ends, no process is left.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import sys
from pathlib import Path

from disaster import Disaster
from pitr import PointInTime
from stage import CACHE, Story, stop_leftovers


def main() -> None:
    parser = argparse.ArgumentParser(prog="./dev demo", description=(__doc__ or "").split("\n\n", maxsplit=1)[0])
    parser.add_argument("--dir", type=Path, default=CACHE / "demo", help="where the demo happens (made anew)")
    parser.add_argument("--pitr", action="store_true", help="the recovery to a second, and from a FLUSHALL by mistake")
    asked = parser.parse_args()
    home: Path = asked.dir.resolve()
    program = os.environ.get("REDIS_BACKUP_DEMO_SERVER") or shutil.which("redis-server")
    if not program:
        raise SystemExit("no redis-server here: run this as ./dev demo")
    if home.exists():
        if any(home.iterdir()) and not (home / ".demo").exists():
            raise SystemExit(f"{home} is not empty and no demo made it: name another place with --dir")
        stop_leftovers(home)
        shutil.rmtree(home)
    home.mkdir(parents=True, mode=0o700)
    (home / ".demo").touch()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_unused: sys.exit(1))
    story: Story = (PointInTime if asked.pitr else Disaster)(home, os.path.abspath(program))
    try:
        story.run()
    except KeyboardInterrupt:
        raise SystemExit("\ninterrupted; nothing is left running") from None
    finally:
        story.stop()


if __name__ == "__main__":
    main()
