#!/usr/bin/python
# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: redis_backup_info
short_description: List the backups in repositories
version_added: 0.1.0
author: GlobalScope contributors (@globalscope)
description:
  - Lists the backups of one or all instances, usable or why not, those of several repositories merged.
  - It speaks to no server.
extends_documentation_fragment:
  - globalscope.redis_backup.connection
  - globalscope.redis_backup.repository
  - globalscope.redis_backup.attributes
  - globalscope.redis_backup.attributes.info_module
options:
  instance:
    description: Name of the instance. Without it, the backups of all instances are listed.
  at:
    description:
      - A time with its zone, such as V(2026-11-22T23:51:41Z). RV(latest) is then the backup with the newest data that is
        not newer.
    type: str
  usable_only:
    description: Whether to leave out backups that cannot be used.
    type: bool
    default: false
  query:
    description: A JMESPath expression, applied to RV(backups).
    type: str
requirements:
  - jmespath (Python library), when O(query) is used
"""

EXAMPLES = r"""
- name: What could be recovered, and how old is it
  globalscope.redis_backup.redis_backup_info:
    instance: multiframe-6379
    repositories:
      - name: nfs
        path: /mnt/backup/redis
  register: catalog

- name: Labels of the encrypted backups
  globalscope.redis_backup.redis_backup_info:
    repositories:
      - name: nfs
        path: /mnt/backup/redis
    query: "[?encrypted].label"
"""

RETURN = r"""
actions:
  description: Always empty.
  returned: success
  type: list
  elements: str
  sample: []
backups:
  description: The backups, oldest first, or what O(query) made of them.
  returned: success
  type: list
  elements: raw
  sample: [{"label": "20261122T235141Z_rdb", "instance": "multiframe-6379", "usable": true, "problems": {}, "repositories": ["nfs"]}]
latest:
  description: The backup that a recovery (to O(at)) would use, V(null) when there is none or no O(instance) is named.
  returned: success
  type: dict
  sample: {"label": "20261122T235141Z_rdb", "instance": "multiframe-6379", "usable": true, "time": "2026-11-22T23:51:41Z"}
archive:
  description: Coverage of the AOF archive; empty where nothing is archived.
  returned: success
  type: dict
  sample: {}
rpo_seconds:
  description: Seconds between the data of RV(latest) and now (or O(at)), V(null) when there is none.
  returned: success
  type: float
  sample: 812.4
"""

from ansible.module_utils.basic import AnsibleModule, env_fallback
from ansible_collections.globalscope.redis_backup.plugins.module_utils._argspec import (
    connection_spec,
    merged,
    told,
)
from ansible_collections.globalscope.redis_backup.plugins.module_utils._argspec_repository import (
    repositories_spec,
    stores_of,
)
from ansible_collections.globalscope.redis_backup.plugins.module_utils._repository.cache import CatalogCache
from ansible_collections.globalscope.redis_backup.plugins.module_utils._repository.info import show_catalog


def main() -> None:
    module = AnsibleModule(
        argument_spec=merged(
            connection_spec(env_fallback),
            repositories_spec(),
            {
                "at": {"type": "str"},
                "usable_only": {"type": "bool", "default": False},
                "query": {"type": "str"},
            },
        ),
        supports_check_mode=True,
    )
    params = module.params
    with told(module.fail_json, params["instance"] or "", "Nothing was changed"):
        shown = show_catalog(
            stores_of(params),
            params["instance"],
            at=params["at"],
            usable_only=params["usable_only"],
            query=params["query"],
            cache=CatalogCache(params["state_dir"]),
        )
        module.exit_json(changed=False, actions=[], **shown)


if __name__ == "__main__":
    main()
