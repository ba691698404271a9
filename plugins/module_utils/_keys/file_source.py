# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A file of keys as a source for an import: opened as its first bytes ask for, its format known."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, BinaryIO

from .._errors import RedisBackupError
from .._repository.pipeline import unpacked
from .._run import find_program
from .beginning import HEAD_BYTES
from .formats import FORMATS, PROVING, Piece, Proof, pieces, sniff
from .lines import Chunk

_CHUNK = 256 * 1024
_ZSTD = b"\x28\xb5\x2f\xfd"
_AGE = (b"age-encryption.org/", b"-----BEGIN AGE ENCRYPTED FILE")
_UNTOUCHED = "Nothing was changed"


class FileSource:
    """The keys in the file `path`. `format` is found out when it is not given."""

    stable = True
    exported_at: float | None = None

    def __init__(self, path: str, format_name: str | None = None, identities: Sequence[str] = ()) -> None:
        self.name = path
        self._path = path
        self._identities = tuple(identities)
        with self._opened() as stream:
            found = os.fstat(stream.fileno())
            if not stat.S_ISREG(found.st_mode):
                raise RedisBackupError(f"{path} is no file", untouched=_UNTOUCHED, hint="Give the path of a file")
            head = stream.read(64)
        self._content = _content_of(found)
        self.identity: Mapping[str, Any] = {"file": os.path.realpath(path), "content": self._content}
        encrypted = head.startswith(_AGE)
        self._require_fit(head, encrypted)
        if encrypted and not identities:
            raise RedisBackupError(
                f"{path} is encrypted with age, and no identity was given to open it",
                untouched=_UNTOUCHED,
                hint="Give the age identity that belongs to one of its recipients, in identities",
            )
        for each in identities if encrypted else ():
            if not os.access(each, os.R_OK):
                raise RedisBackupError(
                    f"the identity file {each} cannot be read", untouched=_UNTOUCHED, hint="Correct identities"
                )
        self._encrypted = encrypted
        self._compressed = head.startswith(_ZSTD)
        self.proven = encrypted or self._compressed
        self.format = format_name or self._sniffed()
        self.proving = not self.proven and self.format in PROVING
        self.unit = "line" if self.format == "jsonl" else "key"

    def pieces(self) -> Iterator[Piece]:
        """The keys, in the order of the file. Raises RedisBackupError when it is not the file that it was."""
        proof = Proof()
        yield from pieces(self.format, self._chunks(), proof)
        self.proven = self.proven or proof.given

    def _opened(self) -> BinaryIO:
        try:
            return open(self._path, "rb", buffering=0, opener=_at_once)
        except OSError as error:
            raise RedisBackupError(
                f"{self._path} cannot be read: {error.strerror}", untouched=_UNTOUCHED, hint="Correct path"
            ) from None

    def _require_fit(self, head: bytes, encrypted: bool) -> None:
        """Refuse what is not what its name says: cut short, or something else."""
        wrong = ""
        if self._path.endswith(".age") and not encrypted:
            wrong = "it is not encrypted with age, as its name says"
        elif self._path.endswith(".zst") and not head.startswith(_ZSTD):
            wrong = "it is not compressed with zstd, as its name says"
        elif not head:
            wrong = "it is empty"
        if wrong:
            raise RedisBackupError(
                f"{self._path} cannot be imported: {wrong}",
                untouched=_UNTOUCHED,
                hint="Look whether it was copied as a whole, or rename it",
            )

    def _chunks(self) -> Iterator[Chunk]:
        with self._opened() as stream:
            if _content_of(os.fstat(stream.fileno())) != self._content:
                raise RedisBackupError(
                    f"{self._path} changed while it was being imported", hint="Import a file that stays as it is"
                )
            programs = self._programs()
            if not programs:
                while True:
                    chunk = stream.read(_CHUNK)
                    if not chunk:
                        return
                    yield chunk
            hint = "Give the age identity that belongs to one of its recipients" if self._encrypted else ""
            hint = hint or "It is damaged or cut short: fetch it anew"
            yield from unpacked(stream, programs, self._path, hint)

    def _programs(self) -> list[list[str]]:
        programs = []
        if self._encrypted:
            identities = [word for each in self._identities for word in ("-i", each)]
            programs.append([find_program("age"), "-d", *identities])
        if self._compressed or self._encrypted:
            # With -f, zstd passes on what is not compressed: what is within the encryption need not be.
            always = self._compressed or ".zst." in os.path.basename(self._path)
            programs.append([find_program("zstd"), "-q", "-d", "-c", *([] if always else ["-f"])])
        return programs

    def _sniffed(self) -> str:
        """The format of what is in the file. Raises RedisBackupError for what is none of ours."""
        head = b""
        for chunk in self._chunks():
            head += bytes(chunk)
            if len(head) >= HEAD_BYTES:
                break
        found = sniff(head) or self._by_name()
        if found is None:
            raise RedisBackupError(
                f"{self._path} is in none of the formats {', '.join(FORMATS)}",
                untouched=_UNTOUCHED,
                hint="Give the path of an export, or its format",
            )
        return found

    def _by_name(self) -> str | None:
        words = os.path.basename(self._path).split(".")[1:]
        return next((name for name in FORMATS if name in words), None)


def _at_once(path: str, flags: int) -> int:
    """Opened without waiting for somebody at the other end of a FIFO."""
    return os.open(path, flags | os.O_NONBLOCK)


def _content_of(found: os.stat_result) -> list[int]:
    """What changes when a file does."""
    return [found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns]
