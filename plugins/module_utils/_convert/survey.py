# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a loaded data set holds: its digest, and the keys that a target would not understand."""

from __future__ import annotations

from dataclasses import dataclass, field

from .._keys.digest import AgedDigest, fingerprints
from .._server.connection import Server
from .._server.facts import Facts
from .named import Named

_KINDS = frozenset((b"string", b"list", b"set", b"zset", b"hash", b"stream"))
_BATCH = 500


@dataclass
class Survey:
    """One reading of a whole data set.

    `foreign` names keys by their type, where it is none that every server has; `dangling` streams with pending entries
    whose messages were deleted, which no AOF of commands carries.
    """

    digest: AgedDigest
    field_ttls: Named = field(default_factory=Named)
    dangling: Named = field(default_factory=Named)
    foreign: dict[str, Named] = field(default_factory=dict)


def survey(server: Server, start: int, *, field_ttls: bool) -> Survey:
    """Read everything once. `start` is the moment (UTC milliseconds) from which the digest counts.

    `field_ttls` tells that fields of hashes may expire between this reading and another: such hashes are then no part
    of what is compared. Without it, what has expired is taken to be gone for good.
    """
    found = Survey(AgedDigest(start))
    for each in fingerprints(server, portable=True, hidden=field_ttls):
        found.digest.add(each)
        if each.field_ttls:
            found.field_ttls.add(each.database, each.key)
        if each.dangling:
            found.dangling.add(each.database, each.key)
        if each.kind not in _KINDS:
            found.foreign.setdefault(each.kind.decode("utf-8", "replace"), Named()).add(each.database, each.key)
    return found


def persist_fields(server: Server, facts: Facts) -> None:
    """Take the time of expiry away from all fields of all hashes, those excepted that have expired already."""
    server.call("CONFIG", "SET", "replica-read-only", "no")
    for name in facts.keyspace:
        server.call("SELECT", int(name[2:]))
        cursor = b"0"
        while True:
            cursor, keys = server.call("SCAN", cursor, "TYPE", "hash", "COUNT", _BATCH)
            for key in keys:
                fields = server.call("HKEYS", key)
                if fields:
                    server.call("HPERSIST", key, "FIELDS", len(fields), *fields)
            if cursor == b"0":
                break
    server.call("SELECT", 0)
    server.call("CONFIG", "SET", "replica-read-only", "yes")
