# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: freeze_report
short_description: Tell what a run has frozen or thawed, and what not
version_added: 0.1.0
author: GlobalScope contributors (@globalscope)
description:
  - Composes the rows of a run's table from what the role P(globalscope.redis_backup.redis_freeze#role) left in the
    variables of its hosts. Hosts that did not answer are told, too.
positional: groups
options:
  _input:
    description: The variables of the hosts, as C(hostvars) holds them.
    type: list
    elements: dict
    required: true
  groups:
    description: What P(globalscope.redis_backup.topology#filter) gave.
    type: list
    elements: dict
    required: true
  state:
    description: What was wanted, V(frozen) or V(thawed).
    type: str
    default: frozen
  check:
    description: Whether it was only looked at.
    type: bool
    default: false
  missing:
    description: Whether servers that the inventory lacks are a failure (V(fail)), or are only told (V(warn)).
    type: str
    default: fail
  timeout:
    description: How many seconds an instance was given, to be told.
    type: float
    default: 0
"""

EXAMPLES = r"""
- name: Note what was done
  ansible.builtin.set_fact:
    redis_freeze_told: >-
      {{ ansible_play_hosts_all | map('extract', hostvars)
         | globalscope.redis_backup.freeze_report(redis_common_groups) }}
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
    frozen:
      description: The instances that are frozen.
      type: list
      elements: str
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ansible_collections.globalscope.redis_backup.plugins.module_utils._freeze.report import freeze_report as compose


def freeze_report(
    hosts: Iterable[Mapping[str, Any]], groups: Iterable[Mapping[str, Any]], **options: Any
) -> dict[str, Any]:
    """See the documentation of the filter."""
    entries = [
        {
            "host": variables["inventory_hostname"],
            "names": variables.get("redis_freeze_names") or [],
            "results": variables.get("redis_freeze_results") or [],
        }
        for variables in hosts
    ]
    return compose(entries, groups, **options)


class FilterModule:
    """The filters of this file."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"freeze_report": freeze_report}
