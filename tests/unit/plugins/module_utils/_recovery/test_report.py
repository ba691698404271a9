# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The report of a recovery."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.globalscope.redis_backup.plugins.module_utils._recovery.report import (
    recovery_report,
    timed_phases,
)
from ansible_collections.globalscope.redis_backup.plugins.module_utils._times import to_iso
from ansible_collections.globalscope.redis_backup.tests.unit.helpers.backups import T0

MARKS = [{"name": "assess", "at": T0}, {"name": "restore", "at": T0 + 2.5}, {"name": "verify", "at": T0 + 10}]


def report(outcome: str = "recovered", rpo: float | None = 120.0, **over: Any) -> dict[str, Any]:
    run = {
        "instance": "db",
        "host": "h",
        "outcome": outcome,
        "phases": MARKS,
        "ended_at": T0 + 12,
        "tier": "critical",
        "targets": {"rto_seconds": 10, "rpo_seconds": 300},
        "assessment": {"rpo_seconds": rpo, "failed_at": "t1", "failed_at_source": "the unit's exit"},
        "backup": {"label": "l", "time": "t0", "keys": {"total": 5}},
        "restore": {"previous_dir": "/prev"},
        **over,
    }
    return recovery_report(run)


def test_phases() -> None:
    phases = timed_phases(MARKS, T0 + 12.0, failed=False)
    assert [(p["name"], p["seconds"], p["ok"]) for p in phases] == [
        ("assess", 2.5, True),
        ("restore", 7.5, True),
        ("verify", 2.0, True),
    ]
    assert [p["ok"] for p in timed_phases(MARKS, T0 + 12.0, failed=True)] == [True, True, False]
    assert timed_phases([], T0, failed=True) == []


def test_recovered() -> None:
    found = report()
    assert (found["ok"], found["rto_seconds"], found["rpo_seconds"]) == (True, 12.0, 120.0)
    assert (found["rto"]["met"], found["rpo"]["met"]) == (False, True)
    assert (found["started"], found["ended"]) == (to_iso(T0), to_iso(T0 + 12))
    assert found["lost"].startswith("The writes of 2 min: from t0, when the backup l was taken, to the failure at t1")
    steps = " ".join(found["next_steps"])
    assert "kept in /prev" in steps
    assert "RTO target of the tier critical was missed: 12 s against 10 s" in steps and "RPO target" not in steps


@pytest.mark.parametrize(
    ("found", "lost"),
    [
        (report("nothing lost"), "Nothing was found lost."),
        (report(rpo=0.0), "No write: the backup l is not older"),
        (report("failed"), "Not settled. The backup l"),
        (report("failed", backup=None), "Not known: no usable backup"),
    ],
)
def test_lost(found: dict[str, Any], lost: str) -> None:
    assert found["lost"].startswith(lost)
    assert found["next_steps"]


def test_a_failed_recovery_reaches_nothing() -> None:
    found = report("failed", error="boom")
    assert (found["ok"], found["rto_seconds"], found["rpo_seconds"], found["rto"]["met"]) == (False, None, None, None)
    assert found["phases"][-1]["ok"] is False


def test_without_targets_nothing_is_missed() -> None:
    found = report(targets={})
    assert (found["rto"]["met"], found["rpo"]["met"]) == (None, None)


def test_numbers_that_came_as_texts() -> None:
    texts = [{"name": m["name"], "at": str(m["at"])} for m in MARKS]
    found = report(phases=texts, ended_at=str(T0 + 12), targets={"rto_seconds": "12", "rpo_seconds": "1"})
    assert (found["rto_seconds"], found["rto"]["met"], found["rpo"]["met"]) == (12.0, True, False)


PLAN = {"id": "shop", "action": "recover", "lead": "db", "skipped": ["h3: its host h3 cannot be reached"]}
MEMBERS = [
    {"name": "h2", "role": "replica", "ok": True, "says": "follows, 5 keys"},
    {"name": "h4", "role": "sentinel", "ok": False, "says": "h4 has no quorum"},
]


def test_a_group_is_recovered_when_the_primary_serves() -> None:
    """RTO ends there; what is left over is told, and keeps it from being called well."""
    found = report(group=PLAN, members=MEMBERS, served_at=T0 + 9)
    assert found["rto_seconds"] == 9.0 and not found["ok"] and found["outcome"] == "recovered"
    assert found["group"]["left_over"] == ["h3: its host h3 cannot be reached", "h4 has no quorum"]
    assert "Left over: h4 has no quorum" in found["next_steps"]
    assert report(group={**PLAN, "skipped": []}, members=MEMBERS[:1])["ok"]
    assert "group" not in report(group={}, members=[])


def test_members_that_were_brought_back_cost_no_write() -> None:
    fed = report("fed", group=PLAN, members=MEMBERS)
    assert fed["rto_seconds"] is None and fed["lost"].startswith("No write")
    promoted = report("promoted", group=PLAN, members=[], served_at=T0 + 3)
    assert promoted["rto_seconds"] == 3.0 and promoted["rpo_seconds"] is None
    assert "Point the clients to db" in promoted["next_steps"][0]
