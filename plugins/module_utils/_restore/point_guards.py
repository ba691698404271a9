# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What must hold before a moment is laid: the target can load it, there is room on the disk and in memory."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace

from .._archive.coverage import Chain
from .._archive.sparse import Archived
from .._errors import IncompatibleError, RestoreError
from .._files import free_bytes
from .._repository.manifest import Manifest
from .._server.compatibility import Made, compatibility
from .._server.facts import parse_version
from .._server.instance import Instance
from .._server.memory import available_memory
from .._server.versions import format_of
from .guards import check_identities, require_loadable, target_of
from .layout import DataLayout
from .request import Options

_UNTOUCHED = "The live data was not touched"
_MARGIN = 16 * 1024 * 1024
_MEMORY_MARGIN = 64 * 1024 * 1024
_UNPACKED = 3  # how much larger than its RDB a data set is, where no backup tells


@dataclass(frozen=True)
class Candidate:
    """One way to the moment: a chain of the archive, or a backup. `size` is what it takes on the disk."""

    size: int
    chain: Chain | None = None
    backup: Manifest | None = None


def require_fit(
    instance: Instance, archived: Archived | None, candidates: Sequence[Candidate], options: Options
) -> None:
    """Raise IncompatibleError when the target cannot load what was archived, or is too old for it."""
    first = candidates[0]
    if first.backup is not None:
        require_loadable(instance, first.backup, replace(options, convert=False))
        check_identities(first.backup, options)
        return
    newest = archived.newest() if archived is not None else None
    if newest is None or not newest.server.get("version"):
        return
    flavour, version = newest.server.get("flavour", "redis"), parse_version(newest.server["version"])
    verdict = compatibility(Made(flavour, version, format_of(flavour, version)), target_of(instance))
    if not verdict.loads:
        raise IncompatibleError(
            f"{instance.title} cannot load what was archived of {newest.instance}: {verdict.words}",
            untouched=_UNTOUCHED,
            hint="Recover the moment into a server of the version that was archived, or newer of the same flavour, and "
            "migrate a backup of that one",
        )


def require_room(directory: str, size: int, layout: DataLayout, *, as_aof: bool) -> None:
    """Raise RestoreError when there is no room for what is laid, and for the RDBs that are made of it."""
    place = directory if os.path.isdir(directory) else os.path.dirname(directory)
    needed = size * (1 if as_aof else 1 + layout.copies) + _MARGIN
    free = free_bytes(place)
    if free < needed:
        raise RestoreError(
            f"{place} has {free} bytes left, staging needs {needed} (the current data is kept beside the restored)",
            untouched="Nothing was changed",
            hint="Free or add room there; closed restores below .redis_backup keep previous data that may go",
        )


def needed_memory(candidate: Candidate, companion: Manifest | None) -> int:
    """Bytes of memory that a server takes to load it, as far as anything tells. Pure."""
    used = companion.document["server"].get("used_memory_bytes") if companion is not None else None
    if not isinstance(used, int) or used <= 0:
        base = candidate.chain.epochs[0].base if candidate.chain is not None else []
        used = (base[0].total or 0) * _UNPACKED if base else candidate.size
    return used * 6 // 5 + _MEMORY_MARGIN


def require_memory(candidate: Candidate, companion: Manifest | None) -> None:
    """Raise RestoreError when a throw-away server would not have the memory to load it."""
    needed = needed_memory(candidate, companion)
    available = available_memory()
    if available is not None and available < needed:
        raise RestoreError(
            f"this host has {available} bytes of memory left; what is recovered is loaded by a throw-away server "
            f"first, which needs about {needed}",
            untouched=_UNTOUCHED,
            hint="Stop the server that is to be restored, which frees its memory, or recover on another host",
        )
