# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read an export of the format jsonl as its documentation describes it, to compare; no code of the collection.

Besides values that are so large that an export has them in parts.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import redis

from support.dataset import send
from support.values import Values

PART_BYTES = 8 * 1024 * 1024


def lines_of(path: Path) -> list[dict[str, Any]]:
    """Each line."""
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def text(value: Any) -> bytes:
    """A byte string as a line has it."""
    return value.encode() if isinstance(value, str) else base64.b64decode(value["base64"], validate=True)


def _pairs(value: Any) -> list[tuple[bytes, Any]]:
    """A hash's fields: an object, or pairs where a name is no text."""
    pairs = value.items() if isinstance(value, dict) else value
    return [(text(name), each) for name, each in pairs]


def _stream(value: dict[str, Any]) -> dict[str, Any]:
    groups = {}
    for group in value["groups"]:
        pending = [(text(entry), text(who), at, times) for entry, who, at, times in group["pending"]]
        consumers: dict[bytes, list[Any]] = {text(name): [] for name in group["consumers"]}
        for entry, who, at, times in pending:
            consumers[who].append((entry, at, times))
        groups[text(group["name"])] = {
            "last": text(group["last_delivered_id"]),
            "pending": sorted(pending),
            "consumers": {name: sorted(found) for name, found in consumers.items()},
        }
    entries = [
        (text(entry), tuple(word for pair in fields for word in map(text, pair))) for entry, fields in value["entries"]
    ]
    return {"entries": entries, "last": text(value["last_id"]), "groups": groups}


def _value(line: dict[str, Any]) -> Any:
    kind, value = line["type"], line["value"]
    if line["encoding"] == "dump":
        return base64.b64decode(value if isinstance(value, str) else value["base64"])
    if kind == "string":
        return text(value)
    if kind in ("list", "set"):
        return [text(each) for each in value]
    if kind == "zset":
        return {text(member): float(score) for member, score in value}
    if kind == "hash":
        times = dict(_pairs(line.get("fields_expire_at_ms", {})))
        found = [(name, text(each)) for name, each in _pairs(value)]
        return {name: (each, times[name]) if name in times else each for name, each in found}
    return _stream(value)


def _joined(before: Any, more: Any) -> Any:
    """A value with another part of it."""
    if isinstance(before, dict) and "entries" in before:
        return {**more, "entries": before["entries"] + more["entries"]}
    return {**before, **more} if isinstance(before, dict) else before + more


def values_of(lines: Iterable[dict[str, Any]]) -> Values:
    """What lines hold, as `snapshot_values` of a server gives it (`portable`). Each key may be there once."""
    found: Values = {}
    parts: list[Any] = []
    for line in lines:
        name = (line["db"], text(line["key"]))
        value = _value(line)
        assert line.get("part", 0) == len(parts)
        parts.append(value)
        if line.get("more"):
            continue
        whole = parts[0]
        for part in parts[1:]:
            whole = _joined(whole, part)
        parts = []
        if line["type"] == "set" and line["encoding"] != "dump":
            assert len(whole) == len(set(whole)), f"{name} has a member twice"
            whole = frozenset(whole)
        assert name not in found, f"{name} is there twice"
        found[name] = (line["type"], whole, line["expire_at_ms"])
    assert not parts
    return found


_LARGE = """
local tail = string.rep('w', 260)
for n = 0, 59999 do
  local word = string.format('%040d', n) .. tail
  redis.call('RPUSH', 'list', word)
  redis.call('SADD', 'set', word)
  redis.call('ZADD', 'zset', n / 7, word)
  redis.call('HSET', 'hash', word, n)
end
local long = string.rep('x', 1000)
for n = 1, 20000 do redis.call('XADD', 'stream', n .. '-1', 'field', long, 'n', n) end
for n = 1, 20000 do redis.call('RPUSH', 'small:list', string.format('%040d', n)) end
"""


def large(client: redis.Redis) -> None:
    """Values that are read in parts, one of each type, and two (`small:`) that are just not."""
    send(
        client,
        [
            ("EVAL", _LARGE, 0),
            ("XGROUP", "CREATE", "stream", "group", "0"),
            ("XREADGROUP", "GROUP", "group", "alice", "COUNT", 2500, "STREAMS", "stream", ">"),
            ("XREADGROUP", "GROUP", "group", "bob", "COUNT", 1, "STREAMS", "stream", ">"),
            ("SET", "string", b"\xff\x00" * (10 * 1024 * 1024)),
            ("PEXPIREAT", "string", 4102444800123),
            ("PEXPIREAT", "hash", 4102444800124),
            ("SET", "small:string", b"y" * PART_BYTES),
        ],
    )
