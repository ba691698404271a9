# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names for keys that are being built: nobody else's, and in a cluster in the slot of their key. Pure."""

from __future__ import annotations

import binascii
import functools
import itertools

from .._server.cluster import SLOTS

PREFIX = b"redis_backup:import:"


def hash_tag(key: bytes) -> bytes:
    """What of a key counts for its slot: between the first `{` and the next `}` if something stands there, else all."""
    start = key.find(b"{")
    if start >= 0:
        end = key.find(b"}", start + 1)
        if end > start + 1:
            return key[start + 1 : end]
    return key


def slot_of(key: bytes) -> int:
    """The slot of a key. CRC-16/XMODEM is what Redis counts with."""
    return binascii.crc_hqx(hash_tag(key), 0) % SLOTS


@functools.lru_cache(maxsize=1)
def _tags() -> tuple[bytes, ...]:
    """A tag for each slot."""
    found: dict[int, bytes] = {}
    for number in itertools.count():
        if len(found) == SLOTS:
            return tuple(found[slot] for slot in range(SLOTS))
        tag = b"%d" % number
        found.setdefault(binascii.crc_hqx(tag, 0) % SLOTS, tag)
    raise AssertionError("unreachable")


class Temporary:
    """The names of one import, told from all others by `identifier`."""

    def __init__(self, identifier: str, *, cluster: bool) -> None:
        self._prefix = PREFIX + identifier.encode()
        self._cluster = cluster

    def of(self, key: bytes, purpose: bytes = b"") -> bytes:
        """The name for `key`: the same for all keys (of its slot), so that it serves for one at a time."""
        name = self._prefix + purpose
        return b"%b{%b}" % (name, _tags()[slot_of(key)]) if self._cluster else name
