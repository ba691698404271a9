# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a Sentinel was told before it was held: kept in the host's state directory, as SENTINEL SET itself persists."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

from .._errors import GroupError
from .._files import fsync_dir, locked, make_dirs, read_json, write_json

FORMAT = 1
FOLDER = "sentinels"


@dataclass(frozen=True)
class Watch:
    """How a Sentinel watched a primary: its address and quorum, and the options of SENTINEL SET in order.

    `scripts` are those that it may refuse to be given again (`deny-scripts-reconfig`).
    """

    master: str
    host: str
    port: int
    quorum: int
    options: list[list[str]] = field(default_factory=list)
    scripts: list[list[str]] = field(default_factory=list)

    @property
    def where(self) -> str:
        return f"{self.host}:{self.port}"

    def value(self, option: str, default: str = "") -> str:
        """The value of an option that has one."""
        return next((words[1] for words in self.options if words[0] == option), default)


class HoldJournal:
    """The file that remembers one held primary of one Sentinel. It may hold a password, and is for its user alone."""

    def __init__(self, state_dir: str, instance: str, master: str) -> None:
        self.folder = os.path.join(state_dir, FOLDER)
        self.path = os.path.join(self.folder, f"{_safe(instance)}@{_safe(master)}.json")

    def read(self) -> Watch | None:
        """What was written; None when nothing was. Raises GroupError when it cannot be read."""
        try:
            document: dict[str, Any] = read_json(self.path)
            if document.pop("format") != FORMAT:
                raise ValueError("its format is not known to this version")
            return Watch(**document)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise GroupError(
                f"the journal {self.path} of a held Sentinel cannot be read: {error}",
                untouched="Nothing was changed",
                hint="Set down-after-milliseconds of this primary with SENTINEL SET, then remove the file",
            ) from None

    def write(self, watch: Watch) -> None:
        make_dirs(self.folder)
        write_json(self.path, {"format": FORMAT, **asdict(watch)})

    def remove(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path)
            fsync_dir(self.folder)

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Keep other tasks from holding or releasing the same at the same time."""
        make_dirs(self.folder)
        busy = GroupError(
            "another task is holding or releasing this Sentinel",
            untouched="Nothing was changed",
            hint="Wait until it has ended, then run again",
        )
        with locked(os.path.join(self.folder, "lock"), busy=busy):
            yield


def held_by(state_dir: str, instance: str) -> list[Watch]:
    """What is written down of the primaries for which a Sentinel was held; what cannot be read is left out."""
    folder = os.path.join(os.path.normpath(state_dir), FOLDER)
    try:
        names = sorted(os.listdir(folder))
    except OSError:
        return []
    found = []
    for name in names:
        if name.startswith(f"{_safe(instance)}@") and name.endswith(".json"):
            journal = HoldJournal(os.path.normpath(state_dir), instance, "")
            journal.path = os.path.join(folder, name)
            with contextlib.suppress(GroupError):
                watch = journal.read()
                found += [watch] if watch is not None else []
    return found


def _safe(part: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]", lambda found: f"%{ord(found[0]):02x}", part)
