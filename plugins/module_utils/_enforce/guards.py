# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings that would lose keys, or keep the server from starting with its data: refused. Pure."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from .._config.values import memory_bytes
from .._errors import ConfigError
from .judge import Verdict
from .places import WITH_AOF, WITHOUT_AOF
from .situation import Situation
from .wish import Request, Wish

# Each names a file or directory of its own.
_PLACES = (
    "dbfilename",
    "appendfilename",
    "appenddirname",
    "cluster-config-file",
    "aclfile",
    "logfile",
    "pidfile",
    "unixsocket",
)
_ROOM = 1.1  # a data set this much smaller than maxmemory evicts nothing at once


def guard(request: Request, situation: Situation, verdicts: Mapping[str, Verdict]) -> None:
    """Raise ConfigError for the first wish that no server's data would survive."""
    wanted = {wish.name: verdicts[wish.name].canonical or "" for wish in request.wishes if wish.name in verdicts}
    if not request.allow_eviction:
        _eviction(situation, wanted)
    _live_only(request, situation, verdicts)
    _databases(situation, wanted)
    _primary(situation, wanted)
    _cluster(situation, wanted)
    _one_place_each(situation, wanted)
    if "appendonly" in wanted:
        _aof(request, situation, wanted["appendonly"].lower())


def _refused(situation: Situation, what: str, hint: str) -> ConfigError:
    return ConfigError(f"{situation.title}: {what}", untouched="Nothing was changed", hint=hint)


def _live_only(request: Request, situation: Situation, verdicts: Mapping[str, Verdict]) -> None:
    for wish in request.wishes if not request.to_file else ():
        verdict = verdicts.get(wish.name)
        if verdict is None or situation.live.get(wish.name) == verdict.canonical:
            continue
        if not verdict.settable:
            raise _refused(
                situation,
                f"{wish.name} cannot be changed while the server runs, so that apply=live cannot do it",
                "Use apply=both, then restart the server",
            )
        if wish.name in ("dir", "dbfilename") and situation.holds_data:
            raise _refused(
                situation,
                f"with apply=live its next start would look for the data where {wish.name} says now",
                "Use apply=both",
            )


def _eviction(situation: Situation, wanted: Mapping[str, str]) -> None:
    """Refuse a limit under which keys are evicted at once, in the running server or after its next start."""
    used = situation.facts.number("used_memory") if situation.facts else situation.stored_memory
    if not used or not {"maxmemory", "maxmemory-policy"} & set(wanted):
        return
    limits = [memory_bytes(text) or 0 for text in _values(situation, wanted, "maxmemory")]
    limit = min((limit for limit in limits if limit), default=0)
    policy = next((text for text in _values(situation, wanted, "maxmemory-policy") if text != "noeviction"), "")
    before = (situation.live.get("maxmemory"), situation.live.get("maxmemory-policy"))
    if not policy or not limit or limit >= _ROOM * used or before == (str(limit), policy):
        return
    raise _refused(
        situation,
        f"maxmemory {limit} with {policy} would evict keys at once: {used} bytes are in use",
        f"Set maxmemory to {int(_ROOM * used) + 1} or more, use maxmemory-policy noeviction, or allow_eviction: true",
    )


def _values(situation: Situation, wanted: Mapping[str, str], name: str) -> list[str]:
    """The value wished for, else those of the running server and of redis.conf."""
    if name in wanted:
        return [wanted[name]]
    return [text for text in (situation.live.get(name), situation.file_text(name)) if text]


def _one_place_each(situation: Situation, wanted: Mapping[str, str]) -> None:
    """Refuse one name for two files: a log in the place of the RDB, an RDB in that of the AOF."""
    directory = next(iter(_values(situation, wanted, "dir")), "")
    taken: dict[str, str] = {}
    for name in _PLACES if set(_PLACES) & set(wanted) else ():
        text = next(iter(_values(situation, wanted, name)), "")
        path = os.path.normpath(os.path.join(directory, text))
        other = taken.setdefault(path, name) if text else name
        if other != name and {other, name} & set(wanted):
            raise _refused(
                situation, f"{name} and {other} name one file, {path}: it would be overwritten", "Name two files"
            )


def _databases(situation: Situation, wanted: Mapping[str, str]) -> None:
    if "databases" not in wanted or not wanted["databases"].isdecimal():
        return
    number = int(wanted["databases"])
    if situation.facts is not None:
        used = max((int(name[2:]) for name in situation.facts.keyspace), default=-1)
        if used >= number:
            raise _refused(
                situation,
                f"databases {number} would keep the server from starting: database {used} holds keys",
                f"Set databases to {used + 1} or more, or move these keys first",
            )
    elif situation.holds_data:
        present = situation.file_text("databases") or "16"
        if present.isdecimal() and number < int(present):
            raise _refused(
                situation,
                f"databases cannot be lowered from {present} to {number} while the server is down: nobody knows which "
                "databases hold keys, and it might not start",
                "Start the server, then run again",
            )


def _primary(situation: Situation, wanted: Mapping[str, str]) -> None:
    name = next((name for name in ("replicaof", "slaveof") if wanted.get(name)), "")
    if not name or wanted[name].lower() == "no one":
        return
    present = situation.live.get("replicaof") or situation.live.get(name) or situation.file_text(name) or ""
    if situation.holds_data and present != wanted[name]:
        raise _refused(
            situation,
            f"{name} {wanted[name]} would replace its data set by another's at the next start",
            "Make it a replica by hand (REPLICAOF) once its data is backed up, then run again",
        )


def _cluster(situation: Situation, wanted: Mapping[str, str]) -> None:
    if "cluster-enabled" not in wanted or not situation.holds_data:
        return
    if (wanted["cluster-enabled"].lower() == "yes") != situation.in_cluster:
        raise _refused(
            situation,
            f"cluster-enabled {wanted['cluster-enabled']} would not keep its keys served after the next start",
            "Move the data by backup and restore instead",
        )


def _aof(request: Request, situation: Situation, wanted: str) -> None:
    """Refuse what would let the next start load another data set than the one that is there."""
    on = situation.aof_on
    file_says = (situation.file_text("appendonly") or "no").lower()
    if not situation.running:
        if wanted != file_says and (situation.holds_data if wanted == "yes" else situation.has_aof):
            raise _refused(
                situation,
                f"it is down, and with appendonly {wanted} its next start would not load the data that is there",
                "Start it, then run again: the AOF is switched without a loss while the server runs",
            )
        return
    can_set = request.to_server and situation.config_allowed
    if (wanted == "yes") != on and not can_set:
        raise _refused(
            situation,
            f"appendonly {wanted} can only be set together with the running server, or its next start would load other "
            "data",
            "Use apply=both with a login that may use CONFIG SET",
        )
    if wanted == "no" and on and not request.to_file:
        raise _refused(
            situation,
            "apply=live would leave a stale AOF that the next start loads if redis.conf, or its command line, says "
            "appendonly yes",
            "Use apply=both",
        )


def guard_switch(situation: Situation, step: str, strays: Sequence[str]) -> None:
    """Raise ConfigError when, with the AOF switched by `step` of the plan, the next start would look elsewhere."""
    names = WITH_AOF if step in ("on", "confirm") else WITHOUT_AOF if step else ()
    name = next((name for name in names if name in strays), "")
    if name:
        what = "AOF" if step in ("on", "confirm") else "snapshot"
        raise _refused(
            situation,
            f"redis.conf gives {name} another value than the running server has, so that its next start would not find "
            f"the {what}",
            f"Put {name} back in redis.conf, or save the data and restart the server, then run again",
        )


def guard_modules(situation: Situation, wish: Wish) -> None:
    """Raise ConfigError when the next start would miss a module that the data may need."""
    present = [line[0] for line in situation.file_lines("loadmodule") or [] if line]
    gone = [path for path in present if path not in [line[0] for line in wish.lines or () if line]]
    if gone and situation.holds_data:
        raise _refused(
            situation,
            f"without loadmodule {gone[0]} its next start could not load keys of this module's types",
            "Delete these keys, back up, and take the line out by hand",
        )


def renamed_now(situation: Situation, wish: Wish) -> list[str]:
    """The commands that get another name, or their old one back."""
    before = {tuple(line) for line in situation.file_lines("rename-command") or []}
    after = {tuple(line) for line in wish.lines or ()}
    return sorted({line[0].lower() for line in before ^ after if line})


def guard_renames(situation: Situation, writing: list[str], aof_after: bool) -> None:
    """Raise ConfigError when an AOF would hold commands under names that the next start does not know.

    `writing` are the renamed commands that write.
    """
    if writing and (situation.aof_on or aof_after):
        raise _refused(
            situation,
            f"with {writing[0].upper()} renamed its next start could not read the AOF, which holds the old name",
            "Rename commands that write only in servers without an AOF, or keep them from users by ACL",
        )
