# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names and places in a repository. Pure.

    <instance>/instance.json
    <instance>/backup/<label>/{dump.rdb.zst[.age], server.tar.zst[.age], SHA256SUMS, manifest.json}
    <instance>/backup/<label>/verification/<time>-<level>.json
    <instance>/backup/<label>/acknowledged.json
    <instance>/export/<label>/{keys.jsonl.zst[.age], SHA256SUMS, manifest.json}, and what is added as to a backup
    <instance>/drill/<time>-<what was drilled>-<8 hexadecimal digits>.json
    <instance>/archive/instance.json
    <instance>/archive/<epoch>/<file of the AOF>/<offset>[-last].zst[.age]
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass

MANIFEST = "manifest.json"
SUMS = "SHA256SUMS"
VERIFICATION = "verification"
ACKNOWLEDGED = "acknowledged.json"
IDENTITY = "instance.json"
LOCK = ".lock"
PART = ".part"
_LABEL = re.compile(r"(\d{8}T\d{6})Z_(rdb|aof)")
_EXPORT = re.compile(r"\d{8}T\d{6}Z_([a-z0-9-]{1,40})")
_INSTANCE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_EPOCH = re.compile(r"(\d{8}T\d{6})Z-(\d+)-[0-9a-f]{8}")
_SEGMENT = re.compile(r"(\d{16})(-last)?\.zst(\.age)?")


def valid_instance(name: str) -> bool:
    """Whether `name` can be a folder in every kind of repository."""
    return _INSTANCE.fullmatch(name) is not None


def make_label(seconds: float, engine: str) -> str:
    """`YYYYMMDDTHHMMSSZ_rdb` of UTC seconds."""
    return time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(seconds)) + f"_{engine}"


def is_label(name: str) -> bool:
    """Whether a folder's name is a backup's label."""
    return _LABEL.fullmatch(name) is not None


def is_added(path: str) -> bool:
    """Whether a file is added to a backup or export that exists already, by what verifies or acknowledges it."""
    names = path.split("/")
    return names[-1] == ACKNOWLEDGED or VERIFICATION in names[-2:-1]


def backups_path(instance: str) -> str:
    return f"{instance}/backup"


def backup_path(instance: str, label: str) -> str:
    return f"{instance}/backup/{label}"


# --- exports of keys ---


def valid_export_name(name: str) -> bool:
    """Whether exports can carry the name. Those of the engines are taken: a label alone tells what it belongs to."""
    return bool(export_name(f"00000000T000000Z_{name}"))


def make_export_label(seconds: float, name: str) -> str:
    """`YYYYMMDDTHHMMSSZ_<name>` of UTC seconds."""
    return make_label(seconds, name)


def export_name(label: str) -> str:
    """The name of the exports that one of this label belongs to; empty for what is no export's label."""
    match = _EXPORT.fullmatch(label)
    return match[1] if match and not is_label(label) else ""


def is_export_label(name: str) -> bool:
    """Whether a folder's name is an export's label."""
    return bool(export_name(name))


def exports_path(instance: str) -> str:
    return f"{instance}/export"


def folder_of(instance: str, label: str) -> str:
    """Where the backup or the export of this label lies."""
    return f"{exports_path(instance)}/{label}" if is_export_label(label) else backup_path(instance, label)


def stored_name(content: str, *, encrypted: bool) -> str:
    """The name under which `content` (dump.rdb, server.tar) is stored."""
    return f"{content}.zst" + (".age" if encrypted else "")


def sums_text(files: list[tuple[str, str]]) -> str:
    """SHA256SUMS of (name, hexadecimal digest) pairs, as `sha256sum -c` reads it."""
    return "".join(f"{digest}  {name}\n" for name, digest in files)


# --- drills ---


def drills_path(instance: str) -> str:
    return f"{instance}/drill"


def drill_path(instance: str, name: str) -> str:
    return f"{instance}/drill/{name}.json"


# --- the archive ---


@dataclass(frozen=True)
class ArchiveName:
    """What the name of an archived object tells: which bytes of which file of the AOF begin in it, and at what offset.

    `last` stands behind the last piece of a base: such a base is whole.
    """

    epoch: str
    file: str
    offset: int
    last: bool = False
    encrypted: bool = True


def archive_path(instance: str) -> str:
    return f"{instance}/archive"


def make_epoch(seconds: float, seq: int, token: str) -> str:
    """`YYYYMMDDTHHMMSSZ-<number of the AOF file>-<8 hexadecimal digits>`: epochs sort by their beginning."""
    return time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(seconds)) + f"-{seq}-{token}"


def is_epoch(name: str) -> bool:
    """Whether a folder's name is an epoch of the archive."""
    return _EPOCH.fullmatch(name) is not None


def epoch_key(epoch: str) -> tuple[str, int, str]:
    """What epochs are sorted by: the second of their beginning, then the number of their file."""
    match = _EPOCH.fullmatch(epoch)
    return (match[1], int(match[2]), epoch) if match else ("", 0, epoch)


def epoch_time(epoch: str) -> str:
    """The beginning of an epoch as `2026-11-22T23:51:41Z`, by the host's clock."""
    day, _t, clock = epoch.partition("Z")[0].partition("T")
    return f"{day[:4]}-{day[4:6]}-{day[6:8]}T{clock[:2]}:{clock[2:4]}:{clock[4:6]}Z"


def archived_path(instance: str, name: ArchiveName) -> str:
    """Where the object lies."""
    last, age = "-last" if name.last else "", ".age" if name.encrypted else ""
    return f"{archive_path(instance)}/{name.epoch}/{name.file}/{name.offset:016d}{last}.zst{age}"


def parse_archived(instance: str, path: str) -> ArchiveName | None:
    """What a path of the repository tells; None for what is no archived object."""
    words = path[len(archive_path(instance)) + 1 :].split("/")
    if not path.startswith(f"{archive_path(instance)}/") or len(words) != 3 or not is_epoch(words[0]):
        return None
    match = _SEGMENT.fullmatch(words[2])
    return ArchiveName(words[0], words[1], int(match[1]), bool(match[2]), bool(match[3])) if match else None
