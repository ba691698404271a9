# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: instances
short_description: Complete and check the list of Redis instances of a host
version_added: 0.1.0
author: GlobalScope contributors (@globalscope)
description:
  - Completes the entries of C(redis_instances) with their names, and gathers the options that all modules take.
  - Fails for unknown keys and for two instances that have one name, address, service, redis.conf or data directory.
positional: hostname
options:
  _input:
    description: The instances, as the inventory lists them.
    type: list
    elements: dict
    required: true
  hostname:
    description: The host's name in the inventory.
    type: str
    required: true
  defaults:
    description: Options for every instance that does not say otherwise.
    type: dict
    default: {}
"""

EXAMPLES = r"""
- name: The names of the instances
  ansible.builtin.debug:
    msg: "{{ redis_instances | globalscope.redis_backup.instances(inventory_hostname) | map(attribute='name') }}"
"""

RETURN = r"""
_value:
  description:
    - The instances, each with V(name), V(service), V(start_command), V(stop_command), V(tier), V(source_instance),
      V(settings), V(profile) and V(module_args).
  type: list
  elements: dict
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.globalscope.redis_backup.plugins.module_utils._errors import RedisBackupError
from ansible_collections.globalscope.redis_backup.plugins.module_utils._instances import complete_instances


def instances(
    listed: Sequence[Mapping[str, Any]], hostname: str, defaults: Mapping[str, Any] | None = None
) -> list[dict[str, Any]]:
    """See the documentation of the filter."""
    try:
        return complete_instances(listed, hostname, defaults)
    except RedisBackupError as error:
        raise AnsibleFilterError(error.paragraph()) from None


class FilterModule:
    """The filters of this file."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"instances": instances}
