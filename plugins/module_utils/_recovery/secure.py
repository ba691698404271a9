# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is left of an instance, saved aside before anything touches it: its files, the end of its log, and a last
snapshot where it still answers.

It goes into `<data_dir>/.redis_secured/<time>`, on the file system of the data, where an RDB costs nothing: a server
never writes into one that is there, so a hard link keeps it. An AOF is written into, cut and repaired in place, and is
copied where there is room. A folder has its name only when it is whole, and nothing in it is ever removed by us.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from .._backup.server_files import wanted_files
from .._errors import RedisBackupError, RestoreError
from .._files import (
    PRIVATE_DIR,
    PRIVATE_FILE,
    free_bytes,
    fsync_dir,
    locked,
    make_dirs,
    read_json,
    remove_tree,
    write_json,
)
from .._restore.data_dir import data_entries
from .._restore.journal import Workspace, new_id
from .._server.instance import Instance
from .._snapshot.take import SnapshotRequest, take_snapshot
from .._times import now, to_iso

FOLDER = ".redis_secured"
INDEX = "index.json"
SNAPSHOT = "last.rdb"
FORMAT = 1
_LOG_BYTES = 1024 * 1024
_MARGIN = 64 * 1024 * 1024  # what is left to the server
_CHUNK = 1024 * 1024


@dataclass(frozen=True)
class Left:
    """A file that is left: where it lies, under which name it is kept, and how."""

    path: str
    kept: str
    size: int
    mark: list[int]
    linked: bool = False


@dataclass
class Secured:
    """What was saved aside: `folder`, empty when there is nothing; what could not be, in words."""

    changed: bool = False
    folder: str = ""
    files: list[dict[str, Any]] = field(default_factory=list)
    snapshot: dict[str, Any] | None = None
    problems: list[str] = field(default_factory=list)
    actions: list[str] = field(default_factory=list)

    def result(self) -> dict[str, Any]:
        return {
            "dir": self.folder,
            "files": self.files,
            "bytes": sum(int(each["size"]) for each in self.files if each["how"] != "linked"),
            "snapshot": self.snapshot,
            "problems": self.problems,
        }


def secure(instance: Instance, state_dir: str, snapshot_timeout: float, *, check_mode: bool = False) -> Secured:
    """Save aside what is left of an instance, unless just that was done before. Idempotent. Raises RestoreError.

    What cannot be saved is told, and keeps nothing else from being saved.
    """
    base = _base(instance, state_dir)
    left = list(_left(instance))
    signature = _signature(instance, left, snapshot_timeout)
    if not left and instance.facts is None:
        return Secured(problems=[f"nothing is left of {instance.title}, or its files are not known"])
    space = Workspace(base)
    space.root = os.path.join(base, FOLDER)
    space.lock_path = os.path.join(space.root, "lock")
    before = _newest(space)
    if before is not None and before[1]["signature"] == signature:
        known = before[1]
        return Secured(False, before[0], known["files"], known["snapshot"], known["problems"])
    if check_mode:
        return Secured(True, actions=[f"would save {len(left)} files of {instance.title} aside into {space.root}"])
    if not os.path.isdir(base):
        make_dirs(base)
    space.prepare()
    busy = RestoreError(
        f"another task saves aside what is left of {instance.title}",
        untouched="Nothing was changed by this one",
        hint="Wait until it has ended, then run again",
    )
    with locked(space.lock_path, busy=busy):
        return _make(instance, space, left, signature, snapshot_timeout)


def _make(
    instance: Instance, space: Workspace, left: list[Left], signature: list[Any], snapshot_timeout: float
) -> Secured:
    for name in os.listdir(space.root):
        if name.endswith(".part"):  # of a run that was cut short
            remove_tree(os.path.join(space.root, name))
    name = new_id()
    folder, part = os.path.join(space.root, name), os.path.join(space.root, f"{name}.part")
    os.mkdir(part, PRIVATE_DIR)
    found = Secured(True, folder)
    for each in left:
        _keep(each, part, found)
    _keep_log(instance, part, found)
    _keep_snapshot(instance, part, folder, snapshot_timeout, found)
    document = {
        "format": FORMAT,
        "instance": instance.name,
        "made": to_iso(now()),
        "state": instance.state,
        "why": instance.why,
        "info": dict(instance.facts.info) if instance.facts is not None else {},
        "signature": signature,
        "files": found.files,
        "snapshot": found.snapshot,
        "problems": found.problems,
    }
    write_json(os.path.join(part, INDEX), document)
    os.rename(part, folder)
    fsync_dir(space.root)
    found.actions.append(f"saved {len(found.files)} files of {instance.title} aside into {folder}")
    if found.snapshot is not None:
        found.actions.append(f"took a last snapshot of it, {found.snapshot['keys']} keys")
    return found


def _base(instance: Instance, state_dir: str) -> str:
    """Where it goes: beside the data; where there is no such folder, to the host's memory of its instances."""
    directory = instance.paths.dir
    if directory and os.path.isdir(directory):
        return directory
    return os.path.join(os.path.normpath(state_dir), "secured", instance.name.replace("/", "_"))


def _left(instance: Instance) -> Iterator[Left]:
    """The files of the data set, and those that the server needs beside them."""
    directory = instance.paths.dir
    if directory and os.path.isdir(directory):
        for entry in data_entries(sorted(os.listdir(directory)), instance.paths.data_names()):
            top = os.path.join(directory, entry)
            inner = [os.path.join(root, name) for root, _dirs, names in os.walk(top) for name in sorted(names)]
            for path in inner or [top]:
                yield from _file(path, os.path.join("data", os.path.relpath(path, directory)), path.endswith(".rdb"))
    for path, kind in wanted_files(instance):
        yield from _file(path, os.path.join("server", kind, path.lstrip("/")), False)


def _file(path: str, kept: str, linked: bool) -> Iterator[Left]:
    with contextlib.suppress(OSError):
        found = os.stat(path)
        if stat.S_ISREG(found.st_mode):
            mark = [found.st_ino, found.st_size, found.st_mtime_ns]
            yield Left(path, kept, found.st_size, mark, linked and not os.path.islink(path))


def _signature(instance: Instance, left: list[Left], snapshot_timeout: float) -> list[Any]:
    """What tells that nothing has changed since: the files, and how far a server has come."""
    facts = instance.facts
    known = ("run_id", "master_repl_offset", "rdb_changes_since_last_save")
    serving = [facts.info.get(name, "") for name in known] if facts is not None and snapshot_timeout else []
    return [[each.path, *each.mark] for each in left] + (
        [[*serving, facts.keys]] if facts is not None and serving else []
    )


def _newest(space: Workspace) -> tuple[str, dict[str, Any]] | None:
    """The newest folder that is whole, with its index."""
    if not os.path.isdir(space.root) or not space.exists():
        return None
    for name in sorted(os.listdir(space.root), reverse=True):
        folder = os.path.join(space.root, name)
        with contextlib.suppress(OSError, ValueError):
            document = read_json(os.path.join(folder, INDEX))
            if not name.endswith(".part") and document.get("format") == FORMAT:
                return folder, document
    return None


def _keep(left: Left, part: str, found: Secured) -> None:
    """Keep one file: by a second name where nobody writes into it, else by a copy."""
    target = os.path.join(part, left.kept)
    how = "linked"
    try:
        make_dirs(os.path.dirname(target))
        room = free_bytes(part) - _MARGIN > left.size
        if not (left.linked and _link(left.path, target)):
            if room or left.size < _CHUNK:
                how = "copied"
                _copy(left.path, target)
            elif not os.path.islink(left.path) and _link(left.path, target):
                found.problems.append(
                    f"{left.path} has {left.size} bytes, and there is no room for a copy: what changes it changes "
                    f"{left.kept} as well"
                )
            else:
                found.problems.append(f"{left.path} was not saved: there is no room for its {left.size} bytes")
                return
    except OSError as error:
        found.problems.append(f"{left.path} was not saved: {error.strerror or error}")
        with contextlib.suppress(OSError):
            os.unlink(target)
        return
    found.files.append({"path": left.path, "kept": left.kept, "size": left.size, "how": how})


def _link(source: str, target: str) -> bool:
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError:
        return False
    return True


def _copy(source: str, target: str) -> None:
    """A durable copy with the times of the original: as much as the file held when it was begun, if it grows."""
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK
    with open(os.open(source, flags), "rb") as read, open(_create(target), "wb") as out:
        here = os.fstat(read.fileno())
        left = here.st_size
        while left:
            data = read.read(min(_CHUNK, left))
            if not data:
                break
            out.write(data)
            left -= len(data)
        out.flush()
        os.fsync(out.fileno())
    os.utime(target, ns=(here.st_atime_ns, here.st_mtime_ns))


def _create(path: str) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, PRIVATE_FILE)


def _keep_log(instance: Instance, part: str, found: Secured) -> None:
    """The end of the log."""
    path = instance.paths.logfile
    if not path or not os.path.isfile(path):
        return
    target = os.path.join(part, "log.tail")
    try:
        with open(path, "rb") as read, open(_create(target), "wb") as out:
            read.seek(max(os.fstat(read.fileno()).st_size - _LOG_BYTES, 0))
            size = out.write(read.read(_LOG_BYTES))
            out.flush()
            os.fsync(out.fileno())
    except OSError as error:
        found.problems.append(f"the end of {path} was not saved: {error.strerror or error}")
        return
    found.files.append({"path": path, "kept": "log.tail", "size": size, "how": "copied"})


def _keep_snapshot(instance: Instance, part: str, folder: str, timeout: float, found: Secured) -> None:
    """A last snapshot of a server that answers, in so many seconds."""
    facts = instance.facts
    if facts is None or not timeout or facts.mode == "sentinel":
        return
    needed = facts.number("used_memory")
    if free_bytes(part) - _MARGIN < needed:
        found.problems.append(f"no last snapshot was taken: it may need {needed} bytes, and there is no room for them")
        return
    target = os.path.join(part, SNAPSHOT)
    try:
        _changed, _actions, made = take_snapshot(instance, SnapshotRequest("auto", target, None, timeout))
    except (RedisBackupError, OSError) as error:
        words = error.what if isinstance(error, RedisBackupError) else error.strerror or str(error)
        found.problems.append(f"no last snapshot was taken: {words}")
        return
    found.snapshot = {**(made or {}), "path": os.path.join(folder, SNAPSHOT)}
