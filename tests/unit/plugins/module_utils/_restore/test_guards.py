# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is asked before a byte moves."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from ansible_collections.globalscope.redis_backup.plugins.module_utils._errors import (
    IncompatibleError,
    ProgramError,
    RestoreError,
)
from ansible_collections.globalscope.redis_backup.plugins.module_utils._repository.manifest import Manifest
from ansible_collections.globalscope.redis_backup.plugins.module_utils._restore.guards import (
    check_identities,
    require_data_dir,
    require_loadable,
)
from ansible_collections.globalscope.redis_backup.plugins.module_utils._restore.request import Options
from ansible_collections.globalscope.redis_backup.plugins.module_utils._server.connection import Login, Server
from ansible_collections.globalscope.redis_backup.plugins.module_utils._server.facts import Facts
from ansible_collections.globalscope.redis_backup.plugins.module_utils._server.instance import Instance, Place
from ansible_collections.globalscope.redis_backup.plugins.module_utils._server.paths import Paths
from ansible_collections.globalscope.redis_backup.tests.unit.helpers.backups import document


def instance_with(directory: str, info: dict[str, str] | None = None, **paths: str) -> Instance:
    facts = Facts(info) if info else None
    return Instance(Place("db"), Server(Login()), "running", facts, Paths(dir=directory, **paths))


@pytest.mark.parametrize(
    ("server", "info", "words"),
    [
        ({}, {"redis_version": "7.0.15"}, ""),
        ({"rdb_version": 11}, {"redis_version": "7.0.15"}, "cannot load .*: Redis 7.0.15 loads RDB formats up to 10"),
        ({"modules": [{"name": "search"}]}, {"redis_version": "7.0.15"}, "modules search, which it has not loaded"),
        ({"modules": [{"name": "search"}]}, {"redis_version": "7.0.15", "module": "name=search,ver=1,api=1"}, ""),
        ({"modules": [{"name": "sea"}]}, {"redis_version": "7.0.15", "module": "name=search,ver=1"}, "modules sea"),
    ],
)
def test_loadable(server: dict[str, object], info: dict[str, str], words: str) -> None:
    said = document()
    said["server"].update(server)
    if not words:
        require_loadable(instance_with("/srv", info), Manifest(said))
        return
    with pytest.raises(IncompatibleError, match=words):
        require_loadable(instance_with("/srv", info), Manifest(said))


def test_databases(tmp_path: Path) -> None:
    """Asked of a server that tells, or of the redis.conf that is there; not where the backup's own will come back."""
    said = document(keys={"total": 1, "expires": 0, "databases": {"db20": {"keys": 1}}})
    conf = tmp_path / "redis.conf"
    down = instance_with(str(tmp_path), config_file=str(conf))
    down.place = Place("db", executable=str(program(tmp_path)))
    require_loadable(down, Manifest(said))
    conf.write_text("")
    with pytest.raises(IncompatibleError, match="database 20, it has 16 databases"):
        require_loadable(down, Manifest(said))
    down.next_start = {"databases": "32"}
    require_loadable(down, Manifest(said))
    running = instance_with(str(tmp_path), {"redis_version": "7.0.15"})
    require_loadable(running, Manifest(said))
    running.config = {"databases": "20"}
    with pytest.raises(IncompatibleError, match="database 20, it has 20 databases"):
        require_loadable(running, Manifest(said), Options(convert=True))


def program(tmp_path: Path) -> Path:
    """Something that calls itself a server."""
    path = tmp_path / "redis-server"
    path.write_text("#!/bin/sh\necho Redis server v=7.0.15\n")
    path.chmod(0o755)
    return path


def test_identities(tmp_path: Path) -> None:
    encrypted = Manifest(document(encryption={"program": "age"}))
    check_identities(Manifest(document()), Options())
    with pytest.raises(ProgramError, match="is encrypted and no identity is given"):
        check_identities(encrypted, Options())
    with pytest.raises(ProgramError, match=r"nope .*is missing or not readable"):
        check_identities(encrypted, Options(identities=(str(tmp_path / "nope"),)))
    (tmp_path / "key").write_text("")
    check_identities(encrypted, Options(identities=(str(tmp_path / "key"),)))


def test_data_directories(tmp_path: Path) -> None:
    assert require_data_dir(instance_with(str(tmp_path))) == str(tmp_path)
    (tmp_path / "ibdata1").write_text("")
    with pytest.raises(RestoreError, match="is no Redis data directory: it holds ibdata1"):
        require_data_dir(instance_with(str(tmp_path)))
    missing = str(tmp_path / "data")
    assert require_data_dir(instance_with(missing)) == missing
    assert not os.path.exists(missing)
    assert require_data_dir(instance_with(missing), create=True) == missing
    assert os.listdir(missing) == []
    for path in (f"{tmp_path}/none/data", f"{tmp_path}/ibdata1"):
        with pytest.raises(RestoreError, match="is no directory, or its parent is missing"):
            require_data_dir(instance_with(path), create=True)
    for path in ("", "relative"):
        with pytest.raises(RestoreError, match="is not known"):
            require_data_dir(instance_with(path), create=True)
