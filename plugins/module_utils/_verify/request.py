# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a verification is asked for, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Callable

from .._repository.store import Store
from .choose import Wish

if TYPE_CHECKING:
    from .loaded import Loaded


@dataclass(frozen=True)
class Host:
    """What this host lends to a verification: the server's program, the user it runs as (None: as ourselves)."""

    program: str
    user: tuple[int, int] | None = None


@dataclass(frozen=True)
class VerifyRequest:
    """Verifications of backups of one instance. `host` is asked only where a program is needed. Times are seconds.

    `inspect` looks at what a throw-away server has loaded, for whoever wants to know more of it.
    """

    stores: tuple[Store, ...]
    instance: str
    level: str
    host: Callable[[], Host]
    wish: Wish = field(default_factory=Wish)
    identities: tuple[str, ...] = ()
    work_dir: str = ""
    memory_limit: int | None = None
    wait_timeout: float = 3600.0
    disk_limit: int | None = None
    inspect: Callable[[Loaded], None] | None = None


@dataclass
class Finding:
    """What was found out about one copy of a backup.

    `problems` are the backup's; then it is not ok. `trouble` is the host's or the repository's, and no verdict.
    `seconds` tells how long parts of a load took: `fetch`, `load`, `digest`.
    """

    problems: list[str] = field(default_factory=list)
    trouble: str = ""
    keys: int | None = None
    server: Mapping[str, str] | None = None
    digest: str | None = None
    functions: int | None = None
    seconds: dict[str, float] = field(default_factory=dict)
    stored_size: int | None = None

    @property
    def decided(self) -> bool:
        """Whether there is a verdict. One bad file is enough, whatever kept us from the others."""
        return bool(self.problems) or not self.trouble

    @property
    def ok(self) -> bool:
        return not self.problems and not self.trouble


@dataclass
class Outcome:
    """What came of a run: the module's `results`, what was done in words, whether records were written."""

    changed: bool
    actions: list[str] = field(default_factory=list)
    results: list[dict[str, Any]] = field(default_factory=list)
