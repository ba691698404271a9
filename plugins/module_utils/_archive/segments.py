# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Archived objects read back: their headers alone, or whole with every byte held against its SHA-256."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

from .._errors import DamagedError, ProgramError
from .._repository.layout import ArchiveName, archived_path
from .._repository.pipeline import unpack_programs
from .._repository.store import Store
from .._run import environment, last_words
from .frame import LONGEST, FrameError, Segment, frame_length, parse_frame

_AT_ONCE = 4
_HEAD_BYTES = 144 * 1024
"""Stored bytes in which the header stands: age's own header, and the pieces of 64 KiB in which age encrypts."""

_MOST = 128 * 1024 * 1024
_HINT = "The archive before it can be used; a recovery behind it needs another repository's copy, or a later base"


def read_header(store: Store, instance: str, name: ArchiveName, identities: Sequence[str]) -> Segment:
    """What an object tells about itself; its data is not read. Raises DamagedError, ProgramError, RepositoryError."""
    path = archived_path(instance, name)
    with store.open(path) as stream:
        head = _read(stream.read, _HEAD_BYTES)
    plain = _decrypted(head, name, identities, store.where(path), partly=True)
    return _header(plain, store, instance, name)


def read_headers(
    store: Store, instance: str, names: Sequence[ArchiveName], identities: Sequence[str]
) -> Iterator[tuple[ArchiveName, Segment | DamagedError]]:
    """The headers of many objects in their order, several at once; a damaged one comes as its error."""

    def one(name: ArchiveName) -> tuple[ArchiveName, Segment | DamagedError]:
        try:
            return name, read_header(store, instance, name, identities)
        except DamagedError as error:
            return name, error

    with ThreadPoolExecutor(_AT_ONCE) as workers:
        yield from workers.map(one, names)


def read_segment(
    store: Store, instance: str, name: ArchiveName, identities: Sequence[str]
) -> tuple[Segment, bytes]:
    """An object whole: its header, and the bytes of the AOF. Raises DamagedError unless each byte is as it was."""
    path = archived_path(instance, name)
    with store.open(path) as stream:
        raw = _read(stream.read, _MOST)
    plain = _decrypted(raw, name, identities, store.where(path))
    segment = _header(plain, store, instance, name)
    program = unpack_programs(encrypted=False, identities=())[0]
    done = subprocess.run(program, input=plain, capture_output=True, env=environment(), check=False)
    data = done.stdout
    if done.returncode or len(data) != segment.length or hashlib.sha256(data).hexdigest() != segment.sha256:
        words = f" ({last_words(done.stderr)})" if done.returncode else ""
        raise _damaged(store.where(path), f"its bytes are not those that were archived{words}")
    return segment, data


def _read(read: object, limit: int) -> bytes:
    """Up to `limit` bytes of a stream that gives fewer at a time."""
    parts, left = [], limit
    while left:
        part = read(left)  # type: ignore[operator]
        if not part:
            break
        parts.append(part)
        left -= len(part)
    return b"".join(parts)


def _decrypted(
    raw: bytes, name: ArchiveName, identities: Sequence[str], where: str, *, partly: bool = False
) -> bytes:
    if not name.encrypted:
        return raw
    program = unpack_programs(encrypted=True, identities=identities)[0]
    done = subprocess.run(
        program, input=raw, capture_output=True, env=environment(), check=False, start_new_session=True
    )
    if done.returncode and not (partly and done.stdout):
        words = last_words(done.stderr) if identities else "it is encrypted and no identity is given"
        if "no identity matched" in words or "incorrect" in words or not identities:
            raise ProgramError(
                f"{where} cannot be opened: {words}",
                untouched="The live data was not touched",
                hint="Give identities: paths of age identity files on this host, readable for this user only; one must "
                "belong to one of the archive's recipients",
            )
        raise _damaged(where, words)
    return done.stdout


def _header(plain: bytes, store: Store, instance: str, name: ArchiveName) -> Segment:
    """The header in the first bytes, held against the place where the object lies."""
    where = store.where(archived_path(instance, name))
    try:
        segment = parse_frame(plain[: min(frame_length(plain[:8]), LONGEST + 8)])
    except FrameError as error:
        raise _damaged(where, str(error)) from None
    if (segment.epoch, segment.file, segment.offset) != (name.epoch, name.file, name.offset):
        raise _damaged(where, f"it holds {segment.file} of {segment.epoch} from {segment.offset} on")
    return segment


def _damaged(where: str, words: str) -> DamagedError:
    return DamagedError(f"{where} is damaged: {words}", untouched="The live data was not touched", hint=_HINT)
