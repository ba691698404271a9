# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The steps of a restore: repeatable, undoable, honest in check and diff mode, and about the selection they act on."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from support.restores import (
    WORKSPACE,
    Backup,
    Restore,
    assert_holds,
    back_up,
    data_tree,
    file_tree,
    refused,
)
from support.servers import Build, RedisProcess
from support.waiting import wait_for

MakeServer = Callable[..., RedisProcess]


def test_each_step_is_repeatable(target: RedisProcess, backup: Backup) -> None:
    restore = Restore(target, backup)
    staged = restore.step("staged")
    again = restore.step("staged")
    assert (staged["changed"], again["changed"], again["actions"]) == (True, False, [])
    assert again["restore"]["id"] == staged["restore"]["id"]
    assert restore.step("staged", label=None)["changed"] is False  # the newest is the same
    target.stop()
    active = restore.step("active")
    tree = data_tree(target)
    again = restore.step("active")
    assert (active["changed"], again["changed"]) == (True, False)
    assert again["restore"] == active["restore"]
    assert data_tree(target) == tree
    target.start()
    assert restore.step("committed")["changed"] is True
    assert restore.step("committed")["changed"] is False
    assert_holds(target, backup.values)
    previous = Path(active["restore"]["previous_dir"])
    assert sorted(path.name for path in previous.iterdir()) == ["appendonlydir", "dump.rdb"]


def test_rolling_back_is_repeatable(target: RedisProcess, backup: Backup) -> None:
    restore = Restore(target, backup)
    assert restore.step("rolled_back")["changed"] is False  # there is nothing to undo
    restore.step("staged")
    assert restore.step("rolled_back")["changed"] is True  # what was staged goes, with the server running
    assert restore.step("rolled_back")["changed"] is False
    target.stop()
    before = data_tree(target)
    restore.step("staged")
    restore.step("active")
    assert data_tree(target) != before
    assert restore.step("rolled_back")["changed"] is True
    assert data_tree(target) == before
    result = restore.step("rolled_back")
    assert (result["changed"], result["restore"]["state"]) == (False, "rolled_back")
    assert data_tree(target) == before


def test_check_mode_touches_nothing(target: RedisProcess, backup: Backup) -> None:
    restore = Restore(target, backup, close_writes=True)

    def dry(state: str, words: str) -> None:
        before = file_tree(target.directory), file_tree(Path(backup.repository["path"]))
        result = restore.step(state, check=True)
        after = file_tree(target.directory), file_tree(Path(backup.repository["path"]))
        assert after == before
        assert result["changed"] is bool(words)
        assert words in " ".join(result["actions"])

    dry("staged", f"would stage {backup.label}")
    dry("active", "would swap")
    restore.step("staged")
    dry("staged", "")
    target.stop()
    dry("active", "would swap")
    dry("rolled_back", "would roll the restore")
    restore.step("active")
    dry("active", "")
    dry("rolled_back", "would roll the restore")
    dry("committed", "would close")
    restore.step("committed")
    dry("committed", "")


def test_diff_shows_files_before_and_after(target: RedisProcess, backup: Backup) -> None:
    restore = Restore(target, backup)
    target.client().execute_command("SAVE")
    staged = restore.step("staged", diff=True)["diff"]
    target.stop()
    active = restore.step("active", diff=True)["diff"]
    for diff in (staged, active):
        assert diff["before_header"] == diff["after_header"] == str(target.data_dir)
        assert diff["before"].split()[0] == "dump.rdb"
        assert "appendonlydir/" in diff["before"]
        assert diff["after"].startswith("appendonlydir/")
        assert "dump.rdb" not in diff["after"]


@dataclass
class Series:
    """Backups of one server at several times; the n-th holds the key `number` with the value n."""

    backups: list[Backup]

    def at(self, number: int) -> float:
        """When the data of a backup was taken, in UTC seconds."""
        return datetime.fromisoformat(self.backups[number].made["time"].replace("Z", "+00:00")).timestamp()


@pytest.fixture(scope="module")
def series(any_build: Build, tmp_path_factory: pytest.TempPathFactory) -> Series:
    place = tmp_path_factory.mktemp("series")
    server = RedisProcess(any_build, place / "server").start()
    made: list[Backup] = []
    try:
        for number in range(3):
            server.client().set("number", number)
            if made:
                last = Series(made).at(-1)
                wait_for(lambda last=last: time.time() >= last + 1.05, "the next second")  # type: ignore[misc]
            made.append(back_up(server, place))
    finally:
        server.destroy()
    return Series(made)


def iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, tz=timezone.utc).isoformat().replace("+00:00", "Z")


def test_selection_by_label_time_and_latest(target: RedisProcess, series: Series) -> None:
    first, second, third = series.backups
    restore = Restore(target, first)

    def chosen(**params: Any) -> str:
        result = restore.step("staged", **params)["restore"]
        assert Path(result["staged_dir"]).is_dir()
        return str(result["label"])

    assert chosen(label=first.label) == first.label
    assert chosen(label=None) == third.label
    assert chosen(label="latest", at=iso(series.at(1))) == second.label
    assert chosen(label=None, at=iso(series.at(2) - 0.5)) == second.label
    assert chosen(label=None, at=iso(series.at(2) + 3600)) == third.label
    left = [path.name for path in (target.data_dir / WORKSPACE).iterdir() if path.is_dir()]
    assert len(left) == 1, "what was staged before is still there"
    message = refused(restore, "staged", "no usable backup", label=None, at=iso(series.at(0) - 1))
    assert first.label in message
    message = refused(restore, "staged", "no backup", label="20200101T000000Z_rdb")
    assert third.label in message
    refused(restore, "staged", "exclude each other", at=iso(series.at(1)))
    refused(restore, "staged", "yesterday", label=None, at="yesterday")
    target.stop()
    restore.step("active", label=None)
    target.start()
    assert_holds(target, third.values)
    assert target.client().get("number") == b"2"


def test_another_selection_than_the_staged_one_is_refused(target: RedisProcess, series: Series) -> None:
    first, second, _third = series.backups
    restore = Restore(target, first)
    refused(restore, "active", "nothing is staged")
    restore.step("staged")
    target.stop()
    message = refused(restore, "active", "the open restore", label=second.label)
    assert first.label in message
    assert second.label in message
    refused(restore, "active", "the open restore", source_instance="somebody-else")
    refused(restore, "active", "the open restore", repository={**first.repository, "name": "other"})
    refused(restore, "committed", "is staged, not active")
    assert restore.step("active", repository=None, label=None)["restore"]["label"] == first.label
    refused(restore, "active", "the open restore", label=second.label)


def test_staging_over_an_active_restore_keeps_both_previous_sets(target: RedisProcess, series: Series) -> None:
    first, second, _third = series.backups
    target.stop()
    original = data_tree(target)
    restore = Restore(target, first)
    restore.step("staged")
    kept_first = Path(restore.step("active")["restore"]["previous_dir"])
    target.start()
    target.client().set("written", "after the first restore")
    target.stop()
    between = data_tree(target)
    restore.step("staged", label=second.label)
    kept_second = Path(restore.step("active", label=second.label)["restore"]["previous_dir"])
    assert file_tree(kept_first) == original
    assert file_tree(kept_second) == between
    target.start()
    assert_holds(target, second.values)
    target.stop()
    assert restore.step("rolled_back")["restore"]["label"] == second.label
    assert data_tree(target) == between
    target.start()
    assert target.client().get("written") == b"after the first restore"
    target.stop()
    # Asked twice, nothing more is undone; the first is the open one again, and can be named.
    saved = data_tree(target)
    again = restore.step("rolled_back")
    assert again["changed"] is False
    assert data_tree(target) == saved
    assert "restore_id" in str(again["actions"])
    assert restore.step("rolled_back", restore_id=kept_first.parent.name)["restore"]["label"] == first.label
    assert data_tree(target) == original
    assert restore.step("rolled_back")["changed"] is False


def test_staging_that_died_over_an_active_restore_hides_it_not(target: RedisProcess, series: Series) -> None:
    first, second, _third = series.backups
    target.stop()
    original = data_tree(target)
    restore = Restore(target, first)
    restore.step("staged")
    restore.step("active")
    result = restore.step("staged", label=second.label)["restore"]
    journal = target.data_dir / WORKSPACE / result["id"] / "journal.json"
    journal.write_text(journal.read_text().replace('"state": "staged"', '"state": "staging"'))
    refused(restore, "active", "nothing is staged", label=None)
    rolled = restore.step("rolled_back")
    assert rolled["restore"]["label"] == first.label
    assert data_tree(target) == original
    assert not journal.exists()


def test_staging_that_died_before_it_removed_what_it_replaced(target: RedisProcess, series: Series) -> None:
    first, second, _third = series.backups
    restore = Restore(target, first)
    older = target.data_dir / WORKSPACE / restore.step("staged")["restore"]["id"]
    shutil.copytree(older, target.directory / "older")
    restore.step("staged", label=second.label)
    shutil.copytree(target.directory / "older", older)
    target.stop()
    assert restore.step("active", label=second.label)["restore"]["label"] == second.label
    assert restore.step("committed")["changed"] is True
    assert restore.step("committed")["changed"] is False
    assert restore.step("rolled_back")["changed"] is False
    target.start()
    assert_holds(target, second.values)
    restore.step("staged")
    assert not older.exists()
