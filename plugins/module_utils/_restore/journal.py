# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The journal of a restore: what was decided and how far it came, so that each step can be repeated after a crash."""

from __future__ import annotations

import os
import secrets
import stat
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

from .._errors import RestoreError
from .._files import PRIVATE_DIR, fsync_dir, read_json, remove_tree, write_json
from .data_dir import WORKSPACE

FORMAT = 1
SWAPPED = ("activating", "active", "committing", "rolling_back")
OPEN_STATES = ("staged", *SWAPPED)


@dataclass
class Placed:
    """A small file outside the data set that is put in place: `kind` conf, include or acl."""

    path: str
    kind: str
    staged: str
    mode: int
    uid: int
    gid: int
    existed: bool | None = None


@dataclass
class Journal:
    """One restore of one data directory. File names are relative to the data directory, times ISO 8601 UTC.

    `keys` may be wrong by `room`; `loads` is what is staged, `rdb` or `aof`. `point` tells of a recovery to a
    moment what was asked for, how near it came, and what it was made of. `live` is kept by a restore into a running
    server: what was lent of its settings, and what was played. `slots` are those of the shard of a cluster.
    """

    id: str
    state: str
    instance: str
    source_instance: str
    repository: str
    label: str
    snapshot_time: str
    created: str
    target_time: str
    keys: int = 0
    expires: int = 0
    data_names: list[str] = field(default_factory=list)
    aside: list[str] = field(default_factory=list)
    install: list[str] = field(default_factory=list)
    discard: list[str] = field(default_factory=list)
    placed: list[Placed] = field(default_factory=list)
    owner: list[int] = field(default_factory=list)
    config_file: str = ""
    service: str = ""
    writes_closed: bool = False
    over: str = ""
    uuid: str = ""
    converted: str = ""
    room: int = 0
    loads: str = "rdb"
    point: dict[str, Any] = field(default_factory=dict)
    live: dict[str, Any] = field(default_factory=dict)
    slots: list[list[int]] = field(default_factory=list)


def new_id() -> str:
    """An id that sorts by time."""
    seconds, micro = divmod(time.time_ns() // 1000, 1_000_000)
    moment = time.strftime("%Y%m%dT%H%M%S", time.gmtime(seconds))
    return f"{moment}.{micro:06d}Z-{secrets.token_hex(3)}"


class Workspace:
    """The folder `.redis_backup` in a data directory: one folder for each restore, the lock, the fence."""

    def __init__(self, data_dir: str) -> None:
        self.data_dir = data_dir
        self.root = os.path.join(data_dir, WORKSPACE)
        self.fence = os.path.join(self.root, "fence")
        self.lock_path = os.path.join(self.root, "lock")

    def prepare(self) -> None:
        """Make the folder, for us alone. Raises RestoreError when somebody else made it."""
        try:
            os.mkdir(self.root, PRIVATE_DIR)
            fsync_dir(self.data_dir)
        except FileExistsError:
            pass
        _require_ours(self.root, stat.S_ISDIR)

    def exists(self) -> bool:
        """Whether the folder is there. Raises RestoreError when somebody else made it."""
        if not os.path.lexists(self.root):
            return False
        _require_ours(self.root, stat.S_ISDIR)
        return True

    def folder(self, journal: Journal) -> str:
        return os.path.join(self.root, journal.id)

    def staged(self, journal: Journal) -> str:
        return os.path.join(self.folder(journal), "staged")

    def previous(self, journal: Journal) -> str:
        return os.path.join(self.folder(journal), "previous")

    def discarded(self, journal: Journal) -> str:
        return os.path.join(self.folder(journal), "discarded")

    def save(self, journal: Journal, state: str | None = None) -> None:
        """Make the journal durable, in a new state if one is given."""
        if state:
            journal.state = state
        folder = self.folder(journal)
        if not os.path.isdir(folder):
            os.mkdir(folder, PRIVATE_DIR)
            fsync_dir(self.root)
        write_json(os.path.join(folder, "journal.json"), {"format": FORMAT, **asdict(journal)})

    def journals(self) -> list[Journal]:
        """All restores, newest first. A folder whose journal was never written is none."""
        found = []
        try:
            names = sorted(os.listdir(self.root), reverse=True)
        except FileNotFoundError:
            return []
        # The server's user owns the folder above and may plant another here: what it wrote is never followed as root.
        _require_ours(self.root, stat.S_ISDIR)
        for name in names:
            path = os.path.join(self.root, name, "journal.json")
            try:
                _require_ours(os.path.dirname(path), stat.S_ISDIR)
                _require_ours(path, stat.S_ISREG)
                found.append(_read(read_json(path)))
            except (FileNotFoundError, NotADirectoryError):
                continue
            except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
                raise RestoreError(
                    f"the restore journal {path} cannot be read: {error}",
                    untouched="Nothing was changed",
                    hint="Move its folder out of the data directory when its restore is no longer needed",
                ) from None
        return found

    def current(self) -> Journal | None:
        """The restore that is open, if any. A staging run that died opened none, nor is open what was staged before."""
        whole = [j for j in self.journals() if j.state != "staging"]
        return next((j for j in whole if j.state in OPEN_STATES and (j is whole[0] or j.state != "staged")), None)

    def find(self, identifier: str) -> Journal | None:
        return next((j for j in self.journals() if j.id == identifier), None)

    def forget_unfinished(self) -> list[str]:
        """Remove what staging runs that died have left."""
        gone = [j.id for j in self.journals() if j.state == "staging"]
        if os.path.isdir(self.root):
            for name in os.listdir(self.root):
                folder = os.path.join(self.root, name)
                if os.path.isdir(folder) and not os.path.lexists(os.path.join(folder, "journal.json")):
                    gone.append(name)
        for name in gone:
            remove_tree(os.path.join(self.root, name))
        return gone


def _require_ours(path: str, kind: Callable[[int], bool]) -> None:
    """Raise RestoreError for what another user made or may write. What is not there, or no folder, is no matter."""
    found = os.lstat(path)
    if stat.S_ISREG(found.st_mode) and kind is stat.S_ISDIR and found.st_uid in (0, os.geteuid()):
        raise NotADirectoryError(path)
    if not kind(found.st_mode) or found.st_uid not in (0, os.geteuid()) or found.st_mode & 0o022:
        raise RestoreError(
            f"{path} is not of this collection: user {found.st_uid} made it, or others may write there",
            untouched="Nothing was changed",
            hint="Look who made it, and remove it",
        )


def _read(document: dict[str, Any]) -> Journal:
    if document.pop("format") != FORMAT:
        raise ValueError("its format is not known to this version")
    placed = [Placed(**entry) for entry in document.pop("placed")]
    journal = Journal(**document, placed=placed)
    names = [*journal.data_names, *journal.aside, *journal.install, *journal.discard, *(p.staged for p in placed)]
    if any("/" in name or name in ("", ".", "..") for name in [*names, journal.id]):
        raise ValueError("it names what lies elsewhere")
    return journal
