# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""redis_config for random settings on any redis.conf: the wish is met, now and after a restart, and nothing else moves.

What that means in full is support.trial; the directives are support.directives, the files support.confs.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

pytest.register_assert_rewrite("support.trial")

from support.confs import NAMES, Conf, accepts, conf_named
from support.directives import DEFAULT, Directive, Wish
from support.reference import Reference
from support.servers import Build, builds
from support.trial import Trial, Wanted, names_in

LONG = settings().max_examples > 1000
PROPERTY = settings(
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example],
)

Draft = list[tuple[Directive, str, Wish]]


@pytest.fixture(scope="module")
def references() -> Iterator[dict[str, Reference]]:
    """One reference for each build."""
    found = {build.name: Reference(build) for build in builds()}
    yield found
    for reference in found.values():
        reference.close()


@st.composite
def drafts(draw: st.DrawFn, reference: Reference, conf: Conf, low: int) -> Draft:
    """Settings for a file: half of the directives from those that stand in it. No server is asked."""
    written = {name for text in [conf.text, *conf.others.values()] for name in names_in(text)}
    present = [row for row in reference.known if written.intersection(row.names)]
    rows = st.sampled_from(reference.known)
    if present:
        rows = st.sampled_from(present) | rows
    found = []
    for row in draw(st.lists(rows, min_size=low, max_size=12, unique_by=str)):
        wish = DEFAULT if draw(st.integers(0, 9)) == 9 else draw(row.wishes)
        name = draw(st.sampled_from(reference.names(row)))
        found.append((row, draw(st.sampled_from([name, name, name.upper(), name.capitalize()])), wish))
    # Names of files that exist: they are carried over in a run of their own.
    carried = {"cluster-config-file"} if b"cluster-enabled yes" in conf.text else set()
    if b"appendonly yes" in conf.text or any(str(row) == "appendonly" for row, _name, _wish in found):
        carried |= {"appendfilename", "appenddirname"}
    found = [each for each in found if str(each[0]) not in carried]
    assume(found)
    return found


def one_of(strategy: st.SearchStrategy[Draft]) -> Draft:
    """An example that is worth the time: what hypothesis tries first is small and alike."""
    found: list[Draft] = []

    @settings(PROPERTY, max_examples=40, database=None, derandomize=True)  # the daily run draws the same each time
    @given(strategy)
    def collect(draft: Draft) -> None:
        found.append(draft)

    collect()
    return random.Random(len(found)).choice(found[len(found) // 2 :])


def prove(reference: Reference, conf: Conf, draft: Draft, *, running: bool) -> None:
    wanted = [Wanted(row, name, wish, reference.canonical(row, wish)) for row, name, wish in draft]
    wishes = {want.name: want.wish.yaml for want in wanted}
    print(f"{reference.build}, {conf}, {'running' if running else 'down'}: {wishes}")
    trial = Trial(reference, conf, wanted, running=running)
    try:
        trial.prove()
    finally:
        trial.close()


def prove_often(reference: Reference, conf: Conf, *, low: int, many: int, running: bool) -> None:
    """One example; with --long many of hypothesis's choice, and the smallest that fails."""
    strategy = drafts(reference, conf, low)
    if not LONG:
        prove(reference, conf, one_of(strategy), running=running)
        return

    @settings(PROPERTY, max_examples=many)
    @given(strategy)
    def holds(draft: Draft) -> None:
        prove(reference, conf, draft, running=running)

    holds()


def test_table_is_long_and_its_values_are_taken(build: Build, references: dict[str, Reference]) -> None:
    reference = references[build.name]
    assert len(reference.runtime) >= 60
    assert len(reference.known) - len(reference.runtime) >= 10

    def takes(row: Directive) -> None:
        few = 8 if str(row) in reference.runtime else 2

        @settings(PROPERTY, max_examples=few * (20 if LONG else 1))
        @given(row.wishes)
        def taken(wish: Wish) -> None:
            reference.canonical(row, wish)

        taken()

    for row in reference.known:
        takes(row)


def test_files_are_many() -> None:
    assert len([name for name in NAMES if any(accepts(build, name) for build in builds())]) >= 23


@pytest.mark.parametrize("turn", range(12) if LONG else range(2))
def test_random_settings_on_a_random_file(build: Build, references: dict[str, Reference], turn: int) -> None:
    choice = random if LONG else random.Random(f"{build} {turn}")
    conf = conf_named(build, choice.choice([name for name in NAMES if accepts(build, name)]))
    assert conf is not None
    prove_often(references[build.name], conf, low=1, many=10, running=turn % 4 != 3)


@pytest.mark.parametrize("turn", range(4) if LONG else range(1))
@pytest.mark.parametrize("name", NAMES)
def test_every_file(name: str, turn: int, references: dict[str, Reference]) -> None:
    """Each file once, the builds in turn; with --long each with every build that starts from it."""
    number = NAMES.index(name)
    candidates = [build for build in builds() if accepts(build, name)]
    if turn >= len(candidates):
        pytest.skip("tried with all servers that start from it" if candidates else "no server here starts from it")
    build = candidates[(number + turn) % len(candidates)]
    conf = conf_named(build, name)
    assert conf is not None
    prove_often(references[build.name], conf, low=4, many=3, running=(number + turn) % 5 != 4)
