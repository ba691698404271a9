# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A snapshot for its own sake: the server's dump file made anew, or an RDB in a file of the user's choice."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from .._errors import DamagedError, SnapshotError
from .._files import PRIVATE_FILE, fsync_dir
from .._server.capabilities import why_no_stream
from .._server.instance import Instance
from .._times import now, to_iso
from .bgsave import DiskSave, DumpPlace
from .checker import RdbChecker, check_file
from .proof import CheckReport, why_unproven
from .rdb_header import HEADER_BYTES, RdbHeader, parse_header
from .source import FileSource, SnapshotOrigin
from .stream import StreamSource


@dataclass(frozen=True)
class SnapshotRequest:
    """What is wanted. `dest` is an absolute path; without it the server's own dump file is made. Times are seconds."""

    method: str = "auto"
    dest: str | None = None
    max_age: float | None = None
    wait_timeout: float = 3600.0


def choose_method(wanted: str, *, dest: str | None, no_stream: str | None) -> str:
    """The method for `auto`: a stream where a file is wanted and the server can stream, else BGSAVE. Pure."""
    if wanted != "auto":
        return wanted
    return "replication" if dest and no_stream is None else "bgsave"


def take_snapshot(
    instance: Instance, request: SnapshotRequest, *, check_mode: bool = False
) -> tuple[bool, list[str], dict[str, Any] | None]:
    """Take a snapshot and prove it: (changed, actions, snapshot). Raises RedisBackupError and then leaves no file."""
    facts = instance.require_running()
    no_stream = why_no_stream(facts, instance.config.get("repl-diskless-sync"))
    method = choose_method(request.method, dest=request.dest, no_stream=no_stream)
    if method == "replication" and no_stream:
        raise SnapshotError(f"{instance.title} cannot stream: {no_stream}", untouched="Nothing was changed")
    if request.dest and not os.path.isdir(os.path.dirname(request.dest)):
        raise SnapshotError(f"the folder of {request.dest} does not exist", untouched="Nothing was changed")
    young = _young_enough(instance, request)
    if young is not None:
        return False, [], young
    target = request.dest or instance.paths.dump
    if check_mode:
        return True, [f"would take a snapshot of {instance.title} into {target} by {method}"], None
    begun, started = time.monotonic(), now()
    if method == "replication" and request.dest:
        origin, report, header, size = _stream_to(instance, request.dest, request.wait_timeout)
    else:
        origin, report, header, size = _save(instance, request, foreground=method == "save")
    result = _result(target, size, report, header, origin)
    result.update(started=to_iso(started), finished=to_iso(now()), duration_s=round(time.monotonic() - begun, 3))
    return True, [f"took a snapshot of {instance.title} into {target} by {origin.method}"], result


def snapshot_line(instance: Instance, request: SnapshotRequest) -> str:
    """The snapshot that is there now, in a line: one side of a diff."""
    path = request.dest or instance.paths.dump
    try:
        with open(path, "rb") as stream:
            header = parse_header(stream.read(HEADER_BYTES), path)
            return f"{path}: {os.fstat(stream.fileno()).st_size} bytes, made {to_iso(header.ctime)}\n"
    except (OSError, DamagedError):
        return f"{path}: no snapshot\n"


def _young_enough(instance: Instance, request: SnapshotRequest) -> dict[str, Any] | None:
    """The file that makes a new snapshot needless: whole, and no older than max_age."""
    path = request.dest or instance.paths.dump
    if request.max_age is None or not path:
        return None
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        header = parse_header(os.pread(fd, HEADER_BYTES, 0), path)
        if now() - header.ctime > request.max_age:
            return None
        report = check_file(instance.program(), fd)
        size = os.fstat(fd).st_size
    except DamagedError:
        return None
    finally:
        os.close(fd)
    if not report.ok:
        return None
    made = to_iso(header.ctime)
    origin = SnapshotOrigin("none", header.ctime, None)
    return {**_result(path, size, report, header, origin), "started": made, "finished": made, "duration_s": 0.0}


def _result(path: str, size: int, report: CheckReport, header: RdbHeader, origin: SnapshotOrigin) -> dict[str, Any]:
    offset = header.aux.get("repl-offset", "")
    return {
        "path": path,
        "size": size,
        "method": origin.method,
        "rdb_version": header.format.version,
        "server_version": header.writer[1],
        "snapshot_time": to_iso(header.ctime),
        "keys": report.keys,
        "expires": report.expires,
        "replid": origin.replid or header.aux.get("repl-id", ""),
        "repl_offset": origin.repl_offset if origin.repl_offset >= 0 else int(offset) if offset.isdecimal() else -1,
    }


def _prove(report: CheckReport, header: RdbHeader, size: int, origin: SnapshotOrigin, what: str) -> None:
    why = why_unproven(
        report=report, size=size, ctime=header.ctime, asked_at=origin.asked_at, window=origin.window
    )
    if why:
        raise SnapshotError(
            f"the snapshot {what} is not good: {why}", hint="Run again; if it stays so, look at memory and disk"
        )


def _save(
    instance: Instance, request: SnapshotRequest, *, foreground: bool
) -> tuple[SnapshotOrigin, CheckReport, RdbHeader, int]:
    if not instance.paths.dir or not os.path.isdir(instance.paths.dir):
        raise SnapshotError(
            f"the data directory of {instance.title} is not on this host, or not known",
            untouched="Nothing was changed",
            hint="Run on the server's host, give data_dir, or use method: replication with dest",
        )
    place = DumpPlace(instance.paths.dump, instance.paths.logfile)
    save = DiskSave(instance.server, place, wait_timeout=request.wait_timeout, foreground=foreground)
    with contextlib.closing(save.wait()) as source:
        report = check_file(instance.program(), source.fd)
        header = parse_header(os.pread(source.fd, HEADER_BYTES, 0), source.origin.path)
        _prove(report, header, source.origin.size, source.origin, source.origin.path)
        if request.dest:
            _pin(source, request.dest)
    return source.origin, report, header, source.origin.size


def _pin(source: FileSource, dest: str) -> None:
    """Give the proven file a second name: a hard link where it can be, which costs nothing; else a copy."""
    with _beside(dest) as part:
        try:
            os.link(f"/proc/self/fd/{source.fd}", part, follow_symlinks=True)
        except OSError:
            with open(part, "xb", buffering=0, opener=_private) as out:
                for chunk in source.chunks():
                    _write_all(out.fileno(), chunk)
                os.fsync(out.fileno())


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, PRIVATE_FILE)


def _write_all(fd: int, view: memoryview) -> None:
    while view:
        view = view[os.write(fd, view) :]


@contextlib.contextmanager
def _beside(dest: str) -> Iterator[str]:
    """A name beside `dest` that becomes `dest` when the block ends well, and is removed when it does not."""
    part = os.path.join(os.path.dirname(dest), f".{os.path.basename(dest)}.part")
    with contextlib.suppress(FileNotFoundError):
        os.unlink(part)
    try:
        yield part
        os.rename(part, dest)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(part)
        raise
    fsync_dir(os.path.dirname(dest))


def _stream_to(
    instance: Instance, dest: str, wait_timeout: float
) -> tuple[SnapshotOrigin, CheckReport, RdbHeader, int]:
    with _beside(dest) as part, RdbChecker(instance.program()) as checker:
        size, head = 0, b""
        with open(part, "xb", buffering=0, opener=_private) as out:
            with StreamSource(instance.server, wait_timeout) as source:
                for chunk in source.chunks():
                    if len(head) < HEADER_BYTES:
                        head += bytes(chunk[:HEADER_BYTES])
                    checker.write(chunk)
                    _write_all(out.fileno(), chunk)
                    size += len(chunk)
                    if checker.broken:
                        break
            os.fsync(out.fileno())
        report = checker.finish()
        header = parse_header(head, "the replication stream")
        _prove(report, header, size, source.origin, dest)
        return source.origin, report, header, size
