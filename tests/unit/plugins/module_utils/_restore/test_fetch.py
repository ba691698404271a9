# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which server files come back and where, and when an RDB need not be checked again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ansible_collections.globalscope.redis_backup.plugins.module_utils._backup.server_files import ServerFile
from ansible_collections.globalscope.redis_backup.plugins.module_utils._repository.manifest import Manifest
from ansible_collections.globalscope.redis_backup.plugins.module_utils._restore.fetch import wanted_files, was_accepted
from ansible_collections.globalscope.redis_backup.plugins.module_utils._server.paths import Paths
from ansible_collections.globalscope.redis_backup.tests.unit.helpers.backups import document


def file(path: str, kind: str) -> ServerFile:
    return ServerFile(path, kind, 0o640, "root", "root", b"data")


CONF, ACL = file("/old/redis.conf", "conf"), file("/old/users.acl", "acl")


def test_redis_conf_comes_back_only_where_none_is(tmp_path: Path) -> None:
    paths = Paths(config_file=str(tmp_path / "redis.conf"))
    assert wanted_files([CONF], paths, "missing") == [(CONF, paths.config_file)]
    (tmp_path / "redis.conf").write_text("")
    assert wanted_files([CONF], paths, "missing") == wanted_files([CONF], paths, "replace") == []
    assert wanted_files([CONF], Paths(), "replace") == []


def test_the_acl_file(tmp_path: Path) -> None:
    paths = Paths(aclfile=str(tmp_path / "users.acl"))
    chosen = [(ACL, paths.aclfile)]
    assert wanted_files([ACL], paths, "missing") == chosen
    (tmp_path / "users.acl").write_text("")
    assert wanted_files([ACL], paths, "missing") == chosen
    (tmp_path / "users.acl").write_text("user x")
    assert wanted_files([ACL], paths, "missing") == []
    assert wanted_files([ACL], paths, "replace") == chosen
    assert wanted_files([ACL], Paths(), "replace") == []


def test_no_path_of_a_backup_is_trusted(tmp_path: Path) -> None:
    paths = Paths(config_file=str(tmp_path / "redis.conf"))
    (tmp_path / "there.conf").write_text("")
    beside = file(f"{tmp_path}/conf.d/../extra.conf", "include")
    others = [
        file(path, "include")
        for path in (
            "/etc/cron.d/x",
            f"{tmp_path}/../evil.conf",
            f"{tmp_path}x/evil.conf",
            f"{tmp_path}/there.conf",
            "extra.conf",
        )
    ]
    found = wanted_files([*others, beside, file("/etc/shadow", "nodes"), file("/x", "other")], paths, "replace")
    assert found == [(beside, f"{tmp_path}/extra.conf")]


CHECK = {"name": "redis-check-rdb", "ok": True, "found": "100 keys read"}


def accepted(program: tuple[str, tuple[int, ...]], *checks: dict[str, Any]) -> bool:
    """For a backup that Redis 7.0.15 made."""
    return was_accepted(Manifest(document(checks=list(checks))), program)


def test_only_the_verdict_of_the_same_version_on_the_same_bytes_counts() -> None:
    same = ("redis", (7, 0, 15))
    assert accepted(same, {"name": "other", "ok": True}, CHECK)
    assert not accepted(("redis", (7, 0, 16)), CHECK)
    assert not accepted(("valkey", (7, 0, 15)), CHECK)
    assert not accepted(same)
    assert not accepted(same, {**CHECK, "ok": False})
    assert not accepted(same, CHECK, {**CHECK, "ok": False})
