# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A run over several repositories: what is chosen, recorded and told. The data itself is read in integration tests."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest
from ansible_collections.globalscope.redis_backup.plugins.module_utils._errors import RedisBackupError, RepositoryError
from ansible_collections.globalscope.redis_backup.plugins.module_utils._repository.manifest import seal
from ansible_collections.globalscope.redis_backup.plugins.module_utils._verify.choose import Wish
from ansible_collections.globalscope.redis_backup.plugins.module_utils._verify.record import earlier_records
from ansible_collections.globalscope.redis_backup.plugins.module_utils._verify.request import Host, VerifyRequest
from ansible_collections.globalscope.redis_backup.plugins.module_utils._verify.verify import verify
from ansible_collections.globalscope.redis_backup.tests.unit.helpers.backups import T0, document, put
from ansible_collections.globalscope.redis_backup.tests.unit.helpers.memory_store import MemoryStore

NAME = "db-6379"


def good(store: MemoryStore, seconds: float = T0) -> str:
    """Store a backup whose bytes are those of its manifest."""
    file = {**document()["files"][0], "sha256": hashlib.sha256(b"data").hexdigest()}
    return put(store, seconds, files=[file])


def no_host() -> Host:
    raise AssertionError("asked for a program that is not needed")


def request(*stores: MemoryStore, **over: Any) -> VerifyRequest:
    return VerifyRequest(**{"stores": stores, "instance": NAME, "level": "stored", "host": no_host, **over})


def records(store: MemoryStore, label: str) -> list[dict[str, Any]]:
    before = f"{NAME}/backup/{label}/verification/"
    return [json.loads(data) for name, data in sorted(store.contents.items()) if name.startswith(before)]


def failing(wanted: VerifyRequest) -> tuple[str, list[dict[str, Any]], bool]:
    with pytest.raises(RedisBackupError) as caught:
        verify(wanted)
    return str(caught.value), caught.value.details["results"], caught.value.details["changed"]


def test_good_copies_are_recorded_each() -> None:
    one, two = MemoryStore("one"), MemoryStore("two")
    label = good(one)
    assert good(two) == label
    done = verify(request(one, two))
    assert done.changed
    assert [(each["repository"], each["ok"]) for each in done.results] == [("one", True), ("two", True)]
    for store in (one, two):
        (record,) = records(store, label)
        assert set(record) == {
            "level", "ok", "time", "problems", "keys", "duration_s", "host", "server", "digest",
        }  # fmt: skip
        assert (record["level"], record["ok"], record["problems"], record["server"]) == ("stored", True, [], None)


def test_a_bad_copy_does_not_keep_us_from_the_others() -> None:
    store = MemoryStore()
    bad, well = good(store), good(store, T0 + 5)
    store.contents[f"{NAME}/backup/{bad}/dump.rdb.zst"] = b"tada"
    words, results, changed = failing(request(store, wish=Wish((bad, well))))
    assert "SHA-256" in words and bad in words and changed
    assert [each["ok"] for each in results] == [False, True]
    (record,) = records(store, bad)
    assert not record["ok"] and "SHA-256" in record["problems"][0]
    assert records(store, well)[0]["ok"]


@pytest.mark.parametrize("name", ["manifest.json", "SHA256SUMS", "dump.rdb.zst"])
def test_every_file_counts(name: str) -> None:
    store = MemoryStore()
    label = good(store)
    path = f"{NAME}/backup/{label}/{name}"
    store.contents[path] = store.contents[path][:-1] + bytes([store.contents[path][-1] ^ 1])
    words, results, _changed = failing(request(store))
    assert name in words and results[0]["recorded"] and not records(store, label)[0]["ok"]


def test_nothing_is_written_in_check_mode() -> None:
    store = MemoryStore()
    label = good(store)
    before = dict(store.contents)
    done = verify(request(store, level="restore"), check_mode=True)
    assert done.changed and done.results == [] and store.contents == before
    assert done.actions == [f"would verify {label} of {NAME} in {store.where()} (restore)"]


def test_a_second_record_takes_another_name() -> None:
    store = MemoryStore()
    label = good(store)
    verify(request(store))
    verify(request(store))
    assert len(records(store, label)) == 2


def test_what_is_nowhere() -> None:
    one, two = MemoryStore("one"), MemoryStore("two")
    words, results, changed = failing(request(one, two))
    assert f"no backup of {NAME}" in words and not changed and results[0]["label"] is None
    label = good(two)
    assert len(verify(request(one, two)).results) == 1  # in one of them is enough
    other = "20200101T000000Z_rdb"
    words, results, changed = failing(request(one, two, wish=Wish((label, other))))
    assert f"no backup {other} of {NAME}" in words and changed and results[0]["ok"]


class Unreachable(MemoryStore):
    """A store that does not answer."""

    def names(self, path: str) -> list[str]:
        raise RepositoryError(f"{self.where()} does not answer")


def test_a_repository_that_does_not_answer() -> None:
    store = MemoryStore()
    label = good(store)
    words, results, _changed = failing(request(Unreachable("far"), store))
    assert "does not answer" in words and [each["repository"] for each in results] == ["far", "memory"]
    assert records(store, label)[0]["ok"]


class ReadOnly(MemoryStore):
    def write(self, path: str, data: bytes) -> None:
        raise RepositoryError(f"{self.where(path)}: Permission denied")


def test_a_verdict_that_cannot_be_recorded() -> None:
    store = ReadOnly()
    good(store)
    words, results, changed = failing(request(store))
    assert "no record of this was written" in words and not changed
    assert results[0]["ok"] and not results[0]["recorded"]


def test_no_identity_is_no_verdict() -> None:
    store = MemoryStore()
    label = good(store)
    path = f"{NAME}/backup/{label}/manifest.json"
    said = {**json.loads(store.contents[path]), "encryption": {"program": "age", "recipients": ["age1x"]}}
    store.contents[path] = seal(said)
    words, results, changed = failing(
        request(store, level="content", host=lambda: Host("/usr/bin/true-is-no-server"))
    )
    assert "cannot be started" in words and not changed and not results[0]["recorded"] and records(store, label) == []


def test_earlier_records_are_read_with_care() -> None:
    store = MemoryStore()
    folder = f"{NAME}/backup/x/verification"
    for number, data in enumerate((b'{"n": 0}', b"{", b"[]", b'{"n": 3}')):
        store.contents[f"{folder}/2026112{number}T000000Z-restore.json"] = data
    store.contents[f"{folder}/20261129T000000Z-stored.json"] = b'{"n": 4}'
    assert [record["n"] for record in earlier_records(store, NAME, "x")] == [0, 3]
