# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Moving one stored file from a repository to another: as it is, or packed anew. Hashed while it passes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from .._backup.server_files import redacted_archive
from .._errors import RedisBackupError
from .._repository.layout import folder_of, stored_name
from .._repository.manifest import EXPORT, Manifest, StoredFile
from .._repository.pipeline import Packing, load_chunks, quietly_abort, store_chunks, stored_chunks
from .._repository.store import Store
from .._times import now, to_iso

_SEAL = "sha256"


def copy_file(source: Store, destination: Store, manifest: Manifest, file: StoredFile) -> None:
    """Copy the stored bytes. The name appears only when they were found to be those of the manifest.

    Raises DamagedError when the source's are not.
    """
    path = f"{folder_of(manifest.instance, manifest.label)}/{file.name}"
    with source.open(path) as stream:
        sink = destination.create(path)
        try:
            for chunk in stored_chunks(stream, file, source.where(path)):
                sink.write(bytes(chunk))
            sink.commit()
        finally:
            quietly_abort([sink])


def repack_file(
    source: Store,
    destination: Store,
    manifest: Manifest,
    file: StoredFile,
    packing: Packing,
    identities: tuple[str, ...],
) -> StoredFile:
    """Open a stored file, and pack its content anew. Stored bytes and size are checked before the name appears.

    An encrypted backup keeps passwords in its server files; they are left out of a copy that is not encrypted.
    """
    if manifest.encrypted and not identities:
        raise RedisBackupError(
            f"the backup {manifest.label} of {manifest.instance} is encrypted, and packing it anew needs an identity",
            hint="Give identities, or leave encryption and compression out to copy the stored bytes as they are",
        )
    folder = folder_of(manifest.instance, manifest.label)
    path = f"{folder}/{file.name}"
    name = stored_name(file.content, encrypted=bool(packing.recipients))
    with source.open(path) as stream:
        chunks = load_chunks(
            stream, file, source.where(path), encrypted=manifest.encrypted, identities=identities
        )
        sink = destination.create(f"{folder}/{name}")
        try:
            plain = _redacted(chunks) if file.kind == "server" and not packing.recipients else chunks
            stored, _lost = store_chunks(plain, packing, {destination.name: sink}, threads=0)
            destination.assure(manifest.instance)  # another copier's file has the same name, and other bytes
            sink.commit()
        finally:
            chunks.close()  # ends its programs, where not all was read
            quietly_abort([sink])
    return StoredFile(name, file.content, file.kind, stored.size, stored.stored_size, stored.sha256)


def _redacted(chunks: Iterator[memoryview]) -> Iterator[memoryview]:
    """Server files are small, so they may be held whole."""
    yield memoryview(redacted_archive(b"".join(bytes(chunk) for chunk in chunks)))


def repacked_document(manifest: Manifest, files: list[StoredFile], packing: Packing) -> dict[str, Any]:
    """What the manifest of a backup says that was packed anew: the same data, other files, and from which it came."""
    document = {name: value for name, value in manifest.document.items() if name != _SEAL}
    document.update(
        files=[asdict(file) for file in files],
        compression={"program": "zstd", "level": packing.level},
        encryption={"program": "age", "recipients": list(packing.recipients)} if packing.recipients else None,
        reencrypted={"from_sha256": manifest.seal, "time": to_iso(now())},
    )
    if not packing.recipients and manifest.engine != EXPORT:
        document["server_files"] = {**document.get("server_files", {}), "redacted": True}
    return document
