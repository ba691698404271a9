# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The instances of a host, completed and checked."""

from __future__ import annotations

import pytest
from ansible_collections.globalscope.redis_backup.plugins.module_utils._errors import RedisBackupError
from ansible_collections.globalscope.redis_backup.plugins.module_utils._instances import complete_instances


def test_completed() -> None:
    first, second = complete_instances(
        [
            {"login_port": 1, "service": "redis@1", "settings": {"save": None}, "profile": "testing"},
            {"name": "x", "login_port": 2, "tier": "critical"},
        ],
        "host",
        {"tier": "important", "state_dir": "/var/lib/x"},
    )
    assert (first["name"], first["service"], first["tier"], first["source_instance"]) == (
        "host-1",
        "redis@1",
        "important",
        "",
    )
    assert first["module_args"] == {
        "login_port": 1,
        "service": "redis@1",
        "state_dir": "/var/lib/x",
        "instance": "host-1",
    }
    assert (second["name"], second["tier"], second["module_args"]["instance"]) == ("x", "critical", "x")
    assert (first["settings"], first["profile"]) == ({"save": None}, "testing")
    assert (second["settings"], second["profile"]) == ({}, "")


def test_instances_that_share_nothing() -> None:
    shared = {"state_dir": "/var/lib/x", "executable": "/usr/bin/redis-server", "login_password": "p"}
    own = [{"service": f"redis@{n}", "config_file": f"/{n}", "data_dir": f"/d/{n}", "login_port": n} for n in (1, 2)]
    assert len(complete_instances(own, "host", shared)) == 2


def test_one_on_the_usual_port() -> None:
    (only,) = complete_instances([{}], "host")
    assert (only["name"], only["tier"], only["module_args"]) == ("host-6379", "standard", {"instance": "host-6379"})


@pytest.mark.parametrize(
    ("listed", "words"),
    [
        ([{"port": 1}], "redis_instances of host: unknown port"),
        ([{"name": "a", "login_port": 1}, {"name": "a", "login_port": 2}], "have the name a"),
        ([{"name": "a"}, {"name": "b", "login_host": "127.0.0.1", "login_port": 6379}], "address 127.0.0.1:6379"),
        ([{"name": "a", "login_unix_socket": "/s"}, {"name": "b", "login_unix_socket": "/s"}], "address /s"),
        ([{"config_file": "/c"}, {"login_port": 1, "config_file": "/c/."}], "have the config_file /c"),
        ("redis", "must be a list"),
        ({"login_port": 1}, "must be a list"),
        (["redis"], "must be a list"),
        ([{"service": "redis"}, {"login_port": 1, "service": "redis.service"}], "have the service redis"),
        ([{"settings": ["maxmemory 1gb"]}], "host-6379: settings must map directives to values"),
    ],
)
def test_refusals(listed: list[dict[str, object]], words: str) -> None:
    with pytest.raises(RedisBackupError, match=words):
        complete_instances(listed, "host")
