# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An object read once, from its beginning; a connection that breaks is taken up again where it broke.

boto3 tries a request again until the answer's head has come. What breaks in the middle of a body is ours to mend.
"""

from __future__ import annotations

import contextlib
import errno
import io
import time
from typing import Any

_TRIES = 5
_FIRST_PAUSE = 0.2  # seconds; doubled each time


def broken() -> tuple[type[Exception], ...]:
    """What boto3 raises for a connection that cannot be had or that breaks."""
    import botocore.exceptions
    import botocore.parsers  # older versions of boto3 read half an answer as a whole one that makes no sense
    import urllib3.exceptions  # botocore lets some of a body's errors through as they are

    parsing = botocore.parsers.ResponseParserError
    return (botocore.exceptions.BotoCoreError, parsing, urllib3.exceptions.HTTPError, OSError)


class ResumingReader(io.RawIOBase):
    """The bytes of an object. Raises OSError when it cannot be read on; `where` names it then."""

    def __init__(self, client: Any, bucket: str, key: str, where: str) -> None:
        super().__init__()
        self._client = client
        self._target = {"Bucket": bucket, "Key": key}
        self._where = where
        self._at = 0
        self._failures = 0
        answer = client.get_object(**self._target)
        self.size = int(answer["ContentLength"])
        self._etag = answer["ETag"]
        self._body: Any = answer["Body"]

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer; 0 at the end."""
        view = memoryview(buffer).cast("B")
        while self._at < self.size:
            try:
                data = self._piece(min(len(view), self.size - self._at))
            except broken() as error:
                self._drop()
                self._failures += 1
                if self._failures >= _TRIES:
                    words = f"it broke off at byte {self._at} of {self.size}, {_TRIES} times: {error}"
                    raise OSError(errno.EIO, words, self._where) from None
                time.sleep(_FIRST_PAUSE * 2 ** (self._failures - 1))
                continue
            view[: len(data)] = data
            self._at += len(data)
            self._failures = 0
            if self._at == self.size:
                self._end()
            return len(data)
        return 0

    def _piece(self, count: int) -> bytes:
        """The next bytes, by a new request where there is no connection. Raises what `broken` lists."""
        import botocore.exceptions

        if self._body is None:
            try:
                answer = self._client.get_object(**self._target, Range=f"bytes={self._at}-", IfMatch=self._etag)
            except botocore.exceptions.ClientError as error:
                self._failures = _TRIES  # boto3 has tried what may pass; this will not (it was replaced or removed)
                raise OSError(str(error)) from None
            self._body = answer["Body"]
        data: bytes = self._body.read(count)
        if not data:
            raise OSError("the connection ended early")
        return data

    def _end(self) -> None:
        """Read the end of the answer: only then its connection serves the next request."""
        if self._body is not None:
            with contextlib.suppress(*broken()):
                self._body.read(1)
        self._drop()

    def _drop(self) -> None:
        body, self._body = self._body, None
        if body is not None:
            with contextlib.suppress(*broken()):
                body.close()

    def close(self) -> None:
        if not self.closed:
            self._drop()
        super().close()
