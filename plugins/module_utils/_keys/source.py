# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where imported keys come from: a file, an export in a repository, another server."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Protocol

from .entry import Item


class Source(Protocol):
    """Keys to be imported. `entries` may be run twice, to check all before anything is written.

    `name` is for messages, `unit` what the numbers of items count (`line`, `key`), `exported_at` when the keys were
    read from their server in UTC seconds, None where that is not known. `identity` tells this source from all others,
    and from itself with other content. `stable` says that entries come in the same order each time; `proven` that bytes
    are checked on the way (by zstd, age or a SHA-256).
    """

    name: str
    unit: str
    exported_at: float | None
    identity: Mapping[str, Any]
    stable: bool
    proven: bool

    def entries(self) -> Iterator[Item]:
        """The keys, and in between what cannot be read."""
