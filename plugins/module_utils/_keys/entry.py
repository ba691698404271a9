# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One key as it travels between a server and a file: its name, type, value and expiry, free of any format.

Everything that reads a server makes these, every format writes and reads them, everything that fills a server takes
them. All names and values are bytes, as Redis holds them; all times are UTC milliseconds since 1970.
"""

from __future__ import annotations

from typing import Any, NamedTuple

# A value of more than this many bytes travels in parts, so that neither side ever holds a whole large one.
PART_BYTES = 8 * 1024 * 1024

# The types whose values are read and written piece by piece. Any other one (of a module) travels as a dump.
TYPED_KINDS = ("string", "list", "set", "zset", "hash", "stream")
DUMP = "dump"

_SHOWN = 80


class Pending(NamedTuple):
    """A message of a stream that was delivered to a consumer and not acknowledged yet."""

    entry: bytes
    consumer: bytes
    delivered_at: int
    times: int


class Group(NamedTuple):
    """A consumer group of a stream. `entries_read` is None where the server does not count (6.2) or know it."""

    name: bytes
    last_delivered: bytes
    entries_read: int | None
    consumers: tuple[bytes, ...]
    pending: tuple[Pending, ...]


class Stream(NamedTuple):
    """A stream: its entries as (id, flat list of fields and values), its counters, its groups.

    `entries_added` and `max_deleted` are None where the server does not keep them (6.2).
    """

    entries: list[tuple[bytes, list[bytes]]]
    last_id: bytes
    entries_added: int | None
    max_deleted: bytes | None
    groups: tuple[Group, ...]


class Entry(NamedTuple):
    """A key with its value, or one part of a value that is too large for one piece.

    `kind` tells the shape of `value`:

    - string: bytes
    - list, set: list[bytes]
    - zset: list[tuple[bytes, float]]
    - hash: list[tuple[bytes, bytes]]
    - stream: Stream
    - dump: bytes, the payload of DUMP, for what cannot or shall not be read piece by piece

    Parts of one value carry the same database, key and kind, come one after the other and count from 0; `more` says
    that another one follows. `expires_at` is told with each part, `field_expiries` with the part that has the
    fields, the groups of a stream with its last part.
    """

    database: int
    key: bytes
    kind: str
    value: Any
    expires_at: int | None = None
    field_expiries: tuple[tuple[bytes, int], ...] = ()
    part: int = 0
    more: bool = False


class Item(NamedTuple):
    """What a file holds at one place: an entry, or (`entry` is None) in `why` the reason that none can be read there.

    `number` is the line of a jsonl file, the ordinal of the key in the others; both count from 1.
    """

    number: int
    entry: Entry | None
    why: str


def shown(name: bytes) -> str:
    """A name as a message shows it: in quotes, on one line, not longer than a line bears."""
    text = name[:_SHOWN].decode("utf-8", "backslashreplace")
    text = "".join(letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in text)
    return f'"{text}"' if len(name) <= _SHOWN >= len(text) else f'"{text[:_SHOWN]}..."'
