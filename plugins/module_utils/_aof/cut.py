# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A set cut as planned: in its place, or as a new one elsewhere. Every step may be the last before a power cut.

In place: first all originals get a second name, then the manifest forgets the later files, then the last file that
stays is cut, then the later files lose their first name. After each step the set is one that the next run goes on with:
never one that loads with a hole in it. A file is never cut where it lies when it has another name (an original, a pin
of the archive): the bytes that stay are copied, or shared where the file system can, and renamed in.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import time
from collections.abc import Iterator
from itertools import zip_longest

from .._errors import AofError
from .._files import PRIVATE_DIR, free_bytes, fsync_dir, locked_dir, remove_tree, write_atomic
from .parts import MANIFEST_SUFFIX, AofSet, Part, open_plain, open_set
from .truncate import CutPlan

_CHUNK = 8 * 1024 * 1024
_PIECE = 1024 * 1024
_MARGIN = 1024 * 1024
_ORIGINAL = ".orig"
_UNTOUCHED = "Nothing was changed"


def original_name(path: str, seconds: float) -> str:
    """Where the original of a file is kept: beside it, with the time in UTC. A server passes over such names."""
    return f"{path}.{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime(seconds))}{_ORIGINAL}"


def keep_original(path: str, seconds: float) -> str:
    """Give a file a second name; its path. A copy where the file system knows no hard links."""
    base = wanted = original_name(path, seconds)
    number = 1
    while os.path.lexists(wanted):
        number += 1
        wanted = f"{base[: -len(_ORIGINAL)]}.{number}{_ORIGINAL}"
    try:
        os.link(path, wanted, follow_symlinks=False)
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.EMLINK, errno.ENOSYS):
            raise
        copy_file(path, wanted, os.path.getsize(path))
    return wanted


def replace_manifest(path: str, data: bytes) -> None:
    """Write a manifest in the place of the one that is there, with its owner and mode."""
    found = os.lstat(path)
    write_atomic(path, data, mode=found.st_mode & 0o7777, owner=(found.st_uid, found.st_gid))


def require_changeable(aof_set: AofSet) -> None:
    """Raise AofError where a file of the set is a link, which may lead anywhere, or belongs to another user than us."""
    for path in filter(None, [aof_set.manifest_path, *(part.path for part in aof_set.parts)]):
        with contextlib.suppress(FileNotFoundError):
            found = os.lstat(path)
            if stat.S_ISLNK(found.st_mode):
                raise AofError(
                    f"{path} is a symbolic link to {os.readlink(path)}, which is not followed to change a file",
                    untouched=_UNTOUCHED,
                    hint="No server makes one: look who did; put the file itself in its place",
                )
            if os.geteuid() not in (0, found.st_uid):
                raise AofError(
                    f"{path} belongs to user {found.st_uid}, and this task runs as user {os.geteuid()}",
                    untouched=_UNTOUCHED,
                    hint="Run with become, or become_user as the server's user",
                )


@contextlib.contextmanager
def alone_with(path: str) -> Iterator[None]:
    """No other run changes the AOF at `path` meanwhile. Raises AofError when one does."""
    with locked_dir(os.path.realpath(os.path.dirname(path)), busy=_busy(path)):
        yield


def _busy(path: str) -> AofError:
    return AofError(
        f"another run is at work on {path}", untouched="This one changed nothing", hint="Wait until it has ended"
    )


def require_room_to_cut(aof_set: AofSet, plan: CutPlan, *, originals: bool) -> None:
    """Raise AofError when what stays of the last file has to be copied, and there is no room."""
    if plan.cuts and (originals or os.lstat(plan.keep[-1].path).st_nlink > 1):
        _require_room(aof_set.directory, plan.size)


def cut_in_place(aof_set: AofSet, plan: CutPlan, *, originals: bool, seconds: float) -> list[str]:
    """Cut a set that no server uses; the paths of the originals that were kept. Raises AofError and OSError."""
    last = plan.keep[-1] if plan.cuts else None
    shared = originals or (last is not None and os.lstat(last.path).st_nlink > 1)
    require_room_to_cut(aof_set, plan, originals=originals)
    kept: list[str] = []
    renewed = plan.manifest is not None and plan.manifest != aof_set.manifest
    if originals:
        for path in [aof_set.manifest_path] * renewed + [p.path for p in [last, *plan.drop] if p]:
            if os.path.lexists(path):
                kept.append(keep_original(path, seconds))
        fsync_dir(aof_set.directory)
    if plan.manifest is not None and renewed:
        replace_manifest(aof_set.manifest_path, plan.manifest.data())
    if last is not None:
        _cut(last.path, plan.size, plan.tail, shared=shared)
    for part in plan.drop:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(part.path)
    fsync_dir(aof_set.directory)
    return kept


def require_buildable(plan: CutPlan, dest: str) -> None:
    """Raise AofError when there is no place or no room to make `dest`."""
    parent = os.path.dirname(dest)
    if not os.path.isdir(parent):
        raise AofError(f"there is no directory {parent} to make {dest} in", untouched=_UNTOUCHED)
    _require_room(parent, sum(size for _part, size in _sizes(plan)))


def build(aof_set: AofSet, plan: CutPlan, dest: str) -> None:
    """Make the directory `dest` with what stays of a set, which itself is not touched. Raises AofError and OSError.

    Copies, or bytes that the file system shares; no hard links: the next owner of `dest` may not be that of the set.
    """
    parent = os.path.dirname(dest)
    temporary = os.path.join(parent, f".{os.path.basename(dest)}.tmp")
    with contextlib.suppress(FileNotFoundError), locked_dir(temporary, busy=_busy(dest)):
        remove_tree(temporary)
    require_buildable(plan, dest)
    os.mkdir(temporary, PRIVATE_DIR)
    try:
        with locked_dir(temporary, busy=_busy(dest)) as fd:
            _fill(aof_set, plan, fd)
            with contextlib.suppress(FileNotFoundError):
                os.rmdir(dest)  # an empty one may be there
            os.rename(temporary, dest)
            if not os.path.samestat(os.lstat(dest), os.fstat(fd)):
                raise AofError(f"{dest} is not the directory that was made", hint=f"Look who writes in {parent}")
    except BaseException:
        with contextlib.suppress(OSError):
            remove_tree(temporary)
        raise
    fsync_dir(parent)


def _fill(aof_set: AofSet, plan: CutPlan, fd: int) -> None:
    """Write what stays into the open directory `fd`: by its path, another user might have put a link in its place."""
    here = f"/proc/self/fd/{fd}"
    like = os.stat(aof_set.directory)
    for part, size in _sizes(plan):
        tail = plan.tail if part is plan.keep[-1] else b""
        copy_file(part.path, os.path.join(here, part.name), size - len(tail), tail)
    if plan.manifest is not None:
        found = os.stat(aof_set.manifest_path)
        path = os.path.join(here, os.path.basename(aof_set.manifest_path))
        owner = (found.st_uid, found.st_gid) if os.geteuid() == 0 else None
        write_atomic(path, plan.manifest.without_history().data(), mode=found.st_mode & 0o7777, owner=owner)
    os.fsync(fd)
    if os.geteuid() == 0:
        os.fchown(fd, like.st_uid, like.st_gid)
    os.fchmod(fd, like.st_mode & 0o7777)


def is_built(plan: CutPlan, dest: str) -> bool:
    """Whether `dest` holds what stays, made by an earlier run. Raises AofError when it holds anything else."""
    if not os.path.lexists(dest) or (os.path.isdir(dest) and not os.listdir(dest)):
        return False
    wanted = {part.name: size for part, size in _sizes(plan)}
    manifest = plan.manifest.without_history() if plan.manifest else None
    with contextlib.suppress(AofError, OSError):
        there = built_set(dest, plan)
        names = {name for name in os.listdir(dest) if not name.endswith(MANIFEST_SUFFIX)}
        sizes = {part.name: os.path.getsize(part.path) for part in there.parts}
        same = there.manifest == manifest and sizes == wanted and names == set(wanted)
        if same and all(_holds(there.directory, part, size, plan) for part, size in _sizes(plan)):
            return True
    raise AofError(f"{dest} is there and holds something else", untouched=_UNTOUCHED, hint="Name a new directory")


def built_set(dest: str, plan: CutPlan) -> AofSet:
    """The set that was built in `dest`."""
    return open_set(dest if plan.manifest is not None else os.path.join(dest, plan.keep[0].name))


def _holds(directory: str, part: Part, size: int, plan: CutPlan) -> bool:
    """Whether the file in `directory` is what stays of a part."""
    tail = plan.tail if part is plan.keep[-1] else b""
    with open_plain(part.path) as wanted, open_plain(os.path.join(directory, part.name)) as found:
        ours = _pieces(wanted.fileno(), size - len(tail))
        theirs = _pieces(found.fileno(), size - len(tail))
        same = all(one == other for one, other in zip_longest(ours, theirs))
        return same and os.pread(found.fileno(), len(tail) + 1, size - len(tail)) == tail


def _pieces(fd: int, size: int) -> Iterator[bytes]:
    for at in range(0, size, _PIECE):
        yield os.pread(fd, min(_PIECE, size - at), at)


def copy_file(source: str, path: str, size: int, tail: bytes = b"") -> None:
    """Copy the first `size` bytes of a file and `tail` to the new file `path`; shared where the file system can."""
    with open_plain(source) as stream:
        _write_copy(stream.fileno(), path, size, tail)


def _sizes(plan: CutPlan) -> list[tuple[Part, int]]:
    """The files that stay, and how long each will be."""
    found = [(part, os.path.getsize(part.path)) for part in plan.keep]
    return [*found[:-1], (plan.keep[-1], plan.size + len(plan.tail))] if plan.cuts else found


def _cut(path: str, size: int, tail: bytes, *, shared: bool) -> None:
    if not shared:
        fd = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            os.ftruncate(fd, size)
            os.pwrite(fd, tail, size)
            os.fsync(fd)
        finally:
            os.close(fd)
        return
    temporary = os.path.join(os.path.dirname(path), f".{os.path.basename(path)}.tmp")
    with contextlib.suppress(FileNotFoundError):
        os.unlink(temporary)
    try:
        copy_file(path, temporary, size, tail)
        os.rename(temporary, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise
    fsync_dir(os.path.dirname(path))


def _write_copy(source: int, path: str, size: int, tail: bytes) -> None:
    """Write the first `size` bytes of an open file, and `tail`, to the new file `path`, with its owner and mode."""
    found = os.fstat(source)
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        at = _share(source, fd, size)
        while at < size:
            piece = os.pread(source, min(_CHUNK, size - at), at)
            if not piece:
                raise AofError(f"{path} could not be written: its source became shorter meanwhile")
            at += os.pwrite(fd, piece, at)
        os.pwrite(fd, tail, size)
        if os.geteuid() == 0:
            os.fchown(fd, found.st_uid, found.st_gid)
        os.fchmod(fd, found.st_mode & 0o7777)
        with contextlib.suppress(OSError):
            for name in os.listxattr(source):
                os.setxattr(fd, name, os.getxattr(source, name))
        os.utime(fd, ns=(found.st_atime_ns, found.st_mtime_ns))
        os.fsync(fd)
    finally:
        os.close(fd)


def _share(source: int, fd: int, size: int) -> int:
    """Have the kernel copy, which shares the bytes where the file system can; how many it did."""
    at = 0
    copy = getattr(os, "copy_file_range", None)
    while copy is not None and at < size:
        try:
            done = copy(source, fd, min(2**30, size - at), at, at)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EIO, errno.EDQUOT):
                raise
            return at
        if not done:
            return at
        at += done
    return at


def _require_room(directory: str, size: int) -> None:
    free = free_bytes(directory)
    if free < size + _MARGIN:
        raise AofError(
            f"there is no room for what stays, {size} bytes: {free} bytes are free in {directory}",
            untouched=_UNTOUCHED,
            hint="Make room; without another name of the file, keep_original: false cuts it where it lies",
        )
