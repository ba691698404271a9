# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The state of an archive as Prometheus reads it from a text file. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .._times import from_iso

_METRICS = (
    ("up", "Whether the last pass of the archive succeeded.", "gauge"),
    ("lag_seconds", "Age of the oldest bytes of the AOF that are not in the repository.", "gauge"),
    ("lag_bytes", "Bytes of the AOF that are not in the repository.", "gauge"),
    ("base_left_bytes", "Bytes of a base that is still on its way.", "gauge"),
    ("spool_bytes", "Bytes of the disk that only the links of the archive hold.", "gauge"),
    ("gaps", "Gaps that the archive remembers.", "gauge"),
    ("last_pass_timestamp_seconds", "When the last pass was made.", "gauge"),
    ("last_success_timestamp_seconds", "When the last pass that succeeded was made.", "gauge"),
    ("objects_total", "Objects that were stored.", "counter"),
    ("bytes_total", "Bytes of the AOF that were archived.", "counter"),
    ("stored_bytes_total", "Bytes that they take in the repository.", "counter"),
)


def metrics_text(instance: str, archive: Mapping[str, Any]) -> str:
    """The text file for one instance. What is not known is left out."""
    values = {
        "up": 0 if archive["last_error"] else 1,
        "lag_seconds": archive["lag_seconds"],
        "lag_bytes": archive["lag_bytes"],
        "base_left_bytes": archive["base_bytes_left"],
        "spool_bytes": archive["spool_bytes"],
        "gaps": len(archive["gaps"]),
        "last_pass_timestamp_seconds": _seconds(archive["last_pass"]),
        "last_success_timestamp_seconds": _seconds(archive["last_success"]),
        "objects_total": archive["objects"],
        "bytes_total": archive["bytes"],
        "stored_bytes_total": archive["stored_bytes"],
    }
    lines = []
    for name, words, kind in _METRICS:
        value = values[name]
        if value is not None:
            full = f"redis_backup_archive_{name}"
            lines += [f"# HELP {full} {words}", f"# TYPE {full} {kind}", f'{full}{{instance="{instance}"}} {value}']
    return "\n".join(lines) + "\n"


def _seconds(text: str | None) -> int | None:
    return None if text is None else int(from_iso(text))
