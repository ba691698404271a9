# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The fence of a replica in redis.conf, put up and taken away."""

from __future__ import annotations

import pytest
from ansible_collections.globalscope.redis_backup.plugins.module_utils._config.conf_file import parse
from ansible_collections.globalscope.redis_backup.plugins.module_utils._config.replica import (
    STALE,
    attach,
    before,
    detach,
    fence,
    follow,
    forget_detached,
    is_detached,
    is_fenced,
    own_primary,
    own_stale,
    unfence,
)
from hypothesis import example, given
from hypothesis import strategies as st

PRIMARY = ("10.0.0.1", 6379)
LINES = st.lists(
    st.one_of(
        st.sampled_from(
            [
                "port 6379",
                "# a comment",
                "",
                "\tsave 900 1",
                f"{STALE} yes",
                f"{STALE} no",
                "slave-serve-stale-data yes",
                "replicaof 10.0.0.1 6379",
                "slaveof db2.example 6380",
                "replicaof no one",
                "include /etc/redis/more.conf",
            ]
        ),
        st.text(st.characters(blacklist_characters="\n", blacklist_categories=["Cs"]), max_size=20),
    ),
    max_size=8,
)


@given(LINES, st.sampled_from(["\n", "\r\n"]))
@example([f"{STALE} no", f"{STALE} yes"], "\n")
def test_a_fence_is_undone(lines: list[str], end: str) -> None:
    text = "".join(line + end for line in lines)
    fenced = fence(text, PRIMARY)
    assert is_fenced(fenced) and not is_fenced(text)
    assert fenced.startswith(text)
    assert own_primary(fenced) == PRIMARY and own_stale(fenced) == "no"
    assert fence(fenced, PRIMARY) == fenced
    assert unfence(fenced) == text
    assert own_primary(fence(fenced, ("10.0.0.9", 1))) == ("10.0.0.9", 1)
    assert before(fence(fenced, ("10.0.0.9", 1))) == text


@given(LINES)
def test_a_replica_that_follows_has_one_line_for_it(lines: list[str]) -> None:
    text = "".join(line + "\n" for line in lines)
    done = follow(fence(text, PRIMARY), PRIMARY)
    assert own_primary(done) == PRIMARY and not is_fenced(done)
    assert own_stale(done) == own_stale(text)
    assert follow(done, PRIMARY) == done
    if own_primary(text) == PRIMARY:
        assert done == text


@given(LINES)
def test_a_detached_replica_is_attached_again(lines: list[str]) -> None:
    text = "".join(line + "\n" for line in lines)
    detached = detach(text)
    assert own_primary(detached) is None
    assert attach(detached) == text and before(detached) == text
    assert detach(detached) == detached
    assert not is_detached(forget_detached(detached)) and own_primary(forget_detached(detached)) is None


@pytest.mark.parametrize("own", ["", f"{STALE} yes\n", f"{STALE} no\n"])
def test_a_rewrite_by_the_server_in_between_is_survived(own: str) -> None:
    """CONFIG REWRITE puts our values into the first lines of their names, and drops the others."""
    text = f"port 6379\n{own}replicaof 10.0.0.7 6379\nsave 900 1\n"
    mark = next(line for line in fence(text, PRIMARY).splitlines() if line.startswith("#"))
    moved = f"{STALE} no\n" if own else ""
    rewritten = f"port 6379\n{moved}replicaof 10.0.0.1 6379\nsave 900 1\n{mark}\n" + ("" if own else f"{STALE} no\n")
    opened = unfence(rewritten)
    assert own_primary(opened) == ("10.0.0.7", 6379)
    assert own_stale(opened) == own_stale(text)
    assert "save 900 1\n" in opened and not is_fenced(opened)
    followed = follow(rewritten, PRIMARY)
    assert own_primary(followed) == PRIMARY and own_stale(followed) == own_stale(text)


def test_what_redis_reads_is_a_replica_that_answers_nothing() -> None:
    found = {d.name: d.args for d in parse(fence("port 1\nslaveof a 2\n", PRIMARY), "redis.conf")}
    assert found["replicaof"] == ("10.0.0.1", "6379") and found[STALE] == ("no",)


@given(LINES)
def test_a_node_of_a_cluster_is_fenced_without_a_primary(lines: list[str]) -> None:
    """replicaof is fatal there; all else is as in a replication group."""
    text = "".join(line + "\n" for line in lines if not line.strip().lower().startswith(("replicaof", "slaveof")))
    fenced = fence(text)
    assert is_fenced(fenced) and own_stale(fenced) == "no" and own_primary(fenced) is None
    assert fence(fenced) == fenced
    assert unfence(fenced) == text
