#!/usr/bin/python
# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: redis_replica
short_description: Bring a member of a replication group into its place
version_added: 0.1.0
author: GlobalScope contributors (@globalscope)
description:
  - One step for one member of a replication group whose primary is recovered.
  - O(state=fenced) writes two lines to the end of redis.conf, so that the instance starts as a replica of the given primary and
    answers C(MASTERDOWN), and never that there is nothing, until it has copied that primary.
  - O(state=following) waits until the running instance has, compares how many keys it holds, and takes the fence away.
  - O(state=promoted) makes a replica a primary, at once where it runs, else when it starts.
  - O(state=released) takes back what V(fenced) and, on an instance that is down, V(promoted) have done.
  - The role P(globalscope.redis_backup.redis_disaster_recovery#role) runs the steps, and stops and starts the servers.
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
    description: The step.
    type: str
    choices: [fenced, following, promoted, released]
    required: true
  addresses:
    description:
      - Addresses of the primary, each C(host:port). The first is given to an instance that follows another, or none.
      - Needed with O(state=fenced) and O(state=following).
    type: list
    elements: str
    default: []
  replid:
    description: With O(state=following), the primary's replication id, to be sure that it is its history that is followed.
    type: str
    default: ""
  offset:
    description: With O(state=following), the primary's replication offset. The replica has to come as far.
    type: int
    default: 0
  keys:
    description:
      - With O(state=following), how many keys the primary held at O(offset). Compared where nothing was written since.
    type: int
  replace_data:
    description:
      - With O(state=following), whether an instance that runs as a primary with keys of its own may become a replica, which
        throws them away.
    type: bool
    default: false
  set_aside:
    description:
      - With O(state=fenced) on an instance that is down, whether its data is moved aside into
        C(<data_dir>/.redis_backup/<id>/previous), where it stays, before it copies its primary. O(state=released) puts it back.
    type: bool
    default: false
  down:
    description: With O(state=fenced), whether the instance was told to stop. It is waited for until no process serves any more.
    type: bool
    default: false
  start_timeout:
    description: With O(state=following), seconds to wait for an instance that was told to start, until it answers.
    type: int
    default: 0
  wait_timeout:
    description: Seconds to wait until it is in step, or until no process uses the data that is to be moved.
    type: int
    default: 600
seealso:
  - module: globalscope.redis_backup.redis_sentinel
  - module: globalscope.redis_backup.redis_restore
"""

EXAMPLES = r"""
- name: Let it answer nothing until it has copied the primary
  globalscope.redis_backup.redis_replica:
    service: redis-server
    state: fenced
    addresses: ["10.0.0.11:6379"]

- name: Start it
  ansible.builtin.service:
    name: redis-server
    state: started

- name: Wait until it follows
  globalscope.redis_backup.redis_replica:
    state: following
    addresses: ["10.0.0.11:6379"]
"""

RETURN = r"""
actions:
  description: What was done, or would be done in check mode.
  returned: success
  type: list
  elements: str
  sample: ["fenced shop2-6379 (127.0.0.1:6379) in /etc/redis/redis.conf"]
replica:
  description: The instance at the end.
  returned: success
  type: dict
  contains:
    role:
      description: V(primary) or V(replica); empty when it is down.
      type: str
      sample: replica
    primary:
      description: Address of the primary that it names; empty when it names none.
      type: str
      sample: 10.0.0.11:6379
    in_step:
      description: Whether its link to the primary is up, and nothing is being copied.
      type: bool
      sample: true
    offset:
      description: How far it has come in the primary's history. V(null) when it is no replica.
      type: int
      sample: 8123456
    keys:
      description: Keys in all databases. V(null) when it is down.
      type: int
      sample: 25001
    fenced:
      description: Whether its redis.conf holds the fence.
      type: bool
      sample: false
    previous_dir:
      description: Where the data that it held before is kept; empty when none was moved aside.
      type: str
      sample: ""
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
from ansible_collections.globalscope.redis_backup.plugins.module_utils._group import replica
from ansible_collections.globalscope.redis_backup.plugins.module_utils._group.member import Order, wait_up
from ansible_collections.globalscope.redis_backup.plugins.module_utils._server.instance import find_instance


def main() -> None:
    module = AnsibleModule(
        argument_spec=merged(
            connection_spec(env_fallback),
            {
                "state": {"type": "str", "choices": ["fenced", "following", "promoted", "released"], "required": True},
                "addresses": {"type": "list", "elements": "str", "default": []},
                "replid": {"type": "str", "default": ""},
                "offset": {"type": "int", "default": 0},
                "keys": {"type": "int", "no_log": False},
                "replace_data": {"type": "bool", "default": False},
                "set_aside": {"type": "bool", "default": False},
                "down": {"type": "bool", "default": False},
                "start_timeout": {"type": "int", "default": 0},
                "wait_timeout": {"type": "int", "default": 600},
            },
        ),
        required_if=[("state", "fenced", ("addresses",)), ("state", "following", ("addresses",))],
        supports_check_mode=True,
    )
    params = module.params
    steps = {
        "fenced": replica.fenced,
        "following": replica.following,
        "promoted": replica.promoted,
        "released": replica.released,
    }
    with told(module.fail_json, name_of(params)):
        state = params["state"]
        login, place = login_of(params), place_of(params)
        if state == "following":
            instance = wait_up(login, place, params["start_timeout"])
        else:
            instance = find_instance(login, place, may_be_down=True)
        order = Order(
            addresses=tuple(params["addresses"]),
            replid=params["replid"],
            offset=params["offset"],
            keys=params["keys"],
            replace_data=params["replace_data"],
            set_aside=params["set_aside"],
            down=params["down"],
            wait=params["wait_timeout"],
            check_mode=module.check_mode,
        )
        outcome = steps[state](instance, order)
        module.exit_json(
            changed=outcome.changed,
            actions=outcome.actions,
            replica=outcome.view,
            diff={"before": outcome.before, "after": outcome.after},
        )


if __name__ == "__main__":
    main()
