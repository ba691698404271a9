# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A copy is one only in another place: what lies in the original goes with it."""

from __future__ import annotations

import os

from .._errors import RepositoryError
from .._repository.posix import PosixStore
from .._repository.store import Store


def require_apart(source: Store, destination: Store, instance: str) -> None:
    """Raise RepositoryError when both are one place, or one lies within the other's backups of the instance."""
    if isinstance(source, PosixStore) and isinstance(destination, PosixStore):
        roots = [os.path.realpath(store.root) for store in (source, destination)]
        folders = [os.path.realpath(os.path.join(root, instance)) for root in roots]
        together = folders[0] == folders[1] or any(
            os.path.commonpath((root, folder)) == folder for root, folder in zip(roots, reversed(folders))
        )
    else:
        paths = [store.where().partition("(")[2] for store in (source, destination)]
        service = _service(source)
        together = paths[0] == paths[1] and service is not None and service == _service(destination)
    if together:
        raise RepositoryError(
            f"{destination.where()} lies in the same place as {source.where()}: what happens to the one happens to the "
            "other",
            untouched="Nothing was changed",
            hint="Name another place as destination",
        )


def _service(store: Store) -> tuple[object, ...] | None:
    """Where a store's paths count; None where it does not tell."""
    place = getattr(store, "place", None)
    if place is None:
        return None
    return (type(store), *(getattr(place, name, None) for name in ("endpoint_url", "config_file")))
