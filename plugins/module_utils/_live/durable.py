# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What was restored, made to survive a crash: the AOF rewritten, the RDB saved, both waited for by INFO alone.

A server that has taken an RDB over begins to rewrite its AOF by itself before it answers again (restartAOFAfterSYNC in
replication.c), and tries again when that fails. Until it has ended, a restart would load the old data.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable

from .._errors import ServerError
from .._server.connection import ReplyError, Server
from .._server.facts import Facts

_REWRITES = ("aof_rewrite_in_progress", "aof_rewrite_scheduled")
_SAVES = ("rdb_bgsave_in_progress", *_REWRITES)
_PATIENCE = 30.0  # for a server that tries again
_HINT = "Mend its disk or memory (its log tells), then run again: it goes on from here"


def _facts(server: Server) -> Facts:
    return Facts(server.info())


def _until(server: Server, fields: tuple[str, ...], give_up: Callable[[Facts], bool] | None = None) -> Facts:
    """Wait as long as a child works or is to start. `give_up` ends it earlier."""
    pause = 0.01
    while True:
        facts = _facts(server)
        if all(facts.info.get(name, "0") == "0" for name in fields) or (give_up is not None and give_up(facts)):
            return facts
        time.sleep(pause)
        pause = min(pause * 1.5, 0.25)


def settle_aof(server: Server, title: str) -> list[str]:
    """Wait until the AOF holds what the server holds. Raises ServerError when it cannot be written."""
    deadline = time.monotonic() + _PATIENCE

    def late(facts: Facts) -> bool:
        works = facts.info.get("aof_rewrite_in_progress", "0") != "0"
        return time.monotonic() > deadline and not works and not facts.flag_ok("aof_last_bgrewrite_status")

    facts = _until(server, _REWRITES, late)
    if not facts.flag_ok("aof_last_bgrewrite_status") and not late(facts):
        with contextlib.suppress(ReplyError):
            server.call("BGREWRITEAOF")
        facts = _until(server, _REWRITES, late)
    if facts.info.get("aof_enabled") != "1" or not facts.flag_ok("aof_last_bgrewrite_status"):
        raise ServerError(f"{title} could not rewrite its AOF: a crash would bring its old data back", hint=_HINT)
    return ["waited until its AOF was rewritten"]


def save(server: Server, title: str) -> list[str]:
    """Have the RDB saved, and wait for it. Raises ServerError when it was not."""
    for _turn in range(3):
        facts = _until(server, _SAVES)
        before = facts.number("rdb_last_save_time")
        # The time of the last save has whole seconds: only a later second proves a new one.
        while int(server.call("TIME")[0]) <= before:
            time.sleep(0.05)
        try:
            server.call("BGSAVE")
        except ReplyError as error:
            if "in progress" in error.message or "another child" in error.message.lower():
                continue
            raise
        facts = _until(server, _SAVES)
        if facts.number("rdb_last_save_time") > before and facts.flag_ok("rdb_last_bgsave_status"):
            return ["saved it into its RDB file"]
        if not facts.flag_ok("rdb_last_bgsave_status"):
            break
    raise ServerError(f"{title} could not save its RDB: a crash would bring its old data back", hint=_HINT)


def make_durable(server: Server, title: str, *, aof: bool, saves: bool) -> list[str]:
    """Have what the server holds written where it loads it from; words for what was done. Raises ServerError.

    Without an AOF and without save points nobody has asked for the disk: an RDB is saved all the same, since an old one
    would come back, and that it cannot be is only told.
    """
    told = settle_aof(server, title) if aof else []
    if aof and not saves:
        return told
    try:
        return told + save(server, title)
    except ServerError as error:
        if saves:
            raise
        return [f"{error.what}; it has neither an AOF nor save points"]
