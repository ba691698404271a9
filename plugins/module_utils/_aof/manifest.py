# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The manifest of a multi-part AOF, read exactly as strictly as the servers read it. Pure.

`file appendonly.aof.2.incr.aof seq 2 type i`: pairs of a key and a value, one file a line; `b` is the base, `i` an
increment, `h` history, which the server will delete. Redis 8 adds `startoffset` and `endoffset`; a server passes over
keys that it does not know.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from .._config.quoting import ENCODING, ERRORS, quote_arg, split_args

BASE = "b"
INCREMENT = "i"
HISTORY = "h"
_LONGEST_LINE = 1024  # MANIFEST_MAX_LINE in aof.c: what is longer comes as several lines
_LARGEST = 2**63 - 1
_NUMBER = re.compile(r"[ \t\n\v\f\r]*([+-]?[0-9]+)")


class ManifestError(ValueError):
    """No server would start with this manifest. `reason` is the server's own."""

    def __init__(self, line: int, reason: str) -> None:
        self.line = line
        self.reason = reason
        super().__init__(f"line {line}: {reason}")


@dataclass(frozen=True)
class AofFile:
    """One file of an AOF."""

    name: str
    seq: int
    type: str
    startoffset: int | None = None
    endoffset: int | None = None

    def line(self) -> str:
        """As the server writes it."""
        words = ["file", quote_arg(self.name), "seq", str(self.seq), "type", self.type]
        for key, value in (("startoffset", self.startoffset), ("endoffset", self.endoffset)):
            if value is not None:
                words += [key, str(value)]
        return " ".join(words) + "\n"


@dataclass(frozen=True)
class AofManifest:
    """The files of an AOF, in the manifest's order."""

    files: tuple[AofFile, ...] = ()

    @property
    def base(self) -> AofFile | None:
        return next((each for each in self.files if each.type == BASE), None)

    @property
    def increments(self) -> tuple[AofFile, ...]:
        """By their numbers, which rise in every manifest that a server accepts."""
        return tuple(sorted((each for each in self.files if each.type == INCREMENT), key=lambda each: each.seq))

    @property
    def history(self) -> tuple[AofFile, ...]:
        return tuple(each for each in self.files if each.type == HISTORY)

    def without_history(self) -> AofManifest:
        """Only what a server loads."""
        return AofManifest(tuple(each for each in self.files if each.type != HISTORY))

    def text(self) -> str:
        """The manifest as the server writes it: the base first, then history, then the increments."""
        base = (self.base,) if self.base else ()
        return "".join(each.line() for each in (*base, *self.history, *self.increments))

    def data(self) -> bytes:
        """The bytes of the file."""
        return self.text().encode(ENCODING, ERRORS)


def parse_manifest(data: bytes) -> AofManifest:
    """The manifest in these bytes. Raises ManifestError where the servers refuse to start.

    Where they differ (Valkey 9 joins `"a"b` to one word) it is as strict as the strictest. A file of nothing but
    comments is accepted by all of them: they start with no data.
    """
    files: list[AofFile] = []
    number = at = newest = 0
    while at < len(data):
        end = data.find(b"\n", at, at + _LONGEST_LINE)
        whole = end >= 0
        line = data[at : end + 1 if whole else at + _LONGEST_LINE]
        at += len(line)
        number += 1
        if line.startswith(b"#"):
            continue
        if not whole or b"\0" in line:  # a string of C ends at its NUL, before the line's end
            raise ManifestError(number, "The AOF manifest file contains too long line")
        found = _file(line.strip(b" \t\r\n").decode(ENCODING, ERRORS), number)
        if found.type == BASE and any(each.type == BASE for each in files):
            raise ManifestError(number, "Found duplicate base file information")
        if found.type == INCREMENT:
            if found.seq <= newest:
                raise ManifestError(number, "Found a non-monotonic sequence number")
            newest = found.seq
        if found.type not in (BASE, INCREMENT, HISTORY):
            raise ManifestError(number, "Unknown AOF file type")
        files.append(found)
    if not number:
        raise ManifestError(0, "Found an empty AOF manifest")
    return AofManifest(tuple(files))


def _file(line: str, number: int) -> AofFile:
    """The file that a line tells of."""
    malformed = ManifestError(number, "Invalid AOF manifest file format")
    try:
        words = split_args(line)
    except ValueError:
        raise malformed from None
    if len(words) < 6 or len(words) % 2:
        raise malformed
    # Behind a NUL (`\x00` in quotes) C reads nothing.
    pairs = [(key.lower(), value.partition("\0")[0]) for key, value in zip(words[::2], words[1::2])]
    if any(mark in value for key, value in pairs if key == "file" for mark in "/\\"):
        raise ManifestError(number, "File can't be a path, just a filename")
    found = dict(pairs)
    name, seq, kind = (found.get(key, "") for key in ("file", "seq", "type"))
    if "file" not in found or not _integer(seq) or not kind:
        raise malformed
    start, end = (_integer(found[key]) if key in found else None for key in ("startoffset", "endoffset"))
    return AofFile(name, _integer(seq), kind[0], start, end)


def _integer(word: str) -> int:
    """What C's atoll makes of a word."""
    found = _NUMBER.match(word)
    return max(-_LARGEST - 1, min(_LARGEST, int(found.group(1)))) if found else 0
