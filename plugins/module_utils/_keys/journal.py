# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The journal of an import: how far it came, so that the same import goes on after it was killed.

It is written ahead: `reserved` stands behind all that may have been sent, `done` behind all that surely is there.
Between the two a key that exists may be ours; then it has our value. A run that ended well leaves no journal.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from .._errors import RedisBackupError
from .._files import fsync_dir, locked, make_dirs, read_json, write_json
from .._times import now

FORMAT = 1
_FOLDER = "imports"
_FORGOTTEN_S = 7 * 86400.0  # an import that nobody went on with for so long is not gone on with


@dataclass
class Journal:
    """One import of one source into one server. Positions count the entries of the source from 0.

    `started` is the target's clock in UTC milliseconds when the first run began. `server` is the run of the server that
    `done` holds for: after a restart or a failover, some of what it confirmed may be lost. `building` is the key
    (database, name in hexadecimal digits) that is being made in parts. `counts` are those of the entries up to `done`.
    """

    identifier: str
    started: int
    server: str
    done: int = 0
    reserved: int = 0
    building: list[Any] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)


def identity_of(parts: Mapping[str, Any]) -> str:
    """A name for what is imported, from where, to where and how: the same for the same."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:24]


class Shelf:
    """Where the journals of this host lie; one for each identity, held by one run at a time."""

    def __init__(self, state_dir: str, identity: str) -> None:
        self._folder = os.path.join(state_dir, _FOLDER)
        self.path = os.path.join(self._folder, f"{identity}.json")

    @contextlib.contextmanager
    def held(self, what: str) -> Iterator[None]:
        """Keep other runs of the same import out. Raises RedisBackupError when there is one."""
        make_dirs(self._folder)
        self._sweep()
        busy = RedisBackupError(
            f"another run is importing {what} right now",
            untouched="Nothing was changed",
            hint="Wait until it has ended",
        )
        lock = f"{self.path}.lock"
        with locked(lock, busy=busy):
            os.utime(lock)
            try:
                yield
            finally:
                if not os.path.exists(self.path):
                    with contextlib.suppress(FileNotFoundError):
                        os.unlink(lock)

    def _sweep(self) -> None:
        """Remove what nobody will ask for again."""
        for entry in os.scandir(self._folder):
            with contextlib.suppress(FileNotFoundError):
                if now() - entry.stat(follow_symlinks=False).st_mtime > _FORGOTTEN_S:
                    os.unlink(entry.path)

    def found(self) -> Journal | None:
        """The journal that an earlier run has left, if any. Raises RedisBackupError for one that cannot be read."""
        try:
            document = read_json(self.path)
            if document.pop("format") != FORMAT:
                raise ValueError("its format is not known to this version")
            return Journal(**document)
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise RedisBackupError(
                f"the journal {self.path} of an earlier import cannot be read: {error}",
                untouched="Nothing was changed",
                hint="Remove it: the import then begins anew, and keys of the earlier run count as existing",
            ) from None

    def save(self, journal: Journal) -> None:
        """Make the journal durable."""
        write_json(self.path, {"format": FORMAT, **asdict(journal)})

    def forget(self) -> None:
        """The import is done."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path)
            fsync_dir(self._folder)


def new_journal(started: int, server: str) -> Journal:
    """The journal of an import that begins."""
    return Journal(secrets.token_hex(8), started, server)
