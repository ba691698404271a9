# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A restore in the words of the module's return values."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from .._repository.manifest import Manifest
from .._times import from_iso
from .data_dir import data_entries
from .journal import Journal, Workspace


def result_of(workspace: Workspace, journal: Journal) -> dict[str, Any]:
    """The value `restore` of redis_restore."""
    previous = workspace.previous(journal)
    staged = workspace.staged(journal)
    point = journal.point
    whole = {"kind": "backup", "repository": journal.repository, "label": journal.label}
    return {
        "id": journal.id,
        "label": journal.label,
        "state": journal.state,
        "method": "replication" if journal.live else "files",
        "source_instance": journal.source_instance,
        "repository": journal.repository,
        "data_dir": workspace.data_dir,
        "config_file": journal.config_file,
        "staged_dir": staged if os.path.isdir(staged) else "",
        "previous_dir": previous if os.path.isdir(previous) and os.listdir(previous) else "",
        "snapshot_time": journal.snapshot_time,
        "target_time": journal.target_time,
        "rpo_seconds": max(from_iso(journal.target_time) - from_iso(journal.snapshot_time), 0.0),
        "recovered_to": point.get("recovered_to", journal.snapshot_time),
        "precision_seconds": point.get("precision_seconds", 0.0),
        "source": point.get("source", whole),
        "keys": journal.keys,
        "keys_room": journal.room,
        "loaded_keys": journal.keys if journal.loads == "rdb" and not journal.live else None,
        "expires": journal.expires,
        "converted": journal.converted,
        "server_files": [entry.path for entry in journal.placed],
        "writes_closed": journal.writes_closed,
        "fence": workspace.fence,
    }


def _entry(path: str) -> str:
    if os.path.isdir(path):
        total = sum(os.path.getsize(os.path.join(root, n)) for root, _dirs, names in os.walk(path) for n in names)
        return f"{os.path.basename(path)}/ {total} bytes\n"
    return f"{os.path.basename(path)} {os.path.getsize(path)} bytes\n"


def data_listing(journal: Journal, workspace: Workspace) -> dict[str, str]:
    """The data directory before and after the swap, for diff mode."""
    directory = workspace.data_dir
    present = data_entries(os.listdir(directory), journal.data_names)
    before = [os.path.join(directory, name) for name in present]
    after = [os.path.join(workspace.staged(journal), name) for name in journal.install]
    return {
        "before_header": directory,
        "after_header": directory,
        "before": "".join(_entry(path) for path in before if os.path.exists(path)),
        "after": "".join(_entry(path) for path in after if os.path.exists(path)),
    }


def planned_listing(
    directory: str, data_names: Sequence[str], installed: Sequence[str], manifest: Manifest
) -> dict[str, str]:
    """The data directory now and as the restore would leave it, for diff in check mode."""
    present = data_entries(os.listdir(directory), data_names) if os.path.isdir(directory) else []
    after = [f"{name}, {manifest.keys} keys of {manifest.label}\n" for name in installed]
    return {
        "before_header": directory,
        "after_header": directory,
        "before": "".join(_entry(os.path.join(directory, name)) for name in present),
        "after": "".join(after),
    }
