# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One drill: choose, load, judge, measure, record; and tell."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from .._errors import NotFoundError, RedisBackupError, RepositoryError
from .._files import locked_dir
from .._repository.catalog import list_backups
from .._repository.choose import choose as choose_entry
from .._repository.choose import newest_before, passed_over
from .._repository.drills import list_drills, write_drill
from .._repository.entry import Entry
from .._repository.identity import require_name, stored_identity
from .._repository.store import Store
from .._repository.suspects import require_ratio, suspects
from .._times import now, to_iso
from .._verify.host import require_place
from .age import Histories, age, histories
from .choose import AUTO, EXPORT, LABEL, MOMENT, NEWEST, Choice, Material, choose, next_store
from .latency import watched
from .limits import step_back
from .load import load
from .request import DrillRequest, Result
from .worth import why_foreign, why_worthless

_UNTOUCHED = "The live server and the backups were not touched"
_PAUSE = 0.2


@dataclass
class Outcome:
    """What came of it: `drill` is the record, None in check mode."""

    changed: bool
    actions: list[str] = field(default_factory=list)
    drill: dict[str, Any] | None = None


@dataclass
class _Known:
    """What the repositories tell of an instance before anything is loaded."""

    entries: list[Entry]
    doubtful: dict[str, str]
    drilled: list[dict[str, Any]]
    histories: Histories
    stores: list[Store]
    problems: list[str]


def drill(request: DrillRequest, *, check_mode: bool = False) -> Outcome:
    """Carry out a drill. Raises RedisBackupError when it fails, after it was recorded; its details hold the record."""
    require_name(request.instance)
    require_ratio(request.shrink_ratio)
    require_place(request.bounds.parent)
    if check_mode:
        known = _look(request)
        choice, store = _choose(request, known)
        return Outcome(True, [f"would drill {_words(request, choice)} from {store.where()}"])
    with contextlib.ExitStack() as stack:
        _take_turn(stack, request.bounds.parent, request.bounds.wait_timeout)
        watch = stack.enter_context(watched(request.live))
        limits = step_back(request.limits)
        known = _look(request)
        begun = now()
        try:
            choice, store = _choose(request, known)
        except NotFoundError as error:
            if not known.entries:
                raise
            choice, store, result = _none(request), known.stores[0], Result(trouble=error.paragraph())
        else:
            watch.begin()
            result = load(request, store, choice)
    document = _judged(request, known, choice, store, result)
    document.update(time=to_iso(begun), limits=limits, latency=watch.found)
    return _recorded(request, store, choice, result, document)


def _take_turn(stack: contextlib.ExitStack, place: str, patience: float) -> None:
    """Hold the working directory: one drill at a time on a host. Raises RedisBackupError when another one goes on."""
    busy = RedisBackupError(
        f"another drill has held {place} for {patience:g} s",
        untouched="Nothing was changed",
        hint="Drills take turns on a host: run this one when that one has ended, or raise wait_timeout",
    )
    deadline = time.monotonic() + patience
    while True:
        try:
            stack.enter_context(locked_dir(place, busy=busy))
            return
        except RedisBackupError:
            if time.monotonic() > deadline:
                raise
        time.sleep(_PAUSE)


def _look(request: DrillRequest) -> _Known:
    errors: dict[str, RepositoryError] = {}
    entries = list_backups(request.stores, request.instance, None, errors)
    drilled = list_drills(request.stores, request.instance, errors)
    if len(errors) == len(request.stores):
        raise next(iter(errors.values()))
    stores = [store for store in request.stores if store.name not in errors]
    found = histories(stores, request.instance, entries, request.identities)
    problems = [f"repository {name}: {error.what}" for name, error in errors.items()]
    problems += list(found.problems.values())
    return _Known(entries, suspects(entries, request.shrink_ratio), drilled, found, stores, problems)


def _choose(request: DrillRequest, known: _Known) -> tuple[Choice, Store]:
    """What is drilled, and from where. Raises NotFoundError where there is nothing of that."""
    if request.export:
        return Choice(EXPORT), known.stores[0]
    if request.label:
        where = ", ".join(store.where() for store in known.stores)
        entry = choose_entry(known.entries, request.instance, where, label=request.label, at=None)
        return Choice(LABEL, entry.label), _store_of(known, entry)
    seconds = known.histories.seconds()
    store_name = next_store(sorted(seconds), known.drilled)
    if request.second is not None:
        holding = [name for name in seconds if any(a <= request.second <= b for a, b in seconds[name])]
        chosen = next_store(sorted(holding), known.drilled) or (store_name or known.stores[0].name)
        return Choice(MOMENT, second=request.second), _named(known, chosen)
    material = _material(known.entries, known.doubtful, seconds.get(store_name, ()))
    choice = choose(material, known.drilled, request.seed, request.pick)
    if choice is None:
        raise _nothing(request, known)
    if choice.second is not None:
        return choice, _named(known, store_name)
    return choice, _store_of(known, next(entry for entry in known.entries if entry.label == choice.label))


def _material(
    entries: Sequence[Entry], doubtful: dict[str, str], seconds: tuple[tuple[int, int], ...]
) -> Material:
    """The newest usable backup, suspect or not; older ones that are not suspect; and seconds of the history."""
    newest = newest_before(entries)
    if newest is None:
        return Material(seconds=seconds)
    older = [e.label for e in entries if e.usable and e.order < newest.order and e.label not in doubtful]
    return Material(newest.label, tuple(older), seconds)


def _nothing(request: DrillRequest, known: _Known) -> NotFoundError:
    broken = "; ".join(f"{e.label}: {problem}" for e in known.entries for problem in e.problems.values())
    what = {AUTO: "no usable backup", MOMENT: "no archive and no backup with seconds"}.get(request.pick, "no backup")
    where = ", ".join(store.where() for store in known.stores)
    told = [*([f"Not usable: {broken}"] if broken else []), *known.problems]
    return NotFoundError(
        f"there is {what} of {request.instance} to drill ({request.pick}) in {where}",
        untouched=_UNTOUCHED,
        hint="; ".join(told) or "Make one, or name another repository or instance",
        nothing_stored=not known.entries and not known.problems,
    )


def _none(request: DrillRequest) -> Choice:
    """What a drill is recorded as that found nothing to load."""
    pick = LABEL if request.label else MOMENT if request.second is not None else request.pick
    return Choice(NEWEST if pick == AUTO else pick, request.label, request.second)


def _named(known: _Known, name: str) -> Store:
    return next(store for store in known.stores if store.name == name)


def _store_of(known: _Known, entry: Entry) -> Store:
    return _named(known, next_store(sorted(store.name for store in entry.stores), known.drilled))


def _words(request: DrillRequest, choice: Choice) -> str:
    """What is drilled, in words."""
    what = choice.label or (to_iso(choice.second) if choice.second is not None else "")
    what = what or (f"the export {request.export}" if request.export else "any backup")
    patterns = ", ".join(each.decode("utf-8", "replace") for each in request.patterns)
    return f"{patterns + ' of ' if patterns else ''}{what} of {request.instance} ({choice.pick})"


def _judged(
    request: DrillRequest, known: _Known, choice: Choice, store: Store, result: Result
) -> dict[str, Any]:
    """The record, but for when and how it was made."""
    entry = next((each for each in known.entries if choice.label and each.label == choice.label), None)
    problems = list(result.problems)
    if result.trouble:
        problems.append(result.trouble)
    if entry is not None and entry.manifest is not None:
        result.moment, result.size = entry.manifest.snapshot_time, entry.manifest.size
        try:
            problems += why_worthless(entry, known.doubtful, stored_identity(store, request.instance))
        except RepositoryError as error:
            problems.append(error.what)
    acknowledged = [each.label for each in known.entries if each.acknowledged]
    problems += [why for why in [why_foreign(result.forms, choice.label, known.drilled, acknowledged)] if why]
    if result.unmet:
        problems.append(f"it is not what was expected: {'; '.join(result.unmet)}")
    problems += known.problems
    present = now()
    found = age(known.entries, known.doubtful, known.histories, present)
    ok = not problems
    rto = round(result.served, 3)
    newer = passed_over(known.entries, entry, None) if entry is not None and choice.pick != "older" else []
    return {
        "instance": request.instance,
        "pick": choice.pick,
        "label": choice.label or (result.label if choice.pick == EXPORT else None),
        "moment": to_iso(result.moment) if result.moment else None,
        "export": request.export or None,
        "patterns": [each.decode("utf-8", "backslashreplace") for each in request.patterns],
        "repository": store.name,
        "seed": request.seed,
        "ok": ok,
        "reason": problems[0] if problems else None,
        "problems": problems,
        "passed_over": newer,
        "rto_seconds": rto if ok else None,
        "rto_target_seconds": request.rto_target,
        "rpo_target_seconds": request.rpo_target,
        "target_met": _met(request, ok, rto, found["rpo_seconds"]),
        "seconds": {name: round(value, 3) for name, value in result.seconds.items()},
        "age_seconds": round(max(present - result.moment, 0.0), 3) if result.moment else None,
        **found,
        "keys": result.keys,
        "size": result.size,
        "digest": result.digest,
        "server": dict(result.server) if result.server else None,
        "checks": result.checks,
        "forms": result.forms,
        "verified": result.verified,
        "host": socket.gethostname(),
    }


def _met(request: DrillRequest, ok: bool, rto: float, rpo: float | None) -> bool | None:
    """Whether the targets were met; None where there are none."""
    targets = [(rto, request.rto_target), (rpo, request.rpo_target)]
    asked = [(found, target) for found, target in targets if target is not None]
    return ok and all(found is not None and found <= target for found, target in asked) if asked else None


def _recorded(
    request: DrillRequest, store: Store, choice: Choice, result: Result, document: dict[str, Any]
) -> Outcome:
    """Write the record, and tell what came of it. Raises RedisBackupError for a drill that failed."""
    words = _words(request, choice)
    unwritten = ""
    try:
        write_drill(store, request.instance, document)
    except RepositoryError as error:
        unwritten = f"The drill could not be recorded: {error.paragraph()}"
    verdict = "good" if document["ok"] else "FAILED"
    actions = [*result.told, f"drilled {words} from {store.where()}: {verdict}"]
    # How keys look is for the next drill.
    told = {name: value for name, value in document.items() if name != "forms"}
    if document["ok"] and not unwritten:
        return Outcome(True, actions, told)
    reason = str(document["reason"] or unwritten)
    raise RedisBackupError(
        f"the drill of {words} failed: {reason}",
        untouched=_UNTOUCHED,
        hint=unwritten if document["reason"] else "",
        changed=not unwritten,
        actions=actions,
        drill=told,
    )
