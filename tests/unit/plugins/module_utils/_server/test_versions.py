# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which server loads which RDB: the whole measured matrix."""

from __future__ import annotations

import pytest
from ansible_collections.globalscope.redis_backup.plugins.module_utils._server.versions import (
    RdbFormat,
    own_format,
    why_not_loadable,
)

SERVERS = {
    "r62": ("redis", (6, 2, 14), RdbFormat("REDIS", 9)),
    "r70": ("redis", (7, 0, 15), RdbFormat("REDIS", 10)),
    "r72": ("redis", (7, 2, 6), RdbFormat("REDIS", 11)),
    "r74": ("redis", (7, 4, 1), RdbFormat("REDIS", 12)),
    "r82": ("redis", (8, 2, 3), RdbFormat("REDIS", 12)),
    "v72": ("valkey", (7, 2, 7), RdbFormat("REDIS", 11)),
    "v80": ("valkey", (8, 0, 1), RdbFormat("REDIS", 11)),
    "v91": ("valkey", (9, 1, 2), RdbFormat("VALKEY", 80)),
}
LOADED_BY = {
    "r62": "r62 r70 r72 r74 r82 v72 v80 v91",
    "r70": "r70 r72 r74 r82 v72 v80 v91",
    "r72": "r72 r74 r82 v72 v80 v91",
    "v72": "r72 r74 r82 v72 v80 v91",
    "v80": "r72 r74 r82 v72 v80 v91",
    "r74": "r74 r82",
    "r82": "r74 r82",
    "v91": "v91",
}


@pytest.mark.parametrize("writer", SERVERS)
@pytest.mark.parametrize("loader", SERVERS)
def test_load_matrix(writer: str, loader: str) -> None:
    flavour, version, _format = SERVERS[loader]
    why = why_not_loadable(SERVERS[writer][2], flavour, version)
    assert (why is None) == (loader in LOADED_BY[writer].split()), why


@pytest.mark.parametrize("server", SERVERS)
def test_own_format(server: str) -> None:
    flavour, version, written = SERVERS[server]
    assert own_format(flavour, version) == written.version


@pytest.mark.parametrize(
    ("flavour", "version", "number"),
    [
        ("redis", (8, 6), 13),
        ("redis", (8, 8, 1), 14),
        ("redis", (9, 0), 14),
        ("redis", (7,), 9),
        ("redis", (), 9),
        ("valkey", (8, 1, 4), 11),
        ("valkey", (9, 2, 0), 81),
        ("valkey", (10, 0), 81),
    ],
)
def test_formats_from_the_sources(flavour: str, version: tuple[int, ...], number: int) -> None:
    assert own_format(flavour, version) == number


@pytest.mark.parametrize(
    ("found", "flavour", "version", "words"),
    [
        (RdbFormat("REDIS", 12), "redis", (7, 0, 15), "Redis 7.0.15 loads RDB formats up to 10, this one is 12"),
        (RdbFormat("REDIS", 12), "valkey", (9, 1, 2), "Valkey 9.1.2 refuses RDB format 12"),
        (RdbFormat("VALKEY", 80), "redis", (8, 2, 3), "Redis 8.2.3 does not know the VALKEY format 80"),
        (RdbFormat("VALKEY", 80), "valkey", (8, 0, 1), "Valkey 8.0.1 does not know the VALKEY format 80"),
        (RdbFormat("VALKEY", 81), "valkey", (9, 1, 2), "up to 80, this one is 81"),
    ],
)
def test_reasons(found: RdbFormat, flavour: str, version: tuple[int, ...], words: str) -> None:
    assert words in (why_not_loadable(found, flavour, version) or "")
