# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is left of an instance on its host: files, and when its unit ended. Looking only."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass

from .._errors import DamagedError
from .._restore.data_dir import data_entries
from .._server.instance import Instance
from .._server.programs import unit_properties
from .._snapshot.rdb_header import HEADER_BYTES, parse_header
from .._times import now


@dataclass(frozen=True)
class DataFile:
    """A file of the data set on disk: bytes, when it was last written (UTC seconds), and whether it holds no data."""

    name: str
    size: int
    mtime: float
    blank: bool = False


def is_blank(name: str, head: bytes, size: int) -> bool:
    """Whether a file of the data set holds no data: empty, a manifest, or an RDB without a key or function. Pure."""
    if not size or name.endswith(".manifest"):
        return True
    try:
        return parse_header(head, name).empty and size <= HEADER_BYTES
    except DamagedError:
        return False


def data_files(instance: Instance) -> list[DataFile] | None:
    """The files of the data set that are on disk; None where the data directory is not known or cannot be read."""
    directory = instance.paths.dir
    if not directory or (os.path.isdir(directory) and not os.access(directory, os.R_OK | os.X_OK)):
        return None
    found: list[DataFile] = []
    if not os.path.isdir(directory):
        return found
    for entry in data_entries(os.listdir(directory), instance.paths.data_names()):
        top = os.path.join(directory, entry)
        paths = [top]
        if os.path.isdir(top):
            paths = [os.path.join(root, name) for root, _dirs, names in os.walk(top) for name in names]
        for path in paths:
            if not os.path.isfile(path):  # a pipe would be waited for
                continue
            try:
                with open(path, "rb") as stream:
                    head, stat = stream.read(HEADER_BYTES), os.fstat(stream.fileno())
            except FileNotFoundError:
                continue
            blank = is_blank(path, head, stat.st_size)
            found.append(DataFile(os.path.relpath(path, directory), stat.st_size, stat.st_mtime, blank))
    return found


def unit_exit_time(service: str) -> float | None:
    """When the unit's main process last ended, UTC seconds; None when it never did, or there is no unit."""
    if not service:
        return None
    text = unit_properties(service, "ExecMainExitTimestampMonotonic").get("ExecMainExitTimestampMonotonic", "0")
    if not text.isdigit() or not int(text):
        return None
    return now() - (time.clock_gettime(time.CLOCK_MONOTONIC) - int(text) / 1e6)
