# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the writing of a backup decides by itself."""

from __future__ import annotations

from ansible_collections.globalscope.redis_backup.plugins.module_utils._backup import write


def test_the_header_tap_keeps_the_beginning() -> None:
    tap = write._HeaderTap()
    for piece in (b"a" * 1000, b"b" * 1000, b"c"):
        tap.write(memoryview(piece))
    assert tap.data == b"a" * 1000 + b"b" * 24
