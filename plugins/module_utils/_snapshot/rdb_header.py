# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The first bytes of an RDB file: format and AUX fields. Pure.

Layout: nine bytes of magic and version, then opcode 0xFA, name, value for each AUX field (rdb.c, rdbSaveInfoAuxFields).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from .._errors import DamagedError
from .._server.versions import RdbFormat

HEADER_BYTES = 1024
_AUX = 0xFA
_EOF = 0xFF
_LONGEST_TIME = 11  # digits: what is longer is no date


@dataclass(frozen=True)
class RdbHeader:
    """Format and AUX fields; `empty` when nothing but the end follows them.

    `ctime` is the fork's time, UTC seconds, 0 when absent.
    """

    format: RdbFormat
    aux: Mapping[str, str]
    empty: bool = False

    @property
    def ctime(self) -> int:
        text = self.aux.get("ctime", "")
        return int(text) if text.isdecimal() and len(text) <= _LONGEST_TIME else 0

    @property
    def writer(self) -> tuple[str, str]:
        """Flavour and version of the server that wrote the file."""
        if "valkey-ver" in self.aux:
            return "valkey", self.aux["valkey-ver"]
        return "redis", self.aux.get("redis-ver", "")


def _string(data: bytes, at: int) -> tuple[str, int]:
    """The string object at offset `at`, and the offset behind it. Raises IndexError when `data` ends first."""
    first = data[at]
    kind = first >> 6
    at += 1
    if kind == 0:
        length = first & 0x3F
    elif kind == 1:
        length = (first & 0x3F) << 8 | data[at]
        at += 1
    elif kind == 3 and first in (0xC0, 0xC1, 0xC2):
        width = 1 << (first & 0x3F)
        if at + width > len(data):
            raise IndexError
        return str(int.from_bytes(data[at : at + width], "little", signed=True)), at + width
    else:
        raise IndexError
    if at + length > len(data):
        raise IndexError
    return data[at : at + length].decode("utf-8", "replace"), at + length


def parse_header(data: bytes, origin: str) -> RdbHeader:
    """Format and AUX fields in the first bytes (HEADER_BYTES are enough) of the RDB `origin`.

    Raises DamagedError when they do not begin an RDB. AUX fields that `data` cuts are left out.
    """
    match = re.match(rb"(REDIS)(\d{4})|(VALKEY)(\d{3})", data)
    if not match:
        raise DamagedError(f"{origin} is no RDB: it begins with {data[:9]!r}")
    magic, version = (group for group in match.groups() if group is not None)
    aux: dict[str, str] = {}
    at = 9
    try:
        while data[at] == _AUX:
            name, behind = _string(data, at + 1)
            aux[name], at = _string(data, behind)
    except IndexError:
        pass
    empty = at < len(data) and data[at] == _EOF
    return RdbHeader(RdbFormat(magic.decode(), int(version)), aux, empty)
