# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Servers that held the same data when it was backed up, and that a run does not see."""

from __future__ import annotations

from ansible_collections.globalscope.redis_backup.plugins.module_utils._group.relatives import unseen_relatives
from ansible_collections.globalscope.redis_backup.tests.unit.helpers.members import member, replica

TOLD = [{"address": f"10.0.0.{number}:6379", "role": "replica", "label": "L"} for number in (2, 3)]


def test_who_is_not_here_is_named() -> None:
    down = member(1, state="down")
    found = unseen_relatives(TOLD, [down, replica(2, 1, state="down")], "h1-6379", {"10.0.0.3": "h3"})
    assert found == ["10.0.0.3:6379, on h3 (replica of h1-6379 when L was made)"]
    assert len(unseen_relatives(TOLD, [down], "h1-6379")) == 2
    assert unseen_relatives(TOLD, [down], "nobody") == []


def test_who_is_gone_for_good_is_not() -> None:
    down = member(1, state="down")
    assert unseen_relatives(TOLD, [down], "h1-6379", {"10.0.0.3": "h3"}, ["10.0.0.2:6379", "h3"]) == []
