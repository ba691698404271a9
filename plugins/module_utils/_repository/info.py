# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The catalog as redis_backup_info shows it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .._errors import ProgramError, RedisBackupError
from .._times import from_iso, now
from .catalog import list_backups, list_instances, newest_before
from .store import Store


def moment(at: str | None) -> float | None:
    """A time option as UTC seconds. Raises RedisBackupError when it has no zone or is no time."""
    if at is None:
        return None
    try:
        return from_iso(at)
    except ValueError as error:
        raise RedisBackupError(f"at: {error}", untouched="Nothing was changed") from None


def show_catalog(
    stores: Sequence[Store], instance: str | None, *, at: str | None, usable_only: bool, query: str | None
) -> dict[str, Any]:
    """`backups`, `latest`, `archive` and `rpo_seconds` of one instance, or the backups of all."""
    until = moment(at)
    names = [instance] if instance else list_instances(stores)
    for store in stores:
        store.names("")  # a repository that is not there is an error, not an empty catalog
    entries = [entry for name in names for entry in list_backups(stores, name)]
    latest = newest_before(entries, until) if instance else None
    shown: Any = [entry.as_result() for entry in entries if entry.usable or not usable_only]
    rpo = None
    if latest is not None and latest.manifest is not None:
        rpo = max((until if until is not None else now()) - latest.manifest.snapshot_time, 0.0)
    return {
        "backups": shown if query is None else search(query, shown),
        "latest": latest.as_result() if latest else None,
        "archive": {},
        "rpo_seconds": rpo,
    }


def search(query: str, data: Any) -> Any:
    """What a JMESPath expression makes of `data`. Raises RedisBackupError for a bad expression."""
    try:
        import jmespath
        import jmespath.exceptions
    except ImportError:
        raise ProgramError(
            "the Python library jmespath is missing for the Python that Ansible uses on this host",
            hint="Install the package python3-jmespath, or leave query out",
        ) from None
    try:
        return jmespath.search(query, data)
    except jmespath.exceptions.JMESPathError as error:
        raise RedisBackupError(f"query {query!r} is no JMESPath expression: {error}") from None
