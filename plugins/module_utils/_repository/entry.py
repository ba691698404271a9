# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One backup or export of one instance, as all repositories together show it. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from .._errors import RepositoryError
from .._times import from_iso
from .layout import export_name
from .manifest import Manifest
from .records import LEVELS, Standing
from .store import Store


@dataclass
class Entry:
    """A backup or export in one or several repositories. What one says of its copy is kept by the repository's name.

    `problems` tells why copies cannot be used, `acknowledged` when a human accepted the backup as it is (ISO 8601).
    `stored_bytes` counts those of each copy, whatever became of it. `unread` holds why a record of a verification could
    not be read: what it says is not known.
    """

    instance: str
    label: str
    stores: list[Store] = field(default_factory=list)
    manifests: dict[str, Manifest] = field(default_factory=dict)
    standings: dict[str, Standing] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)
    stored_bytes: dict[str, int] = field(default_factory=dict)
    unread: dict[str, RepositoryError] = field(default_factory=dict)
    acknowledged: str = ""

    @property
    def manifest(self) -> Manifest | None:
        """The manifest of the first repository that holds the backup whole."""
        return self.manifests[self.stores[0].name] if self.stores else None

    @property
    def order(self) -> tuple[float, int, str]:
        """What sorts backups by the age of their data; times are whole seconds, so the later one of a second is told by
        its serial."""
        manifest = self.manifest
        return (manifest.snapshot_time, manifest.serial, self.label) if manifest else (0.0, 0, self.label)

    @property
    def usable(self) -> bool:
        """Whether some repository holds it whole, as far as listing, manifest and verifications tell."""
        return bool(self.stores)

    def verified_at(self, level: str) -> str:
        """When a copy that can be used was last found good at this level or a higher one; empty when never."""
        return max((self.standings[store.name].at.get(level, "") for store in self.stores), default="")

    @property
    def proof(self) -> str:
        """The level of verification that proves it good: a load in a server. An export is read to its end instead."""
        return "content" if export_name(self.label) else "restore"

    @property
    def verified(self) -> str:
        """When it was last proven good and equal to its manifest; empty when never."""
        return self.verified_at(self.proof)

    def as_result(self) -> dict[str, Any]:
        """The element of `backups` that the modules return."""
        levels = {level: self.verified_at(level) or None for level in LEVELS}
        result: dict[str, Any] = {
            "label": self.label,
            "instance": self.instance,
            "usable": self.usable,
            "problems": dict(sorted(self.problems.items())),
            "repositories": [store.name for store in self.stores],
            "verified": bool(self.verified),
            "verified_at": self.verified or None,
            "verified_level": next((level for level in reversed(LEVELS) if levels[level]), None),
            "verifications": levels,
            "acknowledged_at": self.acknowledged or None,
        }
        if self.manifest is not None:
            document = self.manifest.document
            files = self.manifest.files
            duration = document.get("duration_s", from_iso(document["finished"]) - from_iso(document["started"]))
            size = sum(f.size for f in files)
            result.update(
                engine=self.manifest.engine,
                uuid=self.manifest.uuid,
                time=document["snapshot_time"],
                started=document["started"],
                finished=document["finished"],
                duration_s=duration,
                size=size,
                stored_size=sum(f.stored_size for f in files),
                bytes_per_second=round(size / duration) if duration else None,
                encrypted=self.manifest.encrypted,
                server=document["server"],
                keys=document["keys"],
                files=document["files"],
                aof=document.get("aof"),
                set=dict(self.manifest.set) or None,
                checks=document.get("checks", []),
                annotations=document.get("annotations", {}),
            )
            return {**self.manifest.export, **result}
        return result
