# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lines of a log that tell why."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.globalscope.redis_backup.plugins.module_utils._server.logfile import reasons, telling_lines

LOG = """\
41:M 22 Nov 2026 23:51:40.001 * Ready to accept connections
41:M 22 Nov 2026 23:51:41.123 # Can't save in background: fork: Cannot allocate memory
47:C 22 Nov 2026 23:51:42.001 # Write error saving DB on disk(rdbSaveRio): No space left on device
41:M 22 Nov 2026 23:51:42.101 # Background saving error
41:M 22 Nov 2026 23:51:43.001 - DB 0: 1 keys (0 volatile) in 4 slots HT.
"""


def test_telling_lines() -> None:
    assert telling_lines(LOG) == [
        "Can't save in background: fork: Cannot allocate memory",
        "Write error saving DB on disk(rdbSaveRio): No space left on device",
        "Background saving error",
    ]
    assert telling_lines(LOG, 1) == ["Background saving error"]
    assert telling_lines("") == telling_lines("41:M 22 Nov 2026 23:51:40.001 * Ready") == []


@pytest.mark.parametrize(
    "line",
    [
        "Failed opening the temp RDB file temp-9.rdb (in server root dir /srv) for saving: Permission denied",
        "Fatal error loading the DB, check server logs. Exiting.",
        "Short read or OOM loading DB. Unrecoverable error, aborting now.",
        "Wrong RDB checksum expected: (929b) but got (929c). Aborting now.",
        "MISCONF Errors writing to the AOF file",
    ],
)
def test_known_refusals(line: str) -> None:
    assert telling_lines(f"9:M 22 Nov 2026 23:51:42.101 # {line}\n") == [line]


def test_reasons(tmp_path: Path) -> None:
    log = tmp_path / "redis.log"
    log.write_text("9:M 22 Nov 2026 23:51:42.101 # Fatal error\n" + "x" * 40_000 + "\n" + LOG)
    assert reasons(str(log), 1) == " (its log says: Background saving error)"
    assert "Fatal" not in reasons(str(log), 99)


@pytest.mark.parametrize("path", [None, "", "redis.log", "/nowhere/redis.log", "/"])
def test_no_log_no_reason(path: str | None) -> None:
    assert reasons(path) == ""
