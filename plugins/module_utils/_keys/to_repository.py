# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An export of keys written to repositories: packed in one reading of the server, its manifest last.

It comes there by the same way as a backup, so that the same holds of it: whole or not at all, in each repository by
itself, under the instance's identity and its lock.
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import Any

from .._backup.artefact import forget, noted, store_artefact
from .._backup.request import BackupResult, WriteRequest
from .._backup.standing import Standing
from .._backup.turn import Subject, check_request, free_label, in_turn
from .._errors import RedisBackupError, RepositoryError
from .._repository.catalog import EXPORTS
from .._repository.layout import MANIFEST, SUMS, folder_of, sums_text, valid_export_name
from .._repository.manifest import EXPORT, KEYS, Manifest, StoredFile, seal
from .._server.facts import Facts, parse_modules
from .._server.instance import Instance
from .._server.topology import replication
from .._server.versions import format_of
from .._times import from_iso, now, to_iso
from .export import KeysExport

_COUNTED = ("by_type", "by_database", "skipped_count", "gone", "changed_in_parts", "patterns_unmatched")
"""What the manifest tells of the reading."""


@dataclass(frozen=True)
class ExportRequest(WriteRequest):
    """One export of keys. `patterns` are as the user wrote them."""

    name: str = "keys"
    patterns: tuple[str, ...] = ()


def check_export(request: ExportRequest) -> None:
    """Refuse what can be refused before anything is asked or written. Raises RedisBackupError."""
    if not valid_export_name(request.name):
        raise RedisBackupError(
            f"name: {request.name!r} cannot name an export",
            untouched="Nothing was changed",
            hint="Use 1 to 40 small letters, digits and hyphens, and neither rdb nor aof",
        )
    check_request(request)


def store_export(
    instance: Instance, request: ExportRequest, export: KeysExport, *, check_mode: bool = False
) -> BackupResult:
    """Read the keys of `export`, and write them to the repositories of `request`. `backup` of the result is the export.

    Nothing is read where one that is there is young enough, nor in check mode.
    Raises RedisBackupError; then no repository shows an incomplete export, and the earlier ones are as they were.
    """
    check_export(request)
    facts = instance.require_running()
    sought = _sought(request, export)

    def write(identity: str, serial: int, standing: Standing, actions: list[str]) -> BackupResult:
        return _write(instance, facts, identity, serial, request, export, standing, actions)

    subject = Subject(
        name=instance.name,
        title=instance.title,
        kind=EXPORTS,
        what=request.name,
        doing=f"export {request.name} of {instance.name}",
        write=write,
        result_of=result_of,
        fits=lambda manifest: all(manifest.export[name] == value for name, value in sought.items()),
    )
    return in_turn(subject, request, check_mode=check_mode)


def _write(
    instance: Instance,
    facts: Facts,
    identity: str,
    serial: int,
    request: ExportRequest,
    export: KeysExport,
    standing: Standing,
    actions: list[str],
) -> BackupResult:
    """Write one export to the repositories that are still in. One that fails on the way is out, with nothing of it."""
    begun = time.monotonic()
    label = free_label(standing, instance.name, request.name)
    folder = folder_of(instance.name, label)
    stores = {store.name: store for store in standing.alive}
    try:
        file = store_artefact(
            export.chunks(),
            f"keys.{export.wanted.format}",
            KEYS,
            folder,
            stores,
            standing.failed,
            request.packing,
            proven=lambda _size: export.require_good(),
        )
    except RepositoryError:
        forget(stores, folder)
        standing.require_one()
        raise
    except BaseException:
        forget(stores, folder)
        raise
    document = _document(instance, facts, request, export, file)
    document.update(
        label=label,
        uuid=identity,
        serial=serial,
        duration_s=round(time.monotonic() - begun, 3),
    )
    for name, store in stores.items():
        if name not in standing.failed:
            with noted(standing.failed, name):
                store.write(f"{folder}/{SUMS}", sums_text([(file.name, file.sha256)]).encode())
                store.write(f"{folder}/{MANIFEST}", seal(document))
    forget({name: store for name, store in stores.items() if name in standing.failed}, folder)
    done = standing.names
    actions += [f"wrote {label} to {stores[name].where()}" for name in done]
    standing.require_one()
    return BackupResult(True, actions, result_of(Manifest(document), done))


def _document(
    instance: Instance, facts: Facts, request: ExportRequest, export: KeysExport, file: StoredFile
) -> dict[str, Any]:
    """What the manifest says, but for whose it is and how it is called."""
    counted = export.result()
    made_by = format_of(facts.flavour, facts.version)
    recipients = list(request.packing.recipients)
    return {
        "instance": instance.name,
        "engine": EXPORT,
        "source": export.source,
        "started": to_iso(export.started),
        "snapshot_time": to_iso(export.started),
        "finished": to_iso(export.finished),
        "server": {
            "flavour": facts.flavour,
            "version": facts.version_text,
            "rdb_magic": made_by.magic,
            "rdb_version": made_by.version,
            "modules": parse_modules(facts.info),
            "run_id": facts.info.get("run_id", ""),
        },
        "topology": replication(facts),
        "keys": {"total": export.tally.exported, "expires": export.tally.with_expiry},
        "files": [asdict(file)],
        "compression": {"program": "zstd", "level": request.packing.level},
        "encryption": {"program": "age", "recipients": recipients} if recipients else None,
        "annotations": dict(request.annotations),
        EXPORT: {
            **{name: counted[name] for name in _COUNTED},
            "name": request.name,
            **_sought(request, export),
            "point_in_time": False,
        },
    }


def _sought(request: ExportRequest, export: KeysExport) -> dict[str, Any]:
    """What was asked for: another export may stand for this one only where it was asked for the same."""
    selection = export.wanted.selection
    return {
        "format": export.wanted.format,
        "patterns": list(request.patterns),
        "types": sorted(selection.types),
        "databases": sorted(selection.databases or ()),
    }


def result_of(manifest: Manifest, repositories: list[str]) -> dict[str, Any]:
    """The export as the module returns it."""
    document = manifest.document
    return {
        "label": manifest.label,
        "instance": manifest.instance,
        "name": manifest.export["name"],
        "format": manifest.export["format"],
        "started": document["started"],
        "finished": document["finished"],
        "point_in_time": False,
        "age_seconds": max(int(now() - from_iso(document["started"])), 0),
        "keys": manifest.keys,
        "size": manifest.size,
        "stored_size": sum(file.stored_size for file in manifest.files),
        "files": document["files"],
        "duration_s": document.get("duration_s"),
        "encrypted": manifest.encrypted,
        "repositories": repositories,
    }
