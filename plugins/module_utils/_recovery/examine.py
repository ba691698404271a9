# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A server that does not serve, looked at closely: what keeps it from starting, and whether what it has would load.

Changes nothing. What it would load is read once: the AOF by our reader, an RDB by the server's own redis-check-rdb.
"""

from __future__ import annotations

import contextlib
import os
import pwd
from collections.abc import Iterator
from dataclasses import dataclass

from .._aof.check import DAMAGED, SOUND, TORN, AofReport, check_set
from .._aof.parts import open_set
from .._errors import DamagedError, ProgramError, RedisBackupError
from .._files import free_bytes
from .._server.facts import Facts
from .._server.instance import Instance
from .._server.logfile import tail
from .._server.programs import program_version, unit_properties
from .._server.versions import why_not_loadable
from .._snapshot.checker import check_file
from .._snapshot.rdb_header import HEADER_BYTES, parse_header
from .damage import Damage
from .log_causes import causes_in

_FULL = 16 * 1024 * 1024  # bytes: with less, no server saves anything


@dataclass(frozen=True)
class OwnData:
    """What a server would load from its own files. `condition` is sound, torn, damaged, too_new or missing.

    `behind` bytes cannot be loaded. `good_until` is up to when the loadable part reaches, UTC seconds, where it tells.
    """

    kind: str
    condition: str
    says: str
    size: int = 0
    behind: int = 0
    good_until: float | None = None


@dataclass(frozen=True)
class Examination:
    """What was found, in words, and what the server's own files are worth; None where they are not known."""

    findings: tuple[Damage, ...] = ()
    own: OwnData | None = None


def examine(instance: Instance) -> Examination:
    """Look closely at an instance that is down; of one that runs, whether it can still save."""
    if instance.state != "down":
        return Examination(tuple(_of_running(instance)))
    found = list(_of_host(instance))
    own = _own_data(instance)
    if own is not None and own.condition != SOUND:
        kind = {"missing": "data_missing", "too_new": "too_new"}.get(own.condition, f"{own.kind}_{own.condition}")
        found.append(Damage(kind, own.says))
    known = {each.kind for each in found}
    for cause in causes_in(tail(instance.paths.logfile)):
        if cause.kind not in known:
            found.append(Damage(cause.kind, f"by its log, {cause.says}: {cause.line}"))
    return Examination(tuple(found), own)


def _of_running(instance: Instance) -> Iterator[Damage]:
    facts = instance.facts
    if facts is None:
        return
    log = causes_in(tail(instance.paths.logfile))
    reason = f" ({log[0].line})" if log else ""
    if facts.info.get("rdb_last_bgsave_status") == "err":
        yield Damage("save_failed", f"its last background save failed{reason}")
    if facts.info.get("aof_last_write_status") == "err":
        yield Damage("aof_write_failed", f"it cannot write its AOF{reason}")
    gone = _files_gone(instance, facts)
    if gone:
        yield Damage(
            "files_gone",
            f"{gone}: all of the data is in its memory alone; do not stop it before redis_secure has saved it, "
            "with a snapshot_timeout",
        )
    yield from _disk(instance)


def _files_gone(instance: Instance, facts: Facts) -> str:
    """Which files were removed under a server on this host, in words. The paths of a container mean nothing here."""
    directory = instance.paths.dir
    try:
        where = os.readlink(f"/proc/{facts.number('process_id')}/cwd")
    except OSError:
        return ""
    if where.endswith(" (deleted)"):  # CONFIG GET dir answers with an empty text then
        return f"the directory {where[: -len(' (deleted)')]} was removed while it runs"
    if where == os.path.realpath(directory) and facts.info.get("aof_enabled") == "1" and not instance.paths.has_aof:
        return f"its AOF in {directory} was removed while it runs"
    return ""


def _disk(instance: Instance) -> Iterator[Damage]:
    directory = instance.paths.dir
    if directory and os.path.isdir(directory):
        with contextlib.suppress(OSError):
            free = free_bytes(directory)
            if free < _FULL:
                yield Damage("disk_full", f"the disk of {directory} is full: {free} bytes are free")


def _of_host(instance: Instance) -> Iterator[Damage]:
    """What the server needs beside its data."""
    try:
        instance.program()
    except ProgramError:
        yield Damage("bare", "the host has no server program: it is bare, or the package was removed")
    paths = instance.paths
    if paths.config_file and not os.path.exists(paths.config_file):
        yield Damage("config", f"{paths.config_file} is gone")
    if paths.aclfile and not os.path.exists(paths.aclfile):
        yield Damage("acl", f"{paths.aclfile}, the file of its users, is gone")
    yield from _disk(instance)
    wrong = _not_its_own(instance)
    if wrong:
        yield Damage("permission", wrong)


def _not_its_own(instance: Instance) -> str:
    """What the user of its unit may not read, in words."""
    user = unit_properties(instance.place.service, "User").get("User", "") if instance.place.service else ""
    directory = instance.paths.dir
    if not user or not directory or not os.path.isdir(directory):
        return ""
    try:
        known = pwd.getpwnam(user)
    except KeyError:
        return f"its unit runs it as {user}, who is no user of this host"
    if known.pw_uid == 0:
        return ""
    names = [directory, *(os.path.join(directory, name) for name in instance.paths.data_names())]
    for path in names:
        with contextlib.suppress(OSError):
            here = os.stat(path)
            mode = here.st_mode
            allowed = (
                mode & 0o600 == 0o600
                if here.st_uid == known.pw_uid
                else mode & 0o060 == 0o060
                if here.st_gid == known.pw_gid
                else mode & 0o006 == 0o006
            )
            if not allowed:
                shown = f"{path} has the mode {mode & 0o7777:o} and the owner {here.st_uid}"
                return f"{shown}: {user}, who runs the server, may not use it"
    return ""


def _own_data(instance: Instance) -> OwnData | None:
    """What the server would load, as it stands; None where nothing tells where that lies, or what may read it."""
    paths = instance.paths
    if not paths.dir or not os.path.isdir(paths.dir) or not os.access(paths.dir, os.R_OK | os.X_OK):
        return None
    try:
        program = instance.program()
        flavour, version = program_version(program)
    except ProgramError:
        return None
    modern = version >= (7, 0)
    try:
        if paths.appendonly == "yes":
            path = next(
                (each for each in ([paths.manifest] if modern else []) + [paths.aof_file] if os.path.exists(each)), ""
            )
            if path:
                return _aof(path, program, flavour, version)
            dump = os.path.exists(paths.dump)
            kept = f"; {paths.dump} is there, and with appendonly yes it is not read" if dump and modern else ""
            return OwnData("aof", "missing", f"there is no AOF, so it would start without any data{kept}")
        if os.path.exists(paths.dump):
            return _rdb(paths.dump, program, flavour, version)
    except (OSError, RedisBackupError) as error:
        words = error.what if isinstance(error, RedisBackupError) else str(error)
        return OwnData("aof" if paths.appendonly == "yes" else "rdb", DAMAGED, words)
    return None


def _aof(path: str, program: str, flavour: str, version: tuple[int, ...]) -> OwnData:
    aof_set = open_set(path)
    for part in aof_set.parts:
        refused = _refused(part.path, flavour, version)
        if refused:
            return OwnData("aof", "too_new", f"{part.path}: {refused}", os.path.getsize(part.path))
    report = check_set(aof_set, program, annotations=version >= (7, 0))
    return aof_verdict(report, path)


def aof_verdict(report: AofReport, path: str) -> OwnData:
    """The verdict on an AOF, with what a repair would lose. Pure."""
    size = sum(file.size for file in report.files)
    until = float(report.last_stamp) if report.last_stamp is not None else None
    if report.condition == SOUND:
        return OwnData("aof", SOUND, f"the AOF is whole: {report.why()}", size, good_until=until)
    words = "torn at its end" if report.condition == TORN else "damaged"
    stamps = [file.last_stamp for file in report.files if file.last_stamp is not None and file not in report.later]
    return OwnData(
        "aof",
        report.condition,
        f"the AOF {path} is {words}: {report.why()}; {report.truncated_bytes} of {size} bytes cannot be loaded",
        size,
        report.truncated_bytes,
        float(stamps[-1]) if stamps else None,
    )


def _refused(path: str, flavour: str, version: tuple[int, ...]) -> str:
    """Why the server would refuse an RDB by its format alone; empty where it would not, or where it is none."""
    if not os.path.isfile(path):
        return ""
    with contextlib.suppress(OSError, DamagedError):
        with open(path, "rb") as stream:
            header = parse_header(stream.read(HEADER_BYTES), path)
        words = why_not_loadable(header.format, flavour, version)
        if words:
            maker = " ".join(header.writer).strip()
            return f"{words}; {maker} wrote it"
    return ""


def _rdb(path: str, program: str, flavour: str, version: tuple[int, ...]) -> OwnData:
    if not os.path.isfile(path):
        return OwnData("rdb", DAMAGED, f"{path} is no file")
    with open(path, "rb") as stream:
        size = os.fstat(stream.fileno()).st_size
        head = stream.read(HEADER_BYTES)
        stream.seek(0)
        if not size:
            return OwnData("rdb", DAMAGED, f"{path} is empty")
        try:
            header = parse_header(head, path)
        except DamagedError as error:
            return OwnData("rdb", DAMAGED, error.what, size, size)
        refused = _refused(path, flavour, version)
        if refused:
            return OwnData("rdb", "too_new", f"{path}: {refused}", size)
        report = check_file(program, stream.fileno())
    if not report.ok:
        return OwnData("rdb", DAMAGED, f"{path} is damaged: {report.words}", size, size)
    return OwnData("rdb", SOUND, f"{path} is whole: {report.keys} keys", size, good_until=float(header.ctime) or None)
