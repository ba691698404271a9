# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The formats in which keys are kept in files, and how to know one.

`jsonl`: one key a line, typed and readable, for every type (jsonl_writing.py). `json`: the flat object of strings, for
tools that know nothing else (flat.py). `dump`: RESTORE commands, exact and fast, for servers of the same version and
newer (dumps.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from typing import Protocol

from . import dumps, flat, jsonl
from .beginning import BOM, HEAD_BYTES, sniff, why_not
from .dumps import Piece, Proof
from .entry import Entry, Item
from .lines import Chunk

__all__ = ["FORMATS", "Item", "Piece", "Proof", "Writer", "pieces", "read", "sniff", "why_unfit", "writer"]

FORMATS = ("jsonl", "json", "dump")
PROVING = ("dump",)
"""Formats whose files may prove themselves, at their ends."""


class Writer(Protocol):
    """Makes a file's bytes: what `encode` returns, as often as it is called, and what `end` returns at last."""

    def encode(self, entries: Sequence[Entry]) -> bytes:
        """The bytes of some entries, all of which fit (see `why_unfit`)."""

    def end(self) -> bytes:
        """The last bytes."""


_WRITERS: dict[str, Callable[[], Writer]] = {"jsonl": jsonl.Writer, "json": flat.Writer, "dump": dumps.Writer}
_READERS = {"jsonl": jsonl.read, "json": flat.read, "dump": dumps.read}
_UNFIT = {"jsonl": jsonl.why_unfit, "json": flat.why_unfit, "dump": dumps.why_unfit}


def writer(name: str) -> Writer:
    """A writer for one file."""
    return _WRITERS[name]()


def why_unfit(name: str, entry: Entry) -> str | None:
    """The reason why a format cannot hold an entry; None when it can. Expiries are no reason: see `json`."""
    return _UNFIT[name](entry)


def read(name: str, chunks: Iterable[Chunk]) -> Iterator[Item]:
    """What a file holds, entry by entry, and in between what is wrong with it.

    Wherever the format allows, the reading goes on behind what is wrong. A file that is cut short ends with an item
    that says so; only a jsonl file cut exactly between two lines cannot be told from a whole one.
    """
    why, source = _begun(name, chunks)
    if why:
        yield Item(1, None, why)
    else:
        yield from _READERS[name](source)


def pieces(name: str, chunks: Iterable[Chunk], proof: Proof) -> Iterator[Piece]:
    """The same for who can take runs of keys, where the format has them. `proof` is told where a file proves itself."""
    if name not in PROVING:
        yield from read(name, chunks)
        return
    why, source = _begun(name, chunks)
    if why:
        yield Item(1, None, why)
    else:
        yield from dumps.pieces(source, proof)


def _begun(name: str, chunks: Iterable[Chunk]) -> tuple[str | None, Iterator[Chunk]]:
    """The reason why it is no such file, and all its bytes."""
    source = iter(chunks)
    head = b""
    for chunk in source:
        head += bytes(chunk)
        if len(head) >= HEAD_BYTES:
            break
    why = why_not(name, head)
    if head.startswith(BOM):
        head = head[len(BOM) :]
    return why, chain([head] if head else [], source)
