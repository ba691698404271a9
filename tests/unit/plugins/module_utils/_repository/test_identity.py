# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two servers of one name are told apart."""

from __future__ import annotations

import json
import os
import stat
import uuid
from pathlib import Path

import pytest
from ansible_collections.globalscope.redis_backup.plugins.module_utils._errors import DamagedError, RepositoryError
from ansible_collections.globalscope.redis_backup.plugins.module_utils._repository.identity import (
    HostState,
    agree,
    stored_identity,
)
from ansible_collections.globalscope.redis_backup.plugins.module_utils._repository.store import Store
from ansible_collections.globalscope.redis_backup.tests.unit.helpers.memory_store import MemoryStore

MINE, OTHER, THIRD = (str(uuid.UUID(int=number)) for number in (1, 2, 3))
PATH = "db/instance.json"


def known(name: str, identity: str = "") -> MemoryStore:
    files = {PATH: json.dumps({"instance": "db", "uuid": identity}).encode()} if identity else {}
    return MemoryStore(name, files)


@pytest.fixture
def host(tmp_path: Path) -> HostState:
    return HostState(str(tmp_path / "state"))


def test_a_first_backup_makes_an_identity_known_everywhere(host: HostState) -> None:
    one, two = known("one"), known("two")
    identity = agree([one, two], "db", host, adopt=False)
    assert str(uuid.UUID(identity)) == identity
    assert host.read("db") == stored_identity(one, "db") == stored_identity(two, "db") == identity
    assert agree([one, two], "db", host, adopt=False) == identity
    assert agree([known("new"), one], "db", host, adopt=True) == identity


def test_a_dry_run_makes_nothing_known(host: HostState) -> None:
    store = known("one")
    agree([store], "db", host, adopt=False, dry=True)
    agree([known("x", OTHER)], "db", host, adopt=True, dry=True)
    assert host.read("db") == ""
    assert store.contents == {}


@pytest.mark.parametrize("mine", ["", MINE])
@pytest.mark.parametrize("dry", [True, False])
def test_another_server_is_refused(host: HostState, mine: str, dry: bool) -> None:
    if mine:
        host.write("db", mine)
    stores = [known("one", mine), known("two", OTHER)]
    before = [dict(store.contents) for store in stores]
    with pytest.raises(
        RepositoryError, match=rf"repository two .*another server under the name db.*{OTHER}.*adopt: true"
    ):
        agree([*stores], "db", host, adopt=False, dry=dry)
    assert host.read("db") == mine
    assert [store.contents for store in stores] == before


def test_adopting_takes_the_stored_identity(host: HostState) -> None:
    host.write("db", MINE)
    one, two = known("one", MINE), known("two", OTHER)
    assert agree([one, two], "db", host, adopt=True) == OTHER
    assert host.read("db") == stored_identity(one, "db") == OTHER
    assert agree([one, two], "db", host, adopt=False) == OTHER


def test_adopting_from_stores_that_disagree(host: HostState) -> None:
    stores = [known("one", OTHER), known("two", THIRD), known("three")]
    assert agree([*stores], "db", host, adopt=True) == OTHER
    assert {stored_identity(store, "db") for store in stores} == {OTHER}


def test_a_store_that_cannot_tell_is_left_out(host: HostState) -> None:
    """The others agree; a wrong UUID stays a refusal of all."""
    good, damaged, other = known("good"), MemoryStore("damaged", {PATH: b"{}"}), known("other", OTHER)
    lost: dict[str, RepositoryError] = {}

    def lose(store: Store, error: RepositoryError) -> None:
        lost[store.name] = error

    identity = agree([damaged, good], "db", host, adopt=False, lose=lose)
    assert list(lost) == ["damaged"] and "is damaged" in str(lost["damaged"])
    assert host.read("db") == stored_identity(good, "db") == identity
    assert damaged.contents == {PATH: b"{}"}
    with pytest.raises(RepositoryError, match="another server"):
        agree([good, other], "db", host, adopt=False, lose=lose)
    assert list(lost) == ["damaged"]


def test_nobody_can_tell(tmp_path: Path) -> None:
    """Then nothing is made known to the host either."""
    host = HostState(str(tmp_path / "state"))
    agree([MemoryStore("damaged", {PATH: b"{}"})], "db", host, adopt=False, lose=lambda store, error: None)
    assert host.read("db") == ""


def test_a_host_that_has_an_identity_gives_it_to_a_new_store(host: HostState) -> None:
    host.write("db", MINE)
    store = known("one")
    assert agree([store], "db", host, adopt=False) == MINE
    assert stored_identity(store, "db") == MINE


def test_instances_do_not_mix(host: HostState) -> None:
    host.write("a", MINE)
    host.write("b", OTHER)
    assert (host.read("a"), host.read("b"), host.read("c")) == (MINE, OTHER, "")


@pytest.mark.parametrize("path", ["db/readme.txt", "db/backup/20261122T235141Z_rdb/manifest.json"])
def test_foreign_files_are_not_taken_over(host: HostState, path: str) -> None:
    with pytest.raises(RepositoryError, match="holds files that are no backups of this collection"):
        agree([MemoryStore("one", {path: b""})], "db", host, adopt=True)


def test_hidden_files_are_passed_over(host: HostState) -> None:
    assert stored_identity(MemoryStore("one", {"db/.lock": b""}), "db") == ""


@pytest.mark.parametrize("raw", [b"", b"{}", b"[]", b"null", b"\xff"])
def test_damaged(raw: bytes) -> None:
    with pytest.raises(DamagedError, match=r"instance.json.* is damaged"):
        stored_identity(MemoryStore("one", {PATH: raw}), "db")


@pytest.mark.parametrize("raw", [b"", b"{}", b"[]", b"\xff"])
def test_damaged_on_the_host(host: HostState, raw: bytes) -> None:
    host.write("db", MINE)
    path = os.path.join(host.folder, "instances", "db.json")
    with open(path, "wb") as stream:
        stream.write(raw)
    with pytest.raises(RepositoryError, match="cannot be read"):
        host.read("db")


def test_the_state_is_private(host: HostState) -> None:
    host.write("db", MINE)
    lock = host.lock_path("db")
    assert os.path.isdir(os.path.dirname(lock))
    for folder, _folders, files in os.walk(host.folder):
        assert stat.S_IMODE(os.stat(folder).st_mode) & 0o077 == 0
        assert all(stat.S_IMODE(os.stat(os.path.join(folder, name)).st_mode) & 0o077 == 0 for name in files)


def test_a_state_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    host = HostState(str(tmp_path / "file" / "state"))
    for call in (lambda: host.write("db", MINE), lambda: host.lock_path("db")):
        with pytest.raises(RepositoryError, match="state_dir"):
            call()
