# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keys that SCAN shows twice are read once, in constant memory. Pure.

SCAN walks through the table of keys so that the places of one place in a smaller table come one after the other. It
shows a key again only when the table shrinks while it stands between such places, and then only keys of these: when a
table shrinks to a thousandth, keys of the last thousand places or so. So what was shown last is remembered, and no
more; a key comes twice nevertheless when a table shrinks to less than a thirty-thousandth of its size at that moment.
"""

from __future__ import annotations

_KEYS = 32 * 1024
_BYTES = 4 * 1024 * 1024


class LastSeen:
    """The last so many keys: those since the change of halves, and the half before."""

    def __init__(self, keys: int = _KEYS, size: int = _BYTES) -> None:
        self._limits = (keys, size)
        self._older: set[bytes] = set()
        self._newer: set[bytes] = set()
        self._size = 0

    def fresh(self, keys: list[bytes]) -> list[bytes]:
        """Those of the keys that are not among the last, each once; they are remembered."""
        once = set(keys)
        if len(once) < len(keys) or not once.isdisjoint(self._newer) or not once.isdisjoint(self._older):
            keys = [key for key in dict.fromkeys(keys) if key not in self._newer and key not in self._older]
        self._newer.update(keys)
        self._size += sum(map(len, keys))
        if len(self._newer) >= self._limits[0] or self._size >= self._limits[1]:
            self._older, self._newer, self._size = self._newer, set(), 0
        return keys
