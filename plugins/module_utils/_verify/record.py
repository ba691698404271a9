# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Verification records: one for each verdict, beside the backup, appended and never overwritten."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Mapping
from typing import Any

from .._errors import NotFoundError, RepositoryError
from .._repository.layout import MANIFEST, VERIFICATION
from .._repository.layout import folder_of as place_of
from .._repository.parse import parse_json
from .._repository.records import record_name
from .._repository.store import Store
from .._times import now, to_iso
from .request import Finding

_EARLIER = 10
_PAUSE = 0.05
_REMAINS_AGE = 3600.0


def folder_of(instance: str, label: str) -> str:
    """Where the records of a backup or an export lie."""
    return f"{place_of(instance, label)}/{VERIFICATION}"


def record_of(finding: Finding, level: str, moment: str, duration_s: float) -> dict[str, Any]:
    """The record's document. Pure but for the host's name."""
    return {
        "level": level,
        "ok": not finding.problems,
        "time": moment,
        "problems": finding.problems,
        "keys": finding.keys,
        "duration_s": duration_s,
        "host": socket.gethostname(),
        "server": dict(finding.server) if finding.server else None,
        "digest": finding.digest,
    }


def write_record(
    store: Store,
    instance: str,
    label: str,
    finding: Finding,
    level: str,
    duration_s: float,
    more: Mapping[str, Any] | None = None,
) -> str:
    """Append a record, whole and on disk, with what `more` there is to say; its path. Raises RepositoryError.

    Names have seconds, and the newest record counts: a second record within one, of whatever level, waits for the next.
    """
    folder = folder_of(instance, label)
    taken = {name[: -len(".json")].rpartition("-")[0] for name in _clean(store, folder)}
    while True:
        moment = to_iso(now())
        name = record_name(moment, level)
        if name[: -len(".json")].rpartition("-")[0] not in taken:
            break
        time.sleep(_PAUSE)
    if MANIFEST not in store.names(place_of(instance, label)):
        raise NotFoundError(f"{store.where(place_of(instance, label))} was removed while it was verified")
    document = {**record_of(finding, level, moment, duration_s), **(more or {})}
    store.write(f"{folder}/{name}", json.dumps(document, indent=2, sort_keys=True).encode() + b"\n")
    return f"{folder}/{name}"


def _clean(store: Store, folder: str) -> set[str]:
    """The names in a folder of records, but for what a writer that died has left: that is removed."""
    names = set()
    for file in store.files(folder):
        name = file.path.rpartition("/")[2]
        if name.endswith(".json"):
            names.add(name)
        elif now() - file.modified > _REMAINS_AGE:
            store.remove(file.path)
    return names


def earlier_records(store: Store, instance: str, label: str) -> list[Mapping[str, Any]]:
    """The newest records of restores, oldest first. Those that cannot be read are none."""
    folder = folder_of(instance, label)
    names = [name for name in store.names(folder) if name.endswith("-restore.json")]
    found: list[Mapping[str, Any]] = []
    for name in names[-_EARLIER:]:
        try:
            document = parse_json(store.read(f"{folder}/{name}"))
        except (ValueError, RepositoryError):
            continue
        if isinstance(document, dict):
            found.append(document)
    return found
