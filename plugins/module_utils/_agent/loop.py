# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Passes of the archive, one after the other, until SIGTERM. No error ends them."""

from __future__ import annotations

import contextlib
import os
import select
import sys
import threading
import time
from dataclasses import dataclass, field
from typing import Callable

from .._archive.locate import AofOff, Located, find_aof
from .._archive.look import mark_of
from .._archive.run import ArchivePass, ArchiveRequest, archive_held, archive_pass, hold_beside, note_off
from .._archive.state import ArchiveHost
from .._archive.status import archive_status
from .._archive.whose import known_here
from .._errors import RedisBackupError
from .._files import write_atomic
from .._repository.identity import HostState
from .config import AgentConfig
from .metrics import metrics_text

_ASK_AGAIN = 15.0
"""Seconds after which the server is asked again where its AOF is, and whether it is on.

It is asked at once when a pass failed, or when the server has rewritten its AOF.
"""

_LONGEST_PAUSE = 60.0


def pause_after(interval: float, failures: int) -> float:
    """Seconds from the beginning of one pass to the next: failures in a row make it longer, up to a minute. Pure."""
    if not failures:
        return interval
    return max(interval, min(interval * 2.0 ** min(failures, 10), _LONGEST_PAUSE))


class Stop:
    """A flag that a signal sets and a sleep ends with. It may be set at any instant: nothing here takes a lock."""

    def __init__(self) -> None:
        self._reading, self._writing = os.pipe()
        self.is_set = False

    def set(self) -> None:
        """End the sleep, and those to come."""
        self.is_set = True
        os.write(self._writing, b"x")

    def wait(self, seconds: float) -> None:
        """Sleep, unless it is set."""
        select.select([self._reading], [], [], max(seconds, 0.0))


@dataclass
class Agent:
    """The loop for one instance. `say` gets a line for the log whenever something changes."""

    config: AgentConfig
    say: Callable[[str], None]
    stop: Stop = field(default_factory=Stop)
    _request: ArchiveRequest | None = None
    _located: Located | None = None
    _asked: float = 0.0
    _begun: float = 0.0
    _mark: tuple[int, int] = (0, 0)
    _failures: int = 0
    _told: str = ""

    def run(self) -> None:
        """Make passes until `stop` is set. The one under way is ended first."""
        self.say(f"archiving {self.config.instance} to {self.config.store.where()} every {self.config.interval:g} s")
        threading.Thread(target=self._hold_beside, daemon=True).start()
        while not self.stop.is_set:
            begun = time.monotonic()
            more = self.once()
            self.write_metrics()
            if not more:
                self._rest(begun + pause_after(self.config.interval, self._failures))
        self.say("stopped")

    def _hold_beside(self) -> None:
        """In a thread: while a pass takes longer than the interval, hold on to what the server may remove meanwhile."""
        while not self.stop.is_set:
            self.stop.wait(self.config.interval)
            begun, request = self._begun, self._request
            if request is None or not begun or time.monotonic() - begun < self.config.interval:
                continue
            with contextlib.suppress(RedisBackupError, OSError):  # the pass tells it when it ends
                # A pass of root in another user's folder changes the user of the whole process for a moment.
                if os.geteuid() or not os.stat(request.paths.dir).st_uid:
                    hold_beside(request)

    def _rest(self, until: float) -> None:
        """Sleep; where passes fail, what the server may remove is held on to meanwhile."""
        while True:
            left = until - time.monotonic()
            self.stop.wait(min(left, self.config.interval) if self._failures else left)
            if self.stop.is_set or time.monotonic() >= until:
                return
            if self._request is not None:
                with contextlib.suppress(RedisBackupError, OSError):  # the next pass tells it
                    for words in archive_held(self._request):
                        self.say(words)
                self.write_metrics()

    @property
    def failed(self) -> bool:
        """Whether the last pass failed."""
        return self._failures > 0

    def once(self) -> bool:
        """One pass; whether the next one has something to ship at once. Errors are told, once each."""
        try:
            made = self._pass()
        except (RedisBackupError, OSError) as error:
            self._failures += 1
            self._asked = 0.0
            words = " ".join(str(error).split())
            if words != self._told:
                self.say(f"error: {words}")
            self._told = words
            return False
        if self._told:
            self.say("well again")
        self._failures, self._told = 0, ""
        for action in made.actions:
            if not action.startswith("stored "):
                self.say(action)
        for warning in made.warnings:
            self.say(f"warning: {warning}")
        return made.more

    def _pass(self) -> ArchivePass:
        config = self.config
        due = time.monotonic() - self._asked > _ASK_AGAIN
        if self._located is None or self._request is None or due or self._mark != self._mark_now():
            try:
                located = find_aof(config.login, config.place)
            except AofOff:
                note_off(ArchiveHost(config.state_dir), config.instance)
                raise
            self._asked = time.monotonic()
            if self._request is None or self._located is None or located.paths != self._located.paths:
                backups = HostState(config.state_dir)
                self._request = ArchiveRequest(
                    instance=config.instance,
                    paths=located.paths,
                    layout=located.layout,
                    store=config.store,
                    packing=config.packing,
                    host=ArchiveHost(config.state_dir),
                    backups=backups,
                    identity=known_here(backups, config.instance),
                    spool_bytes=config.spool_bytes,
                )
            self._request.layout, self._request.server = located.layout, located.server
            self._located = located
            self._mark = self._mark_now()
        self._begun = time.monotonic()
        try:
            return archive_pass(self._request)
        finally:
            self._begun = 0.0

    def _mark_now(self) -> tuple[int, int]:
        """What a rewrite changes, and an AOF that was off: the server is asked then, too."""
        return mark_of(self._located.paths, self._located.layout) if self._located is not None else (0, 0)

    def write_metrics(self) -> None:
        """Renew the text file of metrics, where one is wanted. That it cannot be written is no reason to end."""
        if not self.config.metrics_file or self._located is None:
            return
        with contextlib.suppress(RedisBackupError, OSError):
            archive = archive_status(ArchiveHost(self.config.state_dir), self.config.instance, self._located.paths)
            if self._told:
                archive["last_error"] = self._told
            text = metrics_text(self.config.instance, archive)
            write_atomic(self.config.metrics_file, text.encode(), mode=0o644)


def to_stderr(line: str) -> None:
    """A line for systemd's journal."""
    with contextlib.suppress(OSError):
        os.write(sys.stderr.fileno(), f"{line}\n".encode(errors="backslashreplace"))
