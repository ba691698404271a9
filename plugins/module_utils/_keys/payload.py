# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The payload of DUMP: what stands in it, and which server's RESTORE takes it. Pure.

A payload is one byte for the type and its encoding, the value as in an RDB file, then ten bytes: the number of the RDB
format (little endian) and a CRC-64 of all before. A server refuses every payload of a newer format than its own,
however simple the value is, with `DUMP payload version or checksum are wrong`. Writing another number there would let
some in, and others be misread: that is never done here.
"""

from __future__ import annotations

import functools
from array import array

from .._server.versions import RdbFormat, own_format, why_not_loadable

FOOTER_BYTES = 10
# A type, one byte of value at least, the footer.
SHORTEST = 2 + FOOTER_BYTES

_FIRST_VALKEY_FORMAT = 80
# The newest type that each format brought (rdb.h). What is not named here is not known, and left to the server.
_NEWEST_TYPE = {9: 15, 10: 19, 11: 21, 12: 25, 80: 22}
MODULE_TYPES = (6, 7)
_NAMES = {
    "string": (0,),
    "list": (1, 10, 14, 18),
    "set": (2, 11, 20),
    "zset": (3, 5, 12, 17),
    "hash": (4, 9, 13, 16, 22, 23, 24, 25),
    "stream": (15, 19, 21),
}
_TYPE_NAMES = {number: name for name, numbers in _NAMES.items() for number in numbers}
_MODULE_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
_POLYNOMIAL = 0x95AC9329AC4BC9B5


def version_of(payload: bytes) -> int:
    """The number of the RDB format that a payload says it is written in. 0: it is too short for any."""
    return int.from_bytes(payload[-10:-8], "little") if len(payload) >= SHORTEST else 0


def type_name(payload: bytes) -> str:
    """What TYPE says of the key that the payload was made of; of a module's, the nine letters of its type."""
    number = payload[0]
    if number in MODULE_TYPES and payload[1] == 0x81:
        identity = int.from_bytes(payload[2:10], "big") >> 10
        return "".join(_MODULE_LETTERS[identity >> (6 * place) & 63] for place in reversed(range(9)))
    return _TYPE_NAMES.get(number, f"type-{number}")


def newest_type(payload_version: int) -> int:
    """The newest type that a payload of this RDB format can be of; -1 for formats that are not known."""
    return _NEWEST_TYPE.get(payload_version, -1)


def why_refused(payload_version: int, type_byte: int, flavour: str, version: tuple[int, ...]) -> str | None:
    """The reason why RESTORE on a server of `flavour` and `version` refuses a payload; None when it takes it.

    The value of a module is taken only where the module is loaded, which is not known here.
    """
    magic = "VALKEY" if payload_version >= _FIRST_VALKEY_FORMAT else "REDIS"
    why = why_not_loadable(RdbFormat(magic, payload_version), flavour, version)
    if why:
        return why
    if type_byte > _NEWEST_TYPE.get(own_format(flavour, version), type_byte):
        return f"{flavour.capitalize()} {'.'.join(map(str, version))} does not know the encoding {type_byte}"
    return None


@functools.cache
def _table() -> array[int]:
    """The CRC-64 (Jones) of each two bytes."""
    table = array("Q")
    for value in range(1 << 16):
        for _bit in range(16):
            value = value >> 1 ^ (_POLYNOMIAL if value & 1 else 0)
        table.append(value)
    return table


def checksum(data: bytes) -> int:
    """The CRC-64 of Redis. In Python: some ten megabytes a second."""
    table = _table()
    crc = 0
    words = array("H", data[: len(data) & ~1])
    if words.itemsize != 2 or array("H", b"\1\0")[0] != 1:
        words.byteswap()
    for word in words:
        crc = table[(crc ^ word) & 0xFFFF] ^ crc >> 16
    if len(data) & 1:
        # One byte alone: its shift by 8 from the table of two, by way of a leading zero byte.
        low = (crc ^ data[-1]) & 0xFF
        crc = table[low << 8] ^ crc >> 8
    return crc


def is_intact(payload: bytes) -> bool:
    """Whether a payload is what its own checksum says."""
    return len(payload) >= SHORTEST and int.from_bytes(payload[-8:], "little") == checksum(payload[:-8])
