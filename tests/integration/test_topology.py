# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What real servers tell of their place among others, up and down, and the groups that are made of it."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from ansible_collections.globalscope.redis_backup.plugins.module_utils._topology.choose import choose_sources
from ansible_collections.globalscope.redis_backup.plugins.module_utils._topology.groups import groups

from support.clusters import identity, make_cluster, table
from support.groups import NAME, Group, following, make_group, make_sentinel, sentinel_master, view
from support.modules import finish, start_module
from support.plays import run_playbook
from support.servers import BUILD_NAMES, Build, BuildMissing, RedisProcess, build_named
from support.waiting import wait_for

MakeServer = Callable[..., RedisProcess]

_OTHERS = [pytest.param(name, marks=pytest.mark.long) for name in BUILD_NAMES if name != "redis-7.0"]


@pytest.fixture(params=["redis-7.0", *_OTHERS])
def version(request: pytest.FixtureRequest) -> Build:
    """One version, with --long all: what takes its time here is waiting."""
    try:
        return build_named(request.param)
    except BuildMissing as error:
        pytest.skip(str(error))


def look(servers: Sequence[RedisProcess]) -> list[dict[str, Any]]:
    """Members as the role gathers them: each server on a host of its own, h0, h1 and so on."""
    arguments = [{**server.connection, "config_file": str(server.conf_path)} for server in servers]
    looks = [start_module("redis_instance_info", {**each, "required": False}) for each in arguments]
    found = []
    for number, (each, process) in enumerate(zip(arguments, looks, strict=True)):
        entry = {"name": f"h{number}", "service": "", "module_args": each}
        member = {"host": f"h{number}", "reachable": True, "entry": entry}
        found.append({**member, "instance": finish(process, "redis_instance_info")["instance"]})
    return found


def one(members: list[dict[str, Any]]) -> dict[str, Any]:
    """The only group of these members."""
    (found,) = groups(members)
    return found


def shape(found: dict[str, Any]) -> list[tuple[str | None, list[str]]]:
    """Primary and replicas of each shard."""
    return [(shard["primary"], shard["replicas"]) for shard in found["shards"]]


def told(member: dict[str, Any]) -> dict[str, Any]:
    """What a member told of its topology."""
    found: dict[str, Any] = member["instance"]["topology"]
    return found


# --- replication and Sentinel ---


# It tries again and again, and for a moment looks as if it received something.
BROKEN = ("h1: its link to the primary is down", "h1: it is receiving its primary's data")


def break_link(primary: RedisProcess, replica: RedisProcess) -> None:
    """Have a primary refuse a replica from now on, and cut its link."""
    with primary.client() as client:
        client.execute_command("ACL", "SETUSER", "default", "-psync", "-sync")
    with replica.client() as client:
        client.execute_command("CLIENT", "KILL", "TYPE", "master")
    wait_for(lambda: following(replica) == 0, "the link to break")


def test_group(version: Build, make_server: MakeServer) -> None:
    """Whole, with a part of it unknown, with a broken link, and all down: the same group each time."""
    group = make_group(make_server, version, requirepass="secret")
    members = look(group.everything)
    assert [member["instance"]["role"] for member in members] == ["primary", *["replica"] * 2, *["sentinel"] * 3]
    assert {told(member)["source"] for member in members} == {"server"}
    head, follower, watcher = told(members[0]), told(members[1]), told(members[3])
    assert {each["port"] for each in head["replicas"]} == {replica.port for replica in group.replicas}
    assert {each["state"] for each in head["replicas"]} == {"online"}
    assert (follower["primary"]["port"], follower["primary"]["link_up"]) == (group.primary.port, True)
    assert follower["replid"] == head["replid"] != ""
    assert follower["offset"] > 0 < head["offset"]
    assert f"127.0.0.1:{group.primary.port}" in head["addresses"]
    (master,) = watcher["sentinel"]["masters"]
    assert (master["name"], master["port"], master["ok"], master["quorum_ok"]) == (NAME, group.primary.port, True, True)
    assert (master["num_sentinels"], master["num_replicas"], master["quorum"]) == (3, 2, 2)
    assert sorted(master["replicas"]) == sorted(f"127.0.0.1:{replica.port}" for replica in group.replicas)
    ids = [told(member)["sentinel"]["my_id"][:8] for member in members[3:]]
    wait_for(
        lambda: sorted(each["id"] for each in told(look([group.primary])[0])["watched_by"]) == sorted(ids),
        "the Sentinels to listen",
    )

    found = one(members)
    assert (found["id"], found["kind"], found["healthy"], found["findings"]) == (NAME, "replication", True, [])
    assert shape(found) == [("h0", ["h1", "h2"])]
    assert found["sentinels"] == ["h3", "h4", "h5"]
    assert choose_sources([found], members)[NAME]["member"] == "h1"

    part = one([members[0], *members[2:5]])
    assert part["missing"] == [
        f"127.0.0.1:{group.replicas[0].port} (replica of h0) is not in the inventory",
        f"127.0.0.1:{group.sentinels[2].port} (Sentinel of {NAME}) is not in the inventory",
    ]
    assert choose_sources([part], members)[NAME]["member"] == "h2"

    break_link(group.primary, group.replicas[0])
    members = look(group.everything)
    found = one(members)
    assert shape(found) == [("h0", ["h1", "h2"])]
    (words,) = found["findings"]
    assert words in BROKEN
    choice = choose_sources([found], members)[NAME]
    assert (choice["member"], choice["passed_over"]) == ("h2", [words])

    for server in group.everything:
        server.kill()
    members = look(group.everything)
    assert {told(member)["source"] for member in members} == {"files"}
    found = one(members)
    assert (found["id"], found["healthy"], found["missing"]) == (NAME, False, [])
    assert shape(found) == [("h0", ["h1", "h2"])]
    assert found["sentinels"] == ["h3", "h4", "h5"]
    group.primary.conf_path.unlink()
    group.sentinels[0].conf_path.unlink()
    members = look(group.everything)
    assert [told(members[number])["source"] for number in (0, 3)] == ["nothing", "nothing"]
    found = one(members)
    assert shape(found) == [("h0", ["h1", "h2"])]
    assert found["sentinels"] == ["h3", "h4", "h5"]


def test_after_a_failover(version: Build, make_server: MakeServer) -> None:
    """The former primary is down, and its files say that it is one: it is not taken for it, nor when all is down."""
    group = make_group(make_server, version)
    group.primary.kill()
    group.set_in_sentinels("down-after-milliseconds", 500)
    by_port = {replica.port: replica for replica in group.replicas}
    new = wait_for(lambda: by_port.get(agreed(group)), "the failover", 60)
    group.set_in_sentinels("down-after-milliseconds", 60000)
    other = next(replica for replica in group.replicas if replica is not new)
    wait_for(lambda: following(other) == new.port, "the other replica to follow", 60)
    members = look(group.everything)
    names = {server.port: f"h{number}" for number, server in enumerate(group.everything)}
    wanted = (names[new.port], sorted(["h0", names[other.port]]))
    assert shape(one(members)) == [wanted]
    assert told(members[0])["role"] == "primary"
    for server in group.everything:
        server.kill()
    assert shape(one(look(group.everything))) == [wanted]
    old, rest = groups(look(group.servers))  # without the Sentinels nothing tells that these belong together
    assert [shape(old), shape(rest)] == [[("h0", [])], [(names[new.port], [names[other.port]])]]


def agreed(group: Group) -> int:
    """The port of the primary on which all Sentinels agree, 0 while they do not."""
    ports = {view(sentinel)[0] for sentinel in group.sentinels}
    return ports.pop() if len(ports) == 1 else 0


def test_groups_apart(any_build: Build, make_server: MakeServer) -> None:
    """One Sentinel for two groups, an unknown Sentinel for one, and a server alone."""
    first, second, alone = (make_server(any_build) for _number in range(3))
    replica = make_server(any_build, conf={"replicaof": f"127.0.0.1 {second.port}"})
    wait_for(lambda: following(replica) == second.port, "the replica to follow")
    lines = [f"monitor {name} 127.0.0.1 {server.port} 1" for name, server in (("shop", first), ("cart", second))]
    both = make_sentinel(make_server, any_build, lines)
    stranger = make_sentinel(make_server, any_build, lines[1:])
    servers = [first, second, alone, replica, both]
    wait_for(lambda: len(told(look([second])[0])["watched_by"]) == 2, "both Sentinels to listen")
    wait_for(lambda: sentinel_master(both, "cart")["num-other-sentinels"] == "1", "the Sentinels to meet")
    shop, cart, third = groups(look(servers))
    assert [found["id"] for found in (shop, cart, third)] == ["shop", "cart", "h2"]
    assert [shape(found) for found in (shop, cart, third)] == [[("h0", [])], [("h1", ["h3"])], [("h2", [])]]
    assert shop["sentinels"] == cart["sentinels"] == ["h4"]
    assert shop["missing"] == third["missing"] == []
    assert cart["missing"] == [f"127.0.0.1:{stranger.port} (Sentinel of cart) is not in the inventory"]
    (cart, _third) = groups(look([second, alone, replica]))
    assert len(cart["missing"]) == 2
    assert all(words.startswith("a Sentinel on 127.0.0.1 (id ") for words in cart["missing"])


@pytest.mark.parametrize("rights", ["+info +config|get", "+info +config|get +pubsub|numsub +client|list"])
def test_login_with_few_rights(any_build: Build, make_server: MakeServer, rights: str) -> None:
    group = make_group(make_server, any_build, replicas=1, sentinels=1)
    for server in group.servers:
        with server.client() as client:
            client.execute_command("ACL", "SETUSER", "looker", "reset", "on", ">pw", "-@all", *rights.split())
    wait_for(lambda: told(look([group.primary])[0])["watched_by"], "the Sentinel to listen")
    members = look(group.everything)
    for member, server in zip(members[:2], group.servers, strict=True):
        login = {**server.connection, "login_user": "looker", "login_password": "pw"}
        member["instance"] = finish(start_module("redis_instance_info", login), "redis_instance_info")["instance"]
    assert bool(told(members[0])["watched_by"]) == ("numsub" in rights)
    assert shape(one(members)) == [("h0", ["h1"])]


# --- cluster ---


@pytest.fixture
def cluster(version: Build, make_server: MakeServer) -> list[RedisProcess]:
    """Three primaries, and a replica of each."""
    return make_cluster(make_server, version, replicas=1)


WHOLE = [("h0", ["h3"]), ("h1", ["h4"]), ("h2", ["h5"])]


def test_cluster(cluster: list[RedisProcess]) -> None:
    """Whole, with nodes that the inventory lacks, while slots move, and all down with what files are left."""
    members = look(cluster)
    ids = [identity(node) for node in cluster]
    for number, member in enumerate(members):
        mine = told(member)
        assert (mine["mode"], mine["cluster"]["my_id"], mine["cluster"]["state"]) == ("cluster", ids[number], "ok")
        assert (mine["cluster"]["slots_served"], len(mine["cluster"]["nodes"])) == (16384, 6)
        assert mine["role"] == ("primary" if number < 3 else "replica")
    shards = {told(member)["cluster"]["shard_id"] for member in members}
    assert shards == {""} or len(shards) == 3
    found = one(members)
    assert (found["kind"], found["healthy"], found["missing"], found["findings"]) == ("cluster", True, [], [])
    assert shape(found) == WHOLE
    assert [shard["slots"] for shard in found["shards"]] == [[[0, 5460]], [[5461, 10921]], [[10922, 16383]]]
    assert [shard["slot_owner_id"] for shard in found["shards"]] == ids[:3]
    assert [each["member"] for each in choose_sources([found], members).values()] == ["h3", "h4", "h5"]
    name, shard_ids = found["id"], [shard["id"] for shard in found["shards"]]

    part = one([member for member in members if member["host"] not in ("h1", "h5")])
    assert sorted(part["missing"]) == sorted(
        [
            f"127.0.0.1:{cluster[1].port} (primary) is not in the inventory",
            f"127.0.0.1:{cluster[5].port} (replica of 127.0.0.1:{cluster[2].port}) is not in the inventory",
        ]
    )
    assert shape(part) == [("h0", ["h3"]), (None, ["h4"]), ("h2", [])]

    with cluster[0].client() as client:
        client.execute_command("CLUSTER", "SETSLOT", 7, "MIGRATING", ids[1])
    moving = one(look(cluster))
    assert f"127.0.0.1:{cluster[0].port} [7->-{ids[1]}]" in moving["moving"]
    assert moving["healthy"]
    with cluster[0].client() as client:
        client.execute_command("CLUSTER", "SETSLOT", 7, "STABLE")

    for node in cluster:
        node.kill()
    members = look(cluster)
    assert {told(member)["source"] for member in members} == {"files"}
    assert [told(member)["cluster"]["my_id"] for member in members] == ids
    found = one(members)
    assert (found["id"], found["healthy"]) == (name, False)
    assert shape(found) == WHOLE
    for node in cluster[1:]:
        (node.data_dir / "nodes.conf").unlink()
    cluster[5].conf_path.unlink()
    found = one(look(cluster))
    assert (found["id"], [shard["id"] for shard in found["shards"]]) == (name, shard_ids)
    assert shape(found) == WHOLE
    assert found["missing"] == []


def test_node_that_starts_empty(cluster: list[RedisProcess]) -> None:
    """A node whose disk was lost is another node: the cluster takes its address from it, and both are told."""
    lost = identity(cluster[4])
    cluster[4].kill()
    (cluster[4].data_dir / "nodes.conf").unlink()
    cluster[4].start()
    wait_for(lambda: all(" :0@0" in line for line in table(cluster[0]) if lost in line), "the node to be forgotten")
    rest, alone = groups(look(cluster))
    assert shape(rest) == [("h0", ["h3"]), ("h1", []), ("h2", ["h5"])]
    assert rest["missing"] == [f"node {lost[:8]} (replica of 127.0.0.1:{cluster[1].port}) is not in the inventory"]
    assert not rest["healthy"]
    assert "h4 knows no other node of a cluster" in alone["findings"]


def test_slots_that_move_as_a_whole(make_server: MakeServer) -> None:
    """Valkey 9 copies a slot behind the scenes, and CLUSTER NODES tells nothing of it."""
    try:
        build = build_named("valkey-9.1")
    except BuildMissing as error:
        pytest.skip(str(error))
    nodes = make_cluster(make_server, build, **{"cluster-node-timeout": "60000"})
    pid, receiver = nodes[1].pid, identity(nodes[1])
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)  # as long as the receiver says nothing, the move lasts
    try:
        with nodes[0].client() as client:
            client.execute_command("CLUSTER", "MIGRATESLOTS", "SLOTSRANGE", 7, 9, "NODE", receiver)
        members = look([nodes[0]])
    finally:
        os.kill(pid, signal.SIGCONT)
    assert not [line for line in table(nodes[0]) if "[" in line]
    (found,) = told(members[0])["cluster"]["moving"]
    assert found.startswith(f"127.0.0.1:{nodes[0].port} EXPORT 7-9 ")
    wait_for(lambda: told(look([nodes[0]])[0])["cluster"]["moving"] == [], "the move to end")


# --- the role's part ---


def test_role(any_build: Build, make_server: MakeServer) -> None:
    """All hosts of a play are looked at once; a host that does not answer, and a wrong password, end nothing."""
    group = make_group(make_server, any_build, requirepass="quite-secret")
    hosts: dict[str, Any] = {}
    for number, server in enumerate(group.everything):
        hosts[f"h{number}"] = {"redis_instances": [{**server.connection, "config_file": str(server.conf_path)}]}
    hosts["h0"]["redis_instances"].append({"name": "locked", **group.replicas[0].connection, "login_password": "wrong"})
    hosts["h1"]["redis_instances"] = [{"name": "nobody", "login_port": 1}]
    lost = [{"login_port": group.replicas[0].port}, {"login_port": 6390}]
    ssh = {"ansible_connection": "ssh", "ansible_host": "127.0.0.1", "ansible_port": 9}
    hosts["lost"] = {**ssh, "redis_instances": lost}
    share = {"name": "globalscope.redis_backup.redis_common", "tasks_from": "topology"}
    play = [
        {
            "hosts": "redis",
            "gather_facts": False,
            "tasks": [
                {"name": "Look", "ansible.builtin.include_role": share},
                {"name": "Tell", "ansible.builtin.debug": {"var": "redis_common_groups"}},
                {"name": "Count", "ansible.builtin.debug": {"msg": "{{ redis_common_members | length }}"}},
            ],
        }
    ]
    done = run_playbook(play, {"redis": {"hosts": hosts}}, arguments=["-vv"]).ok()
    assert "quite-secret" not in done.stdout
    assert [done.last("Count", host)["msg"] for host in ("h0", "h1", "lost")] == [2, 1, 2]
    seen = done.last("Tell", "h5")["redis_common_groups"]
    assert done.last("Tell", "lost")["redis_common_groups"] == seen
    names = [f"h{number}-{server.port}" for number, server in enumerate(group.everything)]
    by_id = {found["id"]: found for found in seen}
    assert sorted(by_id) == sorted([NAME, "locked", "nobody", "lost-6390", f"lost-{group.replicas[0].port}"])
    assert shape(by_id[NAME]) == [(names[0], [names[2]])]
    assert by_id[NAME]["sentinels"] == names[3:]
    assert by_id[NAME]["missing"] == [
        f"127.0.0.1:{group.replicas[0].port} (replica of {names[0]}) is not in the inventory"
    ]
    assert by_id["lost-6390"]["unreachable"] == ["lost-6390"]
    assert "refused the login" in by_id["locked"]["findings"][0]
    assert "nobody is down" in by_id["nobody"]["findings"][0]


@pytest.mark.long
def test_instance_that_hangs(any_build: Build, make_server: MakeServer) -> None:
    """It is passed over after a time, and the next one is looked at."""
    hung, well = make_server(any_build), make_server(any_build)
    pid = hung.pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    instances = [{"name": "hung", **hung.connection}, {"name": "well", **well.connection}]
    look_at = {
        "name": "Look",
        "ansible.builtin.include_role": {"name": "globalscope.redis_backup.redis_common", "tasks_from": "topology"},
        "vars": {"redis_common_look_timeout": 20},
    }
    tell = {"name": "Tell", "ansible.builtin.debug": {"var": "redis_common_groups"}}
    play = [{"hosts": "redis", "gather_facts": False, "tasks": [look_at, tell]}]
    done = run_playbook(play, {"redis": {"hosts": {"h0": {"redis_instances": instances}}}}).ok()
    first, second = done.last("Tell")["redis_common_groups"]
    assert "Timed out" in first["findings"][0]
    assert second["healthy"]
