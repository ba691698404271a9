# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A Sentinel's watch over a primary: read, lifted, put back."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.globalscope.redis_backup.plugins.module_utils._errors import GroupError
from ansible_collections.globalscope.redis_backup.plugins.module_utils._group.journal import HoldJournal
from ansible_collections.globalscope.redis_backup.plugins.module_utils._group.watch import (
    HELD_MS,
    is_held,
    lifting,
    monitoring,
    undoing,
    watch_of,
    why_not_seen,
)

FIELDS = {
    "name": "shop",
    "ip": "10.0.0.1",
    "port": "6379",
    "flags": "master",
    "runid": "5f8d9c",
    "role-reported": "master",
    "last-ok-ping-reply": "120",
    "quorum": "2",
    "down-after-milliseconds": "5000",
    "failover-timeout": "60000",
    "parallel-syncs": "1",
}
LINES = [
    ("monitor", "shop", "10.0.0.1", "6379", "2"),
    ("auth-pass", "shop", "a secret"),
    ("auth-pass", "other", "not this"),
    ("master-reboot-down-after-period", "shop", "3000"),
    ("notification-script", "shop", "/bin/notify"),
    ("rename-command", "shop", "CONFIG", "GUESSME"),
    ("myid", "f00"),
]


def test_all_that_it_was_told_is_kept() -> None:
    watch = watch_of(FIELDS, LINES)
    assert watch.where == "10.0.0.1:6379" and watch.quorum == 2
    assert watch.value("auth-pass") == "a secret" and watch.value("down-after-milliseconds") == "5000"
    assert ["rename-command", "CONFIG", "GUESSME"] in watch.options
    assert watch.scripts == [["notification-script", "/bin/notify"]]


def test_lifting_and_putting_back_are_the_same_options() -> None:
    watch = watch_of(FIELDS, LINES)
    assert lifting(watch) == [
        ("SENTINEL", "SET", "shop", "down-after-milliseconds", HELD_MS),
        ("SENTINEL", "SET", "shop", "master-reboot-down-after-period", "0"),
    ]
    assert undoing(watch) == [
        ("SENTINEL", "SET", "shop", "down-after-milliseconds", "5000"),
        ("SENTINEL", "SET", "shop", "master-reboot-down-after-period", "3000"),
    ]
    plain = watch_of(FIELDS, [])
    assert len(lifting(plain)) == len(undoing(plain)) == 1
    assert not is_held(FIELDS) and is_held({**FIELDS, "down-after-milliseconds": HELD_MS})


def test_another_address_is_watched_held_from_the_first_moment() -> None:
    commands = monitoring(watch_of(FIELDS, LINES), "10.0.0.2", 6380, known=True)
    assert commands[0] == ("SENTINEL", "REMOVE", "shop")
    assert commands[1] == ("SENTINEL", "MONITOR", "shop", "10.0.0.2", "6380", "2")
    assert commands[-1] == ("SENTINEL", "SET", "shop", "down-after-milliseconds", HELD_MS)
    assert ("SENTINEL", "SET", "shop", "auth-pass", "a secret") in commands
    assert ("SENTINEL", "SET", "shop", "down-after-milliseconds", "5000") not in commands


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({}, ""),
        ({"flags": "master,disconnected"}, "master,disconnected"),
        ({"flags": "s_down,master"}, "s_down"),
        ({"runid": ""}, "10.0.0.1:6379 has not told it anything yet"),
        ({"role-reported": "slave"}, "that it is a replica"),
        ({"last-ok-ping-reply": "2000"}, "for 2000 ms"),
        ({"ip": "10.0.0.9"}, "it watches 10.0.0.9:6379, not 10.0.0.1:6379"),
    ],
)
def test_it_is_let_go_only_when_it_sees_the_primary(change: dict[str, str], words: str) -> None:
    found = why_not_seen({**FIELDS, **change}, ["10.0.0.1:6379"])
    assert (words in found) if words else found == ""


def test_the_journal_is_private_and_comes_back_equal(tmp_path: Path) -> None:
    journal = HoldJournal(str(tmp_path), "h1/26379", "shop a")
    assert journal.read() is None
    watch = watch_of(FIELDS, LINES)
    journal.write(watch)
    assert journal.read() == watch
    path = Path(journal.path)
    assert path.parent == tmp_path / "sentinels" and path.stat().st_mode & 0o777 == 0o600
    journal.remove()
    journal.remove()
    assert journal.read() is None


@pytest.mark.parametrize("content", ["", "{}", '{"format": 2}', "[]", '{"format": 1, "master": "shop"}'])
def test_a_damaged_journal_is_named(tmp_path: Path, content: str) -> None:
    journal = HoldJournal(str(tmp_path), "s", "shop")
    journal.write(watch_of(FIELDS, []))
    Path(journal.path).write_text(content)
    with pytest.raises(GroupError, match="cannot be read"):
        journal.read()
