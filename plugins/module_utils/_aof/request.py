# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is asked of an AOF, and the result as the module returns it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from .._errors import AofError
from .._times import from_iso

DEFAULT_MAX_TRUNCATE = 1024 * 1024


@dataclass(frozen=True)
class AofRequest:
    """The options of one run. `path` empty: the instance's own AOF. Times are UTC seconds, sizes bytes."""

    state: str
    path: str = ""
    to_timestamp: int | None = None
    dest: str = ""
    max_truncate_bytes: int = DEFAULT_MAX_TRUNCATE
    keep_original: bool = True
    drop_later: bool = False
    second_opinion: bool = False
    wait_timeout: int = 3600
    stop_wait: float = 30.0
    check_mode: bool = False


@dataclass
class AofDone:
    """What came of it. `aof` is a check's document, `rewrite` that of a rewrite."""

    changed: bool = False
    actions: list[str] = field(default_factory=list)
    aof: dict[str, Any] | None = None
    rewrite: dict[str, Any] | None = None
    lost: dict[str, Any] | None = None
    originals: list[str] = field(default_factory=list)
    before: str = ""
    after: str = ""

    def result(self) -> dict[str, Any]:
        """As the module returns it."""
        return {
            "changed": self.changed,
            "actions": self.actions,
            "aof": self.aof,
            "rewrite": self.rewrite,
            "lost": self.lost,
            "originals": self.originals,
            "diff": {"before": self.before, "after": self.after},
        }


def parse_second(text: str) -> int:
    """Unix seconds, or ISO 8601 with a zone, as the whole second to whose end all is kept. Raises AofError."""
    text = text.strip()
    try:
        return int(from_iso(f"@{text}" if re.fullmatch(r"[0-9]{1,12}", text) else text))
    except ValueError as error:
        raise AofError(
            f"to_timestamp: {error}, nor a number of seconds since 1970", untouched="Nothing was changed"
        ) from None
