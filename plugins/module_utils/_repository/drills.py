# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The history of drills: one record for each, beside the backups of its instance, which retention does not touch."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Mapping, Sequence
from typing import Any

from .._errors import RepositoryError
from .layout import drill_path, drills_path
from .parse import parse_json
from .store import Store

FORMAT = 1
_SHOWN = (
    "instance",
    "time",
    "pick",
    "label",
    "moment",
    "export",
    "patterns",
    "repository",
    "ok",
    "reason",
    "rto_seconds",
    "rto_target_seconds",
    "rpo_seconds",
    "rpo_target_seconds",
    "target_met",
    "age_seconds",
    "size",
    "keys",
    "host",
)


def write_drill(store: Store, instance: str, document: Mapping[str, Any]) -> str:
    """Append a record, whole and on disk; its path. Raises RepositoryError."""
    stamp = str(document["time"]).replace("-", "").replace(":", "")
    path = drill_path(instance, f"{stamp}-{document['pick']}-{secrets.token_hex(4)}")
    written = time.time_ns() // 1_000_000
    data = json.dumps({"format": FORMAT, **document, "written_ms": written}, indent=2, sort_keys=True).encode() + b"\n"
    store.write(path, data)
    return path


def list_drills(
    stores: Sequence[Store], instance: str, errors: dict[str, RepositoryError] | None = None
) -> list[dict[str, Any]]:
    """The records of all drills of an instance, oldest first. What is no record is passed over.

    Where `errors` is given, a store that cannot be read is noted there, by its name, unless it is there already.
    """
    found: list[dict[str, Any]] = []
    for store in stores:
        if errors is not None and store.name in errors:
            continue
        try:
            names = [file.path for file in store.files(drills_path(instance)) if file.path.endswith(".json")]
            for _path, raw in store.read_many(names):
                document = parsed(raw) if isinstance(raw, bytes) else None
                if document is not None:
                    found.append({**document, "repository": store.name})
        except RepositoryError as error:
            if errors is None:
                raise
            errors[store.name] = error
    return sorted(found, key=_order)


def _order(document: Mapping[str, Any]) -> tuple[str, int]:
    """What sorts records: times are whole seconds, so of two in one second the writing tells. Pure."""
    written = document.get("written_ms")
    return str(document["time"]), written if isinstance(written, int) else 0


def parsed(raw: bytes) -> dict[str, Any] | None:
    """The document of a record; None for what is none. Pure."""
    try:
        document = parse_json(raw)
    except ValueError:
        return None
    if not isinstance(document, dict) or not isinstance(document.get("format"), int) or document["format"] > FORMAT:
        return None
    texts = (document.get(name) for name in ("time", "pick", "instance"))
    return document if all(isinstance(text, str) for text in texts) else None


def shown(document: Mapping[str, Any]) -> dict[str, Any]:
    """The element of `drills` that modules return. Pure."""
    return {name: document.get(name) for name in _SHOWN}
