# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One file of a set read once as it passes: an RDB by the server's own redis-check-rdb, commands by our reader.

A base may be either, or an RDB with commands behind it (6.2's one file, and what 7.0 and newer make of it). Where the
RDB ends is told by the tool, which by then has been fed a little more: that is kept, and read again as commands.
"""

from __future__ import annotations

import contextlib
from collections import deque
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from .._errors import DamagedError, ProgramError
from .._snapshot.checker import RdbChecker
from .._snapshot.proof import CheckReport
from .._snapshot.rdb_header import HEADER_BYTES, RdbHeader, parse_header
from .resp import Reader

_MAGIC = (b"REDIS", b"VALKEY")
_MAGIC_BYTES = 6
_KEPT = 8 * 1024 * 1024  # above what the pipe to the tool and one chunk can hold


@dataclass(frozen=True)
class FileFound:
    """What one file holds. `whole` is the offset behind its last whole command outside a transaction.

    `report` and `header` are those of the RDB it begins with, if it does. `wrong` says what is damaged, if anything;
    bytes behind `whole` that begin a command or a transaction are not.
    """

    size: int
    whole: int
    commands: int = 0
    first_stamp: int | None = None
    last_stamp: int | None = None
    backward: bool = False
    report: CheckReport | None = None
    header: RdbHeader | None = None
    wrong: str = ""

    @property
    def torn(self) -> bool:
        """Whether a command, or a transaction, is cut at its end."""
        return not self.wrong and self.whole < self.size


class FileScan:
    """Feed it a file's bytes in pieces, then ask `finish`. `program` is a server's executable."""

    def __init__(self, program: str, name: str) -> None:
        self._program = program
        self._name = name
        self._size = 0
        self._head = b""
        self._checker: RdbChecker | None = None
        self._report: CheckReport | None = None
        self._reader: Reader | None = None
        self._kept: deque[bytes] = deque()
        self._kept_bytes = 0
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> FileScan:
        return self

    def __exit__(self, _kind: type[BaseException] | None, _error: Any, _trace: TracebackType | None) -> None:
        self._stack.close()

    @property
    def hopeless(self) -> bool:
        """It is damaged: no more bytes can change that."""
        if self._report is not None and not self._report.ok:
            return True
        return self._reader is not None and self._reader.damage is not None

    def write(self, data: memoryview) -> None:
        """The next bytes."""
        self._size += len(data)
        if self._reader is not None:
            self._reader.feed(data)
            return
        if len(self._head) < HEADER_BYTES:
            self._head += bytes(data[: HEADER_BYTES - len(self._head)])
        if self._report is not None:
            return
        self._keep(data)
        if self._checker is None:
            if len(self._head) < _MAGIC_BYTES:
                return
            self._begin()
        else:
            self._checker.write(data)
        if self._checker is not None and self._checker.broken:
            self._end_of_rdb()

    def _keep(self, data: memoryview) -> None:
        self._kept.append(bytes(data))
        self._kept_bytes += len(data)
        while self._kept_bytes - len(self._kept[0]) >= _KEPT:
            self._kept_bytes -= len(self._kept.popleft())

    def _begin(self) -> None:
        """Enough is here to tell what it is."""
        if self._head.startswith(_MAGIC):
            self._checker = self._stack.enter_context(RdbChecker(self._program))
            for piece in self._kept:
                self._checker.write(memoryview(piece))
        else:
            self._read_from(0)

    def _read_from(self, offset: int) -> None:
        """Read what is kept as commands, from `offset` of the file on."""
        self._reader = Reader(offset)
        at = self._size - self._kept_bytes
        if at > offset:
            raise RuntimeError(f"{self._name} was not kept from byte {offset} on, where its RDB ends")
        for piece in self._kept:
            if at + len(piece) > offset:
                self._reader.feed(memoryview(piece)[max(offset - at, 0) :])
            at += len(piece)
        self._kept.clear()

    def _end_of_rdb(self) -> None:
        """The tool has read its fill: its verdict, and the commands behind the RDB."""
        if self._checker is None:
            return
        self._report = report = self._checker.finish()
        if self._checker.killed:
            raise ProgramError(f"redis-check-rdb was killed while it read {self._name}", hint="Look at its memory")
        self._stack.close()
        if report.ok and 0 <= report.end_offset < self._size:
            self._read_from(report.end_offset)

    def finish(self) -> FileFound:
        """What it holds, now that all of it has passed."""
        if self._report is None and self._checker is not None:
            self._end_of_rdb()
        elif self._checker is None and self._reader is None:
            self._read_from(0)  # too short to tell
        report, reader = self._report, self._reader
        if report is not None and not report.ok:
            return FileFound(self._size, 0, report=report, wrong=f"redis-check-rdb refuses its RDB: {report.words}")
        header = None
        if report is not None:
            try:
                header = parse_header(self._head, self._name)
            except DamagedError as error:
                return FileFound(self._size, 0, report=report, wrong=error.what)
        if reader is None:
            return FileFound(self._size, self._size, report=report, header=header)
        reader.finish()
        damage = reader.damage
        return FileFound(
            size=self._size,
            whole=reader.whole,
            commands=reader.commands,
            first_stamp=reader.first_stamp,
            last_stamp=reader.last_stamp,
            backward=reader.backward,
            report=report,
            header=header,
            wrong=f"at byte {damage.offset}: {damage.what}" if damage is not None else "",
        )
