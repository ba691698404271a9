# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Clocks that went back are told; a backlog is none."""

from __future__ import annotations

from ansible_collections.globalscope.redis_backup.plugins.module_utils._archive.frame import Segment
from ansible_collections.globalscope.redis_backup.plugins.module_utils._restore.point_plan import clock_steps

Clocks = tuple[tuple[int, float, float], ...]


def piece(epoch: str, offset: int, length: int, lower: float | None, clocks: Clocks) -> Segment:
    file = f"{epoch}.incr.aof"
    return Segment("x", "u", epoch, file, "incr", 1, offset, length, "", 0.0, lower=lower, clocks=clocks)


def test_a_file_that_waited_beside_the_next_one_is_no_step() -> None:
    """Looked at until it was shipped, long after the next one began."""
    first = piece("a", 0, 10, 100.0, ((10, 190.0, 101.0),))
    assert clock_steps([first, piece("b", 0, 10, 100.0, ((10, 102.0, 102.0),))]) == []


def test_a_sample_behind_an_object_is_no_step() -> None:
    first = piece("a", 0, 10, 100.0, ((10, 101.0, 101.0), (30, 160.0, 160.0)))
    assert clock_steps([first, piece("a", 10, 20, 101.0, ((20, 110.0, 110.0), (30, 160.0, 160.0)))]) == []


def test_a_clock_that_was_set_back_is_told() -> None:
    first = piece("a", 0, 10, 100.0, ((10, 200.0, 200.0),))
    assert clock_steps([first, piece("a", 10, 10, 150.0, ((20, 150.0, 150.0),))]) == [(150.0, 200.0)]
    assert clock_steps([first, piece("b", 0, 10, 150.0, ((10, 150.0, 150.0),))]) == [(150.0, 200.0)]
