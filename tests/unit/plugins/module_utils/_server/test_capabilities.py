# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a server can do for us."""

from __future__ import annotations

import pytest
from ansible_collections.globalscope.redis_backup.plugins.module_utils._server.capabilities import why_no_stream
from ansible_collections.globalscope.redis_backup.plugins.module_utils._server.facts import Facts


@pytest.mark.parametrize(
    ("info", "diskless", "why"),
    [
        ({"redis_version": "7.0.15"}, "yes", None),
        ({"redis_version": "7.0.15"}, None, None),
        ({"redis_version": "7.0.15"}, "no", "repl-diskless-sync is off"),
        ({"redis_version": "6.2.14"}, "yes", None),
        ({"redis_version": "6.2.14"}, "no", "repl-diskless-sync is off"),
        ({"redis_version": "6.2.14"}, None, "repl-diskless-sync is off"),
        ({"redis_version": "6.0.9"}, "yes", "version 6.0.9 does not know rdb-only"),
        ({"redis_version": "7.2.4", "valkey_version": "8.0.1"}, None, None),
        ({"redis_version": "7.0.15", "role": "slave", "master_link_status": "down"}, "yes", "link to its primary"),
        ({"redis_version": "7.0.15", "role": "slave", "master_link_status": "up"}, "yes", None),
        ({}, "yes", "does not know rdb-only"),
    ],
)
def test_why_no_stream(info: dict[str, str], diskless: str | None, why: str | None) -> None:
    found = why_no_stream(Facts(info), diskless)
    assert found is None if why is None else why in (found or "")
