# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: run_report
short_description: Tell what a run has exported or verified, and what not
version_added: 0.1.0
author: GlobalScope contributors (@globalscope)
description:
  - Composes the rows of a run's table from what the role P(globalscope.redis_backup.redis_backup#role) left in the
    variables of its hosts. Hosts that did not answer are told, too.
positional: kind, active
options:
  _input:
    description: The variables of the hosts, as C(hostvars) holds them.
    type: list
    elements: dict
    required: true
  kind:
    description: What was done.
    type: str
    choices: [export, verify]
    required: true
  active:
    description: Names of the hosts that still take part in the play.
    type: list
    elements: str
    required: true
  groups:
    description: The groups, as P(globalscope.redis_backup.topology#filter) gives them.
    type: list
    elements: dict
    default: []
  timeout:
    description: How many seconds each task was given, to be told.
    type: float
    default: 0
  variable:
    description: Which variable says so.
    type: str
    default: ""
"""

EXAMPLES = r"""
- name: Note what was done
  ansible.builtin.set_fact:
    redis_backup_told: >-
      {{ ansible_play_hosts_all | map('extract', hostvars)
         | globalscope.redis_backup.run_report('verify', ansible_play_hosts) }}
  run_once: true
"""

RETURN = r"""
_value:
  description: The report.
  type: dict
  contains:
    rows:
      description: The rows for P(globalscope.redis_backup.run_summary#filter).
      type: list
      elements: dict
    remarks:
      description: What is to be told below them.
      type: list
      elements: str
    failures:
      description: For what each host is to fail, by host.
      type: dict
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

from ansible_collections.globalscope.redis_backup.plugins.module_utils._topology.named import all_shards
from ansible_collections.globalscope.redis_backup.plugins.module_utils._topology.ran import run_report as compose


def run_report(
    hosts: Iterable[Mapping[str, Any]],
    kind: str,
    active: Collection[str],
    groups: Iterable[Mapping[str, Any]] = (),
    timeout: float = 0,
    variable: str = "",
) -> dict[str, Any]:
    """See the documentation of the filter."""
    entries = [
        {
            "host": variables["inventory_hostname"],
            "active": variables["inventory_hostname"] in active,
            "asked": variables.get("redis_backup_asked"),
            "ran": variables.get("redis_backup_ran") or {},
        }
        for variables in hosts
    ]
    return compose(kind, entries, all_shards(groups), timeout, variable)


class FilterModule:
    """The filters of this file."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"run_report": run_report}
