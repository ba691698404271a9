# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Backups of one version restored into another: data that shows every difference, and the table in the guide."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import redis
from ansible_collections.globalscope.redis_backup.plugins.module_utils._repository.manifest import seal

from support.checkout import ROOT
from support.dataset import HOUR_MS, load_multiframe, raw, send, server_version
from support.modules import ModuleFailed
from support.restores import Backup, Restore, back_up
from support.servers import BUILD_NAMES, Build, RedisProcess, build_named
from support.values import Values, differences, snapshot_server, snapshot_values

GUIDE = ROOT / "docs/docsite/rst/guide_migration.rst"
LOADS = "as it is"
CONVERTS = "converted"
WITHOUT = {"functions": "without functions", "hash_field_ttls": "without hash field expiry"}
_LIBRARY = b"#!lua name=second\nredis.register_function('two', function(keys, args) return 2 end)\n"


def knows_field_ttls(build: Build) -> bool:
    """Whether fields of a hash can expire there."""
    return build.version >= ((9, 0) if build.flavour == "valkey" else (7, 4))


def load_everything(client: redis.Redis, build: Build) -> None:
    """Every type in every encoding, in three databases, with what only some versions know."""
    load_multiframe(client, 60, 20)
    first = raw(client)
    now = int(time.time() * 1000)
    commands: list[tuple[Any, ...]] = [
        ("SET", "expired:string", "x", "PX", 200),
        ("RPUSH", "expired:list", *range(100)),
        ("PEXPIREAT", "expired:list", now + 200),
        ("ZADD", "zset:zero", "-0", "minus", "0", "plus"),
        ("HSET", b"hash:\xff\x00\r\n", *(f"field {n}" for n in range(2000))),
        ("XADD", "stream:trimmed", "1-1", "a", "b"),
        ("XADD", "stream:trimmed", "2-1", "a", "b"),
        ("XDEL", "stream:trimmed", "2-1"),
        ("XADD", "stream:emptied", "5-0", "a", "b"),
        ("XDEL", "stream:emptied", "5-0"),
        ("XGROUP", "CREATE", "stream:trimmed", "readers", "1-1"),
    ]
    if knows_field_ttls(build):
        commands += [
            ("HSET", "ttl:small", "stays", "1", "ends", "2", "ended", "3"),
            ("HPEXPIREAT", "ttl:small", now + HOUR_MS, "FIELDS", 1, "ends"),
            ("HPEXPIREAT", "ttl:small", now + 200, "FIELDS", 1, "ended"),
            ("HSET", "ttl:large", *(word for n in range(700) for word in (f"f{n}", f"v{n}"))),
            ("HPEXPIREAT", "ttl:large", now + 2 * HOUR_MS, "FIELDS", 3, "f1", "f2", "f3"),
            ("HSET", "ttl:ended", "only", "1"),
            ("HPEXPIREAT", "ttl:ended", now + 200, "FIELDS", 1, "only"),
        ]
    send(first, commands)
    if server_version(client) >= (7,):
        first.execute_command("FUNCTION", "LOAD", _LIBRARY)
    with raw(client, 9) as tenth:
        send(tenth, [("SET", b"\x00tenth\xff", b"\x80"), ("PEXPIREAT", b"\x00tenth\xff", now + HOUR_MS)])
        send(tenth, [("SADD", f"set:{n}", *range(n)) for n in range(1, 40)])


@dataclass(frozen=True)
class Source:
    """A backup of a build, and the functions of the server that was backed up."""

    build: Build
    backup: Backup
    functions: Mapping[str, str]


class Sources:
    """One backup of each build, made at its first use."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._made: dict[str, Source] = {}

    def of(self, name: str) -> Source:
        if name not in self._made:
            build = build_named(name)
            with tempfile.TemporaryDirectory(prefix="redis-backup-donor-") as directory:
                donor = RedisProcess(build, Path(directory, "donor")).start()
                try:
                    load_everything(donor.client(), build)
                    values = snapshot_values(donor.client(), portable=True)
                    backup = back_up(donor, self._root / name, values=values)
                    self._made[name] = Source(build, backup, snapshot_server(donor.client())["functions"])
                finally:
                    donor.destroy()
        return self._made[name]


def expected(values: Values, *, field_ttls: bool) -> Values:
    """What a later reading of the same data gives: nothing that is past its time, and fields that do not expire."""
    now = time.time() * 1000
    found: Values = {}
    for key, (kind, value, at) in values.items():
        if at is not None and at <= now:
            continue
        if kind == "hash":
            left = {f: v for f, v in value.items() if not isinstance(v, tuple) or v[1] > now}
            value = left if field_ttls else {f: v[0] if isinstance(v, tuple) else v for f, v in left.items()}
            if not left:
                continue
        found[key] = (kind, value, at)
    return found


def compare(source: Source, target: RedisProcess, *, field_ttls: bool = True, functions: bool = True) -> list[str]:
    """What differs between the backup and a running server that it was restored into, in words."""
    client = target.client()
    found = expected(snapshot_values(client, portable=True), field_ttls=field_ttls)
    words = differences(expected(source.backup.values, field_ttls=field_ttls), found)
    has = snapshot_server(client)["functions"]
    if has != (source.functions if functions else {}):
        words.append(f"the functions {sorted(source.functions)} became {sorted(has)}")
    return words


def bring_over(source: Source, target: RedisProcess) -> tuple[str, Restore, dict[str, Any]]:
    """Stage a backup as easily as can be: in which way that went, as the guide's table says it, and the result."""
    restore = Restore(target, source.backup, convert_executable=str(source.build.executable))
    drop: list[str] = []
    try:
        return LOADS, restore, restore.step("staged")
    except ModuleFailed as refusal:
        assert "convert: true" in refusal.msg, refusal
    while True:
        try:
            result = restore.step("staged", convert=True, convert_drop=drop)
            return ", ".join([CONVERTS, *(WITHOUT[name] for name in sorted(drop))]), restore, result
        except ModuleFailed as refusal:
            wanted = re.search(r"convert_drop: \[(\w+)\]", refusal.msg)
            if wanted is None or wanted[1] in drop:
                raise
            assert names_all(refusal.msg, lost_names(source, wanted[1])), refusal
            drop.append(wanted[1])


def lost_names(source: Source, what: str) -> list[str]:
    """What a refusal must name."""
    if what == "functions":
        return sorted(source.functions)
    return ["ttl:small", "ttl:large"]


def names_all(message: str, names: Iterable[str]) -> bool:
    """Whether a message tells every one of these names."""
    return all(name in message for name in names)


def guide_table() -> dict[tuple[str, str], str]:
    """The table in the guide: (backup of, restored into): how."""
    rows = re.findall(r"^   \* - (.*\n(?:     - .*\n)+)", GUIDE.read_text(encoding="utf-8"), re.MULTILINE)
    cells = [[cell.strip(" -`\n") for cell in row.splitlines()] for row in rows]
    head, *lines = [[cell for cell in row if cell] for row in cells]
    return {(_build(line[0]), _build(name)): cell for line in lines for name, cell in zip(head[1:], line[1:])}


def _build(title: str) -> str:
    """`Redis 7.0` as the name of a build."""
    return title.lower().replace(" ", "-")


def all_pairs() -> list[tuple[str, str]]:
    """Every build with every build."""
    return [(source, target) for source in BUILD_NAMES for target in BUILD_NAMES]


def reseal(source: Backup, place: Path, change: Callable[[dict[str, Any]], None]) -> Backup:
    """A copy of a backup's repository with another manifest, sealed anew."""
    root = place / "repository"
    shutil.copytree(source.repository["path"], root)
    copy = Backup({**source.repository, "path": str(root)}, source.label, source.values, source.made)
    path = copy.folder / "manifest.json"
    document = json.loads(path.read_bytes())
    change(document)
    path.write_bytes(seal(document))
    return copy


def at_work(directory: Path) -> list[int]:
    """Processes that work below a directory."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                if str((entry / "cwd").readlink()).startswith(str(directory)):
                    found.append(int(entry.name))
    return found
