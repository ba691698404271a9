# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The agent as a program: `redis-archive CONFIG`, or `redis-archive --once CONFIG` for passes until nothing is left."""

from __future__ import annotations

import argparse
import signal
from collections.abc import Sequence
from typing import Any

from .._errors import RedisBackupError
from .config import read_config
from .loop import Agent, to_stderr


def main(argv: Sequence[str] | None = None) -> int:
    """Archive until SIGTERM or SIGINT. Ends 78 for a configuration that cannot be used, 1 where --once fails."""
    parser = argparse.ArgumentParser(prog="redis-archive", description="Archives the AOF of one Redis or Valkey.")
    parser.add_argument("config", help="the configuration of the instance (JSON)")
    parser.add_argument("--once", action="store_true", help="end when nothing is left to archive, or a pass fails")
    words = parser.parse_args(argv)
    try:
        agent = Agent(read_config(words.config), to_stderr)
    except RedisBackupError as error:
        to_stderr(error.paragraph())
        return 78  # EX_CONFIG

    def end(_number: int, _frame: Any) -> None:
        agent.stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    if words.once:
        while agent.once() and not agent.stop.is_set:
            pass
        agent.write_metrics()
        return 1 if agent.failed else 0
    agent.run()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
