# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The catalog as it is shown."""

from __future__ import annotations

import pytest
from ansible_collections.globalscope.redis_backup.plugins.module_utils._errors import NotFoundError, RedisBackupError
from ansible_collections.globalscope.redis_backup.plugins.module_utils._repository.info import (
    moment,
    search,
    show_catalog,
)
from ansible_collections.globalscope.redis_backup.plugins.module_utils._repository.posix import PosixStore
from ansible_collections.globalscope.redis_backup.plugins.module_utils._times import now, to_iso
from ansible_collections.globalscope.redis_backup.tests.unit.helpers.backups import T0, put
from ansible_collections.globalscope.redis_backup.tests.unit.helpers.memory_store import MemoryStore


def shown(store: MemoryStore, instance: str | None = "db-6379", **over: object) -> dict:  # type: ignore[type-arg]
    return show_catalog([store], instance, **{"at": None, "usable_only": False, "query": None, **over})  # type: ignore[arg-type]


def test_moment() -> None:
    assert moment(None) is None
    assert moment("@5") == 5.0
    with pytest.raises(RedisBackupError, match="at: '2026-11-22' is no time with a zone"):
        moment("2026-11-22")


def test_one_instance() -> None:
    store = MemoryStore()
    old, new = put(store, T0), put(store, T0 + 60)
    broken = put(store, T0 + 120)
    del store.contents[f"db-6379/backup/{broken}/manifest.json"]
    put(store, T0 + 180, instance="other")
    catalog = shown(store)
    assert {b["label"] for b in catalog["backups"]} == {old, new, broken}
    assert catalog["latest"]["label"] == new
    assert catalog["latest"] in catalog["backups"]
    assert catalog["rpo_seconds"] == pytest.approx(now() - T0 - 60, abs=30)
    assert [b["label"] for b in shown(store, usable_only=True)["backups"]] == [old, new]
    earlier = shown(store, at=to_iso(T0 + 59))
    assert (earlier["latest"]["label"], earlier["rpo_seconds"]) == (old, 59.0)
    assert shown(store, query="backups")["backups"] is None
    assert shown(store, query="[?usable].label")["backups"] == [old, new]


def test_all_instances() -> None:
    store = MemoryStore()
    put(store, T0, instance="b")
    put(store, T0, instance="a")
    catalog = shown(store, None)
    assert [b["instance"] for b in catalog["backups"]] == ["a", "b"]
    assert (catalog["latest"], catalog["rpo_seconds"]) == (None, None)


def test_none() -> None:
    catalog = shown(MemoryStore())
    assert (catalog["backups"], catalog["latest"], catalog["rpo_seconds"]) == ([], None, None)


def test_a_missing_repository_is_no_empty_catalog() -> None:
    for instance in ("db", None):
        with pytest.raises(NotFoundError, match="does not exist"):
            show_catalog([PosixStore("nas", "/nonexistent/x")], instance, at=None, usable_only=False, query=None)


def test_a_bad_query() -> None:
    pytest.importorskip("jmespath")
    with pytest.raises(RedisBackupError, match=r"query '\[\?' is no JMESPath expression"):
        search("[?", [])


@pytest.mark.parametrize("query", ["&label", "[].{a: &label}", "[" * 5000, f"[?a==`{'[' * 3000}`]"])
def test_a_query_whose_answer_cannot_be_told(query: str) -> None:
    pytest.importorskip("jmespath")
    with pytest.raises(RedisBackupError, match="query "):
        search(query, [{"label": "x"}])


def test_a_repository_that_cannot_be_read_is_told_where_another_can() -> None:
    store = MemoryStore()
    label = put(store, T0)
    for instance in ("db-6379", None):
        catalog = show_catalog(
            [PosixStore("nas", "/nonexistent/x"), store], instance, at=None, usable_only=False, query=None
        )
        assert [b["label"] for b in catalog["backups"]] == [label]
        assert list(catalog["repository_problems"]) == ["nas"]
