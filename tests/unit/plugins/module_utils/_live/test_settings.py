# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings that are lent: what they were is never forgotten, whatever cut an earlier run short."""

from __future__ import annotations

from ansible_collections.globalscope.redis_backup.plugins.module_utils._live.settings import (
    Lent,
    as_entries,
    lent_of,
    plan,
    to_return,
)
from hypothesis import given
from hypothesis import strategies as st

VALUES = st.sampled_from(["a", "b", "c"])
NAMES = ["one", "two"]


def test_what_was_there_is_noted() -> None:
    assert plan({"one": "x"}, {"one": "a"}, []) == [Lent("one", "a", "x")]


def test_what_a_first_run_has_set_is_not_taken_for_the_servers_own() -> None:
    first = plan({"one": "x", "two": "y"}, {"one": "a", "two": "b"}, [])
    # Killed behind the first of the two.
    assert plan({"one": "x", "two": "y"}, {"one": "x", "two": "b"}, first) == first


def test_a_server_that_was_started_anew_tells_its_own() -> None:
    first = plan({"one": "x"}, {"one": "a"}, [])
    assert plan({"one": "x"}, {"one": "c"}, first) == [Lent("one", "c", "x")]


def test_what_is_not_asked_for_again_stays_noted() -> None:
    assert plan({"two": "y"}, {"two": "b"}, [Lent("one", "a", "x")]) == [Lent("one", "a", "x"), Lent("two", "b", "y")]


def test_only_what_is_still_ours_goes_back_and_the_last_first() -> None:
    lent = [Lent("one", "a", "x"), Lent("two", "b", "y"), Lent("three", "c", "c")]
    assert to_return(lent, {"one": "x", "two": "y", "three": "c"}) == [("two", "b"), ("one", "a")]
    assert to_return(lent, {"one": "else", "two": "y"}) == [("two", "b")]


def test_a_journal_keeps_them() -> None:
    lent = [Lent("one", "a", "x")]
    assert lent_of(as_entries(lent)) == lent


@given(own=st.fixed_dictionaries(dict.fromkeys(NAMES, VALUES)), kills=st.lists(st.integers(0, 2), max_size=4))
def test_however_often_it_is_killed_the_servers_own_come_back(own: dict[str, str], kills: list[int]) -> None:
    """Each run notes, then sets so many of the two, and is killed; the last one is not."""
    server, noted = dict(own), []
    wanted = {"one": "ours", "two": "ours too"}
    for made in [*kills, len(NAMES)]:
        noted = plan(wanted, server, noted)
        for name in NAMES[:made]:
            server[name] = wanted[name]
    for name, value in to_return(noted, server):
        server[name] = value
    assert server == own
