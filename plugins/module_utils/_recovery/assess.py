# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wrong with an instance, and what can be had back. Decisions are pure; the hands only look."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .._errors import RecoveryError, RepositoryError
from .._repository.catalog import Entry, choose, list_backups, passed_over, readable_stores
from .._repository.manifest import Manifest
from .._repository.store import Store
from .._restore.data_dir import data_entries
from .._restore.journal import Journal, Workspace
from .._server.describe import describe
from .._server.instance import Instance
from .._server.programs import unit_properties
from .._times import now, to_iso

_EMPTY_RDB = 200
_CLOCK_SKEW = 60.0


@dataclass(frozen=True)
class DataFile:
    """A file of the data set on disk: bytes, and when it was last written (UTC seconds)."""

    name: str
    size: int
    mtime: float


@dataclass(frozen=True)
class Damage:
    """One thing that is wrong: `kind` is down, empty or shrunk; `says` tells it in words."""

    kind: str
    says: str


def find_damage(
    *,
    state: str,
    why: str,
    keys: int | None,
    files: list[DataFile],
    manifest: Manifest | None,
    shrink_ratio: float,
    unfinished: str = "",
) -> list[Damage]:
    """What is wrong with an instance, by what it says and by its newest backup. Pure.

    `unfinished` tells of a restore that was cut short, in words. How many keys a server has while it still loads says
    nothing.
    """
    found = [Damage("unfinished", unfinished)] if unfinished else []
    if state == "down":
        size = sum(f.size for f in files)
        left = f"{len(files)} data files with {size} bytes are left" if files else "no data is left"
        found.append(Damage("down", f"the server is down ({why}); {left}"))
    elif state != "loading" and keys is not None and manifest is not None and manifest.keys > 0:
        lasting = manifest.keys - manifest.expires
        if keys == 0 and lasting > 0:
            held = f"its backup {manifest.label} holds {manifest.keys}"
            found.append(Damage("empty", f"the server holds no keys, {held}"))
        elif keys < lasting * shrink_ratio:
            found.append(
                Damage(
                    "shrunk",
                    f"the server holds {keys} keys, less than {shrink_ratio:g} of the {lasting} lasting keys in its "
                    f"backup {manifest.label}",
                )
            )
    return found


def holds_data(*, state: str, keys: int | None, files: list[DataFile]) -> bool:
    """Whether a recovery would put aside anything that may still be worth something. Pure."""
    if state == "loading":
        return True
    if state != "down":
        return bool(keys)
    telling = [f for f in files if not f.name.endswith(".manifest")]
    return any(f.size > (_EMPTY_RDB if f.name.endswith(".rdb") else 0) for f in telling)


def failure_time(
    *,
    given: float | None,
    own: bool,
    state: str,
    unit_exit: float | None,
    files: list[DataFile],
    started: float | None,
    dir_changed: float | None,
    snapshot: float | None,
    present: float,
) -> tuple[float, str]:
    """When the instance failed (UTC seconds), and what says so. Pure.

    `own` is false for another host's instance; `snapshot` is the moment whose data the backup holds. Raises
    RecoveryError for a given time that lies in the future.
    """
    if given is not None and given > present + _CLOCK_SKEW:
        raise RecoveryError(
            f"failed_at {to_iso(given)} lies in the future: it is {to_iso(present)}", untouched="Nothing was changed"
        )
    if given is not None:
        return given, "given"
    if not own:
        return present, "this assessment; this host cannot know when the other one failed"
    if state == "down" and unit_exit is not None:
        return unit_exit, "the unit's exit"
    if state == "down" and files:
        return max(f.mtime for f in files), "the newest data file"
    if state == "down" and dir_changed is not None:
        return dir_changed, "the last change of the data directory, which is empty"
    # A server that was emptied while it ran started long before: then nothing tells, and no write may be called safe.
    if state != "down" and started is not None and (snapshot is None or started > snapshot):
        return started, "the server's last start"
    return present, "this assessment (nothing on the host tells more)"


def data_files(instance: Instance) -> list[DataFile]:
    """The files of the data set that are on disk."""
    directory = instance.paths.dir
    found: list[DataFile] = []
    if not directory or not os.path.isdir(directory):
        return found
    for entry in data_entries(os.listdir(directory), instance.paths.data_names()):
        top = os.path.join(directory, entry)
        paths = [top]
        if os.path.isdir(top):
            paths = [os.path.join(root, name) for root, _dirs, names in os.walk(top) for name in names]
        for path in paths:
            try:
                stat = os.stat(path)
            except FileNotFoundError:
                continue
            found.append(DataFile(os.path.relpath(path, directory), stat.st_size, stat.st_mtime))
    return found


def unit_exit_time(service: str) -> float | None:
    """When the unit's main process last ended, UTC seconds; None when it never did, or there is no unit."""
    if not service:
        return None
    text = unit_properties(service, "ExecMainExitTimestampMonotonic").get("ExecMainExitTimestampMonotonic", "0")
    if not text.isdigit() or not int(text):
        return None
    return now() - (time.clock_gettime(time.CLOCK_MONOTONIC) - int(text) / 1e6)


@dataclass(frozen=True)
class Question:
    """What is asked: which backups count, and when the instance failed if that is known. Times are UTC seconds."""

    stores: Sequence[Store]
    source_instance: str
    label: str = "latest"
    at: float | None = None
    failed_at: float | None = None
    shrink_ratio: float = 0.5


def _chosen(question: Question, stores: Sequence[Store]) -> tuple[Entry | None, str, list[str]]:
    """The backup that a recovery would use, else why there is none; and the newer ones that cannot be used."""
    where = ", ".join(store.where() for store in stores)
    entries = list_backups(stores, question.source_instance)
    try:
        chosen = choose(entries, question.source_instance, where, label=question.label, at=question.at)
    except RepositoryError as error:
        return None, str(error), []
    return chosen, "", passed_over(entries, chosen, question.at) if question.label == "latest" else []


def _cut_short(instance: Instance) -> Journal | None:
    """The restore that has swapped data and was neither committed nor rolled back."""
    directory = instance.paths.dir
    if not directory or not os.path.isdir(directory) or not os.access(directory, os.R_OK | os.X_OK):
        return None
    journal = Workspace(directory).current()
    return journal if journal is not None and journal.state in ("activating", "active", "rolling_back") else None


def assess(instance: Instance, question: Question) -> dict[str, Any]:
    """The assessment of one instance: damage, what is left, when it failed, what a recovery brings and loses."""
    facts = instance.facts
    stores, unreadable = readable_stores(question.stores)
    entry, problem, passed = _chosen(question, stores)
    manifest = entry.manifest if entry else None
    files = data_files(instance)
    keys = facts.keys if facts else None
    cut_short = _cut_short(instance)
    damage = find_damage(
        state=instance.state,
        why=instance.why,
        keys=keys,
        files=files,
        manifest=manifest,
        shrink_ratio=question.shrink_ratio,
        unfinished=f"the restore {cut_short.id} of {cut_short.label} was begun and is {cut_short.state}, not committed"
        if cut_short
        else "",
    )
    if cut_short is not None and (cut_short.writes_closed or cut_short.state != "active"):
        holds = False  # what lies there came from the restore, which keeps what was there before
    else:
        holds = holds_data(state=instance.state, keys=keys, files=files)
    when, source = failure_time(
        given=question.failed_at,
        own=question.source_instance == instance.name,
        state=instance.state,
        unit_exit=unit_exit_time(instance.place.service),
        files=files,
        started=now() - facts.number("uptime_in_seconds") if facts else None,
        dir_changed=os.stat(instance.paths.dir).st_mtime if os.path.isdir(instance.paths.dir) else None,
        snapshot=manifest.snapshot_time if manifest else None,
        present=now(),
    )
    rpo = None
    if manifest is not None:
        rpo = max(round(when - manifest.snapshot_time, 1), 0.0)
    return {
        "healthy": not damage,
        "damage": [{"kind": d.kind, "says": d.says} for d in damage],
        "holds_data": holds,
        "data_files": [{"name": f.name, "size": f.size, "modified": to_iso(f.mtime)} for f in files],
        "failed_at": to_iso(when),
        "failed_at_source": source,
        "rpo_seconds": rpo,
        "instance": describe(instance),
        "backup": entry.as_result() if entry else None,
        "repository": entry.stores[0].name if entry else "",
        "backup_problem": problem,
        "passed_over": passed,
        "repository_problems": unreadable,
    }
