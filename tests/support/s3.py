# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A real S3 service, SeaweedFS, as one process on free ports, and what a test wants to know of its buckets."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import botocore.config
import botocore.exceptions

from support.checkout import CACHE
from support.servers import ServerFailed, free_ports
from support.waiting import wait_for

OWNER = ("KEYFORALLOFIT", "secret-for-all-of-it")
READER = ("KEYFORREADING", "secret-for-reading")


class S3Missing(Exception):
    """SeaweedFS is not on this machine."""


class S3Server:
    """The service, its files below `directory`. Two know it: OWNER may do everything, READER list and read.

    It dies with the test run.
    """

    def __init__(self, directory: Path) -> None:
        self._program = CACHE / "servers" / "seaweedfs" / "bin" / "weed"
        if not os.access(self._program, os.X_OK):
            raise S3Missing("no SeaweedFS here: ./dev test brings it")
        self.directory = directory
        ports = iter(free_ports(8))
        self._ports = {part: (next(ports), next(ports)) for part in ("master", "volume", "filer", "s3")}
        self.port = self._ports["s3"][0]
        self._numbers = itertools.count(1)
        self._process: subprocess.Popen[bytes] | None = None
        self._client: Any = None

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    # --- starting and ending ---

    def start(self, timeout: float = 60.0) -> S3Server:
        """Start it and return when it answers. Raises ServerFailed."""
        data = self.directory / "data"
        data.mkdir()
        config = self.directory / "identities.json"
        config.write_text(json.dumps({"identities": [_identity(OWNER, "Admin"), _identity(READER, "Read", "List")]}))
        with (self.directory / "log").open("wb") as log:
            self._process = subprocess.Popen(
                ["setpriv", "--pdeathsig=KILL", self._program, "-logtostderr", *self._options(data, config)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, "GOMEMLIMIT": "400MiB", "WEED_S3_SSE_KEK": os.urandom(32).hex()},
                start_new_session=True,
            )
        wait_for(self._serving, f"SeaweedFS to serve:\n{self.tail()}", timeout, 0.2)
        return self

    def _options(self, data: Path, config: Path) -> Iterator[str]:
        yield from ("server", f"-dir={data}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-filer", "-s3")
        for part, (port, grpc) in self._ports.items():
            yield from (f"-{part}.port={port}", f"-{part}.port.grpc={grpc}")
        yield from ("-s3.port.iceberg=0", "-s3.port.lance=0")
        yield from ("-master.volumeSizeLimitMB=64", "-volume.max=3000", "-master.telemetry=false")
        yield from (f"-s3.config={config}", "-s3.autoCreateBucket=false")
        yield from (f"-{part}.localSocket={self.directory / part}.sock" for part in ("filer", "s3"))

    def _serving(self) -> bool:
        assert self._process is not None
        if self._process.poll() is not None:
            raise ServerFailed(f"SeaweedFS ended {self._process.returncode}:\n{self.tail()}")
        try:
            name = self.bucket()
            self.client.put_object(Bucket=name, Key="probe", Body=b"probe")
        except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError):
            return False
        return True

    def destroy(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        for part, (_port, grpc) in self._ports.items():  # it makes these there, whatever it is told
            Path(f"/tmp/seaweedfs-{part}-grpc-{grpc}.sock").unlink(missing_ok=True)

    @contextlib.contextmanager
    def silent(self) -> Iterator[None]:
        """It takes connections and answers nothing until the end of the block."""
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(self._process.pid, signal.SIGCONT)

    def tail(self, lines: int = 20) -> str:
        """The end of its log."""
        log = self.directory / "log"
        return "\n".join(log.read_text(errors="replace").splitlines()[-lines:]) if log.exists() else ""

    # --- what tests do with it ---

    @property
    def client(self) -> Any:
        """A client of the owner, straight to the service."""
        if self._client is None:
            settings = botocore.config.Config(
                s3={"addressing_style": "path"}, retries={"total_max_attempts": 1}, connect_timeout=5, read_timeout=20
            )
            self._client = boto3.client(
                "s3",
                endpoint_url=self.endpoint,
                region_name="us-east-1",
                aws_access_key_id=OWNER[0],
                aws_secret_access_key=OWNER[1],
                config=settings,
            )
        return self._client

    def bucket(self, *, versions: bool = False, lock: bool = False) -> str:
        """Make a new bucket, keeping versions or allowing object lock (which keeps versions too)."""
        name = f"bucket-{next(self._numbers)}"
        self.client.create_bucket(Bucket=name, **({"ObjectLockEnabledForBucket": True} if lock else {}))
        if versions:
            self.client.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
        return name

    def entry(self, bucket: str, **more: Any) -> dict[str, Any]:
        """The repository in that bucket, as a module is told of it."""
        keys = {"access_key": OWNER[0], "secret_key": OWNER[1]}
        return {"name": "s3", "type": "s3", "bucket": bucket, "endpoint_url": self.endpoint, **keys, **more}

    def objects(self, bucket: str) -> dict[str, int]:
        """Size of every object by its key."""
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=bucket)
        return {entry["Key"]: entry["Size"] for page in pages for entry in page.get("Contents", [])}

    def versions(self, bucket: str) -> list[str]:
        """The key of every version and every mark of a deletion."""
        pages = self.client.get_paginator("list_object_versions").paginate(Bucket=bucket)
        kinds = ("Versions", "DeleteMarkers")
        return [entry["Key"] for page in pages for kind in kinds for entry in page.get(kind, [])]

    def uploads(self, bucket: str) -> list[str]:
        """The key of every multipart upload that was not finished."""
        return [entry["Key"] for entry in self.client.list_multipart_uploads(Bucket=bucket).get("Uploads", [])]

    def labels(self, bucket: str, instance: str) -> dict[str, set[str]]:
        """The names of the objects of every backup, whole or not, by its label."""
        found: dict[str, set[str]] = {}
        for key in self.objects(bucket):
            path = key.split("/")
            if path[-4:-2] == [instance, "backup"]:
                found.setdefault(path[-2], set()).add(path[-1])
        return found

    def clear(self, bucket: str) -> None:
        """Remove all objects of a bucket that keeps no versions."""
        for key in self.objects(bucket):
            self.client.delete_object(Bucket=bucket, Key=key)

    def body(self, bucket: str, key: str) -> bytes:
        data: bytes = self.client.get_object(Bucket=bucket, Key=key)["Body"].read()
        return data


def _identity(keys: tuple[str, str], *rights: str) -> dict[str, Any]:
    credentials = [{"accessKey": keys[0], "secretKey": keys[1]}]
    return {"name": keys[0], "credentials": credentials, "actions": list(rights)}
