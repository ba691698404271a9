# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names of objects, and what new ones are given; the service itself is in the integration tests."""

from __future__ import annotations

import datetime

import pytest
from ansible_collections.globalscope.redis_backup.plugins.module_utils._errors import RepositoryError
from ansible_collections.globalscope.redis_backup.plugins.module_utils._repository.open import open_store
from ansible_collections.globalscope.redis_backup.plugins.module_utils._repository.s3 import S3Place, S3Store


@pytest.mark.parametrize(
    ("prefix", "path", "key"),
    [
        ("", "", ""),
        ("", "shop/backup", "shop/backup"),
        ("redis", "", "redis"),
        ("/redis/live/", "/shop//instance.json", "redis/live/shop/instance.json"),
    ],
)
def test_keys(prefix: str, path: str, key: str) -> None:
    store = S3Store("s3", S3Place("bucket", prefix))
    assert store.key(path) == key
    assert store.where(path) == f"repository s3 (s3://bucket/{key})"


@pytest.mark.parametrize("path", ["..", "shop/../../x", "../x"])
def test_no_way_out(path: str) -> None:
    with pytest.raises(RepositoryError, match="leads out"):
        S3Store("s3", S3Place("bucket", "redis")).key(path)


def test_options_of_new_objects() -> None:
    assert S3Store("s3", S3Place("bucket")).options("db/backup/x/manifest.json") == {}
    place = S3Place("bucket", storage_class="STANDARD_IA", lock_mode="COMPLIANCE", lock_days=30)
    options = S3Store("s3", place).options("db/backup/x/manifest.json")
    until = options.pop("ObjectLockRetainUntilDate")
    assert options == {"StorageClass": "STANDARD_IA", "ObjectLockMode": "COMPLIANCE"}
    left = until - datetime.datetime.now(datetime.timezone.utc)
    assert datetime.timedelta(days=29, hours=23) < left <= datetime.timedelta(days=30)
    for added in ("verification/t-restore.json", "acknowledged.json"):
        assert S3Store("s3", place).options(f"db/backup/x/{added}") == {"StorageClass": "STANDARD_IA"}


def test_encryption_at_rest() -> None:
    place = S3Place("bucket", encryption="aws:kms", kms_key_id="key")
    assert S3Store("s3", place).options("x") == {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": "key"}


@pytest.mark.parametrize(
    ("endpoint", "path_style", "used"),
    [
        (None, None, "auto"),
        ("https://s3.example.com", None, "path"),
        ("https://s3.example.com", False, "virtual"),
        (None, True, "path"),
    ],
)
def test_how_the_bucket_is_named(endpoint: str | None, path_style: bool | None, used: str) -> None:
    pytest.importorskip("boto3")
    place = S3Place("bucket", endpoint_url=endpoint, path_style=path_style, access_key="a", secret_key="b")
    store = S3Store("s3", place)
    assert store.client.meta.config.s3["addressing_style"] == used


def test_secrets_are_not_shown() -> None:
    place = S3Place("bucket", access_key="AKIA", secret_key="hush")
    assert "AKIA" not in repr(place)
    assert "hush" not in repr(place)


@pytest.mark.parametrize("days", [-1, 0, 10**9])
def test_locks_that_make_no_sense(days: int) -> None:
    entry = {"name": "s3", "type": "s3", "bucket": "b", "object_lock": {"mode": "COMPLIANCE", "days": days}}
    with pytest.raises(RepositoryError, match=f"object_lock: days is {days}"):
        open_store(entry)


def test_no_secret_in_an_address() -> None:
    """It would stand in every message about a service that does not answer."""
    entry = {"name": "s3", "type": "s3", "bucket": "b", "endpoint_url": "https://user:S3CRET@s3.example.com"}
    with pytest.raises(RepositoryError, match="endpoint_url holds a user's name") as caught:
        open_store(entry)
    assert "S3CRET" not in str(caught.value)
    open_store({**entry, "endpoint_url": "https://s3.example.com/a@b"})
