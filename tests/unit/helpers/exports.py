# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Exports of keys as small documents, sealed as the collection seals them."""

from __future__ import annotations

from typing import Any

from ansible_collections.globalscope.redis_backup.plugins.module_utils._repository.layout import (
    MANIFEST,
    SUMS,
    folder_of,
    make_export_label,
    sums_text,
)
from ansible_collections.globalscope.redis_backup.plugins.module_utils._repository.manifest import seal
from ansible_collections.globalscope.redis_backup.tests.unit.helpers.backups import T0, document
from ansible_collections.globalscope.redis_backup.tests.unit.helpers.memory_store import MemoryStore

FILE = {
    "name": "keys.jsonl.zst",
    "content": "keys.jsonl",
    "kind": "keys",
    "size": 7,
    "stored_size": 4,
    "sha256": "0" * 64,
}


def export_document(
    seconds: float = T0, name: str = "drivers", told: dict[str, Any] | None = None, **over: Any
) -> dict[str, Any]:
    """What a manifest says of an export that was begun at `seconds`; `told` is of its own part."""
    own = {
        "name": name,
        "format": "jsonl",
        "patterns": ["driver:*"],
        "types": [],
        "databases": [],
        "point_in_time": False,
    }
    said = document(seconds, label=make_export_label(seconds, name), engine="export", files=[FILE])
    return {**said, "export": {**own, **(told or {})}, **over}


def put_export(store: MemoryStore, seconds: float = T0, name: str = "drivers", **over: Any) -> str:
    """Store an export, and return its label."""
    said = export_document(seconds, name, **over)
    folder = folder_of(said["instance"], said["label"])
    for file in said["files"]:
        store.contents[f"{folder}/{file['name']}"] = b"data"
    store.contents[f"{folder}/{SUMS}"] = sums_text([(f["name"], f["sha256"]) for f in said["files"]]).encode()
    store.contents[f"{folder}/{MANIFEST}"] = seal(said)
    return str(said["label"])
