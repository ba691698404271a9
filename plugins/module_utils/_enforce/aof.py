# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The AOF switched on and off in a running server, so that at every moment the next start finds the data.

Between CONFIG SET appendonly yes and the end of the first rewrite, the AOF on disk is not whole: a server that crashed
then and started with `appendonly yes` in redis.conf would come up empty. So redis.conf says so only afterwards.
"""

from __future__ import annotations

import contextlib
import os
import time

from .._errors import ConfigError, ServerError
from .._server.connection import ReplyError
from .._server.facts import Facts
from .._server.instance import Instance
from .._server.logfile import reasons
from .._snapshot.take import SnapshotRequest, take_snapshot


def turn_on(instance: Instance, wait_timeout: float) -> None:
    """Switch the AOF on and wait until its first rewrite has ended well; else switch it off again.

    Raises ConfigError with the server's reason.
    """
    server = instance.server
    before = Facts(server.info())
    try:
        server.call("CONFIG", "SET", "appendonly", "yes")
    except ReplyError as error:
        raise _failed(instance, error.message) from None
    try:
        _wait_whole(instance, wait_timeout, stale=not before.flag_ok("aof_last_bgrewrite_status"))
    except BaseException:
        with contextlib.suppress(ServerError):  # the failure that came first is told
            server.call("CONFIG", "SET", "appendonly", "no")
        raise


def confirm(instance: Instance, wait_timeout: float) -> None:
    """Wait until the AOF of a server that writes one is whole: a first rewrite may be on its way, or have failed.

    One that hands moved (CONFIG SET dir) still lies where it was until the next rewrite. Raises ConfigError when it
    does not become so.
    """
    facts = Facts(instance.server.info())
    stale = not facts.flag_ok("aof_last_bgrewrite_status")
    if (stale or _lies_elsewhere(instance)) and facts.info.get("aof_rewrite_in_progress") == "0":
        instance.server.call("BGREWRITEAOF")
    _wait_whole(instance, wait_timeout, stale=stale)


def turn_off(instance: Instance, wait_timeout: float) -> None:
    """Switch the AOF off and take a proven snapshot that holds all it held. Until then, the AOF stays the whole data.

    A first snapshot proves that one can be made: where the disk is full, a new AOF could not be made either. Raises
    SnapshotError; the AOF is then on, or on again.
    """
    snapshot(instance, wait_timeout)
    instance.server.call("CONFIG", "SET", "appendonly", "no")
    try:
        snapshot(instance, wait_timeout)
    except BaseException:
        turn_on(instance, wait_timeout)
        raise


def snapshot(instance: Instance, wait_timeout: float) -> None:
    """A proven RDB where the server keeps it. Raises SnapshotError."""
    take_snapshot(instance, SnapshotRequest("bgsave", None, None, int(wait_timeout)), check_mode=False)


def _wait_whole(instance: Instance, wait_timeout: float, *, stale: bool) -> None:
    """Wait for the rewrite. `stale`: the status of an earlier one is `err`, so that only a running one is believed.

    Until the first one has ended well, one runs or is scheduled at any time. Sizes tell nothing: an AOF may be empty.
    """
    deadline = time.monotonic() + wait_timeout
    pause = 0.02
    seen_running = False
    while True:
        facts = Facts(instance.server.info())
        running = facts.info.get("aof_rewrite_in_progress") != "0"
        scheduled = facts.info.get("aof_rewrite_scheduled") != "0"
        good = facts.flag_ok("aof_last_bgrewrite_status")
        seen_running = seen_running or running
        if facts.info.get("aof_enabled") != "1":
            raise _failed(instance, "somebody else switched it off")
        if not running and not scheduled and good:
            _require_files(instance, facts)
            return
        if not good and not running and (seen_running or not stale):
            raise _failed(instance, "its first rewrite ended with an error" + reasons(instance.paths.logfile))
        if time.monotonic() > deadline:
            raise _failed(instance, f"its first rewrite had not ended after {wait_timeout:g} s")
        time.sleep(pause)
        pause = min(pause * 1.5, 0.5)


def _require_files(instance: Instance, facts: Facts) -> None:
    """The AOF that INFO praises must lie where the next start looks for it (when this host can see the place)."""
    if not facts.flag_ok("aof_last_write_status"):
        raise _failed(instance, "it cannot be written" + reasons(instance.paths.logfile))
    if _lies_elsewhere(instance):
        raise _failed(instance, f"it does not lie in {instance.paths.dir}")


def _lies_elsewhere(instance: Instance) -> bool:
    """Whether no AOF lies where the server's settings say, as far as this host can see the place."""
    paths = instance.paths
    if not paths.dir or not os.path.isdir(paths.dir):
        return False
    return not paths.has_aof


def _failed(instance: Instance, why: str) -> ConfigError:
    return ConfigError(
        f"the AOF of {instance.title} could not be switched on: {why}",
        untouched="redis.conf is as it was, and the data is held as before",
        hint="Mend the cause the server names (a full disk, a directory it may not write), then run again",
    )
