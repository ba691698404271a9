# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: run_summary
short_description: One table for a run over many instances
version_added: 0.1.0
author: GlobalScope contributors (@globalscope)
description:
  - Puts what was done with each instance into one table, with what is to be said of them below.
positional: remarks
options:
  _input:
    description:
      - Rows of the instances. V(instance) is its name, V(result) a word or two, V(failed) whether that is bad;
        V(label), V(repository), V(keys), V(size) in bytes, V(seconds), V(rpo_seconds), V(rto_seconds),
        V(target), V(role), V(offset), V(unsaved),
        V(aof) and V(says), as far as they are known. An instance may have several.
    type: list
    elements: dict
    required: true
  remarks:
    description: What else is to be said.
    type: list
    elements: str
    default: []
"""

EXAMPLES = r"""
- name: Show what was done
  ansible.builtin.debug:
    msg: "{{ (redis_common_summary | globalscope.redis_backup.run_summary).table }}"
  run_once: true
"""

RETURN = r"""
_value:
  description: The summary.
  type: dict
  contains:
    ok:
      description: Whether nothing failed.
      type: bool
    results:
      description: How many instances have which result.
      type: dict
    table:
      description: The table as lines of at most 120 columns.
      type: list
      elements: str
"""

from collections.abc import Callable
from typing import Any

from ansible_collections.globalscope.redis_backup.plugins.module_utils._summary import summary


class FilterModule:
    """The filters of this file."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"run_summary": summary}
