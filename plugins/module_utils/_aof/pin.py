# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A set of AOF files pinned while the server goes on writing and rewriting: open descriptors, and sizes.

Nothing of the server is changed, and nothing is left behind, however we end: a descriptor keeps a file that a rewrite
deletes. The manifest is read, its files are opened and measured, and the manifest is read again; when it has moved, all
is done anew. The last file goes on growing: only as many bytes count as were there.

A write may be put off for up to 2 s while an fsync of `everysec` runs (flushAppendOnlyFile in aof.c). So the server's
clock is read when none runs: all that was written up to then stands in the files.
"""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import stat
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from .._errors import RedisBackupError, SnapshotError
from .._server.facts import Facts
from .._server.instance import Instance
from .._server.paths import Paths
from .._server.process import is_local
from .._snapshot.proof import KeyWindow, key_window
from .manifest import AofManifest, ManifestError, parse_manifest
from .parts import open_plain

_UNTOUCHED = "The server and its AOF are as they were"
_ATTEMPTS = 200
_PAUSE = 0.02
_PUT_OFF = 3.0  # the server itself waits 2 s at most
_CHUNK = 256 * 1024
_FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK
_MANIFEST_LIMIT = 1024 * 1024
SINGLE = "single"


@dataclass(frozen=True)
class PinnedFile:
    """An open file of the set: `kind` is `b` or `i` as in the manifest, or `single`; `size` bytes of it count."""

    name: str
    kind: str
    fd: int
    size: int


@dataclass(frozen=True)
class PinnedSet:
    """A consistent set. What it holds is a state of the server between `before` and `after`.

    `manifest` is None for the one file of servers before 7.0.
    """

    paths: Paths
    manifest: AofManifest | None
    files: tuple[PinnedFile, ...]
    before: Facts
    after: Facts
    window: KeyWindow

    @property
    def taken_at(self) -> float:
        """The server's time up to which every write is in the set, UTC seconds."""
        return self.before.number("server_time_usec") / 1e6

    @property
    def layout(self) -> str:
        return SINGLE if self.manifest is None else "multi"

    @property
    def title(self) -> str:
        """The set's path, for messages."""
        return self.paths.aof_file if self.manifest is None else self.paths.manifest


@contextlib.contextmanager
def pin(instance: Instance, wait_timeout: float) -> Iterator[PinnedSet]:
    """Pin the AOF of a running server. Raises SnapshotError when it has none, or it does not hold still."""
    require_aof(instance)
    with contextlib.ExitStack() as stack:
        yield _pin(instance, time.monotonic() + wait_timeout, stack)


def require_aof(instance: Instance) -> None:
    """Raise SnapshotError when the server has no AOF, or it cannot be read here."""
    facts = instance.require_running()
    why, hint = "", "Run on the server's own host, as root or as the server's user"
    directory = instance.paths.dir
    if not facts.persistence()["aof_enabled"]:
        why, hint = "its AOF is off", "Switch it on (appendonly yes), or use engine: rdb"
    elif not facts.persistence()["aof_last_write_ok"]:
        why, hint = "it cannot write its AOF (aof_last_write_status)", (
            "Look at its log, and at its disk's free space; engine: rdb has what it holds in memory"
        )
    elif not directory:
        why = "its data directory is not known here (CONFIG GET is refused and no config_file is given)"
    elif not os.path.isdir(directory):
        why = f"its data directory {directory} is not on this host"
    if why:
        raise SnapshotError(f"the AOF of {instance.title} cannot be had: {why}", untouched=_UNTOUCHED, hint=hint)


def _pin(instance: Instance, deadline: float, stack: contextlib.ExitStack) -> PinnedSet:
    single = instance.version()[1] < (7, 0)
    moved, waited = "", ""
    attempts, seen = 0, Facts(instance.server.info())
    while attempts < _ATTEMPTS and time.monotonic() < deadline:
        before = _settled(instance)
        with contextlib.ExitStack() as opened:
            try:
                manifest, files = _open(instance.paths, single, opened)
            except _Moved as why:
                moved, waited = str(why), ""
                attempts += 1
            else:
                waited = _why_stale(instance, seen, before, files)
                after = Facts(instance.server.info())
                window = key_window(before, after)
                if not waited and window.changes is not None:
                    stack.push(opened.pop_all())
                    return PinnedSet(instance.paths, manifest, files, before, after, window)
                moved = "the server saved or was restarted meanwhile"
                attempts += 0 if waited else 1
        time.sleep(_PAUSE)
    raise SnapshotError(
        f"the AOF of {instance.title} did not hold still to be read: {waited or moved}",
        untouched=_UNTOUCHED,
        hint="Look at its log; a rewrite that fails again and again (a full disk) must be mended first"
        if waited
        else "Run again when the AOF is not being rewritten all the time",
    )


def _settled(instance: Instance) -> Facts:
    """INFO of a moment whose writes all stand in the files by now: none was put off, or it cannot be any more."""
    first, begun = Facts(instance.server.info()), time.monotonic()
    facts = first
    while facts.number("aof_pending_bio_fsync"):
        if time.monotonic() - begun > _PUT_OFF:
            return first
        time.sleep(0.005)
        facts = Facts(instance.server.info())
    return facts


class _Moved(Exception):
    """A rewrite changed the set while it was looked at."""


def _open(
    paths: Paths, single: bool, opened: contextlib.ExitStack
) -> tuple[AofManifest | None, tuple[PinnedFile, ...]]:
    """One attempt: the files of one state of the manifest, open, with their sizes."""
    if single:
        return None, (_open_file(paths.aof_file, paths.appendfilename, SINGLE, opened),)
    raw = _read_manifest(paths.manifest)
    try:
        manifest = parse_manifest(raw)
    except ManifestError as error:
        raise SnapshotError(
            f"the manifest {paths.manifest} is damaged: {error}",
            untouched=_UNTOUCHED,
            hint="Have the server write a new one (redis_aof, state: rewritten), then run again",
        ) from None
    folder = os.path.dirname(paths.manifest)
    wanted = [*([manifest.base] if manifest.base else []), *manifest.increments]
    files = tuple(_open_file(os.path.join(folder, f.name), f.name, f.type, opened) for f in wanted)
    if _read_manifest(paths.manifest) != raw:
        raise _Moved("its manifest changed again and again")
    return manifest, files


def _read_manifest(path: str) -> bytes:
    try:
        with open_plain(path) as stream:
            return stream.read(_MANIFEST_LIMIT)
    except FileNotFoundError:
        raise _Moved(f"{path} is not there") from None
    except OSError as error:
        raise _unreadable(path, error) from None


def _open_many(path: str) -> int:
    """Open one of maybe thousands (each rewrite that fails leaves an increment). Raises OSError."""
    try:
        return os.open(path, _FLAGS)
    except OSError as error:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if error.errno != errno.EMFILE or soft == hard:
            raise
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        return os.open(path, _FLAGS)


def _open_file(path: str, name: str, kind: str, opened: contextlib.ExitStack) -> PinnedFile:
    try:
        fd = _open_many(path)
    except FileNotFoundError:
        raise _Moved(f"{path} is not there") from None
    except OSError as error:
        raise _unreadable(path, error) from None
    opened.callback(os.close, fd)
    found = os.fstat(fd)
    if not stat.S_ISREG(found.st_mode):
        raise SnapshotError(f"{path} is no file", untouched=_UNTOUCHED)
    return PinnedFile(name, kind, fd, found.st_size)


def _unreadable(path: str, error: OSError) -> RedisBackupError:
    return SnapshotError(
        f"{path} cannot be read: {error.strerror}",
        untouched=_UNTOUCHED,
        hint="Run as root or as the server's user",
    )


def _why_stale(instance: Instance, seen: Facts, facts: Facts, files: tuple[PinnedFile, ...]) -> str:
    """Why these files may be those of an earlier time, which the server does not write to; empty when they are live.

    A server whose AOF was just switched on writes elsewhere until its first rewrite has ended well; what lies there is
    then as old as the day it was switched off.
    """
    if not files:
        return "its manifest names no files"
    idle = all(facts.info.get(name, "0") == "0" for name in ("aof_rewrite_in_progress", "aof_rewrite_scheduled"))
    if idle and facts.flag_ok("aof_last_bgrewrite_status"):
        return ""
    if files[-1].kind == SINGLE:  # which it opens at once, but does not write to before it has ended well
        live = seen.number("aof_current_size") != facts.number("aof_current_size")
    else:
        live = is_local(facts, instance.paths.dir) and _writes_to(facts.number("process_id"), files[-1].fd)
    if live:
        return ""
    return "its rewrite has not ended" if not idle else "its last rewrite failed (aof_last_bgrewrite_status)"


def _writes_to(pid: int, fd: int) -> bool:
    """Whether a process has this very file open."""
    ours = os.fstat(fd)
    folder = f"/proc/{pid}/fd"
    try:
        names = os.listdir(folder)
    except OSError:
        return False
    for name in names:
        with contextlib.suppress(OSError):
            if os.path.samestat(ours, os.stat(os.path.join(folder, name))):
                return True
    return False


def pinned_chunks(file: PinnedFile, size: int) -> Iterator[memoryview]:
    """The first `size` bytes of a pinned file; each view is valid until the next is asked for."""
    view = memoryview(bytearray(_CHUNK))
    at = 0
    while at < size:
        got = os.preadv(file.fd, [view[: min(_CHUNK, size - at)]], at)
        if not got:
            raise SnapshotError(
                f"{file.name} was cut at byte {at} while it was read (by the server, for want of room?)",
                untouched=_UNTOUCHED,
                hint="Run again; look at the server's log if it stays so",
            )
        at += got
        yield view[:got]


def count_document(pinned: PinnedSet) -> Mapping[str, object]:
    """What is known of the number of keys: a count, and by how many keys it may be wrong."""
    window, facts = pinned.window, pinned.after
    return {
        "total": facts.keys,
        "expires": sum(db["expires"] for db in facts.keyspace.values()),
        "expired": 0,
        "databases": {name: dict(count) for name, count in facts.keyspace.items()},
        "databases_exact": window.exact,
        "room": window.changes or 0,
        "field_ttls": facts.hashes_with_field_ttls,
    }
