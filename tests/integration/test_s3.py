# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Repositories in the buckets of a real S3 service: the round trip, the lock, retention, and what bad input gets."""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import subprocess
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import botocore.auth
import pytest
from ansible_collections.globalscope.redis_backup.plugins.module_utils._errors import RepositoryError
from ansible_collections.globalscope.redis_backup.plugins.module_utils._repository import s3 as s3_store
from ansible_collections.globalscope.redis_backup.plugins.module_utils._repository import s3_lock
from ansible_collections.globalscope.redis_backup.plugins.module_utils._repository.open import open_store
from ansible_collections.globalscope.redis_backup.plugins.module_utils._repository.store import Store

from support.dataset import load_multiframe
from support.faulty import Fault, faulty
from support.machine import AgeKey
from support.modules import ModuleFailed, run_module
from support.restores import SOURCE, Backup, Restore
from support.s3 import OWNER, READER, S3Server
from support.servers import Build, RedisProcess, free_port
from support.untouched import assert_told
from support.values import differences, snapshot_values
from support.waiting import wait_for
from support.within import run_within

MakeServer = Callable[..., RedisProcess]
FILES = {"SHA256SUMS", "dump.rdb.zst", "manifest.json", "server.tar.zst"}
LOCK = f"{SOURCE}/.lock"


@pytest.fixture(scope="module")
def server(any_build: Build, tmp_path_factory: pytest.TempPathFactory) -> Any:
    server = RedisProcess(any_build, tmp_path_factory.mktemp("s3") / "server").start()
    load_multiframe(server.client(), 200, 50)
    yield server
    server.destroy()


@pytest.fixture
def params(server: RedisProcess, tmp_path: Path) -> dict[str, Any]:
    """The parameters of redis_backup but for its repositories."""
    return {**server.connection, "instance": SOURCE, "state_dir": str(tmp_path / "state")}


def refused(params: dict[str, Any], *needles: str, name: str = "redis_backup") -> str:
    """A module in this process must fail, and say so in a paragraph with all of `needles`."""
    with pytest.raises(ModuleFailed) as caught:
        run_within(name, params)
    assert_told(caught.value.msg, *needles)
    return caught.value.msg


# --- the round trip ---


def test_there_and_back(
    any_build: Build, make_server: MakeServer, s3: S3Server, age_key: AgeKey, tmp_path: Path, target: RedisProcess
) -> None:
    """One reading into a bucket (in parts) and a directory; the catalog merges them; a restore from the bucket."""
    server = make_server(any_build)
    load_multiframe(server.client(), 500, 100)
    server.client().mset({f"large:{n}": os.urandom(100_000) for n in range(200)})
    bucket = s3.bucket()
    entry = s3.entry(bucket, prefix="redis/live")
    shelf = {"name": "shelf", "type": "posix", "path": str(tmp_path / "shelf"), "create": True}
    both = {"instance": SOURCE, "state_dir": str(tmp_path / "state"), "repositories": [shelf, entry]}
    recipients = {"recipients": [age_key.recipient]}
    made = run_module("redis_backup", {**server.connection, **both, "encryption": recipients})["backup"]
    assert made["repositories"] == ["shelf", "s3"]
    folder = Path(shelf["path"], SOURCE, "backup", made["label"])
    stored = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert len(stored["dump.rdb.zst.age"]) > 2 * 8 << 20, "smaller than three parts"
    for name, data in stored.items():
        assert s3.body(bucket, f"redis/live/{SOURCE}/backup/{made['label']}/{name}") == data, name
    kept = {f"redis/live/{SOURCE}/instance.json", *(f"redis/live/{SOURCE}/backup/{made['label']}/{n}" for n in stored)}
    assert set(s3.objects(bucket)) == kept
    again = run_module("redis_backup", {**server.connection, **both, "encryption": recipients, "max_age": 3600})
    assert (again["changed"], again["backup"]["label"]) == (False, made["label"])
    catalog = run_module("redis_backup_info", both)
    assert catalog["latest"]["repositories"] == ["shelf", "s3"]
    assert not catalog["latest"]["problems"]
    backup = Backup(entry, made["label"], snapshot_values(server.client()), made)
    restore = Restore(target, backup, identities=[str(age_key.identity)])
    assert restore.step("staged")["restore"]["label"] == made["label"]
    target.stop()
    restore.step("active")
    target.start()
    assert not differences(backup.values, snapshot_values(target.client()))
    restore.step("committed")


def test_bucket_is_made_on_demand(s3: S3Server, params: dict[str, Any]) -> None:
    """By `create` alone; check mode makes none."""
    entry = s3.entry("made-on-demand")
    refused({**params, "repositories": [entry]}, SOURCE, "no bucket made-on-demand", "create: true")
    entry["create"] = True
    assert run_within("redis_backup", {**params, "repositories": [entry]}, check=True)["changed"]
    buckets = [found["Name"] for found in s3.client.list_buckets()["Buckets"]]
    assert "made-on-demand" not in buckets
    label = run_within("redis_backup", {**params, "repositories": [entry]})["backup"]["label"]
    assert s3.labels("made-on-demand", SOURCE) == {label: FILES}


# --- the end of an upload ---


def test_end_of_an_upload_is_told_twice(s3: S3Server) -> None:
    """The answer to the first request is lost on the way, and boto3 asks again."""
    bucket = s3.bucket()
    data = os.urandom(9 << 20)
    with faulty(s3.port) as proxy:
        sink = open_store(s3.entry(bucket, endpoint_url=proxy.endpoint)).create("a/b")
        proxy.arm(Fault.CUT_AFTER, 4)
        for start in range(0, len(data), 1 << 20):
            sink.write(data[start : start + (1 << 20)])
        sink.commit()
        assert [request.partition(" ")[0] for request in proxy.requests] == ["POST", "PUT", "PUT", "POST", "POST"]
    assert s3.body(bucket, "a/b") == data
    assert s3.uploads(bucket) == []


@pytest.mark.parametrize("size", [10, 6 << 20])
def test_encrypted_at_rest(s3: S3Server, size: int) -> None:
    """By the service, as it was asked: a small object and one of several parts."""
    bucket, data = s3.bucket(), os.urandom(size)
    sink = open_store(s3.entry(bucket, server_side_encryption="AES256")).create("a/b")
    sink.write(data)
    sink.commit()
    assert s3.client.head_object(Bucket=bucket, Key="a/b")["ServerSideEncryption"] == "AES256"
    assert s3.body(bucket, "a/b") == data


@pytest.mark.parametrize("there", [True, False])
def test_service_has_forgotten_the_upload(s3: S3Server, there: bool) -> None:
    """As Amazon's may when it is told twice: what counts is whether the object is there."""
    bucket, key = s3.bucket(), "a/b"
    data = os.urandom(5 << 20)  # one part
    sink = open_store(s3.entry(bucket)).create(key)
    sink.write(data)
    (upload,) = s3.client.list_multipart_uploads(Bucket=bucket)["Uploads"]
    target = {"Bucket": bucket, "Key": key, "UploadId": upload["UploadId"]}
    wait_for(lambda: s3.client.list_parts(**target).get("Parts"), "the part to be stored")
    s3.client.abort_multipart_upload(**target)
    if there:
        other = {**target, "UploadId": s3.client.create_multipart_upload(Bucket=bucket, Key=key)["UploadId"]}
        tag = s3.client.upload_part(**other, PartNumber=1, Body=data)["ETag"]
        s3.client.complete_multipart_upload(**other, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": tag}]})
        sink.commit()
        assert s3.body(bucket, key) == data
    else:
        with pytest.raises(RepositoryError):
            sink.commit()
        sink.abort()
        assert s3.objects(bucket) == {}


def test_what_was_done_already_is_no_error(s3: S3Server) -> None:
    """The answers to making the bucket and to ending a dead writer's upload are lost, and boto3 asks again."""
    bucket = "asked-for-twice"
    with faulty(s3.port) as proxy:
        store = open_store(s3.entry(bucket, endpoint_url=proxy.endpoint, create=True))
        proxy.arm(Fault.CUT_AFTER, 2)
        store.prepare()
        assert proxy.requests[1:] == [f"PUT /{bucket}"] * 2
        s3.client.create_multipart_upload(Bucket=bucket, Key=f"{SOURCE}/backup/20261123T000000Z_rdb/dump.rdb.zst")
        proxy.arm(Fault.CUT_AFTER, 3)
        with store.lock(SOURCE):
            assert [request.partition(" ")[0] for request in proxy.requests] == ["PUT", "GET", "DELETE", "DELETE"]
    assert s3.uploads(bucket) == []


# --- bad input ---


def test_keys_and_rights(s3: S3Server, server: RedisProcess, params: dict[str, Any]) -> None:
    """A reader may look at backups and restore them, and may not make one."""
    bucket = s3.bucket()
    for bad, words in (
        ({"access_key": "nobody"}, "Correct access_key"),
        ({"secret_key": "guessed"}, "Correct secret_key"),
    ):
        entry = s3.entry(bucket, **bad)
        refused({**params, "repositories": [entry]}, SOURCE, f"s3://{bucket}/", words)
        catalog = {"instance": SOURCE, "repositories": [entry]}
        assert "guessed" not in refused(catalog, f"s3://{bucket}/", words, name="redis_backup_info")
    label = run_within("redis_backup", {**params, "repositories": [s3.entry(bucket)]})["backup"]["label"]
    before = s3.objects(bucket)
    reading = s3.entry(bucket, access_key=READER[0], secret_key=READER[1])
    refused({**params, "repositories": [reading]}, SOURCE, "AccessDenied", "rights")
    assert s3.objects(bucket) == before
    found = run_within("redis_backup_info", {"instance": SOURCE, "repositories": [reading]})
    assert found["latest"]["label"] == label


def test_no_credentials(s3: S3Server, params: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without keys, boto3 looks in the environment; where nothing is found, that is said."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    entry = s3.entry(s3.bucket(), access_key=None, secret_key=None)
    refused({**params, "repositories": [entry]}, SOURCE, "no credentials", "AWS_ACCESS_KEY_ID")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", OWNER[0])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", OWNER[1])
    assert run_within("redis_backup", {**params, "repositories": [entry]})["changed"]


def test_nobody_answers(
    s3: S3Server, params: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other repository gets its backup whole, and the failure says so."""
    monkeypatch.setattr(s3_store, "_ATTEMPTS", 1)
    gone = s3.entry("nowhere", endpoint_url=f"http://127.0.0.1:{free_port()}")
    shelf = {"name": "shelf", "path": str(tmp_path / "shelf"), "create": True}
    refused({**params, "repositories": [gone]}, SOURCE, "cannot be reached", "Correct endpoint_url")
    none = s3.entry("nowhere", endpoint_url="s3.example.com")
    refused({**params, "repositories": [none]}, SOURCE, "s3.example.com", "Correct endpoint_url")
    told = refused({**params, "repositories": [gone, shelf]}, SOURCE, "cannot be reached", "complete in: shelf")
    assert len(list(Path(shelf["path"], SOURCE, "backup").iterdir())) == 1, told


@pytest.mark.filterwarnings("ignore::urllib3.exceptions.InsecureRequestWarning")
def test_certificates(
    s3: S3Server, params: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3_store, "_ATTEMPTS", 1)
    certificate = tmp_path / "both.pem"
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1"]
    made += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(certificate), "-out", str(tmp_path / "ca.pem")]
    subprocess.run(made, check=True, capture_output=True)
    certificate.write_text(certificate.read_text() + (tmp_path / "ca.pem").read_text())
    with faulty(s3.port, certificate) as proxy:
        entry = s3.entry(s3.bucket(), endpoint_url=proxy.endpoint)
        refused({**params, "repositories": [entry]}, SOURCE, "certificate verify failed", "ca_certs")
        trusting = {**entry, "ca_certs": str(tmp_path / "ca.pem")}
        assert run_within("redis_backup", {**params, "repositories": [trusting]})["changed"]
        careless = {**entry, "validate_certs": False}
        assert run_within("redis_backup", {**params, "repositories": [careless], "max_age": 600})["backup"]


def test_clock_is_off(s3: S3Server, params: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a host whose clock is an hour behind: what it signs is too old."""
    entry = s3.entry(s3.bucket())
    right = botocore.auth.get_current_datetime
    monkeypatch.setattr(
        botocore.auth, "get_current_datetime", lambda *args: right(*args) - datetime.timedelta(hours=1)
    )
    refused({**params, "repositories": [entry]}, SOURCE, "clock")


# --- the lock ---


def lock_object(owner: str, lasts: float) -> bytes:
    """The lock of somebody else, which ends in so many seconds."""
    ends = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=lasts)
    return json.dumps({"owner": owner, "token": owner, "expires": ends.strftime("%Y-%m-%dT%H:%M:%SZ")}).encode()


@pytest.mark.parametrize("versions", [False, True], ids=["plain", "versions"])
def test_second_writer(s3: S3Server, params: dict[str, Any], versions: bool) -> None:
    """It is refused while the owner lives, takes over when its lease has ended, and leaves nothing of the lock."""
    bucket = s3.bucket(versions=versions)
    entry = s3.entry(bucket)
    writer = {**params, "repositories": [entry]}
    s3.client.put_object(Bucket=bucket, Key=LOCK, Body=lock_object("db9.example.com, process 7", 60))
    refused(writer, SOURCE, "db9.example.com, process 7", "lock ends at")
    assert list(s3.objects(bucket)) == [LOCK]
    s3.client.put_object(Bucket=bucket, Key=LOCK, Body=lock_object("db9.example.com, process 7", -1))
    label = run_within("redis_backup", writer)["backup"]["label"]
    assert s3.labels(bucket, SOURCE) == {label: FILES}
    assert LOCK not in s3.objects(bucket)
    s3.client.put_object(Bucket=bucket, Key=LOCK, Body=b"no words of ours")
    run_within("redis_backup", writer)
    with open_store(entry).lock(SOURCE):
        refused(writer, SOURCE, f"process {os.getpid()}")
    assert LOCK not in s3.objects(bucket)
    assert LOCK not in s3.versions(bucket), "versions of locks pile up"


@pytest.mark.parametrize("dead", [False, True], ids=["none before", "a dead owner's"])
def test_two_at_once(s3: S3Server, dead: bool) -> None:
    """One gets the lock; the other is told who has it."""
    bucket = s3.bucket()
    stores = [open_store(s3.entry(bucket)) for _store in range(3)]
    for store in stores:
        store.names("")
    for number in range(5):
        if dead:
            s3.client.put_object(Bucket=bucket, Key=LOCK, Body=lock_object(f"dead {number}", -1))
        lost = taken_at_once(stores)
        assert len(lost) == len(stores) - 1, (number, lost)
        assert all("another backup of" in words for words in lost), lost
        assert LOCK not in s3.objects(bucket)


def taken_at_once(stores: Sequence[Store]) -> list[str]:
    """Take the lock through all stores in one instant, and hold it until all have tried: why some were refused."""
    start, stop = threading.Barrier(len(stores)), threading.Barrier(len(stores))
    lost: list[str] = []

    def take(store: Store) -> None:
        start.wait(30)
        with contextlib.ExitStack() as held:
            try:
                held.enter_context(store.lock(SOURCE))
            except RepositoryError as error:
                lost.append(str(error))
            stop.wait(30)

    threads = [threading.Thread(target=take, args=(store,)) for store in stores]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return lost


@pytest.mark.parametrize("versions", [False, True], ids=["plain", "versions"])
def test_lease_is_renewed(s3: S3Server, monkeypatch: pytest.MonkeyPatch, versions: bool) -> None:
    monkeypatch.setattr(s3_lock, "_RENEW", 0.05)
    bucket = s3.bucket(versions=versions)
    with open_store(s3.entry(bucket)).lock(SOURCE):
        first = s3.body(bucket, LOCK)
        wait_for(lambda: s3.body(bucket, LOCK) != first, "the lease to be renewed")
        assert s3.versions(bucket).count(LOCK) <= 2
    assert s3.versions(bucket) == []


def test_held_up_for_longer_than_the_lease(s3: S3Server) -> None:
    """Another writer came and may have cleaned up behind us: no manifest is written any more."""
    bucket = s3.bucket()
    store = open_store(s3.entry(bucket))
    path = f"{SOURCE}/backup/20261123T000000Z_rdb/manifest.json"
    with store.lock(SOURCE):
        store.write(path, b"1")
        s3.client.put_object(Bucket=bucket, Key=LOCK, Body=lock_object("db9.example.com, process 7", 60))
        with pytest.raises(RepositoryError, match=r"db9\.example\.com, process 7's now"):
            store.write(path, b"2")
    assert s3.body(bucket, path) == b"1"
    assert b"db9" in s3.body(bucket, LOCK), "another's lock was taken away"


# --- removing ---


def test_retention_is_respected(s3: S3Server, params: dict[str, Any]) -> None:
    """Object lock: not even we can remove it; what stays is said, and it stays whole."""
    bucket = s3.bucket(lock=True)
    entry = s3.entry(bucket, object_lock={"mode": "COMPLIANCE", "days": 1})
    label = run_within("redis_backup", {**params, "repositories": [entry]})["backup"]["label"]
    before = s3.versions(bucket)
    store = open_store(entry)
    for path in (f"{SOURCE}/backup/{label}/manifest.json", f"{SOURCE}/backup/{label}"):
        with pytest.raises(RepositoryError) as caught:
            store.remove(path)
        assert_told(str(caught.value), path, "could not be removed", "stays whole", "manifest.json", "retention")
    assert s3.versions(bucket) == before
    catalog = run_within("redis_backup_info", {"instance": SOURCE, "repositories": [entry]})
    assert [found["label"] for found in catalog["backups"] if found["usable"]] == [label]


@pytest.mark.parametrize("versions", [False, True], ids=["plain", "versions"])
def test_removed_is_gone(s3: S3Server, params: dict[str, Any], versions: bool) -> None:
    """Every version of it, and unfinished uploads; the folder of another backup with a longer name stays."""
    bucket = s3.bucket(versions=versions)
    entry = s3.entry(bucket, prefix="p")
    label = run_within("redis_backup", {**params, "repositories": [entry]})["backup"]["label"]
    store = open_store(entry)
    folder = f"{SOURCE}/backup/{label}"
    store.write(f"{folder}/SHA256SUMS", b"another version")
    store.write(f"{folder}-not/x", b"x")
    s3.client.create_multipart_upload(Bucket=bucket, Key=f"p/{folder}/dump.rdb.zst")
    store.remove(folder)
    store.remove(folder)
    assert sorted(set(s3.versions(bucket)) - {f"p/{LOCK}"}) == [f"p/{folder}-not/x", f"p/{SOURCE}/instance.json"]
    assert s3.uploads(bucket) == []
    assert store.names(f"{SOURCE}/backup") == [f"{label}-not"]
    with pytest.raises(RepositoryError, match="leads out"):
        store.remove("../other")
