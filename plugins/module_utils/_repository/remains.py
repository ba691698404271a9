# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What writers that died left behind: folders of backups and exports without a manifest."""

from __future__ import annotations

from collections.abc import Iterable

from .._errors import RepositoryError
from .catalog import BACKUPS, Kind, kind_of
from .layout import MANIFEST, folder_of
from .store import Store

_LOOKED_AT = 32


def clean_newest(store: Store, instance: str, kind: Kind = BACKUPS) -> tuple[list[str], list[str]]:
    """Remove the remains among the newest labels: a look at all would cost a backup too much."""
    labels = [n for n in store.names(kind.root(instance)) if kind.is_label(n)]
    folders = [label for label in labels[-_LOOKED_AT:] if MANIFEST not in store.names(folder_of(instance, label))]
    return clean(store, instance, folders)


def clean(store: Store, instance: str, labels: Iterable[str]) -> tuple[list[str], list[str]]:
    """Remove these remains. The caller holds the lock, so nobody writes them any more.

    Returns what was done, and what could not be removed (object lock) and why: that is no reason to make no backup.
    """
    actions, warnings = [], []
    for label in labels:
        what = f"the remains of the unfinished {kind_of(label).word} {label}"
        try:
            store.remove(folder_of(instance, label))
        except RepositoryError as error:
            warnings.append(f"{what} of {instance} stay: {error}")
        else:
            actions.append(f"removed {what} from {store.where()}")
    return actions, warnings
