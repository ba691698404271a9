# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a server holds after a play, by its own words."""

from __future__ import annotations

import pytest
from ansible_collections.globalscope.redis_backup.plugins.module_utils._live.outcome import (
    REFUSED,
    TAKEN,
    UNKNOWN,
    Announced,
    announce,
    announced_of,
    follows_us,
    outcome,
)
from ansible_collections.globalscope.redis_backup.plugins.module_utils._server.facts import Facts

OWN = "a" * 40
PLAYED = Announced("restored", "10.0.0.9", 7000, OWN, 10_000_000, "run one")


def facts(**info: object) -> Facts:
    known = {"run_id": "run one", "role": "master", "master_replid": OWN, "master_repl_offset": 77}
    known.update(master_replid2="0" * 40, second_repl_offset=-1)
    return Facts({name: str(value) for name, value in {**known, **info}.items()})


@pytest.mark.parametrize(
    ("found", "wanted"),
    [
        (facts(), REFUSED),
        (facts(role="slave"), REFUSED),
        (facts(role="slave", master_repl_offset=10_000_000), TAKEN),
        # A primary again, under an id of its own; an hour later nothing but the offset is left.
        (facts(master_replid="b" * 40, master_replid2=OWN, master_repl_offset=10_000_050), TAKEN),
        (facts(master_replid="b" * 40, master_repl_offset=10_000_050), TAKEN),
        (facts(master_replid="b" * 40, master_replid2=OWN, second_repl_offset=78), REFUSED),
        (facts(run_id="run two", master_replid="c" * 40), UNKNOWN),
    ],
)
def test_the_offset_tells(found: Facts, wanted: str) -> None:
    assert outcome(found, PLAYED) == wanted


def test_nothing_was_played() -> None:
    assert outcome(facts(), None) == REFUSED
    assert announced_of({}) is None


def test_no_replica_of_the_target_can_go_on() -> None:
    """The offset is far ahead of all that a replica can have, and of every other play's."""
    one, two = (announce("restored", "h", 1, facts()) for _turn in range(2))
    assert one.replid == OWN and one.run_id == "run one"
    assert one.offset > 77 + 2**39 and one.offset != two.offset
    assert announced_of(one.entry()) == one


def test_whose_replica_it_is() -> None:
    assert follows_us(facts(role="slave", master_host="10.0.0.9", master_port=7000), PLAYED)
    assert not follows_us(facts(role="slave", master_host="10.0.0.9", master_port=7001), PLAYED)
    assert not follows_us(facts(), PLAYED)
    assert not follows_us(facts(role="slave", master_host="10.0.0.9", master_port=7000), None)
