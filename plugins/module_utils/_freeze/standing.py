# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How an instance stands: what its redis.conf says, what it says itself, and what we remember of it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .._config.conf_file import load
from .._config.quoting import ENCODING, ERRORS
from .._config.writes import CLOSED, FREEZE, FROZEN, LAG, LAG_CLOSED, RESTORE, SETTING, VALUES, are_closed, own_values
from .._errors import ConfigError, RedisBackupError
from .._live.settings import Lent, lent_of, plan
from .._live.settled import unproven
from .._server.facts import Facts
from .._server.instance import Instance
from .._server.paths import command_line_settings
from .._server.process import is_local
from .._times import from_iso, now
from .journal import FENCE, PAUSE, Freeze

READ_ONLY = "replica-read-only"
_SLAVES = {SETTING: "min-slaves-to-write", LAG: "min-slaves-max-lag"}
_DEFAULTS = {LAG: LAG_CLOSED, SETTING: "0"}


@dataclass(frozen=True)
class Standing:
    """`path` is its redis.conf on this host, with its `text`; both empty where there is none. `live` are its settings,
    empty when it is down or does not let us look. `own` are those that redis.conf has without any of us.
    `overruled` tells whether its command line beats redis.conf, `played` whether a live restore is not proven yet.
    """

    running: bool
    facts: Facts | None
    journal: Freeze | None
    path: str = ""
    text: str = ""
    live: Mapping[str, str] = field(default_factory=dict)
    own: Mapping[str, str] = field(default_factory=dict)
    overruled: bool = False
    played: bool = False

    @property
    def in_file(self) -> bool:
        """Whether redis.conf says that it is frozen."""
        return are_closed(self.text, FREEZE)

    @property
    def restoring(self) -> bool:
        """Whether a restore keeps its writes closed, too."""
        return self.played or are_closed(self.text, RESTORE) or self.live.get(SETTING) == str(CLOSED)

    @property
    def fenced(self) -> bool:
        if not self.running:
            return self.in_file
        found = self.live.get(SETTING)
        return self.live.get(LAG) != "0" and (found == str(FROZEN) or (found == str(CLOSED) and self.in_file))

    @property
    def paused(self) -> bool:
        return self.facts is not None and is_paused(self.journal, self.facts.info, now())

    @property
    def method(self) -> str:
        """By which way it takes no writes now; empty when it takes them."""
        return FENCE if self.fenced else PAUSE if self.paused else ""

    @property
    def survives(self) -> bool:
        """Whether it stays frozen when it is started anew."""
        return self.in_file and not self.overruled


def is_paused(journal: Freeze | None, info: Mapping[str, str], time: float) -> bool:
    """Whether a pause of ours still stands. Pure.

    Only Valkey tells of pauses. Elsewhere it stands until its time is over or the process ends.
    """
    if journal is None or journal.method != PAUSE or not journal.until or from_iso(journal.until) <= time:
        return False
    return journal.run_id == info.get("run_id") and info.get("paused_actions", "write") != "none"


def look(instance: Instance, journal: Freeze | None, state_dir: str) -> Standing:
    """The instance as it stands."""
    path = conf_path(instance)
    text = read_conf(path) if path else ""
    facts = instance.facts
    live = instance.server.config_get_if_allowed(LAG, SETTING, READ_ONLY) if facts is not None else {}
    words = command_line_settings(list(instance.command))
    overruled = any(name in words for name in (*_SLAVES, *_SLAVES.values()))
    own = own_settings(path, text)
    played = False
    with contextlib.suppress(RedisBackupError):  # a journal that cannot be read keeps nobody from freezing
        played = unproven(instance, state_dir) is not None
    return Standing(facts is not None, facts, journal, path, text, live, own, overruled, played)


def conf_path(instance: Instance) -> str:
    """The instance's redis.conf, where that is a file of this host; else empty."""
    path = instance.paths.config_file
    if not path or not os.path.isfile(path):
        return ""
    told = instance.place.config_file or instance.facts is None
    return path if told or is_local(instance.facts, instance.paths.dir) else ""


def read_conf(path: str) -> str:
    with open(path, encoding=ENCODING, errors=ERRORS, newline="") as stream:
        return stream.read()


def own_settings(path: str, text: str) -> dict[str, str]:
    """What a redis.conf, with its includes, says of our two directives without any closing; else the defaults."""
    found = dict(_DEFAULTS)
    try:
        conf = load(path) if path else None
    except ConfigError:
        conf = None
    for directive in conf.directives if conf is not None else ():
        name = next((name for name, alias in _SLAVES.items() if directive.name in (name, alias)), "")
        if name and directive.path != path and directive.args and directive.args[0] not in VALUES:
            found[name] = directive.args[0]
    return {**found, **own_values(text)}


def wanted(facts: Facts, live: Mapping[str, str]) -> dict[str, str]:
    """The settings that make a server refuse every write. Pure.

    They bind a primary, and a replica as soon as it is made one. One that takes writes of its own must not, either.
    """
    writable = facts.role == "replica" and facts.mode != "cluster" and live.get(READ_ONLY) == "no"
    return {**({READ_ONLY: "yes"} if writable else {}), LAG: LAG_CLOSED, SETTING: str(FROZEN)}


def lending(standing: Standing, settings: Mapping[str, str]) -> list[Lent]:
    """What to note before the settings are made. Pure.

    What somebody of us has set is nothing that was there before: then redis.conf tells that.
    """
    before = lent_of(standing.journal.lent) if standing.journal is not None else []
    live = dict(standing.live)
    if live.get(SETTING) in VALUES:
        ours = {each.name: each.ours for each in before}
        live.update({name: ours.get(name, standing.own[name]) for name in (LAG, SETTING)})
    # What was noted and is not made now (a replica that was promoted since) is still to be put back.
    return plan(settings, live, before)


def stock(facts: Facts | None) -> dict[str, Any]:
    """What an instance holds, and how much of it a crash would cost. Pure."""
    if facts is None:
        return {"role": "", "keys": None, "offset": None, "unsaved_changes": None, "aof": ""}
    replica = facts.role == "replica"
    return {
        "role": "sentinel" if facts.mode == "sentinel" else facts.role,
        "keys": None if facts.mode == "sentinel" else facts.keys,
        "offset": facts.number("slave_repl_offset" if replica else "master_repl_offset"),
        "unsaved_changes": facts.number("rdb_changes_since_last_save"),
        "aof": aof_state(facts),
    }


def aof_state(facts: Facts) -> str:
    """The AOF in a word or two. Pure."""
    if facts.info.get("aof_enabled") != "1":
        return "off"
    bad: Sequence[str] = [
        words
        for name, words in (("aof_last_write_status", "writes fail"), ("aof_last_bgrewrite_status", "rewrite failed"))
        if not facts.flag_ok(name)
    ]
    busy = facts.info.get("aof_rewrite_in_progress") == "1"
    return ", ".join(bad) or ("rewriting" if busy else "ok")
