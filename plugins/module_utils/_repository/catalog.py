# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The backups that repositories hold: usable, or why not. Reading only."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .._errors import DamagedError, NotFoundError, RepositoryError
from .._times import from_iso, now, to_iso
from .identity import require_name
from .layout import MANIFEST, SUMS, backup_path, backups_path, is_label, make_label, sums_text, valid_instance
from .manifest import Manifest, open_manifest
from .store import Store

_CLOCK_SKEW = 300.0


@dataclass
class Entry:
    """One backup of one instance, in one or several repositories."""

    instance: str
    label: str
    manifest: Manifest | None = None
    stores: list[Store] = field(default_factory=list)
    problems: dict[str, str] = field(default_factory=dict)
    verified: str = ""

    @property
    def usable(self) -> bool:
        """Whether some repository holds it whole, as far as listing and manifest tell."""
        return self.manifest is not None

    def as_result(self) -> dict[str, Any]:
        """The element of `backups` that the modules return."""
        result: dict[str, Any] = {
            "label": self.label,
            "instance": self.instance,
            "usable": self.usable,
            "problems": dict(sorted(self.problems.items())),
            "repositories": [store.name for store in self.stores],
            "verified": bool(self.verified),
            "verified_at": self.verified or None,
        }
        if self.manifest is not None:
            document = self.manifest.document
            files = self.manifest.files
            duration = from_iso(document["finished"]) - from_iso(document["started"])
            result.update(
                engine=self.manifest.engine,
                uuid=self.manifest.uuid,
                time=document["snapshot_time"],
                started=document["started"],
                finished=document["finished"],
                duration_s=document.get("duration_s", duration),
                size=sum(f.size for f in files),
                stored_size=sum(f.stored_size for f in files),
                encrypted=self.manifest.encrypted,
                server=document["server"],
                keys=document["keys"],
                files=document["files"],
                checks=document.get("checks", []),
                annotations=document.get("annotations", {}),
            )
        return result


def read_entry(store: Store, instance: str, label: str) -> Manifest:
    """The manifest of one stored backup, held against the folder's listing and its SHA256SUMS.

    Raises NotFoundError when there is none, DamagedError when anything does not fit.
    """
    folder = backup_path(instance, label)
    where = store.where(f"{folder}/{MANIFEST}")
    manifest = open_manifest(store.read(f"{folder}/{MANIFEST}"), where)
    if (manifest.instance, manifest.label) != (instance, label):
        raise DamagedError(
            f"{where} belongs to the backup {manifest.label} of {manifest.instance}: it was put in the wrong place",
            untouched="The live data was not touched",
            hint="Put the folder back where it belongs",
        )
    present = set(store.names(folder))
    missing = [f.name for f in manifest.files if f.name not in present]
    if missing:
        raise DamagedError(
            f"{store.where(folder)} lacks {', '.join(missing)}",
            untouched="The live data was not touched",
            hint="Use another backup, or another repository's copy of this one",
        )
    return manifest


def check_sums(store: Store, manifest: Manifest) -> None:
    """Hold SHA256SUMS against the manifest. Raises DamagedError."""
    path = f"{backup_path(manifest.instance, manifest.label)}/{SUMS}"
    wanted = sums_text([(f.name, f.sha256) for f in manifest.files]).encode()
    if store.read(path) != wanted:
        raise DamagedError(
            f"{store.where(path)} is damaged: it does not say what the manifest says",
            untouched="The live data was not touched",
            hint="Use another backup, or another repository's copy of this one",
        )


def _last_verification(store: Store, instance: str, label: str) -> str:
    """When the backup was last verified in this store; empty when never, or when the newest record failed."""
    folder = f"{backup_path(instance, label)}/verification"
    for name in reversed([n for n in store.names(folder) if n.endswith(".json")]):
        try:
            record = json.loads(store.read(f"{folder}/{name}"))
        except (ValueError, RepositoryError):
            continue
        if isinstance(record, dict) and record.get("level") == "restore":
            return str(record.get("time", "")) if record.get("ok") else ""
    return ""


def list_backups(stores: Sequence[Store], instance: str) -> list[Entry]:
    """All backups of `instance`, oldest first, those of one label in several stores merged."""
    require_name(instance)
    merged: dict[str, Entry] = {}
    for store in stores:
        for label in store.names(backups_path(instance)):
            if not is_label(label):
                continue
            entry = merged.setdefault(label, Entry(instance, label))
            try:
                manifest = read_entry(store, instance, label)
            except NotFoundError as error:
                entry.problems[store.name] = f"incomplete: {error.what} (being written, or its writer died)"
                continue
            except RepositoryError as error:
                entry.problems[store.name] = str(error)
                continue
            if entry.manifest is not None and entry.manifest.document != manifest.document:
                entry.problems[store.name] = "another backup of the same label, not the one of the other repositories"
                continue
            entry.manifest = manifest
            entry.stores.append(store)
            entry.verified = max(entry.verified, _last_verification(store, instance, label))
    return sorted(merged.values(), key=lambda e: (e.manifest.snapshot_time if e.manifest else 0.0, e.label))


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
    """The instances that have backups in any store."""
    found: set[str] = set()
    for store in stores:
        found.update(n for n in store.names("") if valid_instance(n) and "backup" in store.names(n))
    return sorted(found)


def newest_before(entries: Sequence[Entry], at: float | None = None, engine: str | None = None) -> Entry | None:
    """The usable backup with the newest data, of those whose data is not newer than `at` (UTC seconds). Pure.

    Without `at`, data that is dated in the future (a clock was wrong) counts only where there is no other.
    """
    if at is None:
        present = newest_before(entries, now() + _CLOCK_SKEW, engine)
        if present is not None:
            return present
    fitting = [
        e
        for e in entries
        if e.manifest is not None
        and (at is None or e.manifest.snapshot_time <= at)
        and (engine is None or e.manifest.engine == engine)
    ]
    return max(fitting, key=lambda e: (e.manifest.snapshot_time, e.label) if e.manifest else (0.0, ""), default=None)


def passed_over(
    entries: Sequence[Entry], chosen: Entry, at: float | None, doubtful: Mapping[str, str] | None = None
) -> list[str]:
    """The backups newer than the chosen one that cannot be used, or are `doubtful` (by label), and why. Pure."""
    last = make_label(at, "zzz") if at is not None else "9"
    newer = [e for e in entries if chosen.label < e.label <= last]
    why = {e.label: next(iter(e.problems.values()), "it cannot be used") for e in newer if not e.usable}
    why.update({e.label: doubtful[e.label] for e in newer if doubtful and e.label in doubtful})
    return [f"{label}: {reason}" for label, reason in sorted(why.items())]


def choose(entries: Sequence[Entry], instance: str, where: str, *, label: str | None, at: float | None) -> Entry:
    """The backup to restore: the one of `label`, else the newest (not newer than `at`). Pure.

    Raises NotFoundError or DamagedError that names what is there instead.
    """
    there = ", ".join(e.label for e in entries if e.usable)
    untouched = "The live data was not touched"
    if label and label != "latest":
        entry = next((e for e in entries if e.label == label), None)
        if entry is None:
            raise NotFoundError(
                f"{where} holds no backup {label} of {instance}",
                untouched=untouched,
                hint=f"It holds: {there or 'none'}",
            )
        if not entry.usable:
            problem = next(iter(entry.problems.values()), "it has no manifest")
            raise DamagedError(
                f"the backup {label} of {instance} cannot be used: {problem}",
                untouched=untouched,
                hint=f"Usable are: {there or 'none'}",
            )
        return entry
    found = newest_before(entries, at)
    if found is None:
        moment = f" that is not newer than {to_iso(at)}" if at is not None else ""
        broken = "; ".join(f"{e.label}: {p}" for e in entries for p in e.problems.values())
        raise NotFoundError(
            f"{where} holds no usable backup of {instance}{moment}",
            untouched=untouched,
            hint=f"Usable are: {there or 'none'}" + (f". Not usable: {broken}" if broken else ""),
        )
    return found
