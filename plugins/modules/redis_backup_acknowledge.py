#!/usr/bin/python
# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: redis_backup_acknowledge
short_description: Accept a suspect backup as it is
version_added: 0.1.0
author: GlobalScope contributors (@globalscope)
description:
  - Writes down beside a backup that a human has looked at it and found its content right. It speaks to no server.
  - A backup that holds far less than the one before it is suspect. A recovery passes over it, and nothing of its instance is
    pruned. Acknowledged, it counts as any other, and later ones are measured by it.
    So a word for the first of several suspects holds for those after it.
  - A backup that follows a jump of a clock is acknowledged in the same way, and so is an export of keys.
extends_documentation_fragment:
  - globalscope.redis_backup.connection
  - globalscope.redis_backup.repository
  - globalscope.redis_backup.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
  idempotent:
    support: full
options:
  labels:
    description: Labels of the backups or exports.
    type: list
    elements: str
    required: true
  reason:
    description: Why they are right, for those who look later.
    type: str
    required: true
seealso:
  - module: globalscope.redis_backup.redis_backup_prune
  - module: globalscope.redis_backup.redis_backup_info
"""

EXAMPLES = r"""
- name: The archive was moved to another server; fewer keys are right
  globalscope.redis_backup.redis_backup_acknowledge:
    instance: multiframe-6379
    repositories:
      - name: nfs
        path: /mnt/backup/redis
    labels:
      - 20261122T235141Z_rdb
    reason: "Ticket 4711: the archive lives on multiframe-6380 now"
"""

RETURN = r"""
actions:
  description: What was done, or would be done in check mode.
  returned: success
  type: list
  elements: str
  sample: ["acknowledged 20261122T235141Z_rdb in repository nfs (/mnt/backup/redis)"]
"""

import getpass
import socket

from ansible.module_utils.basic import AnsibleModule, env_fallback
from ansible_collections.globalscope.redis_backup.plugins.module_utils._argspec import (
    connection_spec,
    merged,
    name_of,
    told,
)
from ansible_collections.globalscope.redis_backup.plugins.module_utils._argspec_repository import (
    repositories_spec,
    stores_of,
)
from ansible_collections.globalscope.redis_backup.plugins.module_utils._repository.acknowledge import (
    Acknowledgement,
    acknowledge,
)


def main() -> None:
    module = AnsibleModule(
        argument_spec=merged(
            connection_spec(env_fallback),
            repositories_spec(),
            {
                "labels": {"type": "list", "elements": "str", "required": True},
                "reason": {"type": "str", "required": True},
            },
        ),
        supports_check_mode=True,
    )
    params = module.params
    with told(module.fail_json, name_of(params), "Nothing was changed"):
        word = Acknowledgement(
            instance=name_of(params),
            labels=params["labels"],
            by=f"{getpass.getuser()}@{socket.gethostname()}",
            reason=params["reason"],
        )
        actions = acknowledge(stores_of(params), word, check_mode=module.check_mode)
        module.exit_json(changed=bool(actions), actions=actions)


if __name__ == "__main__":
    main()
