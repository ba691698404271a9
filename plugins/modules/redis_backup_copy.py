#!/usr/bin/python
# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: redis_backup_copy
short_description: Copy backups of an instance from one repository to another
version_added: 0.1.0
author: GlobalScope contributors (@globalscope)
description:
  - Copies backups as they are stored, without decrypting them. The SHA-256 of every byte is held against the manifest on the way.
  - A copy exists only when its manifest does, which is written last. A backup that turns out to be damaged leaves nothing at the
    destination. The others are copied nevertheless, and the task fails at its end.
  - Where O(encryption) or O(compression) is given, backups are opened and packed anew on the way, which is how recipients are
    changed. Nothing is written to the host's disk.
  - No server is needed. The module may run on any host that reaches both repositories.
extends_documentation_fragment:
  - globalscope.redis_backup.connection
  - globalscope.redis_backup.repository.copy
  - globalscope.redis_backup.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  idempotent:
    support: full
options:
  labels:
    description:
      - The backups, or exports of keys, to copy. V(latest) is the newest backup that is usable, V(all) is every whole backup and
        export.
      - V(all) copies again what retention has removed from the destination.
    type: list
    elements: str
    default: [latest]
  encryption:
    description:
      - How the copies are encrypted. Without it, as the source is. A backup that is encrypted for these recipients already is
        copied as it is.
      - Exactly one of its suboptions must be given.
    type: dict
    suboptions:
      recipients:
        description: Public keys that can open the copies, as C(age) takes them (age or SSH).
        type: list
        elements: str
      none:
        description:
          - V(true) stores the copies in the clear. It must be said in so many words.
          - Passwords are left out of the kept configuration then.
        type: bool
  compression:
    description: How the copies are compressed. Without it, as the source is.
    type: dict
    suboptions:
      level:
        description: Level of zstd, from V(1) (fast) to V(19) (small).
        type: int
        required: true
  identities:
    description: Paths of age or SSH identity files on this host. Needed only to pack an encrypted backup anew.
    type: list
    elements: path
    default: []
  adopt:
    description:
      - Take the destination's history for the same server's, although its UUID is another one. It gets that of the source.
      - Without it, such a destination is refused.
    type: bool
    default: false
requirements:
  - zstd and age, when O(encryption) or O(compression) is used
notes:
  - Verification records go with a copy that is stored as it was, since they hold for the same bytes. One that is packed anew must be
    verified anew. That a backup was acknowledged goes with both.
seealso:
  - module: globalscope.redis_backup.redis_backup
  - module: globalscope.redis_backup.redis_backup_info
"""

EXAMPLES = r"""
- name: Promote the newest backup from the host's disk to the cloud
  globalscope.redis_backup.redis_backup_copy:
    instance: multiframe-6379
    source:
      name: local
      path: /var/backups/redis
    destination:
      name: cloud
      type: s3
      bucket: example-redis

- name: Rotate the recipients of all backups into a new place
  globalscope.redis_backup.redis_backup_copy:
    instance: multiframe-6379
    source:
      name: nfs
      path: /mnt/backup/redis
    destination:
      name: nfs-2027
      path: /mnt/backup/redis-2027
    labels: [all]
    encryption:
      recipients:
        - age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p
        - "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEpOCQCYcFLpJUS6rUiv4vBmrbD+ltfa9HdmIL7MzFjn backup@example.com"
    identities:
      - /run/redis_backup/old-identity.txt
"""

RETURN = r"""
actions:
  description: What was done, or would be done in check mode.
  returned: always
  type: list
  elements: str
  sample: ["copied 20261122T235141Z_rdb from repository local (/var/backups/redis) to repository cloud (s3://example-redis/)"]
copied:
  description: The backups that were asked for and did not fail, oldest first.
  returned: always
  type: list
  elements: dict
  contains:
    label:
      description: Its label, the same in both repositories.
      type: str
      sample: 20261122T235141Z_rdb
    size:
      description: Bytes before compression.
      type: int
      sample: 3123456
    stored_size:
      description: Bytes stored.
      type: int
      sample: 1023456
    reencrypted:
      description: Whether it was (or had been) packed anew on the way.
      type: bool
      sample: false
    duration_s:
      description: Seconds that it took.
      type: float
      sample: 1.21
    skipped:
      description: Why there was nothing to copy, V(null) when it was copied.
      type: str
      sample: it is there
failed_labels:
  description: The backups that could not be copied, and why.
  returned: when some could not be copied
  type: dict
  sample: {"20261122T195140Z_rdb": "repository local (/var/backups/redis/multiframe-6379/backup/20261122T195140Z_rdb) lacks dump.rdb.zst"}
"""

from ansible.module_utils.basic import AnsibleModule, env_fallback
from ansible_collections.globalscope.redis_backup.plugins.module_utils._argspec import (
    connection_spec,
    merged,
    name_of,
    told,
)
from ansible_collections.globalscope.redis_backup.plugins.module_utils._argspec_repository import (
    source_and_destination_spec,
)
from ansible_collections.globalscope.redis_backup.plugins.module_utils._copy.request import CopyRequest, repacking_of
from ansible_collections.globalscope.redis_backup.plugins.module_utils._copy.run import copy_backups
from ansible_collections.globalscope.redis_backup.plugins.module_utils._repository.open import open_store


def main() -> None:
    module = AnsibleModule(
        argument_spec=merged(
            connection_spec(env_fallback),
            source_and_destination_spec(),
            {
                "labels": {"type": "list", "elements": "str", "default": ["latest"]},
                "encryption": {
                    "type": "dict",
                    "options": {"recipients": {"type": "list", "elements": "str"}, "none": {"type": "bool"}},
                    "mutually_exclusive": [("recipients", "none")],
                    "required_one_of": [("recipients", "none")],
                },
                "compression": {"type": "dict", "options": {"level": {"type": "int", "required": True}}},
                "identities": {"type": "list", "elements": "path", "default": []},
                "adopt": {"type": "bool", "default": False},
            },
        ),
        supports_check_mode=True,
    )
    params = module.params
    with told(module.fail_json, name_of(params), "The backups of both repositories are as they were"):
        request = CopyRequest(
            source=open_store(params["source"]),
            destination=open_store(params["destination"]),
            instance=name_of(params),
            labels=tuple(params["labels"]),
            repacking=repacking_of(params["encryption"], params["compression"], params["identities"]),
            adopt=params["adopt"],
        )
        done = copy_backups(request, check_mode=module.check_mode)
        for warning in done.warnings:
            module.warn(warning)
        if done.failed:
            raise done.refusal(request)
        module.exit_json(changed=done.changed, actions=done.actions, copied=done.copied, diff=done.diff)


if __name__ == "__main__":
    main()
