# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The archive of an instance as a listing shows it: names, sizes and times. No age identity is needed for that."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from .._errors import RepositoryError
from .._times import from_iso, now, to_iso
from .layout import ArchiveName, archive_path, archived_path, epoch_key, epoch_time, parse_archived
from .store import Store, StoredObject

Listed = tuple[ArchiveName, StoredObject]


def listed(store: Store, instance: str) -> list[Listed]:
    """All archived objects, by epoch, file and offset: one listing."""
    found = []
    for each in store.files(archive_path(instance)):
        name = parse_archived(instance, each.path)
        if name is not None:
            found.append((name, each))
    return sorted(found, key=lambda item: (epoch_key(item[0].epoch), item[0].file, item[0].offset))


def whole_epochs(names: Iterable[ArchiveName]) -> dict[str, bool]:
    """All epochs, and whether recovery can begin in them: with a whole base, or with a single file. Pure."""
    found: dict[str, bool] = {}
    for name in names:
        single = name.offset == 0 and not name.last and ".incr." not in name.file and ".base." not in name.file
        found[name.epoch] = found.get(name.epoch, False) or name.last or single
    return found


def prunable(names: Iterable[ArchiveName], needed_from: float | None) -> list[str]:
    """The epochs that no recovery to `needed_from` or later needs, oldest first. Only names are looked at.

    A recovery begins with the newest whole base before its time; names tell times to the second. Everything from there
    on stays; without a time (no backup is kept), everything from the newest whole base on. Where no base is whole, all
    stays.
    """
    based = whole_epochs(names)
    epochs = sorted(based, key=epoch_key)
    begins = [number for number, epoch in enumerate(epochs) if based[epoch]]
    if needed_from is not None:
        begins = [number for number in begins if from_iso(epoch_time(epochs[number])) + 1 <= needed_from]
    return epochs[: begins[-1]] if begins else []


def prune_archive(
    store: Store, instance: str, needed_from: float | None, *, check_mode: bool
) -> tuple[list[str], int, list[str]]:
    """Remove the epochs that no recovery to `needed_from` or later needs, oldest first.

    Returns their names, the bytes that they took, and why others stay. Raises RepositoryError.
    """
    objects = listed(store, instance)
    removed: list[str] = []
    stays: list[str] = []
    freed = 0
    for epoch in prunable([name for name, _object in objects], needed_from):
        there = [(name, each) for name, each in objects if name.epoch == epoch]
        locked = next(filter(None, (store.why_locked(archived_path(instance, name)) for name, _object in there)), "")
        if locked:
            stays.append(f"epoch {epoch} of the archive stays in {store.where()}: {locked}")
            continue
        if not check_mode:
            try:
                store.remove(f"{archive_path(instance)}/{epoch}")
            except RepositoryError as error:
                stays.append(f"epoch {epoch} of the archive could not be removed from {store.where()}: {error.what}")
                continue
        removed.append(epoch)
        freed += sum(each.size for _name, each in there)
    return removed, freed, stays


def show_archive(stores: Sequence[Store], instance: str) -> dict[str, Any]:
    """What `redis_backup_info` tells of an archive: of the repository that has the newest object; empty without any.

    Repositories that cannot be read are passed over.
    """
    shown: list[tuple[float, dict[str, Any]]] = []
    for store in stores:
        try:
            objects = listed(store, instance)
        except RepositoryError:
            continue
        if objects:
            newest = max(each.modified for _name, each in objects)
            shown.append((newest, {"repository": store.name, **_shown(objects, newest)}))
    return max(shown, key=lambda item: item[0])[1] if shown else {}


def covers(archive: Mapping[str, Any], at: float | None) -> bool | None:
    """Whether a time lies between the first and the last of what `show_archive` tells; None without either. Pure."""
    if at is None or not archive:
        return None
    first, last = archive["first_time"], archive["last_time"]
    return first is not None and from_iso(first) <= at <= from_iso(last)


def _shown(objects: Sequence[Listed], newest: float) -> dict[str, Any]:
    epochs = whole_epochs(name for name, _object in objects)
    ordered = sorted(epochs, key=epoch_key)
    whole = [epoch for epoch in ordered if epochs[epoch]]
    return {
        "epoch": ordered[-1],
        "epochs": len(ordered),
        "first_time": epoch_time(whole[0]) if whole else None,
        "last_time": to_iso(newest),
        "age_seconds": round(max(now() - newest, 0.0), 3),
        "objects": len(objects),
        "stored_bytes": sum(each.size for _name, each in objects),
        "encrypted": all(name.encrypted for name, _object in objects),
    }
