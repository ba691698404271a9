# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A damaged AOF repaired where that is a decision without doubt, and refused with the choices where it is not.

The end of the last file can be cut off, at the price of what stands there, which is told. Behind damage in an earlier
file there are whole files: to drop them has to be asked for. A base that is damaged is no AOF any more. Of a manifest,
a missing end of line and empty lines are mended.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import Any

from .._errors import AofError
from .._times import in_words
from .check import AofReport, FileReport, read_file
from .manifest import AofManifest, ManifestError, parse_manifest
from .parts import INCREMENT, AofSet, open_plain
from .truncate import CutPlan, plan_cut

_UNTOUCHED = "Nothing was changed"
_CHUNK = 1024 * 1024
_STAMP = re.compile(rb"\r\n#TS:([0-9]{1,12})(?=\r\n)")
_COMMAND = re.compile(rb"\r\n\*[0-9]{1,6}\r\n\$[0-9]{1,9}\r\n")
_REACH = 64  # bytes that one of these may be long


@dataclass(frozen=True)
class Lost:
    """What a repair drops. `commands` counts what can still be told apart; `seconds` is None without timestamps."""

    bytes: int
    commands: int
    seconds: int | None

    def document(self) -> dict[str, Any]:
        """As the module returns it."""
        return {"bytes": self.bytes, "commands": self.commands, "seconds": self.seconds}

    def words(self) -> str:
        """As half a sentence."""
        time = "" if self.seconds is None else f", {in_words(self.seconds)} by its timestamps"
        return f"{self.bytes} bytes, {self.commands} whole commands in them{time}"


def mend_manifest(data: bytes) -> tuple[AofManifest, str] | None:
    """The manifest that was meant and what was wrong, in words; None when nothing is wrong. Pure.

    Raises ManifestError when it is damaged beyond what has but one meaning.
    """
    try:
        parse_manifest(data)
    except ManifestError as error:
        lines = [line for line in data.split(b"\n") if line.strip()]
        if not lines:
            raise
        try:
            mended = parse_manifest(b"".join(line + b"\n" for line in lines))
        except ManifestError:
            raise error from None
        return mended, str(error)
    return None


def plan_fix(aof_set: AofSet, report: AofReport, *, drop_later: bool) -> CutPlan | None:
    """How to cut a set so that a server starts; None when nothing is wrong. Raises AofError. Pure."""
    bad = report.bad
    if bad is None:
        return None
    number = report.files.index(bad)
    restore = "Restore a backup, or recover to a time"
    if bad.kind != INCREMENT and (report.later or bad.missing or (bad.damage and bad.damage.offset < bad.rdb_bytes)):
        raise _refused(f"the base {bad.name} is damaged ({bad.words()})", restore)
    if bad.missing and not number:
        raise _refused(f"{bad.name} is missing, and nothing stands before it", restore)
    if bad.kind != INCREMENT and bad.damage and not bad.ok_up_to:
        raise _refused(f"{bad.name} is damaged from its beginning ({bad.words()})", restore)
    behind = [file for file in report.later if file.size or file.missing]
    if (behind or bad.missing) and not drop_later:
        what = f"{len(behind)} files follow, with {sum(f.commands for f in behind)} commands"
        raise _refused(
            f"{bad.name} is not the last file and is damaged ({bad.words()}); {what}"
            if behind
            else f"{bad.name} is missing",
            f"{restore}, to lose nothing; or, with drop_later: true, keep what stands before the damage and drop all "
            "that came after it",
        )
    return plan_cut(aof_set, number, bad.ok_up_to)


def require_small(lost: Lost, limit: int) -> None:
    """Raise AofError when more would be cut than is allowed. Pure."""
    if lost.bytes > limit:
        raise _refused(
            f"a repair would cut off {lost.words()}; that is more than max_truncate_bytes ({limit})",
            "Restore a backup or recover to a time; or allow it with max_truncate_bytes",
        )


def what_is_lost(aof_set: AofSet, report: AofReport, plan: CutPlan) -> Lost:
    """What lies behind the cut: read where it can be read, and searched for what looks like a command elsewhere."""
    bad = report.bad
    if bad is None:
        return Lost(0, 0, None)
    part = aof_set.parts[report.files.index(bad)]
    commands, newest = (bad.open_commands, bad.last_stamp)
    if bad.damage and not bad.missing:
        commands, stamp = search(part.path, bad.ok_up_to)
        newest = stamp if newest is None else max(newest, stamp or newest)
    later = report.later
    commands += sum(file.commands for file in later)
    newest = max((s for s in [newest, *(file.last_stamp for file in later)] if s is not None), default=None)
    good = [file.last_stamp for file in report.files[: report.files.index(bad)] if file.last_stamp is not None]
    last = _last_before(part.path, bad) if not bad.missing else None
    last = last if last is not None else good[-1] if good else None
    seconds = None if last is None else max((newest or last) - last, 0)
    return Lost(report.truncated_bytes, commands, seconds)


def search(path: str, start: int) -> tuple[int, int | None]:
    """How many commands seem to stand behind byte `start`, and the newest timestamp that seems to."""
    count, kept = 0, b""
    newest: int | None = None
    with open_plain(path) as stream:
        latest = os.fstat(stream.fileno()).st_mtime + 1
        stream.seek(max(start - 2, 0))
        while True:
            data = stream.read(_CHUNK)
            buffer = kept + data
            # What may be the beginning of a match is left for the next round.
            end = len(buffer) - _REACH if data else len(buffer)
            at = 0
            for found in _COMMAND.finditer(buffer):
                if found.start() >= end:
                    break
                count, at = count + 1, found.end()
            for stamp in _STAMP.finditer(buffer):
                if stamp.start() < end and int(stamp.group(1)) <= latest:  # others are somebody's value
                    newest = max(newest or 0, int(stamp.group(1)))
            if not data:
                return count, newest
            kept = buffer[max(end, at, 0) :]


def _last_before(path: str, file: FileReport) -> int | None:
    """The last timestamp that stays in a file: not one in the transaction that goes."""
    if file.last_stamp is None or not file.open_commands:
        return file.last_stamp
    with open_plain(path) as stream:
        kept = FileReport(file.name, file.kind, file.ok_up_to)
        return read_file(stream, kept, "", start=file.rdb_bytes).last_stamp


def _refused(what: str, hint: str) -> AofError:
    return AofError(what, untouched=_UNTOUCHED, hint=hint)
