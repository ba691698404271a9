# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is known of an instance, and what is refused because nothing is."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.globalscope.redis_backup.plugins.module_utils._enforce.situation import (
    Situation,
    _config_file,
    _data_files,
    _names,
    _readable,
    _require_something,
    look,
)
from ansible_collections.globalscope.redis_backup.plugins.module_utils._enforce.wish import wishes_of
from ansible_collections.globalscope.redis_backup.plugins.module_utils._errors import ConfigError, ServerError
from ansible_collections.globalscope.redis_backup.plugins.module_utils._server.connection import Login, Server
from ansible_collections.globalscope.redis_backup.plugins.module_utils._server.facts import Facts
from ansible_collections.globalscope.redis_backup.plugins.module_utils._server.instance import Instance, Place
from ansible_collections.globalscope.redis_backup.plugins.module_utils._server.paths import Paths
from ansible_collections.globalscope.redis_backup.tests.unit.helpers.situations import (
    conf,
    down,
    request,
    running,
)


def instance(info: dict[str, str] | None = None, paths: Paths | None = None, given: str = "") -> Instance:
    facts = None if info is None else Facts({"redis_version": "7.0.15", **info})
    place = Place("db", config_file=given)
    return Instance(place, Server(Login()), "running" if facts else "down", facts, paths or Paths(), why="no answer")


@pytest.mark.parametrize(
    ("situation", "holds"),
    [
        (running(), True),
        (running(info={"db0": ""}), False),
        (running(info={"db0": ""}, has_rdb=True), True),
        (down(), False),
        (down(has_aof=True), True),
    ],
)
def test_holds_data(situation: Situation, holds: bool) -> None:
    assert situation.holds_data is holds


@pytest.mark.parametrize(
    ("situation", "aof", "cluster"),
    [
        (running(), False, False),
        (running({"appendonly": "yes", "cluster-enabled": "yes"}), True, True),
        (running(file="appendonly yes\ncluster-enabled yes\n"), False, False),
        (down("appendonly YES\ncluster-enabled YES\n"), True, True),
        (down("appendonly yes\nappendonly no\n"), False, False),
        (down(), False, False),
        (down(None), False, False),
    ],
)
def test_modes(situation: Situation, aof: bool, cluster: bool) -> None:
    assert (situation.aof_on, situation.in_cluster) == (aof, cluster)


@pytest.mark.parametrize(
    ("live", "protected"),
    [({}, True), ({"enable-protected-configs": "yes"}, False), ({"enable-protected-configs": "local"}, False)],
)
def test_protected(live: dict[str, str], protected: bool) -> None:
    assert running(live).protected is protected
    assert not down().protected  # and 6.2, which has no such directive


def test_values() -> None:
    situation = running({"bind": "127.0.0.1 ::1", "dir": "/srv/my data"}, "SAVE 900 1\nsave 300 10\nbind ::1\n")
    assert situation.file_text("save") == "900 1 300 10"
    assert situation.file_text("maxmemory") is None
    assert situation.live_lines("bind") == [["127.0.0.1", "::1"]]
    assert situation.live_lines("dir") == [["/srv/my data"]]
    assert situation.live_lines("save") == [["3600", "1"], ["300", "100"], ["60", "10000"]]
    assert situation.live_lines("unknown") is None


def test_in_an_include() -> None:
    situation = running(file=conf("port 1\nslave-read-only no\ninclude x\n", {"x": "slave-priority 1\n"}))
    assert situation.in_include("replica-priority")
    assert not situation.in_include("replica-read-only")
    assert not running(file=None).in_include("port")


def test_only_what_can_be_asked_is_asked() -> None:
    names = _names(wishes_of({"rename-command": ["A b"], "appendfsync": "always", "maxmemory": 1}))
    assert {"appendfsync", "maxmemory", "save", "dir"} <= set(names)
    assert "rename-command" not in names and len(names) == len(set(names))


def test_which_redis_conf(tmp_path: Path) -> None:
    real, link, other = tmp_path / "real.conf", tmp_path / "redis.conf", tmp_path / "other.conf"
    real.touch()
    other.touch()
    link.symlink_to(real)
    named = {"config_file": str(real)}
    discovered = Paths(config_file=str(link))
    assert _config_file(instance(named, discovered), True) == str(real)
    assert _config_file(instance(named, discovered), False) == ""
    assert _config_file(instance(named, given=str(link)), True) == str(real)
    assert _config_file(instance(named, given=str(other)), False) == str(other)  # the number of a remote process
    assert _config_file(instance({}, given=str(other)), True) == str(other)
    assert _config_file(instance(), True) == ""
    with pytest.raises(ConfigError, match=rf"was started with {real}, and config_file names {other}"):
        _config_file(instance(named, given=str(other)), True)


FILE = conf("")


@pytest.mark.parametrize(
    ("info", "apply", "file", "allowed", "why"),
    [
        ({}, "both", FILE, True, ""),
        ({}, "both", FILE, False, ""),
        ({}, "both", None, True, r"redis.conf of db .* is not known on this host\..*use apply=live"),
        ({}, "both", None, False, r"not known on this host, and the server does not let us.*config_file\.$"),
        ({}, "live", None, True, ""),
        ({}, "live", None, False, r"does not let us use CONFIG\."),
        ({}, "file", FILE, False, ""),
        (None, "live", None, True, r"db .* is down, so that apply=live finds nothing to change: no answer"),
        (None, "both", FILE, True, ""),
        (None, "file", None, True, "not known on this host"),
    ],
)
def test_nothing_to_set(info: dict[str, str] | None, apply: str, file: object, allowed: bool, why: str) -> None:
    asked = request({"port": 1}, apply=apply)
    if not why:
        _require_something(instance(info), asked, file, allowed)  # type: ignore[arg-type]
        return
    with pytest.raises(ConfigError, match=why):
        _require_something(instance(info), asked, file, allowed)  # type: ignore[arg-type]


def test_lines_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "extra.conf").write_text('# x\nrequirepass "a"b\n')
    path = tmp_path / "redis.conf"
    path.write_text("port 1\ninclude extra.conf\n")
    with pytest.raises(ConfigError, match=rf"^{tmp_path}/extra.conf, line 2: unbalanced quotes"):
        _readable(str(path), instance({}))
    valkey = instance({"valkey_version": "9.1.2"})
    assert [file.path for file in _readable(str(path), valkey).files()] == [str(path), f"{tmp_path}/extra.conf"]


def test_data_files(tmp_path: Path) -> None:
    paths = Paths(dir=str(tmp_path))
    assert _data_files(instance(paths=paths), True) == (False, False)
    (tmp_path / "dump.rdb").touch()
    assert _data_files(instance(paths=paths), True) == (True, False)
    (tmp_path / "appendonlydir").mkdir()
    assert _data_files(instance(paths=paths), True) == (True, False)
    (tmp_path / "appendonlydir" / "appendonly.aof.manifest").touch()
    assert _data_files(instance(paths=paths), True) == (True, True)
    (tmp_path / "appendonlydir" / "appendonly.aof.manifest").unlink()
    (tmp_path / "appendonly.aof").touch()
    assert _data_files(instance(paths=paths), True) == (True, True)
    assert _data_files(instance(paths=paths), False) == (False, False)
    assert _data_files(instance(), True) == (True, True)  # where it starts is not known


@pytest.mark.parametrize(
    ("info", "error", "why"),
    [
        ({"redis_mode": "sentinel"}, ConfigError, "is a Sentinel, which keeps its configuration itself"),
        ({"role": "slave", "master_sync_in_progress": "1"}, ServerError, "full synchronisation"),
    ],
)
def test_what_is_not_looked_at(info: dict[str, str], error: type[Exception], why: str) -> None:
    with pytest.raises(error, match=why):
        look(instance(info), request({"port": 1}))
