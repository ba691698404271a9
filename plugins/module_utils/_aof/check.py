# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Is an AOF whole: would its server load it, and if not, in which file and where does the damage begin?

Each file is read once: an RDB at its beginning by the server's own redis-check-rdb, commands by our reader. What a
server would load but nobody should want (an emptied base, bytes that no server writes) is told as a warning.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import Any, BinaryIO

from .._errors import DamagedError, ProgramError
from .._snapshot.checker import check_file
from .._snapshot.rdb_header import HEADER_BYTES, parse_header
from .._times import to_iso
from .parts import BASE_AOF, BASE_RDB, INCREMENT, AofSet, Part, begins_with_rdb, open_plain, read_into
from .pin import PinnedSet
from .resp import Cut, Damage, Reader

SOUND, TORN, DAMAGED = "sound", "torn", "damaged"


@dataclass(frozen=True)
class FileReport:
    """What one file holds. Sizes and offsets are bytes, stamps UTC seconds.

    `ok_up_to` is behind its last whole command outside of a transaction: all of a sound file. `torn` means that what
    follows begins a command or a transaction which the file's end cuts off; with `note` it is an annotation only, which
    loads, but swallows the command that a server appends. `base_time` is when an RDB in it was made.
    """

    name: str
    kind: str
    size: int = 0
    ok_up_to: int = 0
    rdb_bytes: int = 0
    commands: int = 0
    open_commands: int = 0
    first_stamp: int | None = None
    last_stamp: int | None = None
    backward: bool = False
    base_time: int | None = None
    damage: Damage | None = None
    odd: Damage | None = None
    torn: bool = False
    note: bool = False
    missing: bool = False
    cut: Cut | None = None

    def document(self) -> dict[str, Any]:
        """As the module returns it."""
        return {
            "name": self.name,
            "kind": self.kind,
            "size": self.size,
            "ok_up_to": self.ok_up_to,
            "commands": self.commands,
            "first_timestamp": self.first_stamp,
            "last_timestamp": self.last_stamp,
            "damage": self.words(),
        }

    def words(self) -> str | None:
        """What is wrong with it; None when nothing is."""
        if self.missing:
            return "the file is missing"
        if self.damage:
            return f"at byte {self.damage.offset}: {self.damage.what}"
        if self.torn:
            what = "an annotation" if self.note else "a command or transaction"
            return f"{what} that begins at byte {self.ok_up_to} is cut off by the end of the file, at byte {self.size}"
        return None


@dataclass(frozen=True)
class AofReport:
    """The verdict on a set. `manifest_error` is the reason why its manifest is refused, which ends everything.

    `live` is a set whose server was writing: the beginning of a command at the end is then no fault.
    """

    files: tuple[FileReport, ...]
    manifest_error: str = ""
    manifest_name: str = ""
    live: bool = False

    @property
    def bad(self) -> FileReport | None:
        """The first file at which something is wrong."""
        for number, file in enumerate(self.files):
            last = number == len(self.files) - 1
            if file.missing or file.damage or (file.torn and (not file.note or last) and not (self.live and last)):
                return file
        return None

    @property
    def condition(self) -> str:
        """`sound`; `torn` where only the end of the last file is cut, which a server mends by itself; `damaged`."""
        bad = self.bad
        if self.manifest_error:
            return DAMAGED
        if bad is None:
            return SOUND
        return TORN if bad is self.files[-1] and bad.torn else DAMAGED

    @property
    def valid(self) -> bool:
        return self.condition == SOUND

    @property
    def bad_file(self) -> str | None:
        """The name of the file that is wrong, or of the manifest."""
        return self.manifest_name if self.manifest_error else self.bad.name if self.bad else None

    @property
    def ok_up_to(self) -> int:
        """Up to which byte the bad file is good; of the last file when all is good."""
        file = self.bad or (self.files[-1] if self.files else None)
        return 0 if file is None or self.manifest_error else file.ok_up_to

    @property
    def later(self) -> tuple[FileReport, ...]:
        """The files behind the bad one."""
        bad = self.bad
        return self.files[self.files.index(bad) + 1 :] if bad else ()

    @property
    def truncated_bytes(self) -> int:
        """How many bytes lie behind the last good one: the rest of the bad file, and all later ones."""
        bad = self.bad
        return bad.size - bad.ok_up_to + sum(file.size for file in self.later) if bad else 0

    @property
    def first_stamp(self) -> int | None:
        return next((file.first_stamp for file in self.files if file.first_stamp is not None), None)

    @property
    def last_stamp(self) -> int | None:
        return next((file.last_stamp for file in reversed(self.files) if file.last_stamp is not None), None)

    @property
    def commands(self) -> int:
        return sum(file.commands for file in self.files)

    def why(self) -> str:
        """The verdict in words."""
        bad = self.bad
        if self.manifest_error:
            return f"the manifest {self.manifest_name} is refused: {self.manifest_error}"
        if bad is None:
            files = f"{len(self.files)} files" if len(self.files) != 1 else "one file"
            return f"{files}, {self.commands} commands, nothing wrong"
        where = f"{bad.name}: {bad.words()}"
        if bad.torn and self.later:
            where += f"; no server loads that, for {len(self.later)} more follow"
        if self.condition == TORN:
            where += _why_not_start(bad)
        return where

    def warnings(self) -> list[str]:
        """What loads, but should be looked at."""
        found = []
        if not self.manifest_error and all(file.kind == INCREMENT for file in self.files):
            found.append("the manifest names no base file: a server starts, with what the increments hold alone")
        for file in self.files:
            if file.kind in (BASE_RDB, BASE_AOF) and not file.size and not file.missing:
                found.append(f"{file.name} is empty: a server starts without all the data that was in it")
            if file.odd:
                found.append(f"{file.name}: at byte {file.odd.offset}: {file.odd.what}; no server writes that")
            if file.backward:
                found.append(f"{file.name}: the clock went backwards between two of its timestamps")
            if file.torn and file.note and file is not self.files[-1]:
                found.append(f"{file.name}: {file.words()}; it loads")
        return found

    def document(self) -> dict[str, Any]:
        """As the module returns it."""
        first, last = self.first_stamp, self.last_stamp
        return {
            "valid": self.valid,
            "condition": self.condition,
            "why": self.why(),
            "warnings": self.warnings(),
            "files": [file.document() for file in self.files],
            "bad_file": self.bad_file,
            "ok_up_to": self.ok_up_to,
            "truncated_bytes": self.truncated_bytes,
            "commands": self.commands,
            "size": sum(file.size for file in self.files),
            "first_timestamp": first,
            "last_timestamp": last,
            "first_time": None if first is None else to_iso(first),
            "last_time": None if last is None else to_iso(last),
        }


def _why_not_start(bad: FileReport) -> str:
    """Why a server should not be left to mend a torn end by itself."""
    if bad.rdb_bytes and not bad.commands:
        return f"; do not start Redis on it: it would cut the whole file, the RDB of {bad.rdb_bytes} bytes with it"
    if bad.note:
        return "; a server loads that, and would not start again once it has appended to it"
    if bad.open_commands:
        return "; do not start Redis on it: it could append to a transaction that never ends, and lose what it appends"
    return ""


def check_set(
    aof_set: AofSet, program: str, *, live: bool = False, until: int | None = None, annotations: bool = True
) -> AofReport:
    """Read all files of a set. Raises ProgramError when an RDB cannot be checked, and OSError.

    `live`: a server is writing it. `until` notes where each file would be cut for that second. Redis 6.2 knows no
    `annotations`, and refuses them.
    """
    files = (read_part(part, program, until=until, annotations=annotations) for part in aof_set.parts)
    return AofReport(tuple(files), live=live)


def check_pinned(pinned: PinnedSet, program: str) -> AofReport:
    """Read a set that is pinned while its server writes."""
    files = []
    for file in pinned.files:
        kind = {"b": BASE_AOF, "i": INCREMENT}.get(file.kind, file.kind)
        with open(os.dup(file.fd), "rb") as stream:
            files.append(read_file(stream, FileReport(file.name, kind, file.size), program))
    return AofReport(tuple(files), live=True)


def read_part(
    part: Part, program: str, *, until: int | None = None, start: int = 0, annotations: bool = True
) -> FileReport:
    """Read one file, as many bytes as it has now; its commands from byte `start` on. AofError when it is none."""
    found = FileReport(part.name, part.kind)
    try:
        with open_plain(part.path) as stream:
            found = replace(found, size=os.fstat(stream.fileno()).st_size)
            return read_file(stream, found, program, until=until, start=start, annotations=annotations)
    except FileNotFoundError:
        return replace(found, missing=True)


def read_file(
    stream: BinaryIO,
    found: FileReport,
    program: str,
    *,
    until: int | None = None,
    start: int = 0,
    annotations: bool = True,
) -> FileReport:
    """Read the first `found.size` bytes of an open file."""
    at = start
    head = os.pread(stream.fileno(), min(HEADER_BYTES, found.size), 0)
    if not start and begins_with_rdb(stream):
        found = replace(found, kind=BASE_RDB if found.kind == BASE_AOF else found.kind)
        if not program:
            raise ProgramError(
                f"{found.name} begins with an RDB, which a server's program must check; none was found on this host",
                untouched="Nothing was changed",
                hint="Name the program with executable",
            )
        report = check_file(program, stream.fileno())
        if not report.ok or not 0 <= report.end_offset <= found.size:
            return replace(found, damage=Damage(0, f"{program} refuses its RDB: {report.words}"))
        at = report.end_offset
        try:
            found = replace(found, base_time=parse_header(head, found.name).ctime or None, rdb_bytes=at)
        except DamagedError as error:
            return replace(found, damage=Damage(0, error.what))
    reader = Reader(at, until=until, annotations=annotations)
    stream.seek(at)
    read_into(reader, stream, found.size - at)
    reader.finish()
    torn = reader.torn is not None
    sound = reader.damage is None and not torn
    return replace(
        found,
        ok_up_to=reader.offset if sound else reader.whole,
        commands=reader.commands if sound else reader.whole_commands,
        open_commands=0 if sound else reader.commands - reader.whole_commands,
        first_stamp=reader.first_stamp,
        last_stamp=reader.last_stamp,
        backward=reader.backward,
        damage=reader.damage,
        odd=reader.odd,
        torn=torn,
        note=torn and os.pread(stream.fileno(), 1, reader.whole) == b"#",
        cut=reader.cut,
    )
