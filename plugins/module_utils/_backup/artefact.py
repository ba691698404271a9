# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Storing one artefact in all repositories that are still in, in one reading."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Callable

from .._errors import RepositoryError
from .._repository.layout import stored_name
from .._repository.manifest import StoredFile
from .._repository.pipeline import Packing, SinksFailedError, quietly_abort, store_chunks
from .._repository.store import Sink, Store
from .._server.versions import RdbFormat


@dataclass(frozen=True)
class Taken:
    """The data set as it was stored, and what the manifest tells of it.

    `format` is what a server must know to load it. `snapshot_time` is UTC seconds, `repl_offset` None where unknown.
    """

    file: StoredFile
    method: str
    snapshot_time: float
    format: RdbFormat
    replid: str
    repl_offset: int | None
    keys: Mapping[str, Any]
    checks: list[dict[str, Any]]
    more: Mapping[str, Any] = field(default_factory=dict)


@contextlib.contextmanager
def noted(failed: dict[str, RepositoryError], name: str) -> Iterator[None]:
    try:
        yield
    except RepositoryError as error:
        failed[name] = error


def _open_sinks(
    stores: dict[str, Store], failed: dict[str, RepositoryError], path: str
) -> dict[str, Sink]:
    sinks: dict[str, Sink] = {}
    for name, store in stores.items():
        if name not in failed:
            with noted(failed, name):
                sinks[name] = store.create(path)
    if not sinks:
        raise next(iter(failed.values()))
    return sinks


def store_artefact(
    chunks: Any,
    content: str,
    kind: str,
    folder: str,
    stores: dict[str, Store],
    failed: dict[str, RepositoryError],
    packing: Packing,
    *,
    taps: Any = (),
    threads: int = 1,
    proven: Callable[[int], None] = lambda size: None,
) -> StoredFile:
    """Store one artefact everywhere; `proven(size)` may still refuse it before its name appears."""
    name = stored_name(content, encrypted=bool(packing.recipients))
    sinks = _open_sinks(stores, failed, f"{folder}/{name}")
    try:
        try:
            stored, lost = store_chunks(chunks, packing, sinks, taps=taps, threads=threads)
        except SinksFailedError as error:
            failed.update(error.errors)
            raise
        failed.update(lost)
        proven(stored.size)
        for store_name, sink in sinks.items():
            if store_name not in failed:
                with noted(failed, store_name):
                    sink.commit()
        if all(store_name in failed for store_name in sinks):
            raise next(iter(failed.values()))
    finally:
        quietly_abort(sinks.values())
    return StoredFile(name, content, kind, stored.size, stored.stored_size, stored.sha256)


def forget(stores: Mapping[str, Store], folder: str) -> None:
    """Remove what a failed backup wrote. What cannot be removed now has no manifest, and goes at the next run."""
    for store in stores.values():
        with contextlib.suppress(RepositoryError):
            store.remove(folder)
