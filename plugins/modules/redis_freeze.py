#!/usr/bin/python
# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: redis_freeze
short_description: Stop the writes of a Redis or Valkey server, and resume them
version_added: 0.1.0
author: GlobalScope contributors (@globalscope)
description:
  - O(state=frozen) sees to it that no write is acknowledged from the moment the module returns until O(state=thawed). Reads go on,
    and so do saves, backups and replication.
  - By default the server refuses every write with C(NOREPLICAS), also those of scripts, functions and transactions that were queued
    before. It does so until it is thawed, also after a restart. It demands more replicas than anybody has
    (C(min-replicas-to-write)), live and by the last lines of redis.conf. What was before is written into O(state_dir) first.
  - With O(timeout_s) it holds writes back in place of that (C(CLIENT PAUSE)). Clients that write then wait until it ends.
  - A replica is frozen as a primary is. Whoever is promoted in a freeze takes no writes.
  - An instance that is down starts frozen, as its redis.conf says so.
  - O(state=thawed) puts back exactly what was there before. What a restore keeps closed stays closed.
  - A run that was cut short at any instant is brought to its end by the next one.
extends_documentation_fragment:
  - globalscope.redis_backup.connection
  - globalscope.redis_backup.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  idempotent:
    support: partial
    details:
      - With O(timeout_s), each run begins the time anew.
options:
  state:
    description: What is to be.
    type: str
    choices: [frozen, thawed]
    required: true
  timeout_s:
    description:
      - With O(state=frozen), hold writes back for so many seconds, by C(CLIENT PAUSE). RV(freeze.until) tells when that ends.
      - It also ends when the server is started anew. Scripts, C(PUBLISH) and C(PFCOUNT) wait with the writes, whether they write
        or not.
      - An instance that is frozen without an end stays so.
    type: int
  by:
    description: Who wants it, to be told to others. When it is not given, the user on the host.
    type: str
    default: ""
notes:
  - Keys still expire, on the server's own account. With O(timeout_s) they are gone for readers, and removed afterwards.
  - Tried with Redis 6.2.14, 7.0.15 and 8.2.3, and Valkey 9.1.2.
  - A Sentinel holds no data and is left alone.
  - The login needs C(+config|get +config|set +info), with O(timeout_s) C(+client|pause +time) and to thaw that C(+client|unpause).
seealso:
  - module: globalscope.redis_backup.redis_backup
"""

EXAMPLES = r"""
- name: Stop all writes
  globalscope.redis_backup.redis_freeze:
    state: frozen

- name: Hold writes back for two minutes at most
  globalscope.redis_backup.redis_freeze:
    state: frozen
    timeout_s: 120

- name: Resume
  globalscope.redis_backup.redis_freeze:
    state: thawed
"""

RETURN = r"""
actions:
  description: What was done, or would be done in check mode.
  returned: success
  type: list
  elements: str
  sample: ["froze shop1-6379 (127.0.0.1:6379): it refuses every write until it is thawed"]
frozen:
  description: Whether the instance takes no writes now; in check mode, as it is.
  returned: success
  type: bool
  sample: true
since:
  description: Since when, UTC. V(null) when it is not frozen, or nobody remembers.
  returned: success
  type: str
  sample: "2026-11-22T23:51:41Z"
freeze:
  description: The instance at the end.
  returned: success
  type: dict
  contains:
    frozen:
      description: Whether it takes no writes.
      type: bool
      sample: true
    method:
      description: V(fence) refuses writes, V(pause) holds them back. Empty when it is not frozen.
      type: str
      sample: fence
    since:
      description: Since when, UTC. V(null) when it is not frozen, or nobody remembers.
      type: str
      sample: "2026-11-22T23:51:41Z"
    until:
      description: When a V(pause) ends, UTC. V(null) for a V(fence), which ends when it is thawed.
      type: str
      sample: null
    before:
      description: The settings as they were, which are put back when it is thawed.
      type: dict
      sample: {"min-replicas-max-lag": "10", "min-replicas-to-write": "0"}
    by:
      description: Who wanted it.
      type: str
      sample: alice
    state:
      description: V(running), V(loading) or V(down).
      type: str
      sample: running
    survives_restart:
      description: Whether it stays frozen when it is started anew.
      type: bool
      sample: true
    restoring:
      description: Whether a restore keeps its writes closed as well.
      type: bool
      sample: false
    role:
      description: V(primary), V(replica) or V(sentinel); empty when it is down.
      type: str
      sample: primary
    keys:
      description: Keys in all databases. V(null) when it is down.
      type: int
      sample: 25001
    offset:
      description: Its place in the history that its replicas follow. V(null) when it is down.
      type: int
      sample: 8123456
    unsaved_changes:
      description: Changes since the last RDB was saved. V(null) when it is down.
      type: int
      sample: 1207
    aof:
      description: State of the AOF, such as V(off), V(ok), V(rewriting) or V(writes fail). Empty when it is down.
      type: str
      sample: ok
"""

import getpass
import os

from ansible.module_utils.basic import AnsibleModule, env_fallback
from ansible_collections.globalscope.redis_backup.plugins.module_utils._argspec import (
    connection_spec,
    login_of,
    merged,
    name_of,
    place_of,
    told,
)
from ansible_collections.globalscope.redis_backup.plugins.module_utils._freeze.freeze import Order, freeze, thaw
from ansible_collections.globalscope.redis_backup.plugins.module_utils._freeze.journal import FreezeJournal
from ansible_collections.globalscope.redis_backup.plugins.module_utils._server.instance import find_instance


def user() -> str:
    """Who runs the module, as far as that is known: the user behind sudo, else the host's."""
    try:
        return os.environ.get("SUDO_USER") or getpass.getuser()
    except (KeyError, OSError, ImportError):  # a user without a name
        return str(os.geteuid())


def main() -> None:
    module = AnsibleModule(
        argument_spec=merged(
            connection_spec(env_fallback),
            {
                "state": {"type": "str", "choices": ["frozen", "thawed"], "required": True},
                "timeout_s": {"type": "int"},
                "by": {"type": "str", "default": ""},
            },
        ),
        supports_check_mode=True,
    )
    params = module.params
    timeout = params["timeout_s"]
    if timeout is not None and timeout < 1:
        module.fail_json(msg="timeout_s must be at least 1. Leave it out for a freeze without an end.")
    with told(module.fail_json, name_of(params)):
        instance = find_instance(login_of(params), place_of(params), may_be_down=True)
        journal = FreezeJournal(params["state_dir"], instance.name)
        order = Order(timeout=timeout, by=params["by"] or user(), check_mode=module.check_mode)
        outcome = (freeze if params["state"] == "frozen" else thaw)(instance, journal, order)
        for warning in outcome.warnings:
            module.warn(warning)
        module.exit_json(
            changed=outcome.changed,
            actions=outcome.actions,
            frozen=outcome.view["frozen"],
            since=outcome.view["since"],
            freeze=outcome.view,
            diff={"before": outcome.before, "after": outcome.after},
        )


if __name__ == "__main__":
    main()
