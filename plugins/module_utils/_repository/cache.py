# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What this host has read of repositories already: manifests and records, by their path and the listing's tag."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .._files import make_dirs, write_atomic
from .store import Store, StoredObject

_FORMAT = 1


@dataclass
class Known:
    """JSON documents of one instance in one repository, each with the tag that it was read under."""

    path: str = ""
    documents: dict[str, Any] = field(default_factory=dict)
    used: dict[str, Any] = field(default_factory=dict)

    def get(self, file: StoredObject) -> Any:
        """The document of a listed file; None when it is not known, or the file has changed since."""
        found = self.documents.get(file.path)
        if not isinstance(found, list) or len(found) != 2 or found[0] != file.tag:
            return None
        self.used[file.path] = found
        return found[1]

    def put(self, file: StoredObject, document: Any) -> None:
        self.used[file.path] = [file.tag, document]

    def save(self) -> None:
        """Keep what was used, forget the rest. A cache that cannot be written is no error."""
        if self.path and (self.used.keys() != self.documents.keys() or self.used != self.documents):
            with contextlib.suppress(OSError):
                make_dirs(os.path.dirname(self.path))
                write_atomic(self.path, _sealed(json.dumps({"format": _FORMAT, "documents": self.used}).encode()))


def _sealed(data: bytes) -> bytes:
    return hashlib.sha256(data).hexdigest().encode() + b"\n" + data


def _opened(path: str) -> Any:
    """The document in a cache file. Raises OSError, and ValueError when one byte is not as it was written."""
    with open(path, "rb") as stream:
        raw = stream.read()
    data = raw.partition(b"\n")[2]
    if _sealed(data) != raw:
        raise ValueError(f"{path} is damaged")
    return json.loads(data)


@dataclass(frozen=True)
class CatalogCache:
    """A folder of the host. All in it can be read again: a damaged file counts as none."""

    folder: str

    def known(self, store: Store, folder: str) -> Known:
        """What is known of a folder of a repository, such as `<instance>/backup`."""
        place = hashlib.sha256(store.where().encode(errors="surrogateescape")).hexdigest()[:16]
        instance, _slash, kind = folder.partition("/")
        name = f"{instance}-{place}.json" if kind in ("", "backup") else f"{instance}-{place}-{kind}.json"
        path = os.path.join(self.folder, "catalog", name)
        documents: Mapping[str, Any] = {}
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            found = _opened(path)
            if found["format"] == _FORMAT and isinstance(found["documents"], dict):
                documents = found["documents"]
        return Known(path, dict(documents))
