# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Wait for something by asking again, with a deadline."""

from __future__ import annotations

import time
from typing import Any, Callable, TypeVar

import redis

T = TypeVar("T")


def wait_for(question: Callable[[], T | None], what: str, timeout: float = 30.0, interval: float = 0.02) -> T:
    """Ask until the answer is true, and return it; AssertionError names `what` was waited for."""
    deadline = time.monotonic() + timeout
    while True:
        answer = question()
        if answer:
            return answer
        if time.monotonic() >= deadline:
            raise AssertionError(f"waited {timeout:g} s in vain for {what}")
        time.sleep(interval)


def wait_for_aof(client: redis.Redis) -> None:
    """Until all that was written stands in the AOF, if there is one.

    A server puts a write off for up to 2 s while an fsync of everysec runs (flushAppendOnlyFile in aof.c): its files
    change behind the answer then.
    """

    def written() -> bool:
        info: dict[str, Any] = client.info("persistence")
        return not info.get("aof_buffer_length") and not info.get("aof_pending_bio_fsync")

    wait_for(written, "the AOF to hold what was written")
