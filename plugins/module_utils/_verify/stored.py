# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Level `stored`: every stored byte against SHA-256 of manifest and SHA256SUMS."""

from __future__ import annotations

from .._repository.layout import folder_of
from .._repository.manifest import Manifest, StoredFile
from .._repository.pipeline import stored_chunks
from .._repository.store import Store


def path_of(manifest: Manifest, file: StoredFile) -> str:
    """Where a file of a backup or an export lies in its repository."""
    return f"{folder_of(manifest.instance, manifest.label)}/{file.name}"


def check_bytes(store: Store, manifest: Manifest, file: StoredFile) -> None:
    """Read a stored file whole. Raises DamagedError when it is not what was written."""
    path = path_of(manifest, file)
    with store.open(path) as stream:
        for _chunk in stored_chunks(stream, file, store.where(path)):
            pass
