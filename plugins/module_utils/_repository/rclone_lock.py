# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The right to write backups of an instance, as a file in the repository: an owner, and an expiry in its name.

rclone's remotes know no conditional write. So each writer first writes a file of its own, `.lock-<token>-<expiry>`,
looks who else has one, and goes on when it sees no other: of two writers at least one sees the other. Of those that
came at once, the one with the least token waits while the others withdraw. The lease is renewed by a rename. Who finds
a lease that has ended removes that very name, so that its owner's next rename fails; and looks again, since the rename
may have come first. An owner looks for its own file before it would finish a backup.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import socket
import threading
import time
import uuid
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING

from .._errors import RepositoryError
from .._times import now, to_iso
from .layout import LOCK

if TYPE_CHECKING:
    from .rclone import RcloneStore

LEASE = 150.0  # seconds; the clocks of two controllers may differ by less than a quarter of it
_RENEW = 40.0
_FRESH = 110.0  # a lease that lasts longer is not renewed before time
_ENOUGH = 90.0  # that must be left for the operation which ends a backup: it is ended itself after half of this
_TRIES = 4
_LOOKS = 2
_PAUSE = (0.3, 1.0)  # seconds before another look, by chance between these
_UNTOUCHED = "The server and the earlier backups are as they were"
_NAME = re.compile(re.escape(LOCK) + r"-([0-9a-f]{32})-(\d{1,12})")


@dataclass(frozen=True)
class LockName:
    """One writer's lock, as its file's name tells it."""

    token: str
    expires: int

    def __str__(self) -> str:
        return f"{LOCK}-{self.token}-{self.expires}"


def parse_locks(names: list[str]) -> list[LockName]:
    """The locks among the names of an instance's folder. Pure."""
    matches = (_NAME.fullmatch(name) for name in names)
    return [LockName(match[1], int(match[2])) for match in matches if match]


class RcloneLock:
    """A context that holds the lock of one instance. Raises RepositoryError when another writer lives."""

    def __init__(self, store: RcloneStore, instance: str) -> None:
        self._store = store
        self._instance = instance
        self._mine = LockName("", 0)
        self._renewing = threading.Lock()
        self._ended = threading.Event()
        self._keeper: threading.Thread | None = None
        self.broken = ""

    def __enter__(self) -> RcloneLock:
        seen: set[str] = set()
        for number in range(_TRIES):
            others = self._try()
            if not others:
                break
            tokens = {other.token for other in others}
            if tokens & seen or number == _TRIES - 1:  # it stayed while we paused: it is held
                raise self._busy(next((other for other in others if other.token in seen), others[0]))
            seen = tokens
            time.sleep(random.uniform(*_PAUSE))
        self._keeper = threading.Thread(target=self._keep, daemon=True)
        self._keeper.start()
        return self

    def __exit__(self, _kind: type[BaseException] | None, _error: object, _trace: TracebackType | None) -> None:
        self._ended.set()
        if self._keeper:
            self._keeper.join()
        self._withdraw()

    def assure(self) -> None:
        """Renew the lease, unless that was just done. Raises RepositoryError when it is not ours any more.

        Then nothing may be finished.
        """
        for _try in range(2):  # the answer to a renewal may have been lost: then our lock has a later name
            if self._mine.expires < now() + _FRESH:
                with contextlib.suppress(RepositoryError):
                    self._renew()
            locks = self._present()
            ours = [lock for lock in locks if lock.token == self._mine.token]
            if not ours:
                break
            self._mine = max(ours, key=lambda lock: lock.expires)
            if self._mine.expires > now() + _ENOUGH:
                return
        raise RepositoryError(
            f"the lock of {self._instance} in {self._store.where()} was lost: this run was held up for longer than "
            f"{LEASE:.0f} seconds, or could not renew it",
            untouched=_UNTOUCHED,
            hint="Run again",
        )

    def _path(self, lock: LockName) -> str:
        return f"{self._instance}/{lock}"

    def _present(self) -> list[LockName]:
        return parse_locks(self._store.list_now(self._instance))

    def _try(self) -> list[LockName]:
        """Write our lock and look around. The living locks of others, ours withdrawn; none: the lock is ours."""
        self._mine = LockName(uuid.uuid4().hex, int(now() + LEASE))
        owner = {"owner": f"{socket.gethostname()}, process {os.getpid()}", "expires": to_iso(self._mine.expires)}
        try:
            self._store.put(self._path(self._mine), json.dumps(owner).encode())
            living = self._living()
            for _look in range(_LOOKS):  # of several that came at once, one stays until the others have withdrawn
                if not living or self._mine.token > min(other.token for other in living):
                    break
                time.sleep(random.uniform(*_PAUSE))
                living = self._living()
        except BaseException:
            self._withdraw()
            raise
        if living:
            self._withdraw()
        return living

    def _living(self) -> list[LockName]:
        """The others' locks whose lease has not ended; those whose lease has are removed."""
        others = self._others()
        if self._remove_ended(others):
            others = self._others()
        return [other for other in others if other.expires > now()]

    def _others(self) -> list[LockName]:
        locks = self._present()
        if self._mine not in locks:
            raise RepositoryError(
                f"{self._store.where(self._path(self._mine))} was written and is not there",
                untouched=_UNTOUCHED,
                hint="Compare the clocks of those who write there: another may have taken it for a dead owner's",
            )
        return [lock for lock in locks if lock.token != self._mine.token]

    def _remove_ended(self, others: list[LockName]) -> bool:
        """Remove the locks whose lease has ended, with a word."""
        ended = [other for other in others if other.expires <= now()]
        for lock in ended:
            owner = self._owner(lock)
            self._store.forget(self._path(lock))
            self.broken = f"took over the lock of {owner}, whose lease ended at {to_iso(lock.expires)}"
        return bool(ended)

    def _owner(self, lock: LockName) -> str:
        try:
            return str(json.loads(self._store.read(self._path(lock), 4096))["owner"])
        except (RepositoryError, ValueError, KeyError, TypeError):
            return "somebody"

    def _busy(self, lock: LockName) -> RepositoryError:
        return RepositoryError(
            f"another backup of {self._instance} is being written to {self._store.where()} by {self._owner(lock)}",
            untouched=_UNTOUCHED,
            hint=f"Wait until it has ended, then run again; a dead owner's lock ends at {to_iso(lock.expires)}",
        )

    def _keep(self) -> None:
        """Renew the lease until the end. One that cannot be renewed runs out, and another writer may come."""
        while not self._ended.wait(_RENEW):
            with contextlib.suppress(RepositoryError):
                self._renew()

    def _renew(self) -> None:
        with self._renewing:
            later = LockName(self._mine.token, int(now() + LEASE))
            if later.expires > self._mine.expires:
                self._store.move(self._path(self._mine), self._path(later))
                self._mine = later

    def _withdraw(self) -> None:
        """Remove our lock, also where it has another name than we know."""
        with contextlib.suppress(RepositoryError):
            if not self._store.forget(self._path(self._mine)):
                for lock in self._present():
                    if lock.token == self._mine.token:
                        self._store.forget(self._path(lock))
