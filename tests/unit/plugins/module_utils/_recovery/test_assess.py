# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wrong with an instance."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.globalscope.redis_backup.plugins.module_utils._errors import RecoveryError
from ansible_collections.globalscope.redis_backup.plugins.module_utils._recovery.assess import Question, _chosen
from ansible_collections.globalscope.redis_backup.plugins.module_utils._recovery.damage import (
    failure_time,
    find_damage,
    holds_data,
)
from ansible_collections.globalscope.redis_backup.plugins.module_utils._recovery.remains import (
    DataFile,
    data_files,
    is_blank,
    unit_exit_time,
)
from ansible_collections.globalscope.redis_backup.plugins.module_utils._repository.manifest import Manifest
from ansible_collections.globalscope.redis_backup.plugins.module_utils._server.connection import Login, Server
from ansible_collections.globalscope.redis_backup.plugins.module_utils._server.instance import Instance, Place
from ansible_collections.globalscope.redis_backup.plugins.module_utils._server.paths import Paths
from ansible_collections.globalscope.redis_backup.tests.unit.helpers.backups import T0, document, put
from ansible_collections.globalscope.redis_backup.tests.unit.helpers.memory_store import MemoryStore

HUNDRED = Manifest(document())  # 100 keys, 10 of them expire
FILE = DataFile("dump.rdb", 5000, 10.0)


def damage(state: str = "running", keys: int | None = 100, **over: Any) -> list[str]:
    known: dict[str, Any] = {"why": "nobody answers", "files": [], "manifest": HUNDRED, "shrink_ratio": 0.5, **over}
    return [d.kind for d in find_damage(state=state, keys=keys, **known)]


@pytest.mark.parametrize(
    ("found", "kinds"),
    [
        (damage(), []),
        (damage(keys=46), []),
        (damage(keys=45), []),  # half of the 90 that do not expire
        (damage(keys=44), ["shrunk"]),
        (damage(keys=1), ["shrunk"]),
        (damage(keys=0), ["empty"]),
        (damage(keys=44, shrink_ratio=0.1), []),
        (damage(keys=0, shrink_ratio=0.0), ["empty"]),
        (damage(keys=0, manifest=None), []),
        (damage(keys=0, manifest=Manifest(document(keys={"total": 0, "expires": 0}))), []),
        (damage(keys=0, manifest=Manifest(document(keys={"total": 9, "expires": 9}))), []),  # they may all have expired
        (damage(keys=None), []),
        (damage("loading", keys=0), []),
        (damage("loading", keys=3), []),
        (damage("down", keys=None), ["down"]),
        (damage("down", keys=None, manifest=None), ["down"]),
        (damage(unfinished="a restore stopped midway"), ["unfinished"]),
        (damage("down", keys=None, unfinished="a restore stopped midway"), ["unfinished", "down"]),
    ],
)
def test_damage(found: list[str], kinds: list[str]) -> None:
    assert found == kinds


def test_words() -> None:
    known: dict[str, Any] = {"keys": None, "manifest": None, "shrink_ratio": 0.5, "why": "it is off", "state": "down"}
    (bare,) = find_damage(files=[], **known)
    assert bare.says == "the server is down (it is off); no data is left"
    (left,) = find_damage(files=[FILE, FILE], **known)
    assert left.says == "the server is down (it is off); data files with 10000 bytes are left"


@pytest.mark.parametrize(
    ("state", "keys", "files", "holds"),
    [
        ("running", 0, [], False),
        ("running", 0, [FILE], False),
        ("running", 1, [], True),
        ("loading", 0, [], True),
        ("down", None, [], False),
        ("down", None, [FILE], True),
        ("down", None, [DataFile("dump.rdb", 89, 1.0, blank=True)], False),
        ("down", None, [DataFile("appendonlydir/appendonly.aof.1.base.rdb", 89, 1.0, blank=True)], False),
        ("down", None, [DataFile("appendonlydir/appendonly.aof.manifest", 999, 1.0, blank=True)], False),
        ("down", None, [DataFile("appendonlydir/appendonly.aof.1.incr.aof", 1, 1.0)], True),
        ("down", None, [DataFile("appendonlydir/appendonly.aof.1.incr.aof", 0, 1.0, blank=True)], False),
        ("down", None, [DataFile("appendonly.aof", 23, 1.0)], True),
    ],
)
def test_holds_data(state: str, keys: int | None, files: list[DataFile], holds: bool) -> None:
    assert holds_data(state=state, keys=keys, files=files) is holds


def failed(**over: Any) -> tuple[float, str]:
    known: dict[str, Any] = {
        "given": None,
        "own": True,
        "state": "down",
        "unit_exit": None,
        "files": [],
        "started": None,
        "dir_changed": None,
        "snapshot": None,
        "present": 99.0,
    }
    return failure_time(**{**known, **over})


@pytest.mark.parametrize(
    ("found", "seconds", "words"),
    [
        (failed(given=1.0, unit_exit=2.0, own=False), 1.0, "given"),
        (failed(own=False, unit_exit=2.0), 99.0, "this host cannot know"),
        (failed(unit_exit=2.0, files=[FILE], dir_changed=3.0), 2.0, "unit's exit"),
        (failed(files=[FILE, DataFile("x", 1, 50.0)], dir_changed=3.0), 50.0, "newest data file"),
        (failed(dir_changed=3.0), 3.0, "data directory, which is empty"),
        (failed(), 99.0, "nothing on the host tells more"),
        (failed(state="running", started=4.0, unit_exit=2.0, files=[FILE]), 4.0, "last start"),
        (failed(state="running", started=4.0, snapshot=3.0), 4.0, "last start"),
        (failed(state="running", started=4.0, snapshot=5.0), 99.0, "this assessment"),
        (failed(state="running", started=4.0, snapshot=3.0), 4.0, "last start"),
        (failed(state="running", started=4.0, snapshot=5.0), 99.0, "nothing on the host tells more"),
        (failed(state="running"), 99.0, "this assessment"),
    ],
)
def test_failure_time(found: tuple[float, str], seconds: float, words: str) -> None:
    assert found[0] == seconds
    assert words in found[1]


def test_a_failure_in_the_future_is_refused() -> None:
    with pytest.raises(RecoveryError, match="lies in the future"):
        failed(given=99.0 + 61)


def test_data_files(tmp_path: Path) -> None:
    instance = Instance(Place("db"), Server(Login()), "down", None, Paths(dir=str(tmp_path)))
    assert data_files(instance) == []
    (tmp_path / "dump.rdb").write_bytes(b"123")
    (tmp_path / "appendonlydir").mkdir()
    (tmp_path / "appendonlydir" / "x.aof").write_bytes(b"12345")
    (tmp_path / "redis.log").write_bytes(b"not data")
    os.utime(tmp_path / "dump.rdb", (7, 8))
    assert [(f.name, f.size) for f in data_files(instance)] == [("dump.rdb", 3), ("appendonlydir/x.aof", 5)]
    assert data_files(instance)[0].mtime == 8.0
    for directory, found in (("", None), ("/nonexistent", [])):
        assert data_files(Instance(Place("db"), Server(Login()), "down", None, Paths(dir=directory))) == found


def test_the_backup_that_would_be_used() -> None:
    store = MemoryStore()
    assert _chosen(Question([store], "db-6379"), [store])[0] is None
    assert "holds no usable backup of db-6379" in _chosen(Question([store], "db-6379"), [store])[1]
    old, new = put(store, T0), put(store, T0 + 60)
    for question, label in (
        (Question([store], "db-6379"), new),
        (Question([store], "db-6379", at=T0 + 1.0), old),
        (Question([store], "db-6379", label=old), old),
    ):
        entry, problem, passed = _chosen(question, [store])
        assert entry is not None and entry.label == label and problem == "" and passed == []
    store.contents[f"db-6379/backup/{new}/manifest.json"] += b" "
    entry, problem, passed = _chosen(Question([store], "db-6379"), [store])
    assert entry is not None and entry.label == old and new in passed[0]


def test_no_unit_no_exit() -> None:
    assert unit_exit_time("") is None
    assert unit_exit_time("no-such-unit-of-redis") is None


def test_backups_of_an_emptied_server_are_passed_over() -> None:
    store = MemoryStore()
    good = put(store, T0)
    hollow = put(store, T0 + 60, keys={"total": 3, "expires": 0, "expired": 0, "databases": {}})
    question = Question([store], "db-6379")
    entry, _problem, passed = _chosen(question, [store])
    assert entry is not None and entry.label == good
    assert len(passed) == 1 and hollow in passed[0] and "holds 3 keys" in passed[0]
    named, _problem, passed = _chosen(Question([store], "db-6379", label=hollow), [store])
    assert named is not None and named.label == hollow and passed == []


@pytest.mark.parametrize(
    ("name", "head", "blank"),
    [
        ("dump.rdb", b"", True),
        ("x.manifest", b"file x seq 1 type b", True),
        ("dump.rdb", b"REDIS0011\xfa\x09redis-ver\x057.2.0\xff12345678", True),
        ("dump.rdb", b"REDIS0011\xfa\x09redis-ver\x057.2.0\xfe\x00", False),
        ("a.incr.aof", b"*1", False),
    ],
)
def test_is_blank(name: str, head: bytes, blank: bool) -> None:
    assert is_blank(name, head, len(head)) is blank


def test_an_unknown_data_directory_may_hold_anything() -> None:
    assert data_files(Instance(Place("db"), Server(Login()), "down", None, Paths())) is None
    assert holds_data(state="down", keys=None, files=None) is True


def test_the_newest_backup_of_all_who_hold_the_same_data() -> None:
    """A replica may have been backed up last; one that was emptied before that does not count."""
    store = MemoryStore()
    put(store, T0, "h1")
    put(store, T0 + 100, "h2")
    asked = Question([store], "h1", others=["h1", "h2", "h3"])
    chosen, problem, passed = _chosen(asked, [store])
    assert chosen is not None and (chosen.instance, problem, passed) == ("h2", "", [])
    put(store, T0 + 200, "h3", keys={"total": 3, "expires": 0})
    chosen, _problem, passed = _chosen(asked, [store])
    assert chosen is not None and chosen.instance == "h2" and "of h3: it holds 3 keys" in passed[0]
    nothing, problem, _passed = _chosen(Question([store], "h8", others=["h9"]), [store])
    assert nothing is None and "of h8" in problem and "of h9" in problem
