# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The ways to bring data back in a drill, each by the library that a recovery uses: a backup, a moment, some keys."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

from .._errors import DamagedError, RedisBackupError, RepositoryError
from .._keys.backup_source import backup_source
from .._keys.from_backup import FromBackup, opened
from .._keys.from_repository import find_export, import_export
from .._keys.importing import ImportRequest, import_keys
from .._keys.plan import Rules
from .._keys.receiver import find_receiver
from .._recovery.checks import run_checks
from .._repository.store import Store
from .._restore.point_plan import Point
from .._restore.request import Selection
from .._server.connection import parse_info
from .._server.facts import Facts
from .._server.memory import available_memory
from .._verify.loaded import Loaded, conf_lines, loaded, own_place
from .._verify.record import write_record
from .._verify.request import VerifyRequest
from .._verify.verify import look
from .choose import EXPORT, Choice
from .forms import forms_of, sample
from .request import DrillRequest, Result

_LEVEL = "restore"


def load(request: DrillRequest, store: Store, choice: Choice) -> Result:
    """Bring back what was chosen, and ask it all that is asked for. What goes wrong is in the result."""
    result = Result(label=choice.label)
    if not (request.patterns or choice.pick == EXPORT or choice.second is not None):
        _whole(request, store, choice.label, result)
        return result
    begun = time.monotonic()
    try:
        if choice.pick == EXPORT:
            _export(request, store, result)
        elif request.patterns:
            _keys(request, store, choice, result)
        else:
            _moment(request, store, choice, result)
    except DamagedError as error:
        result.problems.append(error.what)
    except RedisBackupError as error:
        result.trouble = error.paragraph()
    except OSError as error:
        result.trouble = f"{error.filename or store.where()}: {error.strerror or error}."
    if not result.served:
        result.served = time.monotonic() - begun
    return result


def _whole(request: DrillRequest, store: Store, label: str, result: Result) -> None:
    """A whole backup, verified as the level restore does it, with a record of that."""
    aside: list[float] = []

    def inspect(found: Loaded) -> None:
        _check(request, found, result)
        begun = time.monotonic()
        _look_at_keys(request, found, result)
        aside.append(time.monotonic() - begun)

    bounds = request.bounds
    wanted = VerifyRequest(
        stores=(store,),
        instance=request.instance,
        level=_LEVEL,
        host=request.host,
        identities=request.identities,
        work_dir=bounds.work_dir,
        memory_limit=bounds.memory,
        wait_timeout=bounds.wait_timeout,
        disk_limit=bounds.disk,
        inspect=inspect,
    )
    begun = time.monotonic()
    finding = look(wanted, store, label)
    taken = time.monotonic() - begun
    result.problems += finding.problems
    result.trouble = finding.trouble
    result.keys, result.digest, result.server = finding.keys, finding.digest, finding.server
    result.seconds = dict(finding.seconds)
    result.served = max(taken - finding.seconds.get("digest", 0.0) - sum(aside), 0.0)
    known = sum(finding.seconds.get(name, 0.0) for name in ("fetch", "load"))
    result.seconds["checks"] = max(result.served - known, 0.0)
    if finding.decided:
        try:
            write_record(store, request.instance, label, finding, _LEVEL, round(taken, 3), {"drill": True})
            result.verified = finding.ok
        except RepositoryError as error:
            result.problems.append(f"no record of its verification was written: {error.paragraph()}")


def _moment(request: DrillRequest, store: Store, choice: Choice, result: Result) -> None:
    begun = time.monotonic()
    with opened(_wanted(request, store, choice)) as found:
        ready = time.monotonic()
        result.told += found.told
        result.label, result.moment = found.label, found.moment
        result.keys = found.facts.keys
        result.server = {"flavour": found.facts.flavour, "version": found.facts.version_text}
        with found.loaded.telling():
            _check(request, found.loaded, result)
            result.served = time.monotonic() - begun
            _look_at_keys(request, found.loaded, result)
    result.seconds = {"fetch_and_load": ready - begun, "checks": result.served - (ready - begun)}


def _keys(request: DrillRequest, store: Store, choice: Choice, result: Result) -> None:
    """Some keys out of a backup or a moment, written into an empty server by the library of imports."""
    begun = time.monotonic()
    with _empty(request) as target:
        receiver = find_receiver(target.server.login)
        receiver.close()
        wanted = _wanted(request, store, choice)
        with backup_source(wanted, Rules(), request.patterns, receiver.target) as source:
            done = import_keys(source, _import_request(request, target))
            result.told += [*source.told, *done.actions, *done.warnings]
            result.moment = source.exported_at
            result.label = choice.label or str(source.origin["label"])
        _finish(request, target, result, begun)


def _export(request: DrillRequest, store: Store, result: Result) -> None:
    """The newest stored export of keys of a name: nothing of the rest is loaded."""
    begun = time.monotonic()
    export = find_export(store, request.instance, name=request.export, identities=request.identities)
    result.label, result.moment, result.size = export.manifest.label, export.exported_at, export.manifest.size
    with _empty(request) as target:
        done, _origin = import_export(export, _import_request(request, target))
        result.told += [*done.actions, *done.warnings]
        _finish(request, target, result, begun)


def _import_request(request: DrillRequest, target: Loaded) -> ImportRequest:
    return ImportRequest(target.server.login, target.place.path, patterns=request.patterns)


def _finish(request: DrillRequest, target: Loaded, result: Result, begun: float) -> None:
    ready = time.monotonic()
    _check(request, target, result)
    result.keys = Facts(parse_info(target.server.call("INFO"))).keys
    result.server = {"flavour": target.facts.flavour, "version": target.facts.version_text}
    result.served = time.monotonic() - begun
    result.seconds = {"fetch_and_load": ready - begun, "checks": time.monotonic() - ready}


@contextlib.contextmanager
def _empty(request: DrillRequest) -> Iterator[Loaded]:
    """A throw-away server without data."""
    host = request.host()
    title = (f"keys {' '.join(each.decode('utf-8', 'replace') for each in request.patterns)}".strip(), request.instance)
    with own_place(host, request.bounds, 0) as place:
        lines = conf_lines(place, {})
        with loaded(host, place, lines, request.bounds, available_memory(), title) as target, target.telling():
            yield target


def _wanted(request: DrillRequest, store: Store, choice: Choice) -> FromBackup:
    point = Point(choice.second) if choice.second is not None else None
    selection = Selection(store, request.instance, label=choice.label or None, point=point)
    return FromBackup(selection, request.host, request.identities, request.bounds)


def _check(request: DrillRequest, found: Loaded, result: Result) -> None:
    """What the user expects, asked of what was loaded."""
    facts = Facts(parse_info(found.server.call("INFO")))
    checks = run_checks(found.server, facts, request.expect)
    result.checks = [check.as_result() for check in checks]
    result.unmet = [f"{check.name}: found {check.found}, wanted {check.wanted}" for check in checks if not check.ok]


def _look_at_keys(request: DrillRequest, found: Loaded, result: Result) -> None:
    facts = Facts(parse_info(found.server.call("INFO")))
    result.forms = forms_of(sample(found.server, facts), request.instance)
