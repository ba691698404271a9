# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The check tool beside a stream, played here by small scripts."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from ansible_collections.globalscope.redis_backup.plugins.module_utils._errors import ProgramError
from ansible_collections.globalscope.redis_backup.plugins.module_utils._snapshot.checker import RdbChecker, check_file

COUNTS = r"printf '[offset %s] \\o/ RDB looks OK! \\o/\n[info] 2 keys read\n' $(wc -c)"


def tool(path: Path, script: str) -> str:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return str(path)


def test_what_passes_is_read_whole(tmp_path: Path) -> None:
    data = memoryview(os.urandom(1_000_000))
    with RdbChecker(tool(tmp_path / "t", COUNTS)) as checker:
        for at in range(0, len(data), 99_999):
            checker.write(data[at : at + 99_999])
        report = checker.finish()
    assert (report.ok, report.keys, report.end_offset, checker.broken) == (True, 2, 1_000_000, False)


def test_a_tool_that_gives_up_early_is_told(tmp_path: Path) -> None:
    refuses = "echo '[offset 9] Wrong signature trying to load DB from file'; exit 1"
    with RdbChecker(tool(tmp_path / "t", refuses)) as checker:
        for _piece in range(100):
            checker.write(memoryview(bytes(100_000)))
        assert checker.broken
        checker.write(memoryview(b"more"))
        report = checker.finish()
    assert not report.ok
    assert report.words == "Wrong signature trying to load DB from file"


def test_a_tool_that_hangs_is_ended(tmp_path: Path) -> None:
    with pytest.raises(KeyError), RdbChecker(tool(tmp_path / "t", "exec sleep 60")) as checker:
        pid = checker._process.pid
        raise KeyError
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_file(tmp_path: Path) -> None:
    (tmp_path / "dump.rdb").write_bytes(b"x" * 77)
    fd = os.open(tmp_path / "dump.rdb", os.O_RDONLY)
    report = check_file(tool(tmp_path / "t", COUNTS), fd)
    os.close(fd)
    assert (report.ok, report.end_offset) == (True, 77)


def test_no_program() -> None:
    with pytest.raises(ProgramError, match="/nonexistent cannot be started as redis-check-rdb"):
        RdbChecker("/nonexistent")
