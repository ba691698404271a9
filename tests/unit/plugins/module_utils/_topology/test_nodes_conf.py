# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A cluster's files, made from what is left of the knowledge about it."""

from __future__ import annotations

import dataclasses

import pytest
from ansible_collections.globalscope.redis_backup.plugins.module_utils._errors import RestoreError
from ansible_collections.globalscope.redis_backup.plugins.module_utils._server.cluster import (
    SLOTS,
    Node,
    cluster_result,
    current_epoch,
    parse_nodes,
)
from ansible_collections.globalscope.redis_backup.plugins.module_utils._topology.nodes_conf import (
    at_rest,
    compose,
    nodes_of_result,
    nodes_of_text,
    placed,
    sane_epochs,
    says_the_same,
    why_not,
    with_shard_ids,
)
from hypothesis import given
from hypothesis import strategies as st

A, B, C, D = ("a" * 40, "b" * 40, "c" * 40, "d" * 40)
SHARD = "5" * 40

TEXT = f"""\
{A} 10.0.0.1:6379@16379,db1,tls-port=0,shard-id={SHARD} myself,master - 0 0 4 connected 0-99 101 [100->-{B}]
{B} 10.0.0.2:6379@16379,,tls-port=0,shard-id={"6" * 40} master,fail - 0 1795456424534 2 connected 100 102-16383
{C} 10.0.0.3:6379@16379,,tls-port=0,shard-id={SHARD} slave {A} 0 1795456423000 4 connected
{D} :0@0,,tls-port=0,shard-id={"7" * 40} master,noaddr - 0 1795456423000 0 disconnected
vars currentEpoch 4 lastVoteEpoch 4
""".encode()


def node(identity: str, port: int, **more: object) -> Node:
    values: dict[str, object] = {"flags": frozenset({"master"}), **more}
    return Node(identity, "10.0.0.1", port, **values)  # type: ignore[arg-type]


def lines(text: str) -> list[str]:
    return text.splitlines()


def test_file_of_each_node() -> None:
    """Nobody has failed, nothing moves, the node without an address is gone, and each file has its own `myself`."""
    nodes = at_rest(nodes_of_text(TEXT))
    assert [each.identity for each in nodes] == [A, B, C]
    text = compose(nodes, C, flavour="valkey", version=(9, 1, 2), current_epoch=4)
    assert lines(text) == [
        f"{A} 10.0.0.1:6379@16379,db1,tls-port=0,shard-id={SHARD} master - 0 0 4 connected 0-99 101",
        f"{B} 10.0.0.2:6379@16379,,tls-port=0,shard-id={'6' * 40} master - 0 0 2 connected 100 102-16383",
        f"{C} 10.0.0.3:6379@16379,,tls-port=0,shard-id={SHARD} myself,slave {A} 0 0 4 connected",
        "vars currentEpoch 4 lastVoteEpoch 4",
    ]
    assert text.endswith("\n")
    assert "myself,master" in lines(compose(nodes, A, flavour="redis", version=(8, 2), current_epoch=4))[0]


def test_older_versions() -> None:
    """They know no auxiliary fields, and before 7.0 no host names."""
    nodes = at_rest(nodes_of_text(TEXT))
    first = lines(compose(nodes, A, flavour="redis", version=(7, 0, 15), current_epoch=4))[0]
    assert first.split()[1] == "10.0.0.1:6379@16379,db1"
    first = lines(compose(nodes, A, flavour="redis", version=(6, 2, 14), current_epoch=4))[0]
    assert first.split()[1] == "10.0.0.1:6379@16379"


def test_from_what_a_manifest_tells() -> None:
    """It has no shard ids but the teller's; those of other manifests are added, the rest is made up, alike for all."""
    found = nodes_of_result(cluster_result(parse_nodes(TEXT, ""), {}))
    assert [each.shard_id for each in found] == [SHARD, "", SHARD, ""]
    nodes = at_rest(found)
    assert [dataclasses.replace(each, aux=()) for each in nodes] == [
        dataclasses.replace(each, aux=()) for each in at_rest(nodes_of_text(TEXT))
    ]
    texts = [compose(nodes, each, flavour="valkey", version=(8, 0), current_epoch=4) for each in (A, B, C)]
    shards = [[each.shard_id for each in parse_nodes(text.encode(), "")] for text in texts]
    assert shards[0] == shards[1] == shards[2]
    assert shards[0][0] == shards[0][2] == SHARD != shards[0][1]
    fuller = with_shard_ids(nodes, [nodes_of_text(TEXT)])
    assert [each.shard_id for each in fuller] == [SHARD, "6" * 40, SHARD]


def test_new_addresses() -> None:
    nodes = placed(at_rest(nodes_of_text(TEXT)), {A: ("10.0.9.1", 7000), B: ("10.0.0.2", 6379)})
    assert (nodes[0].where, nodes[0].bus_port, nodes[0].hostname) == ("10.0.9.1:7000", 17000, "")
    assert nodes[0].shard_id == SHARD
    assert nodes[1] == at_rest(nodes_of_text(TEXT))[1]
    own_bus = node(A, 6379, bus_port=20000)
    assert placed([own_bus], {A: ("10.0.9.1", 7000)})[0].bus_port == 20000


def test_without() -> None:
    nodes = nodes_of_text(TEXT)
    assert [each.identity for each in at_rest(nodes, [C])] == [A, B]
    assert [each.identity for each in at_rest(nodes, [A])] == [B]


@pytest.mark.parametrize(
    ("nodes", "words"),
    [
        ([node("x", 1)], "'x' is no id of a node"),
        ([node(A, 0, slots=((0, 16383),))], "node aaaaaaaa has no address"),
        ([dataclasses.replace(node(A, 1), host="a b")], "node aaaaaaaa has no address"),
        ([node(A, 1), node(A, 2)], f"two nodes have the id {A}"),
        ([node(A, 1), node(B, 1)], "two nodes have the address 10.0.0.1:1"),
        (
            [node(A, 1, slots=((0, 9),)), node(B, 2, slots=((9, 16383),))],
            "slot 9 belongs to two nodes, aaaaaaaa and bb",
        ),
        ([node(A, 1, slots=((0, 9), (11, 16382)))], "2 slots belong to nobody (10, 16383)"),
        ([node(A, 1, flags=frozenset({"slave"}), slots=((0, 9),))], "node aaaaaaaa is a replica and has slots"),
    ],
)
def test_what_makes_no_cluster(nodes: list[Node], words: str) -> None:
    assert words in why_not(nodes)
    with pytest.raises(RestoreError, match="cannot be put together again"):
        compose(nodes, nodes[0].identity, flavour="redis", version=(7, 0), current_epoch=1)


def test_stranger() -> None:
    with pytest.raises(RestoreError, match=f"no node has the id {D}"):
        compose(at_rest(nodes_of_text(TEXT)), D, flavour="redis", version=(7, 0), current_epoch=1)


def test_epochs() -> None:
    """Those that differ stay; else all are given anew, in their order."""
    nodes, current = sane_epochs(at_rest(nodes_of_text(TEXT)), 9)
    assert ([each.epoch for each in nodes], current) == ([4, 2, 4], 9)
    same = [dataclasses.replace(each, epoch=3) for each in nodes]
    nodes, current = sane_epochs(same)
    assert ([each.epoch for each in nodes], current) == ([1, 2, 1], 2)
    assert sane_epochs([], 5) == ([], 5)


IDS = st.lists(st.integers(0, 2**160 - 1).map(lambda number: f"{number:040x}"), min_size=1, max_size=12, unique=True)


@given(IDS, st.integers(1, 6), st.lists(st.integers(0, 9), min_size=12, max_size=12), st.data())
def test_what_is_composed_reads_back(ids: list[str], shards: int, epochs: list[int], data: st.DataObject) -> None:
    """Whatever the slots and epochs: every file tells the same cluster, and a server would take it."""
    heads = ids[:shards]
    cuts = sorted(data.draw(st.lists(st.integers(1, SLOTS - 1), min_size=0, max_size=20, unique=True)))
    nodes = []
    ranges: dict[str, list[tuple[int, int]]] = {head: [] for head in heads}
    for first, end in zip([0, *cuts], [*cuts, SLOTS], strict=True):
        ranges[data.draw(st.sampled_from(heads))].append((first, end - 1))
    for at, identity in enumerate(ids):
        head = heads[at % len(heads)]
        own = (
            {"slots": tuple(ranges[identity])} if at < len(heads) else {"flags": frozenset({"slave"}), "primary": head}
        )
        nodes.append(node(identity, 7000 + at, epoch=epochs[at], **own))
    nodes, current = sane_epochs(at_rest(nodes), 7)
    seen = []
    for identity in ids:
        text = compose(nodes, identity, flavour="valkey", version=(9, 1), current_epoch=current)
        read = parse_nodes(text.encode(), "")
        assert [each.identity for each in read if each.is_myself] == [identity]
        assert current_epoch(text) == current >= max(each.epoch for each in read)
        assert why_not(read) == ""
        seen.append([dataclasses.replace(each, flags=each.flags - {"myself"}) for each in read])
    assert all(each == seen[0] for each in seen)
    primaries = [each for each in seen[0] if not each.is_replica]
    assert len({each.epoch for each in primaries}) == len(primaries)
    assert len({each.shard_id for each in seen[0]}) == len(primaries)


def test_files_that_say_the_same() -> None:
    """What a server writes of its own, times above all, is no difference; what it would start with is."""
    nodes = at_rest(nodes_of_text(TEXT))
    text = compose(nodes, C, flavour="valkey", version=(9, 1, 2), current_epoch=4)
    assert says_the_same(text, text.replace(" 0 0 4 ", " 0 1795456423000 4 ").replace(",db1", ","))
    assert says_the_same(text, compose(nodes, C, flavour="redis", version=(7, 0), current_epoch=4))
    for old, new in (
        ("currentEpoch 4", "currentEpoch 5"),
        ("0-99", "0-98"),
        ("myself,slave", "slave"),
        ("10.0.0.2:6379", "10.0.0.2:6380"),
        ("connected 100 102-16383", f"connected 100 102-16383 [100->-{A}]"),
        ("6" * 40, "9" * 40),
    ):
        assert old in text and not says_the_same(text, text.replace(old, new))
