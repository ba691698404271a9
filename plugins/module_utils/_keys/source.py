# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where imported keys come from: a file, an export in a repository, another server."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol

from .dump_runs import Run
from .entry import Item
from .formats import Piece


class Source(Protocol):
    """Keys to be imported. `pieces` may be run several times, to check all before anything is written.

    `name` is for messages, `unit` what the numbers of items count (`line`, `key`), `exported_at` when the keys were
    read from their server in UTC seconds, None where that is not known. `identity` tells this source from all others,
    and from itself with other content. `stable` says that keys come in the same order each time; `proven` that bytes
    are checked on the way (by zstd, age or a SHA-256). Where they are not, `proving` says that they may turn out to be
    at the end of a reading.
    """

    name: str
    unit: str
    exported_at: float | None
    identity: Mapping[str, Any]
    stable: bool
    proven: bool
    proving: bool

    def pieces(self) -> Iterator[Piece]:
        """The keys, one by one or in runs, and in between what cannot be read."""


def numbered(source: Source, taken: Callable[[int, Run], bool]) -> Iterator[tuple[int, Item]]:
    """The keys of a source with their positions, from 0, but for those of runs that are `taken` as they are."""
    position = 0
    for piece in source.pieces():
        if not isinstance(piece, Run):
            yield position, piece
            position += 1
            continue
        if not taken(position, piece):
            yield from enumerate(piece.items(), position)
        position += piece.keys
