# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: drift_report
short_description: Compose the report of a fleet that drifts from its policy, or does not
version_added: 0.1.0
author: GlobalScope contributors (@globalscope)
description:
  - Composes one report from what the role P(globalscope.redis_backup.redis_persistence#role) left in the variables of
    its hosts. Hosts that did not answer, and hosts whose turn has not come, are named.
  - Nothing but the drift, states and messages is taken over; secrets are hidden already where the drift is found.
positional: active
options:
  _input:
    description: The variables of the hosts, as C(hostvars) holds them.
    type: list
    elements: dict
    required: true
  active:
    description: Names of the hosts that still take part in the play.
    type: list
    elements: str
    required: true
  check_mode:
    description: Whether nothing was changed, so that all that was found is still so.
    type: bool
    default: false
  fail_on_drift:
    description: Whether what drifts counts among RV(_value.failures).
    type: bool
    default: false
  preflight:
    description: With V(fail), what in a host would break persistence counts among RV(_value.failures).
    type: str
    default: warn
  generated:
    description: The time to be written into the report.
    type: str
    default: ""
"""

EXAMPLES = r"""
- name: Show what drifts on all hosts of the play
  ansible.builtin.debug:
    msg: >-
      {{ (ansible_play_hosts_all | map('extract', hostvars)
          | globalscope.redis_backup.drift_report(ansible_play_hosts, check_mode=ansible_check_mode)).table }}
  run_once: true
"""

RETURN = r"""
_value:
  description: The report.
  type: dict
  contains:
    ok:
      description: Whether every instance answered and is as the policy says.
      type: bool
    summary:
      description: Counts of hosts, instances, and what was found.
      type: dict
    instances:
      description:
        - The instances with their V(host), V(name), V(state), V(drift), V(restart_required), V(restart_reasons),
          V(preflight) and V(error). A host that did not answer or was not visited is one entry without a name.
      type: list
      elements: dict
    failures:
      description: Why a host is to fail, in words.
      type: list
      elements: str
    table:
      description: The report as lines of at most 120 columns.
      type: list
      elements: str
    markdown:
      description: The report as a document.
      type: str
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

from ansible_collections.globalscope.redis_backup.plugins.module_utils._enforce.report import drift_report as compose


def drift_report(hosts: Iterable[Mapping[str, Any]], active: Collection[str], **options: Any) -> dict[str, Any]:
    """See the documentation of the filter."""
    entries = [
        {
            "host": variables["inventory_hostname"],
            "active": variables["inventory_hostname"] in active,
            "result": variables.get("redis_persistence_result"),
            "restarts": variables.get("redis_persistence_restarts"),
        }
        for variables in hosts
    ]
    return compose(entries, options)


class FilterModule:
    """The filters of this file."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"drift_report": drift_report}
