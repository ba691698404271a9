# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the writing of a backup decides by itself."""

from __future__ import annotations

from ansible_collections.globalscope.redis_backup.plugins.module_utils._backup import write
from ansible_collections.globalscope.redis_backup.plugins.module_utils._backup.standing import Standing
from ansible_collections.globalscope.redis_backup.plugins.module_utils._repository.layout import is_label
from ansible_collections.globalscope.redis_backup.plugins.module_utils._times import now
from ansible_collections.globalscope.redis_backup.tests.unit.helpers.backups import put
from ansible_collections.globalscope.redis_backup.tests.unit.helpers.memory_store import MemoryStore


def test_a_label_that_no_store_has() -> None:
    one, two = MemoryStore("one"), MemoryStore("two")
    taken = put(two, now())
    label = write._free_label(Standing([one, two], 1, "redis db-6379"), "db-6379", "rdb")
    assert is_label(label) and label > taken


def test_the_header_tap_keeps_the_beginning() -> None:
    tap = write._HeaderTap()
    for piece in (b"a" * 1000, b"b" * 1000, b"c"):
        tap.write(memoryview(piece))
    assert tap.data == b"a" * 1000 + b"b" * 24
