# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a server makes of a backup, before a byte moves."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.globalscope.redis_backup.plugins.module_utils._server.compatibility import (
    LOADS,
    LOADS_WITH_LOSS,
    REFUSES,
    Made,
    Target,
    compatibility,
    databases_of,
    made_of,
)
from ansible_collections.globalscope.redis_backup.plugins.module_utils._server.versions import RdbFormat

R62 = ("redis", (6, 2, 14))
R70 = ("redis", (7, 0, 15))
R82 = ("redis", (8, 2, 3))
V91 = ("valkey", (9, 1, 2))
FORMATS = {
    R62: RdbFormat("REDIS", 9),
    R70: RdbFormat("REDIS", 10),
    R82: RdbFormat("REDIS", 12),
    V91: RdbFormat("VALKEY", 80),
}


def made(server: tuple[str, tuple[int, ...]], **more: Any) -> Made:
    return Made(*server, FORMATS[server], **{"functions": 0, "field_ttls": 0, **more})


@pytest.mark.parametrize("source", list(FORMATS))
@pytest.mark.parametrize("target", list(FORMATS))
def test_every_pair(source: tuple[str, tuple[int, ...]], target: tuple[str, tuple[int, ...]]) -> None:
    """Refused ones convert, and lose nothing where there is nothing to lose."""
    found = compatibility(made(source), Target(*target))
    loads = source in (target, R62) or (source == R70 and target != R62)
    assert (found.result, found.loads, found.convertible) == (LOADS if loads else REFUSES, loads, not loads)
    assert found.losses == ()
    assert compatibility(made(source), Target(*target), []).result == LOADS


@pytest.mark.parametrize(
    ("source", "target", "drop", "result", "losses"),
    [
        (made(R70, functions=2), R62, None, REFUSES, [("functions", True)]),
        (made(R70, functions=2), R62, [], REFUSES, [("functions", True)]),
        (made(R70, functions=2), R62, ["functions"], LOADS_WITH_LOSS, [("functions", True)]),
        (made(R70, functions=None), R62, [], LOADS, [("functions", False)]),
        (made(R82, functions=2, field_ttls=3), R70, ["hash_field_ttls"], LOADS_WITH_LOSS, [("hash_field_ttls", True)]),
        (made(R82, functions=2, field_ttls=3), R62, ["hash_field_ttls"], REFUSES, None),
        (made(R82, functions=2, field_ttls=3), V91, [], LOADS, []),
        (made(V91, functions=2, field_ttls=3), ("redis", (7, 4)), [], LOADS, []),
        (made(V91, functions=2, field_ttls=3), ("valkey", (8, 1)), [], REFUSES, [("hash_field_ttls", True)]),
    ],
)
def test_losses(source: Made, target: Any, drop: Any, result: str, losses: Any) -> None:
    found = compatibility(source, Target(*target), drop)
    assert found.result == result
    if losses is not None:
        assert [(loss.name, loss.certain) for loss in found.losses] == losses


def test_modules_and_databases() -> None:
    found = compatibility(made(R82, modules=("vectorset", "lua")), Target(*R82, modules=()))
    assert (found.result, found.convertible) == (REFUSES, True)
    assert found.words == "the backup was made with the modules vectorset, which it has not loaded"
    assert compatibility(made(R82, modules=("lua",)), Target(*R82, modules=())).loads
    assert compatibility(made(R82, modules=("search",)), Target(*R82)).loads  # a server that is down tells none
    found = compatibility(made(V91, databases=10), Target(*R70, databases=4), ["functions"])
    assert (found.result, found.convertible) == (REFUSES, False)
    assert "database 9, it has 4 databases" in found.words
    assert compatibility(made(R70, databases=4), Target(*R70, databases=4)).loads
    assert databases_of({}, {"databases": "64"}) == 64
    assert databases_of({"databases": "2"}, {"databases": "64"}) == 2
    assert databases_of({}, {}) == 16


def test_what_manifests_tell() -> None:
    server = {"flavour": "redis", "version": "8.2.3", "rdb_magic": "REDIS", "rdb_version": 12}
    old = made_of({"server": server, "keys": {"total": 1}})
    assert (old.functions, old.field_ttls, old.databases, old.modules) == (None, None, 1, ())
    new = made_of(
        {
            "server": {**server, "functions": 3, "modules": [{"name": "search", "ver": "1"}]},
            "keys": {"field_ttls": 0, "databases": {"db0": {}, "db12": {}}},
        }
    )
    assert (new.functions, new.field_ttls, new.databases, new.modules) == (3, 0, 13, ("search",))
    assert new.title == "Redis 8.2.3"
