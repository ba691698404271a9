# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A stream that is read twice: proven as a whole the first time, block by block the second.

The hash of a whole is known to be right behind its last byte alone, too late for whoever uses the first ones. So the
first reading notes the hash of each block, 32 bytes a megabyte, and a later one gives no block that is another.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator

from .._errors import DamagedError
from .lines import Chunk

BLOCK_BYTES = 1024 * 1024


class SameAgain:
    """The blocks of one stream, which is called `name` in errors."""

    def __init__(self, name: str, block_bytes: int = BLOCK_BYTES) -> None:
        self._name = name
        self._size = block_bytes
        self._known: list[bytes] | None = None

    def read(self, chunks: Iterable[Chunk]) -> Iterator[Chunk]:
        """What `chunks` gives. The first reading must end without an error to count.

        Raises DamagedError in a later one, with nothing given of a block that is not as it was.
        """
        if self._known is not None:
            yield from self._compared(chunks, self._known)
            return
        noted: list[bytes] = []
        block, size = hashlib.sha256(), 0
        for chunk in chunks:
            rest = memoryview(chunk)
            while rest:
                taken, rest = rest[: self._size - size], rest[self._size - size :]
                block.update(taken)
                size += len(taken)
                if size == self._size:
                    noted.append(block.digest())
                    block, size = hashlib.sha256(), 0
            yield chunk
        self._known = [*noted, block.digest()]

    def _compared(self, chunks: Iterable[Chunk], known: list[bytes]) -> Iterator[bytes]:
        held, number = bytearray(), 0
        for chunk in chunks:
            held += chunk
            while len(held) >= self._size:
                block = bytes(held[: self._size])
                del held[: self._size]
                self._require(block, known, number)
                yield block
                number += 1
        self._require(bytes(held), known, number)
        if number + 1 < len(known):
            raise self._another()
        yield bytes(held)

    def _require(self, block: bytes, known: list[bytes], number: int) -> None:
        if number >= len(known) or hashlib.sha256(block).digest() != known[number]:
            raise self._another()

    def _another(self) -> DamagedError:
        return DamagedError(
            f"{self._name} holds other bytes now than when they were proven",
            hint="Look at who writes there, and at the storage",
        )
