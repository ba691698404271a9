# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The agent's configuration, its pauses and its metrics."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.globalscope.redis_backup.plugins.module_utils._agent.config import parse_config
from ansible_collections.globalscope.redis_backup.plugins.module_utils._agent.loop import Stop, pause_after
from ansible_collections.globalscope.redis_backup.plugins.module_utils._agent.metrics import metrics_text
from ansible_collections.globalscope.redis_backup.plugins.module_utils._archive.state import ArchiveState
from ansible_collections.globalscope.redis_backup.plugins.module_utils._archive.status import told
from ansible_collections.globalscope.redis_backup.plugins.module_utils._server.paths import Paths

DOCUMENT: dict[str, Any] = {
    "instance": "web1-6379",
    "login": {"host": "127.0.0.1", "port": 6380, "password": "secret", "unknown": 1, "user": None},
    "place": {"config_file": "/etc/redis/redis.conf", "data_dir": "", "service": "redis-server"},
    "repository": {"name": "nfs", "type": "posix", "path": "/mnt/backup"},
    "encryption": "none",
    "state_dir": "/var/lib/redis_backup",
}


def test_a_configuration() -> None:
    found = parse_config(DOCUMENT)
    assert (found.login.port, found.login.password, found.login.user) == (6380, "secret", None)
    assert (found.place.name, found.place.config_file) == ("web1-6379", "/etc/redis/redis.conf")
    assert found.place.data_dir == ""
    assert found.interval == 15 and found.packing.recipients == () and found.metrics_file == ""
    assert "secret" not in repr(found)


@pytest.mark.parametrize("missing", ["instance", "repository", "encryption", "state_dir"])
def test_what_must_be_told(missing: str) -> None:
    with pytest.raises(KeyError, match=missing):
        parse_config({name: value for name, value in DOCUMENT.items() if name != missing})


def test_failures_make_the_pause_longer_up_to_a_minute() -> None:
    assert [pause_after(1, failures) for failures in (0, 1, 2, 3, 50)] == [1, 2, 4, 8, 60]
    assert [pause_after(300, failures) for failures in (0, 1, 50)] == [300, 300, 300]


def test_a_stop_ends_the_sleep_before_it_begins() -> None:
    stop = Stop()
    stop.set()
    stop.set()
    stop.wait(3600)
    assert stop.is_set


def test_metrics() -> None:
    state = ArchiveState("web1-6379", last_pass=1000.0, last_error="away", objects=7)
    text = metrics_text("web1-6379", told(state, Paths()))
    assert 'redis_backup_archive_up{instance="web1-6379"} 0' in text
    assert 'redis_backup_archive_objects_total{instance="web1-6379"} 7' in text
    assert 'redis_backup_archive_last_pass_timestamp_seconds{instance="web1-6379"} 1000' in text
    assert "lag_seconds{" not in text, "not known yet"
    assert text.endswith("\n") and "# TYPE redis_backup_archive_bytes_total counter" in text
