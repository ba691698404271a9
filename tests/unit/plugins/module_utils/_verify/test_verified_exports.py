# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Exports of keys are verified where they are named or asked for: their bytes, and every key in them."""

from __future__ import annotations

import hashlib
import json
import subprocess
from typing import Any

import pytest
from ansible_collections.globalscope.redis_backup.plugins.module_utils._errors import RedisBackupError
from ansible_collections.globalscope.redis_backup.plugins.module_utils._repository.layout import make_label
from ansible_collections.globalscope.redis_backup.plugins.module_utils._verify.choose import (
    Copy,
    Wish,
    choose,
    copies_in,
    level_for,
)
from ansible_collections.globalscope.redis_backup.plugins.module_utils._verify.request import Host, VerifyRequest
from ansible_collections.globalscope.redis_backup.plugins.module_utils._verify.verify import verify
from ansible_collections.globalscope.redis_backup.tests.unit.helpers.backups import T0, put
from ansible_collections.globalscope.redis_backup.tests.unit.helpers.exports import FILE, put_export
from ansible_collections.globalscope.redis_backup.tests.unit.helpers.memory_store import MemoryStore

NAME = "db-6379"
LINE = b'{"db":0,"key":"driver:1","type":"string","value":"here","expire_at_ms":null,"encoding":"utf-8"}\n'


def no_host() -> Host:
    raise AssertionError("asked for a program that is not needed")


def request(*stores: MemoryStore, **over: Any) -> VerifyRequest:
    return VerifyRequest(**{"stores": stores, "instance": NAME, "level": "content", "host": no_host, **over})


def stored(store: MemoryStore, content: bytes, keys: int, seconds: float = T0, name: str = "drivers") -> str:
    """Store an export with this content."""
    packed = subprocess.run(["zstd", "-q", "-c"], input=content, stdout=subprocess.PIPE, check=True).stdout
    sizes = {"size": len(content), "stored_size": len(packed), "sha256": hashlib.sha256(packed).hexdigest()}
    label = put_export(store, seconds, name, files=[{**FILE, **sizes}], keys={"total": keys, "expires": 0})
    store.contents[f"{NAME}/export/{label}/keys.jsonl.zst"] = packed
    return label


def test_which_are_chosen() -> None:
    one, two, users = (make_label(T0 + n, name) for n, name in ((0, "drivers"), (5, "drivers"), (2, "users")))
    backup = make_label(T0 + 1, "rdb")
    names = [f"{label}/manifest.json" for label in (one, two, users, backup)]
    copies = copies_in(names)
    later = make_label(T0 + 100, "rdb")[:15]
    assert choose(copies, Wish(), "stored", later) == [backup]
    assert choose(copies, Wish(exports=True), "stored", later) == sorted([backup, two, users])
    assert choose(copies, Wish((one,)), "stored", later) == [one]
    assert choose(copies, Wish(share=100), "stored", later) == [backup]
    assert choose(copies, Wish(share=100, exports=True), "stored", later) == sorted([one, two, users, backup])


def test_a_turn_is_over_when_it_was_read_to_its_end() -> None:
    """No export is ever loaded in a server: it would wait for that for ever."""
    label = make_label(T0, "drivers")
    seen = Copy(label, ("20300101T000000Z-content.json",))
    other = Copy(make_label(T0 + 1, "drivers"))
    assert level_for(label, "restore") == "content" and level_for(make_label(T0, "rdb"), "restore") == "restore"
    assert choose([seen, other], Wish(count=1, exports=True), "restore", "20310101T000000") == [other.label]


@pytest.mark.parametrize("level", ["stored", "content", "restore"])
def test_good(level: str) -> None:
    store = MemoryStore()
    label = stored(store, LINE * 3, 3)
    done = verify(request(store, level=level, wish=Wish(exports=True)))
    (result,) = done.results
    reached = "content" if level == "restore" else level
    assert (result["label"], result["ok"], result["level"]) == (label, True, reached)
    assert result["keys"] == (None if level == "stored" else 3)
    (record,) = [json.loads(data) for name, data in store.contents.items() if "/verification/" in name]
    assert (record["level"], record["ok"]) == (reached, True)


@pytest.mark.parametrize(
    ("content", "keys", "words"),
    [
        (LINE * 3, 4, "holds 3 keys, its manifest says 4"),
        (LINE + b"nonsense\n" + LINE, 3, "no export that can be imported: 2: "),
        (LINE + LINE[:-9], 2, "no export that can be imported: 2: "),
    ],
)
def test_not_good(content: bytes, keys: int, words: str) -> None:
    store = MemoryStore()
    label = stored(store, content, keys)
    verify(request(store, level="stored", wish=Wish((label,))))
    with pytest.raises(RedisBackupError, match=words):
        verify(request(store, wish=Wish((label,))))


def test_other_bytes_are_told_as_such() -> None:
    store = MemoryStore()
    label = stored(store, LINE * 3, 3)
    path = f"{NAME}/export/{label}/keys.jsonl.zst"
    store.contents[path] = store.contents[path][:-1] + bytes([store.contents[path][-1] ^ 1])
    for level in ("stored", "content"):
        with pytest.raises(RedisBackupError, match="its SHA-256"):
            verify(request(store, level=level, wish=Wish((label,))))


def test_nothing_but_exports_is_no_backup() -> None:
    store = MemoryStore()
    stored(store, LINE, 1)
    with pytest.raises(RedisBackupError, match=f"no backup of {NAME} is in"):
        verify(request(store, level="stored"))
    put(store, T0 + 1)
    with pytest.raises(RedisBackupError, match="no backup 20000101T000000Z_users of"):
        verify(request(store, level="stored", wish=Wish(("20000101T000000Z_users",))))
