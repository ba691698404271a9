# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hard links to the files that are followed, so that what a server removes stays readable until it is shipped.

They lie in `<dir>/.redis_archive/<epoch>/<file>`, on the file system of the data, and belong to the user who archives.
They cost room only when the server has removed the file. Their names also tell, should the state be lost, which epoch a
file belongs to.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass

from .._errors import ServerError
from .._files import fsync_dir
from .._repository.layout import epoch_key, is_epoch
from .look import Files, open_plain

SPOOL = ".redis_archive"
_BLOCK = 512


@dataclass(frozen=True)
class Pin:
    """One hard link. `alone`: no other name is left, so the room it takes is ours."""

    epoch: str
    name: str
    inode: int
    size: int
    room: int
    alone: bool

    @property
    def key(self) -> tuple[str, int]:
        return self.name, self.inode


class Spool:
    """The folder of the links of one data directory. It is made when the first link is."""

    def __init__(self, data_dir: str) -> None:
        self.root = os.path.join(data_dir, SPOOL)

    def pins(self, files: Files | None = None) -> list[Pin]:
        """All links, by epoch; opened into `files` where it is given."""
        found: list[Pin] = []
        if not self._usable():
            return found
        for epoch in sorted((name for name in os.listdir(self.root) if is_epoch(name)), key=epoch_key):
            folder = os.path.join(self.root, epoch)
            if os.path.islink(folder) or not os.path.isdir(folder):
                continue
            for name in sorted(os.listdir(folder)):
                try:
                    fd = open_plain(os.path.join(folder, name))
                except OSError:
                    continue
                seen = os.fstat(fd)
                found.append(
                    Pin(epoch, name, seen.st_ino, seen.st_size, seen.st_blocks * _BLOCK, seen.st_nlink == 1)
                )
                if files is None:
                    os.close(fd)
                else:
                    files.add((name, seen.st_ino), fd)
        return found

    def hold(self, wanted: Mapping[tuple[str, str], tuple[str, int]], files: Files) -> str:
        """Have links to exactly these open files, keys by (epoch, name). Returns why one could not be made, or nothing.

        Raises ServerError when the folder is not the user's own.
        """
        there = {(pin.epoch, pin.name): pin for pin in self.pins()}
        for place, pin in there.items():
            if wanted.get(place) != pin.key:
                self._remove(place)
        why = ""
        for place, key in wanted.items():
            known = there.get(place)
            if (known is None or known.key != key) and key in files.fds:
                why = self._link(place, files.fds[key]) or why
        self._tidy({epoch for epoch, _name in wanted})
        return why

    def _link(self, place: tuple[str, str], fd: int) -> str:
        folder = os.path.join(self.root, place[0])
        try:
            self._make()
            with contextlib.suppress(FileExistsError):
                os.mkdir(folder, 0o700)
            into = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                # By descriptor: the server may have put another file under the name, or none. Python follows the link
                # in /proc only where a directory is given.
                os.link(f"/proc/self/fd/{fd}", place[1], dst_dir_fd=into, follow_symlinks=True)
                _sync(into)
            finally:
                os.close(into)
            fsync_dir(self.root)
        except OSError as error:
            return f"{os.path.join(folder, place[1])} cannot be made: {error.strerror}"
        return ""

    def _make(self) -> None:
        """Make the folder, for the owner of the data directory."""
        above = os.stat(os.path.dirname(self.root))
        with contextlib.suppress(FileExistsError):
            os.mkdir(self.root, 0o700)
            if os.geteuid() == 0 and above.st_uid:
                os.chown(self.root, above.st_uid, above.st_gid, follow_symlinks=False)
            fsync_dir(os.path.dirname(self.root))
        if not self._usable():
            raise OSError(1, "it is no folder")

    def _usable(self) -> bool:
        """Whether the folder is there. Raises ServerError when it is a link, or another's."""
        try:
            found = os.lstat(self.root)
        except (FileNotFoundError, NotADirectoryError):
            return False
        above = os.stat(os.path.dirname(self.root))
        if not stat.S_ISDIR(found.st_mode) or found.st_uid not in (0, os.geteuid(), above.st_uid):
            raise ServerError(
                f"{self.root} is not of this collection: user {found.st_uid} made it, or it is no folder",
                untouched="Nothing was changed",
                hint="Look who made it, and remove it",
            )
        return True

    def _remove(self, place: tuple[str, str]) -> None:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(os.path.join(self.root, *place))

    def _tidy(self, epochs: set[str]) -> None:
        """Remove the folders of epochs that hold nothing any more."""
        if not self._usable():
            return
        for name in os.listdir(self.root):
            if is_epoch(name) and name not in epochs:
                with contextlib.suppress(OSError):
                    os.rmdir(os.path.join(self.root, name))


def _sync(fd: int) -> None:
    with contextlib.suppress(OSError):
        os.fsync(fd)


def spool_bytes(data_dir: str) -> int:
    """The room that only the links hold."""
    return sum(pin.room for pin in Spool(data_dir).pins() if pin.alone)
