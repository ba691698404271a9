# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keys as lines of JSON: `{"db":0,"key":"user:1","type":"hash","value":{...},"expire_at_ms":null,"encoding":"utf-8"}`.

A byte string is a JSON string where it is UTF-8, and `{"base64":"..."}` where it is not. `encoding` says whether the
line has such a mark ("base64") or not ("utf-8"); "dump" where the value is the base64 of a DUMP payload.

Millions of small keys are what this is for, so the common case runs through C only: `str.join` over maps of
`bytes.decode` and of the quoting function of the json package. All else takes the long way.
"""

from __future__ import annotations

import math
from binascii import b2a_base64
from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from json.encoder import encode_basestring as quote

from .entry import DUMP, TYPED_KINDS, Entry, Stream
from .lines import LONGEST
from .payload import SHORTEST, type_name

_decode = bytes.decode
_number = float.__repr__
_comma = ",".join
_colon = ":".join

# bytes to JSON
Text = Callable[[bytes], str]


def _text(data: bytes) -> str:
    """A JSON string. Raises UnicodeDecodeError."""
    return quote(data.decode())


def _base64(data: bytes) -> str:
    return '{"base64":"' + b2a_base64(data, newline=False).decode("ascii") + '"}'


def _marked(data: bytes) -> str:
    try:
        return _text(data)
    except UnicodeDecodeError:
        return _base64(data)


def _is_text(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def _array(texts: Iterable[str]) -> str:
    return "[" + _comma(texts) + "]"


def _score(score: float) -> str:
    return _number(score) if math.isfinite(score) else quote(_number(score))


def _nullable(number: int | None) -> str:
    return "null" if number is None else str(number)


def _id(name: bytes | None) -> str:
    return "null" if name is None else quote(name.decode("ascii"))


def _stream(stream: Stream, text: Text) -> str:
    entries = []
    for name, fields in stream.entries:
        flat = map(text, fields)
        entries.append(f"[{_id(name)},[[{'],['.join(map(_comma, zip(flat, flat)))}]]]")
    groups = []
    for group in stream.groups:
        pending = [f"[{_id(p.entry)},{text(p.consumer)},{p.delivered_at},{p.times}]" for p in group.pending]
        groups.append(
            f'{{"name":{text(group.name)},"last_delivered_id":{_id(group.last_delivered)},'
            f'"entries_read":{_nullable(group.entries_read)},"consumers":{_array(map(text, group.consumers))},'
            f'"pending":{_array(pending)}}}'
        )
    return (
        f'{{"entries":{_array(entries)},"last_id":{_id(stream.last_id)},'
        f'"entries_added":{_nullable(stream.entries_added)},"max_deleted_id":{_id(stream.max_deleted)},'
        f'"groups":{_array(groups)}}}'
    )


def _pairs(pairs: Iterable[tuple[str, str]], named: bool) -> str:
    """Names and values: an object, or an array of pairs where a name is no text."""
    if named:
        return "{" + _comma(map(_colon, pairs)) + "}"
    return _array("[" + _comma(pair) + "]" for pair in pairs)


def _value(entry: Entry, text: Text) -> str:
    """The value's JSON. What a scan showed twice is there once, as it was seen last."""
    kind, value = entry.kind, entry.value
    if kind == "string":
        return text(value)
    if kind == "list":
        return _array(map(text, value))
    if kind == "set":
        return _array(map(text, dict.fromkeys(value)))
    if kind == "zset":
        return _array(f"[{text(member)},{_score(score)}]" for member, score in dict(value).items())
    if kind == "hash":
        pairs = dict(value)
        named = text is not _base64 and all(map(_is_text, pairs))
        return _pairs(((text(field), text(found)) for field, found in pairs.items()), named)
    return _stream(value, text)


def _fields(entry: Entry, text: Text) -> str:
    if not entry.field_expiries:
        return ""
    named = text is not _base64 and all(_is_text(field) for field, found in entry.value)
    return (
        '"fields_expire_at_ms":' + _pairs(((text(field), str(at)) for field, at in entry.field_expiries), named) + ","
    )


def _line(entry: Entry, text: Text, encoding: str) -> str:
    """One whole line, whatever the entry is."""
    if entry.kind == DUMP:
        kind, encoding = quote(type_name(entry.value)), DUMP
        value = '"' + b2a_base64(entry.value, newline=False).decode("ascii") + '"'
        try:
            key = _text(entry.key)
        except UnicodeDecodeError:
            key = _base64(entry.key)
    else:
        key, kind, value = text(entry.key), f'"{entry.kind}"', _value(entry, text)
    part = f'"part":{entry.part},"more":{"true" if entry.more else "false"},' if entry.part or entry.more else ""
    return (
        f'{{"db":{entry.database},"key":{key},"type":{kind},"value":{value},'
        f'"expire_at_ms":{_nullable(entry.expires_at)},{_fields(entry, text)}{part}"encoding":"{encoding}"}}\n'
    )


def _careful(entry: Entry) -> str:
    """One line, by the long way."""
    try:
        line = _line(entry, _text, "utf-8")
    except UnicodeDecodeError:
        line = _line(entry, _marked, "base64")
    if len(line) > LONGEST:
        # Text of which each letter must be escaped takes six times its size.
        line = _line(entry, _base64, "base64")
    return line


def why_unfit(entry: Entry) -> str | None:
    """The reason why no line can hold an entry; None when one can."""
    kind, value = entry.kind, entry.value
    if kind == "string":
        return "it is too large for a line" if len(value) > LONGEST // 2 else None
    if kind == DUMP:
        if len(value) < SHORTEST:
            return "its DUMP payload is too short"
        return "it is too large for a line" if len(value) > LONGEST // 2 else None
    if kind not in TYPED_KINDS:
        return f"its type is {kind}, which is exported as a payload only"
    if kind == "zset" and any(map(math.isnan, dict(value).values())):
        return "a score of it is not a number"
    if not value and not entry.part and not entry.more:
        return "it is empty"
    return None


def encode(entries: Sequence[Entry]) -> bytes:
    """The lines of some entries."""
    lines: list[str] = []
    add = lines.append
    for entry in entries:
        database, key, kind, value, at, field_expiries, part, more = entry
        if part or more or field_expiries or not value:
            add(_careful(entry))
            continue
        encoding = "utf-8"
        try:
            name = quote(key.decode())
        except UnicodeDecodeError:
            name, encoding = _base64(key), "base64"
        try:
            if kind == "string":
                body = quote(value.decode())
            elif kind == "hash":
                flat = map(quote, map(_decode, chain.from_iterable(value)))
                body = "{" + _comma(map(_colon, zip(flat, flat))) + "}"
            elif kind == "list" or kind == "set":
                body = "[" + _comma(map(quote, map(_decode, value))) + "]"
            elif kind == "zset":
                members, scores = zip(*value)
                body = _comma(map(_number, scores))
                if "n" in body:  # inf, nan
                    add(_careful(entry))
                    continue
                body = "[[" + "],[".join(map(_comma, zip(map(quote, map(_decode, members)), body.split(",")))) + "]]"
            else:
                add(_careful(entry))
                continue
        except UnicodeDecodeError:
            body, encoding = _value(entry, _marked), "base64"
        add(
            f'{{"db":{database},"key":{name},"type":"{kind}","value":{body},'
            f'"expire_at_ms":{"null" if at is None else at},"encoding":"{encoding}"}}\n'
        )
    text = "".join(lines)
    if len(text) > LONGEST and any(len(line) > LONGEST for line in lines):
        text = "".join(line if len(line) <= LONGEST else _careful(entry) for line, entry in zip(lines, entries))
    return text.encode()


class Writer:
    """Writes a jsonl file: what `encode` and then `end` return, one behind the other."""

    def __init__(self) -> None:
        self._empty = True

    def encode(self, entries: Sequence[Entry]) -> bytes:
        """The bytes of some entries."""
        self._empty = self._empty and not entries
        return encode(entries)

    def end(self) -> bytes:
        """The last bytes: a blank line where there was no key, to be told from a file that was cut to nothing."""
        return b"\n" if self._empty else b""
