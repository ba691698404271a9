# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A store in memory: small and whole, so that what stands on the Store protocol is tested without a disk."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import BinaryIO

from ansible_collections.globalscope.redis_backup.plugins.module_utils._errors import NotFoundError, RepositoryError


class MemorySink:
    """A file in the making; its name appears at `commit`. `room` bytes may be written before it fails."""

    def __init__(self, store: MemoryStore, path: str) -> None:
        self._store = store
        self._path = path
        self._data = io.BytesIO()

    def write(self, data: bytes) -> None:
        if self._store.room is not None:
            self._store.room -= len(data)
            if self._store.room < 0:
                raise RepositoryError(f"{self._store.where(self._path)}: No space left on device")
        self._data.write(data)

    def commit(self) -> None:
        self._store.files[self._path] = self._data.getvalue()

    def abort(self) -> None:
        self._data = io.BytesIO()


class MemoryStore:
    """Files by their path."""

    def __init__(self, name: str = "memory", files: dict[str, bytes] | None = None, room: int | None = None) -> None:
        self.name = name
        self.files = dict(files or {})
        self.room = room
        self._locked: set[str] = set()

    def where(self, path: str = "") -> str:
        return f"repository {self.name} (memory{':' if path else ''}{path})"

    def prepare(self, *, dry: bool = False) -> None:
        pass

    def free_bytes(self) -> int | None:
        return self.room

    def names(self, path: str) -> list[str]:
        before = f"{path}/" if path else ""
        return sorted({name[len(before) :].split("/")[0] for name in self.files if name.startswith(before)})

    def read(self, path: str, limit: int = 16 * 1024 * 1024) -> bytes:
        if path not in self.files:
            raise NotFoundError(f"{self.where(path)} does not exist")
        if len(self.files[path]) > limit:
            raise RepositoryError(f"{self.where(path)} is larger than {limit} bytes")
        return self.files[path]

    def open(self, path: str) -> BinaryIO:
        return io.BytesIO(self.read(path, limit=1 << 62))

    def size(self, path: str) -> int:
        return len(self.read(path, limit=1 << 62))

    def create(self, path: str) -> MemorySink:
        return MemorySink(self, path)

    def write(self, path: str, data: bytes) -> None:
        self.files[path] = data

    def remove(self, path: str) -> None:
        for name in [name for name in self.files if name == path or name.startswith(f"{path}/")]:
            del self.files[name]

    def lock(self, instance: str) -> AbstractContextManager[None]:
        return self._lock(instance)

    @contextlib.contextmanager
    def _lock(self, instance: str) -> Iterator[None]:
        if instance in self._locked:
            raise RepositoryError(f"another backup of {instance} is being written to {self.where()}")
        self._locked.add(instance)
        try:
            yield
        finally:
            self._locked.discard(instance)
