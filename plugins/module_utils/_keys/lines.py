# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A file's chunks as blocks of whole lines, with bounded memory. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Union

Chunk = Union[bytes, memoryview]

# No line, and no value, of an export is longer: a value of 512 MB, the most that a server takes, fits as base64.
LONGEST = 1 << 30


class TooLongError(ValueError):
    """A line (or a value) goes on and on: what is read is no export."""


def blocks(chunks: Iterable[Chunk], longest: int = LONGEST) -> Iterator[bytes]:
    """Blocks of one or more whole lines, each with its newline; only the file's last line may be without.

    Raises TooLongError at a line of more than `longest` bytes.
    """
    held: list[bytes] = []
    size = 0
    for chunk in chunks:
        piece = bytes(chunk)
        cut = piece.rfind(b"\n") + 1
        if cut:
            yield b"".join([*held, piece[:cut]])
            held, size = [], 0
            piece = piece[cut:]
        if piece:
            held.append(piece)
            size += len(piece)
        if size > longest:
            raise TooLongError(f"a line of more than {longest} bytes")
    if held:
        yield b"".join(held)
