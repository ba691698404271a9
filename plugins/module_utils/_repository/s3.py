# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A repository in an S3 bucket, by boto3. Objects are written whole: a multipart upload shows nothing until it is done.

boto3 tries a request again by itself, with growing pauses, where that may help (5xx, throttling, resets). What it gives
up on is told in an operator's words.
"""

from __future__ import annotations

import contextlib
import datetime
import sys
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from .._errors import NotFoundError, ProgramError, RepositoryError
from .._times import now, to_iso
from .layout import MANIFEST, backups_path, exports_path, is_added
from .s3_lock import S3Lock
from .s3_read import ResumingReader, broken
from .s3_write import S3Sink
from .store import StoredObject, each_read

_UNTOUCHED = "The server and the earlier backups are as they were"
_ATTEMPTS = 6
_READS_AT_ONCE = 8
_AT_ONCE = 1000  # objects that one request may remove
_NOT_FOUND = ("NoSuchKey", "NoSuchBucket", "404", "NotFound")
_HINTS = {
    "AccessDenied": "Give the credentials the rights that the guide to repositories lists for S3",
    "403": "Correct access_key and secret_key, and what they may do with this bucket",
    "InvalidAccessKeyId": "Correct access_key",
    "SignatureDoesNotMatch": "Correct secret_key",
    "RequestTimeTooSkewed": "Correct this host's clock: it is more than 15 minutes off",
    "SlowDown": "The service throttles; run again later",
}


@dataclass(frozen=True)
class S3Place:
    """Where a repository lies. Credentials that are not given are what boto3 finds (environment, files, role)."""

    bucket: str
    prefix: str = ""
    endpoint_url: str | None = None
    region: str | None = None
    access_key: str | None = field(default=None, repr=False)
    secret_key: str | None = field(default=None, repr=False)
    path_style: bool | None = None
    storage_class: str | None = None
    encryption: str | None = None
    kms_key_id: str | None = None
    lock_mode: str | None = None
    lock_days: int = 0
    ca_certs: str | None = None
    validate_certs: bool = True


def _addressing(place: S3Place) -> str:
    """How the bucket is named in requests: services of one's own rarely have a name for each bucket."""
    if place.path_style is None:
        return "path" if place.endpoint_url else "auto"
    return "path" if place.path_style else "virtual"


def _timestamp(value: Any) -> datetime.datetime:
    """A time in an answer: `2026-11-22T23:51:41.000Z` in listings; other forms are left to boto3."""
    if isinstance(value, str) and len(value) in (20, 24) and value[10:11] == "T" and value.endswith("Z"):
        with contextlib.suppress(ValueError):
            return datetime.datetime.fromisoformat(f"{value[:-1]}+00:00")
    import botocore.utils

    found: datetime.datetime = botocore.utils.parse_timestamp(value)
    return found


def _boto() -> Any:
    try:
        import boto3
    except ImportError:
        raise ProgramError(
            f"the Python library boto3 is missing for the Python that Ansible uses here, {sys.executable}",
            untouched="Nothing was changed",
            hint="Install it for that Python (Debian: python3-boto3)",
            missing_program="python3-boto3",
        ) from None
    return boto3


class S3Store:
    """The objects below `prefix` of a bucket. The bucket is never created unless `create`."""

    def __init__(self, name: str, place: S3Place, *, create: bool = False) -> None:
        self.name = name
        self.place = place
        self._create = create
        self._client: Any = None
        self._condition = threading.local()
        self._held: dict[str, S3Lock] = {}

    # --- the connection ---

    @property
    def client(self) -> Any:
        """The boto3 client, made when it is first needed: that costs a third of a second."""
        if self._client is None:
            boto3 = _boto()
            place = self.place
            import botocore.config

            settings = botocore.config.Config(
                connect_timeout=10,
                read_timeout=60,
                retries={"mode": "standard", "total_max_attempts": _ATTEMPTS},
                s3={"addressing_style": _addressing(place)},
                max_pool_connections=8,
            )
            session = boto3.session.Session(
                aws_access_key_id=place.access_key,
                aws_secret_access_key=place.secret_key,
                region_name=place.region or ("us-east-1" if place.endpoint_url else None),
            )
            parsers = session._session.get_component("response_parser_factory")
            parsers.set_parser_defaults(timestamp_parser=_timestamp)  # boto3's own takes most of a listing's time
            self._client = session.client(
                "s3",
                endpoint_url=place.endpoint_url,
                config=settings,
                verify=place.ca_certs if place.validate_certs else False,
            )
            self._client.meta.events.register("before-call.s3.PutObject", self._add_condition)
        return self._client

    @contextlib.contextmanager
    def on_condition(self, header: str, value: str) -> Iterator[None]:
        """Objects put in this context carry a condition. A header, since older versions of boto3 know no option."""
        self._condition.header = {header: value}
        try:
            yield
        finally:
            self._condition.header = {}

    def _add_condition(self, params: dict[str, Any], **_rest: Any) -> None:
        params["headers"].update(getattr(self._condition, "header", {}))

    def where(self, path: str = "") -> str:
        return f"repository {self.name} (s3://{self.place.bucket}/{self.key(path)})"

    def key(self, path: str) -> str:
        """The object's key of a path in the repository. Raises RepositoryError for one that leads out of it."""
        parts = [part for part in path.split("/") if part]
        if ".." in parts:
            raise RepositoryError(f"{path!r} leads out of repository {self.name}", untouched=_UNTOUCHED)
        return "/".join([*filter(None, [self.place.prefix.strip("/")]), *parts])

    @contextlib.contextmanager
    def told(self, path: str = "") -> Iterator[None]:
        """Turn what boto3 raises into a RepositoryError that names the object and the way out."""
        _boto()
        import botocore.exceptions as known

        try:
            yield
        except known.ClientError as error:
            code = str(error.response.get("Error", {}).get("Code", ""))
            words = str(error.response.get("Error", {}).get("Message", "")) or code
            if code == "NoSuchBucket":
                raise NotFoundError(
                    f"repository {self.name}: there is no bucket {self.place.bucket}",
                    untouched=_UNTOUCHED,
                    hint="Correct bucket or endpoint_url, or create it once (create: true)",
                ) from None
            if code in _NOT_FOUND:
                raise NotFoundError(f"{self.where(path)} does not exist", untouched=_UNTOUCHED) from None
            status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
            hint = _HINTS.get(code, "The service is in trouble; run again later" if status >= 500 else "")
            raise RepositoryError(f"{self.where(path)}: {words} ({code})", untouched=_UNTOUCHED, hint=hint) from None
        except known.NoCredentialsError:
            raise RepositoryError(
                f"{self.where(path)}: no credentials were found",
                untouched=_UNTOUCHED,
                hint="Give access_key and secret_key, or what boto3 looks for: AWS_ACCESS_KEY_ID, ~/.aws, a role",
            ) from None
        except broken() as error:
            raise self._unreachable(path, getattr(error, "strerror", None) or str(error)) from None
        except ValueError as error:  # boto3's word for an endpoint_url that is none
            raise self._unreachable(path, str(error)) from None

    def _unreachable(self, path: str, words: str) -> RepositoryError:
        return RepositoryError(
            f"{self.where(path)} cannot be reached: {words}",
            untouched=_UNTOUCHED,
            hint="Correct endpoint_url, ca_certs or the network, then run again",
        )

    # --- the interface of a store ---

    def prepare(self, *, dry: bool = False) -> None:
        try:
            with self.told():
                self.client.list_objects_v2(Bucket=self.place.bucket, Prefix=self.key(""), MaxKeys=1)
        except NotFoundError:
            if not self._create:
                raise
            if dry:
                return
            with self.told(), contextlib.suppress(self.client.exceptions.BucketAlreadyOwnedByYou):
                self.client.create_bucket(Bucket=self.place.bucket, **self._bucket_options())

    def _bucket_options(self) -> dict[str, Any]:
        options: dict[str, Any] = {"ObjectLockEnabledForBucket": True} if self.place.lock_mode else {}
        if self.place.region and self.place.region != "us-east-1" and not self.place.endpoint_url:
            options["CreateBucketConfiguration"] = {"LocationConstraint": self.place.region}
        return options

    def free_bytes(self) -> int | None:
        return None

    def names(self, path: str) -> list[str]:
        try:
            return self._names(path)
        except NotFoundError:
            if self._create:
                return []  # the bucket will be made by the first backup
            raise

    def _names(self, path: str) -> list[str]:
        folder = self.key(path)
        prefix = f"{folder}/" if folder else ""
        folders: set[str] = set()
        files: set[str] = set()
        empty_ones = False
        with self.told(path):
            for page in self._listing(prefix, Delimiter="/"):
                folders.update(entry["Prefix"][len(prefix) :].rstrip("/") for entry in page.get("CommonPrefixes", []))
                files.update(entry["Key"][len(prefix) :] for entry in page.get("Contents", []))
                headers = page.get("ResponseMetadata", {}).get("HTTPHeaders", {})
                empty_ones = str(headers.get("server", "")).startswith("SeaweedFS")
            if folders and empty_ones:  # SeaweedFS lists folders that have become empty for some minutes more
                keys = (entry["Key"] for page in self._listing(prefix) for entry in page.get("Contents", []))
                folders &= {key[len(prefix) :].partition("/")[0] for key in keys}
        return sorted(name for name in folders | files if name)

    def files(self, path: str) -> list[StoredObject]:
        root = self.key("")
        above = len(root) + 1 if root else 0
        found = []
        try:
            with self.told(path):
                for page in self._listing(f"{self.key(path)}/"):
                    for entry in page.get("Contents", []):
                        tag, modified = str(entry["ETag"]).strip('"'), entry["LastModified"].timestamp()
                        found.append(StoredObject(entry["Key"][above:], int(entry["Size"]), tag, modified))
        except NotFoundError:
            if not self._create:
                raise
        return sorted(found, key=lambda each: each.path)

    def _listing(self, prefix: str, **options: str) -> Any:
        pages = self.client.get_paginator("list_objects_v2")
        return pages.paginate(Bucket=self.place.bucket, Prefix=prefix, **options)

    def read(self, path: str, limit: int = 16 * 1024 * 1024) -> bytes:
        with self.told(path), self._reader(path) as stream:
            if stream.size > limit:
                raise RepositoryError(f"{self.where(path)} is larger than {limit} bytes", untouched=_UNTOUCHED)
            return stream.readall()

    def read_many(self, paths: Sequence[str]) -> Iterator[tuple[str, bytes | RepositoryError]]:
        if len(paths) < _READS_AT_ONCE:
            yield from (each_read(self, path) for path in paths)
            return
        _made = self.client  # once, before each thread would make one
        with ThreadPoolExecutor(_READS_AT_ONCE) as workers:
            yield from workers.map(lambda path: each_read(self, path), paths)

    def open(self, path: str) -> BinaryIO:
        with self.told(path):
            return self._reader(path)  # type: ignore[return-value]

    def _reader(self, path: str) -> ResumingReader:
        return ResumingReader(self.client, self.place.bucket, self.key(path), self.where(path))

    def size(self, path: str) -> int:
        with self.told(path):
            return int(self.client.head_object(Bucket=self.place.bucket, Key=self.key(path))["ContentLength"])

    def options(self, path: str) -> dict[str, Any]:
        """What a new object is given: storage class, encryption at rest, and how long nobody may delete it.

        What is added to a backup later is not locked: it would lock the whole folder anew each time.
        """
        options: dict[str, Any] = {}
        if self.place.storage_class:
            options["StorageClass"] = self.place.storage_class
        if self.place.encryption:
            options["ServerSideEncryption"] = self.place.encryption
        if self.place.kms_key_id:
            options["SSEKMSKeyId"] = self.place.kms_key_id
        if self.place.lock_mode and not is_added(path):
            until = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=self.place.lock_days)
            options.update(ObjectLockMode=self.place.lock_mode, ObjectLockRetainUntilDate=until)
        return options

    def create(self, path: str) -> S3Sink:
        return S3Sink(self, path)

    def write(self, path: str, data: bytes) -> None:
        instance, _slash, rest = path.partition("/")
        if rest.endswith(f"/{MANIFEST}"):
            self.assure(instance)  # else another writer may have removed what we wrote, as remains
        with self.told(path):
            self.client.put_object(Bucket=self.place.bucket, Key=self.key(path), Body=data, **self.options(path))

    def remove(self, path: str) -> None:
        """Remove an object or all below a folder, every version of it, and what uploads left unfinished there.

        A manifest goes first: what cannot be removed whole stays whole, or is no backup any more.
        """
        key = self.key(path)
        with self.told(path):
            self._abort_uploads(path, path)
            listing = self.client.get_paginator("list_object_versions").paginate(Bucket=self.place.bucket, Prefix=key)
            doomed = [
                {"Key": entry["Key"], "VersionId": entry["VersionId"]}
                for page in listing
                for kind in ("Versions", "DeleteMarkers")
                for entry in page.get(kind, [])
                if entry["Key"] == key or entry["Key"].startswith(f"{key}/")
            ]
            manifests = [entry for entry in doomed if entry["Key"].endswith(f"/{MANIFEST}")]
            self._delete(path, manifests)
            self._delete(path, [entry for entry in doomed if entry not in manifests])

    def _delete(self, path: str, doomed: list[dict[str, str]]) -> None:
        for start in range(0, len(doomed), _AT_ONCE):
            part = {"Objects": doomed[start : start + _AT_ONCE], "Quiet": True}
            refused = self.client.delete_objects(Bucket=self.place.bucket, Delete=part).get("Errors", [])
            if refused:
                stays = sorted({error["Key"] for error in refused})
                names = ", ".join(stays[:3]) + (f" and {len(stays) - 3} more" if len(stays) > 3 else "")
                words = refused[0].get("Message") or refused[0].get("Code")
                raise RepositoryError(
                    f"{self.where(path)} could not be removed: {words}",
                    untouched=f"What could not be removed stays whole: {names}",
                    hint="An object under retention (object lock) can be removed when its time has passed",
                )

    def _abort_uploads(self, above: str, *paths: str) -> None:
        """Give up the unfinished uploads of these objects, or below these folders, by a listing of what is `above`."""
        keys = [self.key(path) for path in paths]
        below = tuple(f"{key}/" for key in keys)
        place = {"Bucket": self.place.bucket, "Prefix": self.key(above)}
        listing = self.client.get_paginator("list_multipart_uploads").paginate(**place)
        for page in listing:
            for upload in page.get("Uploads", []):
                if upload["Key"] in keys or upload["Key"].startswith(below):
                    with contextlib.suppress(self.client.exceptions.NoSuchUpload):  # a first try had done it
                        self.client.abort_multipart_upload(
                            Bucket=self.place.bucket, Key=upload["Key"], UploadId=upload["UploadId"]
                        )

    def why_locked(self, path: str) -> str:
        try:
            with self.told(path):
                head = self.client.head_object(Bucket=self.place.bucket, Key=self.key(path))
        except NotFoundError:
            return ""
        until = head.get("ObjectLockRetainUntilDate")
        if head.get("ObjectLockLegalHoldStatus") == "ON":
            return "locked: it is under a legal hold"
        if until is not None and until.timestamp() > now():
            return f"locked until {to_iso(until.timestamp())} ({head.get('ObjectLockMode')})"
        return ""

    def assure(self, instance: str) -> None:
        if instance in self._held:
            self._held[instance].assure()

    def lock(self, instance: str) -> AbstractContextManager[str | None]:
        return self._locked(instance)

    @contextlib.contextmanager
    def _locked(self, instance: str) -> Iterator[str | None]:
        """Hold the lock, with what dead writers left unfinished (and no listing shows) out of the way."""
        with S3Lock(self, instance) as lock:
            with self.told(instance):  # never those of the archive, which goes on beside us
                self._abort_uploads(instance, backups_path(instance), exports_path(instance))
            self._held[instance] = lock
            try:
                yield lock.broken
            finally:
                del self._held[instance]
