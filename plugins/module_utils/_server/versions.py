# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which server writes and loads which RDB format. Pure.

Source: RDB_VERSION in rdb.h of each release; the table of loads was measured between eight servers.
"""

from __future__ import annotations

from dataclasses import dataclass

_REDIS = (((6, 0), 9), ((7, 0), 10), ((7, 2), 11), ((7, 4), 12), ((8, 6), 13), ((8, 8), 14))
_VALKEY = (((7, 2), 11), ((9, 0), 80), ((9, 2), 81))
_FIRST_VALKEY_FORMAT = 80
_LAST_SHARED_FORMAT = 11


@dataclass(frozen=True)
class RdbFormat:
    """The nine bytes that begin an RDB file: magic `REDIS` or `VALKEY`, and the format's number."""

    magic: str
    version: int


def own_format(flavour: str, version: tuple[int, ...]) -> int:
    """The number of the newest RDB format that this server writes and loads."""
    table = _VALKEY if flavour == "valkey" else _REDIS
    known = [number for since, number in table if version[:2] >= since]
    return known[-1] if known else table[0][1]


def format_of(flavour: str, version: tuple[int, ...]) -> RdbFormat:
    """The format in which this server writes."""
    number = own_format(flavour, version)
    return RdbFormat("VALKEY" if number >= _FIRST_VALKEY_FORMAT else "REDIS", number)


def why_not_loadable(found: RdbFormat, flavour: str, version: tuple[int, ...]) -> str | None:
    """The reason why a server of `flavour` and `version` refuses RDB format `found`; None when it loads it."""
    own = own_format(flavour, version)
    server = f"{flavour.capitalize()} {'.'.join(map(str, version))}"
    if found.magic == "VALKEY":
        if flavour != "valkey" or own < _FIRST_VALKEY_FORMAT:
            return f"{server} does not know the VALKEY format {found.version} (Valkey 9 and newer write it)"
    elif flavour == "valkey" and found.version > _LAST_SHARED_FORMAT:
        return f"{server} refuses RDB format {found.version}: it was written by Redis 7.4 or newer, after the fork"
    if found.version > own:
        return f"{server} loads RDB formats up to {own}, this one is {found.version}"
    return None
