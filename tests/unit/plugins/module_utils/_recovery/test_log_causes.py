# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the end of a log tells."""

from __future__ import annotations

import pytest
from ansible_collections.globalscope.redis_backup.plugins.module_utils._recovery.log_causes import causes_in
from hypothesis import given
from hypothesis import strategies as st

START = "77:C 24 Nov 2026 00:25:41.278 # oO0OoO0OoO0Oo Redis is starting oO0OoO0OoO0Oo\n"
FULL = "77:M 24 Nov 2026 00:25:42.001 # Write error saving DB on disk: No space left on device\n"


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        (FULL, "disk_full"),
        ("9:M 24 Nov 2026 00:25:42.001 # Can't open the append-only file a.aof: Permission denied", "permission"),
        ("9:M 24 Nov 2026 00:25:42.001 # Can't handle RDB format version 80", "too_new"),
        ("9:M 24 Nov 2026 00:25:42.001 # Out Of Memory allocating 1048576 bytes!", "memory"),
        ("*** FATAL CONFIG FILE ERROR (Redis 7.0.15) ***", "config"),
        ("9:M 24 Nov 2026 00:25:42.001 # Aborting Redis startup because of ACL errors: no such user", "acl"),
        (
            "9:M 24 Nov 2026 00:25:42.001 # Bad file format reading the append only file a.aof: make a backup",
            "aof_damaged",
        ),
        (
            "9:M 24 Nov 2026 00:25:42.001 # Short read or OOM loading DB. Unrecoverable error, aborting now.",
            "rdb_damaged",
        ),
        ("9:M 24 Nov 2026 00:25:42.001 # Could not create server TCP: bind: Address already in use", "port"),
        ("=== REDIS BUG REPORT START: Cut & paste starting from here ===", "crash"),
    ],
)
def test_each_line_that_matters_has_its_kind(line: str, kind: str) -> None:
    (found,) = causes_in(START + line)
    assert found.kind == kind and found.line and "Nov 2026" not in found.line


def test_what_was_before_the_last_start_is_over() -> None:
    assert causes_in(START + FULL + START + "77:M 24 Nov 2026 00:25:43.000 * Ready to accept connections\n") == []


def test_what_explains_more_comes_first_and_each_kind_once() -> None:
    short = "77:M 24 Nov 2026 00:25:43.000 # Short read or OOM loading DB.\n"
    assert [each.kind for each in causes_in(short + FULL + FULL + short)] == ["disk_full", "rdb_damaged"]


@given(st.text(max_size=400))
def test_any_text_is_read(text: str) -> None:
    for each in causes_in(text):
        assert each.line in text and len(each.line) <= 300
