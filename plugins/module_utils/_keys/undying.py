# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Data that does not expire while it is read: every expiry time moved a millennium away, and back in what was read.

A server drops what is past its time: an RDB's keys when it loads them, others a moment later or when they are asked
for. As a replica it keeps them, but shows them to nobody. Only while it loads an AOF every key is there for the
commands in that file. So the data is loaded as an AOF that ends with a script: it moves the expiry times of all keys,
and of all fields of hashes.

Two things a script does not see: Redis 6.2 tells of a key that is past its time only that it is; Redis 7.4 and later
hide fields of hashes that are. Where times are needed all the same (`learn`), a replica writes everything as commands,
in which the times stand, and these, moved, take the script's place.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import BinaryIO

from .._aof.manifest import INCREMENT, AofFile, AofManifest
from .._aof.packed import opener_in, place_set
from .._aof.parts import MANIFEST_SUFFIX, AofSet, open_set
from .._aof.resp import encode, read_commands
from .._convert.holder import Holder, open_plain
from .._files import PRIVATE_FILE
from .._server.connection import Server
from .._verify.loaded import AOF_DIR, AOF_FILE
from .entry import Entry

_AWAY = 2**51
"""Keys are moved by so many milliseconds: scripts count in doubles. What expires after that anyway is left alone."""

_FIELDS_AWAY = 2**45  # a thousand years: the servers take twice of that at most
_UNKNOWN = b"unknown"

HIDING = ["replicaof 127.0.0.1 0", "replica-serve-stale-data yes", "aof-use-rdb-preamble no"]
"""Lines that make a server keep what is past its time: a replica of a primary that cannot be, as for a conversion."""

# ARGV: how far keys go, and fields; the database for the report. A scan may show the same twice.
_SCRIPT = b"""
local away, fields_away, unknown = tonumber(ARGV[1]), tonumber(ARGV[2]), 0
local keyspace = redis.call('INFO', 'keyspace')
local function known(key)
  local at = redis.pcall('PEXPIRETIME', key)
  if type(at) == 'number' then return at end
  local left = redis.call('PTTL', key)
  while left > 0 do
    local before = redis.call('TIME')
    left = redis.call('PTTL', key)
    local after = redis.call('TIME')
    local ms = math.floor(before[2] / 1000)
    if before[1] == after[1] and ms == math.floor(after[2] / 1000) then return before[1] * 1000 + ms + left end
  end
  if left == 0 then unknown = unknown + 1 end -- expired, and nothing tells when
  return left
end
local function fields(key)
  local seen, count, cursor = {}, 0, '0'
  repeat
    local reply = redis.call('HSCAN', key, cursor, 'COUNT', '500')
    cursor = reply[1]
    local flat = reply[2]
    for first = 1, #flat, 1000 do
      local names = {}
      for place = first, math.min(first + 999, #flat), 2 do
        local name = flat[place]
        names[#names + 1] = name
        if not seen[name] then seen[name], count = true, count + 1 end
      end
      for place, at in ipairs(redis.call('HPEXPIRETIME', key, 'FIELDS', #names, unpack(names))) do
        if at >= 0 and at < fields_away then
          redis.call('HPEXPIREAT', key, string.format('%.0f', at + fields_away), 'FIELDS', '1', names[place])
        end
      end
    end
  until cursor == '0'
  if count < redis.call('HLEN', key) then unknown = unknown + 1 end
end
for number, rest in string.gmatch(keyspace, 'db(%d+):([^\\r\\n]*)') do
  local volatile = string.find(rest, 'subexpiry=[1-9]') or string.find(rest, 'keys_with_volatile_items=[1-9]')
  if volatile or not string.find(rest, 'expires=0,') then
    redis.call('SELECT', number)
    local cursor = '0'
    repeat
      local reply = redis.call('SCAN', cursor, 'COUNT', '1000')
      cursor = reply[1]
      for _, key in ipairs(reply[2]) do
        local at = known(key)
        if at >= 0 and at < away then redis.call('PEXPIREAT', key, string.format('%.0f', at + away)) end
        if volatile and redis.call('TYPE', key).ok == 'hash' then fields(key) end
      end
    until cursor == '0'
  end
end
redis.call('SELECT', ARGV[3])
redis.call('SET', 'unknown', unknown)
"""


def moving_script(report: int) -> bytes:
    """The commands that move all times while an AOF is loaded. It reports in the database of that number."""
    words = [_SCRIPT, b"0", *(str(number).encode() for number in (_AWAY, _FIELDS_AWAY, report))]
    return encode([b"SELECT", b"0"]) + encode([b"EVAL", *words])


def take_report(server: Server, report: int) -> int:
    """How many times the script could not see; the report is removed."""
    server.call("SELECT", report)
    found = server.call("GET", _UNKNOWN)
    server.call("FLUSHDB")
    server.call("SELECT", 0)
    return int(found)


def learned(holder: Holder) -> Iterator[bytes]:
    """The commands that move the expiry times of all that a replica holds: it is made to write it out as commands."""
    away = {b"PEXPIREAT": _AWAY, b"HPEXPIREAT": _FIELDS_AWAY}
    path = holder.rewrite()
    folder = os.path.join(holder.home, AOF_DIR)
    if os.path.isdir(folder):  # an older base may lie there still
        path = open_set(folder).parts[0].path
    with os.fdopen(open_plain(path), "rb") as stream:
        for command in read_commands(stream):
            words = command.words
            name = words[0].upper()
            if name == b"SELECT":
                yield command.raw
            elif name in away and int(words[2]) < away[name]:
                words[2] = b"%d" % (int(words[2]) + away[name])
                yield encode(words)


def rdb_as_aof(root: str, version: tuple[int, ...]) -> BinaryIO:
    """A new file below `root` for an RDB that a server shall load as its AOF."""
    opener = opener_in(root)
    if version < (7, 0):
        return opener(AOF_FILE)
    placed = place_set(None, AOF_FILE + ".rdb", version, AOF_DIR, AOF_FILE)
    with opener(placed.manifest) as out:
        out.write(placed.text)
    return opener(next(iter(placed.files.values())))


def append_commands(root: str, version: tuple[int, ...], commands: Iterable[bytes]) -> None:
    """End the AOF that lies in `root` with these commands. It is ours still: no server has seen it."""
    if version < (7, 0):
        with open(os.path.join(root, AOF_FILE), "ab") as out:
            out.writelines(commands)
        return
    folder = os.path.join(root, AOF_DIR)
    path = os.path.join(folder, AOF_FILE + MANIFEST_SUFFIX)
    files = _files(open_set(path))
    number = max([each.seq for each in files if each.type == INCREMENT], default=0) + 1
    name = f"{AOF_FILE}.{number}.incr.aof"
    with open(os.path.join(folder, name), "xb", opener=_private) as out:
        out.writelines(commands)
    with open(path, "wb", opener=_private) as out:
        out.write(AofManifest((*files, AofFile(name, number, INCREMENT))).data())


def _files(found: AofSet) -> tuple[AofFile, ...]:
    return found.manifest.files if found.manifest is not None else ()


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC, PRIVATE_FILE)


def as_it_was(entry: Entry) -> Entry:
    """An entry that was read, with its times moved back. Pure."""
    at, fields = entry.expires_at, entry.field_expiries
    if at is None and not fields:
        return entry
    return entry._replace(
        expires_at=None if at is None else _back(at, _AWAY),
        field_expiries=tuple((name, _back(each, _FIELDS_AWAY)) for name, each in fields),
    )


def _back(at: int, away: int) -> int:
    return at - away if away <= at < 2 * away else at
