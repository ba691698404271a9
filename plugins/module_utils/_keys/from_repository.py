# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An export of keys in a repository, as an import reads it: chosen by label or name, each byte proven by its SHA-256.

A file is read to its end before a key is written, since a hash is known to be right behind the last byte alone; what is
read again for writing is held against what was proven.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from .._errors import DamagedError, NotFoundError, RedisBackupError
from .._repository.catalog import check_sums, list_exports, read_entry
from .._repository.choose import choose
from .._repository.entry import Entry
from .._repository.identity import require_name
from .._repository.layout import export_name, is_export_label
from .._repository.manifest import Manifest
from .._repository.open import open_store
from .._repository.store import Store
from .._verify.content import opened, require_identities
from .formats import Piece, Proof, pieces
from .importing import Imported, ImportRequest, import_keys
from .same_again import SameAgain

_UNTOUCHED = "Nothing was changed"


class StoredExport:
    """An export whose manifest fits what lies beside it, as a source of keys for an import."""

    stable = True
    proven = True
    proving = False

    def __init__(self, store: Store, manifest: Manifest, identities: Sequence[str] = ()) -> None:
        self.store, self.manifest = store, manifest
        self._identities = tuple(identities)
        self._file = manifest.files[0]
        self.format = str(manifest.export["format"])
        self.name = f"{manifest.label} of {manifest.instance} in {store.where()}"
        self._same = SameAgain(self.name)
        self.unit = "line" if self.format == "jsonl" else "key"
        self.exported_at: float | None = manifest.snapshot_time
        self.identity: Mapping[str, Any] = {
            "repository": store.where(),
            "instance": manifest.instance,
            "label": manifest.label,
            "seal": manifest.seal,
        }
        self.origin = {
            "repository": store.name,
            "instance": manifest.instance,
            "label": manifest.label,
            "time": manifest.document["started"],
            "form": self.format,
        }

    def prove(self) -> None:
        """Read all of it, and no more. Raises DamagedError when it is not what the manifest says."""
        for _chunk in self._same.read(opened(self.store, self.manifest, self._file, self._identities)):
            pass

    def pieces(self) -> Iterator[Piece]:
        """The keys. The first time, what came must not be used before the last has come, and no error behind it.

        Raises DamagedError when stored bytes are not those of the manifest, ProgramError when they cannot be opened.
        """
        chunks = self._same.read(opened(self.store, self.manifest, self._file, self._identities))
        yield from pieces(self.format, chunks, Proof())
        for _rest in chunks:  # the last one tells whether all of them were right
            pass


def find_export(
    store: Store, instance: str, *, label: str | None = None, name: str | None = None, identities: Sequence[str] = ()
) -> StoredExport:
    """The export of `label`, or the newest usable one of `name`.

    Raises NotFoundError, DamagedError, and ProgramError when it is encrypted and no identity can be read.
    """
    require_name(instance)
    manifest = _manifest(store, instance, label, name or "")
    check_sums(store, manifest)
    require_identities(manifest, identities)
    return StoredExport(store, manifest, identities)


def export_of(params: Mapping[str, Any], instance: str) -> StoredExport:
    """The export that a module's options name. Raises RedisBackupError."""
    if params["at"] or params["before_command"]:
        raise RedisBackupError(
            f"{params['label']} is an export of keys, and of no one moment: at and before_command are for backups",
            untouched=_UNTOUCHED,
            hint="Leave them out, or leave label out to take the keys from a backup",
        )
    return find_export(
        open_store(params["repository"]),
        params["source_instance"] or instance,
        label=params["label"],
        name=params["name"],
        identities=params["identities"],
    )


def import_export(
    export: StoredExport, request: ImportRequest, *, check_mode: bool = False
) -> tuple[Imported, dict[str, Any]]:
    """Import the keys of an export; what came of it, and what they were taken from.

    Raises RedisBackupError. No key is written before the whole file is known to be what was stored.
    """
    if not request.validate and not check_mode:
        export.prove()  # else the check of all keys does it
    return import_keys(export, request, check_mode=check_mode), export.origin


def _manifest(store: Store, instance: str, label: str | None, name: str) -> Manifest:
    if label and is_export_label(label) and (not name or export_name(label) == name):
        try:
            return read_entry(store, instance, label)
        except NotFoundError:
            pass  # the words below say what is there instead
    entries = list_exports([store], instance)
    found = _named(entries, name, store, instance)
    chosen = choose(found, instance, store.where(), label=label, at=None, noun="export")
    if chosen.manifest is None:
        raise DamagedError(f"{chosen.label} of {instance} has no manifest", untouched=_UNTOUCHED)
    return chosen.manifest


def _named(entries: Sequence[Entry], name: str, store: Store, instance: str) -> list[Entry]:
    """The exports of a name; all of them without one. Raises NotFoundError when there is none of that name."""
    found = [entry for entry in entries if not name or export_name(entry.label) == name]
    if not found:
        there = ", ".join(sorted({export_name(entry.label) for entry in entries}))
        raise NotFoundError(
            f"{store.where()} holds no export {name or 'of keys'} of {instance}",
            untouched=_UNTOUCHED,
            hint=f"It holds exports of: {there}" if there else "Make one with redis_export",
        )
    return found
