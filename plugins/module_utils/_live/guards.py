# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What must hold before a running server's data is exchanged: a failure may not cost the old data."""

from __future__ import annotations

from collections.abc import Mapping

from .._errors import RestoreError
from .._server.connection import ReplyError
from .._server.facts import Facts, parse_modules
from .._server.instance import Instance
from .._server.memory import available_memory
from .._server.process import is_local
from .._server.topology import count_watching
from .request import LiveOptions

# Built in (Redis 8, Valkey 9.1): they say of themselves that a load which fails does them no harm. With a module that
# does not, a server takes the RDB to its disk first, and has flushed the old data before it reads it.
_HARMLESS_MODULES = frozenset({"lua", "vectorset"})
_MARGIN = 32 * 1024 * 1024
_FACTOR = 1.1
_UNTOUCHED = "Nothing was changed"


def why_not_live(facts: Facts, options: LiveOptions) -> tuple[str, str] | None:
    """Why this server's data cannot be exchanged while it runs, and what to do; None when it can. Pure."""
    if facts.mode != "standalone":
        return f"runs in {facts.mode} mode, which knows no REPLICAOF", "Restore its files, with method: files"
    if facts.version < (6, 2):
        return f"is of version {facts.version_text}, on which this is not tried", "Restore its files"
    foreign = [module["name"] for module in parse_modules(facts.info) if module["name"] not in _HARMLESS_MODULES]
    if foreign:
        return (
            f"has the modules {', '.join(foreign)}: with them it may flush its old data before it has read the new",
            "Restore its files, with method: files",
        )
    if facts.number("connected_slaves") and not options.replicas_follow:
        return (
            f"has {facts.number('connected_slaves')} replicas, which would take the restored data over at once",
            "Detach or stop them first; or let them, with replicas_follow: true",
        )
    return None


def require_live(instance: Instance, options: LiveOptions) -> Facts:
    """The facts of a server whose data can be exchanged while it runs. Raises RestoreError, ServerError."""
    facts = instance.require_running()
    why = why_not_live(facts, options)
    if why is None and facts.role == "replica":
        why = "is a replica", "Restore the primary, which it then copies; or detach it first"
    if why is None and not instance.config:
        why = "does not let us use CONFIG", "Allow it to the login user, or name a renamed CONFIG in command_map"
    if why is None and not options.sentinels_held:
        why = _why_watched(instance)
    if why is not None:
        raise RestoreError(f"{instance.title} {why[0]}", untouched=_UNTOUCHED, hint=why[1])
    return facts


def _why_watched(instance: Instance) -> tuple[str, str] | None:
    """Whether Sentinels watch the server."""
    try:
        watching = count_watching(instance.server)
    except ReplyError as error:
        return (
            f"does not tell whether Sentinels watch it: {error.message}",
            "Allow PUBSUB NUMSUB to the login user; or say that none does, or that they are held, with "
            "sentinels_held: true",
        )
    if not watching:
        return None
    return (
        f"is watched by {watching} Sentinels, which would promote another server in the middle of it",
        "Hold them first, with redis_sentinel on each Sentinel; then say so with sentinels_held: true",
    )


def why_too_small(
    needed: int, facts: Facts, config: Mapping[str, str], limit: int | None, available: int | None
) -> tuple[str, str] | None:
    """Why the server has too little memory for `needed` bytes of restored data beside its own; None when it has. Pure.

    `available` is what its host can still give, None where that is not to be seen. Then the bound is its maxmemory, or
    what its host has in all.
    """
    used = facts.number("used_memory")
    maxmemory = int(config["maxmemory"]) if config.get("maxmemory", "").isdecimal() else facts.number("maxmemory")
    if maxmemory and needed > maxmemory:
        return (
            f"may take {maxmemory} bytes (maxmemory), and the backup takes {needed}: keys would be evicted",
            "Raise maxmemory with CONFIG SET, or restore into a larger server",
        )
    room = int(needed * _FACTOR) + _MARGIN
    what = f"needs {room} bytes more while it holds the old data and the new"
    hint = "Restore its files, with method: files; or name what it may take of its host, with memory_limit_mb"
    if limit is not None:
        return (f"{what}, uses {used}, and memory_limit_mb allows {limit}", hint) if used + room > limit else None
    if available is not None:
        return (f"{what}, and this host has {available} left", hint) if room > available else None
    bound = maxmemory or facts.number("total_system_memory")
    if bound and used + room > bound:
        whose = "may take (maxmemory)" if maxmemory else "has on its host"
        return f"{what}, uses {used} and {whose} {bound}", hint
    return None


def require_memory(instance: Instance, facts: Facts, needed: int, options: LiveOptions) -> None:
    """Raise RestoreError when the server has too little memory for both data sets."""
    config = {**instance.config, **instance.server.config_get_if_allowed("maxmemory")}
    local = is_local(facts, instance.paths.dir)
    why = why_too_small(needed, facts, config, options.memory_limit, available_memory() if local else None)
    if why is not None:
        raise RestoreError(f"{instance.title} {why[0]}", untouched=_UNTOUCHED, hint=why[1])
