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
import os
from typing import Any

from ansible import constants as C
from ansible.plugins.lookup import LookupBase
from ansible_collections.globalscope.redis_backup.plugins.module_utils._agent.pack import packed


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
