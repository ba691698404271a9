# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: recovery_report
short_description: Compose the report of a recovery
version_added: 0.1.0
author: GlobalScope contributors (@globalscope)
description:
  - Composes the report of a recovery from what its phases left, with the RTO and RPO that were reached against their
    targets.
options:
  _input:
    description:
      - The run. V(instance), V(host), V(source_instance), V(tier), V(targets), V(phases), V(ended_at), V(assessment),
        V(backup), V(checks), V(restore), V(outcome), V(error), V(started_by). Of a replication group also V(group), its
        plan, V(members), what became of each, and V(served_at), when the primary served again.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Show the RTO
  ansible.builtin.debug:
    msg: "{{ (redis_disaster_recovery_run | globalscope.redis_backup.recovery_report).rto_seconds }}"
"""

RETURN = r"""
_value:
  description: The report. RV(_value.rto_seconds) and RV(_value.rpo_seconds) are V(null) where they were not reached.
  type: dict
  contains:
    ok:
      description: Whether the instance serves verified data.
      type: bool
    rto_seconds:
      description: Seconds from the start of the recovery until verified data was served.
      type: float
    rpo_seconds:
      description: Seconds between the recovered data and the failure.
      type: float
    phases:
      description: The phases with their times in seconds.
      type: list
      elements: dict
    checks:
      description: The checks.
      type: list
      elements: dict
"""

from collections.abc import Callable, Mapping
from typing import Any

from ansible_collections.globalscope.redis_backup.plugins.module_utils._recovery.report import recovery_report


class FilterModule:
    """The filters of this file."""

    def filters(self) -> dict[str, Callable[[Mapping[str, Any]], Any]]:
        return {"recovery_report": recovery_report}
