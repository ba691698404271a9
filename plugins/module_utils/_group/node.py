# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A node of a cluster brought into its place: told who it is before it starts, fed, made a primary, seen whole."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .._config import replica as conf
from .._errors import GroupError
from .._restore.cluster_node import read_nodes_file
from .._restore.guards import require_data_dir
from .._restore.ownership import find_ownership, give_directory
from .._server.cluster import Node, current_epoch, parse_nodes
from .._server.instance import Instance
from .._server.occupied import require_stopped
from .._server.slots import in_words, merged_ranges
from .._topology.nodes_conf import at_rest, compose, nodes_of_rows, sane_epochs
from . import aside, node_file
from .cluster_view import Seen, see, to_meet, what_is_missing
from .member import Order, Outcome, await_in_step, call, compare, edited, own_stale, read_conf, require_conf, set_live

_UNTOUCHED = "Nothing was changed"
_AGAIN = 5.0  # seconds after which a node that did not answer is greeted again


@dataclass(frozen=True)
class NodeOrder(Order):
    """What a node is to be. `nodes` are rows of `topology.cluster.nodes`, `epoch` the cluster's."""

    nodes: Sequence[Mapping[str, Any]] = ()
    my_id: str = ""
    epoch: int = 0
    fence: bool = False
    primary_id: str = ""
    close: bool = False


@dataclass
class NodeOutcome(Outcome):
    """As Outcome; `cluster` is how the node sees it, `files` tell of each file its path, and how it was and is."""

    cluster: dict[str, Any] | None = None
    files: list[tuple[str, str, str]] = field(default_factory=list)


def placed(instance: Instance, order: NodeOrder) -> NodeOutcome:
    """See to it that the stopped node starts as `my_id` in the cluster of `nodes`. Idempotent."""
    _require_down(instance, order)
    directory = require_data_dir(instance, create=not order.check_mode)
    path = _nodes_path(instance)
    found = read_nodes_file(path)
    text = composed(instance, order, found or "")
    outcome = NodeOutcome()
    if order.fence:
        require_conf(instance)
        outcome = _of(instance, edited(instance, order, conf.fence, "fenced"))
    if order.set_aside:
        outcome.actions += aside.set_aside(instance, order.wait, check_mode=order.check_mode)
    done = node_file.put_in_place(instance, text, check_mode=order.check_mode)
    if done:
        outcome.files.append((path, found or "", text))
    outcome.actions += done
    if not order.check_mode:
        owner = find_ownership(instance)
        if give_directory(directory, owner.uid, owner.gid):
            outcome.actions.append(f"gave {directory} to the server's user, who could not write there")
    outcome.view = _view(instance)
    return outcome


def composed(instance: Instance, order: NodeOrder, found: str) -> str:
    """The nodes.conf that the node shall have, `found` being the one that it has. Raises GroupError, RestoreError."""
    nodes, epoch = sane_epochs(at_rest(_wanted(order)), order.epoch)
    mine = next((node for node in parse_nodes(found.encode(), "") if node.is_myself), None)
    if mine is not None and mine.identity == order.my_id:
        epoch = max(epoch, current_epoch(found))  # it may have voted in that one
    flavour, version = instance.version()
    return compose(nodes, order.my_id, flavour=flavour, version=version, current_epoch=epoch)


def promoted(instance: Instance, order: NodeOrder) -> NodeOutcome:
    """A running replica whose primary is lost takes over its slots, without asking the others. Idempotent."""
    seen = _require_node(instance)
    me = seen.me
    outcome = NodeOutcome()
    if not me.is_replica and not me.slots:
        raise GroupError(
            f"{instance.title} is no replica, and serves no slots: there is nothing that it could take over",
            untouched=_UNTOUCHED,
            hint="Have it follow the lost primary's node first, or recover the shard from a backup",
        )
    if me.is_replica:
        lost = seen.find(me.primary)
        if seen.facts.link_up:
            raise GroupError(
                f"{instance.title} follows its primary {lost.where if lost else me.primary[:8]}, which serves",
                untouched=_UNTOUCHED,
                hint="Nothing needs to be promoted; to change their places by hand, use CLUSTER FAILOVER",
            )
        words = f"{instance.title} take over {in_words(lost.slots) if lost and lost.slots else 'no slots'}"
        outcome.actions.append(f"{'would have' if order.check_mode else 'had'} {words}")
        if not order.check_mode:
            call(instance, "CLUSTER", "FAILOVER", "TAKEOVER")
            seen = _await_takeover(instance, order, lost)
    more = edited(instance, order, conf.before, "opened")
    outcome = _of(instance, more, outcome.actions)
    outcome.actions += set_live(instance, order, own_stale(instance))
    outcome.view, outcome.cluster = _view(instance, seen), seen.result()
    return outcome


def following(instance: Instance, order: NodeOrder) -> NodeOutcome:
    """Have a running node copy the primary of `primary_id`, and take its fence away when it has. Idempotent."""
    seen = _require_node(instance)
    outcome = NodeOutcome()
    if order.check_mode:
        why, command = how_to_follow(seen, order.primary_id)
        if why or command:
            outcome.actions.append(f"would have {instance.title} follow {order.primary_id[:8]}")
        else:
            outcome = _of(instance, edited(instance, order, conf.unfence, "opened"))
        outcome.view, outcome.cluster = _view(instance, seen), seen.result()
        return outcome
    seen, actions = _join(instance, order)
    primary = seen.find(order.primary_id)
    where = primary.where if primary else ""
    order = dataclasses.replace(order, addresses=(where,))
    facts = await_in_step(instance, order, {where})
    compare(instance, facts, order)
    outcome = _of(instance, edited(instance, order, conf.unfence, "opened"), actions)
    outcome.actions += set_live(instance, order, own_stale(instance))
    kept = aside.close(instance)
    file = node_file.close(instance)
    seen = dataclasses.replace(see(instance), facts=facts)
    outcome.view, outcome.cluster = (
        {**_view(instance, seen), "previous_dir": kept, "previous_file": file},
        seen.result(),
    )
    return outcome


def how_to_follow(seen: Seen, primary_id: str) -> tuple[str, bool]:
    """What has to be waited for until a node can be made a replica, and whether it has to be told to. Pure."""
    me, primary = seen.me, seen.find(primary_id)
    if me.identity == primary_id:
        return "it is that node itself", False
    if primary is None:
        return f"it does not know the node {primary_id}", False
    if primary.is_replica:
        return f"{primary.where} is a replica itself, says {me.where}", False
    if me.is_replica:
        return "", me.primary != primary_id
    if me.slots:  # the others tell it soon that they are another's, if they are
        return f"it serves the slots {in_words(me.slots)} itself", False
    return "", True


def whole(instance: Instance, order: NodeOrder) -> NodeOutcome:
    """Wait until the running node sees its cluster whole, greeting nodes that it does not find. Idempotent."""
    seen = _require_node(instance)
    nodes = _wanted(order)
    compared = [str(row["id"]) for row in order.nodes if row.get("slots") is not None]
    outcome = NodeOutcome()
    begun = time.monotonic()
    greeted: dict[str, float] = {}
    pause = 0.05
    while True:
        missing = what_is_missing(seen, nodes, compared)
        now = time.monotonic()
        if not missing or order.check_mode:
            break
        if now - begun > order.wait:
            raise GroupError(
                f"{instance.title} does not see its cluster whole after {now - begun:.0f} s: {'; '.join(missing)}",
                untouched="It was only looked at" if not greeted else "No data was touched",
                hint="Start what is down, look at the logs and at the network between the cluster's bus ports; then "
                "run again",
            )
        for node in to_meet(seen, nodes):
            if now - greeted.get(node.identity, -_AGAIN) >= _AGAIN:
                first = node.identity not in greeted
                greeted[node.identity] = now
                call(instance, "CLUSTER", "MEET", node.host, node.port, *([node.bus_port] if node.bus_port else []))
                outcome.actions += [f"had {instance.title} greet {node.where} ({node.identity[:8]})"] if first else []
        time.sleep(pause)
        pause = min(pause * 1.5, 0.5)
        seen = see(instance)
    if order.check_mode:
        outcome.actions += [f"would have {instance.title} greet {node.where}" for node in to_meet(seen, nodes)]
    file = node_file.close(instance) if order.close and not order.check_mode else ""
    outcome.view, outcome.cluster = {**_view(instance, seen), "previous_file": file}, seen.result()
    return outcome


def released(instance: Instance, order: NodeOrder) -> NodeOutcome:
    """Everything as it was before `placed`; of a server that runs only the fence. Idempotent."""
    if order.down and not order.check_mode:
        require_stopped(instance.server.login, instance.paths.dir, instance.title, order.wait)
        instance.facts = None
    down = instance.facts is None
    path = instance.paths.nodes_file
    files: list[tuple[str, str, str]] = []
    actions: list[str] = []
    if down and node_file.is_open(instance):
        if not order.check_mode:
            require_stopped(instance.server.login, instance.paths.dir, instance.title, order.wait)
        before = read_nodes_file(path) or ""
        actions += node_file.put_back(instance, check_mode=order.check_mode)
        if not order.check_mode:
            files.append((path, before, read_nodes_file(path) or ""))
    if down and not order.check_mode:
        actions += aside.put_back(instance, order.wait)
    outcome = _of(instance, edited(instance, order, conf.before, "opened"), actions)
    outcome.files = files + outcome.files
    if not down:
        outcome.actions += set_live(instance, order, own_stale(instance))
    outcome.view = _view(instance, None if down else see(instance))
    return outcome


def _of(instance: Instance, outcome: Outcome, actions: Sequence[str] = ()) -> NodeOutcome:
    """What was done to redis.conf, after other actions."""
    files = [(instance.paths.config_file, outcome.before, outcome.after)] if outcome.changed else []
    return NodeOutcome([*actions, *outcome.actions], files=files)


def _wanted(order: NodeOrder) -> list[Node]:
    try:
        return nodes_of_rows(order.nodes)
    except (KeyError, TypeError, ValueError) as error:
        raise GroupError(
            f"nodes is no table of a cluster: {type(error).__name__} {error}",
            untouched=_UNTOUCHED,
            hint="Give rows as in topology.cluster.nodes of redis_instance_info, or of a backup's manifest",
        ) from None


def _require_down(instance: Instance, order: NodeOrder) -> None:
    """Raise GroupError when the server runs and was not told to stop; else wait until it has ended."""
    if instance.facts is not None and not order.down:
        raise GroupError(
            f"{instance.title} runs: it would write its own nodes.conf over another",
            untouched=_UNTOUCHED,
            hint="Stop it first; down: true waits for its end",
        )
    if not order.check_mode:
        wait = order.wait if order.down else 0
        require_stopped(instance.server.login, instance.paths.dir, instance.title, wait)
    instance.facts = None


def _nodes_path(instance: Instance) -> str:
    path = instance.paths.nodes_file
    if not path:
        raise GroupError(
            f"{instance.title} is not set up as a node of a cluster: cluster-enabled is not yes in "
            f"{instance.paths.config_file or 'any redis.conf that is known'}",
            untouched=_UNTOUCHED,
            hint="Give config_file, or service; or bring its redis.conf back first",
        )
    return path


def _require_node(instance: Instance) -> Seen:
    if instance.facts is None:
        hint = "Start it, then run again"
        raise GroupError(f"{instance.title} is down: {instance.why}", untouched=_UNTOUCHED, hint=hint)
    if instance.facts.mode != "cluster":
        raise GroupError(
            f"{instance.title} is no node of a cluster",
            untouched=_UNTOUCHED,
            hint="For a member of a replication group use redis_replica",
        )
    return see(instance)


def _await_takeover(instance: Instance, order: NodeOrder, lost: Node | None) -> Seen:
    begun = time.monotonic()
    while True:
        seen = see(instance)
        if not seen.me.is_replica and (lost is None or merged_ranges(seen.me.slots) == merged_ranges(lost.slots)):
            return seen
        if time.monotonic() - begun > order.wait:
            raise GroupError(
                f"{instance.title} was told to take over, and serves {in_words(seen.me.slots) or 'no slots'}",
                untouched="Its data was not touched",
                hint="Look at its log, then run again",
            )
        time.sleep(0.1)


def _join(instance: Instance, order: NodeOrder) -> tuple[Seen, list[str]]:
    """Wait until it is a replica of `primary_id`, and make it one where nobody else does. Raises GroupError."""
    begun = time.monotonic()
    actions: list[str] = []
    pause = 0.05
    while True:
        seen = see(instance)
        why, tell = how_to_follow(seen, order.primary_id)
        if not why and not tell:
            return seen, actions
        if tell:
            _require_replaceable(instance, seen, order)
            if not seen.me.is_replica and seen.facts.keys:
                call(instance, "FLUSHALL")
                actions.append(f"emptied {instance.title}, which held {seen.facts.keys} keys")
            call(instance, "CLUSTER", "REPLICATE", order.primary_id)
            actions.append(f"made {instance.title} a replica of {order.primary_id[:8]}")
        elif time.monotonic() - begun > order.wait or seen.me.identity == order.primary_id:
            raise GroupError(
                f"{instance.title} does not follow {order.primary_id[:8]}: {why}",
                untouched="Its data was not touched",
                hint="Look whether the nodes reach each other's bus ports (state: whole tells), then run again; a node "
                "that holds data of its own is stopped, and brought back with state: placed and set_aside: true",
            )
        time.sleep(pause)
        pause = min(pause * 1.5, 0.5)


def _require_replaceable(instance: Instance, seen: Seen, order: NodeOrder) -> None:
    if not seen.me.is_replica and seen.facts.keys and not order.replace_data:
        raise GroupError(
            f"{instance.title} is a primary with {seen.facts.keys} keys of its own, which it would throw away",
            untouched=_UNTOUCHED,
            hint="Stop it, and use state: placed with set_aside: true, which keeps them; or throw them away with "
            "replace_data: true",
        )


def _view(instance: Instance, seen: Seen | None = None) -> dict[str, Any]:
    """The value `node` of the module: of the running node, else of its nodes.conf."""
    path = instance.paths.config_file
    text = ""
    if path:
        try:
            text = read_conf(path)
        except OSError:
            text = ""
    found = {
        "id": "",
        "role": "",
        "primary_id": "",
        "in_step": False,
        "offset": None,
        "keys": None,
        "fenced": conf.is_fenced(text),
        "state": "",
        "slots_served": 0,
        "known": 0,
        "previous_dir": "",
        "previous_file": "",
    }
    if seen is None:
        written = read_nodes_file(instance.paths.nodes_file) if instance.paths.nodes_file else None
        nodes: Sequence[Node] = parse_nodes((written or "").encode(), "")
    else:
        nodes, facts = seen.nodes, seen.facts
        follows = facts.role == "replica"
        result = seen.result()
        found.update(
            in_step=follows and facts.link_up and not facts.syncing,
            offset=facts.number("slave_repl_offset" if follows else "master_repl_offset"),
            keys=facts.keys,
            state=seen.state,
            slots_served=result["slots_served"],
            known=len(result["nodes"]),
        )
    me = next((node for node in nodes if node.is_myself), None)
    if me is not None:
        found.update(id=me.identity, role="replica" if me.is_replica else "primary", primary_id=me.primary)
    return found
