# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Exports of keys are copied like backups: by their labels, or all."""

from __future__ import annotations

import hashlib
import json

import pytest
from ansible_collections.globalscope.redis_backup.plugins.module_utils._copy.request import CopyRequest
from ansible_collections.globalscope.redis_backup.plugins.module_utils._copy.run import copy_backups
from ansible_collections.globalscope.redis_backup.plugins.module_utils._errors import NotFoundError
from ansible_collections.globalscope.redis_backup.tests.unit.helpers.backups import T0, UUID, put
from ansible_collections.globalscope.redis_backup.tests.unit.helpers.exports import FILE, put_export
from ansible_collections.globalscope.redis_backup.tests.unit.helpers.memory_store import MemoryStore

NAME = "db-6379"
SUM = hashlib.sha256(b"data").hexdigest()


def known() -> MemoryStore:
    return MemoryStore("from", {f"{NAME}/instance.json": json.dumps({"instance": NAME, "uuid": UUID}).encode()})


def request(source: MemoryStore, destination: MemoryStore, *labels: str) -> CopyRequest:
    return CopyRequest(source, destination, NAME, labels)


def test_by_label_and_with_all() -> None:
    source, destination = known(), MemoryStore("to")
    export = put_export(source, T0, files=[{**FILE, "sha256": SUM}])
    source.contents[f"{NAME}/export/{export}/acknowledged.json"] = b"{}"
    dump = {**FILE, "name": "dump.rdb.zst", "content": "dump.rdb", "kind": "rdb", "sha256": SUM}
    backup = put(source, T0 + 1, files=[dump])
    done = copy_backups(request(source, destination, export))
    assert [(one["label"], one["skipped"]) for one in done.copied] == [(export, None)]
    there = {name: data for name, data in destination.contents.items() if "/export/" in name}
    assert there == {name: data for name, data in source.contents.items() if "/export/" in name}
    done = copy_backups(request(source, destination, "all"))
    assert [(one["label"], one["skipped"]) for one in done.copied] == [(export, "it is there"), (backup, None)]


def test_latest_is_a_backup() -> None:
    source = known()
    put_export(source)
    with pytest.raises(NotFoundError, match="holds no usable backup"):
        copy_backups(request(source, MemoryStore("to"), "latest"))


def test_a_damaged_one_leaves_nothing() -> None:
    source, destination = known(), MemoryStore("to")
    export = put_export(source)
    done = copy_backups(request(source, destination, export))
    assert "its SHA-256" in str(done.failed[export])
    assert not [name for name in destination.contents if "/export/" in name]
