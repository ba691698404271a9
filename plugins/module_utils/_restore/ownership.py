# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Owner, mode and SELinux context of restored files: as before, or as the server's user needs them."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass

from .._errors import RestoreError
from .._server.instance import Instance
from .._server.process import is_local, process_user, unit_user
from .data_dir import data_entries

_CONTEXT = "security.selinux"
_FILE_MODE = 0o640
_DIR_MODE = 0o750


@dataclass(frozen=True)
class Ownership:
    """To whom restored files go. `context` is an SELinux label, empty where the system has none."""

    uid: int
    gid: int
    file_mode: int = _FILE_MODE
    dir_mode: int = _DIR_MODE
    context: bytes = b""

    def give(self, fd: int) -> None:
        """Give an open file or directory to the server's user. Raises PermissionError (an OSError) when we may not."""
        found = os.fstat(fd)
        os.fchmod(fd, self.dir_mode if stat.S_ISDIR(found.st_mode) else self.file_mode)
        if (found.st_uid, found.st_gid) != (self.uid, self.gid):
            os.fchown(fd, self.uid, self.gid)
        if self.context:
            with contextlib.suppress(OSError):
                os.setxattr(fd, _CONTEXT, self.context)


def own_files(directory: str) -> Iterator[int]:
    """All files and directories below one that we made, open, each before that which it lies in. No link is followed.

    The server's user may put anything in the place of the directory: what is not ours ends in RestoreError or OSError.
    """
    top = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        if os.fstat(top).st_uid != os.geteuid():
            raise RestoreError(f"{directory} is not the directory that was made", hint="Look who writes there")
        for root, _folders, names, folder in os.fwalk(".", topdown=False, dir_fd=top):
            for name in names:
                fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
                try:
                    yield fd
                finally:
                    os.close(fd)
            if root != ".":
                yield folder
    finally:
        os.close(top)


def _context(path: str) -> bytes:
    with contextlib.suppress(OSError):
        return os.getxattr(path, _CONTEXT)
    return b""


def find_ownership(instance: Instance) -> Ownership:
    """The owner that the server needs, and the modes that its files had.

    The running process tells best, then the unit, then the files that are there, then the directory. Raises
    RestoreError when the files would have to be given to another user and we may not.
    """
    directory = instance.paths.dir
    there = os.stat(directory)
    present = [os.path.join(directory, n) for n in data_entries(os.listdir(directory), instance.paths.data_names())]
    folders = [path for path in present if os.path.isdir(path)]
    files = [path for path in present if os.path.isfile(path)]
    files += [path for folder in folders for path in _files_in(folder)]
    # What root copied in by hand is no sample, where anything else belongs to somebody.
    samples = [os.stat(path) for path in files + folders] + [there]
    sample = next((found for found in samples if found.st_uid), there)
    wanted = None
    if instance.facts is not None and not instance.server.login.unix_socket:
        wanted = process_user(instance.facts.number("process_id")) if is_local(instance.facts) else None
    wanted = wanted or unit_user(instance.place.service) or (sample.st_uid, sample.st_gid)
    if os.geteuid() != 0 and wanted[0] != os.geteuid():
        raise RestoreError(
            f"the data of {instance.title} belongs to user {wanted[0]}, and this task runs as user {os.geteuid()}",
            untouched="Nothing was changed",
            hint="Run with become, or become_user as the server's user",
        )
    file_mode = os.stat(files[0]).st_mode & 0o7777 if files else _FILE_MODE
    dir_mode = os.stat(folders[0]).st_mode & 0o7777 if folders else _DIR_MODE
    return Ownership(
        *wanted,
        file_mode=file_mode | 0o600,
        dir_mode=dir_mode | 0o700,
        context=_context(present[0]) if present else b"",
    )


def _files_in(folder: str) -> list[str]:
    return sorted(entry.path for entry in os.scandir(folder) if entry.is_file(follow_symlinks=False))


def give_directory(directory: str, uid: int, gid: int) -> bool:
    """Give the data directory itself to the server's user where only another may write there; whether that was so.

    In a directory of root (a new disk, a mount by hand) a server loads its data, cannot save, and refuses writes.
    """
    found = os.stat(directory)
    if os.geteuid() != 0 or uid == 0 or found.st_uid == uid or found.st_mode & 0o022:
        return False
    os.chown(directory, uid, gid)
    os.chmod(directory, (found.st_mode & 0o7777) | 0o700)
    return True
