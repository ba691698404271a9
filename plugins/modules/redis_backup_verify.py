#!/usr/bin/python
# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: redis_backup_verify
short_description: Prove that stored backups are good
version_added: 0.1.0
author: GlobalScope contributors (@globalscope)
description:
  - Reads backups where they are stored, as far as O(level) says, and appends a record of each verdict to the backup.
  - It can run on every host that sees the repositories. The server itself is not needed, and is never touched.
  - A backup that is not good makes the module fail, after all chosen ones were looked at and recorded. So does one about
    which nothing can be said on this host (no identity, too little memory, an incompatible version); then there is no record.
  - The copy of each repository is verified on its own.
  - Exports of keys are verified where O(labels) names them, or O(exports) is set.
extends_documentation_fragment:
  - globalscope.redis_backup.connection
  - globalscope.redis_backup.repository
  - globalscope.redis_backup.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
    details:
      - A record is added, and nothing is replaced.
  idempotent:
    support: none
    details:
      - Each run verifies, and adds a record.
options:
  level:
    description:
      - How far a verification goes. Each level holds those before it, in one reading of the stored bytes.
      - V(stored) holds the SHA-256 of every stored byte against the manifest and C(SHA256SUMS). It needs no identity.
      - V(content) also decrypts and decompresses, lets C(redis-check-rdb) read the data set and count its keys (of an AOF, all
        commands are followed as well, and keys are counted by V(restore) alone), and opens the
        archive of the server's files.
      - V(restore) also loads the data set in a throw-away server, which listens on a unix socket alone and writes nothing, and
        holds its keys per database against the manifest. Its digest is compared with that of earlier records.
      - Of an export of keys, V(content) reads every key in it and counts them; V(restore) does no more. That needs no server's
        program.
    type: str
    choices: [stored, content, restore]
    default: stored
  labels:
    description:
      - Labels of the backups to verify. V(latest) is the newest in each repository. Default is V(latest).
      - A repository that lacks a label is passed over; a label that is in none is an error.
    type: list
    elements: str
  count:
    description:
      - Verify so many backups in each repository, in rotation, those that wait longest. A backup waits since its last
        verification at this level or a higher one, or since it was made.
    type: int
  exports:
    description:
      - Whether exports of keys take part. Without O(labels), the newest of each name is verified, too. With O(count) or O(share),
        they take their turn as backups do.
    type: bool
    default: false
  share:
    description: As O(count), in percent of the backups in the repository, rounded up.
    type: float
  identities:
    description:
      - Paths of age identity files on the host, for encrypted backups from V(content) on. Keep them on a tmpfs, readable for
        root only.
    type: list
    elements: path
    default: []
  work_dir:
    description:
      - Directory in which a throw-away server gets a directory of its own, with room for the data set as an RDB. Default is
        V(/var/tmp). Used by V(restore).
      - Refused where other users may rename what lies in it. It must belong to this user or root, and be writable for nobody
        else, or have the sticky bit.
      - What a killed run left there is removed by the next one.
    type: path
  memory_limit_mb:
    description:
      - Megabytes (of 1024 * 1024 bytes) that the data of a throw-away server may take. Without it, what the host has
        available.
      - A backup whose server used more than this, or than the host has available, divided by 1.2 is not loaded.
    type: int
  wait_timeout:
    description: Seconds to wait for a throw-away server to load.
    type: int
    default: 3600
requirements:
  - zstd, for V(content) and V(restore)
  - age, for encrypted backups
  - a server's program of a version that loads the backup, for V(content) and V(restore)
notes:
  - A backup of a server with modules cannot be loaded by a throw-away server, which has none.
seealso:
  - module: globalscope.redis_backup.redis_backup
  - module: globalscope.redis_backup.redis_backup_info
"""

EXAMPLES = r"""
- name: Read a tenth of the backups, other ones at each run
  globalscope.redis_backup.redis_backup_verify:
    instance: multiframe-6379
    share: 10
    repositories:
      - name: nfs
        path: /mnt/backup/redis

- name: Load the newest backup in a throw-away server
  globalscope.redis_backup.redis_backup_verify:
    instance: multiframe-6379
    level: restore
    memory_limit_mb: 4096
    work_dir: /srv/scratch
    repositories:
      - name: nfs
        path: /mnt/backup/redis
    identities:
      - /run/redis_backup/identity
"""

RETURN = r"""
actions:
  description: What was done, or would be done in check mode.
  returned: always
  type: list
  elements: str
  sample: ["verified 20261122T235141Z_rdb of multiframe-6379 in repository nfs (/mnt/backup/redis) (restore): good"]
results:
  description: The backups that were looked at, also where the module fails. Empty in check mode.
  returned: always
  type: list
  elements: dict
  contains:
    label:
      description: Label of the backup. V(null) where no backup could be looked at.
      type: str
      sample: 20261122T235141Z_rdb
    repository:
      description: Name of the repository. V(null) where what was asked for is in none.
      type: str
      sample: nfs
    level:
      description: How far the verification was to go.
      type: str
      sample: restore
    ok:
      description: Whether it is proven good.
      type: bool
      sample: true
    problems:
      description: What is wrong, or what kept us from a verdict, in words.
      type: list
      elements: str
      sample: []
    recorded:
      description: Whether a record was appended. V(false) where there is no verdict.
      type: bool
      sample: true
    keys:
      description: Keys in the data set, after a load those that had not expired. V(null) where they were not counted.
      type: int
      sample: 25001
    functions:
      description: Functions that a server loaded. V(null) where none did, or it knows none.
      type: int
      sample: 1
    digest:
      description: Digest of the loaded data set, as M(globalscope.redis_backup.redis_check) computes it.
      type: str
      sample: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
    stored_size:
      description: Bytes that it takes in the repository, as its manifest says. V(null) where that could not be read.
      type: int
      sample: 102345
    duration_s:
      description: Seconds that it took.
      type: float
      sample: 12.41
"""

from ansible.module_utils.basic import AnsibleModule, env_fallback
from ansible_collections.globalscope.redis_backup.plugins.module_utils._argspec import (
    connection_spec,
    login_of,
    merged,
    name_of,
    place_of,
    told,
)
from ansible_collections.globalscope.redis_backup.plugins.module_utils._argspec_repository import (
    repositories_spec,
    stores_of,
)
from ansible_collections.globalscope.redis_backup.plugins.module_utils._verify.choose import LATEST, Wish
from ansible_collections.globalscope.redis_backup.plugins.module_utils._verify.find_host import HostFinder
from ansible_collections.globalscope.redis_backup.plugins.module_utils._verify.request import VerifyRequest
from ansible_collections.globalscope.redis_backup.plugins.module_utils._verify.verify import verify


def main() -> None:
    module = AnsibleModule(
        argument_spec=merged(
            connection_spec(env_fallback),
            repositories_spec(),
            {
                "level": {"type": "str", "choices": ["stored", "content", "restore"], "default": "stored"},
                "labels": {"type": "list", "elements": "str"},
                "count": {"type": "int"},
                "share": {"type": "float"},
                "exports": {"type": "bool", "default": False},
                "identities": {"type": "list", "elements": "path", "default": []},
                "work_dir": {"type": "path"},
                "memory_limit_mb": {"type": "int"},
                "wait_timeout": {"type": "int", "default": 3600},
            },
        ),
        supports_check_mode=True,
        mutually_exclusive=[("labels", "count", "share")],
    )
    params = module.params
    limit = params["memory_limit_mb"]
    with told(module.fail_json, name_of(params), "The backups and the server are as they were"):
        request = VerifyRequest(
            stores=stores_of(params),
            instance=name_of(params),
            level=params["level"],
            host=HostFinder(login_of(params), place_of(params)),
            wish=Wish(tuple(params["labels"] or [LATEST]), params["count"], params["share"], params["exports"]),
            identities=tuple(params["identities"]),
            work_dir=params["work_dir"] or "",
            memory_limit=None if limit is None else limit * 1024 * 1024,
            wait_timeout=params["wait_timeout"],
        )
        done = verify(request, check_mode=module.check_mode)
        module.exit_json(changed=done.changed, actions=done.actions, results=done.results)


if __name__ == "__main__":
    main()
