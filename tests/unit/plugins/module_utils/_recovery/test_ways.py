# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The ways out of a disaster, and their order."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.globalscope.redis_backup.plugins.module_utils._recovery.damage import Damage
from ansible_collections.globalscope.redis_backup.plugins.module_utils._recovery.examine import OwnData
from ansible_collections.globalscope.redis_backup.plugins.module_utils._recovery.ways import Material, Way, ways_out
from hypothesis import given
from hypothesis import strategies as st

WHOLE = OwnData("aof", "sound", "the AOF is whole", 1000)
TORN = OwnData("aof", "torn", "torn", 1000, 7)
HALF = OwnData("aof", "damaged", "damaged", 1000, 500)
STAMPED = OwnData("aof", "damaged", "damaged", 1000, 500, 990.0)
DUMP = OwnData("rdb", "sound", "the RDB is whole", 1000, good_until=940.0)


def ways(**material: Any) -> list[Way]:
    return ways_out(Material(1000.0, **{"damage": ("down",), **material}))


@pytest.mark.parametrize(
    ("material", "order"),
    [
        ({"damage": ()}, []),
        ({}, []),
        ({"own": WHOLE, "backup": ("b", 900.0)}, [("start", 0.0), ("restore", 100.0)]),
        ({"own": TORN, "archived_to": 995.0}, [("repair_aof", 0.0), ("replay", 5.0)]),
        ({"own": HALF, "backup": ("b", 900.0)}, [("restore", 100.0), ("repair_aof", None)]),
        ({"own": STAMPED, "backup": ("b", 900.0)}, [("repair_aof", 10.0), ("restore", 100.0)]),
        ({"own": DUMP, "backup": ("b", 950.0)}, [("restore", 50.0), ("start", 60.0)]),
        ({"own": OwnData("aof", "damaged", "all of it", 9, 9)}, []),
        ({"own": OwnData("rdb", "damaged", "all of it", 9, 9)}, []),
        ({"own": OwnData("rdb", "too_new", "newer", 9)}, []),
        ({"archived_to": 1010.0, "backup": ("b", 900.0)}, [("replay", 0.0), ("restore", 100.0)]),
        ({"exported": ("e", 950.0), "backup": ("b", 900.0)}, [("import", 50.0), ("restore", 100.0)]),
        ({"exported": ("e", 900.0), "backup": ("b", 950.0)}, [("restore", 50.0)]),
        # what a server in service holds is not what it would start with
        ({"damage": ("empty",), "own": WHOLE, "archived_to": 800.0}, [("replay", 0.0)]),
    ],
)
def test_the_smallest_loss_comes_first(material: dict[str, Any], order: list[tuple[str, float | None]]) -> None:
    assert [(each.way, each.loses_seconds) for each in ways(**material)] == order


def test_what_keeps_it_from_starting_is_to_be_put_right_first() -> None:
    found = ways(own=WHOLE, findings=(Damage("disk_full", "full"), Damage("acl", "gone"), Damage("aof_torn", "torn")))
    assert found[0].how == "make room on the disk, bring the ACL file back; then start the server"


@given(
    own=st.sampled_from([None, WHOLE, TORN, HALF, STAMPED, DUMP]),
    archived=st.none() | st.floats(0, 2000),
    backup=st.none() | st.floats(0, 2000),
    exported=st.none() | st.floats(0, 2000),
    damage=st.sampled_from([("down",), ("empty",), ("shrunk",), ("unfinished", "down")]),
)
def test_known_losses_never_grow_smaller_down_the_list(
    own: OwnData | None, archived: float | None, backup: float | None, exported: float | None, damage: tuple[str, ...]
) -> None:
    found = ways(
        own=own,
        archived_to=archived,
        backup=None if backup is None else ("b", backup),
        exported=None if exported is None else ("e", exported),
        damage=damage,
    )
    known = [each.loses_seconds for each in found if each.loses_seconds is not None]
    assert known == sorted(known) and all(each >= 0 for each in known)
    assert [each.loses_seconds is None for each in found] == sorted(each.loses_seconds is None for each in found)
    assert (backup is None) == ("restore" not in [each.way for each in found])
