# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How old the newest data is that a recovery could bring back now, and which moments it could: backups and archive."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .._archive.sparse import Archived, survey_archive
from .._errors import RedisBackupError
from .._repository.choose import newest_before
from .._repository.entry import Entry
from .._repository.store import Store
from .._restore.point_sources import Sources
from .._times import to_iso


@dataclass
class Histories:
    """What each repository has of an instance, by its name, and why an archive cannot be read."""

    sources: dict[str, Sources] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)

    @property
    def archived_to(self) -> float | None:
        """Up to when the archive reaches that reaches furthest; None without any."""
        ends = [last for each in self.sources.values() if each.coverage for _first, last in each.coverage.ranges]
        return max(ends, default=None)

    def seconds(self) -> dict[str, tuple[tuple[int, int], ...]]:
        """By repository, the whole seconds that its archive and its backups of the AOF give, where they give any."""
        found = {name: tuple(each.ranges()) for name, each in self.sources.items()}
        return {name: ranges for name, ranges in found.items() if ranges}


def histories(
    stores: Sequence[Store], instance: str, entries: Sequence[Entry], identities: Sequence[str]
) -> Histories:
    """Look at the archives of all repositories. One that cannot be read is told, and no error."""
    found = Histories()
    for store in stores:
        archived: Archived | None = None
        try:
            archived = survey_archive(store, instance, identities)
        except RedisBackupError as error:
            found.problems[store.name] = f"the archive of {instance} in {store.where()} cannot be read: {error.what}"
        held = [entry for entry in entries if store.name in entry.manifests]
        coverage = archived.coverage if archived is not None else None
        found.sources[store.name] = Sources(instance, store.where(), coverage, held)
    return found


def age(
    entries: Sequence[Entry], doubtful: Mapping[str, str], found: Histories, present: float
) -> dict[str, Any]:
    """`rpo_seconds`, what would be lost now, and what it comes from. Pure but for the sources' own looks."""
    trusted = [entry for entry in entries if entry.label not in doubtful]
    newest = newest_before(trusted) or newest_before(entries)
    backup = newest.manifest.snapshot_time if newest is not None and newest.manifest is not None else None
    archived = found.archived_to
    known = [time for time in (backup, archived) if time is not None]
    return {
        "rpo_seconds": round(max(present - max(known), 0.0), 3) if known else None,
        "newest_backup": newest.label if newest is not None else None,
        "newest_backup_seconds": round(max(present - backup, 0.0), 3) if backup is not None else None,
        "archive_to": to_iso(archived) if archived is not None else None,
        "archive_gap_seconds": round(max(present - archived, 0.0), 3) if archived is not None else None,
        "archive_gaps": sum(len(each.coverage.gaps) for each in found.sources.values() if each.coverage),
    }
