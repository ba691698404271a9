# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A large object written while its bytes come: parts go out beside each other, in bounded memory."""

from __future__ import annotations

import contextlib
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from .._errors import RepositoryError

if TYPE_CHECKING:
    from .s3 import S3Store

_PART_BYTES = 5 << 20  # the smallest that S3 takes: so much memory each
_PARALLEL = 2  # so many parts are under way; one more is being filled
_SMALL_PARTS = 6000  # 31 GB; S3 allows 10,000, so later ones are larger
_GROWS_EVERY = 1000


def part_bytes(number: int) -> int:
    """The size of part `number` (from 1): 10,000 parts reach the 5 TiB that an object may have. Pure."""
    times = min(max(number - _SMALL_PARTS + _GROWS_EVERY - 1, 0) // _GROWS_EVERY, 3)
    return _PART_BYTES << (3 * times)


class S3Sink:
    """One object in the making. Small ones are put in one request, others as a multipart upload."""

    def __init__(self, store: S3Store, path: str) -> None:
        self._store = store
        self._path = path
        self._target = {"Bucket": store.place.bucket, "Key": store.key(path)}
        self._buffer = bytearray()
        self._sent = 0
        self._upload = ""
        self._parts: list[Future[dict[str, Any]]] = []
        self._workers: ThreadPoolExecutor | None = None
        self._done = False

    def write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            size = part_bytes(len(self._parts) + 1)
            taken = view[: size - len(self._buffer)]
            self._buffer += taken
            view = view[len(taken) :]
            if len(self._buffer) == size:
                part, self._buffer = self._buffer, bytearray()  # handed over, not copied
                self._send(part)

    def commit(self) -> None:
        with self._store.told(self._path):
            if not self._upload:
                options = self._store.options(self._path)
                self._store.client.put_object(**self._target, Body=bytes(self._buffer), **options)
            else:
                if self._buffer:
                    self._send(self._buffer)
                self._complete([part.result() for part in self._parts])
        self._done = True
        self._close()

    def _complete(self, parts: list[dict[str, Any]]) -> None:
        import botocore.exceptions as known

        try:
            self._store.client.complete_multipart_upload(
                **self._target, UploadId=self._upload, MultipartUpload={"Parts": parts}
            )
        except known.ClientError as error:
            # The answer to a first try may have been lost: then the upload is gone and the object is there.
            if str(error.response.get("Error", {}).get("Code", "")) != "NoSuchUpload" or not self._is_there(parts):
                raise

    def _is_there(self, parts: list[dict[str, Any]]) -> bool:
        found = self._store.client.head_object(**self._target)
        return int(found["ContentLength"]) == self._sent and str(found["ETag"]).strip('"').endswith(f"-{len(parts)}")

    def abort(self) -> None:
        if self._done:
            return
        self._done = True
        for part in self._parts:
            part.cancel()
        self._close()
        if self._upload:
            with contextlib.suppress(RepositoryError), self._store.told(self._path):
                self._store.client.abort_multipart_upload(**self._target, UploadId=self._upload)

    def _send(self, data: bytearray) -> None:
        self._sent += len(data)
        with self._store.told(self._path):
            if self._workers is None:
                self._workers = ThreadPoolExecutor(_PARALLEL)
                created = self._store.client.create_multipart_upload(**self._target, **self._store.options(self._path))
                self._upload = created["UploadId"]
            if len(self._parts) >= _PARALLEL:
                self._parts[-_PARALLEL].result()  # wait for room, and learn of a failure at once
            self._parts.append(self._workers.submit(self._put, len(self._parts) + 1, data))

    def _put(self, number: int, data: bytearray) -> dict[str, Any]:
        answer = self._store.client.upload_part(
            **self._target, UploadId=self._upload, PartNumber=number, Body=data, ContentLength=len(data)
        )
        kept = {name: answer[name] for name in ("ChecksumCRC32", "ChecksumCRC64NVME") if answer.get(name)}
        return {"PartNumber": number, "ETag": answer["ETag"], **kept}

    def _close(self) -> None:
        self._buffer = bytearray()
        if self._workers is not None:
            self._workers.shutdown(wait=True)
