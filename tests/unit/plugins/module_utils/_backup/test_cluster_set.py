# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The option set of redis_backup."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.globalscope.redis_backup.plugins.module_utils._backup.cluster_set import SetPart, part_of
from ansible_collections.globalscope.redis_backup.plugins.module_utils._errors import RedisBackupError

GOOD = {"id": "set-1", "shards": 3, "shard": "one", "slots": [[5, 9], [0, 4], [20, 20]]}


def test_neighbours_are_joined() -> None:
    assert part_of(GOOD) == SetPart("set-1", 3, "one", ((0, 9), (20, 20)))
    assert part_of(None) is None


@pytest.mark.parametrize(
    "wrong", [{"slots": [[1, "2"]]}, {"slots": [[2, 1]]}, {"shards": 0}, {"id": ""}, {"shard": ""}]
)
def test_what_makes_no_sense_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(RedisBackupError, match="set makes no sense"):
        part_of({**GOOD, **wrong})
