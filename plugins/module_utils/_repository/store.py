# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The small interface that every kind of repository has. Paths are relative, with slashes."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import BinaryIO, Protocol


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

    def read(self, path: str, limit: int = 16 * 1024 * 1024) -> bytes:
        """A small file whole."""

    def open(self, path: str) -> BinaryIO:
        """A large file, to be read once from its beginning."""

    def size(self, path: str) -> int: ...

    def create(self, path: str) -> Sink: ...

    def write(self, path: str, data: bytes) -> None:
        """A small file, whole or not at all."""

    def remove(self, path: str) -> None:
        """A file or folder with all in it; what is not there is no error."""

    def lock(self, instance: str) -> AbstractContextManager[None]:
        """The right to write backups of `instance`, held by one process at a time."""
