# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a restart would bring the data back. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from .._server.facts import Facts
from .places import WITH_AOF, WITHOUT_AOF


def restart_refusals(
    facts: Facts, live: Mapping[str, str], file_aof: str | None, strays: Collection[str] = ()
) -> list[str]:
    """Why a server must not be restarted by a role; empty when its data survives.

    `live` holds CONFIG GET's answers, `file_aof` what redis.conf says of appendonly (None: nothing), `strays` the
    directives by which the start would look for data elsewhere than the running server.
    """
    found = []
    if facts.role == "primary" and facts.number("connected_slaves"):
        found.append("it is a primary with replicas: fail over first, then restart it as a replica")
    if facts.mode == "cluster":
        found.append("it is a node of a cluster: fail its slots over first, then restart it by hand")
    if facts.info.get("config_file") == "":
        found.append("it was started without a redis.conf: nobody knows whether its next start reads one")
    if not live:
        return [*found, "CONFIG cannot be asked, so that nobody knows whether its data would survive"]
    aof = facts.info.get("aof_enabled") == "1"
    if aof != ((file_aof or "no").lower() == "yes"):
        found.append("redis.conf and the running server do not agree on appendonly: the start would load other data")
    elif facts.keys and (lost := [name for name in ("dir", *(WITH_AOF if aof else WITHOUT_AOF)) if name in strays]):
        found.append(f"redis.conf gives {lost[0]} another value: the start would not find its data. Put it back there")
    elif aof:
        if not (facts.flag_ok("aof_last_write_status") and facts.flag_ok("aof_last_bgrewrite_status")):
            found.append("its AOF could not be written: see its log")
        if facts.info.get("aof_rewrite_in_progress") == "1":
            found.append("an AOF rewrite is running: wait for its end")
    elif facts.keys and not (facts.role == "replica" and facts.link_up):
        if not live.get("save"):
            found.append("it has neither an AOF nor save points: it would come up empty")
        if {"nosave", "now"} & set(live.get("shutdown-on-sigterm", "").split()):
            found.append("shutdown-on-sigterm keeps it from saving when it is stopped")
        if not facts.flag_ok("rdb_last_bgsave_status"):
            found.append("its last snapshot failed: see its log")
    return found
