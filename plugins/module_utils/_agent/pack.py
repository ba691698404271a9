# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The agent packed into one file that Python runs: the parts of the library that it needs, as a zipapp."""

from __future__ import annotations

import io
import os
import zipfile

PACKAGE = "globalscope_redis_backup"
PARTS = ("", "_agent", "_aof", "_archive", "_config", "_repository", "_server", "_snapshot")
_MAIN = f"from {PACKAGE}._agent.main import main\nraise SystemExit(main())\n"
_LEFT_OUT = "_argspec"  # what only modules take


def packed(library: str) -> bytes:
    """The zipapp of the library in this folder: stored and dated alike by every Python. Pure but for reading."""
    files = {"__main__.py": _MAIN.encode(), f"{PACKAGE}/__init__.py": b""}
    for part in PARTS:
        folder = os.path.join(library, part)
        for name in os.listdir(folder):
            if name.endswith(".py") and not name.startswith(_LEFT_OUT):
                with open(os.path.join(folder, name), "rb") as stream:
                    files[os.path.join(PACKAGE, part, name)] = stream.read()
    buffer = io.BytesIO()
    buffer.write(b"#!/usr/bin/python3\n")
    with zipfile.ZipFile(buffer, "a", zipfile.ZIP_STORED) as archive:
        for name in sorted(files):
            entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            entry.external_attr = 0o644 << 16
            entry.create_system = 3
            archive.writestr(entry, files[name])
    return buffer.getvalue()
