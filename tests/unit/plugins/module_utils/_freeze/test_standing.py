# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is to be set, what is to be put back, and whether a pause still stands."""

from __future__ import annotations

import pytest
from ansible_collections.globalscope.redis_backup.plugins.module_utils._config.writes import (
    CLOSED,
    FROZEN,
    LAG,
    SETTING,
)
from ansible_collections.globalscope.redis_backup.plugins.module_utils._freeze.journal import FENCE, PAUSE, Freeze
from ansible_collections.globalscope.redis_backup.plugins.module_utils._freeze.standing import (
    READ_ONLY,
    Standing,
    aof_state,
    is_paused,
    lending,
    wanted,
)
from ansible_collections.globalscope.redis_backup.plugins.module_utils._live.settings import as_entries, to_return
from ansible_collections.globalscope.redis_backup.plugins.module_utils._server.facts import Facts

PRIMARY, REPLICA = Facts({"role": "master"}), Facts({"role": "slave"})
OWN = {LAG: "30", SETTING: "1"}
OPEN = {LAG: "40", SETTING: "2", READ_ONLY: "yes"}
HELD = {LAG: "10", SETTING: str(FROZEN), READ_ONLY: "yes"}


def standing(live: dict[str, str], journal: Freeze | None = None) -> Standing:
    return Standing(True, PRIMARY, journal, live=live, own=OWN)


def put_back(live: dict[str, str], journal: Freeze | None = None) -> dict[str, str]:
    """What a thaw would set, once the instance is frozen."""
    return dict(to_return(lending(standing(live, journal), wanted(PRIMARY, live)), HELD))


@pytest.mark.parametrize(
    ("live", "expected"),
    [
        (OPEN, {LAG: "40", SETTING: "2"}),
        (HELD, {LAG: "30", SETTING: "1"}),  # frozen, and nobody remembers
        ({**HELD, SETTING: str(CLOSED)}, {LAG: "30", SETTING: "1"}),  # in the middle of a restore
        ({**OPEN, LAG: "10"}, {SETTING: "2"}),
    ],
)
def test_what_somebody_of_us_has_set_is_not_what_was_before(live: dict[str, str], expected: dict[str, str]) -> None:
    assert put_back(live) == expected


@pytest.mark.parametrize("now", [HELD, {**HELD, SETTING: str(CLOSED)}, {**HELD, LAG: "40"}])
def test_what_was_noted_first_stands(now: dict[str, str]) -> None:
    journal = Freeze(FENCE, lent=as_entries(lending(standing(OPEN), wanted(PRIMARY, OPEN))))
    assert put_back(now, journal) == {LAG: "40", SETTING: "2"}


def test_a_replica_that_takes_writes_takes_none_and_does_again() -> None:
    live = {**OPEN, READ_ONLY: "no"}
    assert list(wanted(REPLICA, live)) == [READ_ONLY, LAG, SETTING]
    assert READ_ONLY not in wanted(REPLICA, OPEN) and READ_ONLY not in wanted(PRIMARY, live)
    journal = Freeze(FENCE, lent=as_entries(lending(standing(live), wanted(REPLICA, live))))
    again = lending(standing(HELD, journal), wanted(PRIMARY, HELD))  # it was promoted meanwhile
    assert dict(to_return(again, HELD)) == {READ_ONLY: "no", LAG: "40", SETTING: "2"}
    assert as_entries(again) == journal.lent


@pytest.mark.parametrize(
    ("info", "time", "expected"),
    [
        ({"run_id": "a"}, 0, True),
        ({"run_id": "a"}, 4102444800, False),
        ({"run_id": "b"}, 0, False),
        ({"run_id": "a", "paused_actions": "none"}, 0, False),
        ({"run_id": "a", "paused_actions": "write"}, 0, True),
    ],
)
def test_a_pause_ends_with_its_time_and_with_its_process(info: dict[str, str], time: float, expected: bool) -> None:
    assert is_paused(Freeze(PAUSE, until="2026-11-22T23:51:41Z", run_id="a"), info, time) is expected
    assert not is_paused(Freeze(FENCE, until="2026-11-22T23:51:41Z", run_id="a"), info, time)
    assert not is_paused(None, info, time)


@pytest.mark.parametrize(
    ("info", "expected"),
    [
        ({}, "off"),
        ({"aof_enabled": "1"}, "ok"),
        ({"aof_enabled": "1", "aof_rewrite_in_progress": "1"}, "rewriting"),
        (
            {"aof_enabled": "1", "aof_last_write_status": "err", "aof_last_bgrewrite_status": "err"},
            "writes fail, rewrite failed",
        ),
    ],
)
def test_the_aof_in_words(info: dict[str, str], expected: str) -> None:
    assert aof_state(Facts(info)) == expected


def test_a_lag_of_none_would_switch_the_fence_off() -> None:
    assert Standing(True, PRIMARY, None, live=HELD).fenced
    assert not Standing(True, PRIMARY, None, live={**HELD, LAG: "0"}).fenced
    assert not Standing(True, PRIMARY, None, live={**HELD, SETTING: str(CLOSED)}).fenced
