# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What backups remember of the cluster that their instance was a node of: who the nodes were, and where. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .entry import Entry
from .whereabouts import cluster_of


def list_tables(entries: Iterable[Entry]) -> list[dict[str, Any]]:
    """The nodes of clusters as the newest usable backup of each instance has them; of others, nothing."""
    newest: dict[str, dict[str, Any]] = {}
    for entry in sorted((each for each in entries if each.manifest is not None), key=lambda each: each.order):
        if entry.manifest is None:
            continue
        cluster = cluster_of(entry.manifest)
        if cluster:
            newest[entry.instance] = {
                "instance": entry.instance,
                "label": entry.label,
                "time": entry.manifest.document["snapshot_time"],
                "set": dict(entry.manifest.set) or None,
                "cluster": cluster,
            }
    return [newest[name] for name in sorted(newest)]
