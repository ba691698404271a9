# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Level `content`: the same reading also decrypted, decompressed, and read by the tools that know what it is."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from typing import BinaryIO

from .._aof.packed import Opener, Placing, SetError, SetFound, read_packed
from .._backup.server_files import read_archive
from .._errors import DamagedError, IncompatibleError, ProgramError, RestoreError
from .._keys.formats import read
from .._repository.manifest import Manifest, StoredFile
from .._repository.pipeline import UnopenedError, load_chunks
from .._repository.store import Store
from .._server.compatibility import Target, compatibility, made_of
from .._server.programs import program_version
from .._snapshot.checker import RdbChecker
from .stored import path_of

_TRUNCATED = re.compile(r"payload chunk|unexpected EOF|malformed|bad header|invalid header|unexpected intro")
_MEMORY = re.compile(r"memory|allocat", re.IGNORECASE)
_UNTOUCHED = "Nothing was changed"


def is_damage(program: str, code: int, words: str) -> bool:
    """Whether a program that could not open a file blames the file, or its own circumstances. Pure.

    The bytes are those of the manifest: what does not open was written so. age may also lack the right identity.
    """
    if code < 0 or _MEMORY.search(words):
        return False
    if program == "zstd":
        return True
    return program == "age" and "identit" not in words and _TRUNCATED.search(words) is not None


def require_identities(manifest: Manifest, identities: Sequence[str]) -> None:
    """Raise ProgramError when an encrypted backup has no readable identity to open it."""
    hint = "Give identities: paths of age identity files on this host, readable for this user only"
    if manifest.encrypted and not identities:
        raise ProgramError(f"{manifest.label} is encrypted and no identity is given", untouched=_UNTOUCHED, hint=hint)
    for path in identities if manifest.encrypted else ():
        if not os.access(path, os.R_OK):
            raise ProgramError(
                f"{manifest.label} cannot be opened: the age identity {path} is missing or not readable",
                untouched=_UNTOUCHED,
                hint=hint,
            )


def require_loadable(manifest: Manifest, program: str, modules: Sequence[str] | None = None) -> dict[str, str]:
    """Flavour and version of the program. Raises IncompatibleError when a server of it would refuse the backup.

    `modules` are those that it has; None leaves them unasked.
    """
    flavour, version = program_version(program)
    target = Target(flavour, version, None if modules is None else tuple(modules))
    found = compatibility(made_of(manifest.document), target)
    if not found.loads:
        raise IncompatibleError(
            f"{manifest.label} of {manifest.instance} cannot be verified with {program}: {found.words}",
            untouched=_UNTOUCHED,
            hint="Name a server's program of the version that made it, or newer of the same flavour, with executable; "
            "what needs a module can be verified with level: content",
        )
    return {"flavour": flavour, "version": ".".join(map(str, version))}


def opened(store: Store, manifest: Manifest, file: StoredFile, identities: Sequence[str]) -> Iterator[memoryview]:
    """The plain bytes of a stored file, found right when all have been given.

    Raises DamagedError when stored or plain bytes are not what was written, ProgramError when that cannot be told.
    """
    path = path_of(manifest, file)
    with store.open(path) as stream:
        try:
            yield from load_chunks(
                stream, file, store.where(path), encrypted=manifest.encrypted, identities=identities
            )
        except UnopenedError as error:
            if is_damage(error.program, error.code, error.words):
                raise DamagedError(f"{store.where(path)} is what was stored, but no archive: {error.words}") from None
            raise


def check_rdb(
    store: Store,
    manifest: Manifest,
    file: StoredFile,
    program: str,
    identities: Sequence[str],
    out: BinaryIO | None = None,
) -> int:
    """Read an RDB once: hashed, opened, checked by redis-check-rdb, and written to `out`. How many keys it holds.

    Raises DamagedError when anything is not as the manifest says.
    """
    where = store.where(path_of(manifest, file))
    with RdbChecker(program) as checker:
        for chunk in opened(store, manifest, file, identities):
            checker.write(chunk)
            view = chunk if out is not None else chunk[:0]
            while out is not None and view:
                view = view[out.write(view) :]
        report = checker.finish()
    if checker.killed:
        raise ProgramError(f"redis-check-rdb was killed while it read {where}", hint="Look at the host's memory")
    if not report.ok:
        raise DamagedError(f"{where} is what was stored, but redis-check-rdb refuses it: {report.words}")
    if report.end_offset >= 0 and report.end_offset != file.size:
        raise DamagedError(f"{where} holds {file.size} bytes, but the RDB in it ends at byte {report.end_offset}")
    if report.keys != manifest.keys:
        raise DamagedError(f"{where} holds {report.keys} keys, its manifest says {manifest.keys}")
    return report.keys


def check_aof(
    store: Store,
    manifest: Manifest,
    file: StoredFile,
    program: str,
    identities: Sequence[str],
    placing: Placing | None = None,
    opener: Opener | None = None,
) -> SetFound:
    """Read an AOF once: hashed, opened, its commands followed from the first to the last, and written to `opener`.

    Raises DamagedError when anything is not as the manifest says.
    """
    where = store.where(path_of(manifest, file))
    chunks = opened(store, manifest, file, identities)
    try:
        found = read_packed(chunks, program, placing, opener)
    except SetError as error:
        for _rest in chunks:  # other bytes than were written are told as such: the last one tells
            pass
        raise DamagedError(f"{where} is what was stored, but no AOF that a server loads: {error}") from None
    wanted = [(each["name"], each["size"]) for each in manifest.aof.get("files", [])]
    there = [(name, each.size) for name, each in found.files.items()]
    if there != wanted:
        names = ", ".join(f"{name} with {size} bytes" for name, size in wanted)
        raise DamagedError(f"{where} does not hold what its manifest names: {names}")
    if found.commands != manifest.aof.get("commands"):
        raise DamagedError(
            f"{where} holds {found.commands} commands, its manifest says {manifest.aof.get('commands')}"
        )
    return found


def check_server_files(store: Store, manifest: Manifest, file: StoredFile, identities: Sequence[str]) -> None:
    """Open the archive of server files and look for all that the manifest says was kept. Raises DamagedError."""
    where = store.where(path_of(manifest, file))
    data = b"".join(bytes(chunk) for chunk in opened(store, manifest, file, identities))
    try:
        index, files = read_archive(data)
    except RestoreError as error:
        raise DamagedError(f"{where} is what was stored, but {error.what}") from None
    there = {kept.path for kept in files} | ({"functions"} if index.get("functions") else set())
    kept = (manifest.document.get("server_files") or {}).get("kept", [])
    lacking = [str(name) for name in kept if name not in there]
    if lacking:
        raise DamagedError(f"{where} lacks {', '.join(lacking)}, which its manifest says was kept")


def check_keys(store: Store, manifest: Manifest, file: StoredFile, identities: Sequence[str]) -> int:
    """Read an export of keys once: hashed, opened, each key understood. How many keys it holds.

    Raises DamagedError when anything is not as the manifest says.
    """
    where = store.where(path_of(manifest, file))
    chunks = opened(store, manifest, file, identities)
    keys, bad = 0, ""
    for item in read(str(manifest.export["format"]), chunks):
        if item.entry is None:
            bad = bad or f"{item.number}: {item.why}"
        elif not item.entry.more:
            keys += 1
    for _rest in chunks:  # other bytes than were written are told as such: the last one tells
        pass
    if bad:
        raise DamagedError(f"{where} is what was stored, but no export that can be imported: {bad}")
    if keys != manifest.keys:
        raise DamagedError(f"{where} holds {keys} keys, its manifest says {manifest.keys}")
    return keys


def check_opened(store: Store, manifest: Manifest, file: StoredFile, identities: Sequence[str]) -> None:
    """Open a file of a kind that nothing here can read further. Raises DamagedError."""
    for _chunk in opened(store, manifest, file, identities):
        pass
