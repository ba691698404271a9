# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What speaks against the exchange of a running server's data."""

from __future__ import annotations

import pytest
from ansible_collections.globalscope.redis_backup.plugins.module_utils._errors import RestoreError
from ansible_collections.globalscope.redis_backup.plugins.module_utils._live.guards import why_not_live, why_too_small
from ansible_collections.globalscope.redis_backup.plugins.module_utils._live.player import parse_ports
from ansible_collections.globalscope.redis_backup.plugins.module_utils._live.request import LiveOptions
from ansible_collections.globalscope.redis_backup.plugins.module_utils._server.facts import Facts

MB = 1024 * 1024


def facts(**info: object) -> Facts:
    known = {"redis_version": "7.0.15", "redis_mode": "standalone", "role": "master", "used_memory": 100 * MB}
    return Facts({name: str(value) for name, value in {**known, **info}.items()})


def test_a_plain_primary_will_do() -> None:
    assert why_not_live(facts(), LiveOptions()) is None
    assert why_not_live(facts(module="name=vectorset,ver=1,api=1"), LiveOptions()) is None
    assert why_not_live(facts(connected_slaves=2), LiveOptions(replicas_follow=True)) is None


@pytest.mark.parametrize(
    ("info", "words"),
    [
        ({"redis_mode": "cluster"}, "cluster mode"),
        ({"redis_version": "6.0.20"}, "6.0.20"),
        ({"module": "name=search,ver=20811"}, "modules search"),
        ({"connected_slaves": 2}, "2 replicas"),
    ],
)
def test_others_are_refused(info: dict[str, object], words: str) -> None:
    why = why_not_live(facts(**info), LiveOptions())
    assert why is not None
    assert words in why[0]


@pytest.mark.parametrize(
    ("needed", "info", "config", "limit", "available", "words"),
    [
        (50 * MB, {}, {}, None, None, ""),  # nothing tells of a bound
        (50 * MB, {"total_system_memory": 150 * MB}, {}, None, None, "has on its host"),
        (50 * MB, {"total_system_memory": 500 * MB}, {}, None, None, ""),
        (50 * MB, {}, {"maxmemory": str(150 * MB)}, None, None, "maxmemory"),
        (50 * MB, {}, {"maxmemory": str(150 * MB)}, 300 * MB, None, ""),
        (50 * MB, {}, {"maxmemory": str(150 * MB)}, None, 900 * MB, ""),
        (50 * MB, {}, {"maxmemory": str(40 * MB)}, 900 * MB, 900 * MB, "evicted"),
        (50 * MB, {}, {}, 150 * MB, 900 * MB, "memory_limit_mb"),
        (50 * MB, {}, {}, None, 60 * MB, "this host"),
    ],
)
def test_both_data_sets_must_fit(
    needed: int, info: dict[str, object], config: dict[str, str], limit: int | None, available: int | None, words: str
) -> None:
    why = why_too_small(needed, facts(**info), config, limit, available)
    assert (why is None) == (not words)
    assert why is None or words in why[0]


def test_ports() -> None:
    assert parse_ports("") == []
    assert parse_ports("7000") == [7000]
    assert parse_ports("7000-7002, 8000") == [7000, 7001, 7002, 8000]
    for bad in ("many", "7000-", "9-7", "0", "70000", "-5"):
        with pytest.raises(RestoreError, match="listen_ports"):
            parse_ports(bad)
