# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names and places in a repository. Pure.

    <instance>/instance.json
    <instance>/backup/<label>/{dump.rdb.zst[.age], server.tar.zst[.age], SHA256SUMS, manifest.json}
    <instance>/backup/<label>/verification/<time>-<level>.json
    <instance>/backup/<label>/acknowledged.json
"""

from __future__ import annotations

import re
import time

MANIFEST = "manifest.json"
SUMS = "SHA256SUMS"
VERIFICATION = "verification"
ACKNOWLEDGED = "acknowledged.json"
IDENTITY = "instance.json"
LOCK = ".lock"
PART = ".part"
_LABEL = re.compile(r"(\d{8}T\d{6})Z_(rdb|aof)")
_INSTANCE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


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
    """Whether a file is added to a backup that exists already, by what verifies or acknowledges it."""
    names = path.split("/")
    return names[-1] == ACKNOWLEDGED or VERIFICATION in names[-2:-1]


def backups_path(instance: str) -> str:
    return f"{instance}/backup"


def backup_path(instance: str, label: str) -> str:
    return f"{instance}/backup/{label}"


def stored_name(content: str, *, encrypted: bool) -> str:
    """The name under which `content` (dump.rdb, server.tar) is stored."""
    return f"{content}.zst" + (".age" if encrypted else "")


def sums_text(files: list[tuple[str, str]]) -> str:
    """SHA256SUMS of (name, hexadecimal digest) pairs, as `sha256sum -c` reads it."""
    return "".join(f"{digest}  {name}\n" for name, digest in files)
