# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Repositories fail alone, and the task says which and why."""

from __future__ import annotations

import pytest
from ansible_collections.globalscope.redis_backup.plugins.module_utils._backup.request import BackupResult
from ansible_collections.globalscope.redis_backup.plugins.module_utils._backup.standing import Standing
from ansible_collections.globalscope.redis_backup.plugins.module_utils._errors import NotFoundError, RepositoryError
from ansible_collections.globalscope.redis_backup.tests.unit.helpers.memory_store import MemoryStore

LABEL = "20261122T235141Z_rdb"


def three(least: int) -> tuple[Standing, list[MemoryStore]]:
    stores = [MemoryStore(name) for name in ("one", "two", "three")]
    return Standing(stores, least, "redis db-6379"), stores


def test_enough() -> None:
    standing, (_one, two, _three) = three(2)
    with standing.trying(two):
        raise NotFoundError("it has gone", hint="Mount it")
    result = standing.judged(BackupResult(True, [], {"label": LABEL}, warnings=["earlier"]), LABEL)
    assert result.backup == {"label": LABEL, "failed": {"two": "it has gone. Mount it."}, "passed_over": {}}
    told = f"repository two lacks the backup {LABEL} of redis db-6379: it has gone. Mount it."
    assert result.warnings == [told, "earlier"]
    assert standing.names == ["one", "three"]


def test_too_few() -> None:
    standing, (one, two, _three) = three(2)
    for store, words in ((one, "full"), (two, "locked")):
        standing.lose(store, RepositoryError(words, hint="Wait"))
    with pytest.raises(RepositoryError) as caught:
        standing.judged(BackupResult(True, [], {}), LABEL)
    assert str(caught.value) == (
        f"the backup {LABEL} of redis db-6379 failed in one, two: full (Wait); locked (Wait). "
        "It is complete in: three; the earlier backups are as they were. "
        "1 of 3 repositories have it, 2 must (repositories_min)."
    )
    assert caught.value.details == {"failed_repositories": ["one", "two"], "complete_repositories": ["three"]}


def test_none_is_left() -> None:
    standing, stores = three(1)
    seen = []
    with pytest.raises(RepositoryError, match=r"failed in one, two, three: .*No repository has it"):
        for store in standing.each():
            seen.append(store)
            with standing.trying(store):
                raise RepositoryError("gone")
    assert seen == stores


def test_one_alone_says_its_own_words() -> None:
    store = MemoryStore("one")
    standing = Standing([store], 1, "redis db-6379")
    error = NotFoundError("it has gone")
    standing.lose(store, error)
    with pytest.raises(NotFoundError) as caught:
        standing.require_one()
    assert caught.value is error


def test_those_that_rest_count_as_if_they_had_it() -> None:
    standing, (_one, _two, three_) = three(3)
    standing.rest({"one": "earlier", "two": "earlier"})
    assert standing.names == ["three"]
    result = standing.judged(BackupResult(True, [], {"label": LABEL}), LABEL)
    assert result.backup == {"label": LABEL, "failed": {}, "passed_over": {"one": "earlier", "two": "earlier"}}
    standing.lose(three_, RepositoryError("full"))
    with pytest.raises(RepositoryError, match="full"):
        standing.require_one()


def test_never_all_rest() -> None:
    """Where every repository has a young backup, none is made at all, which is told in another way."""
    standing, _stores = three(3)
    standing.rest(dict.fromkeys(standing.names, "earlier"))
    assert standing.names == ["one", "two", "three"]
