#!/usr/bin/python
# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: redis_sentinel
short_description: Keep a Sentinel from failing over, and let it go again
version_added: 0.1.0
author: GlobalScope contributors (@globalscope)
description:
  - Holds one primary of one Sentinel while it is recovered. A Sentinel that is not held fails over in the middle, and makes the
    recovered primary a replica, which then copies old or empty data.
  - O(state=held) lifts the thresholds by which it finds the primary down. What they were is written into O(state_dir) first,
    since C(SENTINEL SET) itself persists.
  - O(state=released) waits until the Sentinel sees the primary, at the right address, puts all back, and proves that there is a
    quorum. Thresholds put back too early would make it fail over at once.
  - All Sentinels of a primary have to be held. The role P(globalscope.redis_backup.redis_disaster_recovery#role) does so.
extends_documentation_fragment:
  - globalscope.redis_backup.connection
  - globalscope.redis_backup.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  idempotent:
    support: full
options:
  state:
    description: What is to be.
    type: str
    choices: [held, released]
    required: true
  master_name:
    description: The name under which the Sentinel watches the primary.
    type: str
    required: true
  forget:
    description:
      - With O(state=held), whether the Sentinel is to watch the primary no more until it is released. Needed on all Sentinels
        where the primary will be at another address, or one of them would turn the others back to the old one.
    type: bool
    default: false
  addresses:
    description:
      - Addresses of the right primary, each C(host:port).
      - With O(state=released), where the Sentinel watches another, or none, it is made to watch the first. Without any, what it
        watched when it was held is right.
      - With O(state=held), a Sentinel that was made to forget the primary watches the first, held.
    type: list
    elements: str
    default: []
  prove:
    description:
      - With O(state=released), whether to wait until it sees the primary. With V(false), the thresholds are put back at once,
        as for a primary that was down before, and is down.
    type: bool
    default: true
  quorum:
    description:
      - With O(state=released) and O(prove=true), whether a quorum has to be there. Where the Sentinels were made to forget the
        primary, each has to be released before one of them can find it.
    type: bool
    default: true
  like:
    description:
      - With O(state=released), how to watch the first of O(addresses) where the Sentinel watches no primary of that name and
        nothing is written down about it, as when its C(sentinel.conf) was lost. Give what the other Sentinels have.
      - It is let go only when it sees the primary. Until then it is held.
    type: dict
    suboptions:
      quorum:
        description: How many Sentinels must find the primary down.
        type: int
        required: true
      down_after_ms:
        description: Its C(down-after-milliseconds).
        type: int
        required: true
      failover_timeout_ms:
        description: Its C(failover-timeout). Without it, the Sentinel's own default.
        type: int
      parallel_syncs:
        description: Its C(parallel-syncs). Without it, the Sentinel's own default.
        type: int
      auth_user:
        description: The user as whom it logs in to the servers.
        type: str
      auth_pass:
        description: The password for that.
        type: str
  wait_timeout:
    description: Seconds to wait for each of these.
    type: int
    default: 60
notes:
  - C(auth-user), C(auth-pass) and renamed commands are taken from sentinel.conf, so it has to be readable.
  - A Sentinel that was made to forget a primary with a C(notification-script) or C(client-reconfig-script) does not let them be
    set again, unless it has C(deny-scripts-reconfig no). A warning tells the line to write.
seealso:
  - module: globalscope.redis_backup.redis_replica
"""

EXAMPLES = r"""
- name: Let nobody fail over
  globalscope.redis_backup.redis_sentinel:
    login_port: 26379
    master_name: shop
    state: held

- name: Hand back
  globalscope.redis_backup.redis_sentinel:
    login_port: 26379
    master_name: shop
    state: released
    addresses: ["10.0.0.11:6379"]
"""

RETURN = r"""
actions:
  description: What was done, or would be done in check mode.
  returned: success
  type: list
  elements: str
  sample: ["held shop on shop1-26379 (127.0.0.1:26379): it does not fail over until it is released"]
sentinel:
  description: The primary as this Sentinel sees it at the end, or before it was made to forget it. V(null) where it watches none.
  returned: success
  type: dict
  contains:
    master:
      description: Name of the primary.
      type: str
      sample: shop
    host:
      description: Its host.
      type: str
      sample: 10.0.0.11
    port:
      description: Its port.
      type: int
      sample: 6379
    flags:
      description: What it is said to be; a healthy one is V(master) and nothing else.
      type: list
      elements: str
      sample: [master]
    held:
      description: Whether it is held.
      type: bool
      sample: true
    down_after_ms:
      description: Its C(down-after-milliseconds).
      type: int
      sample: 30000
    quorum:
      description: How many Sentinels must find it down.
      type: int
      sample: 2
    quorum_ok:
      description: Whether enough Sentinels are usable.
      type: bool
      sample: true
    quorum_says:
      description: Its own words about that.
      type: str
      sample: OK 3 usable Sentinels. Quorum and failover authorization can be reached
    config_epoch:
      description: The epoch of its configuration, which grows with each failover.
      type: int
      sample: 0
    replicas:
      description: How many replicas it knows.
      type: int
      sample: 2
    others:
      description: The other Sentinels of this primary, each with C(host), C(port), C(address), and whether it is C(alive).
      type: list
      elements: dict
      sample: [{"host": "10.0.0.12", "port": 26379, "address": "10.0.0.12:26379", "alive": true}]
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule, env_fallback
from ansible_collections.globalscope.redis_backup.plugins.module_utils._argspec import (
    connection_spec,
    login_of,
    merged,
    name_of,
    place_of,
    told,
)
from ansible_collections.globalscope.redis_backup.plugins.module_utils._group.hold import (
    Order,
    hold,
    journal_of,
    release,
)
from ansible_collections.globalscope.redis_backup.plugins.module_utils._group.journal import Watch
from ansible_collections.globalscope.redis_backup.plugins.module_utils._group.watch import watch_like
from ansible_collections.globalscope.redis_backup.plugins.module_utils._server.instance import find_instance


def main() -> None:
    module = AnsibleModule(
        argument_spec=merged(
            connection_spec(env_fallback),
            {
                "state": {"type": "str", "choices": ["held", "released"], "required": True},
                "master_name": {"type": "str", "required": True},
                "forget": {"type": "bool", "default": False},
                "addresses": {"type": "list", "elements": "str", "default": []},
                "prove": {"type": "bool", "default": True},
                "quorum": {"type": "bool", "default": True},
                "like": {
                    "type": "dict",
                    "options": {
                        "quorum": {"type": "int", "required": True},
                        "down_after_ms": {"type": "int", "required": True},
                        "failover_timeout_ms": {"type": "int"},
                        "parallel_syncs": {"type": "int"},
                        "auth_user": {"type": "str"},
                        "auth_pass": {"type": "str", "no_log": True},
                    },
                },
                "wait_timeout": {"type": "int", "default": 60},
            },
        ),
        supports_check_mode=True,
    )
    params = module.params
    with told(module.fail_json, name_of(params)):
        instance = find_instance(login_of(params), place_of(params))
        order = Order(
            master=params["master_name"],
            addresses=tuple(params["addresses"]),
            forget=params["forget"],
            prove=params["prove"],
            quorum=params["quorum"],
            wait=params["wait_timeout"],
            check_mode=module.check_mode,
            like=_like(params),
        )
        journal = journal_of(instance, params["state_dir"], order.master)
        outcome = (hold if params["state"] == "held" else release)(instance, journal, order)
        for warning in outcome.warnings:
            module.warn(warning)
        words = "held" if params["state"] == "held" else "released"
        other = "released" if words == "held" else "held"
        module.exit_json(
            changed=outcome.changed,
            actions=outcome.actions,
            sentinel=outcome.view,
            diff={
                "before": f"{order.master}: {other if outcome.changed else words}\n",
                "after": f"{order.master}: {words}\n",
            },
        )


def _like(params: dict[str, Any]) -> Watch | None:
    """How to watch where nothing tells how it was."""
    told, addresses = params["like"], params["addresses"]
    if told is None or not addresses:
        return None
    return watch_like(
        params["master_name"], addresses[0], told, told.get("auth_user") or "", told.get("auth_pass") or ""
    )


if __name__ == "__main__":
    main()
