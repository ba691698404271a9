# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which backups of the source are meant, and how each stands at the destination. Reading only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from .._errors import NotFoundError, RepositoryError
from .._repository.catalog import BACKUPS, EXPORTS, kind_of, read_entry, read_usable
from .._repository.layout import MANIFEST, SUMS, folder_of, is_added, is_label, make_label
from .._repository.manifest import Manifest
from .._repository.parse import parse_json
from .._repository.store import Store
from .._times import CLOCK_SKEW, now
from .request import ALL, LATEST, CopyRequest, Repacking


class Shelf:
    """The backups and exports of one instance in one repository, as a listing of each shows them."""

    def __init__(self, store: Store, instance: str) -> None:
        self.store = store
        self.instance = instance
        self.sizes: dict[str, dict[str, int]] = {}
        for kind in (BACKUPS, EXPORTS):
            root = kind.root(instance)
            for label in store.names(root):  # an empty folder has no files, and is remains
                if kind.is_label(label):
                    self.sizes.setdefault(label, {})
            for file in store.files(root):
                label, _slash, name = file.path[len(root) + 1 :].partition("/")
                if kind.is_label(label):
                    self.sizes.setdefault(label, {})[name] = file.size

    @property
    def whole(self) -> list[str]:
        """The labels with a manifest, oldest first."""
        return sorted(label for label, names in self.sizes.items() if MANIFEST in names)

    @property
    def remains(self) -> list[str]:
        """The labels without: being written, or their writer died."""
        return sorted(label for label, names in self.sizes.items() if not {MANIFEST, ""} & names.keys())

    def forget_remains(self) -> None:
        """They were removed; what could not be is written anew all the same."""
        for label in self.remains:
            del self.sizes[label]

    def added(self, label: str) -> list[str]:
        """What was added to a backup later, as names in its folder: verification records, an acknowledgement."""
        return sorted(name for name in self.sizes.get(label, {}) if is_added(name) and name.endswith(".json"))


def wanted_labels(request: CopyRequest, source: Shelf, warnings: list[str]) -> list[str]:
    """The labels that are meant, oldest first. Raises NotFoundError when `latest` finds none."""
    found: set[str] = set()
    for label in request.labels:
        if label == ALL:
            found.update(source.whole)
        elif label == LATEST:
            found.add(_latest(source, warnings))
        else:
            found.add(label)
    return sorted(found)


def _latest(source: Shelf, warnings: list[str]) -> str:
    """The newest usable backup. One that is dated in the future (a clock was wrong) only where there is no other."""
    present = make_label(now() + CLOCK_SKEW, "zzz")
    backups = [label for label in source.whole if is_label(label)]
    order = sorted(backups, key=lambda label: (label <= present, label), reverse=True)
    for label in order:
        try:
            read_usable(source.store, source.instance, label)
        except RepositoryError as error:
            warnings.append(f"the backup {label} was passed over: {error}")
            continue
        return label
    raise NotFoundError(
        f"{source.store.where()} holds no usable backup of {source.instance}", untouched="Nothing was changed"
    )


@dataclass(frozen=True)
class Step:
    """What is to be done with one backup: written whole, made whole (`files` are missing or cut short), or nothing.

    `added` are the records that the destination lacks, by path; `repacking` is None where stored bytes go as they are.
    """

    manifest: Manifest
    action: Literal["copy", "mend", "none"]
    files: tuple[str, ...] = ()
    added: tuple[tuple[str, bytes], ...] = ()
    repacking: Repacking | None = None


def next_step(
    request: CopyRequest, source: Shelf, destination: Shelf, label: str, warnings: list[str]
) -> Step:
    """How the copy of one backup stands. Raises RepositoryError when it cannot or must not be made."""
    if label not in source.whole:
        unfinished = ": it is being written, or its writer died" if label in source.remains else ""
        raise NotFoundError(
            f"{source.store.where()} holds no whole backup {label} of {request.instance}{unfinished}",
            hint=f"It holds: {', '.join(source.whole) or 'none'}",
        )
    if "" in destination.sizes.get(label, {}):
        where = destination.store.where(folder_of(request.instance, label))
        raise RepositoryError(f"{where} is a link or a file, and should be a folder", hint="Move it away")
    manifest = read_entry(source.store, request.instance, label)
    repacking = request.repacking if request.repacking and not request.repacking.fits(manifest) else None
    there = _manifest_there(destination, label)
    added = _records(source, destination, label, repacking is not None, warnings)
    if there is None:
        return Step(manifest, "copy", tuple(f.name for f in manifest.files), added, repacking)
    _require_same(manifest, there, repacking, destination, label)
    sizes = destination.sizes[label]
    broken = tuple(f.name for f in there.files if sizes.get(f.name) != f.stored_size)
    if SUMS not in sizes:
        broken += (SUMS,)
    if broken and repacking is not None:
        raise RepositoryError(
            f"{destination.store.where(folder_of(request.instance, label))} is not whole any more: "
            f"{', '.join(broken)} is missing or cut short",
            hint="Remove the folder, its manifest.json first, then copy again",
        )
    return Step(manifest, "mend" if broken else "none", broken, added, repacking)


def _records(
    source: Shelf, destination: Shelf, label: str, repacked: bool, warnings: list[str]
) -> tuple[tuple[str, bytes], ...]:
    """What was added to a backup at the source and is not at the destination.

    A verification holds for the stored bytes it was made of: it does not go with a copy that is packed anew. One that
    found bytes damaged where they lie stays there: those of a copy have been found right.
    """
    folder = folder_of(source.instance, label)
    names = [name for name in source.added(label) if name not in destination.sizes.get(label, {})]
    found = []
    for path, raw in source.store.read_many([f"{folder}/{name}" for name in names if not repacked or "/" not in name]):
        if isinstance(raw, RepositoryError):
            warnings.append(f"{source.store.where(path)} was not copied: {raw}")
        elif not _is_about_the_place(raw):
            found.append((path, raw))
    return tuple(found)


def _is_about_the_place(raw: bytes) -> bool:
    """Whether a record tells of damaged bytes, or is none."""
    try:
        record = parse_json(raw)
    except ValueError:
        return True
    return not isinstance(record, dict) or (record.get("level") == "stored" and not record.get("ok"))


def _manifest_there(destination: Shelf, label: str) -> Manifest | None:
    if label not in destination.whole:
        return None
    path = f"{folder_of(destination.instance, label)}/{MANIFEST}"
    return kind_of(label).open(destination.store.read(path), destination.store.where(path))


def _require_same(
    manifest: Manifest, there: Manifest, repacking: Repacking | None, destination: Shelf, label: str
) -> None:
    """The backup that is there must be the copy that would be made. Raises RepositoryError."""
    if repacking is None:
        same = there.seal == manifest.seal
    else:
        origin = there.document.get("reencrypted") or {}
        same = origin.get("from_sha256") == manifest.seal and repacking.fits_copy(manifest, there)
    if same:
        return
    where = destination.store.where(folder_of(destination.instance, label))
    if there.identity == manifest.identity:
        raise RepositoryError(
            f"{where} is this very backup, but packed in another way",
            hint="Remove it there first, or copy to another repository",
        )
    raise RepositoryError(
        f"{where} is another backup of the same label", hint="Copy to another repository, or under another prefix"
    )
