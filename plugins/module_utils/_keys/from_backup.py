# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A backup, or a moment of the archive, loaded in a throw-away server, so that keys can be read out of it.

Every stored byte of its data is proven while it is fetched, and what was loaded is counted against its manifest, before
the first key is read. Nothing expires in that server: see `undying`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Callable, Protocol

from .._aof.manifest import AofManifest
from .._aof.packed import ENGINE, Placement, opener_in, place_set
from .._convert.holder import Holder
from .._errors import DamagedError, IncompatibleError
from .._repository.catalog import check_sums
from .._repository.manifest import DATA_KINDS, Manifest, StoredFile
from .._repository.store import Store
from .._restore.point_fetch import Target as AofPlace
from .._restore.point_guards import needed_memory
from .._restore.point_lay import (
    Work,
    candidates_for,
    companion_of,
    lay_point,
    newest_is_backup,
    no_history,
    require_sure_clock,
    sources_of,
)
from .._restore.point_sources import not_covered
from .._restore.request import Options, Selection
from .._restore.stage import find_backup
from .._server.compatibility import Made, Target, compatibility, made_of, title_of
from .._server.connection import Login, parse_info
from .._server.facts import Facts, parse_version
from .._server.memory import available_memory
from .._server.programs import program_version
from .._server.throwaway import Workplace
from .._server.versions import format_of
from .._times import to_iso
from .._verify.content import check_aof, check_rdb, require_identities
from .._verify.counts import Loaded as Counted
from .._verify.counts import count_problems
from .._verify.host import require_enough, require_memory
from .._verify.loaded import (
    AOF_DIR,
    AOF_FILE,
    DATABASES,
    Bounds,
    Loaded,
    built_in_modules,
    conf_lines,
    loaded,
    own_place,
)
from .._verify.request import Host
from .undying import HIDING, append_commands, learned, moving_script, rdb_as_aof, take_report

_UNTOUCHED = "The live data was not touched"
_ELSEWHERE = "Run it on a host with more memory: any that sees the repository and reaches the server"
_AS_COMMANDS = 6  # how much larger than an RDB the same data is as commands, at most and beside it


@dataclass(frozen=True)
class FromBackup:
    """Which backup or moment to load, by what, and within what.

    `times` tells that the expiry times of keys are needed that are past by now.
    """

    selection: Selection
    host: Callable[[], Host]
    identities: tuple[str, ...] = ()
    bounds: Bounds = field(default_factory=Bounds)
    times: bool = False


@dataclass(frozen=True)
class Opened:
    """A throw-away server that holds what was asked for. `moment` is the data's own time in UTC seconds.

    `label` names it in results, `told` is what there is to be said of the way to it.
    """

    loaded: Loaded
    facts: Facts
    label: str
    moment: float
    words: str
    told: tuple[str, ...] = ()

    @property
    def login(self) -> Login:
        return self.loaded.server.login


class _Source(Protocol):
    """What can be laid below a directory, as the AOF that a server of the host's program loads."""

    title: tuple[str, str]
    label: str
    size: int
    databases: int
    told: list[str]

    def require(self, host: Host, bounds: Bounds, available: int | None) -> None:
        """Raise RedisBackupError when it cannot be loaded here. Nothing has been fetched yet."""

    def lay(self, root: str, host: Host) -> None:
        """Fetch it, all of it proven."""

    def prove(self, facts: Facts, words: str) -> None:
        """Hold what was loaded against what is known of it. Raises DamagedError."""

    def moment(self) -> float:
        """Its own time, known when it has been laid."""


@contextlib.contextmanager
def opened(wanted: FromBackup) -> Iterator[Opened]:
    """A throw-away server that holds the backup or the moment, for as long as it is read.

    Raises RedisBackupError; then nothing was read.
    """
    source = _source(wanted)
    host = wanted.host()
    available = available_memory()
    source.require(host, wanted.bounds, available)
    opening = _Opening(wanted, source, host, available)
    with opening.scripted() as found:
        if not found[1] or not wanted.times:
            yield opening.opened(found[0])
            return
    with opening.taught() as again:
        yield opening.opened(again)


@dataclass(frozen=True)
class _Opening:
    """One source on one host, and the ways to load it."""

    wanted: FromBackup
    source: _Source
    host: Host
    available: int | None

    @property
    def version(self) -> tuple[int, ...]:
        return program_version(self.host.program)[1]

    @contextlib.contextmanager
    def scripted(self) -> Iterator[tuple[Loaded, int]]:
        """Loaded with all times moved by a script, and how many of them it could not see."""
        report = self.source.databases
        with self._laid(self.source.size) as place:
            append_commands(place.path, self.version, [moving_script(report)])
            with self._running(place) as found:
                with found.telling():
                    unknown = take_report(found.server, report)
                yield found, unknown

    @contextlib.contextmanager
    def taught(self) -> Iterator[Loaded]:
        """Loaded with all times moved one by one, after another server has told them."""
        with self._laid(self.source.size) as place:
            room = self.source.size * _AS_COMMANDS
            with self._laid(room) as other, self._running(other, HIDING) as hiding, hiding.telling():
                holder = Holder(self.host.program, hiding.server, other, other.path)
                append_commands(place.path, self.version, learned(holder))
            with self._running(place) as found:
                yield found

    @contextlib.contextmanager
    def _laid(self, size: int) -> Iterator[Workplace]:
        with own_place(self.host, self.wanted.bounds, size) as place:
            self.source.lay(place.path, self.host)
            yield place

    @contextlib.contextmanager
    def _running(self, place: Workplace, lines: list[str] | None = None) -> Iterator[Loaded]:
        bounds = self.wanted.bounds
        # One database more than there can be keys in, for the script; which may take as long as it needs.
        known = conf_lines(place, {f"db{self.source.databases}": None}, aof=True)
        known += ["lua-time-limit 0", *(lines or [])]
        title, patience = self.source.title, bounds.wait_timeout
        with loaded(self.host, place, known, bounds, self.available, title, reply_timeout=patience) as found:
            yield found

    def opened(self, found: Loaded) -> Opened:
        """What was loaded, held against what is known of it."""
        with found.telling():
            facts = Facts(parse_info(found.server.call("INFO")))
        source = self.source
        source.prove(facts, found.words)
        moment = source.moment()
        words = f"{source.label} of {source.title[1]}"
        return Opened(found, facts, source.label, moment, words, tuple(source.told))


def _source(wanted: FromBackup) -> _Source:
    """The moment where a history of commands gives it, else a backup. Raises NotFoundError, DamagedError."""
    selection = wanted.selection
    point = selection.point
    if point is not None:
        options = Options(identities=wanted.identities)
        sources, archived = sources_of(selection.store, selection.instance, options)
        if sources.exact and not newest_is_backup(sources, point):
            if not candidates_for(sources, archived, point):
                raise not_covered(sources, point)
            return _Moment(Work(selection.store, sources, archived, point, _NOWHERE, options))
        if point.command:
            raise no_history(sources, point)
    manifest, notes = find_backup(selection)
    return _Stored(selection.store, manifest, wanted.identities, notes)


def _require_loads(what: str, made: Made, host: Host, modules: tuple[str, ...] | None = None) -> None:
    """Raise IncompatibleError when a server of the host's program would refuse the data."""
    found = compatibility(made, Target(*program_version(host.program), modules))
    if found.loads:
        return
    hint = (
        "Name a server's program of the version that made it, or newer of the same flavour, with executable: what is "
        "read out of it is written into this server all the same"
    )
    if found.convertible:
        hint += "; or restore it with convert: true into a server of its own, and export the keys from there"
    why = f"{what} cannot be loaded by {host.program}: {found.words}"
    raise IncompatibleError(why, untouched=_UNTOUCHED, hint=hint)


class _Stored:
    """A stored backup."""

    def __init__(self, store: Store, manifest: Manifest, identities: tuple[str, ...], told: list[str]) -> None:
        data = next((file for file in manifest.files if file.kind in DATA_KINDS), None)
        if data is None:
            raise DamagedError(f"{manifest.label} of {manifest.instance} has no RDB and no AOF", untouched=_UNTOUCHED)
        self._store, self._manifest, self._identities = store, manifest, identities
        self._data: StoredFile = data
        self.title = (manifest.label, manifest.instance)
        self.label = manifest.label
        self.size = data.size
        numbers = [int(name[2:]) + 1 for name in manifest.document["keys"].get("databases") or {} if name[2:].isdigit()]
        self.databases = max([DATABASES, int(manifest.aof.get("databases") or 0), *numbers])
        self.told = told

    def require(self, host: Host, bounds: Bounds, available: int | None) -> None:
        manifest = self._manifest
        modules = tuple(built_in_modules(host)) if manifest.document["server"].get("modules") else None
        _require_loads(f"{manifest.label} of {manifest.instance}", made_of(manifest.document), host, modules)
        require_identities(manifest, self._identities)
        require_memory(manifest, self._data, bounds.memory, available, _ELSEWHERE)

    def lay(self, root: str, host: Host) -> None:
        store, manifest, data = self._store, self._manifest, self._data
        check_sums(store, manifest)
        version = program_version(host.program)[1]
        if data.kind == ENGINE:

            def placing(found: AofManifest | None, member: str) -> Placement:
                return place_set(found, member, version, AOF_DIR, AOF_FILE)

            check_aof(store, manifest, data, host.program, self._identities, placing, opener_in(root))
        else:
            with rdb_as_aof(root, version) as out:
                check_rdb(store, manifest, data, host.program, self._identities, out)

    def prove(self, facts: Facts, words: str) -> None:
        counted = Counted(facts, words)
        problems = count_problems(self._manifest.document["keys"], counted)
        there = sum(database["keys"] for database in facts.keyspace.values())
        unsure = self._manifest.key_room
        if not self._manifest.keys - unsure - counted.vanished_fields <= there <= self._manifest.keys + unsure:
            problems.append(f"{there} keys are there of {self._manifest.keys}")
        if problems:
            what = f"{self._manifest.label} of {self._manifest.instance} does not hold what its manifest says"
            raise DamagedError(f"{what}: {'; '.join(problems)}", untouched=_UNTOUCHED)

    def moment(self) -> float:
        return self._manifest.snapshot_time


class _Moment:
    """A moment out of the archive, or out of a backup of the AOF."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self._candidates = candidates_for(work.sources, work.archived, work.point)
        self._companion = companion_of(work.sources, work.point)
        self._recovered = 0.0
        self.title = (work.point.words, work.sources.instance)
        self.label = ""
        self.size = self._candidates[0].size
        found = self._companion.aof.get("databases") if self._companion is not None else 0
        self.databases = max(DATABASES, int(found or 0))
        self.told: list[str] = []

    def require(self, host: Host, bounds: Bounds, available: int | None) -> None:
        work, first = self._work, self._candidates[0]
        what = f"{work.point.words} of {work.sources.instance}"
        if first.backup is not None:
            _require_loads(what, made_of(first.backup.document), host)
            require_identities(first.backup, work.options.identities)
        newest = work.archived.newest() if work.archived is not None else None
        if first.backup is None and newest is not None and newest.server.get("version"):
            flavour, version = newest.server.get("flavour", "redis"), parse_version(newest.server["version"])
            _require_loads(what, Made(flavour, version, format_of(flavour, version)), host)
        require_sure_clock(work.archived, self._candidates, work.point)
        require_enough(what, needed_memory(first, self._companion), bounds.memory, available, _ELSEWHERE)

    def lay(self, root: str, host: Host) -> None:
        flavour, version = program_version(host.program)
        target = AofPlace(root, (AOF_DIR, AOF_FILE), host.program, version, title_of(flavour, version))
        work = self._work
        laid, told = lay_point(
            Work(work.store, work.sources, work.archived, work.point, target, work.options), self._candidates
        )
        decision = laid.decision
        self._recovered = decision.recovered_to
        self.label = to_iso(decision.recovered_to)
        exact = "exactly" if not decision.precision else f"short by at most {decision.precision:g} s"
        self.told = [*told, f"read all that was executed up to {self.label}, {exact}"]

    def prove(self, facts: Facts, words: str) -> None:
        """Nothing is known of a moment beforehand: every command of it was followed while it was laid."""

    def moment(self) -> float:
        return self._recovered


_NOWHERE = AofPlace("", (AOF_DIR, AOF_FILE), "", (), "")
