# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A prepared change made: the running server, then redis.conf. A failure takes all of it back."""

from __future__ import annotations

import os

from .._errors import ConfigError, RedisBackupError
from .._files import locked, make_dirs
from .._server.instance import Instance
from . import aof
from .conf_write import holds, keep_copy, replace, require_unchanged
from .live import LiveChanges
from .places import moved_by
from .prepare import Prepared
from .relocate import carried, carry_over, note_ours
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
        "snapshot": "take a snapshot in place of the AOF",
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
                if isinstance(error, ConfigError) and (failed or not error.untouched):
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
        file = self._situation.file
        if self._written and file and not holds(file.path, file.text):
            replace(file.path, file.text)
        failed = self._live.undo()
        try:
            if self._switched == "on":
                self._instance.server.call("CONFIG", "SET", "appendonly", "no")
            elif self._switched == "off":
                aof.turn_on(self._instance, self._request.wait_timeout)
        except RedisBackupError:  # what made the run fail is told; a server that is gone has nothing to set back
            failed.append("appendonly")
        return failed
