# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keys to name in a message: the first of them, and how many there are. Pure."""

from __future__ import annotations

FIRST = 20


def key_words(database: int, key: bytes) -> str:
    """A key in words; the database where it is not the first."""
    text = key.decode("utf-8", "backslashreplace")
    shown = "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)
    shown = shown if len(shown) <= 100 else f"{shown[:100]}..."
    return f"{shown} (database {database})" if database else shown


class Named:
    """A count of keys, and the names of the first. A key that is added several times in a row counts once."""

    def __init__(self) -> None:
        self.count = 0
        self._first: list[str] = []
        self._last: tuple[int, bytes] | None = None

    def add(self, database: int, key: bytes) -> None:
        """Count a key."""
        if (database, key) == self._last:
            return
        self._last = (database, key)
        self.count += 1
        if len(self._first) < FIRST:
            self._first.append(key_words(database, key))

    def __bool__(self) -> bool:
        return self.count > 0

    def __str__(self) -> str:
        more = f" and {self.count - FIRST} more" if self.count > FIRST else ""
        return f"{', '.join(self._first)}{more}"
