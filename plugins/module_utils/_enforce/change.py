# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A prepared change made: the running server, then redis.conf. A failure takes all of it back."""

from __future__ import annotations

import os

from .._config.conf_file import load_file
from .._config.edit import set_directive
from .._config.effective import effective_lines
from .._config.values import lines_of
from .._errors import ConfigError, RedisBackupError
from .._files import locked, make_dirs
from .._server.instance import Instance
from . import aof
from .conf_write import holds, keep_copy, replace, require_unchanged
from .live import LiveChanges
from .places import moved_by
from .prepare import Prepared
from .relocate import carried, carry_over, note_ours
from .same import equal
from .situation import Situation
from .wish import Request


def in_words(prepared: Prepared, config_file: str) -> list[str]:
    """What is to be done, in the order in which it is done."""
    plan, found = prepared.plan, []

    def say(changes: list) -> None:
        for change in changes:
            old, new = ("(hidden)", "(hidden)") if change.secret else (change.old, change.new)
            found.append(f"set {change.name} to {new!r} in the running server (from {old!r})")

    say(plan.first)
    switch = {
        "on": "switch the AOF on in the running server and wait until it is whole",
        "off": "switch the AOF off in the running server and take a snapshot in its place",
        "confirm": "wait until the AOF is whole",
        "snapshot": "take a snapshot where redis.conf is to name it",
    }
    found += [switch[plan.aof]] if plan.aof else []
    found += ["take a snapshot"] if plan.moved else []
    say(plan.moved)
    found += ["take a snapshot at the new place"] if plan.moved else []
    say(plan.last)
    found += [f"copy {carry.source} to {carry.dest}" for carry in prepared.carries]
    if prepared.edited:
        found.append(f"write {config_file}: {', '.join(wish.name for wish in plan.edits)}")
    say(plan.then)
    return found


class Changing:
    """The hands of one run. `folder` keeps the copies of redis.conf, `journal` names copies of data in the making."""

    def __init__(
        self, instance: Instance, request: Request, situation: Situation, prepared: Prepared, folder: str, journal: str
    ) -> None:
        self._instance, self._request, self._situation = instance, request, situation
        self._prepared = prepared
        self._folder, self._journal = folder, journal
        self._live = LiveChanges(instance.server, instance.title, situation.version)
        self._switched = ""
        self._written = False
        self.backup_file: str | None = None

    def make(self, lock: str) -> None:
        """Make the change, alone on this instance (`lock`). Raises RedisBackupError; all is then changed back."""
        make_dirs(self._folder)
        busy = ConfigError(
            f"another task is at work on {self._instance.title} on this host",
            untouched="Nothing was changed",
            hint="Wait for its end, then run again",
        )
        with locked(lock, busy=busy):
            if self._prepared.edited and self._situation.file:
                require_unchanged(self._prepared.edited.path, self._situation.file.text)
            try:
                self._make()
            except BaseException as error:
                failed = self._undo()
                if isinstance(error, RedisBackupError) and (failed or not error.untouched):
                    error.untouched = (
                        f"What was set before is set back, except {', '.join(failed)}"
                        if failed
                        else "redis.conf and the running values are as they were"
                    )
                raise

    def _make(self) -> None:
        plan = self._prepared.plan
        self._live.set(plan.first)
        self._switch_aof(plan.aof)
        self._move()
        for change in plan.last:
            self._live.set_proven(change)
        self._write()
        carried(self._journal)
        self._live.set(plan.then)
        self._verify()

    def _switch_aof(self, step: str) -> None:
        timeout = self._request.wait_timeout
        if step == "on":
            self._switched = step  # taken back also when the server falls silent in between
            aof.turn_on(self._instance, timeout)
        elif step == "off":
            aof.turn_off(self._instance, timeout)
        elif step == "confirm":
            aof.confirm(self._instance, timeout)
        elif step == "snapshot":
            aof.snapshot(self._instance, timeout)
        self._switched = step

    def _move(self) -> None:
        """Set where the RDB lies, and have one there before redis.conf names the place.

        One at the old place comes first: whoever stops the server in between has it save at the new place.
        """
        moved = self._prepared.plan.moved
        if not moved:
            return
        aof.snapshot(self._instance, self._request.wait_timeout)
        self._instance.paths = moved_by(self._instance.paths, [(change.name, change.new) for change in moved])
        note_ours(self._journal, [self._instance.paths.dump])
        self._live.set(moved)
        aof.snapshot(self._instance, self._request.wait_timeout)

    def _write(self) -> None:
        edited, file = self._prepared.edited, self._situation.file
        if edited is None or file is None:
            return
        carry_over(self._prepared.carries, self._journal)
        require_unchanged(edited.path, file.text)
        if self._request.backup:
            self.backup_file = keep_copy(edited.path, self._folder, self._request.backup_count)
        self._written = True
        replace(edited.path, edited.text)

    def _verify(self) -> None:
        """Ask the server again for what was set."""
        plan = self._prepared.plan
        wanted = {change.name: change.new for change in plan.live}
        if plan.aof in ("on", "off"):
            wanted["appendonly"] = "yes" if plan.aof == "on" else "no"
        said = self._instance.server.config_get(*wanted) if wanted else {}
        for name, value in wanted.items():
            found = said.get(name)
            if found != value and not (name == "dir" and os.path.realpath(found or "") == os.path.realpath(value)):
                raise ConfigError(
                    f"{self._instance.title}: {name} was set, and the server does not say so",
                    hint="Somebody else may be changing it; look at the server's log, then run again",
                )

    def _undo(self) -> list[str]:
        """Put everything back; the names of values that could not be."""
        file, edited = self._situation.file, self._prepared.edited
        if self._written and file and edited and holds(file.path, edited.text):
            replace(file.path, file.text)
        failed = [] if self._switched == "off" else self._take_out()
        failed += self._live.undo()
        try:
            if self._switched == "on":
                self._instance.server.call("CONFIG", "SET", "appendonly", "no")
            elif self._switched == "off":
                aof.turn_on(self._instance, self._request.wait_timeout)
                failed += self._take_out()
        except RedisBackupError:  # what made the run fail is told; a server that is gone has nothing to set back
            failed.append("appendonly")
        return failed

    def _take_out(self) -> list[str]:
        """Take our values out of redis.conf where a CONFIG REWRITE of others wrote them while they were in effect.

        Else the next start would load an AOF that is not written any more. What could not be done, as a list.
        """
        file, plan = self._situation.file, self._prepared.plan
        if file is None:
            return []
        ours = {change.name: change.new for change in plan.live}
        if plan.aof in ("on", "off"):
            ours["appendonly"] = "yes" if plan.aof == "on" else "no"
        try:
            now = load_file(file.path)
            before = now.text
            for name, new in ours.items():
                was, said = (effective_lines(each, name, self._situation.version) for each in (file, now))
                if said != was and said is not None and equal(name, lines_of(name, new), said):
                    default = lines_of(name, self._situation.live.get(name, ""))
                    set_directive(now, name, was, self._situation.version, default)
            if now.text != before:
                replace(now.path, now.text)
        except (ConfigError, OSError):  # what made the run fail is told first
            return ["redis.conf"]
        return []
