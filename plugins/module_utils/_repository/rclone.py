# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A repository on anything that the program rclone reaches: SFTP, SMB, Azure, Google Cloud and the rest.

Each operation is one call of rclone, or few: a call costs a start and a login. Python only moves what it must see, and
nothing lies on the host's disk. rclone tries again by itself what may pass.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any, BinaryIO

from .._errors import NotFoundError, RepositoryError
from .._times import from_iso
from .layout import MANIFEST, PART, SUMS, backups_path, is_label
from .rclone_lock import RcloneLock
from .rclone_place import RclonePlace
from .rclone_program import SECONDS, Rclone, parse_features, words_of
from .rclone_stream import RcloneReader, RcloneSink
from .rclone_words import FULL_HINT, is_not_found
from .store import StoredObject, each_read

_UNTOUCHED = "The server and the earlier backups are as they were"
_LIST = ("--no-mimetype",)
_LOOKED_AT = 40  # the newest backups, which a run that holds the lock looks at
_AT_ONCE = 200  # small files that one call fetches
_LITTLE_ROOM = 2 << 20  # a pipe holds half of it


class RcloneStore:
    """The folder `place`. It is never created unless `create`: what is not there must not be filled."""

    untouched = _UNTOUCHED

    def __init__(self, name: str, place: RclonePlace, *, create: bool = False) -> None:
        self.name = name
        self.place = place
        self.rclone = Rclone(name, place, _UNTOUCHED)
        self._create = create
        self._abilities: dict[str, bool] | None = None
        self._free: list[int | None] = []
        self._held: dict[str, RcloneLock] = {}
        self._shelf: dict[str, list[str]] = {}  # names of folders, kept while a lock is held

    def where(self, path: str = "") -> str:
        return f"repository {self.name} ({self.place.full(path)})"

    # --- what rclone says ---

    def error(self, code: int, complaints: bytes, path: str, *, sent: int | None = None) -> RepositoryError:
        """The error of a call that ended with `code`, after so many bytes were sent."""
        said = complaints.decode("utf-8", "replace")
        if is_not_found(code, said):
            return NotFoundError(f"{self.where(path)} does not exist", untouched=_UNTOUCHED)
        words, hint = words_of(code, complaints)
        if sent is not None and hint == FULL_HINT:  # SFTP has one word for all: look whether it means a full disk
            self._free.clear()
            with contextlib.suppress(RepositoryError):
                free = self.free_bytes()
                if free is not None and free < sent + _LITTLE_ROOM:  # what was begun may be removed already
                    words, hint = "there is no room left", "Free or add room there, or prune old backups"
        return RepositoryError(f"{self.where(path)}: {words}", untouched=_UNTOUCHED, hint=hint)

    def _call(
        self, command: str, *words: str, path: str, data: bytes | None = None, seconds: int | None = None
    ) -> bytes:
        done = self.rclone.run(command, *words, targets=(self.place.full(path),), data=data, seconds=seconds)
        if done.returncode:
            raise self.error(done.returncode, done.stderr, path, sent=None if data is None else len(data))
        return done.stdout

    def _can(self, feature: str) -> bool:
        """Whether the remote can do something; asked once."""
        if self._abilities is None:
            self._abilities = parse_features(self._call("backend features", path=""))
        return self._abilities.get(feature, False)

    # --- the interface of a store ---

    def prepare(self, *, dry: bool = False) -> None:
        try:
            self._listing("", *_LIST)
        except NotFoundError:
            if not self._create:
                raise self._missing() from None
            if not dry:
                self._call("mkdir", path="", seconds=SECONDS)
        if not self._can("PutStream"):
            raise RepositoryError(
                f"{self.where()} cannot take a stream: rclone would first lay every artefact on this host's disk",
                untouched=_UNTOUCHED,
                hint="Use another kind of remote; rclone's overview of remotes names those with StreamUpload",
            )

    def _missing(self) -> NotFoundError:
        return NotFoundError(
            f"{self.where()} does not exist",
            untouched=_UNTOUCHED,
            hint="Correct remote or path, or create it once (rclone mkdir), or set create: true for this repository",
        )

    def free_bytes(self) -> int | None:
        if not self._free:
            done = self.rclone.run("about", "--json", targets=(self.place.full(),), seconds=SECONDS)
            self._free.append(_free_of(done.stdout) if not done.returncode else None)
        return self._free[0]

    def names(self, path: str) -> list[str]:
        if path in self._shelf:
            return self._shelf[path]
        instance, _slash, rest = path.partition("/")
        if instance not in self._held:
            return self._names(path)
        above, _slash, label = path.rpartition("/")
        if above == backups_path(instance) and is_label(label):
            if label not in self.names(above):
                return []
            self._look_at_newest(above)
        elif rest:
            self._shelf[path] = self._names(path)
        return self._shelf[path] if path in self._shelf else self._names(path)

    def _look_at_newest(self, folder: str) -> None:
        """Keep the names in the newest backups by one call, instead of one call for each."""
        labels = [name for name in self.names(folder) if is_label(name)][-_LOOKED_AT:]
        pattern = "/{" + ",".join(labels) + "}/*"
        listing = self._listing(folder, "-R", "--files-only", f"--include={pattern}", *_LIST) if labels else []
        for label in labels:
            inside = [str(each["Path"]).partition("/") for each in listing]
            self._shelf[f"{folder}/{label}"] = sorted(name for above, _slash, name in inside if above == label)

    def list_now(self, path: str) -> list[str]:
        """The names of the files in a folder, never kept ones."""
        return sorted(str(each["Name"]) for each in self._listing(path, "--files-only", *_LIST))

    def _names(self, path: str) -> list[str]:
        try:
            if not self._can("BucketBased"):
                return sorted(str(each["Name"]) for each in self._listing(path, *_LIST))
            # Some services list folders that have become empty, for some minutes more.
            files = self._listing(path, "-R", "--files-only", "--fast-list", *_LIST)
            return sorted({str(each["Path"]).partition("/")[0] for each in files})
        except NotFoundError:
            return self._none(path)

    def _none(self, path: str) -> list[Any]:
        """Nothing, where there is no such folder. Raises NotFoundError when there is no repository."""
        if self._create:
            return []
        if path:
            with contextlib.suppress(NotFoundError):
                self._listing("", *_LIST)
                return []
        raise self._missing()

    def _listing(self, path: str, *words: str) -> list[dict[str, Any]]:
        output = self._call("lsjson", *words, path=path)
        try:
            found = json.loads(output)
            return [each for each in found if each["Name"]]
        except (ValueError, KeyError, TypeError):
            raise self._senseless(path) from None

    def _senseless(self, path: str) -> RepositoryError:
        return RepositoryError(f"{self.where(path)}: rclone's listing makes no sense", untouched=_UNTOUCHED)

    def files(self, path: str) -> list[StoredObject]:
        fast = ["--fast-list"] if self._can("BucketBased") else []
        try:
            listing = self._listing(path, "-R", "--files-only", *fast, *_LIST)
        except NotFoundError:
            return self._none(path)
        return sorted((stored_object(path, each) for each in listing), key=lambda each: each.path)

    def read(self, path: str, limit: int = 16 * 1024 * 1024) -> bytes:
        data = self._call("cat", f"--count={limit + 1}", path=path)
        if len(data) > limit:
            raise RepositoryError(f"{self.where(path)} is larger than {limit} bytes", untouched=_UNTOUCHED)
        if not data:
            self.size(path)  # some remotes give nothing for what is not there, without a word
        return data

    def read_many(self, paths: Sequence[str]) -> Iterator[tuple[str, bytes | RepositoryError]]:
        if len(paths) < 3:
            yield from (each_read(self, path) for path in paths)
            return
        for start in range(0, len(paths), _AT_ONCE):
            yield from self._fetched(paths[start : start + _AT_ONCE])

    def _fetched(self, paths: Sequence[str]) -> Iterator[tuple[str, bytes | RepositoryError]]:
        """Small files by one call, by way of a private folder that is gone behind it."""
        with tempfile.TemporaryDirectory(prefix="redis-backup-") as folder:
            wanted = os.path.join(folder, "wanted")
            with open(wanted, "w", encoding="utf-8") as stream:
                stream.writelines(f"{path}\n" for path in paths)
            inside = os.path.join(folder, "files")
            words = (f"--files-from-raw={wanted}", "--no-traverse", "--transfers=8", "--checkers=8")
            done = self.rclone.run("copy", *words, targets=(self.place.full(), inside))
            for path in paths:
                try:
                    with open(os.path.join(inside, path), "rb") as stream:
                        yield path, stream.read()
                except FileNotFoundError:
                    if done.returncode and not os.path.isdir(inside):
                        yield path, self.error(done.returncode, done.stderr, path)
                    else:
                        yield each_read(self, path)

    def open(self, path: str) -> BinaryIO:
        return RcloneReader(self, path)  # type: ignore[return-value]

    def size(self, path: str) -> int:
        output = self._call("lsjson", "--stat", *_LIST, path=path, seconds=SECONDS)
        try:
            found = json.loads(output)
            if not found or found["IsDir"]:  # what is not there is a folder on some remotes
                raise NotFoundError(f"{self.where(path)} does not exist", untouched=_UNTOUCHED)
            return int(found["Size"])
        except (ValueError, KeyError, TypeError):
            raise self._senseless(path) from None

    def create(self, path: str) -> RcloneSink:
        self._shelf.clear()
        return RcloneSink(self, path)

    def put(self, path: str, data: bytes) -> None:
        """A small file, straight under its name. rclone holds all of it before it begins."""
        self._shelf.clear()
        self._call("rcat", f"--streaming-upload-cutoff={len(data) + 1}B", path=path, data=data, seconds=SECONDS)

    def move(self, path: str, target: str) -> None:
        """Rename a file. Object stores say nothing when it is not there."""
        targets = (self.place.full(path), self.place.full(target))
        done = self.rclone.run("moveto", targets=targets, seconds=SECONDS)
        if done.returncode:
            raise self.error(done.returncode, done.stderr, target)

    def forget(self, path: str) -> bool:
        """Remove one file if that can be done; whether it was there and is gone."""
        with contextlib.suppress(RepositoryError):
            done = self.rclone.run("deletefile", targets=(self.place.full(path),), seconds=SECONDS)
            return not done.returncode
        return False

    def write(self, path: str, data: bytes) -> None:
        """Object stores show an object when it is whole. Elsewhere it is written beside its name, and renamed."""
        instance, _slash, rest = path.partition("/")
        folder, _slash, name = path.rpartition("/")
        beside = not self._can("BucketBased") and (self._can("Move") or self._can("Copy"))
        beside = beside and name != SUMS  # which does not count before the manifest does
        part = f"{folder}/.{name}{PART}".lstrip("/") if beside else path
        if beside:
            self.put(part, data)
        if rest.endswith(f"/{MANIFEST}"):
            self.assure(instance)  # else another writer may have removed what we wrote, as remains
        if beside:
            self.move(part, path)
        else:
            self.put(path, data)

    def remove(self, path: str) -> None:
        """Remove a file or folder. A manifest goes first: what cannot be removed whole is no backup any more."""
        if not path.strip("/"):
            raise RepositoryError(f"{self.where()} is not removed as a whole", untouched=_UNTOUCHED)
        self._shelf.clear()
        done = self.rclone.run("delete", f"--include={MANIFEST}", targets=(self.place.full(path),))
        said = done.stderr.decode("utf-8", "replace")
        if "single file" in said:
            done = self.rclone.run("deletefile", targets=(self.place.full(path),), seconds=SECONDS)
        elif not done.returncode:
            done = self.rclone.run("purge", targets=(self.place.full(path),))
        if done.returncode and not is_not_found(done.returncode, done.stderr.decode("utf-8", "replace")):
            raise self.error(done.returncode, done.stderr, path)

    def why_locked(self, path: str) -> str:
        return ""

    def assure(self, instance: str) -> None:
        if instance in self._held:
            self._held[instance].assure()

    def lock(self, instance: str) -> AbstractContextManager[str | None]:
        return self._locked(instance)

    @contextlib.contextmanager
    def _locked(self, instance: str) -> Iterator[str | None]:
        with RcloneLock(self, instance) as lock:
            self._held[instance] = lock
            try:
                yield lock.broken
            finally:
                del self._held[instance]
                self._shelf.clear()


def stored_object(folder: str, entry: dict[str, Any]) -> StoredObject:
    """One file of `rclone lsjson`, listed below `folder`. Pure."""
    modified, size = str(entry["ModTime"]), int(entry["Size"])
    whole, dot, rest = modified.partition(".")
    if dot:  # nanoseconds: more than Python reads
        digits = rest.rstrip("Z").partition("+")[0].partition("-")[0]
        modified = f"{whole}.{digits[:6]}{rest[len(digits):]}"
    path = "/".join(part for part in (folder.strip("/"), str(entry["Path"])) if part)
    return StoredObject(path, size, f"{size}-{entry['ModTime']}", from_iso(modified))


def _free_of(output: bytes) -> int | None:
    """The room left that `rclone about --json` tells, if it does."""
    with contextlib.suppress(ValueError, KeyError, TypeError):
        return int(json.loads(output)["free"])
    return None
