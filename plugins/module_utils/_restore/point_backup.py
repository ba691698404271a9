# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A backup of an AOF laid out, and cut at a second or before a command: for moments that the archive does not give."""

from __future__ import annotations

import os

from .._aof.cut import cut_in_place
from .._aof.packed import ENGINE
from .._aof.parts import AofSet, begins_with_rdb, open_set, read_into
from .._aof.resp import Reader, Watch
from .._aof.truncate import plan_cut, plan_truncation
from .._errors import AofError, RestoreError
from .._repository.manifest import Manifest
from .._repository.store import Store
from .._snapshot.checker import check_file
from .aof import Loader, fetch_set
from .point_cut import Decision, Position
from .point_fetch import Target
from .point_plan import Point
from .request import Options


def lay_backup(store: Store, manifest: Manifest, point: Point, target: Target, options: Options) -> Decision:
    """Write a backup's AOF, and cut it at the point. Raises RedisBackupError."""
    data = next(file for file in manifest.files if file.kind == ENGINE)
    loader = Loader(target.program, target.title, (0, 0))
    fetch_set(store, manifest, data, target.root, target.version, target.names, loader, options)
    dirname, filename = target.names
    several = os.path.join(target.root, dirname, f"{filename}.manifest")
    path = several if os.path.exists(several) else os.path.join(target.root, filename)
    recovered = manifest.snapshot_time
    aof_set = open_set(path)
    if point.second is not None:
        try:
            truncation = plan_truncation(aof_set, target.program, point.second)
        except AofError as error:
            raise RestoreError(
                f"{manifest.label} of {manifest.instance} cannot give {point.words}: {error.what}",
                untouched="The live data was not touched",
                hint=error.hint,
            ) from None
        if truncation is not None:
            cut_in_place(aof_set, truncation.plan, originals=False, seconds=0.0)
            aof_set = open_set(path)
        recovered = float(point.second)
    end = Position(len(aof_set.parts) - 1, os.path.getsize(aof_set.parts[-1].path))
    if not point.command:
        return Decision(end, recovered, 0.0, "timestamps" if point.second is not None else "end")
    found = _last(aof_set, point, target.program)
    if found is None:
        return Decision(end, recovered, 0.0, "timestamps")
    number, offset, stamp = found
    cut_in_place(aof_set, plan_cut(aof_set, number, offset), originals=False, seconds=0.0)
    return Decision(Position(number, offset), float(stamp), 0.0, "timestamps", stamp)


def _last(aof_set: AofSet, point: Point, program: str) -> tuple[int, int, int] | None:
    """The last command that matches: the number of its part, the offset before it, and its second."""
    found: tuple[int, int, int] | None = None
    second = 0
    for number, part in enumerate(aof_set.parts):
        watch = Watch(point.command, point.key)
        with open(part.path, "rb") as stream:
            begins = check_file(program, stream.fileno()).end_offset if begins_with_rdb(stream) else 0
            stream.seek(begins)
            reader = Reader(begins, watch=watch)
            read_into(reader, stream)
        if watch.last is not None:
            stamp = watch.last.stamp if watch.last.stamp is not None else second
            found = (number, watch.last.offset, stamp)
        second = reader.last_stamp if reader.last_stamp is not None else second
    return found
