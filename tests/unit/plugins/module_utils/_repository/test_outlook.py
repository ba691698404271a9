# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the drills of the past say about the next disaster."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.globalscope.redis_backup.plugins.module_utils._repository.outlook import outlook
from ansible_collections.globalscope.redis_backup.plugins.module_utils._times import to_iso
from hypothesis import given
from hypothesis import strategies as st

T0 = 1_790_000_000.0
DAY = 86400.0


def drill(day: float, rto: float | None, instance: str = "shop", **more: Any) -> dict[str, Any]:
    return {
        "instance": instance,
        "time": to_iso(T0 + day * DAY),
        "ok": True,
        "rto_seconds": rto,
        "rto_target_seconds": 100.0,
        "rpo_seconds": 10.0,
        "rpo_target_seconds": 60.0,
        **more,
    }


@pytest.mark.parametrize(
    ("drills", "day"),
    [
        ([drill(0, 10), drill(30, 20), drill(60, 30)], 270),  # 10 s in 30 days
        ([drill(0, 10), drill(30, 95), drill(60, 30), drill(90, 40), drill(120, 50)], 270),  # one slow day
        ([drill(0, 10), drill(30, 20)], None),
        ([drill(0, 10), drill(1, 20), drill(2, 30)], None),  # too short a time
        ([drill(0, 30), drill(30, 20), drill(60, 10)], None),
        ([drill(0, 10), drill(30, 10), drill(60, 10)], None),
        ([drill(0, 10), drill(3000, 10.1), drill(6000, 10.2)], None),  # in more years than anybody knows
        ([drill(0, 110), drill(30, 120), drill(60, 130)], 60),
        ([drill(0, 10), drill(30, 20), drill(60, 900, patterns=["a*"]), drill(90, 900, ok=False)], None),
        ([drill(0, 10, rto_target_seconds=None), drill(30, 20), drill(60, 30, rto_target_seconds=None)], None),
    ],
)
def test_when_the_rto_will_be_missed(drills: list[dict[str, Any]], day: float | None) -> None:
    (found,) = outlook(drills)
    assert found["rto_missed_on"] == (None if day is None else to_iso(T0 + day * DAY))


def test_the_worst_comes_first() -> None:
    found = outlook(
        [
            drill(0, 90, "near"),
            drill(0, 1, "well"),
            drill(0, 1, "failed", ok=False, reason="no key of it is there"),
            *(drill(day, 10 + day, "growing") for day in (0, 10, 20)),
            drill(0, 1, "stale", rpo_seconds=600.0),
        ]
    )
    assert [each["instance"] for each in found] == ["failed", "growing", "stale", "near", "well"]
    assert found[0]["says"] == "the newest drill failed: no key of it is there"
    assert "the RTO is missed from" in found[1]["says"] and "RPO 10 min of 1 min, missed" in found[2]["says"]


VALUES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5)


@given(st.lists(st.dictionaries(st.sampled_from(list(drill(0, 1))), VALUES)))
def test_any_record_is_read(drills: list[dict[str, Any]]) -> None:
    found = outlook(drills)
    assert len(found) == len({str(each.get("instance")) for each in drills})
    assert [each["ok"] for each in found] == sorted(each["ok"] for each in found)
