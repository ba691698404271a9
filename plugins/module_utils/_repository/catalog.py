# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The backups and the exports of keys that repositories hold: usable, or why not. Reading only.

One listing for each repository; then only what is not known yet is read.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Callable

from .._errors import DamagedError, NotFoundError, RepositoryError
from .._times import CLOCK_SKEW, now, to_iso
from .cache import CatalogCache, Known
from .entry import Entry
from .identity import require_name
from .layout import (
    ACKNOWLEDGED,
    MANIFEST,
    SUMS,
    VERIFICATION,
    backups_path,
    exports_path,
    folder_of,
    is_export_label,
    is_label,
    sums_text,
    valid_instance,
)
from .manifest import Manifest, open_export, open_manifest
from .parse import parse_json
from .records import Standing, newest_names, parse_record, standing
from .store import Store, StoredObject

Files = Mapping[str, StoredObject]
"""The files of one backup's folder, by their path in it."""


@dataclass(frozen=True)
class Kind:
    """One kind of what an instance has in a repository: the folder it lies in, its labels, and its manifests."""

    word: str
    root: Callable[[str], str]
    is_label: Callable[[str], bool]
    open: Callable[[bytes, str], Manifest]


BACKUPS = Kind("backup", backups_path, is_label, open_manifest)
EXPORTS = Kind("export", exports_path, is_export_label, open_export)


def kind_of(label: str) -> Kind:
    """What a label belongs to."""
    return EXPORTS if is_export_label(label) else BACKUPS


_OURS = frozenset(("backup", "export"))
_UNTOUCHED = "The live data was not touched"
_HINT = "Use another backup, or another repository's copy of this one"


def read_entry(store: Store, instance: str, label: str) -> Manifest:
    """The manifest of one stored backup or export, held against the folder's listing.

    Raises NotFoundError when there is none, DamagedError when anything does not fit.
    """
    folder = folder_of(instance, label)
    where = store.where(f"{folder}/{MANIFEST}")
    manifest = kind_of(label).open(store.read(f"{folder}/{MANIFEST}"), where)
    _require_fit(store, instance, label, manifest, _below(folder, store.files(folder)))
    return manifest


def read_usable(store: Store, instance: str, label: str) -> Manifest:
    """The same, of a backup that no verification has found to be bad. Raises DamagedError for one that has."""
    present = to_iso(now() + CLOCK_SKEW)
    files = _below(folder_of(instance, label), store.files(folder_of(instance, label)))
    documents, errors = _read(store, kind_of(label), Known(), {label: files}, present)
    entry = _copy(store, Entry(instance, label), files, documents, errors, present)
    if entry.manifest is None:
        raise DamagedError(entry.problems[store.name], untouched=_UNTOUCHED, hint=_HINT)
    return entry.manifest


def _below(folder: str, files: Iterable[StoredObject]) -> Files:
    return {file.path[len(folder) + 1 :]: file for file in files}


def _require_fit(store: Store, instance: str, label: str, manifest: Manifest, files: Files) -> None:
    folder = folder_of(instance, label)
    if (manifest.instance, manifest.label) != (instance, label):
        raise DamagedError(
            f"{store.where(f'{folder}/{MANIFEST}')} belongs to the {kind_of(label).word} {manifest.label} of "
            f"{manifest.instance}: it was put in the wrong place",
            untouched=_UNTOUCHED,
            hint="Put the folder back where it belongs",
        )
    missing = [f.name for f in manifest.files if f.name not in files]
    if missing:
        raise DamagedError(f"{store.where(folder)} lacks {', '.join(missing)}", untouched=_UNTOUCHED, hint=_HINT)
    for file in manifest.files:
        if files[file.name].size != file.stored_size:
            raise DamagedError(
                f"{store.where(f'{folder}/{file.name}')} is damaged: it is {files[file.name].size} bytes long, "
                f"its manifest says {file.stored_size}",
                untouched=_UNTOUCHED,
                hint=_HINT,
            )


def check_sums(store: Store, manifest: Manifest) -> None:
    """Hold SHA256SUMS against the manifest. Raises DamagedError."""
    path = f"{folder_of(manifest.instance, manifest.label)}/{SUMS}"
    wanted = sums_text([(f.name, f.sha256) for f in manifest.files]).encode()
    if store.read(path) != wanted:
        raise DamagedError(
            f"{store.where(path)} is damaged: it does not say what the manifest says",
            untouched=_UNTOUCHED,
            hint=_HINT,
        )


def list_backups(
    stores: Sequence[Store],
    instance: str,
    cache: CatalogCache | None = None,
    errors: dict[str, RepositoryError] | None = None,
) -> list[Entry]:
    """All backups of `instance`, oldest first, those of one label in several stores merged.

    Where `errors` is given, a store that cannot be listed is noted there, by its name, and the others go on.
    """
    return _listed(BACKUPS, stores, instance, cache, errors)


def list_exports(
    stores: Sequence[Store],
    instance: str,
    cache: CatalogCache | None = None,
    errors: dict[str, RepositoryError] | None = None,
) -> list[Entry]:
    """All exports of keys of `instance`, as `list_backups` lists its backups."""
    return _listed(EXPORTS, stores, instance, cache, errors)


def _listed(
    kind: Kind,
    stores: Sequence[Store],
    instance: str,
    cache: CatalogCache | None,
    errors: dict[str, RepositoryError] | None,
) -> list[Entry]:
    require_name(instance)
    merged: dict[str, Entry] = {}
    for store in stores:
        try:
            copies = _copies(kind, store, instance, cache)
        except RepositoryError as error:
            if errors is None:
                raise
            errors[store.name] = error
            continue
        for copy in copies:
            _merge(merged.setdefault(copy.label, Entry(instance, copy.label)), copy, store.name)
    return sorted(merged.values(), key=lambda e: e.order)


def _merge(entry: Entry, copy: Entry, name: str) -> None:
    """Add what one store says of a backup."""
    entry.problems.update(copy.problems)
    entry.stored_bytes.update(copy.stored_bytes)
    entry.unread.update(copy.unread)
    there = entry.manifest
    if there is not None and copy.manifest is not None and there.identity != copy.manifest.identity:
        what = kind_of(entry.label).word
        entry.problems[name] = f"another {what} of the same label, not the one of the other repositories"
        return
    entry.manifests.update(copy.manifests)
    entry.standings.update(copy.standings)
    entry.stores += copy.stores
    entry.acknowledged = max(entry.acknowledged, copy.acknowledged)


def _copies(kind: Kind, store: Store, instance: str, cache: CatalogCache | None) -> list[Entry]:
    """What one store holds, each backup as an entry of its own."""
    root = kind.root(instance)
    folders: dict[str, dict[str, StoredObject]] = {}
    for file in store.files(root):
        label, _slash, name = file.path[len(root) + 1 :].partition("/")
        if kind.is_label(label):
            folders.setdefault(label, {})[name] = file
    known = cache.known(store, root) if cache else Known()
    present = to_iso(now() + CLOCK_SKEW)
    documents, errors = _read(store, kind, known, folders, present)
    found = [
        _copy(store, Entry(instance, label), files, documents, errors, present)
        for label, files in sorted(folders.items())
    ]
    known.save()
    return found


def _relevant(files: Files, present: str) -> list[StoredObject]:
    """Of a backup's files those that the catalog must have read: manifest, newest records, acknowledgement."""
    before = f"{VERIFICATION}/"
    records = newest_names((name[len(before) :] for name in files if name.startswith(before)), present)
    names = [MANIFEST, ACKNOWLEDGED, *(before + name for name in records)]
    return [files[name] for name in names if name in files]


def _read(
    store: Store, kind: Kind, known: Known, folders: Mapping[str, Files], present: str
) -> tuple[dict[str, Any], dict[str, RepositoryError]]:
    """The documents of all relevant files by their path, and the errors of those that cannot be read."""
    documents: dict[str, Any] = {}
    errors: dict[str, RepositoryError] = {}
    unknown: dict[str, StoredObject] = {}
    for files in folders.values():
        for file in _relevant(files, present):
            document = known.get(file)
            if document is None:
                unknown[file.path] = file
            else:
                documents[file.path] = document
    for path, raw in store.read_many(list(unknown)):
        if isinstance(raw, RepositoryError):
            errors[path] = raw
            continue
        try:
            if path.endswith(f"/{MANIFEST}"):
                documents[path] = kind.open(raw, store.where(path)).document
            else:
                documents[path] = parse_json(raw)
        except DamagedError as error:
            errors[path] = error
        except ValueError:
            continue  # half a record: its writer died
        else:
            known.put(unknown[path], documents[path])
    return documents, errors


def _copy(
    store: Store,
    entry: Entry,
    files: Files,
    documents: Mapping[str, Any],
    errors: Mapping[str, RepositoryError],
    present: str,
) -> Entry:
    """One store's copy of a backup, with what is wrong with it."""
    entry.stored_bytes[store.name] = sum(file.size for file in files.values())
    folder = folder_of(entry.instance, entry.label)
    if "" in files:
        entry.problems[store.name] = f"{store.where(folder)} is a link or a file, and should be a folder"
        return entry
    path = f"{folder}/{MANIFEST}"
    error = errors.get(path)
    if path not in documents and (error is None or isinstance(error, NotFoundError)):
        what = f"{store.where(path)} does not exist"
        entry.problems[store.name] = f"incomplete: {what} (being written, or its writer died)"
        return entry
    if error is not None:
        entry.problems[store.name] = str(error)
        return entry
    manifest = Manifest(documents[path])
    try:
        _require_fit(store, entry.instance, entry.label, manifest, files)
    except RepositoryError as misfit:
        entry.problems[store.name] = str(misfit)
        return entry
    relevant = _relevant(files, present)
    found = [parse_record(documents.get(file.path), file.path.rpartition("/")[2]) for file in relevant]
    judged = standing((record for record in found if record is not None), present)
    unread = next((errors[file.path] for file in relevant if file.path in errors), None)
    if unread is not None and not isinstance(unread, NotFoundError):
        judged = Standing({}, judged.failure)  # it may hold a failure: nothing is verified until it can be read
        entry.unread[store.name] = unread
    acknowledgement = documents.get(f"{folder}/{ACKNOWLEDGED}")
    if isinstance(acknowledgement, dict):
        entry.acknowledged = str(acknowledgement.get("time", ""))
    if judged.failure:
        entry.problems[store.name] = judged.failure
        return entry
    entry.manifests[store.name] = manifest
    entry.standings[store.name] = judged
    entry.stores.append(store)
    return entry


def readable_stores(stores: Sequence[Store]) -> tuple[list[Store], dict[str, str]]:
    """The stores that can be read, and why the others cannot, by name. Raises the last error when none can."""
    good: list[Store] = []
    problems: dict[str, RepositoryError] = {}
    for store in stores:
        try:
            store.names("")
            good.append(store)
        except RepositoryError as error:
            problems[store.name] = error
    if not good and problems:
        raise list(problems.values())[-1]
    return good, {name: str(error) for name, error in problems.items()}


def list_instances(stores: Iterable[Store]) -> list[str]:
    """The instances that have backups or exports in any store."""
    found: set[str] = set()
    for store in stores:
        found.update(n for n in store.names("") if valid_instance(n) and not _OURS.isdisjoint(store.names(n)))
    return sorted(found)
