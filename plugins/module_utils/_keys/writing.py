# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The commands that put one key into a server, packed, and what their replies mean. Pure.

A key is there whole or not at all, and an existing one is only replaced where that is wanted:

- a string is one SET, a DUMP payload one RESTORE;
- another type is built within one MULTI ... EXEC: under `replace` in place of the old key, else under a temporary name
  that RENAMENX gives up for the key's own, or UNLINK removes;
- a value in parts is built under a temporary name over several batches, each of which renews the time after which the
  server removes it by itself, and gets its own name at the end.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from .._server.compatibility import knows_field_ttls
from .._server.connection import ReplyError
from .entry import DUMP, Entry
from .forms import Forms, forms_of, name_of, pack
from .stream_writing import Command, closing_commands, dangling, entry_commands

CREATED, EXISTED, VANISHED = "created", "existed", "vanished"
SAFETY_MS = 15 * 60 * 1000
"""How long a temporary key with part of a large value outlives the last word we said to it."""

SINGLE = ("string", DUMP)
"""The kinds that one command writes whole."""

_FEW = 100  # elements, up to which a value is small
_MANY = 1000  # so many words at most in one command


@dataclass(frozen=True)
class Target:
    """What the commands must know of the server that is written to."""

    flavour: str
    version: tuple[int, ...]
    cluster: bool = False

    @property
    def field_expiries(self) -> bool:
        """Whether fields of a hash can expire there."""
        return knows_field_ttls(self.flavour, self.version)

    @property
    def stream_counts(self) -> bool:
        """Whether it counts what was added to a stream and read of it."""
        return self.version >= (7, 0)


class Packed(NamedTuple):
    """Commands, ready to be sent, and the number of replies they get."""

    data: bytes
    replies: int


def score_text(score: float) -> bytes:
    """A score that the server reads back as the very same double."""
    return repr(float(score)).encode()


@dataclass(frozen=True)
class Writer:
    """Entries to commands for one server. `names` are commands under another name (rename-command), by lower case."""

    target: Target
    replace: bool = False
    names: Mapping[str, str] = field(default_factory=dict)

    forms: Forms = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "forms", forms_of(self.names, replace=self.replace))

    def packed(self, commands: Iterable[Command]) -> Packed:
        """Several commands, packed under the names they have there."""
        known = [
            pack([name_of(command[0], self.names), *command[1:]] if self.names else command) for command in commands
        ]
        return Packed(b"".join(known), len(known))

    # --- whole values ---

    def whole(self, entry: Entry, temporary: bytes) -> Packed:
        """A value in one piece. `temporary` is a name that nobody else has, of the same slot."""
        if entry.kind in SINGLE:
            return Packed(self.single(entry), 1)
        if entry.kind != "stream" and len(entry.value) <= _FEW and not entry.field_expiries:
            return self._small(entry, temporary)
        return self._transaction(self._whole_commands(entry, entry.key if self.replace else temporary, temporary))

    def single(self, entry: Entry) -> bytes:
        """A value of a kind in SINGLE: one command, which gets one reply of one line."""
        key, kind, value, at = entry[1:5]
        if kind == DUMP:
            moment = at or 0
            parts = (len(key), key, len(str(moment)), moment, len(value), value)
            return self.forms.restore % parts
        if at is None:
            return self.forms.set % (len(key), key, len(value), value)
        parts = (len(key), key, len(value), value, len(str(at)), at)
        return self.forms.set_until % parts

    def _whole_commands(self, entry: Entry, name: bytes, temporary: bytes) -> Iterator[Command]:
        if self.replace:
            yield [b"UNLINK", name]
        yield from self._build(entry, name)
        if entry.expires_at is not None:
            yield [b"PEXPIREAT", name, b"%d" % entry.expires_at]
        if not self.replace:
            yield [b"RENAMENX", temporary, entry.key]
            yield [b"UNLINK", temporary]

    def _small(self, entry: Entry, temporary: bytes) -> Packed:
        """As `_whole_commands`, for the many keys with few elements: made at once."""
        _database, key, kind, value, at = entry[:5]
        forms = self.forms
        name = key if self.replace else temporary
        if kind == "hash":
            value = [word for pair in value for word in pair]
        elif kind == "zset":
            value = [word for member, score in value for word in (score_text(score), member)]
        built = pack([forms.add[kind], name, *value])
        expiry = forms.pexpireat % (len(name), name, len(str(at)), at) if at is not None else b""
        if self.replace:
            first = forms.unlink % (len(key), key)
            return Packed(b"".join((forms.multi, first, built, expiry, forms.execute)), 4 + bool(expiry))
        last = forms.renamenx % (len(name), name, len(key), key) + forms.unlink % (len(name), name)
        return Packed(b"".join((forms.multi, built, expiry, last, forms.execute)), 5 + bool(expiry))

    def verdict(self, entry: Entry, replies: Sequence[Any]) -> str | ReplyError:
        """What became of `whole`, by its replies."""
        last = replies[-1]
        if len(replies) == 1:
            return _single_verdict(last)
        if isinstance(last, ReplyError):
            return next((reply for reply in replies if isinstance(reply, ReplyError)), last)
        if not isinstance(last, list):
            return ReplyError("", "EXEC", "ERR the transaction was given up")
        return _renamed(last) if not self.replace else _first_error(last) or CREATED

    # --- values in parts ---

    def part(self, entry: Entry, temporary: bytes) -> Packed:
        """One part, added to the temporary key. The first begins with what a run that died has left there."""
        first = [b"UNLINK" if entry.part == 0 else b"EXISTS", temporary]
        safety = [b"PEXPIRE", temporary, b"%d" % SAFETY_MS]
        return self._transaction([first, *self._build(entry, temporary), safety])

    def part_verdict(self, entry: Entry, replies: Sequence[Any]) -> str | ReplyError:
        """CREATED for a part that is there, VANISHED where the earlier ones are not any more."""
        last = replies[-1]
        if not isinstance(last, list):
            return next((reply for reply in replies if isinstance(reply, ReplyError)), _GIVEN_UP)
        return _first_error(last) or (CREATED if entry.part == 0 or last[0] else VANISHED)

    def finish(self, entry: Entry, temporary: bytes) -> Packed:
        """The temporary key gets its expiry and the key's name. `entry` is the last part."""
        at = entry.expires_at
        expiry = [b"PERSIST", temporary] if at is None else [b"PEXPIREAT", temporary, b"%d" % at]
        rename = [b"RENAME" if self.replace else b"RENAMENX", temporary, entry.key]
        return self._transaction([expiry, rename, [b"UNLINK", temporary]])

    def finish_verdict(self, replies: Sequence[Any]) -> str | ReplyError:
        """What became of `finish`."""
        last = replies[-1]
        if not isinstance(last, list):
            return next((reply for reply in replies if isinstance(reply, ReplyError)), _GIVEN_UP)
        return _renamed(last)

    # --- shared ---

    def _transaction(self, commands: Iterable[Command]) -> Packed:
        data, count = self.packed(commands)
        return Packed(b"%b%b%b" % (self.forms.multi, data, self.forms.execute), count + 2)

    def _build(self, entry: Entry, name: bytes) -> Iterator[Command]:
        """The commands that add a value, or part of one, to the key `name`."""
        value = entry.value
        if entry.kind == "string":
            yield [b"APPEND", name, value]
        elif entry.kind in ("list", "set"):
            yield from _chunks(b"RPUSH" if entry.kind == "list" else b"SADD", name, value)
        elif entry.kind == "zset":
            yield from _chunks(b"ZADD", name, [word for member, score in value for word in (score_text(score), member)])
        elif entry.kind == "hash":
            yield from _chunks(b"HSET", name, [word for pair in value for word in pair])
            if entry.field_expiries and self.target.field_expiries:
                yield from _field_expiries(name, entry.field_expiries)
        elif entry.kind == "stream":
            missing = dangling(value) if not entry.part and not entry.more else ()
            yield from entry_commands(name, value, missing)
            if not entry.more:
                yield from closing_commands(name, value, missing, counts=self.target.stream_counts)
        else:
            raise ValueError(f"no commands are known for {entry.kind}")


def pending_lost(entry: Entry, replies: Sequence[Any]) -> int:
    """How many pending entries of a stream its last part could not claim, by the replies to `part`."""
    if entry.kind != "stream":
        return 0
    claimed = sum(len(reply) for reply in replies[-1] if isinstance(reply, list))
    return sum(len(group.pending) for group in entry.value.groups) - claimed


_GIVEN_UP = ReplyError("", "EXEC", "ERR the transaction was given up")


def _chunks(name: bytes, key: bytes, words: Sequence[bytes]) -> Iterator[Command]:
    if len(words) <= _MANY:
        yield [name, key, *words]
        return
    for start in range(0, len(words), _MANY):
        yield [name, key, *words[start : start + _MANY]]


def _field_expiries(name: bytes, expiries: Sequence[tuple[bytes, int]]) -> Iterator[Command]:
    alike: dict[int, list[bytes]] = {}
    for each, at in expiries:
        alike.setdefault(at, []).append(each)
    for at, fields in alike.items():
        for start in range(0, len(fields), _MANY):
            some = fields[start : start + _MANY]
            yield [b"HPEXPIREAT", name, b"%d" % at, b"FIELDS", b"%d" % len(some), *some]


def _first_error(replies: Sequence[Any]) -> ReplyError | None:
    return next((reply for reply in replies if isinstance(reply, ReplyError)), None)


def _single_verdict(reply: Any) -> str | ReplyError:
    if isinstance(reply, ReplyError):
        return EXISTED if reply.code == "BUSYKEY" else reply
    return EXISTED if reply is None else CREATED


def _renamed(replies: Sequence[Any]) -> str | ReplyError:
    """The verdict of a transaction that ends with a RENAME or RENAMENX and an UNLINK."""
    rename = replies[-2]
    error = _first_error(replies[:-2])
    if error is not None:
        return error
    if isinstance(rename, ReplyError):
        return VANISHED if "no such key" in rename.message.lower() else rename
    return CREATED if rename else EXISTED
