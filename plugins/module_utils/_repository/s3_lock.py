# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The right to write backups of an instance, as an object in the bucket: an owner and an expiry, kept alive.

The object is created on the condition that there is none, which S3 decides. An owner that died stops renewing it; after
its lease, the next writer replaces that very object (by its ETag), so that of two breakers one wins.
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
_CONDITION = ("PreconditionFailed", "412", "ConditionalRequestConflict", "409")


class S3Lock:
    """A context that holds the lock of one instance. Raises RepositoryError when another writer lives."""

    def __init__(self, store: S3Store, instance: str) -> None:
        self._store = store
        self._instance = instance
        self._path = f"{instance}/{LOCK}"
        self._target = {"Bucket": store.place.bucket, "Key": store.key(self._path)}
        self._token = uuid.uuid4().hex
        self._etag = ""
        self._ended = threading.Event()
        self._keeper: threading.Thread | None = None
        self.broken = ""

    def __enter__(self) -> None:
        with self._store.told(self._path):
            if not self._put(IfNoneMatch="*"):
                self._take_over()
        self._keeper = threading.Thread(target=self._keep, daemon=True)
        self._keeper.start()

    def __exit__(self, _kind: type[BaseException] | None, _error: Any, _trace: TracebackType | None) -> None:
        self._ended.set()
        if self._keeper:
            self._keeper.join()
        with contextlib.suppress(RepositoryError), self._store.told(self._path):
            if self._present()[0].get("token") == self._token:
                self._store.client.delete_object(**self._target)

    def _document(self) -> bytes:
        owner = f"{socket.gethostname()}, process {os.getpid()}"
        return json.dumps({"owner": owner, "token": self._token, "expires": to_iso(now() + LEASE)}).encode()

    def _put(self, **condition: str) -> bool:
        """Write the lock on a condition; False when it does not hold."""
        import botocore.exceptions as known

        try:
            self._etag = self._store.client.put_object(**self._target, Body=self._document(), **condition)["ETag"]
        except known.ClientError as error:
            if str(error.response.get("Error", {}).get("Code", "")) in _CONDITION:
                return False
            raise
        return True

    def _present(self) -> tuple[dict[str, Any], str]:
        """The lock that is there, and its ETag; empty when it has gone meanwhile."""
        import botocore.exceptions as known

        try:
            answer = self._store.client.get_object(**self._target)
            return json.loads(answer["Body"].read()), answer["ETag"]
        except known.ClientError as error:
            if str(error.response.get("Error", {}).get("Code", "")) in ("NoSuchKey", "404"):
                return {}, ""
            raise
        except ValueError:
            return {}, ""

    def _take_over(self) -> None:
        found, etag = self._present()
        expires = found.get("expires")
        if found.get("token") == self._token:  # our own, whose answer was lost on the way
            self._etag = etag
            return
        if etag and expires and from_iso(str(expires)) > now():
            raise self._busy(str(found.get("owner", "somebody")), str(expires))
        won = self._put(IfMatch=etag) if etag else self._put(IfNoneMatch="*")
        if not won:
            raise self._busy("somebody else", "soon")
        self.broken = f"took over the lock of {found.get('owner', 'nobody')}, whose lease ended at {expires}"

    def _busy(self, owner: str, until: str) -> RepositoryError:
        return RepositoryError(
            f"another backup of {self._instance} is being written to {self._store.where()} by {owner}",
            untouched="The server and the earlier backups are as they were",
            hint=f"Wait until it has ended, then run again; a dead owner's lock ends at {until}",
        )

    def _keep(self) -> None:
        """Renew the lease until the end. One that cannot be renewed runs out, and another writer may come."""
        while not self._ended.wait(_RENEW):
            with contextlib.suppress(RepositoryError), self._store.told(self._path):
                self._put(IfMatch=self._etag)
