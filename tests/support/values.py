# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read everything a server holds into plain Python values, to compare before and after; no code of the collection."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import redis

from support.dataset import raw, send, server_version

Entry = tuple[str, Any, "int | None"]
Values = dict[tuple[int, bytes], Entry]

READ: dict[str, tuple[tuple[Any, ...], tuple[Any, ...]]] = {
    "string": (("GET",), ()),
    "list": (("LRANGE",), (0, -1)),
    "set": (("SMEMBERS",), ()),
    "zset": (("ZRANGE",), (0, -1, "WITHSCORES")),
    "hash": (("HGETALL",), ()),
    "stream": (("XINFO", "STREAM"), ("FULL", "COUNT", 0)),
}
# What 6.2 does not tell of a stream.
STREAM_COUNTERS = (b"entries-added", b"max-deleted-entry-id")
GROUP_COUNTERS = (b"entries-read",)


def snapshot_values(client: redis.Redis, *, portable: bool = False) -> Values:
    """Everything in all databases: {(db, key): (type, value, time of expiry in ms since 1970 or None)}.

    Scores are floats; a hash field that expires has (value, time); a stream is a dict with its groups, consumers and
    pending entries. `portable` leaves out what not every version keeps: counters of streams, times of consumers.
    """
    modern = server_version(client) >= (7,)
    keyspace = raw(client).execute_command("INFO", "keyspace").decode()
    found: Values = {}
    for line in keyspace.splitlines():
        if line.startswith("db"):
            db = int(line[2:].partition(":")[0])
            with raw(client, db) as reader:
                found.update({(db, key): entry for key, entry in _database(reader, modern, portable)})
    return found


def _database(reader: redis.Redis, modern: bool, portable: bool) -> Iterable[tuple[bytes, Entry]]:
    keys = sorted(_keys(reader))
    types = [name.decode() for name in send(reader, (("TYPE", key) for key in keys))]
    if modern:
        expiry = [at if at > 0 else None for at in send(reader, (("PEXPIRETIME", key) for key in keys))]
    else:
        expiry = _expiry_by_ttl(reader, keys)
    readable = [(key, name) for key, name in zip(keys, types) if name in READ]
    commands = ((*READ[name][0], key, *READ[name][1]) for key, name in readable)
    answers = dict(zip((key for key, _name in readable), send(reader, commands, chunk=500)))
    for key, name, at in zip(keys, types, expiry):
        if name == "none":
            continue  # expired meanwhile
        if name not in READ:
            raise AssertionError(f"{key!r} is a {name}, which this reading does not know")
        value = _value(name, answers[key], portable)
        if name == "hash":
            value = _field_times(reader, key, value)
        yield key, (name, value, at)


def _keys(reader: redis.Redis) -> set[bytes]:
    keys: set[bytes] = set()
    cursor = b"0"
    while True:
        cursor, some = reader.execute_command("SCAN", cursor, "COUNT", 2000)
        keys.update(some)
        if cursor == b"0":
            return keys


def _expiry_by_ttl(reader: redis.Redis, keys: list[bytes]) -> list[int | None]:
    """For 6.2: the clock and the rest of the time, asked together; good to a few milliseconds."""
    found: list[int | None] = []
    for start in range(0, len(keys), 50):
        part = keys[start : start + 50]
        (seconds, micros), *rest = send(reader, [("TIME",), *(("PTTL", key) for key in part)])
        now = int(seconds) * 1000 + int(micros) // 1000
        found += [now + left if left >= 0 else None for left in rest]
    return found


def _value(name: str, answer: Any, portable: bool) -> Any:
    if name == "set":
        return frozenset(answer)
    if name == "zset":
        return {member: float(score) for member, score in _pairs(answer)}
    if name == "hash":
        return dict(_pairs(answer))
    if name == "stream":
        return _stream(dict(_pairs(answer)), portable)
    return answer


def _pairs(flat: list[Any]) -> Iterable[tuple[Any, Any]]:
    return zip(flat[::2], flat[1::2])


def _field_times(reader: redis.Redis, key: bytes, fields: dict[bytes, Any]) -> dict[bytes, Any]:
    """Adds the times of fields that expire, where the server knows such (Redis 7.4, Valkey 9)."""
    if not fields:
        return fields
    try:
        times = reader.execute_command("HPEXPIRETIME", key, "FIELDS", len(fields), *fields)
    except redis.ResponseError as error:
        if "unknown command" in str(error):
            return fields
        raise
    return {field: (value, at) if at > 0 else value for (field, value), at in zip(fields.items(), times)}


def _stream(found: dict[bytes, Any], portable: bool) -> dict[str, Any]:
    stream: dict[str, Any] = {
        "entries": [(entry, tuple(fields)) for entry, fields in found[b"entries"]],
        "last": found[b"last-generated-id"],
        "groups": {},
    }
    if not portable:
        stream["counters"] = [found.get(name) for name in STREAM_COUNTERS]
    for group in (dict(_pairs(group)) for group in found[b"groups"]):
        consumers = [dict(_pairs(consumer)) for consumer in group[b"consumers"]]
        content: dict[str, Any] = {
            "last": group[b"last-delivered-id"],
            "pending": sorted(tuple(entry) for entry in group[b"pending" if b"pending" in group else b"pel"]),
            "consumers": {consumer[b"name"]: sorted(map(tuple, consumer[b"pending"])) for consumer in consumers},
        }
        if not portable:
            content["counters"] = [group.get(name) for name in GROUP_COUNTERS]
            content["seen"] = {consumer[b"name"]: consumer[b"seen-time"] for consumer in consumers}
        stream["groups"][group[b"name"]] = content
    return stream


def differences(one: Values, other: Values, *, expiry_ms: int = 5, limit: int = 20) -> list[str]:
    """In words, what differs between two readings; times of expiry may differ by `expiry_ms`. Empty: nothing."""
    words = [f"{key} is only in the first" for key in sorted(one.keys() - other.keys())]
    words += [f"{key} is only in the second" for key in sorted(other.keys() - one.keys())]
    for key in sorted(one.keys() & other.keys()):
        (type1, value1, at1), (type2, value2, at2) = one[key], other[key]
        if (type1, value1) != (type2, value2):
            words.append(f"{key}: {type1} {_short(value1)} became {type2} {_short(value2)}")
        if (at1 is None) != (at2 is None) or abs((at1 or 0) - (at2 or 0)) > expiry_ms:
            words.append(f"{key}: expires {at1}, then {at2}")
    return [*words[:limit], f"and {len(words) - limit} more"] if len(words) > limit else words


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:200]}..."


def snapshot_server(client: redis.Redis) -> Mapping[str, Any]:
    """What a server holds beside keys: the functions (name: code) and the ACL users (name: rules as sets)."""
    reader = raw(client)
    functions = {}
    if server_version(client) >= (7,):
        for library in reader.execute_command("FUNCTION", "LIST", "WITHCODE"):
            found = dict(_pairs(library))
            functions[found[b"library_name"].decode()] = found[b"library_code"].decode()
    users = {}
    for line in reader.execute_command("ACL", "LIST"):
        _word, name, *rules = line.decode().split()
        users[name] = frozenset(rules)
    return {"functions": functions, "users": users}
