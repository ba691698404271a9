# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Verify backups: choose them, look at each as far as the level says, record each verdict, then tell."""

from __future__ import annotations

import time
from typing import Any

from .._errors import DamagedError, RedisBackupError, RepositoryError
from .._repository.catalog import check_sums, read_entry
from .._repository.identity import require_name
from .._repository.layout import backups_path, exports_path, is_export_label
from .._repository.manifest import DATA_KINDS, KEYS, Manifest, StoredFile
from .._repository.store import Store
from .._times import now, to_iso
from .choose import LATEST, Copy, choose, copies_in, level_for
from .content import (
    check_aof,
    check_keys,
    check_opened,
    check_rdb,
    check_server_files,
    require_identities,
    require_loadable,
)
from .record import write_record
from .request import Finding, Host, Outcome, VerifyRequest
from .restore import load_data
from .stored import check_bytes


def verify(request: VerifyRequest, *, check_mode: bool = False) -> Outcome:
    """Verify the chosen backups in every repository, one after the other.

    Raises RedisBackupError when any of them is not proven good, after all were tried and recorded; its details hold
    what the module returns.
    """
    require_name(request.instance)
    outcome = Outcome(False)
    held: dict[str, list[Copy]] = {}
    for store in request.stores:
        try:
            held[store.name] = _copies(store, request.instance)
        except RepositoryError as error:
            outcome.results.append(_result(store, None, request.level, Finding(trouble=error.paragraph()), 0.0))
    wanted = _wanted(request, held)
    missing = _missing(request, held, wanted)
    backups = [label for labels in wanted.values() for label in labels if not is_export_label(label)]
    if not check_mode and request.level != "stored" and backups:
        request.host()  # a program that is missing is told before anything is read
    for store in request.stores:
        for label in wanted.get(store.name, ()):
            what = f"{label} of {request.instance} in {store.where()}"
            if check_mode:
                outcome.changed = True
                outcome.actions.append(f"would verify {what} ({level_for(label, request.level)})")
            else:
                _verify_one(request, store, label, outcome)
    if missing:
        outcome.results.append(_result(None, None, request.level, Finding(trouble=missing), 0.0))
    _raise_unproven(request, outcome)
    return outcome


def _copies(store: Store, instance: str) -> list[Copy]:
    store.names("")  # a repository that is not there is an error, not an empty one
    found: list[Copy] = []
    for root in (backups_path(instance), exports_path(instance)):
        found += copies_in(file.path[len(root) + 1 :] for file in store.files(root))
    return found


def _wanted(request: VerifyRequest, held: dict[str, list[Copy]]) -> dict[str, list[str]]:
    moment = to_iso(now()).replace("-", "").replace(":", "").rstrip("Z")
    return {name: choose(copies, request.wish, request.level, moment) for name, copies in held.items()}


def _missing(request: VerifyRequest, held: dict[str, list[Copy]], wanted: dict[str, list[str]]) -> str:
    """What was asked for and is in none of the repositories that answered; empty when all is somewhere."""
    if not held:
        return ""
    named = [label for label in request.wish.labels if label != LATEST]
    where = ", ".join(store.where() for store in request.stores if store.name in held)
    there = sorted({copy.label for copies in held.values() for copy in copies})
    if not there or (not any(wanted.values()) and not named):
        return f"no backup of {request.instance} is in {where}."
    if request.wish.count is not None or request.wish.share is not None:
        return ""
    chosen = {label for labels in wanted.values() for label in labels}
    lacking = [label for label in named if label not in chosen]
    if not lacking:
        return ""
    return f"no backup {', '.join(lacking)} of {request.instance} is in {where}. The newest there is {there[-1]}."


def _verify_one(request: VerifyRequest, store: Store, label: str, outcome: Outcome) -> None:
    begun = time.monotonic()
    level = level_for(label, request.level)
    finding = look(request, store, label)
    duration = round(time.monotonic() - begun, 3)
    result = _result(store, label, level, finding, duration)
    if finding.decided:
        try:
            write_record(store, request.instance, label, finding, level, duration)
        except RepositoryError as error:
            result["problems"].append(f"no record of this was written: {error.paragraph()}")
        else:
            outcome.changed = result["recorded"] = True
            words = "good" if finding.ok else "NOT good"
            what = f"{label} of {request.instance} in {store.where()}"
            outcome.actions.append(f"verified {what} ({level}): {words}")
    outcome.results.append(result)


def look(request: VerifyRequest, store: Store, label: str) -> Finding:
    """What can be said of one copy. Nothing is written beside it."""
    finding = Finding()
    try:
        manifest = _read(request, store, label, finding)
        if manifest is None:
            return finding
        finding.stored_size = sum(file.stored_size for file in manifest.files)
        host = _prepare(request, manifest, finding) if request.level != "stored" else None
        for file in manifest.files:
            try:
                _look_at(request, host, store, manifest, file, finding)
            except DamagedError as error:
                finding.problems.append(error.what)
    except RedisBackupError as error:
        finding.trouble = error.paragraph()
    except OSError as error:
        place = error.filename or store.where()
        finding.trouble = f"{place}: {error.strerror or error}."
    return finding


def _read(request: VerifyRequest, store: Store, label: str, finding: Finding) -> Manifest | None:
    """The manifest, held against listing and sums. What is wrong with them is noted."""
    try:
        manifest = read_entry(store, request.instance, label)
    except DamagedError as error:
        finding.problems.append(error.what)
        return None
    try:
        check_sums(store, manifest)
    except DamagedError as error:
        finding.problems.append(error.what)
    return manifest


def _prepare(request: VerifyRequest, manifest: Manifest, finding: Finding) -> Host | None:
    """All that this host must have, asked before a byte is fetched. An export needs no server's program."""
    host = None
    if not is_export_label(manifest.label):
        host = request.host()
        finding.server = require_loadable(manifest, host.program)
    require_identities(manifest, request.identities)
    return host


def _look_at(
    request: VerifyRequest, host: Host | None, store: Store, manifest: Manifest, file: StoredFile, finding: Finding
) -> None:
    if request.level == "stored":
        check_bytes(store, manifest, file)
    elif file.kind == KEYS and is_export_label(manifest.label):
        finding.keys = check_keys(store, manifest, file, request.identities)
    elif host is None:
        check_opened(store, manifest, file, request.identities)
    elif file.kind == "server":
        check_server_files(store, manifest, file, request.identities)
    elif file.kind not in DATA_KINDS:
        check_opened(store, manifest, file, request.identities)
    elif request.level == "restore":
        load_data(request, host, store, manifest, file, finding)
    elif file.kind == "aof":
        check_aof(store, manifest, file, host.program, request.identities)
    else:
        finding.keys = check_rdb(store, manifest, file, host.program, request.identities)


def _result(
    store: Store | None, label: str | None, level: str, finding: Finding, duration_s: float
) -> dict[str, Any]:
    return {
        "label": label,
        "repository": store.name if store else None,
        "level": level,
        "ok": finding.ok,
        "problems": [*finding.problems, *([finding.trouble] if finding.trouble else [])],
        "recorded": False,
        "keys": finding.keys,
        "functions": finding.functions,
        "digest": finding.digest,
        "stored_size": finding.stored_size,
        "duration_s": duration_s,
    }


def _raise_unproven(request: VerifyRequest, outcome: Outcome) -> None:
    unproven = [each for each in outcome.results if each["problems"]]
    if not unproven:
        return
    said = []
    for each in unproven:
        where = f"{each['label']} in {each['repository']}: " if each["label"] else ""
        said.append(where + " ".join(_sentence(problem) for problem in each["problems"]))
    good = len(outcome.results) - len(unproven)
    raise RedisBackupError(
        f"not every backup of {request.instance} is proven good ({request.level}). {' '.join(said)}",
        untouched=f"{good} others are good; the backups and the server are as they were" if good else
        "The backups and the server are as they were",
        changed=outcome.changed,
        actions=outcome.actions,
        results=outcome.results,
    )


def _sentence(text: str) -> str:
    return text if text.endswith((".", "!", "?")) else f"{text}."
