# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a restart would bring the data back."""

from __future__ import annotations

import pytest
from ansible_collections.globalscope.redis_backup.plugins.module_utils._enforce.restart import restart_refusals
from ansible_collections.globalscope.redis_backup.plugins.module_utils._server.facts import Facts

PRIMARY = {"role": "master", "aof_enabled": "0", "db0": "keys=1,expires=0"}
REPLICA = {**PRIMARY, "role": "slave", "master_link_status": "up"}
AOF = {**PRIMARY, "aof_enabled": "1"}
SAVES = {"save": "900 1", "shutdown-on-sigterm": "default"}
NO_SAVES = {"save": "", "shutdown-on-sigterm": "default"}


@pytest.mark.parametrize(
    ("info", "live", "file_aof", "words"),
    [
        (PRIMARY, SAVES, None, []),
        (PRIMARY, SAVES, "no", []),
        (PRIMARY, SAVES, "yes", ["do not agree on appendonly"]),
        (PRIMARY, NO_SAVES, None, ["neither an AOF nor save points"]),
        ({**PRIMARY, "db0": ""}, NO_SAVES, None, []),
        (REPLICA, NO_SAVES, None, []),
        ({**REPLICA, "master_link_status": "down"}, NO_SAVES, None, ["neither an AOF nor save points"]),
        (PRIMARY, {**SAVES, "shutdown-on-sigterm": "nosave force"}, None, ["shutdown-on-sigterm"]),
        (PRIMARY, {**SAVES, "shutdown-on-sigterm": "save force"}, None, []),
        ({**PRIMARY, "rdb_last_bgsave_status": "err"}, SAVES, None, ["last snapshot failed"]),
        (AOF, NO_SAVES, "yes", []),
        (AOF, NO_SAVES, "YES", []),
        (AOF, NO_SAVES, None, ["do not agree on appendonly"]),
        ({**AOF, "aof_last_write_status": "err"}, SAVES, "yes", ["AOF could not be written"]),
        ({**AOF, "aof_last_bgrewrite_status": "err"}, SAVES, "yes", ["AOF could not be written"]),
        ({**AOF, "aof_rewrite_in_progress": "1"}, SAVES, "yes", ["rewrite is running"]),
        ({**AOF, "rdb_last_bgsave_status": "err"}, SAVES, "yes", []),
        ({**PRIMARY, "connected_slaves": "1"}, SAVES, None, ["primary with replicas"]),
        ({**REPLICA, "connected_slaves": "1"}, SAVES, None, []),
        ({**PRIMARY, "redis_mode": "cluster"}, SAVES, None, ["node of a cluster"]),
        ({**PRIMARY, "server_mode": "cluster", "connected_slaves": "2"}, SAVES, None, ["replicas", "cluster"]),
        (PRIMARY, {}, None, ["CONFIG cannot be asked"]),
        ({**PRIMARY, "connected_slaves": "1"}, {}, None, ["replicas", "CONFIG cannot be asked"]),
    ],
)
def test_refusals(info: dict[str, str], live: dict[str, str], file_aof: str | None, words: list[str]) -> None:
    facts = Facts({name: text for name, text in info.items() if text})
    found = restart_refusals(facts, live, file_aof)
    assert len(found) == len(words)
    assert all(word in reason for word, reason in zip(words, found))
