#!/usr/bin/python
# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: redis_aof_archive
short_description: Make one pass of the AOF archive, or tell how the archive stands
version_added: 0.1.0
author: GlobalScope contributors (@globalscope)
description:
  - Ships the bytes of the AOF that are not archived yet, compressed, encrypted and hashed, one object in a pass at most. The
    agent that the role P(globalscope.redis_backup.redis_archive#role) installs does the same every few seconds.
  - The same bytes are never shipped twice, and none are left out. What cannot be shipped is a gap, which the archive records
    and RV(archive.gaps) tells.
  - It needs the data directory, and the server only to learn where that is.
extends_documentation_fragment:
  - globalscope.redis_backup.connection
  - globalscope.redis_backup.repository.packing
  - globalscope.redis_backup.repository.archived
  - globalscope.redis_backup.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
  idempotent:
    support: full
    details:
      - A pass changes nothing once all that the AOF holds is archived.
options:
  state:
    description: V(archived) makes one pass. V(status) changes nothing, and asks only the host.
    type: str
    choices: [archived, status]
    default: archived
  spool_bytes:
    description:
      - Each pass leaves hard links to the files of the AOF in C(<data_dir>/.redis_archive/<instance>/), so that what the server removes after
        a rewrite can still be shipped. They may take this many bytes of the disk.
      - Beyond it, they are let go. That is a gap, which ends with the newest base. Below 5 % of free disk they are let go too.
    type: int
    default: 1073741824
  adopt:
    description:
      - Continue the archive of another server that the repository knows under the same name.
      - Without it, two servers that carry one name are told apart by a UUID, and the second one is refused.
    type: bool
    default: false
requirements:
  - zstd
  - age, when O(encryption) is used
seealso:
  - module: globalscope.redis_backup.redis_aof
  - module: globalscope.redis_backup.redis_backup_info
"""

EXAMPLES = r"""
- name: Archive what is new in the AOF, until nothing is left
  globalscope.redis_backup.redis_aof_archive:
    login_password: "{{ vault_redis_password }}"
    instance: multiframe-6379
    repository:
      name: nfs
      type: posix
      path: /mnt/backup/redis
    encryption:
      recipients:
        - age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p
  register: pass
  until: pass is failed or not pass.more  # each pass but the last is shown as a retry
  retries: 1000
  delay: 0

- name: How far is the archive behind
  globalscope.redis_backup.redis_aof_archive:
    instance: multiframe-6379
    state: status
  register: archiving
"""

RETURN = r"""
actions:
  description: What was done, or would be done in check mode.
  returned: success
  type: list
  elements: str
  sample:
    - >-
      stored multiframe-6379/archive/20261122T235141Z-1-1c8b024d/appendonly.aof.1.incr.aof/0000000000008029.zst.age (15980 bytes)
      in repository nfs (/mnt/backup/redis)
more:
  description: Whether something is left that the next pass can ship at once.
  returned: success
  type: bool
  sample: false
archive:
  description: How the archive stands, as this host knows. Times are UTC.
  returned: success
  type: dict
  contains:
    epoch:
      description: The newest epoch, V(null) where nothing was archived yet.
      type: str
      sample: 20261122T235141Z-1-1c8b024d
    first_time:
      description: From when on each second can be recovered without a gap. V(null) until a base is archived as a whole.
      type: str
      sample: "2026-11-22T23:51:41Z"
    last_time:
      description: What the AOF held at this time is in the repository.
      type: str
      sample: "2026-11-23T00:12:03Z"
    lag_seconds:
      description: >-
        Age of the oldest bytes that are not in the repository, V(0) when all of them are. V(null) where nothing was archived
        yet.
      type: float
      sample: 0.0
    lag_bytes:
      description: Bytes of the AOF's increments that are not in the repository.
      type: int
      sample: 0
    base_bytes_left:
      description: Bytes of a base that is still on its way.
      type: int
      sample: 0
    gaps:
      description: Times that cannot be recovered, each with C(from), C(to) (V(null) while it lasts) and C(reason).
      type: list
      elements: dict
      sample: []
    spool_bytes:
      description: Bytes of the disk that only the archive's links hold.
      type: int
      sample: 0
    last_pass:
      description: When the last pass was made.
      type: str
      sample: "2026-11-23T00:12:03Z"
    last_success:
      description: When the last pass that succeeded was made.
      type: str
      sample: "2026-11-23T00:12:03Z"
    last_error:
      description: Why the last pass failed, V(null) when it did not.
      type: str
      sample: null
    objects:
      description: Objects that were stored.
      type: int
      sample: 81
    bytes:
      description: Bytes of the AOF in them.
      type: int
      sample: 81231123
    stored_bytes:
      description: Bytes that they take.
      type: int
      sample: 21231123
    repository:
      description: Where they are.
      type: str
      sample: repository nfs (/mnt/backup/redis)
object:
  description: The object that this pass stored, V(null) when there was nothing to store.
  returned: success
  type: dict
  contains:
    path:
      description: Its path in the repository.
      type: str
      sample: multiframe-6379/archive/20261122T235141Z-1-1c8b024d/appendonly.aof.1.incr.aof/0000000000008029.zst.age
    size:
      description: Bytes of the AOF in it.
      type: int
      sample: 15980
    stored_size:
      description: Bytes that it takes.
      type: int
      sample: 4711
"""

from ansible.module_utils.basic import AnsibleModule, env_fallback
from ansible_collections.globalscope.redis_backup.plugins.module_utils._archive.locate import AofOff, find_aof
from ansible_collections.globalscope.redis_backup.plugins.module_utils._archive.owner import acting_as_owner
from ansible_collections.globalscope.redis_backup.plugins.module_utils._archive.run import (
    SPOOL_BYTES,
    ArchiveRequest,
    archive_pass,
    archive_planned,
    note_off,
)
from ansible_collections.globalscope.redis_backup.plugins.module_utils._archive.state import ArchiveHost
from ansible_collections.globalscope.redis_backup.plugins.module_utils._archive.status import archive_status
from ansible_collections.globalscope.redis_backup.plugins.module_utils._archive.whose import known_here
from ansible_collections.globalscope.redis_backup.plugins.module_utils._argspec import (
    connection_spec,
    login_of,
    merged,
    name_of,
    place_of,
    state_of,
    told,
)
from ansible_collections.globalscope.redis_backup.plugins.module_utils._argspec_repository import (
    REPOSITORY_NEEDS,
    packing_of,
    packing_spec,
    repository_options,
)
from ansible_collections.globalscope.redis_backup.plugins.module_utils._repository.open import open_store


def main() -> None:
    module = AnsibleModule(
        argument_spec=merged(
            connection_spec(env_fallback),
            packing_spec(),
            {
                "repository": {
                    "type": "dict",
                    "options": repository_options(),
                    "required_if": REPOSITORY_NEEDS,
                },
                "state": {"type": "str", "choices": ["archived", "status"], "default": "archived"},
                "spool_bytes": {"type": "int", "default": SPOOL_BYTES},
                "adopt": {"type": "bool", "default": False},
            },
        ),
        required_if=[("state", "archived", ["repository"])],
        supports_check_mode=True,
    )
    params = module.params
    name = name_of(params)
    with told(module.fail_json, name, "Nothing was archived; what is archived already and the server are as they were"):
        host = ArchiveHost(params["state_dir"])
        try:
            located = find_aof(login_of(params), place_of(params))
        except AofOff:
            if not module.check_mode and params["state"] == "archived":
                with acting_as_owner(host.folder(name)):
                    note_off(host, name)
            raise
        if params["state"] == "status":
            archive = archive_status(host, name, located.paths)
            module.exit_json(changed=False, actions=[], more=archive["lag_bytes"] > 0, archive=archive, object=None)
        backups = state_of(params)
        request = ArchiveRequest(
            instance=name,
            paths=located.paths,
            layout=located.layout,
            store=open_store(params["repository"]),
            packing=packing_of(params),
            host=host,
            backups=backups,
            identity=known_here(backups, name),
            server=located.server,
            adopt=params["adopt"],
            spool_bytes=params["spool_bytes"],
        )
        # Where the agent has been here, what a pass of root writes must stay the agent's.
        with acting_as_owner(host.folder(name)):
            made = archive_planned(request) if module.check_mode else archive_pass(request)
        for warning in made.warnings:
            module.warn(warning)
        module.exit_json(
            changed=made.changed, actions=made.actions, more=made.more, archive=made.archive, object=made.object
        )


if __name__ == "__main__":
    main()
