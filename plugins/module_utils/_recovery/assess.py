# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The assessment of one instance: what is wrong, what is left, what can be had back. Changes nothing."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from .._config.quoting import ENCODING, ERRORS
from .._config.writes import are_closed
from .._errors import RepositoryError
from .._live.remains import live_remains
from .._repository.archived import listed, whole_epochs
from .._repository.catalog import list_backups, list_exports, readable_stores
from .._repository.choose import choose, passed_over
from .._repository.entry import Entry
from .._repository.manifest import Manifest
from .._repository.store import Store
from .._repository.suspects import SHRINK_RATIO, require_ratio, suspects, why_fewer_keys
from .._repository.whereabouts import relatives_of
from .._restore.closing import writes_are_closed
from .._restore.journal import SWAPPED, Journal, Workspace
from .._server.describe import describe
from .._server.instance import Instance
from .._times import now, to_iso
from .damage import failure_time, find_damage, holds_data
from .examine import Examination, examine
from .remains import data_files, unit_exit_time
from .ways import Material, ways_out


@dataclass(frozen=True)
class Question:
    """What is asked: which backups count, and when the instance failed if that is known. Times are UTC seconds.

    `others` hold the same data: whose backup has the newest counts. With `examine` the files of a server that is
    down are read, to tell whether they would load.
    """

    stores: Sequence[Store]
    source_instance: str
    others: Sequence[str] = ()
    label: str = "latest"
    at: float | None = None
    failed_at: float | None = None
    shrink_ratio: float = SHRINK_RATIO
    state_dir: str = ""
    examine: bool = True


def _archived_to(question: Question, stores: Sequence[Store]) -> float | None:
    """When the newest object of an archive that recovery can begin in was stored; None where there is none."""
    found = []
    for store in stores:
        with contextlib.suppress(RepositoryError):
            objects = listed(store, question.source_instance)
            if any(whole_epochs(name for name, _each in objects).values()):
                found.append(max(each.modified for _name, each in objects))
    return max(found, default=None)


def _exported(question: Question, stores: Sequence[Store]) -> tuple[str, float] | None:
    """The newest usable export of keys, and when it was made."""
    entries = list_exports(stores, question.source_instance, errors={})
    known = [(e.label, e.manifest.snapshot_time) for e in entries if e.usable and e.manifest is not None]
    return max(known, key=lambda each: each[1], default=None)


def _chosen(question: Question, stores: Sequence[Store]) -> tuple[Entry | None, str, list[str]]:
    """The backup that a recovery would use, else why there is none; and the newer ones that it passes over.

    One of another name that holds far less than an older one was made when the data was lost already.
    """
    names = dict.fromkeys([question.source_instance, *question.others])
    found = [_chosen_of(name, question, stores) for name in names]
    passed = [words for _entry, _problem, newer in found for words in newer]
    usable = [(entry.manifest, entry) for entry, _problem, _newer in found if entry is not None and entry.manifest]
    best: tuple[Manifest, Entry] | None = None
    for manifest, entry in sorted(usable, key=lambda each: each[0].snapshot_time):
        why = why_fewer_keys(manifest, best[0], question.shrink_ratio) if best and question.label == "latest" else ""
        if why and not entry.acknowledged:
            passed.append(f"{entry.label} of {entry.instance}: {why}")
        else:
            best = (manifest, entry)
    if best is None:
        return None, "; ".join(dict.fromkeys(problem for _entry, problem, _newer in found if problem)), passed
    return best[1], "", passed


def _chosen_of(name: str, question: Question, stores: Sequence[Store]) -> tuple[Entry | None, str, list[str]]:
    """As `_chosen`, of the backups under one name."""
    where = ", ".join(store.where() for store in stores)
    entries = list_backups(stores, name)
    named = question.label != "latest"
    doubtful = {} if named else suspects(entries, question.shrink_ratio)
    trusted = [e for e in entries if e.label not in doubtful]
    try:
        chosen = choose(trusted, name, where, label=question.label, at=question.at)
    except RepositoryError as error:
        return None, str(error), []
    if named:
        return chosen, "", []
    return chosen, "", passed_over(entries, chosen, question.at, doubtful)


def _cut_short(instance: Instance) -> Journal | None:
    """The restore that has swapped data and was neither committed nor rolled back."""
    directory = instance.paths.dir
    if not directory or not os.path.isdir(directory) or not os.access(directory, os.R_OK | os.X_OK):
        return None
    journal = Workspace(directory).current()
    return journal if journal is not None and journal.state in SWAPPED else None


def _took_writes(instance: Instance, journal: Journal) -> bool:
    """Whether clients may have written into what a restore put in place: then it is worth something of its own."""
    if journal.state in ("activating", "rolling_back"):
        return False
    if journal.state == "committing" or not journal.writes_closed:
        return True
    if instance.facts is not None:
        return not writes_are_closed(instance)
    try:
        with open(journal.config_file, encoding=ENCODING, errors=ERRORS) as stream:
            return not are_closed(stream.read())
    except OSError:
        return True


def _relatives(manifest: Manifest | None) -> list[dict[str, str]]:
    """Those with whom the server shared its data when the backup was made: a server that is down does not tell."""
    if manifest is None:
        return []
    return [{"address": address, "role": role, "label": manifest.label} for role, address in relatives_of(manifest)]


def assess(instance: Instance, question: Question) -> dict[str, Any]:
    """The assessment of one instance: damage, what is left, when it failed, what a recovery brings and loses."""
    require_ratio(question.shrink_ratio)
    facts = instance.facts
    stores, unreadable = readable_stores(question.stores)
    entry, problem, passed = _chosen(question, stores)
    manifest = entry.manifest if entry else None
    files = data_files(instance)
    keys = facts.keys if facts else None
    cut_short = _cut_short(instance)
    live = live_remains(instance, question.state_dir)
    unfinished = [live.says] if live else []
    if cut_short is not None:
        unfinished.append(
            f"the restore {cut_short.id} of {cut_short.label} was begun and is {cut_short.state}, not committed"
        )
    damage = find_damage(
        state=instance.state,
        why=instance.why,
        keys=keys,
        files=files,
        manifest=manifest,
        shrink_ratio=question.shrink_ratio,
        unfinished="; ".join(unfinished),
    )
    holds = holds_data(state=instance.state, keys=keys, files=files)
    if cut_short is not None and not _took_writes(instance, cut_short):
        holds = False  # what lies there came from the restore, which keeps what was there before
    when, source = failure_time(
        given=question.failed_at,
        own=question.source_instance == instance.name,
        state=instance.state,
        unit_exit=unit_exit_time(instance.place.service),
        files=files or [],
        started=now() - facts.number("uptime_in_seconds") if facts else None,
        dir_changed=os.stat(instance.paths.dir).st_mtime if os.path.isdir(instance.paths.dir) else None,
        snapshot=manifest.snapshot_time if manifest else None,
        present=now(),
    )
    looked = examine(instance) if question.examine else Examination()
    kinds = tuple(dict.fromkeys(d.kind for d in damage))
    material = Material(when, kinds, looked.findings, looked.own)
    if damage and question.examine:
        taken = (entry.label, manifest.snapshot_time) if entry is not None and manifest is not None else None
        archived, exported = _archived_to(question, stores), _exported(question, stores)
        material = replace(material, archived_to=archived, backup=taken, exported=exported)
    rpo = None
    if manifest is not None:
        rpo = max(round(when - manifest.snapshot_time, 1), 0.0)
    return {
        "healthy": not damage,
        "damage": [{"kind": d.kind, "says": d.says} for d in damage],
        "findings": [{"kind": d.kind, "says": d.says} for d in looked.findings],
        "ways": [each.as_result() for each in ways_out(material) if question.examine],
        "holds_data": holds,
        "data_files": [{"name": f.name, "size": f.size, "modified": to_iso(f.mtime)} for f in files or []],
        "failed_at": to_iso(when),
        "failed_at_source": source,
        "rpo_seconds": rpo,
        "instance": describe(instance),
        "backup": entry.as_result() if entry else None,
        "repository": entry.stores[0].name if entry else "",
        "backup_problem": problem,
        "passed_over": passed,
        "repository_problems": unreadable,
        "open_restore": cut_short.state if cut_short else "",
        "open_live": live.result() if live else None,
        "relatives": _relatives(manifest) if question.source_instance == instance.name else [],
    }
