# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The commands of a rewritten AOF in words that the target knows. Pure.

What servers write when they rewrite an AOF without an RDB in it was looked at on 6.2, 7.0, 8.2 and Valkey 9.1. It is
the same everywhere but for the counters of streams (from 7.0 on), functions (7.0), and fields that expire (Redis 7.4
and Valkey 9, each in its own way). Whatever else there is has no known meaning for another server, and is reported.
"""

from __future__ import annotations

from collections.abc import Sequence

from .._server.compatibility import knows_field_ttls
from .named import Named

_PLAIN = frozenset((b"SET", b"PEXPIREAT", b"RPUSH", b"SADD", b"ZADD", b"HMSET", b"HSET", b"XADD", b"XCLAIM"))
_COUNTERS_SINCE = (7, 0)

Words = list[bytes]


class Rewriter:
    """Rewrites commands one by one for a target. `now` (UTC milliseconds) decides what has expired.

    `libraries` gathers the functions' code, which is left out; `foreign` the keys of unknown commands, by command;
    `emptied` hashes that lost fields because these had expired: a target without such fields would keep them.
    """

    def __init__(self, flavour: str, version: tuple[int, ...], now: int) -> None:
        self.libraries: list[bytes] = []
        self.foreign: dict[str, Named] = {}
        self.emptied = Named()
        self._field_ttls = knows_field_ttls(flavour, version)
        self._valkey = flavour == "valkey"
        self._counters = version >= _COUNTERS_SINCE
        self._now = now
        self._database = 0

    def rewrite(self, words: Words) -> list[Words] | None:
        """What stands for a command: nothing, one or several; None for the command as it is."""
        name = words[0].upper()
        if name in _PLAIN:
            return None
        if name == b"SELECT":
            self._database = int(words[1])
            return None
        if name in (b"XSETID", b"XGROUP"):
            return self._stream(name, words)
        if name == b"HPEXPIREAT" and len(words) > 5 and words[3].upper() == b"FIELDS":
            return self._expire(words[1], int(words[2]), words[5:])
        if name == b"HSETEX" and len(words) > 7 and (words[2].upper(), words[4].upper()) == (b"PXAT", b"FIELDS"):
            return self._set_expiring(words[1], int(words[3]), words[6:], words)
        if name == b"FUNCTION" and words[1].upper() == b"LOAD":
            self.libraries.append(words[-1])
            return []
        self.foreign.setdefault(name.decode("utf-8", "backslashreplace"), Named()).add(
            self._database, words[1] if len(words) > 1 else b""
        )
        return []

    def _stream(self, name: bytes, words: Words) -> list[Words] | None:
        """XSETID key id, XGROUP CREATE key group id: what follows are counters, which 6.2 neither has nor reads."""
        plain = 3 if name == b"XSETID" else 5
        return None if self._counters or len(words) <= plain else [words[:plain]]

    def _expire(self, key: bytes, at: int, fields: Sequence[bytes]) -> list[Words] | None:
        if self._field_ttls:
            return None
        if at > self._now:
            return []
        self.emptied.add(self._database, key)
        return [[b"HDEL", key, *fields]]

    def _set_expiring(self, key: bytes, at: int, pairs: Sequence[bytes], words: Words) -> list[Words] | None:
        """Valkey sets a field and its time at once; Redis 7.4 knows only the way in two steps."""
        if self._field_ttls and self._valkey:
            return None
        fields = list(pairs[::2])
        setting = [b"HSET", key, *pairs]
        if self._field_ttls:
            return [setting, [b"HPEXPIREAT", key, words[3], b"FIELDS", b"%d" % len(fields), *fields]]
        if at > self._now:
            return [setting]
        self.emptied.add(self._database, key)
        return []
