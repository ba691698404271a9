# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The small interface that every kind of repository has. Paths are relative, with slashes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import BinaryIO, Protocol

from .._errors import RepositoryError


@dataclass(frozen=True)
class StoredObject:
    """One stored file as a listing shows it: `size` in bytes, `modified` in UTC seconds by the store's clock.

    `tag` changes whenever the content does.
    """

    path: str
    size: int
    tag: str
    modified: float


class Sink(Protocol):
    """A stored file in the making: nothing is visible under its name before `commit`."""

    def write(self, data: bytes) -> None: ...

    def commit(self) -> None: ...

    def abort(self) -> None: ...


class Store(Protocol):
    """A place that keeps files. All calls raise RepositoryError (NotFoundError for what is not there)."""

    name: str

    def where(self, path: str = "") -> str:
        """The place in words, for messages."""

    def prepare(self, *, dry: bool = False) -> None:
        """Make sure that the repository is there and can be written; `dry` creates nothing."""

    def free_bytes(self) -> int | None:
        """Room left, None where nobody knows."""

    def names(self, path: str) -> list[str]:
        """The entries of a folder, sorted; none where there is no such folder."""

    def files(self, path: str) -> list[StoredObject]:
        """All files below a folder, however deep, sorted by their paths: one listing. None where there is no folder."""

    def read(self, path: str, limit: int = 16 * 1024 * 1024) -> bytes:
        """A small file whole."""

    def read_many(self, paths: Sequence[str]) -> Iterator[tuple[str, bytes | RepositoryError]]:
        """Many small files, each with its content or why it cannot be read; in any order, where it helps at once."""

    def open(self, path: str) -> BinaryIO:
        """A large file, to be read once from its beginning."""

    def size(self, path: str) -> int: ...

    def create(self, path: str) -> Sink: ...

    def write(self, path: str, data: bytes) -> None:
        """A small file, whole or not at all."""

    def remove(self, path: str) -> None:
        """A file or folder with all in it; what is not there is no error."""

    def why_locked(self, path: str) -> str:
        """Why the store would refuse to remove the file now (object lock), in words; empty when it would not."""

    def assure(self, instance: str) -> None:
        """Raise RepositoryError when a lock that this process took has become another's meanwhile."""

    def lock(self, instance: str) -> AbstractContextManager[str | None]:
        """The right to write backups of `instance`, held by one process at a time.

        Entering it gives a word for the log, when the lock of a dead owner was taken over.
        """


def each_read(store: Store, path: str) -> tuple[str, bytes | RepositoryError]:
    """One file of `read_many`."""
    try:
        return path, store.read(path)
    except RepositoryError as error:
        return path, error
