# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The journal of an import: kept, found by the same import only, one run at a time, gone at the end."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from ansible_collections.globalscope.redis_backup.plugins.module_utils._errors import RedisBackupError
from ansible_collections.globalscope.redis_backup.plugins.module_utils._keys.journal import (
    Shelf,
    identity_of,
    new_journal,
)

ONE = identity_of({"source": "a", "target": "b"})


def test_a_journal_is_found_again(tmp_path: Path) -> None:
    shelf = Shelf(str(tmp_path), ONE)
    assert shelf.found() is None
    with shelf.held("a file"):
        journal = new_journal(1700000000000, "run")
        journal.done, journal.reserved, journal.building, journal.counts = 3, 9, [0, "6b"], {"imported": 3}
        shelf.save(journal)
    assert Shelf(str(tmp_path), ONE).found() == journal
    assert Shelf(str(tmp_path), identity_of({"source": "a", "target": "c"})).found() is None
    with shelf.held("a file"):
        shelf.forget()
    assert list((tmp_path / "imports").iterdir()) == []


def test_one_run_at_a_time(tmp_path: Path) -> None:
    with Shelf(str(tmp_path), ONE).held("keys.jsonl"):
        again = Shelf(str(tmp_path), ONE).held("keys.jsonl")
        with pytest.raises(RedisBackupError, match=r"another run is importing keys\.jsonl right now"), again:
            pass
        with Shelf(str(tmp_path), identity_of({})).held("other.jsonl"):
            pass


def test_what_nobody_went_on_with_is_forgotten(tmp_path: Path) -> None:
    shelf = Shelf(str(tmp_path), ONE)
    with shelf.held("a file"):
        shelf.save(new_journal(1700000000000, "run"))
    os.utime(shelf.path, (1, 1))
    with shelf.held("a file"):
        assert shelf.found() is None


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"format": 2}', '{"format": 1, "more": 1}', "\x00"])
def test_a_journal_that_cannot_be_read(tmp_path: Path, content: str) -> None:
    shelf = Shelf(str(tmp_path), ONE)
    (tmp_path / "imports").mkdir()
    Path(shelf.path).write_text(content)
    with pytest.raises(RedisBackupError, match="cannot be read"):
        shelf.found()
