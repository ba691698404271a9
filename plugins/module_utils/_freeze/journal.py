# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a server was told before it was frozen: kept in the host's state directory, until it is thawed."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from .._errors import FreezeError
from .._files import fsync_dir, locked, make_dirs, read_json, write_json

FORMAT = 1
FENCE, PAUSE = "fence", "pause"


@dataclass(frozen=True)
class Freeze:
    """How a server was frozen. `lent` are the settings that were made, as `_live/settings.py` notes them.

    `since` and `until` are ISO 8601, UTC; `since` is empty as long as that is not done. `run_id` is that of the process
    that was paused: a pause ends with it.
    """

    method: str
    since: str = ""
    until: str = ""
    by: str = ""
    run_id: str = ""
    lent: list[dict[str, str]] = field(default_factory=list)

    @property
    def before(self) -> dict[str, str]:
        """The settings as they were."""
        return {entry["name"]: entry["old"] for entry in self.lent}


class FreezeJournal:
    """The file that remembers a frozen instance."""

    def __init__(self, state_dir: str, instance: str) -> None:
        self.state_dir = os.path.normpath(state_dir)
        self.folder = os.path.join(self.state_dir, "freeze")
        safe = re.sub(r"[^A-Za-z0-9._-]", lambda found: f"%{ord(found[0]):02x}", instance)
        self.path = os.path.join(self.folder, f"{safe}.json")
        self._lock = os.path.join(self.folder, f"{safe}.lock")

    def read(self) -> Freeze | None:
        """What was written; None when nothing was. Raises FreezeError when it cannot be read."""
        try:
            document: dict[str, Any] = read_json(self.path)
            if document.pop("format") != FORMAT:
                raise ValueError("its format is not known to this version")
            known = {each.name for each in fields(Freeze)}
            found = Freeze(**{name: value for name, value in document.items() if name in known})
            if not all(set(entry) == {"name", "old", "ours"} for entry in found.lent):
                raise ValueError("the settings in it cannot be understood")
            return found
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise FreezeError(
                f"the journal {self.path} of a frozen instance cannot be read: {error}",
                untouched="Nothing was changed",
                hint="Move it away: what redis.conf says is then taken for what was before",
            ) from None

    def write(self, freeze: Freeze) -> None:
        make_dirs(self.folder)
        write_json(self.path, {"format": FORMAT, **asdict(freeze)})

    def remove(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path)
            fsync_dir(self.folder)

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Keep other tasks from freezing or thawing the same instance at the same time.

        A state directory in which nothing can be written (its disk is full) is no reason not to freeze.
        """
        busy = FreezeError(
            "another task is freezing or thawing this instance",
            untouched="Nothing was changed by this one",
            hint="Wait until it has ended, then run again",
        )
        with contextlib.ExitStack() as held:
            with contextlib.suppress(OSError):
                make_dirs(self.folder)
                held.enter_context(locked(self._lock, busy=busy))
            yield
