# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hard links to the files that are followed, so that what a server removes stays readable until it is shipped.

They lie in `<dir>/.redis_archive/<instance>/<epoch>/<file>`, on the file system of the data, and belong to the user who
archives. Several servers may share one directory: each archive knows its own links only.
They cost room only when the server has removed the file. Their names also tell, should the state be lost, which epoch a
file belongs to; `<epoch>.json` beside tells which epoch that one goes on from, and since when a single file gives data.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .._errors import ServerError
from .._files import fsync_dir, write_json
from .._repository.layout import epoch_key, is_epoch
from .._repository.parse import parse_json
from .look import Files, open_plain

SPOOL = ".redis_archive"
WAITING = "waiting"
_BLOCK = 512
_NOTE = ".json"
_LONGEST_NOTE = 65536


@dataclass(frozen=True)
class Pin:
    """One hard link. `alone`: no other name is left, so the room it takes is ours.

    `after` and `time` are those of its epoch's file.
    """

    epoch: str
    name: str
    inode: int
    size: int
    room: int
    alone: bool
    after: dict[str, Any] | None = None
    time: float | None = None

    @property
    def key(self) -> tuple[str, int]:
        return self.name, self.inode


class Spool:
    """The folder of the links of one instance in its data directory. It is made when the first link is."""

    def __init__(self, data_dir: str, instance: str) -> None:
        self._data_dir = data_dir
        self.root = os.path.join(data_dir, SPOOL, instance)

    def pins(self, files: Files | None = None) -> list[Pin]:
        """All links, by epoch; opened into `files` where it is given."""
        found: list[Pin] = []
        if not self._usable():
            return found
        for epoch in sorted((name for name in os.listdir(self.root) if is_epoch(name)), key=epoch_key):
            folder = os.path.join(self.root, epoch)
            if os.path.islink(folder) or not os.path.isdir(folder):
                continue
            note = self._noted(epoch)
            for name in sorted(os.listdir(folder)):
                try:
                    fd = open_plain(os.path.join(folder, name))
                except OSError:
                    continue
                seen = os.fstat(fd)
                found.append(
                    Pin(epoch, name, seen.st_ino, seen.st_size, seen.st_blocks * _BLOCK, seen.st_nlink == 1, **note)
                )
                if files is None:
                    os.close(fd)
                else:
                    files.add((name, seen.st_ino), fd)
        return found

    def hold(
        self,
        wanted: Mapping[tuple[str, str], tuple[str, int]],
        files: Files,
        notes: Mapping[str, Mapping[str, Any]],
    ) -> str:
        """Have links to exactly these open files, keys by (epoch, name), and the notes of their epochs.

        Returns why one could not be made, or nothing.
        Raises ServerError when the folder is not the user's own.
        """
        there = {(pin.epoch, pin.name): pin for pin in self.pins()}
        for place, pin in there.items():
            if wanted.get(place) != pin.key:
                self.remove(place)
        why = ""
        for place, key in wanted.items():
            known = there.get(place)
            if (known is None or known.key != key) and key in files.fds:
                why = self.link(place, files.fds[key]) or why
        epochs = {epoch for epoch, _name in wanted}
        try:
            self._note({epoch: note for epoch, note in notes.items() if epoch in epochs})
        except OSError as error:
            why = why or f"{self.root} cannot be written: {error.strerror}"
        self._tidy(epochs)
        return why

    def _note(self, notes: Mapping[str, Mapping[str, Any]]) -> None:
        for epoch, note in notes.items():
            if self._usable() and self._noted(epoch) != note:
                write_json(os.path.join(self.root, f"{epoch}{_NOTE}"), dict(note))

    def _noted(self, epoch: str) -> dict[str, Any]:
        """The note of an epoch; empty where there is none, or none of ours."""
        nothing: dict[str, Any] = {"after": None, "time": None}
        try:
            fd = open_plain(os.path.join(self.root, f"{epoch}{_NOTE}"))
        except OSError:
            return nothing
        with os.fdopen(fd, "rb") as stream:
            raw = stream.read(_LONGEST_NOTE)
        try:
            found = parse_json(raw)
            after, time = found["after"], found["time"]
            if after is not None:
                after = {name: after[name] for name in ("epoch", "file", "size", "proven")}
        except (ValueError, KeyError, TypeError):
            return nothing
        kinds = [type(each) for each in after.values()] if after is not None else None
        good = kinds is None or (kinds == [str, str, int, bool] and is_epoch(after["epoch"]))
        return {"after": after, "time": time} if good and isinstance(time, (float, type(None))) else nothing

    def room(self) -> int:
        """The bytes of the disk that only the links hold."""
        room = sum(pin.room for pin in self.pins() if pin.alone)
        with contextlib.suppress(FileNotFoundError, NotADirectoryError), os.scandir(
            os.path.join(self.root, WAITING)
        ) as entries:
            for entry in entries:
                with contextlib.suppress(FileNotFoundError):
                    found = entry.stat(follow_symlinks=False)
                    room += found.st_blocks * _BLOCK if found.st_nlink == 1 else 0
        return room

    def link(self, place: tuple[str, str], fd: int) -> str:
        """Have a link to an open file. Returns why it could not be made, or nothing."""
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
        above = os.stat(self._data_dir)
        for folder in (os.path.dirname(self.root), self.root):
            with contextlib.suppress(FileExistsError):
                os.mkdir(folder, 0o700)
                if os.geteuid() == 0 and above.st_uid:
                    os.chown(folder, above.st_uid, above.st_gid, follow_symlinks=False)
                fsync_dir(os.path.dirname(folder))
            if not self._is_ours(folder):
                raise OSError(1, "it is no folder")

    def _usable(self) -> bool:
        """Whether the folder is there. Raises ServerError when it is a link, or another's."""
        return self._is_ours(os.path.dirname(self.root)) and self._is_ours(self.root)

    def _is_ours(self, folder: str) -> bool:
        try:
            found = os.lstat(folder)
        except (FileNotFoundError, NotADirectoryError):
            return False
        above = os.stat(self._data_dir)
        if not stat.S_ISDIR(found.st_mode) or found.st_uid not in (0, os.geteuid(), above.st_uid):
            raise ServerError(
                f"{folder} is not of this collection: user {found.st_uid} made it, or it is no folder",
                untouched="Nothing was changed",
                hint="Look who made it, and remove it",
            )
        return True

    def remove(self, place: tuple[str, str]) -> None:
        """Remove a link, if it is there."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(os.path.join(self.root, *place))

    def _tidy(self, epochs: set[str]) -> None:
        """Remove the folders of epochs that hold nothing any more."""
        if not self._usable():
            return
        for name in os.listdir(self.root):
            epoch = name[: -len(_NOTE)] if name.endswith(_NOTE) else ""
            if is_epoch(epoch) and epoch not in epochs:
                with contextlib.suppress(OSError):
                    os.unlink(os.path.join(self.root, name))
            if is_epoch(name) and name not in epochs:
                with contextlib.suppress(OSError):
                    os.rmdir(os.path.join(self.root, name))


def _sync(fd: int) -> None:
    with contextlib.suppress(OSError):
        os.fsync(fd)


def spool_bytes(data_dir: str, instance: str) -> int:
    """The room that only the links hold."""
    return Spool(data_dir, instance).room()
