# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""redis-check-rdb beside a stream: it reads what passes, so that the check costs no second reading."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import tempfile
from types import TracebackType
from typing import Any

from .._errors import ProgramError
from .._run import enlarge, environment
from .proof import CheckReport, parse_check_output

TOOL = "redis-check-rdb"
_PATIENCE = 600.0  # seconds without a byte taken


class RdbChecker:
    """A running check of an RDB that is fed to it in pieces, or of the open file `fd`.

    `program` is the server's own executable: under the name redis-check-rdb (argv[0] decides) it is that tool, in the
    server's very version, so that its verdict is the server's.
    """

    def __init__(self, program: str, fd: int | None = None) -> None:
        self._output = tempfile.TemporaryFile()
        self.broken = False
        self.killed = False
        try:
            self._process: subprocess.Popen[bytes] = subprocess.Popen(
                [TOOL, "/dev/stdin"],
                executable=program,
                stdin=subprocess.PIPE if fd is None else fd,
                stdout=self._output,
                stderr=subprocess.STDOUT,
                env=environment(),
                cwd="/",
            )
        except OSError as error:
            self._output.close()
            raise ProgramError(f"{program} cannot be started as {TOOL}: {error.strerror}") from None
        if self._process.stdin is not None:
            enlarge(self._process.stdin)
            os.set_blocking(self._process.stdin.fileno(), False)

    def __enter__(self) -> RdbChecker:
        return self

    def __exit__(self, kind: type[BaseException] | None, _error: Any, _trace: TracebackType | None) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        if self._process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.close()
        self._output.close()

    def write(self, data: memoryview) -> None:
        """Feed the next bytes. A tool that has ended early is noted in `broken`; `finish` tells why."""
        if self.broken or self._process.stdin is None:
            return
        fd = self._process.stdin.fileno()
        try:
            while data:
                try:
                    data = data[os.write(fd, data) :]
                except BlockingIOError:
                    self._wait_for_room(fd)
        except BrokenPipeError:
            self.broken = True

    def _wait_for_room(self, fd: int) -> None:
        room = select.poll()
        room.register(fd, select.POLLOUT)
        if not room.poll(_PATIENCE * 1000):
            raise self._hangs()

    def _hangs(self) -> ProgramError:
        return ProgramError(
            f"{TOOL} has not gone on for {_PATIENCE:g} s and was stopped",
            untouched="Nothing of the server's was changed",
            hint="Look whether the host swaps or its disk hangs, then run again",
        )

    def finish(self) -> CheckReport:
        """Close the input and wait for the verdict. Raises ProgramError when the tool hangs."""
        patience = None  # what reads a file of its own shows no progress
        if self._process.stdin is not None:
            patience = _PATIENCE
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.close()
        try:
            code = self._process.wait(patience)
        except subprocess.TimeoutExpired:
            raise self._hangs() from None
        self.killed = code == -signal.SIGKILL  # by somebody, or for want of memory: no verdict
        self._output.seek(0)
        return parse_check_output(self._output.read().decode("utf-8", "replace"), code)


def check_file(program: str, fd: int) -> CheckReport:
    """The verdict of redis-check-rdb on an open file."""
    with RdbChecker(program, fd) as checker:
        return checker.finish()
