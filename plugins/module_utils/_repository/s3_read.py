# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A large object read once, from its beginning; a connection that breaks is taken up again where it broke."""

from __future__ import annotations

import contextlib
import io
import time
from typing import Any

_TRIES = 5


class ResumingReader(io.RawIOBase):
    """The bytes of an object. Raises OSError when it cannot be read on."""

    def __init__(self, client: Any, bucket: str, key: str) -> None:
        super().__init__()
        self._client = client
        self._target = {"Bucket": bucket, "Key": key}
        self._at = 0
        self._failures = 0
        answer = client.get_object(**self._target)
        self._size = int(answer["ContentLength"])
        self._etag = answer["ETag"]
        self._body = answer["Body"]

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer; 0 at the end."""
        import botocore.exceptions as known

        view = memoryview(buffer).cast("B")
        while self._at < self._size:
            try:
                data = self._body.read(min(len(view), self._size - self._at))
                if data:
                    view[: len(data)] = data
                    self._at += len(data)
                    self._failures = 0
                    return len(data)
                raise OSError("the connection ended early")
            except (known.BotoCoreError, known.ClientError, known.HTTPClientError, OSError) as error:
                self._failures += 1
                if self._failures >= _TRIES:
                    raise OSError(None, f"it broke off at byte {self._at} {self._failures} times: {error}") from None
                time.sleep(0.1 * 2**self._failures)
                self._reopen()
        return 0

    def _reopen(self) -> None:
        import botocore.exceptions as known

        with contextlib.suppress(OSError, known.BotoCoreError):
            self._body.close()
        with contextlib.suppress(known.BotoCoreError, known.ClientError, known.HTTPClientError, OSError):
            answer = self._client.get_object(**self._target, Range=f"bytes={self._at}-", IfMatch=self._etag)
            self._body = answer["Body"]

    def close(self) -> None:
        if not self.closed:
            self._body.close()
        super().close()
