# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The flat file `{key: value}`: an object of strings, as `json.dump(data, file, indent=2)` writes it.

It holds text only: no other type, no expiry, no database, and two databases would overwrite each other's keys in it.
What is written is byte for byte what json.dump writes. What is read is any JSON object, of any size, in bounded memory.

JSON has no raw newline within a string. So whole lines of a file with one member a line are members, and are parsed in
one go; where that fails (or the file is one line) it goes member by member.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable, Iterator, Sequence
from json import JSONDecodeError, JSONDecoder
from json.decoder import scanstring  # type: ignore[attr-defined]
from json.encoder import encode_basestring_ascii as quote
from typing import Any

from .entry import PART_BYTES, Entry, Item, shown
from .lines import LONGEST, Chunk

_SPACE = re.compile(r"[ \t\r\n]*").match
_NEAR = 16  # an error so near to the end of the window may be for want of more: \\u12, fals, -Infinit


class _Odd:
    """A JSON value of which a string cannot be made."""

    def __init__(self, what: str) -> None:
        self.what = what


def _whole(digits: str) -> Any:
    try:
        return int(digits)
    except ValueError:
        return _Odd("a number of thousands of digits")


def _broken(digits: str) -> Any:
    number = float(digits)
    return _Odd("a number too large for a double") if number in (float("inf"), float("-inf")) else number


def _constant(name: str) -> Any:
    return _Odd(f"{name}, which is no JSON")


_decoder: Any = JSONDecoder(object_pairs_hook=tuple, parse_int=_whole, parse_float=_broken, parse_constant=_constant)
_scan = _decoder.scan_once


class _BrokenError(ValueError):
    """The text is no JSON from some place on."""


class _Text:
    """The text of a file, a window of it at a time: `text`, of which all before `at` is done with."""

    def __init__(self, chunks: Iterable[Chunk]) -> None:
        self.text = ""
        self.at = 0
        self.ended = False
        self._chunks = iter(chunks)
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._done = 0
        self._wrong = ""

    def more(self) -> None:
        """Read on, so much that the window at least doubles. Raises _BrokenError."""
        pieces = [self.text[self.at :]]
        wanted = max(2 * len(pieces[0]), 1)
        self._done += self.at
        self.text, self.at = "", 0
        size = len(pieces[0])
        if self._wrong:
            raise _BrokenError(self._wrong)
        while size < wanted and not self.ended and not self._wrong:
            chunk = next(self._chunks, None)
            try:
                piece = self._decoder.decode(b"" if chunk is None else bytes(chunk), chunk is None)
                self.ended = chunk is None
            except UnicodeDecodeError as error:
                # What stands before it is still read.
                start = int(error.start)
                piece = error.object[:start].decode()
                self._wrong = f"no UTF-8: byte 0x{error.object[start]:02x} behind character "
                self._wrong += str(self._done + size + len(piece))
            pieces.append(piece)
            size += len(piece)
            if size > LONGEST:
                raise _BrokenError(f"a value of more than {LONGEST} letters")
        self.text = "".join(pieces)

    def where(self, at: int) -> int:
        """The place in the file, in characters from 1."""
        return self._done + at + 1

    def skip_space(self) -> str:
        """The next letter that is no white space; "" at the end."""
        while True:
            match = _SPACE(self.text, self.at)
            self.at = match.end() if match else self.at
            if self.at < len(self.text):
                return self.text[self.at]
            if self.ended:
                return ""
            self.more()


def _number(value: Any) -> bytes:
    """A number as SET of redis-py writes it. Raises ValueError with the reason against any other value."""
    if value is None:
        raise ValueError("its value is null: the key was gone when the file was written")
    if isinstance(value, bool):
        raise ValueError(f"its value is {str(value).lower()}, which no client writes: put it in quotes")
    if isinstance(value, (int, float)):
        return repr(value).encode()
    if isinstance(value, _Odd):
        raise ValueError(f"its value is {value.what}")
    kind = "an object" if isinstance(value, tuple) else "an array"
    raise ValueError(f"its value is {kind}: this format holds strings only")


def _item(number: int, name: str, value: Any) -> Item:
    try:
        key = name.encode()
        if isinstance(value, str):
            entry = tuple.__new__(Entry, (0, key, "string", value.encode(), None, (), 0, False))
            return tuple.__new__(Item, (number, entry, ""))
    except UnicodeEncodeError:
        named = shown(name.encode("utf-8", "surrogatepass"))
        return Item(number, None, f"key {named}: its name or value is no text: it has half a surrogate pair")
    try:
        return Item(number, Entry(0, key, "string", _number(value)), "")
    except ValueError as error:
        return Item(number, None, f"key {shown(key)}: {error}")


def _line_members(source: _Text) -> Any:
    """The members on the whole lines of the window, but the last of them; None when they cannot be had in one go."""
    end = source.text.rfind(",\n", source.at)
    if end < 0:
        return None
    lines = source.text[source.at : end]
    try:
        found, stop = _scan("{" + lines + "}", 0)
    except (StopIteration, ValueError, RecursionError):
        return None
    if stop != len(lines) + 2 or not found:
        return None
    source.at = end + 1
    return found


def _member(source: _Text) -> tuple[str, Any]:
    """The next member: its name and value; behind it the window stands at a comma or the closing brace."""
    while True:
        text = source.text
        try:
            if text[source.at : source.at + 1] != '"':
                raise JSONDecodeError("a name in double quotes should stand", text, source.at)
            name, at = scanstring(text, source.at + 1, True)
            at = _end_of_space(text, at)
            if text[at : at + 1] != ":":
                raise JSONDecodeError("a colon should stand", text, at)
            at = _end_of_space(text, at + 1)
            value, at = _scan(text, at)
            at = _end_of_space(text, at)
            if text[at : at + 1] not in (",", "}"):
                raise JSONDecodeError("a comma or a brace should stand", text, at)
            source.at = at
            return name, value
        except StopIteration as stop:
            what, at, open_string = "a value should stand", int(stop.value), False
        except JSONDecodeError as error:
            what, at, open_string = error.msg, error.pos, error.msg.startswith("Unterminated")
        except RecursionError:
            raise _BrokenError("a value is nested too deeply") from None
        if not source.ended and (open_string or at > len(text) - _NEAR):
            source.more()
            continue
        if at >= len(text) or open_string:
            raise _BrokenError("the file ends in the middle of a key")
        raise _BrokenError(f"no JSON: {what} at character {source.where(at)}")


def _end_of_space(text: str, at: int) -> int:
    match = _SPACE(text, at)
    return match.end() if match else at


def _members(source: _Text) -> Iterator[Item]:
    """The keys of the object, behind its opening brace, to its closing one. Raises _BrokenError."""
    number = 0
    tried = -1
    if source.skip_space() == "}":
        source.at += 1
        return
    while True:
        # Lines that cannot be had in one go are not tried again before more of the file has been read.
        found = _line_members(source) if source.where(0) != tried else None
        if found is not None:
            for name, value in found:
                number += 1
                yield _item(number, name, value)
        else:
            tried = source.where(0)
            name, value = _member(source)
            number += 1
            yield _item(number, name, value)
            source.at += 1
            if source.text[source.at - 1] == "}":
                return
        if not source.skip_space():
            raise _BrokenError("the file ends in the middle: its closing brace is missing")


def read(chunks: Iterable[Chunk]) -> Iterator[Item]:
    """The keys of a file, one by one. A value that is no string is told and passed over; broken JSON ends it."""
    source = _Text(chunks)
    number = 0
    try:
        first = source.skip_space()
        if first != "{":
            why = f"it begins with {first!r}" if first else "it is empty"
            raise _BrokenError(f"the file is no JSON object of keys and values: {why}")
        source.at += 1
        for item in _members(source):
            number = item.number
            yield item
        if source.skip_space():
            raise _BrokenError(f"more text behind the closing brace, at character {source.where(source.at)}")
    except _BrokenError as error:
        yield Item(number + 1, None, str(error))


def why_unfit(entry: Entry) -> str | None:
    """The reason why the flat file cannot hold an entry; None when it can."""
    if entry.kind != "string":
        return f"it is a {entry.kind}, and the flat file holds strings only"
    if entry.part or entry.more:
        return f"it is larger than {PART_BYTES} bytes, and the flat file holds whole values only"
    for data, what in ((entry.key, "name"), (entry.value, "value")):
        try:
            data.decode()
        except UnicodeDecodeError:
            return f"its {what} is binary, and the flat file holds text only"
    return None


class Writer:
    """Writes a flat file: what `encode` and then `end` return, one behind the other."""

    def __init__(self) -> None:
        self._before = "{\n  "

    def encode(self, entries: Sequence[Entry]) -> bytes:
        """The bytes of some entries."""
        if not entries:
            return b""
        members = [f"{quote(entry[1].decode())}: {quote(entry[3].decode())}" for entry in entries]
        text = self._before + ",\n  ".join(members)
        self._before = ",\n  "
        return text.encode("ascii")

    def end(self) -> bytes:
        """The last bytes."""
        return b"{}" if self._before.startswith("{") else b"\n}"
