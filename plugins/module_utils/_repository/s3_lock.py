# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The right to write backups of an instance, as an object in the bucket: an owner and an expiry, kept alive.

The object is created on the condition that there is none, which S3 decides. An owner that died stops renewing it; after
its lease, the next writer replaces that very object (by its ETag), so that of two breakers one wins. An owner that was
held up for longer than its lease finds out by the same condition, before it would finish a backup.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
import uuid
from types import TracebackType
from typing import TYPE_CHECKING, Any

from .._errors import RepositoryError
from .._times import from_iso, now, to_iso
from .layout import LOCK

if TYPE_CHECKING:
    from .s3 import S3Store

LEASE = 120.0  # seconds; the clocks of two controllers may differ by less than half of it
_RENEW = 30.0
_REFUSED = ("PreconditionFailed", "412", "ConditionalRequestConflict", "409", "NoSuchKey", "404")
_MISSING = ("NoSuchKey", "404")
_UNTOUCHED = "The server and the earlier backups are as they were"


class S3Lock:
    """A context that holds the lock of one instance. Raises RepositoryError when another writer lives."""

    def __init__(self, store: S3Store, instance: str) -> None:
        self._store = store
        self._instance = instance
        self._path = f"{instance}/{LOCK}"
        self._target = {"Bucket": store.place.bucket, "Key": store.key(self._path)}
        self._token = uuid.uuid4().hex
        self._etag = ""
        self._versions: list[str] = []  # of the lock, in a bucket that keeps versions: ours to take away
        self._ended = threading.Event()
        self._renewing = threading.Lock()
        self._keeper: threading.Thread | None = None
        self.broken = ""

    def __enter__(self) -> S3Lock:
        with self._store.told(self._path):
            if not self._put("If-None-Match", "*"):
                self._take_over()
        self._keeper = threading.Thread(target=self._keep, daemon=True)
        self._keeper.start()
        return self

    def __exit__(self, _kind: type[BaseException] | None, _error: Any, _trace: TracebackType | None) -> None:
        self._ended.set()
        if self._keeper:
            self._keeper.join()
        with contextlib.suppress(RepositoryError), self._store.told(self._path):
            if self._renew() is None:
                self._give_back()

    def assure(self) -> None:
        """Renew the lease now. Raises RepositoryError when it is not ours any more: then nothing may be finished."""
        with self._store.told(self._path):
            owner = self._renew()
        if owner is not None:
            raise RepositoryError(
                f"the lock of {self._instance} in {self._store.where()} is {owner or 'nobody'}'s now: this run was "
                f"held up for longer than {LEASE:.0f} seconds",
                untouched=_UNTOUCHED,
                hint="Run again",
            )

    def _document(self) -> bytes:
        owner = f"{socket.gethostname()}, process {os.getpid()}"
        return json.dumps({"owner": owner, "token": self._token, "expires": to_iso(now() + LEASE)}).encode()

    def _put(self, condition: str, value: str) -> bool:
        """Write the lock on a condition; False when it does not hold."""
        import botocore.exceptions as known

        try:
            with self._store.on_condition(condition, value):
                answer = self._store.client.put_object(**self._target, Body=self._document())
        except known.ClientError as error:
            if str(error.response.get("Error", {}).get("Code", "")) in _REFUSED:
                return False
            raise
        self._etag = answer["ETag"]
        self._versions += [answer["VersionId"]] if answer.get("VersionId") else []
        return True

    def _present(self) -> tuple[dict[str, Any], str]:
        """The lock that is there, and its ETag; empty when it has gone meanwhile."""
        import botocore.exceptions as known

        try:
            answer = self._store.client.get_object(**self._target)
            found = json.loads(answer["Body"].read())
        except known.ClientError as error:
            if str(error.response.get("Error", {}).get("Code", "")) in _MISSING:
                return {}, ""
            raise
        except ValueError:
            return {}, answer["ETag"]  # no words of ours: nobody renews it
        return (found if isinstance(found, dict) else {}), answer["ETag"]

    def _take_over(self) -> None:
        found, etag = self._present()
        if self._is_ours(found, etag):
            return
        expires = str(found.get("expires", ""))
        if etag and _lives(expires):
            raise self._busy(str(found.get("owner", "somebody")), expires)
        won = self._put("If-Match", etag) if etag else self._put("If-None-Match", "*")
        if not won:
            now_there, now_etag = self._present()
            if not self._is_ours(now_there, now_etag):
                raise self._busy(str(now_there.get("owner", "somebody else")), str(now_there.get("expires", "soon")))
        if etag:
            self.broken = f"took over the lock of {found.get('owner', 'nobody')}, whose lease ended at {expires}"

    def _is_ours(self, found: dict[str, Any], etag: str) -> bool:
        """Whether the lock that is there is one that we wrote: a refusal may follow a success whose answer was lost."""
        if found.get("token") != self._token:
            return False
        self._etag = etag
        return True

    def _busy(self, owner: str, until: str) -> RepositoryError:
        return RepositoryError(
            f"another backup of {self._instance} is being written to {self._store.where()} by {owner}",
            untouched=_UNTOUCHED,
            hint=f"Wait until it has ended, then run again; a dead owner's lock ends at {until}",
        )

    def _keep(self) -> None:
        """Renew the lease until the end. One that cannot be renewed runs out, and another writer may come."""
        while not self._ended.wait(_RENEW):
            with contextlib.suppress(RepositoryError), self._store.told(self._path):
                self._renew()

    def _renew(self) -> str | None:
        """Renew the lease. None, or who holds it now."""
        with self._renewing:
            older = len(self._versions)
            if not self._put("If-Match", self._etag):
                found, etag = self._present()
                if not self._is_ours(found, etag):
                    return str(found.get("owner", ""))
            self._drop_versions(older)
        return None

    def _drop_versions(self, count: int) -> None:
        """Remove the first `count` versions that we wrote, and nobody else's."""
        doomed, self._versions = self._versions[:count], self._versions[count:]
        if doomed:
            objects = [{"Key": self._target["Key"], "VersionId": version} for version in doomed]
            self._store.client.delete_objects(Bucket=self._target["Bucket"], Delete={"Objects": objects, "Quiet": True})

    def _give_back(self) -> None:
        """Remove the lock. Where the bucket keeps versions, dead owners' locks would else come to light again."""
        if self._versions:
            with contextlib.suppress(RepositoryError):
                self._store.remove(self._path)
                return
        self._store.client.delete_object(**self._target)


def _lives(expires: str) -> bool:
    try:
        return from_iso(expires) > now()
    except ValueError:
        return False
