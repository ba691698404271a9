# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A store in memory: small and whole, so that what stands on the Store protocol is tested without a disk."""

from __future__ import annotations

import contextlib
import hashlib
import io
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from typing import BinaryIO

from ansible_collections.globalscope.redis_backup.plugins.module_utils._errors import NotFoundError, RepositoryError
from ansible_collections.globalscope.redis_backup.plugins.module_utils._repository.store import (
    StoredObject,
    each_read,
)


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
        self._store.contents[self._path] = self._data.getvalue()

    def abort(self) -> None:
        self._data = io.BytesIO()


class MemoryStore:
    """Files by their path."""

    def __init__(self, name: str = "memory", files: dict[str, bytes] | None = None, room: int | None = None) -> None:
        self.name = name
        self.contents = dict(files or {})
        self.room = room
        self.times: dict[str, float] = {}
        self._locked: set[str] = set()

    def where(self, path: str = "") -> str:
        return f"repository {self.name} (memory{':' if path else ''}{path})"

    def prepare(self, *, dry: bool = False) -> None:
        pass

    def free_bytes(self) -> int | None:
        return self.room

    def names(self, path: str) -> list[str]:
        before = f"{path}/" if path else ""
        return sorted({name[len(before) :].split("/")[0] for name in self.contents if name.startswith(before)})

    def files(self, path: str) -> list[StoredObject]:
        return [
            StoredObject(name, len(data), hashlib.sha256(data).hexdigest(), self.times.get(name, 0.0))
            for name, data in sorted(self.contents.items())
            if name.startswith(f"{path}/")
        ]

    def read_many(self, paths: Sequence[str]) -> Iterator[tuple[str, bytes | RepositoryError]]:
        return (each_read(self, path) for path in paths)

    def read(self, path: str, limit: int = 16 * 1024 * 1024) -> bytes:
        if path not in self.contents:
            raise NotFoundError(f"{self.where(path)} does not exist")
        if len(self.contents[path]) > limit:
            raise RepositoryError(f"{self.where(path)} is larger than {limit} bytes")
        return self.contents[path]

    def open(self, path: str) -> BinaryIO:
        return io.BytesIO(self.read(path, limit=1 << 62))

    def size(self, path: str) -> int:
        return len(self.read(path, limit=1 << 62))

    def create(self, path: str) -> MemorySink:
        return MemorySink(self, path)

    def write(self, path: str, data: bytes) -> None:
        self.contents[path] = data

    def remove(self, path: str) -> None:
        for name in [name for name in self.contents if name == path or name.startswith(f"{path}/")]:
            del self.contents[name]

    def why_locked(self, path: str) -> str:
        return ""

    def assure(self, instance: str) -> None:
        pass

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
