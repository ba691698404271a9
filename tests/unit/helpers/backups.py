# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Backups as small documents, sealed as the collection seals them."""

from __future__ import annotations

from typing import Any

from ansible_collections.globalscope.redis_backup.plugins.module_utils._repository.layout import (
    MANIFEST,
    SUMS,
    backup_path,
    make_label,
    sums_text,
)
from ansible_collections.globalscope.redis_backup.plugins.module_utils._repository.manifest import seal
from ansible_collections.globalscope.redis_backup.plugins.module_utils._times import to_iso
from ansible_collections.globalscope.redis_backup.tests.unit.helpers.memory_store import MemoryStore

T0 = 1_795_000_000  # 2026-11-18T10:26:40Z
UUID = "6f1b6a52-7d1c-4b61-9b5f-1f6a3a3ff001"


def document(seconds: float = T0, instance: str = "db-6379", **over: Any) -> dict[str, Any]:
    """What a manifest says of a backup whose data is that of `seconds`."""
    return {
        "label": make_label(seconds, "rdb"),
        "instance": instance,
        "uuid": UUID,
        "engine": "rdb",
        "started": to_iso(seconds - 1),
        "finished": to_iso(seconds + 3),
        "snapshot_time": to_iso(seconds),
        "server": {"flavour": "redis", "version": "7.0.15", "rdb_magic": "REDIS", "rdb_version": 10, "modules": []},
        "keys": {"total": 100, "expires": 10},
        "files": [
            {
                "name": "dump.rdb.zst",
                "content": "dump.rdb",
                "kind": "rdb",
                "size": 7,
                "stored_size": 4,
                "sha256": "0" * 64,
            }
        ],
        "encryption": None,
        **over,
    }


def put(store: MemoryStore, seconds: float = T0, instance: str = "db-6379", **over: Any) -> str:
    """Store a backup, and return its label."""
    said = document(seconds, instance, **over)
    folder = backup_path(instance, said["label"])
    for file in said["files"]:
        store.contents[f"{folder}/{file['name']}"] = b"data"
    store.contents[f"{folder}/{SUMS}"] = sums_text([(f["name"], f["sha256"]) for f in said["files"]]).encode()
    store.contents[f"{folder}/{MANIFEST}"] = seal(said)
    return str(said["label"])
