# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""AOFs as real servers write them, ways to damage them, and a real server's verdict on a copy of one."""

from __future__ import annotations

import random
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import redis

from support.dataset import AWKWARD, raw, send, server_version
from support.servers import Build, RedisProcess, ServerFailed
from support.values import Values, snapshot_values
from support.waiting import wait_for, wait_for_aof

FOLDER = "appendonlydir"
SINGLE = "appendonly.aof"
MANIFEST = f"{SINGLE}.manifest"
_LINE = re.compile(r"file (\S+) seq (\d+) type ([bhi])")


def rewrite(client: redis.Redis) -> None:
    """Rewrite the AOF and wait for its end."""
    client.execute_command("BGREWRITEAOF")

    def ended() -> bool:
        info = client.info("persistence")
        return not info["aof_rewrite_in_progress"] and not info["aof_rewrite_scheduled"]

    wait_for(ended, "the rewrite to end")
    assert client.info("persistence")["aof_last_bgrewrite_status"] == "ok"


def fill(client: redis.Redis, round_: int, keys: int = 12) -> None:
    """Some commands of each kind: awkward bytes, look-alikes, a transaction, Lua, other databases, times to live."""
    first, second = raw(client), raw(client, 1)
    send(first, [("SET", f"r{round_}:k{n}", AWKWARD[: 20 * n] or b"x") for n in range(keys)])
    send(first, [("SET", f"r{round_}:stamp", b"v\r\n#TS:1\r\n*1\r\n$5\r\nMULTI\r\n"), ("INCRBY", "total", round_ + 1)])
    with first.pipeline(transaction=True) as transaction:
        transaction.execute_command("RPUSH", "moved", f"{round_}")
        transaction.execute_command("HSET", f"r{round_}:hash", "field", AWKWARD, "n", round_)
        transaction.execute()
    script = "redis.call('SET',KEYS[1],ARGV[1]) redis.call('INCR',KEYS[2])"
    send(first, [("EVAL", script, 2, f"lua:{round_}", "n", "\0")])
    send(first, [("SET", f"r{round_}:ttl", "1", "PX", 3_600_000), ("EXPIRE", f"r{round_}:k1", 7200)])
    send(second, [("SADD", "other", f"round {round_}"), ("SET", f"r{round_}", b"\x00\r\n")])
    second.close()
    first.close()


def make_aof(server: RedisProcess, rewrites: int = 2, write: Callable[[redis.Redis, int], None] = fill) -> Path:
    """Write into a running server with `appendonly yes`, rewriting in between, and end it; its data directory.

    With `aof-disable-auto-gc yes` the files of the past stay: see `chain`.
    """
    client = server.client()
    for round_ in range(rewrites + 1):
        write(client, round_)
        if round_ < rewrites:
            rewrite(client)
    wait_for_aof(client)
    server.stop()
    return server.data_dir


def make_chain(server: RedisProcess, rewrites: int = 2) -> Path:
    """Write into a running server until its AOF holds data in its base and in each of several increments; end it.

    On 6.2 that is one file: an RDB with commands behind it.
    """
    client = server.client()
    fill(client, 100)
    rewrite(client)
    multi = server_version(client) >= (7,)
    if multi:
        client.config_set("aof-disable-auto-gc", "yes")
    make_aof(server, rewrites if multi else 0)
    if multi:
        chain(server.data_dir)
    return server.data_dir


def chain(data_dir: Path) -> Path:
    """Make one set of all files of an AOF directory: the first base, and each incremental file since; the manifest."""
    manifest = data_dir / FOLDER / MANIFEST
    found = _LINE.findall(manifest.read_text())
    bases = sorted((int(seq), name) for name, seq, _kind in found if ".base." in name)
    increments = sorted((int(seq), name) for name, seq, _kind in found if ".incr." in name)
    lines = [f"file {bases[0][1]} seq {bases[0][0]} type b"]
    lines += [f"file {name} seq {seq} type i" for seq, name in increments]
    manifest.write_text("".join(f"{line}\n" for line in lines))
    return manifest


def listed(data_dir: Path) -> list[Path]:
    """The files that hold the data, in their order."""
    if (data_dir / FOLDER).is_dir():
        found = _LINE.findall((data_dir / FOLDER / MANIFEST).read_text())
        found.sort(key=lambda line: (line[2], int(line[1])))
        return [data_dir / FOLDER / name for name, _seq, kind in found if kind != "h"]
    return [data_dir / SINGLE]


@dataclass(frozen=True)
class Verdict:
    """What a server made of a set: whether it serves, where it cut the last file, and what it then holds."""

    starts: bool
    log: str
    cut: int | None = None
    values: Values | None = None


def verdict(build: Build, data_dir: Path, place: Path, *, values: bool = False, truncated: bool = True) -> Verdict:
    """Start a server on a copy of `data_dir`, below the new directory `place`, and end it."""
    place.mkdir()
    server = RedisProcess(build, place, conf={"appendonly": "yes", "aof-load-truncated": "yes" if truncated else "no"})
    shutil.copytree(data_dir, server.data_dir, dirs_exist_ok=True)
    try:
        server.start()
        read = snapshot_values(server.client()) if values else None
        found = re.search(r"Truncating the AOF.*? at offset (\d+)", server.log)
        return Verdict(True, server.log, int(found[1]) if found else None, read)
    except ServerFailed:
        return Verdict(False, server.tail(40))
    finally:
        server.destroy()
        shutil.rmtree(place)


# --- damage ---


@dataclass(frozen=True)
class Words:
    """A file of commands taken apart: where its structure stands, and where only the values of SET do."""

    structure: list[int]
    values: list[int]
    starts: list[int]


def take_apart(data: bytes, at: int = 0) -> Words:
    """The places in a healthy file of commands, from `at` on. Thinks in lines, lengths and nothing else."""
    structure, values, starts = [], [], []

    def line() -> bytes:
        nonlocal at
        end = data.index(b"\r\n", at) + 2
        structure.extend(range(at, end))
        found, at = data[at : end - 2], end
        return found

    while at < len(data):
        if data[at : at + 1] == b"#":
            at = data.index(b"\n", at) + 1
            continue
        starts.append(at)
        words = []
        for _word in range(int(line()[1:])):
            length = int(line()[1:])
            words.append((at, length))
            structure.extend((at + length, at + length + 1))
            at += length + 2
        if data[words[0][0] : words[0][0] + 3].upper() == b"SET":
            values.extend(range(words[2][0], sum(words[2])))
    return Words(structure, values, starts)


def commands_at(data: bytes) -> int:
    """Where the commands of a file begin: behind its RDB, if it has one (each begins by choosing a database)."""
    return data.index(b"*2\r\n$6\r\nSELECT\r\n") if data.startswith((b"REDIS", b"VALKEY")) and b"SELECT" in data else 0


def damage(data_dir: Path, chance: random.Random) -> str:
    """Do one thing to an AOF that a crash, a disk or a hand may do; what it was."""
    multi = (data_dir / FOLDER).is_dir()
    kind, act = chance.choice([*(_MANIFEST_DAMAGE if multi else []), *_RDB_DAMAGE, *(_COMMAND_DAMAGE * 3)])
    files = listed(data_dir)
    if kind == "manifest":
        path = data_dir / FOLDER / MANIFEST
        lines = path.read_bytes().splitlines(keepends=True)
        path.write_bytes(b"".join(act(lines, chance)))
        if act is _missing:
            chance.choice(files).unlink()
        return f"manifest: {act.__name__}"
    path = files[0] if kind == "rdb" else chance.choice([*files[1:], *(files[-1:] * 2)])
    data = bytearray(path.read_bytes())
    begin = commands_at(bytes(data))
    if kind == "rdb":
        end = begin or len(data)
        path.write_bytes(act(data[:end], chance) + data[end:])
    else:
        path.write_bytes(data[:begin] + act(data[begin:], chance))
    return f"{path.name}: {act.__name__}"


def _missing(lines: list[bytes], _chance: random.Random) -> list[bytes]:
    return lines


def _blank_line(lines: list[bytes], chance: random.Random) -> list[bytes]:
    at = chance.randrange(len(lines) + 1)
    return [*lines[:at], chance.choice([b"\n", b"\r\n", b"  \n"]), *lines[at:]]


def _no_newline(lines: list[bytes], _chance: random.Random) -> list[bytes]:
    return [*lines[:-1], lines[-1].rstrip(b"\n")]


def _wrong_type(lines: list[bytes], chance: random.Random) -> list[bytes]:
    at = chance.randrange(len(lines))
    return [re.sub(rb"type \w", b"type x", line) if n == at else line for n, line in enumerate(lines)]


def _swapped(lines: list[bytes], _chance: random.Random) -> list[bytes]:
    return [*lines[:-2], lines[-1], lines[-2]]


def _same_number(lines: list[bytes], _chance: random.Random) -> list[bytes]:
    number = re.search(rb"seq \d+", lines[-2])
    assert number
    return [*lines[:-1], re.sub(rb"seq \d+", number[0], lines[-1])]


def _two_bases(lines: list[bytes], _chance: random.Random) -> list[bytes]:
    return [lines[0], *lines]


def _number_zero(lines: list[bytes], _chance: random.Random) -> list[bytes]:
    return [*lines[:-1], re.sub(rb"seq \d+", b"seq 0", lines[-1])]


def _nothing(_lines: list[bytes], _chance: random.Random) -> list[bytes]:
    return []


def _a_path(lines: list[bytes], _chance: random.Random) -> list[bytes]:
    return [*lines[:-1], lines[-1].replace(b"file ", b"file ./")]


def _half_line(lines: list[bytes], chance: random.Random) -> list[bytes]:
    words = lines[-1].split()
    return [*lines[:-1], b" ".join(words[: chance.randrange(1, 6)]) + b"\n"]


def _no_base(lines: list[bytes], _chance: random.Random) -> list[bytes]:
    return lines[1:]


def _line_gone(lines: list[bytes], _chance: random.Random) -> list[bytes]:
    return [*lines[:1], *lines[2:]]


def _harmless(lines: list[bytes], chance: random.Random) -> list[bytes]:
    ways = [
        [b"# a comment\n", *lines],
        [line.replace(b"\n", b"\r\n") for line in lines],
        [line.replace(b"\n", b" made byhand\n") for line in lines],
        [*lines, b"file gone.aof seq 1 type h\n"],
        [line.replace(b" ", b"   ") for line in lines],
    ]
    return chance.choice(ways)


def _flipped(data: bytearray, chance: random.Random) -> bytearray:
    data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    return data


def _cut(data: bytearray, chance: random.Random) -> bytearray:
    return data[: chance.randrange(1, len(data))]


def _grown(data: bytearray, chance: random.Random) -> bytearray:
    return data + chance.choice([b"junk", b"\0" * 100, b"*1\r\n"])


def _emptied(_data: bytearray, _chance: random.Random) -> bytearray:
    return bytearray()


def _structure_changed(data: bytearray, chance: random.Random) -> bytearray:
    at = chance.choice(take_apart(bytes(data)).structure)
    data[at] = chance.choice([byte for byte in b"*$#0123456789\r\n\0ax" if byte != data[at]])
    return data


def _value_changed(data: bytearray, chance: random.Random) -> bytearray:
    data[chance.choice(take_apart(bytes(data)).values)] ^= 1 << chance.randrange(8)
    return data


def _zeros(data: bytearray, chance: random.Random) -> bytearray:
    """Zeros from somewhere in the structure on, up to the next word whose change only a server can see: a name."""
    found = take_apart(bytes(data))
    changeable = {*found.structure, *found.values}
    at = chance.choice(found.structure)
    while at in changeable:
        data[at] = 0
        at += 1
    return data


def _span_gone(data: bytearray, chance: random.Random) -> bytearray:
    at = chance.randrange(len(data))
    del data[at : at + chance.randrange(1, 300)]
    return data


def _cut_between(data: bytearray, chance: random.Random) -> bytearray:
    return data[: chance.choice(take_apart(bytes(data)).starts)]


def _appended(data: bytearray, chance: random.Random) -> bytearray:
    multi = b"*1\r\n$5\r\nMULTI\r\n"
    ways = [b"\0" * 64, b"*", b"*2\r\n$3\r\nGET", b"\r\n", b"# not ended", b"x", multi, multi + b"*1\r\n$4\r\nPI"]
    return data + chance.choice(ways)


_MANIFEST_DAMAGE = [
    ("manifest", act)
    for act in (
        _missing,
        _missing,
        _blank_line,
        _no_newline,
        _wrong_type,
        _swapped,
        _same_number,
        _two_bases,
        _number_zero,
        _nothing,
        _a_path,
        _half_line,
        _no_base,
        _line_gone,
        _harmless,
        _harmless,
    )
]
_RDB_DAMAGE = [("rdb", act) for act in (_flipped, _flipped, _flipped, _cut, _cut, _grown, _emptied)]
_COMMAND_DAMAGE = [
    ("commands", act)
    for act in (
        _cut,
        _cut_between,
        _structure_changed,
        _structure_changed,
        _value_changed,
        _zeros,
        _span_gone,
        _appended,
        _appended,
    )
]
