# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The catalog as redis_backup_info shows it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from .._errors import ProgramError, RedisBackupError, RepositoryError
from .._times import from_iso, now
from .cache import CatalogCache
from .catalog import list_backups, list_exports, list_instances, readable_stores
from .choose import newest_before
from .drills import list_drills
from .drills import shown as shown_drill
from .entry import Entry
from .outlook import outlook
from .sets import list_sets
from .store import Store
from .suspects import suspect_exports, suspects
from .tables import list_tables

_AT_ONCE = 8


def moment(at: str | None) -> float | None:
    """A time option as UTC seconds. Raises RedisBackupError when it has no zone or is no time."""
    if at is None:
        return None
    try:
        return from_iso(at)
    except ValueError as error:
        raise RedisBackupError(f"at: {error}", untouched="Nothing was changed") from None


def show_catalog(
    stores: Sequence[Store],
    instance: str | None,
    *,
    at: str | None,
    usable_only: bool,
    query: str | None,
    cache: CatalogCache | None = None,
) -> dict[str, Any]:
    """`backups`, `latest`, `exports`, `sets`, `drills`, `outlook`, `tables`, `archive`, `rpo_seconds` of one or of all.

    The sets of an instance are those that a backup of it is part of, with what other instances have of them.

    Repositories that cannot be read are told in `repository_problems`, as long as another one can. Raises
    RedisBackupError when none can.
    """
    until = moment(at)
    good, problems = (list(stores), {}) if instance else readable_stores(stores)
    names = [instance] if instance else list_instances(good)
    errors: dict[str, RepositoryError] = {}
    with ThreadPoolExecutor(_AT_ONCE) as workers:  # many small questions to a service that is far away
        catalogs = list(workers.map(lambda name: list_backups(good, name, cache, errors), names))
        drilled = list(workers.map(lambda name: list_drills(good, name, errors), names))
        exported = list(workers.map(lambda name: list_exports(good, name, cache, errors), names))
        parts = [entry for entries in catalogs for entry in entries if entry.manifest and entry.manifest.set]
        wanted = {str(entry.manifest.set["id"]) for entry in parts if entry.manifest}
        if instance and parts:
            readable = [store for store in good if store.name not in errors]
            others = [name for name in list_instances(readable) if name != instance]
            more = workers.map(lambda name: list_backups(readable, name, cache, errors), others)
            parts += [entry for entries in more for entry in entries if entry.manifest and entry.manifest.set]
    if errors and len(errors) == len(good):
        raise next(iter(errors.values()))
    problems.update({name: str(error) for name, error in errors.items()})
    doubtful = [suspects(entries) for entries in catalogs]
    latest = _latest(catalogs[0], doubtful[0], until) if instance else None
    shown: Any = [
        _shown(entry, why)
        for entries, why in zip(catalogs, doubtful)
        for entry in entries
        if entry.usable or not usable_only
    ]
    rpo = None
    if latest is not None and latest.manifest is not None:
        rpo = max((until if until is not None else now()) - latest.manifest.snapshot_time, 0.0)
    return {
        "backups": shown if query is None else search(query, shown),
        "latest": _shown(latest, doubtful[0]) if latest else None,
        "exports": [
            _shown(entry, why)
            for entries, why in zip(exported, map(suspect_exports, exported))
            for entry in entries
            if entry.usable or not usable_only
        ],
        "sets": [found for found in list_sets(parts) if found["id"] in wanted and (found["usable"] or not usable_only)],
        "drills": [shown_drill(document) for documents in drilled for document in documents],
        "outlook": outlook(document for documents in drilled for document in documents),
        "tables": list_tables(entry for entries in catalogs for entry in entries),
        "archive": {},
        "rpo_seconds": rpo,
        "repository_problems": problems,
    }


def _shown(entry: Entry, doubtful: Mapping[str, str]) -> dict[str, Any]:
    return {**entry.as_result(), "suspect": doubtful.get(entry.label)}


def _latest(entries: Sequence[Entry], doubtful: Mapping[str, str], until: float | None) -> Entry | None:
    """What a recovery would use: a suspect only where there is nothing else."""
    trusted = [entry for entry in entries if entry.label not in doubtful]
    return newest_before(trusted, until) or newest_before(entries, until)


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
        found = jmespath.search(query, data)
        json.dumps(found)
    except (jmespath.exceptions.JMESPathError, RecursionError) as error:
        raise RedisBackupError(f"query {query!r} is no JMESPath expression: {error}") from None
    except TypeError:
        raise RedisBackupError(f"query {query!r} asks for an expression (&), and not for data") from None
    return found
