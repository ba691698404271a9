# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What differs, and in which order it is put right."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from ansible_collections.globalscope.redis_backup.plugins.module_utils._config.conf_file import ConfFile
from ansible_collections.globalscope.redis_backup.plugins.module_utils._config.edit import set_directive
from ansible_collections.globalscope.redis_backup.plugins.module_utils._enforce.judge import Verdict
from ansible_collections.globalscope.redis_backup.plugins.module_utils._enforce.plan import Drift, Plan, make_plan
from ansible_collections.globalscope.redis_backup.plugins.module_utils._enforce.same import surely_done
from ansible_collections.globalscope.redis_backup.plugins.module_utils._enforce.situation import Situation
from ansible_collections.globalscope.redis_backup.tests.unit.helpers.situations import (
    conf,
    down,
    request,
    running,
    verdicts,
)
from hypothesis import given
from hypothesis import strategies as st

AOF = {"appendonly": "yes"}
Settings = dict[str, Any]


def nobody(name: str, text: str) -> None:
    """No server is asked what a text means."""


def plan_of(
    settings: Settings,
    situation: Situation,
    means: Callable[[str, str], Any] = nobody,
    defaults: Mapping[str, str] | None = None,
    **over: Any,
) -> Plan:
    asked = request(settings, **over)
    return make_plan(asked, situation, verdicts(asked, defaults), means)


def names(changes: list) -> list[str]:
    return [change.name for change in changes]


def test_nothing_to_do() -> None:
    situation = running({"maxmemory": "1073741824"}, "maxmemory 1gb\nSAVE 3600 1 300 100\nsave 60 10000\n")
    plan = plan_of({"maxmemory": "1gb", "save": "3600 1 300 100 60 10000"}, situation)
    assert plan == Plan()
    assert plan.empty


def test_drift_is_told_as_the_server_writes_it() -> None:
    situation = running({"requirepass": "old"}, "save 900 1\nsave 300 10\nrequirepass old2\n")
    plan = plan_of({"save": ["60 1"], "requirepass": "new", "databases": 32, "maxmemory": "0"}, situation)
    assert plan.drift == [
        Drift("save", "60 1", "3600 1 300 100 60 10000", "900 1 300 10"),
        Drift("requirepass", "(hidden)", "(hidden)", "(hidden)"),
        Drift("databases", "32", "16", None),
        Drift("maxmemory", "0", "0", None),
    ]
    assert names(plan.first) == ["save"]
    assert [wish.name for wish in plan.edits] == ["save", "requirepass", "databases", "maxmemory"]
    assert plan.reasons == ["databases: running 16, wanted 32"]
    assert not plan.empty


def test_a_change_knows_its_way_back() -> None:
    (change,) = plan_of({"maxmemory": "5"}, running({"maxmemory": "7"})).first
    assert (change.new, change.old, change.secret) == ("5", "7", False)
    (change,) = plan_of({"requirepass": "a"}, running({"requirepass": ""})).last
    assert (change.new, change.old, change.secret) == ("a", "", True)


ORDERED = {"requirepass": "x", "port": 6380, "bind": "::1", "save": "", "appendonly": True, "maxmemory": "9"}


@pytest.mark.parametrize("keys", list(itertools.permutations(ORDERED))[::37])
def test_durability_first_and_what_could_lock_us_out_last(keys: tuple[str, ...]) -> None:
    live = {"requirepass": "", "port": "6379", "bind": "* -::*"}
    plan = plan_of({key: ORDERED[key] for key in keys}, running(live))
    assert names(plan.first) == ["maxmemory"]
    assert plan.aof == "on"
    assert names(plan.then) == ["save"]
    assert names(plan.last) == ["requirepass", "bind", "port"]
    assert names(plan.live) == ["maxmemory", "save", "requirepass", "bind", "port"]


def test_save_points_come_before_an_aof_goes() -> None:
    plan = plan_of({"appendonly": False, "save": "900 1"}, running({**AOF, "save": ""}))
    assert (names(plan.first), plan.aof, plan.then) == (["save"], "off", [])


@pytest.mark.parametrize(
    ("wanted", "aof_runs", "in_file", "step"),
    [
        (True, False, "no", "on"),
        (True, False, "yes", "on"),
        (True, True, "no", "confirm"),
        (True, True, None, "confirm"),
        (True, True, "yes", ""),
        (False, True, "yes", "off"),
        (False, True, "no", "off"),
        (False, False, "yes", "snapshot"),
        (False, False, None, "snapshot"),
        (False, False, "no", ""),
        (None, True, None, "off"),
        (None, False, "yes", "snapshot"),
        (None, False, None, ""),
    ],
)
def test_steps_of_the_aof(wanted: bool | None, aof_runs: bool, in_file: str | None, step: str) -> None:
    text = "" if in_file is None else f"appendonly {in_file}\n"
    wanted_line = None if wanted is None else "yes" if wanted else "no"
    situation = running(AOF if aof_runs else {}, text)
    plan = plan_of({"appendonly": wanted}, situation, defaults={"appendonly": "no"})
    assert plan.aof == step
    assert not plan.live
    assert bool(plan.edits) is (in_file != wanted_line)
    assert plan.empty is (step == "")


def test_a_server_that_is_down_gets_only_the_file() -> None:
    plan = plan_of({"appendonly": True, "maxmemory": "5", "dir": "/new"}, down())
    assert (plan.aof, plan.live, plan.deferred, plan.reasons) == ("", [], [], [])
    assert [wish.name for wish in plan.edits] == ["appendonly", "maxmemory", "dir"]


RELOCATIONS = {
    "dir": "/new",
    "dbfilename": "new.rdb",
    "appendfilename": "new.aof",
    "appenddirname": "newdir",
    "cluster-config-file": "new.conf",
}
OLD = {"appendfilename": "appendonly.aof", "appenddirname": "appendonlydir", "cluster-config-file": "nodes.conf"}
CLUSTER = {"cluster-enabled": "yes"}


@pytest.mark.parametrize(
    ("live", "more", "info", "deferred", "moved", "first"),
    [
        # Without an AOF the RDB is all there is: it can move live, with a snapshot at its new place.
        ({}, {}, {}, [], ["dir", "dbfilename"], []),
        # Nothing to lose: just set.
        ({}, {}, {"db0": ""}, [], [], ["dir", "dbfilename"]),
        # With an AOF the next start looks for that; if redis.conf did not say so, it would look for the RDB.
        (AOF, {"appendonly": True}, {}, ["dir", "appendfilename", "appenddirname"], [], []),
        (AOF, {}, {}, ["dir", "dbfilename", "appendfilename", "appenddirname"], [], []),
        # Being switched on, likewise, the RDB's name last; switched off, its old place counts no more, but dir does.
        ({}, {"appendonly": True}, {}, ["dir", "appendfilename", "appenddirname"], [], []),
        (AOF, {"appendonly": False}, {}, ["dir", "dbfilename"], [], []),
        # A node of a cluster keeps its state there too.
        (CLUSTER, {}, {}, ["dir", "dbfilename", "cluster-config-file"], [], []),
        (CLUSTER, {}, {"db0": ""}, ["dir", "dbfilename", "cluster-config-file"], [], []),
    ],
)
def test_what_waits_until_the_server_is_stopped(
    live: dict[str, str],
    more: Settings,
    info: dict[str, str],
    deferred: list[str],
    moved: list[str],
    first: list[str],
) -> None:
    plan = plan_of({**RELOCATIONS, **more}, running({**OLD, **live}, info=info))
    assert plan.deferred == deferred
    assert names(plan.moved) == moved
    assert names(plan.first) == first
    assert names(plan.then) == (["dbfilename"] if "appendonly" in more and "dbfilename" not in deferred else [])
    assert not set(deferred) & {wish.name for wish in plan.edits}
    assert [drift.directive for drift in plan.drift if drift.directive in RELOCATIONS] == list(RELOCATIONS)
    reasons = [reason.partition(":")[0] for reason in plan.reasons if "while the server is stopped" in reason]
    assert reasons == deferred


@pytest.mark.parametrize("has", ["has_rdb", "has_aof"])
def test_files_are_data_too(has: str) -> None:
    plan = plan_of({"dir": "/new"}, running(info={"db0": ""}, **{has: True}))
    assert names(plan.moved) == ["dir"]


@pytest.mark.parametrize(
    ("live", "text", "over", "deferred"),
    [
        ({}, "", {"apply": "file"}, ["dir", "dbfilename"]),  # nobody sets it in the running server
        ({}, "appendonly yes\n", {}, ["dir", "dbfilename", "appendfilename"]),  # redis.conf says what hands took back
        (AOF, "appendonly yes\n", {}, ["dir", "appendfilename"]),
    ],
)
def test_what_redis_conf_says_counts_for_the_next_start(
    live: dict[str, str], text: str, over: dict[str, Any], deferred: list[str]
) -> None:
    settings = {"dir": "/new", "dbfilename": "new.rdb", "appendfilename": "new.aof"}
    assert plan_of(settings, running({**OLD, **live}, text), **over).deferred == deferred


def test_a_place_waits_where_config_is_forbidden() -> None:
    asked = request({"dir": "/new", "dbfilename": "x"})
    situation = dataclasses.replace(running(), live={}, config_allowed=False)
    assert make_plan(asked, situation, verdicts(asked, {}), nobody).deferred == ["dir", "dbfilename"]


def test_a_dir_that_cannot_be_set_waits() -> None:
    asked = request({"dir": "/new", "dbfilename": "x"})
    unsettable = {wish.name: Verdict(wish.text, False, "") for wish in asked.wishes}
    assert make_plan(asked, running(), unsettable, nobody).deferred == ["dir", "dbfilename"]
    empty = make_plan(asked, running(info={"db0": ""}), unsettable, nobody)
    assert (empty.deferred, len(empty.edits), len(empty.reasons)) == ([], 2, 2)


def test_a_place_that_is_live_already_goes_into_the_file() -> None:
    """CONFIG SET dir by hand, yesterday: the file follows, once the data lies there."""
    plan = plan_of({"dir": "/new"}, running({**AOF, "dir": "/new"}, "dir /old\n"))
    assert (plan.deferred, [wish.name for wish in plan.edits], plan.live) == ([], ["dir"], [])
    assert plan.aof == "confirm"
    assert plan_of({"dir": "/new"}, running({"dir": "/new"}, "dir /old\n")).aof == "snapshot"
    assert plan_of({"dbfilename": "x"}, running({"dbfilename": "x"})).aof == "snapshot"
    assert plan_of({"dbfilename": "x"}, running({"dbfilename": "x"}), defaults={"dbfilename": "x"}).aof == ""


def test_dir_is_compared_as_a_place() -> None:
    assert plan_of({"dir": "/var/lib/redis/"}, running(file="dir /var/lib/./redis\n")) == Plan()


def test_only_deferred_is_nothing_to_do_now() -> None:
    plan = plan_of({"appenddirname": "x"}, running({**AOF, **OLD}))
    assert plan.deferred == ["appenddirname"] and plan.empty


def test_unreadable_directives_go_by_the_file() -> None:
    plan = plan_of({"rename-command": ["DEBUG x"]}, running())
    assert [wish.name for wish in plan.edits] == ["rename-command"]
    assert plan.reasons == ["rename-command: redis.conf is changed, and the running value cannot be asked for"]
    assert plan.drift == [Drift("rename-command", "(hidden)", None, None)]
    assert plan_of({"rename-command": ["DEBUG x"]}, running(file="rename-command DEBUG x\n")) == Plan()


def test_lines_that_are_cut_otherwise_are_drift() -> None:
    plan = plan_of({"loadmodule": ["/a.so", "/b.so"]}, running(file="loadmodule /a.so /b.so\n"))
    assert [wish.name for wish in plan.edits] == ["loadmodule"]


def test_without_config_the_file_is_all() -> None:
    plan = plan_of({"maxmemory": "2"}, running(file="maxmemory 1\n", config_allowed=False))
    assert (plan.live, [wish.name for wish in plan.edits]) == ([], ["maxmemory"])
    assert plan.reasons == ["maxmemory: redis.conf is changed, and the running value cannot be asked for"]


def test_apply_file_leaves_the_server_and_apply_live_the_file() -> None:
    in_file = plan_of({"maxmemory": "2"}, running(), apply="file")
    assert (in_file.live, len(in_file.edits)) == ([], 1)
    assert in_file.reasons == ["maxmemory: running 0, wanted 2"]
    live = plan_of({"maxmemory": "2"}, running(file=None), apply="live")
    assert (names(live.first), live.edits, live.reasons) == (["maxmemory"], [], [])


def test_skipped_directives_are_in_no_plan() -> None:
    asked = request({"new-in-9": True, "maxmemory": "1"}, skip_unknown=frozenset({"new-in-9"}))
    known = {name: verdict for name, verdict in verdicts(asked).items() if name == "maxmemory"}
    plan = make_plan(asked, running(), known, nobody)
    assert [drift.directive for drift in plan.drift] == ["maxmemory"]


def test_secrets_are_in_no_reason() -> None:
    asked = request({"requirepass": "new-secret", "masterauth": ""})
    fixed = {wish.name: Verdict(wish.text, False, "") for wish in asked.wishes}
    plan = make_plan(asked, running({"requirepass": "old-secret", "masterauth": "old-secret"}), fixed, nobody)
    assert plan.reasons == [
        "requirepass: running (hidden), wanted (hidden)",
        "masterauth: running (hidden), wanted nothing",
    ]


def test_null_is_the_default_live_and_no_line() -> None:
    situation = running({"maxmemory": "5"}, "maxmemory 5\n")
    plan = plan_of({"maxmemory": None}, situation, defaults={"maxmemory": "0"})
    assert plan.drift == [Drift("maxmemory", "0", "5", "5")]
    assert [(change.name, change.new) for change in plan.first] == [("maxmemory", "0")]
    assert plan_of({"maxmemory": None}, running(), defaults={"maxmemory": "0"}) == Plan()


def test_null_is_the_default_behind_an_include() -> None:
    situation = running({"maxmemory": "0"}, conf("include x\n", {"x": "maxmemory 5\n"}))
    assert len(plan_of({"maxmemory": None}, situation, defaults={"maxmemory": "0"}).edits) == 1
    overridden = running({"maxmemory": "0"}, conf("include x\nmaxmemory 0\n", {"x": "maxmemory 5\n"}))
    assert plan_of({"maxmemory": None}, overridden, defaults={"maxmemory": "0"}) == Plan()


def test_a_server_tells_what_notations_mean() -> None:
    says = {("maxmemory-clients", "5%"): "5%", ("maxmemory-clients", "05%"): "5%"}
    situation = running({"maxmemory-clients": "5%"}, "maxmemory-clients 05%\n")
    assert plan_of({"maxmemory-clients": "5%"}, situation, lambda *question: says.get(question)) == Plan()
    assert len(plan_of({"maxmemory-clients": "5%"}, situation).edits) == 1
    assert len(plan_of({"maxmemory-clients": "6%"}, situation, lambda *question: says.get(question)).edits) == 1


def test_a_line_that_cannot_be_read_is_drift_whatever_a_server_says() -> None:
    plan = plan_of({"maxmemory": "0"}, running(file="maxmemory 0 0\n"), lambda *_question: "0")
    assert len(plan.edits) == 1


@pytest.mark.parametrize(
    ("settings", "live", "text", "over", "done"),
    [
        ({"maxmemory": "1gb"}, {"maxmemory": "1073741824"}, "maxmemory 1024mb\n", {}, True),
        ({"maxmemory": "1gb"}, {"maxmemory": "1073741824"}, "", {}, False),
        ({"maxmemory": "1gb"}, {"maxmemory": "1073741824"}, "", {"apply": "live"}, True),
        ({"maxmemory": "1gb"}, {"maxmemory": "0"}, "maxmemory 1gb\n", {}, False),
        ({"maxmemory": "1gb"}, {"maxmemory": "0"}, "maxmemory 1gb\n", {"apply": "file"}, False),
        ({"maxmemory": None}, {"maxmemory": "0"}, "", {}, False),
        ({"rename-command": ["A b"]}, {}, "rename-command A b\n", {}, False),
        ({"unknown": "1"}, {}, "unknown 1\n", {}, False),
        ({"unknown": "1"}, {}, "", {"apply": "live", "skip_unknown": frozenset({"unknown"})}, True),
        ({"appendonly": True}, AOF, "appendonly YES\n", {}, True),
        ({"save": ""}, {"save": ""}, 'save ""\n', {}, True),
        ({"save": ""}, {"save": ""}, "", {}, False),
        ({"save": ""}, {"save": ""}, "save 900\n", {}, False),
    ],
)
def test_surely_done(settings: Settings, live: dict[str, str], text: str, over: Settings, done: bool) -> None:
    assert surely_done(request(settings, **over), running(live, text)) is done


@pytest.mark.parametrize("skipped", [True, False])
def test_a_directive_that_a_running_server_does_not_know_needs_no_asking(skipped: bool) -> None:
    asked = request(
        {"maxmemory": "1gb", "aof-timestamp-enabled": True},
        skip_unknown=frozenset({"aof-timestamp-enabled"} if skipped else ()),
    )
    assert surely_done(asked, running({"maxmemory": "1073741824"}, "maxmemory 1gb\n")) is skipped


@pytest.mark.parametrize(("text", "done"), [("maxmemory 1gb\n", True), ("maxmemory 1\n", False)])
def test_surely_done_of_a_server_that_is_down(text: str, done: bool) -> None:
    assert surely_done(request({"maxmemory": "1gb"}), down(text)) is done


TABLE = {
    "maxmemory": ["0", "67108864"],
    "save": ["", "900 1", "900 1 300 10"],
    "appendfsync": ["everysec", "always"],
    "requirepass": ["", "s3cret"],
    "bind": ["127.0.0.1", "127.0.0.1 ::1"],
    "port": ["6379", "6380"],
    "appendonly": ["yes", "no"],
    "databases": ["16", "32"],
    "dbfilename": ["dump.rdb", "x.rdb"],
}


def carried_out(plan: Plan, live: dict[str, str], file: ConfFile) -> None:
    for wish in plan.edits:
        set_directive(file, wish.name, wish.lines, (7, 0, 15))
    live.update({change.name: change.new for change in plan.live})
    if plan.aof in ("on", "off"):
        live["appendonly"] = "yes" if plan.aof == "on" else "no"


@given(st.data())
def test_a_plan_that_was_carried_out_leaves_nothing_but_what_it_said(data: st.DataObject) -> None:
    def some() -> dict[str, str]:
        chosen = data.draw(st.lists(st.sampled_from(sorted(TABLE)), min_size=1, unique=True))
        return {name: data.draw(st.sampled_from(TABLE[name])) for name in chosen}

    settings, lines = some(), some()
    live = {**{name: values[0] for name, values in TABLE.items()}, **some()}
    file = conf("".join(f'{name} "{value}"\n' if not value else f"{name} {value}\n" for name, value in lines.items()))
    plan = plan_of(settings, running(live, file))
    edited = {wish.name for wish in plan.edits}
    assert {*names(plan.live), *edited, *plan.deferred} <= {drift.directive for drift in plan.drift}
    assert not set(plan.deferred) & {*names(plan.live), *edited}
    assert len(names(plan.live)) == len(set(names(plan.live)))

    carried_out(plan, live, file)
    if plan.aof == "off" and plan.deferred:  # what waited for the AOF is no longer its matter
        carried_out(plan_of(settings, running(live, file)), live, file)
    again = plan_of(settings, running(live, file))
    assert again.empty
    assert {reason.partition(":")[0] for reason in again.reasons} == {drift.directive for drift in again.drift}
    assert {drift.directive for drift in again.drift} <= {"databases", "dbfilename"}
