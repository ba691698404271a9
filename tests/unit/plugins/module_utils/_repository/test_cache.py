# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host remembers of repositories."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ansible_collections.globalscope.redis_backup.plugins.module_utils._repository.cache import CatalogCache
from ansible_collections.globalscope.redis_backup.plugins.module_utils._repository.catalog import list_backups
from ansible_collections.globalscope.redis_backup.plugins.module_utils._repository.store import StoredObject
from ansible_collections.globalscope.redis_backup.tests.unit.helpers.backups import T0, put
from ansible_collections.globalscope.redis_backup.tests.unit.helpers.memory_store import MemoryStore

NAME = "db-6379"


class CountingStore(MemoryStore):
    """Counts what it is asked for."""

    def __init__(self, name: str = "memory") -> None:
        super().__init__(name)
        self.listings = 0
        self.asked: list[str] = []

    def names(self, path: str) -> list[str]:
        self.listings += 1
        return super().names(path)

    def files(self, path: str) -> list[StoredObject]:
        self.listings += 1
        return super().files(path)

    def read(self, path: str, limit: int = 16 * 1024 * 1024) -> bytes:
        self.asked.append(path)
        return super().read(path, limit)


def calls(store: CountingStore, cache: CatalogCache) -> tuple[int, Sequence[str]]:
    """How often one look at the catalog listed, and what it read (the file's names)."""
    store.listings, store.asked = 0, []
    found = list_backups([store], NAME, cache)
    assert all(entry.usable for entry in found)
    return store.listings, sorted(path.rpartition("/")[2] for path in store.asked)


def test_one_listing_and_only_what_is_new(tmp_path: Path) -> None:
    store, cache = CountingStore(), CatalogCache(str(tmp_path))
    labels = [put(store, T0 + number) for number in range(50)]
    assert calls(store, cache) == (1, ["manifest.json"] * 50)
    assert calls(store, cache) == (1, [])
    put(store, T0 + 60)
    store.contents[f"{NAME}/backup/{labels[0]}/verification/1-stored.json"] = b'{"level": "stored", "ok": true}'
    assert calls(store, cache) == (1, ["1-stored.json", "manifest.json"])
    assert calls(store, cache) == (1, [])
    assert calls(CountingStore("other"), cache) == (1, [])
    for number in range(3):
        put(store, T0 + number, annotations={"written": "anew"})
    assert calls(store, cache) == (1, ["manifest.json"] * 3)


def test_what_has_gone_is_forgotten(tmp_path: Path) -> None:
    store, cache = CountingStore(), CatalogCache(str(tmp_path))
    for number in range(5):
        put(store, T0 + number)
    calls(store, cache)
    (file,) = (tmp_path / "catalog").iterdir()
    size = file.stat().st_size
    for label in store.names(f"{NAME}/backup")[:4]:
        store.remove(f"{NAME}/backup/{label}")
    assert calls(store, cache) == (1, [])
    assert file.stat().st_size < size / 3


def test_a_damaged_cache_counts_as_none(tmp_path: Path) -> None:
    store, cache = CountingStore(), CatalogCache(str(tmp_path))
    label = put(store, T0)
    calls(store, cache)
    (file,) = (tmp_path / "catalog").iterdir()
    good = file.read_bytes()
    for bad in (b"", b"{}", b"\xff", good[:-1], good.replace(label.encode(), b"20000101T000000Z_rdb"), good + b" "):
        file.write_bytes(bad)
        assert calls(store, cache) == (1, ["manifest.json"]), bad
        assert file.read_bytes() == good
    file.unlink()
    file.mkdir()
    assert calls(store, cache) == (1, ["manifest.json"])


def test_a_cache_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    store = CountingStore()
    put(store, T0)
    assert calls(store, CatalogCache(str(tmp_path / "file"))) == (1, ["manifest.json"])


def test_damaged_manifests_are_read_again(tmp_path: Path) -> None:
    store, cache = CountingStore(), CatalogCache(str(tmp_path))
    label = put(store, T0)
    store.contents[f"{NAME}/backup/{label}/manifest.json"] += b"x"
    for _run in range(2):
        store.asked = []
        (entry,) = list_backups([store], NAME, cache)
        assert "damaged" in entry.problems["memory"]
        assert len(store.asked) == 1
