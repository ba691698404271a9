# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of a freeze."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.globalscope.redis_backup.plugins.module_utils._freeze.report import freeze_report
from ansible_collections.globalscope.redis_backup.plugins.module_utils._summary import summary

VIEW = {
    "frozen": True,
    "method": "fence",
    "since": "2026-11-22T23:51:41Z",
    "until": None,
    "by": "alice",
    "state": "running",
    "role": "primary",
    "keys": 25001,
    "offset": 8123456,
    "unsaved_changes": 1207,
    "aof": "ok",
}
GROUP = {"missing": ["10.0.0.9:6379 (replica of db1) is not in the inventory"]}


def result(name: str, changed: bool = True, **view: Any) -> dict[str, Any]:
    return {"redis_freeze_name": name, "changed": changed, "freeze": {**VIEW, **view}}


def host(name: str, *results: dict[str, Any]) -> dict[str, Any]:
    return {"host": name, "names": [name], "results": list(results)}


def test_a_line_for_each_and_what_takes_writes_fails_the_run() -> None:
    found = freeze_report(
        [
            host("db1", result("db1")),
            host("db2", result("db2", until="2026-11-23T00:00:00Z", method="pause")),
            host("db3", {"redis_freeze_name": "db3", "failed": True, "msg": "db3: it refused"}),
            host("db4"),
            host("db5", {"redis_freeze_name": "db5", "timedout": {"period": 60}, "failed": True}),
            host("db6", result("db6", changed=False, role="sentinel", frozen=False)),
        ],
        [GROUP],
        timeout=60,
    )
    results = ["frozen", "paused", "NOT FROZEN", "UNREACHABLE", "TIMED OUT", "holds no data"]
    assert [row["result"] for row in found["rows"]] == results
    assert found["frozen"] == ["db1", "db2"]
    assert found["failures"]["db1"] == ["10.0.0.9:6379 (replica of db1) is not in the inventory."]
    assert found["failures"]["db3"] == ["db3: it refused."] and sorted(found["failures"]) == [
        "db1",
        "db3",
        "db4",
        "db5",
    ]
    lines = summary(found["rows"], found["remarks"])["table"]
    assert lines[2].split() == ["INSTANCE", "RESULT", "KEYS", "ROLE", "OFFSET", "UNSAVED", "AOF"]
    assert "db1  since 2026-11-22T23:51:41Z by alice, until it is thawed." in lines
    assert "db2  since 2026-11-22T23:51:41Z by alice, until 2026-11-23T00:00:00Z." in lines


def test_a_limited_run_only_tells_what_it_does_not_know() -> None:
    found = freeze_report([host("db1", result("db1"))], [GROUP], missing="warn")
    assert not found["failures"] and "10.0.0.9:6379" in found["remarks"][0]


@pytest.mark.parametrize(
    ("changed", "frozen", "check", "expected"),
    [
        (True, False, False, "thawed"),
        (False, False, False, "takes writes"),
        (True, True, True, "would be thawed"),
        (False, True, False, "STILL FROZEN"),
    ],
)
def test_thawed(changed: bool, frozen: bool, check: bool, expected: str) -> None:
    found = freeze_report([host("db1", result("db1", changed, frozen=frozen))], [GROUP], state="thawed", check=check)
    assert found["rows"][0]["result"] == expected
    assert bool(found["failures"]) == (expected == "STILL FROZEN")
