# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What every snapshot engine gives: the bytes of one RDB, in pieces, with what was known around the fork."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from .proof import KeyWindow

CHUNK_BYTES = 256 * 1024


@dataclass
class SnapshotOrigin:
    """Where a snapshot comes from. `asked_at` is the server's time in UTC seconds; sizes are bytes.

    `keyspace` holds the keys of each database right behind the fork (INFO keyspace), exact where `window.exact`.
    """

    method: str
    asked_at: float
    window: KeyWindow | None
    keyspace: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    path: str = ""
    size: int = 0
    replid: str = ""
    repl_offset: int = -1


class RdbSource(Protocol):
    """One RDB to be read once. `chunks` yields views that are valid until the next is asked for."""

    origin: SnapshotOrigin

    def chunks(self) -> Iterator[memoryview]: ...


class FileSource:
    """An open RDB file. The descriptor pins it: a later BGSAVE renames another file over the name, never over this."""

    def __init__(self, fd: int, origin: SnapshotOrigin) -> None:
        self.fd = fd
        self.origin = origin

    def chunks(self) -> Iterator[memoryview]:
        buffer = bytearray(CHUNK_BYTES)
        view = memoryview(buffer)
        os.lseek(self.fd, 0, os.SEEK_SET)
        while True:
            count = os.readv(self.fd, [buffer])
            if not count:
                return
            yield view[:count]

    def close(self) -> None:
        os.close(self.fd)
