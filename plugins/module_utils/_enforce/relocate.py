# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Data carried to where a changed redis.conf looks for it, while the server is stopped.

It is copied, never moved: until the new redis.conf is in place, and after, the old place holds everything.
"""

from __future__ import annotations

import contextlib
import filecmp
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from .._errors import ConfigError
from .._files import PRIVATE_FILE, free_bytes, make_dirs, write_atomic
from .._server.occupied import users_of
from .._server.paths import Paths

_RESERVE = 16 << 20  # bytes left free


@dataclass(frozen=True)
class Carry:
    """One file to copy: from where, to where."""

    source: str
    dest: str


def plan_carry(old: Paths, new: Paths, acl: tuple[str, str] = ("", "")) -> list[Carry]:
    """The files that the next start would miss: RDB, AOF, cluster state, ACL file. Looks at the old place only."""
    found: list[Carry] = []

    def add(source: str, dest: str) -> None:
        if source and dest and source != dest and os.path.isfile(source):
            found.append(Carry(source, dest))

    add(old.dump, new.dump)
    add(old.aof_file, new.aof_file)
    source_dir, dest_dir = os.path.join(old.dir, old.appenddirname), os.path.join(new.dir, new.appenddirname)
    if os.path.isdir(source_dir):
        for name in sorted(os.listdir(source_dir)):
            # The parts are found by the manifest's words; only the manifest itself is looked for by its name.
            source = os.path.join(source_dir, name)
            add(source, new.manifest if source == old.manifest else os.path.join(dest_dir, name))
    add(old.nodes_file, new.nodes_file)
    add(*acl)
    return found


def require_still(paths: Paths) -> None:
    """Raise ConfigError while a process writes the data: the child of a dead server may still be saving."""
    if not os.path.isdir(paths.dir):
        return
    temporary = [name for name in os.listdir(paths.dir) if name.startswith("temp-")]
    users = users_of(paths.dir, [*paths.data_names(), *temporary])
    if users:
        raise ConfigError(
            f"the data in {paths.dir} is still being written: {users[0]}",
            untouched="Nothing was changed",
            hint="Wait until it has ended, then run again",
        )


def require_room(carries: Sequence[Carry], directory: str, journal: str) -> None:
    """Raise ConfigError when a destination is taken by other data, or the disk has no room for the copies."""
    ours = carried_before(journal)
    for carry in carries:
        taken = os.path.exists(carry.dest) and carry.dest not in ours
        if taken and not filecmp.cmp(carry.source, carry.dest, shallow=False):
            raise ConfigError(
                f"{carry.dest} exists already and is not the data of {carry.source}",
                untouched="Nothing was changed",
                hint="Move it away, or choose another place",
            )
    size = sum(os.path.getsize(carry.source) for carry in carries)
    free = free_bytes(directory)
    if size + _RESERVE > free:
        raise ConfigError(
            f"the data ({size} bytes) does not fit into {directory} ({free} bytes free)",
            untouched="Nothing was changed",
            hint="Make room, or choose another place",
        )


def carry_over(carries: Sequence[Carry], journal: str) -> None:
    """Copy the files, durable, with owner, mode and times. The journal names the copies until `carried` is told."""
    if carries:
        note_ours(journal, [carry.dest for carry in carries])
    for carry in carries:
        source, folder = os.path.dirname(carry.source), os.path.dirname(carry.dest)
        new = not os.path.isdir(folder)
        make_dirs(folder)
        with _opened(folder) as there:
            if new:
                _like(os.stat(source), there)
            _copy(carry.source, os.path.basename(carry.dest), there)


@contextlib.contextmanager
def _opened(folder: str) -> Iterator[int]:
    """A directory to write into. Where the server's user made it a link, root does not follow."""
    link = os.path.islink(folder)
    if link and os.lstat(folder).st_uid not in (0, os.geteuid()):
        raise ConfigError(
            f"{folder} is a link that user {os.lstat(folder).st_uid} made", hint="Put a directory in its place"
        )
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | (0 if link else os.O_NOFOLLOW))
    try:
        yield fd
    finally:
        os.close(fd)


def _copy(source: str, name: str, folder: int) -> None:
    """Copy a file into an open directory, durable. Made anew, so that no planted link is followed."""
    part = f"{name}.part"
    with contextlib.suppress(FileNotFoundError):
        os.unlink(part, dir_fd=folder)
    fd = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, PRIVATE_FILE, dir_fd=folder)
    with open(source, "rb") as reader, os.fdopen(fd, "wb") as writer:
        shutil.copyfileobj(reader, writer, 1 << 20)
        writer.flush()
        _like(os.fstat(reader.fileno()), writer.fileno())
        os.fsync(writer.fileno())
    os.rename(part, name, src_dir_fd=folder, dst_dir_fd=folder)
    os.fsync(folder)


def _like(found: os.stat_result, fd: int) -> None:
    """Give an open file or directory the owner, mode and times of another."""
    if os.geteuid() == 0:
        os.fchown(fd, found.st_uid, found.st_gid)
    os.fchmod(fd, found.st_mode & 0o777)
    os.utime(fd, ns=(found.st_atime_ns, found.st_mtime_ns))


def note_ours(journal: str, paths: Sequence[str]) -> None:
    """Have the journal name files about to be made; nobody misses them should redis.conf never name them."""
    make_dirs(os.path.dirname(journal))
    ours = sorted(carried_before(journal) | set(paths))
    write_atomic(journal, json.dumps(ours).encode(), mode=PRIVATE_FILE)


def carried(journal: str) -> None:
    """The new redis.conf is in place: the copies are the data now."""
    if os.path.exists(journal):
        os.unlink(journal)


def carried_before(journal: str) -> set[str]:
    """The files made by a run that did not get as far as redis.conf: nobody uses them."""
    try:
        with open(journal, "rb") as stream:
            return set(json.load(stream))
    except (OSError, ValueError):
        return set()
