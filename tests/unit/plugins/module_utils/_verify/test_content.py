# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whose fault it is: the file's, which is a verdict, or the host's, which is none."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from ansible_collections.globalscope.redis_backup.plugins.module_utils._errors import (
    IncompatibleError,
    ProgramError,
    RedisBackupError,
)
from ansible_collections.globalscope.redis_backup.plugins.module_utils._repository.manifest import Manifest
from ansible_collections.globalscope.redis_backup.plugins.module_utils._server.throwaway import Workplace
from ansible_collections.globalscope.redis_backup.plugins.module_utils._verify import content
from ansible_collections.globalscope.redis_backup.plugins.module_utils._verify.content import (
    is_damage,
    require_identities,
    require_loadable,
)
from ansible_collections.globalscope.redis_backup.plugins.module_utils._verify.host import (
    in_mb,
    needed_memory,
    require_memory,
    require_place,
    require_room,
)
from ansible_collections.globalscope.redis_backup.plugins.module_utils._verify.loaded import conf_lines
from ansible_collections.globalscope.redis_backup.tests.unit.helpers.backups import document

MB = 1024 * 1024
MANIFEST = Manifest(document(encryption={"program": "age"}))
RDB = MANIFEST.files[0]


@pytest.mark.parametrize(
    "program, code, words, damage",
    [
        ("zstd", 1, "zstd ended with 1: /*stdin*\\: unsupported format", True),
        ("zstd", 1, "zstd ended with 1: Allocation error : not enough memory", False),
        ("zstd", -9, "zstd ended with -9: it said nothing", False),
        ("age", 1, "age ended with 1: age: error: no identity matched any of the recipients", False),
        ("age", 1, 'age ended with 1: age: error: reading "key": malformed secret key: bad identity', False),
        ("age", 1, "age ended with 1: age: error: failed to decrypt and authenticate payload chunk", True),
        ("age", 1, "age ended with 1: age: error: unexpected EOF", True),
        ("age", 1, "age ended with 1: age: error: something new", False),
        ("age", -9, "age ended with -9: it said nothing", False),
    ],
)
def test_who_is_to_blame(program: str, code: int, words: str, damage: bool) -> None:
    assert is_damage(program, code, words) is damage


def test_identities(tmp_path: Path) -> None:
    identity = tmp_path / "identity"
    with pytest.raises(ProgramError, match="no identity is given"):
        require_identities(MANIFEST, [])
    with pytest.raises(ProgramError, match=f"{identity} is missing"):
        require_identities(MANIFEST, [str(identity)])
    identity.touch()
    require_identities(MANIFEST, [str(identity)])
    require_identities(Manifest(document()), [])


def test_a_program_that_would_refuse_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(content, "program_version", lambda program: ("redis", (6, 2, 14)))
    with pytest.raises(IncompatibleError, match="loads RDB formats up to 9"):
        require_loadable(MANIFEST, "/usr/bin/redis-server")
    monkeypatch.setattr(content, "program_version", lambda program: ("redis", (7, 0, 15)))
    assert require_loadable(MANIFEST, "/usr/bin/redis-server") == {"flavour": "redis", "version": "7.0.15"}
    said = document()
    said["server"]["modules"] = [{"name": "search", "ver": "1"}]
    assert require_loadable(Manifest(said), "/usr/bin/redis-server")
    with pytest.raises(IncompatibleError, match="the modules search"):
        require_loadable(Manifest(said), "/usr/bin/redis-server", [])
    assert require_loadable(Manifest(said), "/usr/bin/redis-server", ["search"])


def test_memory() -> None:
    assert needed_memory({"used_memory_bytes": 100 * MB}, RDB) == 120 * MB
    assert needed_memory({}, RDB) == int(RDB.size * 1.2)
    large = Manifest(document(server={**document()["server"], "used_memory_bytes": 100 * MB}))
    require_memory(large, RDB, 120 * MB, 120 * MB)
    require_memory(large, RDB, None, None)
    with pytest.raises(RedisBackupError, match="about 120 MB of memory, memory_limit_mb allows 119 MB"):
        require_memory(large, RDB, 119 * MB, 1000 * MB)
    with pytest.raises(RedisBackupError, match="this host has 119 MB available"):
        require_memory(large, RDB, None, 119 * MB)
    assert in_mb(MB + 1) == "2 MB"


def test_room(tmp_path: Path) -> None:
    with pytest.raises(RedisBackupError, match="is no directory"):
        require_place(str(tmp_path / "none"))
    with pytest.raises(RedisBackupError, match="is no directory"):
        require_place("tmp")
    with pytest.raises(RedisBackupError, match="too long for a unix socket"):
        require_place("/" + "/".join(["tmp", *["../tmp" for _level in range(30)]]))
    require_place("/tmp")
    require_room("/tmp", RDB)
    with pytest.raises(RedisBackupError, match="a throw-away server needs"):
        require_room("/tmp", replace(RDB, size=1 << 60))


def test_its_settings() -> None:
    lines = conf_lines(Workplace("/tmp/x"), {"db0": {}, "db4000": {}})
    assert {"port 0", 'save ""', "appendonly no", "dbfilename dump.rdb", "databases 4001"} <= set(lines)
    assert "databases 1024" in conf_lines(Workplace("/tmp/x"), {})
