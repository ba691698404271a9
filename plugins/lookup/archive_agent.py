# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The archiving agent, packed from the collection's own library into one file that Python runs."""

from __future__ import annotations

DOCUMENTATION = r"""
name: archive_agent
short_description: Pack the agent that archives AOFs into one file
version_added: 0.1.0
author: GlobalScope contributors (@globalscope)
description:
  - Packs the parts of the collection's library that the agent needs as a zipapp on the controller, and returns the path
    of that file. It lies in Ansible's temporary directory and goes with it.
  - The same collection always gives the same bytes.
options:
  _terms:
    description: None are needed.
    type: list
    elements: str
"""

EXAMPLES = r"""
- name: Install the agent
  ansible.builtin.copy:
    src: "{{ lookup('globalscope.redis_backup.archive_agent') }}"
    dest: /usr/local/lib/redis_backup/redis-archive
    mode: "0755"
"""

RETURN = r"""
_raw:
  description: The path of the file.
  type: list
  elements: path
"""

import hashlib
import io
import os
import zipfile
from typing import Any

from ansible import constants as C
from ansible.plugins.lookup import LookupBase

PACKAGE = "globalscope_redis_backup"
PARTS = ("", "_agent", "_aof", "_archive", "_config", "_repository", "_server", "_snapshot")
_MAIN = f"from {PACKAGE}._agent.main import main\nraise SystemExit(main())\n"
_LEFT_OUT = ("_argspec.py", "_argspec_repository.py")


def packed(library: str) -> bytes:
    """The zipapp of the library in this folder: stored and dated alike by every Python. Pure but for reading."""
    files = {"__main__.py": _MAIN.encode(), f"{PACKAGE}/__init__.py": b""}
    for part in PARTS:
        folder = os.path.join(library, part)
        for name in os.listdir(folder):
            if name.endswith(".py") and name not in _LEFT_OUT:
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


class LookupModule(LookupBase):
    """lookup('globalscope.redis_backup.archive_agent')"""

    def run(self, terms: list[str], variables: dict[str, Any] | None = None, **kwargs: Any) -> list[str]:
        """The path of the packed agent."""
        library = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "module_utils")
        data = packed(library)
        path = os.path.join(C.DEFAULT_LOCAL_TMP, f"redis-archive-{hashlib.sha256(data).hexdigest()[:16]}")
        if not os.path.exists(path):
            temporary = f"{path}.{os.getpid()}"
            with open(temporary, "wb") as stream:
                stream.write(data)
            os.rename(temporary, path)
        return [path]
