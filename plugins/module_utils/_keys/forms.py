# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Commands as RESP: packed, and with holes that `%` fills, which is much faster for very many small ones. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

_WORD = b"$%d\r\n%b\r\n"  # its length and itself
_NUMBER = b"$%d\r\n%d\r\n"


def pack(words: Sequence[bytes]) -> bytes:
    """One command."""
    return b"*%d\r\n%b" % (len(words), b"".join([b"$%d\r\n%b\r\n" % (len(word), word) for word in words]))


class Forms(NamedTuple):
    """Commands with holes under the names they have on a server: each word takes its length, then itself.

    `set` takes key and value, `set_until` also the moment, `restore` key, moment and payload; `around` is what stands
    before the first hole of `restore` and behind its last. `multi` and `execute` take nothing. `add` has, by kind, the
    bare name of the command that adds elements.
    """

    set: bytes
    set_until: bytes
    restore: bytes
    around: tuple[bytes, bytes]
    multi: bytes
    execute: bytes
    unlink: bytes
    pexpireat: bytes
    renamenx: bytes
    add: Mapping[str, bytes]


def name_of(command: bytes, names: Mapping[str, str]) -> bytes:
    """The name by which a server knows a command. `names` has those that were renamed, by lower case."""
    found = names.get(command.decode().lower())
    return found.encode() if found else command


def forms_of(names: Mapping[str, str], *, replace: bool) -> Forms:
    """The forms for one server. `replace`: a key that exists is replaced, else nothing is done to it."""

    def form(command: bytes, *words: bytes) -> bytes:
        name = name_of(command, names)
        parts = [each if each in (_WORD, _NUMBER) else _filled(each) for each in words]
        return b"*%d\r\n%b%b" % (len(words) + 1, _filled(name), b"".join(parts))

    option = (b"REPLACE",) if replace else ()
    restore = form(b"RESTORE", _WORD, _NUMBER, _WORD, b"ABSTTL", *option)
    begin, _holes, end = (restore % (0, b"", 0, 0, 0, b"")).partition(b"0\r\n\r\n$0\r\n0\r\n$0\r\n")
    condition = () if replace else (b"NX",)
    return Forms(
        set=form(b"SET", _WORD, _WORD, *condition),
        set_until=form(b"SET", _WORD, _WORD, *condition, b"PXAT", _NUMBER),
        restore=restore,
        around=(begin, end),
        multi=pack([name_of(b"MULTI", names)]),
        execute=pack([name_of(b"EXEC", names)]),
        unlink=form(b"UNLINK", _WORD),
        pexpireat=form(b"PEXPIREAT", _WORD, _NUMBER),
        renamenx=form(b"RENAMENX", _WORD, _WORD),
        add={
            kind: name_of(command, names)
            for kind, command in (("list", b"RPUSH"), ("set", b"SADD"), ("zset", b"ZADD"), ("hash", b"HSET"))
        },
    )


def _filled(word: bytes) -> bytes:
    """A word that is no hole."""
    return b"$%d\r\n%b\r\n" % (len(word), word.replace(b"%", b"%%"))
