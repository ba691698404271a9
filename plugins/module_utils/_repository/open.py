# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From a module's `repositories` entry to a store."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any

from .._errors import RepositoryError
from .posix import PosixStore
from .store import Store

_USER_INFO = re.compile(r"//[^/?#]*@")
_LONGEST_LOCK = 36500  # days; a hundred years, as S3 allows


def open_store(entry: Mapping[str, Any]) -> Store:
    """The store that a repository entry describes. Nothing is touched yet. Raises RepositoryError."""
    kind, name = entry["type"], entry["name"]
    if kind == "posix":
        path = entry.get("path") or ""
        if not os.path.isabs(path):
            raise RepositoryError(
                f"repository {name}: path {path!r} is not absolute", untouched="Nothing was changed"
            )
        return PosixStore(name, os.path.normpath(path), create=bool(entry.get("create")))
    if kind == "s3":
        from .s3 import S3Place, S3Store  # only where it is used: every import costs each call of a module

        if _USER_INFO.search(entry.get("endpoint_url") or ""):
            raise RepositoryError(
                f"repository {name}: endpoint_url holds a user's name (it is not shown: a password may follow)",
                untouched="Nothing was changed",
                hint="Give access_key and secret_key instead",
            )
        lock = entry.get("object_lock") or {}
        if lock and not 1 <= int(lock.get("days") or 0) <= _LONGEST_LOCK:
            raise RepositoryError(
                f"repository {name}: object_lock: days is {lock.get('days')}",
                untouched="Nothing was changed",
                hint=f"Give a number from 1 to {_LONGEST_LOCK}",
            )
        place = S3Place(
            bucket=entry.get("bucket") or "",
            prefix=entry.get("prefix") or "",
            endpoint_url=entry.get("endpoint_url"),
            region=entry.get("region"),
            access_key=entry.get("access_key"),
            secret_key=entry.get("secret_key"),
            path_style=entry.get("path_style"),
            storage_class=entry.get("storage_class"),
            encryption=entry.get("server_side_encryption"),
            kms_key_id=entry.get("kms_key_id"),
            lock_mode=lock.get("mode"),
            lock_days=int(lock.get("days") or 0),
            ca_certs=entry.get("ca_certs"),
            validate_certs=entry.get("validate_certs") is not False,
        )
        return S3Store(name, place, create=bool(entry.get("create")))
    if kind == "rclone":
        from .rclone import RcloneStore
        from .rclone_place import make_place

        remote = make_place(name, entry.get("remote") or "", entry.get("path") or "", entry.get("config_file"))
        return RcloneStore(name, remote, create=bool(entry.get("create")))
    raise RepositoryError(f"repository {name}: type {kind!r} is not known", untouched="Nothing was changed")
