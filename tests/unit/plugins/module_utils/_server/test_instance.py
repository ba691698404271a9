# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An instance that is not as it should be."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.globalscope.redis_backup.plugins.module_utils._errors import ServerError
from ansible_collections.globalscope.redis_backup.plugins.module_utils._server.connection import (
    Login,
    Server,
    UnreachableError,
)
from ansible_collections.globalscope.redis_backup.plugins.module_utils._server.facts import Facts
from ansible_collections.globalscope.redis_backup.plugins.module_utils._server.instance import (
    Instance,
    Place,
    _next_start,
    default_name,
    find_instance,
)
from ansible_collections.globalscope.redis_backup.plugins.module_utils._server.paths import Paths


@pytest.mark.parametrize(
    ("state", "info", "words"),
    [
        ("down", None, r"db \(127.0.0.1:6379\) is down: no answer\. Nothing was changed\. Start it"),
        ("loading", {"loading": "1", "loading_eta_seconds": "7"}, r"still loading its data set \(7 s left"),
        ("running", {"role": "slave", "master_sync_in_progress": "1"}, "middle of a full synchronisation"),
    ],
)
def test_not_ready(state: str, info: dict[str, str] | None, words: str) -> None:
    facts = Facts(info) if info else None
    with pytest.raises(ServerError, match=words):
        Instance(Place("db"), Server(Login()), state, facts, Paths(), why="no answer").require_running()


def test_ready() -> None:
    facts = Facts({"redis_version": "7.0.15"})
    instance = Instance(Place("db"), Server(Login()), "running", facts, Paths())
    assert instance.require_running() is facts
    assert instance.version() == ("redis", (7, 0, 15))


def test_the_next_start_reads_redis_conf_then_the_command_line(tmp_path: Path) -> None:
    conf = tmp_path / "redis.conf"
    conf.write_text("appendonly no\ndir /srv\nport 1\n")
    argv = ["redis-server", str(conf), "--appendonly", "yes", "--daemonize", "no"]
    assert _next_start(str(conf), argv) == {"appendonly": "yes", "dir": "/srv"}
    assert _next_start("", []) == _next_start(str(tmp_path / "none"), []) == {}


def test_down(tmp_path: Path) -> None:
    pytest.importorskip("redis")
    conf = tmp_path / "redis.conf"
    conf.write_text(f"dir {tmp_path}\nappendonly yes\n")
    login = Login(unix_socket=str(tmp_path / "none.sock"), connect_timeout=1.0)
    found = find_instance(login, Place("db", config_file=str(conf)), may_be_down=True)
    assert (found.state, found.facts, found.paths.dir, found.paths.appendonly) == ("down", None, str(tmp_path), "yes")
    with pytest.raises(UnreachableError, match="db is down"):
        find_instance(login, Place("db"))


def test_default_name() -> None:
    assert default_name("host", Login(port=6380)) == "host-6380"
