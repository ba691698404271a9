# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a server keeps its files."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.globalscope.redis_backup.plugins.module_utils._config.conf_file import load
from ansible_collections.globalscope.redis_backup.plugins.module_utils._server.paths import (
    Paths,
    command_line_config,
    command_line_settings,
    resolve_paths,
    settings_of,
)


def test_defaults() -> None:
    assert resolve_paths({}) == Paths()
    assert resolve_paths({}, data_dir="/srv/", default_dir="/etc/redis").dir == "/srv"
    assert resolve_paths({}, default_dir="/etc/redis").dir == "/etc/redis"


def test_settings() -> None:
    paths = resolve_paths(
        {
            "dir": "/srv/redis/./x/..",
            "dbfilename": "r.rdb",
            "appendonly": "YES",
            "appendfilename": "a.aof",
            "appenddirname": "adir",
            "aclfile": "/etc/redis/users.acl",
            "logfile": "redis.log",
            "cluster-enabled": "yes",
            "save": "900 1",
        },
        config_file="/etc/redis/redis.conf",
    )
    assert paths == Paths(
        dir="/srv/redis",
        config_file="/etc/redis/redis.conf",
        dbfilename="r.rdb",
        appendonly="yes",
        appendfilename="a.aof",
        appenddirname="adir",
        aclfile="/etc/redis/users.acl",
        logfile="/srv/redis/redis.log",
        nodes_file="/srv/redis/nodes.conf",
    )
    assert paths.dump == "/srv/redis/r.rdb"
    assert paths.data_names() == ["r.rdb", "adir", "a.aof"]


def test_given_directory_beats_the_setting() -> None:
    paths = resolve_paths({"dir": "/a", "logfile": "x.log"}, data_dir="/b", default_dir="/c")
    assert (paths.dir, paths.logfile) == ("/b", "/b/x.log")


def test_empty_and_unknown_settings_count_as_unset() -> None:
    paths = resolve_paths({"dir": "", "dbfilename": "", "aclfile": "", "logfile": "", "cluster-enabled": "no"})
    assert paths == Paths()


def test_names_in_an_unknown_directory_are_unknown() -> None:
    assert resolve_paths({"logfile": "redis.log", "aclfile": "users.acl"}) == Paths()


def test_settings_of_a_conf(tmp_path: Path) -> None:
    (tmp_path / "redis.conf").write_text('port 1\nappendonly no\ndir "/srv/a b"\nAppendOnly yes\nsave\n')
    assert settings_of(load(str(tmp_path / "redis.conf"))) == {"dir": "/srv/a b", "appendonly": "yes"}


@pytest.mark.parametrize(
    ("argv", "settings"),
    [
        ([], {}),
        (["/usr/bin/redis-server"], {}),
        (["/usr/bin/redis-server", "/etc/redis.conf"], {}),
        (["redis-server", "/etc/redis.conf", "--appendonly", "yes"], {"appendonly": "yes"}),
        (["redis-server", "--AppendOnly", "no", "--appendonly", "yes"], {"appendonly": "yes"}),
        (
            ["redis-server", "x.conf", "--supervised", "systemd", "--save", "900", "1", "--dir", "/srv"],
            {"supervised": "systemd", "save": "900 1", "dir": "/srv"},
        ),
        (["redis-server", "--save", "", "--port", "1"], {"port": "1"}),
        (["redis-server", "x.conf", "--sentinel"], {}),
    ],
)
def test_command_line_settings(argv: list[str], settings: dict[str, str]) -> None:
    assert command_line_settings(argv) == settings


@pytest.mark.parametrize(
    ("argv", "config"),
    [
        ([], ""),
        (["redis-server"], ""),
        (["redis-server", "--port", "1"], ""),
        (["redis-server", "-"], ""),
        (["redis-server", "/etc/redis.conf", "--port", "1"], "/etc/redis.conf"),
    ],
)
def test_command_line_config(argv: list[str], config: str) -> None:
    assert command_line_config(argv) == config
