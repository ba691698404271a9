# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: backup_report
short_description: Tell what a run has backed up, and what not
version_added: 0.1.0
author: GlobalScope contributors (@globalscope)
description:
  - Composes the rows of a run's table from what the role P(globalscope.redis_backup.redis_backup#role) left in the
    variables of its hosts. Hosts that did not answer are told, too.
positional: plan, active
options:
  _input:
    description: The variables of the hosts, as C(hostvars) holds them.
    type: list
    elements: dict
    required: true
  plan:
    description: What P(globalscope.redis_backup.backup_plan#filter) gave.
    type: dict
    required: true
  active:
    description: Names of the hosts that still take part in the play.
    type: list
    elements: str
    required: true
  timeout:
    description: How many seconds a backup was given, to be told.
    type: float
    default: 0
"""

EXAMPLES = r"""
- name: Remember what was done
  ansible.builtin.set_fact:
    redis_backup_told: >-
      {{ ansible_play_hosts_all | map('extract', hostvars)
         | globalscope.redis_backup.backup_report(redis_backup_plan, ansible_play_hosts) }}
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
    ask:
      description: For each host, the instances whose newest backup is to be looked for, as they got none.
      type: dict
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

from ansible_collections.globalscope.redis_backup.plugins.module_utils._topology.backed_up import (
    backup_report as compose,
)


def backup_report(
    hosts: Iterable[Mapping[str, Any]], plan: Mapping[str, Any], active: Collection[str], timeout: float = 0
) -> dict[str, Any]:
    """See the documentation of the filter."""
    entries = [
        {
            "host": variables["inventory_hostname"],
            "active": variables["inventory_hostname"] in active,
            "looked": "redis_common_members" in variables,
            "results": variables.get("redis_backup_results"),
            "known": {
                each["redis_backup_name"]: each.get("rpo_seconds")
                for each in (variables.get("redis_backup_known") or {}).get("results", [])
            },
        }
        for variables in hosts
    ]
    return compose(entries, plan, timeout)


class FilterModule:
    """The filters of this file."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"backup_report": backup_report}
