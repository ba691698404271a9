# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the archive of an instance remembers on its host: which bytes of which files have been shipped.

It lies outside the data directory, in `<state_dir>/archive/<instance>/`, and belongs to the user who archives.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

from .._errors import RepositoryError
from .._files import PRIVATE_DIR, locked, make_dirs, read_json, write_json
from .._repository.identity import require_name
from .frame import thinned

FORMAT = 1
TAIL_BYTES = 4096
"""So many bytes before the shipped offset are compared before the next are shipped."""

_MOST_CLOCKS = 400
_MOST_GAPS = 100


@dataclass
class Track:
    """One file of the AOF that grows (or grew), and how much of it has been shipped.

    `after` holds the epoch that this one goes on from. `clocks` are (size, before, after) for sizes above `shipped`;
    `lower` is the last time at which the file was known to be no longer than `shipped`. `again`: how long its last
    object is was forgotten, so that object is stored once more.
    """

    epoch: str
    name: str
    kind: str
    seq: int
    inode: int
    shipped: int = 0
    size: int = 0
    closed: bool = False
    tail: str = ""
    lower: float | None = None
    clocks: list[list[float]] = field(default_factory=list)
    after: dict[str, Any] | None = None
    time: float | None = None
    told: bool = False
    again: bool = False

    @property
    def key(self) -> tuple[str, int]:
        return self.name, self.inode

    @property
    def left(self) -> int:
        """Bytes that were seen and not shipped yet."""
        return max(self.size - self.shipped, 0)

    @property
    def due(self) -> bool:
        """Whether something of it is to be shipped. A file that stayed empty is told too: the next epoch names it."""
        return self.left > 0 or (self.closed and not self.size and not self.told)

    def saw(self, size: int, before: float, after: float) -> None:
        """Remember how long the file was between two times."""
        self.size = size
        if size <= self.shipped:
            self.lower = before
            return
        if self.clocks and self.clocks[-1][0] == size:
            self.clocks[-1] = [size, before, self.clocks[-1][2]]
        else:
            self.clocks.append([size, before, after])
        if len(self.clocks) > _MOST_CLOCKS:
            self.clocks = thinned(self.clocks)

    def ship(self, end: int) -> None:
        """Everything below `end` is in the repository."""
        self.shipped = end
        self.told, self.again = True, False
        passed = [before for size, before, _after in self.clocks if size <= end]
        self.lower = max([*passed, *([] if self.lower is None else [self.lower])], default=None)
        self.clocks = [clock for clock in self.clocks if clock[0] > end]


@dataclass
class Base:
    """A base on its way into the repository. `time` is that of the data in it."""

    epoch: str
    name: str
    seq: int
    inode: int
    size: int
    time: float
    shipped: int = 0

    @property
    def key(self) -> tuple[str, int]:
        return self.name, self.inode


@dataclass
class Left:
    """The file that was followed last and is done with: all of it was shipped."""

    epoch: str
    name: str
    seq: int
    inode: int
    size: int


@dataclass
class Pending:
    """An object that may have been committed since: it is counted, or the same bytes are shipped under that name.

    `sha256` is that of its bytes as they stood in the file when they were read for it.
    """

    path: str
    epoch: str
    name: str
    kind: str
    offset: int
    length: int
    last: bool = False
    sha256: str = ""


@dataclass
class ArchiveState:
    """Everything that the next pass must know. Times are UTC seconds; 0 or None where nothing happened yet.

    `tracks` are in the order of their numbers. `based` is the epoch whose base was shipped last, `base_key` that base.
    `covered_from` is the earliest time since which all can be recovered without a gap, as far as this host knows.
    `unsure`: the repository was never reached yet, so what it holds is not known. `off`: the server was seen with its
    AOF off since the last look. `folder` is the inode of the AOF's folder. `last_epoch` was begun last.
    `offset` is the server's replication offset at the last look; `exchanged`: its data was, and no file is known yet
    that was begun with the new data.
    """

    instance: str
    uuid: str = ""
    repository: str = ""
    tracks: list[Track] = field(default_factory=list)
    base: Base | None = None
    based: str = ""
    base_key: list[Any] = field(default_factory=list)
    left: Left | None = None
    pending: Pending | None = None
    previous: str = ""
    covered_from: float | None = None
    covered_to: float | None = None
    broken: dict[str, Any] | None = None
    gaps: list[dict[str, Any]] = field(default_factory=list)
    looked: float | None = None
    last_pass: float | None = None
    last_success: float | None = None
    last_error: str = ""
    objects: int = 0
    plain_bytes: int = 0
    stored_bytes: int = 0
    run_id: str = ""
    turn: str = ""
    unsure: bool = False
    off: bool = False
    folder: int = 0
    last_epoch: str = ""
    offset: int = 0
    exchanged: bool = False

    def note_gap(self, start: float | None, end: float | None, reason: str) -> None:
        """Record a time that cannot be recovered; one that begins where the last one did only lengthens it."""
        if self.gaps and self.gaps[-1]["from"] == start:
            self.gaps.pop()
        self.gaps = [*self.gaps, {"from": start, "to": end, "reason": reason}][-_MOST_GAPS:]

    def track(self, key: tuple[str, int]) -> Track | None:
        return next((each for each in self.tracks if each.key == key), None)


def tail_hash(data: bytes) -> str:
    """What is compared of the bytes before the shipped offset."""
    return hashlib.sha256(data).hexdigest()


@dataclass(frozen=True)
class ArchiveHost:
    """The folder on the host where the archive of each instance keeps its state and its lock."""

    state_dir: str

    def folder(self, instance: str) -> str:
        require_name(instance)
        return os.path.join(self.state_dir, "archive", instance)

    def prepare(self, instance: str) -> None:
        """Make the folder. Raises RepositoryError."""
        folder = self.folder(instance)
        try:
            make_dirs(folder, PRIVATE_DIR)
        except OSError as error:
            raise _unusable(folder, error) from None

    def read(self, instance: str) -> ArchiveState | None:
        """The state; None where there is none. Raises RepositoryError when it cannot be read."""
        path = self._path(instance)
        try:
            return _parse(read_json(path), instance)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise RepositoryError(
                f"{path} cannot be read: {error}",
                untouched="Nothing was changed",
                hint="Remove it when it is damaged: the next pass goes on from what the repository holds",
            ) from None

    def write(self, state: ArchiveState) -> None:
        """Make the state durable."""
        path = self._path(state.instance)
        try:
            write_json(path, {"format": FORMAT, **asdict(state)})
        except OSError as error:
            raise _unusable(path, error) from None

    def lock(self, instance: str) -> contextlib.AbstractContextManager[None]:
        """The right to make a pass, held by one process of the host at a time."""
        busy = RepositoryError(
            f"another process archives {instance} at this moment",
            untouched="Nothing was changed",
            hint="Wait until its pass has ended, then run again",
        )
        return self._locked(os.path.join(self.folder(instance), "lock"), busy)

    @contextlib.contextmanager
    def _locked(self, path: str, busy: RepositoryError) -> Iterator[None]:
        with contextlib.ExitStack() as held:
            try:
                held.enter_context(locked(path, busy=busy))
            except OSError as error:
                raise _unusable(path, error) from None
            yield

    def _path(self, instance: str) -> str:
        return os.path.join(self.folder(instance), "state.json")


def _unusable(path: str, error: OSError) -> RepositoryError:
    return RepositoryError(
        f"{path} cannot be written: {error.strerror}",
        untouched="Nothing was changed",
        hint="Free room, or let the user who archives own that folder (the role redis_archive does)",
    )


def _parse(document: Any, instance: str) -> ArchiveState:
    if not isinstance(document, dict):
        raise TypeError("it is no state of an archive")
    if document.pop("format") != FORMAT or document["instance"] != instance:
        raise ValueError("it is not of this instance, or its format is not known to this version")
    document["tracks"] = [Track(**each) for each in document["tracks"]]
    for name, kind in (("base", Base), ("left", Left), ("pending", Pending)):
        document[name] = kind(**document[name]) if document[name] is not None else None
    times = [document[name] for name in ("covered_from", "covered_to", "looked", "last_pass", "last_success")]
    times += [each[end] for each in document["gaps"] for end in ("from", "to")]
    if not all(each is None or isinstance(each, (int, float)) for each in times):
        raise TypeError("a time in it is no number")
    return ArchiveState(**document)
