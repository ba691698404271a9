# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""redis.conf replaced in one step, its owner, mode and labels kept, copies of the old one kept in bounded number.

Copies lie in the state directory: beside redis.conf, a glob include could take one for configuration.
"""

from __future__ import annotations

import contextlib
import errno
import os

from .._config.quoting import ENCODING, ERRORS
from .._errors import ConfigError
from .._files import make_dirs, write_atomic
from .._times import now, to_iso


def require_writable(path: str) -> None:
    """Raise ConfigError unless `path` can be replaced by this user."""
    directory = os.path.dirname(path)
    read_only = bool(os.statvfs(directory).f_flag & os.ST_RDONLY)
    if read_only or not os.access(directory, os.W_OK) or os.path.ismount(path):
        why = "its file system is read-only" if read_only else "this user may not write in its directory"
        raise ConfigError(
            f"{path} cannot be replaced: {'it is a mount of its own' if os.path.ismount(path) else why}",
            untouched="Nothing was changed",
            hint="Run with become; what is mounted or managed elsewhere is to be changed there (here: apply=live)",
        )
    owner = os.stat(path).st_uid
    if os.geteuid() not in (0, owner):
        raise ConfigError(
            f"{path} belongs to user {owner}, and this task runs as user {os.geteuid()}",
            untouched="Nothing was changed",
            hint="Run with become",
        )


def holds(path: str, text: str) -> bool:
    """Whether the file is `text`."""
    with open(path, encoding=ENCODING, errors=ERRORS, newline="") as stream:
        return stream.read() == text


def require_unchanged(path: str, text: str) -> None:
    """Raise ConfigError when the file is not `text` any more: Sentinel or an operator wrote it meanwhile."""
    if not holds(path, text):
        raise ConfigError(
            f"{path} was changed by somebody else during this run (CONFIG REWRITE, Sentinel, an editor)",
            untouched="What they wrote stays, and what this run had set is set back",
            hint="Run again",
        )


def keep_copy(path: str, directory: str, count: int) -> str:
    """Copy the file into `directory`, which then keeps `count` copies: the first of all, and the newest. Its path."""
    make_dirs(directory)
    name = os.path.basename(path)
    with open(path, "rb") as stream:
        data = stream.read()
    stem = copy = os.path.join(directory, f"{name}.{to_iso(now()).replace('-', '').replace(':', '')}")
    number = 1
    while os.path.exists(copy):
        number += 1
        copy = f"{stem}.{number}"
    write_atomic(copy, data)
    copies = _copies(directory, name)
    for old in copies[min(count - 1, 1) : max(len(copies) - max(count - 1, 1), 0)]:
        os.unlink(old)
    return copy


def _copies(directory: str, name: str) -> list[str]:
    """The copies of a file, the oldest first."""
    found = [entry.path for entry in os.scandir(directory) if entry.name.startswith(f"{name}.") and entry.is_file()]
    return sorted(found, key=lambda path: (os.stat(path).st_mtime_ns, path))


def replace(path: str, text: str) -> None:
    """Put `text` in the place of the file, its owner, mode and extended attributes (SELinux, ACLs) kept."""
    before = os.stat(path)
    owner = (before.st_uid, before.st_gid) if os.geteuid() == 0 else None
    attributes = _attributes(path)
    try:
        write_atomic(path, text.encode(ENCODING, ERRORS), mode=before.st_mode & 0o7777, owner=owner)
    except OSError as error:
        raise ConfigError(
            f"{path} could not be replaced: {error.strerror}", hint="Mend the cause, then run again"
        ) from None
    for name, value in attributes.items():
        with contextlib.suppress(OSError):
            os.setxattr(path, name, value, follow_symlinks=False)  # its directory may be the server's user's


def _attributes(path: str) -> dict[str, bytes]:
    try:
        return {name: os.getxattr(path, name) for name in os.listxattr(path)}
    except OSError as error:
        if error.errno in (errno.ENOTSUP, errno.EPERM, errno.EACCES):
            return {}
        raise
