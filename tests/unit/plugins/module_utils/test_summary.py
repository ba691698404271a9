# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of a run."""

from __future__ import annotations

from typing import Any

from ansible_collections.globalscope.redis_backup.plugins.module_utils._summary import summary
from ansible_collections.globalscope.redis_backup.plugins.module_utils._table import WIDTH
from hypothesis import given
from hypothesis import strategies as st

ROWS = st.lists(
    st.fixed_dictionaries(
        {"instance": st.text(), "result": st.sampled_from(["backed up", "FAILED"]), "failed": st.booleans()},
        optional={
            "label": st.text(),
            "keys": st.integers(0, 10**12) | st.none(),
            "size": st.integers(0, 10**18) | st.none(),
            "seconds": st.floats(0, 10**7) | st.none(),
            "rpo_seconds": st.floats(0, 10**9) | st.none(),
            "says": st.text() | st.none(),
        },
    )
)


def row(instance: str, **more: Any) -> dict[str, Any]:
    made = {"label": "20261122T235141Z_rdb", "keys": 12, "size": 3 << 20, "seconds": 4.25, "rpo_seconds": 1.0}
    return {"instance": instance, "result": "backed up", "failed": False, **made, **more}


def test_a_line_for_each() -> None:
    found = summary([row("db1-6379"), row("db2-6379", seconds=90.0), row("db3-6379", says="NOT encrypted.")], ["Else."])
    assert found["ok"] and found["results"] == {"backed up": 3}
    assert found["table"] == [
        "3 instances, 3 backed up, 9.0 MiB in all, the slowest took 1 min 30 s (db2-6379)",
        "",
        "INSTANCE  RESULT     LABEL                 KEYS     SIZE        TIME  RPO",
        "db1-6379  backed up  20261122T235141Z_rdb    12  3.0 MiB       4.2 s  1 s",
        "db2-6379  backed up  20261122T235141Z_rdb    12  3.0 MiB  1 min 30 s  1 s",
        "db3-6379  backed up  20261122T235141Z_rdb    12  3.0 MiB       4.2 s  1 s",
        "",
        "db3-6379  NOT encrypted.",
        "Else.",
    ]


def test_columns_that_nobody_needs_are_left_out_and_what_all_say_is_said_once() -> None:
    bare = {"result": "FAILED", "failed": True, "says": "no route to host"}
    found = summary([{"instance": f"db{n}", **bare} for n in range(24)])
    assert not found["ok"] and found["table"][2].split() == ["INSTANCE", "RESULT"]
    assert len(found["table"]) == 2 + 25 + 2
    assert found["table"][-1].endswith("db9 and 14 more  no route to host")


def test_nothing_at_all() -> None:
    assert summary([])["table"] == ["0 instances"]


@given(ROWS, st.lists(st.text()))
def test_any_row_fits_and_nothing_acts_on_a_terminal(rows: list[dict[str, Any]], remarks: list[str]) -> None:
    for line in summary(rows, remarks)["table"]:
        assert len(line) <= WIDTH
        assert all(char.isprintable() for char in line)
