# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an archived object tells about itself, in a frame of zstd that `zstd -d` passes over. Pure.

    skippable frame: magic (4 bytes), length (4 bytes), the header as JSON     then: the data as an ordinary zstd frame

Both stand within the encryption. So `age -d | zstd -d` gives the bytes of the AOF and nothing else, and each object
still knows whose bytes it holds, where they belong, when they were written, and their SHA-256.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .._repository.parse import parse_json

FORMAT = 1
MAGIC = 0x184D2A5B
LONGEST = 32768
"""Bytes that a header may have: it must fit into a pipe that nobody reads yet."""

_FRAME = struct.Struct("<II")


class FrameError(ValueError):
    """These bytes do not begin with a header of ours, or not with the one that was written."""


@dataclass(frozen=True)
class After:
    """The epoch that this one goes on from, and the size that its file had in the end.

    `proven`: both files stood in one manifest. Otherwise the second followed the first by its number, and nobody saw
    whether the server's AOF was off in between. A single file holds all data by itself: there it only tells that
    nothing is lost between the two.
    """

    epoch: str
    file: str
    size: int
    proven: bool


@dataclass(frozen=True)
class Segment:
    """One archived object. Times are UTC seconds by the host's clock.

    The bytes from `offset` on, `length` of them, of the file named `file`. `kind` is `base` (which the server never
    changes again), `incr` or `single` (the one file of servers before 7.0). `total` is the size of a base.

    `clocks` bound when they were written: for each (offset, before, after) the file ended there between these times,
    so what stands below the offset was written before `after`, what stands above it after `before`. `lower` is the same
    for `offset`: nothing here was written before it.

    `time` is the time from which on the epoch's own base (or single file) gives the server's data; None for the others.
    `gaps` are the times that the archive knows to have lost, with the reason.
    """

    instance: str
    uuid: str
    epoch: str
    file: str
    kind: str
    seq: int
    offset: int
    length: int
    sha256: str
    written: float
    previous: str = ""
    total: int | None = None
    lower: float | None = None
    clocks: tuple[tuple[int, float, float], ...] = ()
    time: float | None = None
    after: After | None = None
    gaps: tuple[Mapping[str, Any], ...] = ()
    server: Mapping[str, str] = field(default_factory=dict)

    @property
    def end(self) -> int:
        """The offset behind its last byte."""
        return self.offset + self.length

    def document(self) -> dict[str, Any]:
        """As JSON, without its own hash."""
        found = {name: getattr(self, name) for name in self.__dataclass_fields__}
        found["format"] = FORMAT
        found["clocks"] = [list(each) for each in self.clocks]
        found["gaps"] = [dict(each) for each in self.gaps]
        found["server"] = dict(self.server)
        if self.after is not None:
            found["after"] = dict(vars(self.after))
        return found

    def frame(self) -> bytes:
        """The skippable frame."""
        document = self.document()
        document["self"] = _digest(document)
        text = _canonical(document)
        while len(text) > LONGEST and (document["clocks"] or document["gaps"]):
            document["clocks"] = thinned(document["clocks"])
            document["gaps"] = document["gaps"][len(document["gaps"]) // 2 + 1 :]
            document["self"] = _digest({name: value for name, value in document.items() if name != "self"})
            text = _canonical(document)
        return _FRAME.pack(MAGIC, len(text)) + text


def thinned(clocks: list[Any]) -> list[Any]:
    """Half of the samples, the last one among them."""
    return clocks[1::2] if len(clocks) % 2 == 0 else clocks[::2] if len(clocks) > 1 else []


def frame_length(head: bytes) -> int:
    """How long the frame is of which `head` is the beginning (8 bytes are enough). Raises FrameError."""
    if len(head) < _FRAME.size:
        raise FrameError("it is too short")
    magic, length = _FRAME.unpack_from(head)
    if magic != MAGIC or length > LONGEST:
        raise FrameError("it does not begin with a header of the archive")
    return int(_FRAME.size + length)


def parse_frame(data: bytes) -> Segment:
    """The header in the first bytes of an object. Raises FrameError."""
    length = frame_length(data)
    if len(data) < length:
        raise FrameError("its header is cut off")
    try:
        document = parse_json(data[_FRAME.size : length])
        digest = document.pop("self")
        if document.pop("format") != FORMAT:
            raise FrameError("its format is not known to this version")
        if _digest({**document, "format": FORMAT}) != digest:
            raise FrameError("its header is damaged")
        document["clocks"] = tuple((int(at), float(before), float(after)) for at, before, after in document["clocks"])
        document["gaps"] = tuple(document["gaps"])
        document["after"] = After(**document["after"]) if document["after"] is not None else None
        found = Segment(**document)
        if not _sane(found):
            raise FrameError("its header says what cannot be")
        return found
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        if isinstance(error, FrameError):
            raise
        raise FrameError(f"its header cannot be read: {error}") from None


def _sane(found: Segment) -> bool:
    """Whether all is of the kind that it should be: anybody may have written it."""
    numbers = (found.seq, found.offset, found.length, *(() if found.total is None else (found.total,)))
    times = [each for each in (found.written, found.lower, found.time) if each is not None]
    texts = (found.instance, found.uuid, found.epoch, found.file, found.sha256, found.previous)
    return (
        all(isinstance(each, int) and not isinstance(each, bool) and each >= 0 for each in numbers)
        and all(isinstance(each, (int, float)) for each in times)
        and all(isinstance(each, str) for each in texts)
        and found.kind in ("base", "incr", "single")
    )


def _canonical(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()


def _digest(document: Mapping[str, Any]) -> str:
    return hashlib.sha256(_canonical(document)).hexdigest()
