#!/usr/bin/python
# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: redis_cluster_node
short_description: Bring a node of a cluster into its place
version_added: 0.1.0
author: GlobalScope contributors (@globalscope)
description:
  - One step for one node of a cluster of which nodes or whole shards are brought back.
  - O(state=placed) writes the file C(nodes.conf) of an instance that is down, so that it starts as the node it was. Without it, or
    with another, it would be a stranger to the others; and with wrong slots in it, Valkey from 8.0 on deletes the keys of all
    slots that are not its own. What was there before is kept.
  - O(state=following) waits until a running replica holds all that its primary holds, and takes its fence away.
  - O(state=promoted) has a running replica take over the slots of its lost primary, without asking the other nodes.
  - O(state=whole) waits until a running node sees all slots served and all nodes well, and greets nodes that it does not find.
  - O(state=released) takes back what V(placed) has done.
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
    choices: [placed, following, promoted, whole, released]
    required: true
  nodes:
    description:
      - The nodes of the cluster, as RV(globalscope.redis_backup.redis_instance_info#module:instance) or a backup's manifest has them
        in C(topology.cluster.nodes). A row may tell its C(shard_id).
      - With O(state=placed), all nodes that the cluster is to have. Epochs that are not in order are put in order.
      - With O(state=whole), the nodes that have to be there and well; others are not looked at. Slots are compared where a row
        tells them. Without O(nodes), all nodes that the instance knows have to be well.
    type: list
    elements: dict
    default: []
  my_id:
    description: With O(state=placed), which of O(nodes) this instance is.
    type: str
    default: ""
  epoch:
    description:
      - With O(state=placed), the current epoch of the cluster. An own, higher one in the C(nodes.conf) of the same node is kept, as
        it may have voted in that.
    type: int
    default: 0
  fence:
    description:
      - With O(state=placed), whether C(replica-serve-stale-data no) is put at the end of redis.conf, so that a replica answers
        C(MASTERDOWN), and never that there is nothing, until it has copied its primary. O(state=following) and
        O(state=released) take it away.
    type: bool
    default: false
  set_aside:
    description:
      - With O(state=placed), whether the data of the instance is moved aside into
        C(<data_dir>/.redis_backup/<id>/previous), where it stays, before it copies its primary. O(state=released) puts it back.
    type: bool
    default: false
  down:
    description:
      - With O(state=placed) and O(state=released), whether the instance was told to stop. It is waited for until no process serves
        any more. Without it, V(placed) refuses a server that runs.
    type: bool
    default: false
  primary_id:
    description: With O(state=following), the id of the primary's node.
    type: str
    default: ""
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
      - With O(state=following), whether a primary without slots that holds keys may become a replica, which throws them away.
    type: bool
    default: false
  close:
    description:
      - With O(state=whole), whether what O(state=placed) has done is for good. O(state=released) then leaves it as it is.
        O(state=following) always does so.
    type: bool
    default: false
  start_timeout:
    description:
      - With O(state=following), O(state=promoted) and O(state=whole), seconds to wait for an instance that was told to start, until
        it answers.
    type: int
    default: 0
  wait_timeout:
    description: Seconds to wait until it is so, or until no process uses the files that are to be changed.
    type: int
    default: 600
seealso:
  - module: globalscope.redis_backup.redis_replica
  - module: globalscope.redis_backup.redis_restore
"""

EXAMPLES = r"""
- name: Let it start as the node it was
  globalscope.redis_backup.redis_cluster_node:
    service: redis-server
    state: placed
    nodes: "{{ backup.topology.cluster.nodes }}"
    my_id: "{{ backup.topology.cluster.my_id }}"
    epoch: "{{ backup.topology.cluster.epoch }}"
    fence: true

- name: Start it
  ansible.builtin.service:
    name: redis-server
    state: started

- name: Wait until it holds what its primary holds
  globalscope.redis_backup.redis_cluster_node:
    state: following
    primary_id: 07c37dfeb235213a872192d90877d0cd55635b91

- name: Wait until all is well
  globalscope.redis_backup.redis_cluster_node:
    state: whole
    nodes: "{{ backup.topology.cluster.nodes }}"
    close: true
"""

RETURN = r"""
actions:
  description: What was done, or would be done in check mode.
  returned: success
  type: list
  elements: str
  sample: ["wrote /var/lib/redis/nodes.conf"]
node:
  description: The instance at the end; what its files say when it is down.
  returned: success
  type: dict
  contains:
    id:
      description: Its id in the cluster; empty when it has none.
      type: str
      sample: 07c37dfeb235213a872192d90877d0cd55635b91
    role:
      description: V(primary) or V(replica); empty when that is not known.
      type: str
      sample: replica
    primary_id:
      description: The id of the primary that it copies; empty for a primary.
      type: str
      sample: e7d1eecce10fd6bb5eb35b9f99a514335d9ba9ca
    in_step:
      description: Whether it is a replica whose link to its primary is up, and nothing is being copied.
      type: bool
      sample: true
    offset:
      description: How far it has come in its primary's history, or in its own. V(null) when it is down.
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
    state:
      description: The state of the cluster as it sees it, V(ok) or V(fail); empty when it is down.
      type: str
      sample: ok
    slots_served:
      description: How many slots it sees served.
      type: int
      sample: 16384
    known:
      description: How many nodes it knows, itself included.
      type: int
      sample: 6
    previous_dir:
      description: Where the data that it held before is kept; empty when none was moved aside.
      type: str
      sample: ""
    previous_file:
      description: Where its previous C(nodes.conf) is kept; empty when there was none, and before that is for good.
      type: str
      sample: ""
cluster:
  description:
    - The cluster as the running instance sees it, in the form of C(topology.cluster) of
      RV(globalscope.redis_backup.redis_instance_info#module:instance). V(null) when it is down.
  returned: success
  type: dict
  sample: {state: ok, slots_served: 16384, moving: []}
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
from ansible_collections.globalscope.redis_backup.plugins.module_utils._group import node
from ansible_collections.globalscope.redis_backup.plugins.module_utils._group.member import wait_up
from ansible_collections.globalscope.redis_backup.plugins.module_utils._server.instance import find_instance

_STEPS = {
    "placed": node.placed,
    "following": node.following,
    "promoted": node.promoted,
    "whole": node.whole,
    "released": node.released,
}


def main() -> None:
    module = AnsibleModule(
        argument_spec=merged(
            connection_spec(env_fallback),
            {
                "state": {"type": "str", "choices": list(_STEPS), "required": True},
                "nodes": {"type": "list", "elements": "dict", "default": []},
                "my_id": {"type": "str", "default": ""},
                "epoch": {"type": "int", "default": 0},
                "fence": {"type": "bool", "default": False},
                "set_aside": {"type": "bool", "default": False},
                "down": {"type": "bool", "default": False},
                "primary_id": {"type": "str", "default": ""},
                "replid": {"type": "str", "default": ""},
                "offset": {"type": "int", "default": 0},
                "keys": {"type": "int", "no_log": False},
                "replace_data": {"type": "bool", "default": False},
                "close": {"type": "bool", "default": False},
                "start_timeout": {"type": "int", "default": 0},
                "wait_timeout": {"type": "int", "default": 600},
            },
        ),
        required_if=[("state", "placed", ("nodes", "my_id")), ("state", "following", ("primary_id",))],
        supports_check_mode=True,
    )
    params = module.params
    with told(module.fail_json, name_of(params)):
        state = params["state"]
        login, place = login_of(params), place_of(params)
        if state in ("placed", "released"):
            instance = find_instance(login, place, may_be_down=True)
        else:
            instance = wait_up(login, place, params["start_timeout"])
        order = node.NodeOrder(
            nodes=params["nodes"],
            my_id=params["my_id"],
            epoch=params["epoch"],
            fence=params["fence"],
            set_aside=params["set_aside"],
            down=params["down"],
            primary_id=params["primary_id"],
            replid=params["replid"],
            offset=params["offset"],
            keys=params["keys"],
            replace_data=params["replace_data"],
            close=params["close"],
            wait=params["wait_timeout"],
            check_mode=module.check_mode,
        )
        outcome = _STEPS[state](instance, order)
        module.exit_json(
            changed=outcome.changed,
            actions=outcome.actions,
            node=outcome.view,
            cluster=outcome.cluster,
            diff=[
                {"before_header": path, "after_header": path, "before": before, "after": after}
                for path, before, after in outcome.files
            ],
        )


if __name__ == "__main__":
    main()
