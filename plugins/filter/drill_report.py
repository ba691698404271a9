# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: drill_report
short_description: Tell what a run of drills came to
version_added: 0.1.0
author: GlobalScope contributors (@globalscope)
description:
  - Composes the rows of a run's table from what the role P(globalscope.redis_backup.redis_drill#role) left in the
    variables of its hosts.
positional: groups, active
options:
  _input:
    description: The variables of the hosts, as C(hostvars) holds them.
    type: list
    elements: dict
    required: true
  groups:
    description: The groups, as P(globalscope.redis_backup.topology#filter) has them.
    type: list
    elements: dict
    required: true
  active:
    description: Names of the hosts that still take part in the play.
    type: list
    elements: str
    required: true
  enforce:
    description: Whether a missed target is a failure.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Remember what came of the drills
  ansible.builtin.set_fact:
    redis_drill_told: >-
      {{ ansible_play_hosts_all | map('extract', hostvars)
         | globalscope.redis_backup.drill_report(redis_common_groups, ansible_play_hosts) }}
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
    failures:
      description: By host, the drills that failed, each with V(instance), V(reason) and V(drill).
      type: dict
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

from ansible_collections.globalscope.redis_backup.plugins.module_utils._drill.report import drill_report as compose


def drill_report(
    hosts: Iterable[Mapping[str, Any]],
    groups: Sequence[Mapping[str, Any]],
    active: Collection[str],
    enforce: bool = False,
) -> dict[str, Any]:
    """See the documentation of the filter."""
    entries = [
        {
            "host": variables["inventory_hostname"],
            "active": variables["inventory_hostname"] in active,
            "results": variables.get("redis_drill_results"),
        }
        for variables in hosts
    ]
    return compose(entries, groups, enforce=bool(enforce))


class FilterModule:
    """The filters of this file."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"drill_report": drill_report}
