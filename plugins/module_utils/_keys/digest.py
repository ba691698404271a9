# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A digest of a data set: the same on every version and flavour, without DEBUG, whatever the order of the keys.

Each key gives a SHA-256 over database, key, type, value and expiry time; their sum modulo 2**256 and their number give
the digest. Scores count as doubles, sets and hashes by their sorted members, streams with their groups.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from .._errors import ServerError
from .._server.connection import ReplyError, Server, parse_info
from .._server.facts import Facts

_BATCH = 500
_MODULUS = 1 << 256


@dataclass(frozen=True)
class Fingerprint:
    """One key. `number` stands for all that the digest counts of it.

    `until` is when it next changes by itself, in UTC milliseconds: its expiry, or that of its first field; -1 never.
    `field_ttls` tells a hash with fields that expire, `dangling` how many pending entries of a stream wait for messages
    that were deleted.
    """

    database: int
    key: bytes
    kind: bytes
    number: int
    until: int
    field_ttls: bool = False
    dangling: int = 0


def _pack(parts: Iterable[bytes]) -> bytes:
    """Parts joined so that no two lists look alike."""
    return b"".join(struct.pack(">Q", len(part)) + part for part in parts)


def pack_score(text: bytes) -> bytes:
    """A sorted set's score as the bytes of its double; -0 counts as 0 (some versions lose its sign). Pure."""
    return struct.pack(">d", float(text) + 0.0)


def _pairs(flat: Sequence[bytes]) -> list[tuple[bytes, bytes]]:
    return list(zip(flat[::2], flat[1::2]))


def pack_value(kind: bytes, value: Any) -> bytes:
    """The canonical bytes of a value as its read command replied. Pure."""
    if kind == b"string":
        return bytes(value)
    if kind == b"list":
        return _pack(value)
    if kind == b"set":
        return _pack(sorted(value))
    if kind == b"zset":
        return _pack(member + pack_score(score) for member, score in sorted(_pairs(value)))
    if kind == b"hash":
        return _pack(_pack(pair) for pair in sorted(_pairs(value)))
    if kind == b"stream":
        return _pack(_pack([entry, *fields]) for entry, fields in value)
    return bytes(value[:-10])  # a module's DUMP, without its version and checksum


_READS: dict[bytes, tuple[Any, ...]] = {
    b"string": ("GET",),
    b"list": ("LRANGE", 0, -1),
    b"set": ("SMEMBERS",),
    b"zset": ("ZRANGE", 0, -1, "WITHSCORES"),
    b"hash": ("HGETALL",),
    b"stream": ("XRANGE", "-", "+"),
}


def _read_command(kind: bytes, key: bytes) -> tuple[Any, ...]:
    name, *rest = _READS.get(kind, ("DUMP",))
    return (name, key, *rest)


def _expiries(server: Server, keys: list[bytes], exact: bool) -> list[int]:
    """When each key expires, in UTC milliseconds; -1 never, -2 gone.

    6.2 tells only the time left: it is taken between two looks at its clock, until both show one millisecond.
    """
    if exact:
        return [int(reply) for reply in _good(server.pipeline([("PEXPIRETIME", key) for key in keys]))]
    found: dict[bytes, int] = {}
    left = list(keys)
    while left:
        commands = [c for key in left for c in (("TIME",), ("PTTL", key), ("TIME",))]
        replies = _good(server.pipeline(commands))
        unsure = []
        for key, before, ttl, after in zip(left, replies[::3], replies[1::3], replies[2::3]):
            moments = [int(t[0]) * 1000 + int(t[1]) // 1000 for t in (before, after)]
            if ttl < 0:
                found[key] = int(ttl)
            elif moments[0] == moments[1]:
                found[key] = moments[0] + int(ttl)
            else:
                unsure.append(key)
        left = unsure
    return [found[key] for key in keys]


def _good(replies: list[Any]) -> list[Any]:
    for reply in replies:
        if isinstance(reply, ReplyError):
            raise reply
    return replies


def _groups(server: Server, key: bytes, there: set[bytes] | None) -> tuple[bytes, int]:
    """A stream's groups with their consumers and pending entries, its last id; and how many entries were left out.

    Left out are those whose message is not among `there`, when that is given.
    """
    info, groups = _good(server.pipeline([("XINFO", "STREAM", key), ("XINFO", "GROUPS", key)]))
    parts = [dict(_pairs(info))[b"last-generated-id"]]
    left_out = 0
    for group in sorted((dict(_pairs(g)) for g in groups), key=lambda g: g[b"name"]):
        name = group[b"name"]
        consumers, pending = _good(
            server.pipeline([("XINFO", "CONSUMERS", key, name), ("XPENDING", key, name, "-", "+", 1_000_000)])
        )
        counted = [found for found in pending if there is None or found[0] in there]
        left_out += len(pending) - len(counted)
        parts += [name, group[b"last-delivered-id"]]
        parts += sorted(dict(_pairs(c))[b"name"] for c in consumers)
        parts += [_pack([entry, consumer, str(times).encode()]) for entry, consumer, _idle, times in counted]
    return _pack(parts), left_out


def _field_expiries(server: Server, key: bytes, fields: list[bytes]) -> list[tuple[bytes, int]]:
    """The fields of a hash that expire, and when; -2 for one that has just done so."""
    if not fields:
        return []
    reply = server.call("HPEXPIRETIME", key, "FIELDS", len(fields), *fields)
    return sorted((field, int(at)) for field, at in zip(fields, reply) if at != -1)


def _knows_field_expiry(facts: Facts) -> bool:
    return facts.version >= (9, 0) if facts.flavour == "valkey" else facts.version >= (7, 4)


def _scan(server: Server) -> Iterator[list[bytes]]:
    cursor: Any = b"0"
    while True:
        cursor, keys = server.call("SCAN", cursor, "COUNT", _BATCH)
        if keys:
            yield list(dict.fromkeys(keys))
        if cursor == b"0":
            return


def _key_digests(
    server: Server, database: int, facts: Facts, keys: list[bytes], portable: bool, hidden: bool
) -> Iterator[Fingerprint]:
    """Each key's fingerprint. Keys that vanish meanwhile are passed over."""
    kinds = _good(server.pipeline([("TYPE", key) for key in keys]))
    values = server.pipeline([_read_command(kind, key) for kind, key in zip(kinds, keys)])
    expiries = _expiries(server, keys, facts.version >= (7, 0))
    for key, kind, value, expiry in zip(keys, kinds, values, expiries):
        if kind == b"none" or expiry == -2:
            continue
        if isinstance(value, ReplyError):
            raise value
        if not value and kind == b"hash":
            continue  # all its fields are past their time, and a replica may not remove it
        parts = [str(database).encode(), key, kind, pack_value(kind, value), str(expiry).encode()]
        until, fields, dangling = expiry, [], 0
        if kind == b"stream":
            try:
                groups, dangling = _groups(server, key, {entry for entry, _fields in value} if portable else None)
            except ReplyError as refusal:
                if "no such key" in refusal.message:
                    continue
                raise
            parts.append(groups)
        elif kind == b"hash" and _knows_field_expiry(facts):
            fields = _field_expiries(server, key, value[::2])
            # Nothing when no field expires, so that older versions agree.
            parts.append(_pack(_pack([field, str(at).encode()]) for field, at in fields))
            until = min([at for _field, at in fields] + ([expiry] if expiry >= 0 else []), default=-1)
            until = max(until, 0) if fields else until
            if hidden and int(server.call("HLEN", key)) > len(value) // 2:
                until = 0
        else:
            parts.append(b"")
        number = int.from_bytes(hashlib.sha256(_pack(parts)).digest(), "big")
        yield Fingerprint(database, key, kind, number, until, bool(fields), dangling)


def fingerprints(server: Server, *, portable: bool = False, hidden: bool = False) -> Iterator[Fingerprint]:
    """Every key of a server's whole data set. Reads every value; meant for servers at rest.

    `portable` leaves out what an AOF of commands cannot carry: pending entries whose messages were deleted. `hidden`
    has hashes looked at for fields that have expired and are not removed yet, as on a replica: these changed already.
    Raises ServerError in cluster mode of several databases or where reading is refused.
    """
    facts = Facts(parse_info(server.call("INFO")))
    if facts.loading:
        raise ServerError(f"the server at {server.login.where} is still loading", hint="Wait until it has loaded")
    for name in sorted(facts.keyspace):
        database = int(name[2:])
        if facts.mode != "cluster" or database:
            server.call("SELECT", database)
        seen: set[bytes] = set()
        for keys in _scan(server):
            # SCAN may show a key twice while a table is resized; 16 bytes a key tell.
            fresh = [k for k in keys if hashlib.blake2b(k, digest_size=16).digest() not in seen]
            seen.update(hashlib.blake2b(k, digest_size=16).digest() for k in fresh)
            yield from _key_digests(server, database, facts, fresh, portable, hidden)
    if facts.mode != "cluster":
        server.call("SELECT", 0)


def same_value(server: Server, facts: Facts, one: bytes, other: bytes) -> bool:
    """Whether two keys of the selected database hold the same, as the digest counts it; their expiry is no matter."""
    kinds = _good(server.pipeline([("TYPE", one), ("TYPE", other)]))
    if kinds[0] != kinds[1] or kinds[0] == b"none":
        return False
    kind = kinds[0]
    first, second = _good(server.pipeline([_read_command(kind, key) for key in (one, other)]))
    if pack_value(kind, first) != pack_value(kind, second):
        return False
    if kind == b"stream":
        return _groups(server, one, None) == _groups(server, other, None)
    if kind == b"hash" and _knows_field_expiry(facts):
        return _field_expiries(server, one, first[::2]) == _field_expiries(server, other, second[::2])
    return True


def digest(server: Server) -> tuple[str, int]:
    """The digest of a server's whole data set, and its number of keys. As `fingerprints`."""
    total, count = 0, 0
    for found in fingerprints(server):
        total = (total + found.number) % _MODULUS
        count += 1
    return hashlib.sha256(total.to_bytes(32, "big") + count.to_bytes(8, "big")).hexdigest(), count


class AgedDigest:
    """A digest in bands of the keys' remaining time, to compare two readings between which keys expire.

    Band n holds the keys that stay as they are for 2**(n-1) to 2**n milliseconds behind `start` (UTC milliseconds).
    """

    def __init__(self, start: int) -> None:
        self._start = start
        self._bands: dict[int, tuple[int, int]] = {}

    def add(self, found: Fingerprint) -> None:
        """Count a key."""
        band = max(found.until - self._start, 0).bit_length() if found.until >= 0 else -1
        total, count = self._bands.get(band, (0, 0))
        self._bands[band] = ((total + found.number) % _MODULUS, count + 1)

    def agrees(self, other: AgedDigest, end: int) -> bool:
        """Whether both readings, done by `end`, saw the same of all keys that could not change until then."""
        return self._until(end) == other._until(end)

    def _until(self, end: int) -> dict[int, tuple[int, int]]:
        lasting = end - self._start
        return {band: sums for band, sums in self._bands.items() if band < 0 or (band and 1 << (band - 1) > lasting)}
