# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host must have for a throw-away server with data: memory and room; and the bounds that server gets."""

from __future__ import annotations

import contextlib
import os
import resource
import stat
from collections.abc import Mapping
from typing import Any, Callable

from .._errors import RedisBackupError
from .._files import free_bytes
from .._repository.manifest import Manifest, StoredFile

MEMORY_FACTOR = 1.2
DEFAULT_PLACE = "/var/tmp"
_ROOM = 64 * 1024 * 1024
_PROGRAM = 256 * 1024 * 1024  # address space of a server without data: its program, libraries, threads
_SOCKET_LIMIT = 107
_UNTOUCHED = "Nothing was changed"


def needed_memory(server: Mapping[str, Any], rdb: StoredFile) -> int:
    """Bytes of memory that loading will take, by what the backed-up server used. Pure."""
    told = server.get("used_memory_bytes")
    used = told if isinstance(told, int) else 0
    if rdb.kind == "aof" and used:  # its bytes tell how much was written, not how much is left of it
        return int(MEMORY_FACTOR * used)
    return int(MEMORY_FACTOR * max(used, rdb.size))


def require_memory(
    manifest: Manifest, rdb: StoredFile, limit: int | None, available: int | None, elsewhere: str = ""
) -> None:
    """Raise RedisBackupError when the host, or the limit, has too little memory. Asked before a byte is fetched.

    `elsewhere` advises where to go instead.
    """
    needed = needed_memory(manifest.document["server"], rdb)
    hint = elsewhere or "Verify on a host with more memory; every host that sees the repository can"
    require_enough(f"{manifest.label} of {manifest.instance}", needed, limit, available, hint)


def require_enough(title: str, needed: int, limit: int | None, available: int | None, elsewhere: str) -> None:
    """Raise RedisBackupError when so much memory is neither allowed nor there."""
    what = f"loading {title} takes about {in_mb(needed)} of memory"
    if limit is not None and limit < needed:
        raise RedisBackupError(
            f"{what}, memory_limit_mb allows {in_mb(limit)}", untouched=_UNTOUCHED, hint="Raise memory_limit_mb"
        )
    if available is not None and available < needed:
        raise RedisBackupError(
            f"{what}, this host has {in_mb(available)} available", untouched=_UNTOUCHED, hint=elsewhere
        )


def why_not_ours(found: os.stat_result, user: int) -> str:
    """Whom a directory gives the right to rename what `user` makes in it, in words; empty when nobody else. Pure."""
    if found.st_uid not in (0, user):
        return f"belongs to another user ({found.st_uid})"
    if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH) and not found.st_mode & stat.S_ISVTX:
        return "may be written by other users"
    return ""


def require_place(place: str) -> None:
    """Raise RedisBackupError when a throw-away server cannot get its directory in `place`."""
    hint = "Name another directory with work_dir, by its absolute path"
    if not os.path.isabs(place) or not os.path.isdir(place) or not os.access(place, os.W_OK | os.X_OK):
        raise RedisBackupError(f"{place} is no directory that this user may write in", untouched=_UNTOUCHED, hint=hint)
    stranger = why_not_ours(os.stat(place), os.geteuid())
    if stranger:
        raise RedisBackupError(
            f"{place} {stranger}, who could put other files in the place of those that a throw-away server gets",
            untouched=_UNTOUCHED,
            hint=f"{hint}, in which only this user and root may write, or with the sticky bit set",
        )
    if len(os.fsencode(place)) > _SOCKET_LIMIT - len("/redis_backup-throwaway-4194304-12345678/socket"):
        raise RedisBackupError(f"the path {place} is too long for a unix socket", untouched=_UNTOUCHED, hint=hint)


def require_room(place: str, rdb: StoredFile) -> None:
    """Raise RedisBackupError when there is too little room for the data of a throw-away server."""
    require_bytes(place, rdb.size)


def require_bytes(place: str, size: int) -> None:
    """Raise RedisBackupError when there is too little room for `size` bytes and what a throw-away server adds."""
    free, needed = free_bytes(place), size + _ROOM
    if free < needed:
        raise RedisBackupError(
            f"{place} has {in_mb(free)} left, a throw-away server needs {in_mb(needed)}",
            untouched=_UNTOUCHED,
            hint="Name another directory with work_dir",
        )


def require_within(limit: int | None, size: int) -> None:
    """Raise RedisBackupError when `size` bytes of data are more than are allowed on the disk."""
    if limit is not None and size > limit:
        raise RedisBackupError(
            f"the data takes {in_mb(size)} on the disk, disk_limit_mb allows {in_mb(limit)}",
            untouched=_UNTOUCHED,
            hint="Raise disk_limit_mb",
        )


def confinement(limit: int | None) -> Callable[[], None]:
    """What a throw-away server does before it starts: last in line for the CPU, first for the kernel's OOM killer.

    `limit` bounds its data in bytes, by its address space.
    """
    bound = None if limit is None else limit + _PROGRAM

    def confine() -> None:
        os.nice(10)
        with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w", encoding="ascii") as stream:
            stream.write("1000")
        if bound is not None:
            _soft, hard = resource.getrlimit(resource.RLIMIT_AS)
            lower = bound if hard == resource.RLIM_INFINITY else min(bound, hard)
            resource.setrlimit(resource.RLIMIT_AS, (lower, lower))

    return confine


def in_mb(count: int) -> str:
    """Bytes for people, rounded up: 1 MB is 1024 * 1024."""
    return f"{-(-count // (1024 * 1024))} MB"
