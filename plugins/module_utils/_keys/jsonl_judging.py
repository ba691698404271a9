# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One line of a jsonl file, judged step by step: an entry, or in words what is wrong with it. Pure.

Objects arrive as tuples of pairs, so that a name that stands there twice is seen; arrays as lists.
"""

from __future__ import annotations

import re
from binascii import a2b_base64, b2a_base64
from json import JSONDecodeError, JSONDecoder
from typing import Any, NoReturn

from .entry import DUMP, TYPED_KINDS, Entry, Group, Pending, Stream, shown
from .payload import SHORTEST

_REQUIRED = ("key", "type", "value")
_KNOWN = ("db", *_REQUIRED, "expire_at_ms", "fields_expire_at_ms", "part", "more", "encoding")
_ENCODINGS = ("utf-8", "base64", DUMP)
_STREAM = ("entries", "last_id", "entries_added", "max_deleted_id", "groups")
_GROUP = ("name", "last_delivered_id", "entries_read", "consumers", "pending")
_LARGEST = 2**63 - 1
_LARGEST_DATABASE = 2**31 - 1
_INFINITIES = {"inf": float("inf"), "-inf": float("-inf")}
_ID = re.compile(r"([0-9]{1,20})-([0-9]{1,20})")


class UnreadableError(ValueError):
    """Why a line, or what stands in it, cannot be read."""


def _no_constant(name: str) -> NoReturn:
    raise UnreadableError(f"{name} is no JSON")


_decoder: Any = JSONDecoder(object_pairs_hook=tuple, parse_constant=_no_constant)
scan = _decoder.scan_once


def _kind_of(found: Any) -> str:
    """What a JSON value is, in a word."""
    if found is None:
        return "null"
    if isinstance(found, bool):
        return "true" if found else "false"
    kinds = ((str, "a string"), ((int, float), "a number"), (tuple, "an object"), (list, "an array"))
    return next(word for kind, word in kinds if isinstance(found, kind))


def _parse(line: str) -> Any:
    text = line.strip(" \t\r\n")
    try:
        found, end = scan(text, 0)
    except StopIteration as stop:
        raise UnreadableError(f"no JSON: a value is missing at character {int(stop.value) + 1}") from None
    except JSONDecodeError as error:
        raise UnreadableError(f"no JSON: {error.msg} at character {error.pos + 1}") from None
    except RecursionError:
        raise UnreadableError("no line of an export: it is nested too deeply") from None
    except UnreadableError:
        raise
    except ValueError:
        raise UnreadableError("no line of an export: it holds a number of thousands of digits") from None
    if end != len(text):
        raise UnreadableError(f"no JSON: more text behind its end at character {end}")
    return found


def _members(found: Any, what: str, known: tuple[str, ...], required: tuple[str, ...]) -> dict[str, Any]:
    if not isinstance(found, tuple):
        raise UnreadableError(f"{what} is {_kind_of(found)}, not an object")
    members = dict(found)
    if len(members) != len(found):
        names = [name for name, value in found]
        raise UnreadableError(f"{what} has {next(n for n in names if names.count(n) > 1)[:40]!r} twice")
    for name in members:
        if name not in known:
            raise UnreadableError(f"{what} has {name[:40]!r}, which is not known")
    for name in required:
        if name not in members:
            raise UnreadableError(f"{what} has no {name!r}")
    return members


def byte_string(found: Any, what: str) -> bytes:
    """A byte string: a JSON string, or an object with its base64."""
    if isinstance(found, str):
        try:
            return found.encode()
        except UnicodeEncodeError:
            raise UnreadableError(f"{what} is no text: it has half a surrogate pair") from None
    if isinstance(found, tuple) and len(found) == 1 and found[0][0] == "base64":
        return _from_base64(found[0][1], what)
    raise UnreadableError(f'{what} is {_kind_of(found)}, neither a string nor {{"base64":"..."}}')


def _from_base64(found: Any, what: str) -> bytes:
    if not isinstance(found, str):
        raise UnreadableError(f"{what} is {_kind_of(found)}, not base64")
    try:
        data = a2b_base64(found)
    except ValueError:
        data = b""
    # What it does not know, it passes over; so only what it would write is taken.
    if b2a_base64(data, newline=False).decode("ascii") != found:
        raise UnreadableError(f"{what} is not base64")
    return data


def _integer(found: Any, what: str, largest: int = _LARGEST) -> int:
    if not isinstance(found, int) or isinstance(found, bool):
        raise UnreadableError(f"{what} is {_kind_of(found)}, not a whole number")
    if not 0 <= found <= largest:
        raise UnreadableError(f"{what} is not between 0 and {largest}")
    return found


def _list(found: Any, what: str, of: int | None = None) -> list[Any]:
    if not isinstance(found, list):
        raise UnreadableError(f"{what} is {_kind_of(found)}, not an array")
    if of is not None and len(found) != of:
        raise UnreadableError(f"{what} is an array of {len(found)}, not of {of}")
    return found


def _no_twins(names: list[bytes], what: str) -> None:
    if len(set(names)) == len(names):
        return
    seen: set[bytes] = set()
    for name in names:
        if name in seen:
            raise UnreadableError(f"{what} {shown(name)} stands there twice")
        seen.add(name)


def _score(found: Any, member: bytes) -> float:
    what = f"the score of {shown(member)}"
    if isinstance(found, str):
        if found not in _INFINITIES:
            raise UnreadableError(f'{what} is {found[:40]!r}, not a number, "inf" or "-inf"')
        return _INFINITIES[found]
    if type(found) not in (int, float):
        raise UnreadableError(f"{what} is {_kind_of(found)}, not a number")
    try:
        score = float(found)
    except OverflowError:
        score = float("inf")
    if score in _INFINITIES.values():
        raise UnreadableError(f"{what} is larger than any that Redis knows")
    return score


def _pairs(found: Any, what: str) -> list[tuple[bytes, Any]]:
    """Names and their values, from an object or from an array of pairs."""
    if isinstance(found, tuple):
        pairs = [(byte_string(name, "a field"), value) for name, value in found]
    else:
        pairs = []
        for pair in _list(found, what):
            name, value = _list(pair, f"a pair of {what}", 2)
            pairs.append((byte_string(name, "a field"), value))
    _no_twins([name for name, value in pairs], "the field")
    return pairs


def _id(found: Any, what: str) -> bytes:
    match = _ID.fullmatch(found) if isinstance(found, str) else None
    if not match or max(int(match[1]), int(match[2])) >= 1 << 64:
        raise UnreadableError(f"{what} is no id of a stream")
    return match[0].encode()


def _order(name: bytes) -> tuple[int, int]:
    first, _dash, second = name.partition(b"-")
    return int(first), int(second)


def _stream_entries(found: Any) -> list[tuple[bytes, list[bytes]]]:
    entries: list[tuple[bytes, list[bytes]]] = []
    last = (-1, 0)
    for pair in _list(found, "the entries"):
        name, fields = _list(pair, "an entry", 2)
        name = _id(name, "what names an entry")
        if _order(name) <= last:
            raise UnreadableError(f"the entry {name.decode()} does not follow the one before it")
        last = _order(name)
        what = f"a field of the entry {name.decode()}"
        flat = [byte_string(word, what) for field in _list(fields, "an entry") for word in _list(field, what, 2)]
        if not flat:
            raise UnreadableError(f"the entry {name.decode()} has no fields")
        entries.append((name, flat))
    return entries


def _group(found: Any) -> Group:
    group = _members(found, "a group", _GROUP, ("name", "last_delivered_id"))
    name = byte_string(group["name"], "the name of a group")
    what = f"of the group {shown(name)}"
    read = group.get("entries_read")
    consumers = [
        byte_string(word, f"a consumer {what}") for word in _list(group.get("consumers", []), f"consumers {what}")
    ]
    _no_twins(consumers, f"a consumer {what}:")
    pending = []
    for entry in _list(group.get("pending", []), f"pending {what}"):
        message, consumer, at, times = _list(entry, f"a pending entry {what}", 4)
        pending.append(
            Pending(
                _id(message, f"what names a pending entry {what}"),
                byte_string(consumer, f"a consumer {what}"),
                _integer(at, f"a delivery time {what}"),
                _integer(times, f"a number of deliveries {what}"),
            )
        )
        if pending[-1].consumer not in consumers:
            raise UnreadableError(f"a pending entry {what} has a consumer that is not among its consumers")
    _no_twins([entry.entry for entry in pending], f"a pending entry {what}:")
    return Group(
        name,
        _id(group["last_delivered_id"], f"last_delivered_id {what}"),
        None if read is None else _integer(read, f"entries_read {what}"),
        tuple(consumers),
        tuple(pending),
    )


def _stream(found: Any, more: bool) -> Stream:
    stream = _members(found, "the value of a stream", _STREAM, ("entries", "last_id"))
    entries = _stream_entries(stream["entries"])
    added, deleted = stream.get("entries_added"), stream.get("max_deleted_id")
    groups = tuple(_group(group) for group in _list(stream.get("groups", []), "groups"))
    _no_twins([group.name for group in groups], "the group")
    last = _id(stream["last_id"], "last_id")
    if entries and not more and _order(entries[-1][0]) > _order(last):
        raise UnreadableError("last_id is smaller than the id of the last entry")
    return Stream(
        entries,
        last,
        None if added is None else _integer(added, "entries_added"),
        None if deleted is None else _id(deleted, "max_deleted_id"),
        groups,
    )


def _value(kind: str, found: Any, more: bool) -> Any:
    if kind == "string":
        return byte_string(found, "the value")
    if kind == "stream":
        return _stream(found, more)
    if kind == "hash":
        return [(field, byte_string(value, f"the field {shown(field)}")) for field, value in _pairs(found, "the value")]
    elements = _list(found, "the value")
    if kind == "zset":
        scores = []
        for pair in elements:
            member, score = _list(pair, "a member with its score", 2)
            member = byte_string(member, "a member")
            scores.append((member, _score(score, member)))
        _no_twins([member for member, score in scores], "the member")
        return scores
    members = [byte_string(element, "an element") for element in elements]
    if kind == "set":
        _no_twins(members, "the member")
    return members


def _field_expiries(found: Any, kind: str, value: Any) -> tuple[tuple[bytes, int], ...]:
    if found is None:
        return ()
    if kind != "hash":
        raise UnreadableError("fields_expire_at_ms is for hashes only")
    pairs = _pairs(found, "fields_expire_at_ms")
    there = {field for field, unused in value}
    for field, at in pairs:
        if field not in there:
            raise UnreadableError(f"fields_expire_at_ms names {shown(field)}, which is no field")
        _integer(at, f"the expiry of the field {shown(field)}")
    return tuple(pairs)


def _entry(members: dict[str, Any], key: bytes) -> Entry:
    kind, encoding = members["type"], members.get("encoding", "utf-8")
    part, more = _integer(members.get("part", 0), "part"), members.get("more", False)
    at = members.get("expire_at_ms")
    if not isinstance(more, bool):
        raise UnreadableError(f"more is {_kind_of(more)}, neither true nor false")
    if not isinstance(kind, str):
        raise UnreadableError(f"type is {_kind_of(kind)}, not a string")
    if encoding not in _ENCODINGS:
        raise UnreadableError(f"encoding is neither of {', '.join(_ENCODINGS)}")
    if encoding == DUMP:
        kind = DUMP
        value: Any = _from_base64(members["value"], "the payload")
        if len(value) < SHORTEST:
            raise UnreadableError("the payload is too short for what DUMP makes")
        if part or more:
            raise UnreadableError("a payload comes in one part")
    elif kind not in TYPED_KINDS:
        raise UnreadableError(f"the type {kind[:40]!r} is not known, and the value is no payload")
    else:
        value = _value(kind, members["value"], more)
        if not value and kind != "string" and not part and not more:
            raise UnreadableError(f"the {kind} is empty, which Redis does not keep")
    return Entry(
        _integer(members.get("db", 0), "db", _LARGEST_DATABASE),
        key,
        kind,
        value,
        None if at is None else _integer(at, "expire_at_ms"),
        _field_expiries(members.get("fields_expire_at_ms"), kind, value),
        part,
        more,
    )


def judge(line: str | bytes) -> Entry | None:
    """The entry that a line holds; None for a blank one. Raises UnreadableError."""
    if isinstance(line, bytes):
        try:
            line = line.decode()
        except UnicodeDecodeError as error:
            raise UnreadableError(
                f"no UTF-8: byte {error.start + 1} of the line is 0x{line[error.start]:02x}"
            ) from None
    if not line.strip(" \t\r\n"):
        return None
    found = _parse(line)
    members = _members(found, "the line", _KNOWN, _REQUIRED)
    key = byte_string(members["key"], "the key")
    try:
        return _entry(members, key)
    except UnreadableError as error:
        raise UnreadableError(f"key {shown(key)}: {error}") from None
