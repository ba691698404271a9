# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Memory that is left."""

from __future__ import annotations

from ansible_collections.globalscope.redis_backup.plugins.module_utils._server.memory import (
    available_memory,
    parse_available,
)


def test_available() -> None:
    assert parse_available("MemTotal:  100 kB\nMemAvailable:   7 kB\n") == 7168
    assert parse_available("MemTotal:  100 kB\n") is None
    found = available_memory()
    assert found is None or found > 1 << 20
