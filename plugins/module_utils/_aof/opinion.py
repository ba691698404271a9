# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""redis-check-aof as a second opinion, where it can be trusted: on copies, on one file of commands at a time.

It opens what it checks for writing, so it never gets the real file. An RDB is not for it: on Valkey 9 it takes one for
damaged commands; redis-check-rdb reads that. Its --fix is never used.
"""

from __future__ import annotations

import os
import re
import tempfile
from typing import Any

from .._files import remove_tree
from .._run import run
from .check import AofReport, FileReport
from .cut import copy_file
from .parts import AofSet

TOOL = "redis-check-aof"


def ask(program: str, aof_set: AofSet, report: AofReport) -> dict[str, Any]:
    """What redis-check-aof says of each file of commands, and whether it says what our reader says.

    Only as many bytes are copied as our reader read. Raises ProgramError and OSError.
    """
    asked, differences = [], []
    folder = tempfile.mkdtemp(prefix=".redis_backup-check-", dir=aof_set.directory)
    try:
        paths = {part.name: part.path for part in aof_set.parts}
        for file in report.files:
            unreadable = file.missing or (file.damage and not file.ok_up_to)
            if file.name not in paths or unreadable or not file.size or file.rdb_bytes:
                continue
            copy = os.path.join(folder, "copy.aof")
            try:
                copy_file(paths[file.name], copy, file.size)
            except FileNotFoundError:  # a rewrite has deleted it meanwhile
                continue
            done = run([TOOL, copy], executable=program, timeout=None, check=False)
            os.unlink(copy)
            asked.append(file.name)
            words = _difference(file, done.stdout.decode("utf-8", "replace"), done.returncode)
            if words:
                differences.append(f"{file.name}: {words}")
    finally:
        remove_tree(folder)
    return {"tool": TOOL, "files": asked, "agrees": not differences, "differences": differences}


def _difference(file: FileReport, output: str, code: int) -> str:
    """In words, where the tool differs from our reader; empty where it does not. Pure."""
    if (code == 0) != (file.words() is None):
        return f"it ended with {code} ({' | '.join(output.split(chr(10))[-3:]).strip()[:200]})"
    found = re.search(r"ok_up_to=(\d+)", output)
    if file.words() is not None and found and int(found.group(1)) != file.ok_up_to:
        return f"it is good up to byte {found.group(1)}, not {file.ok_up_to}"
    return ""
