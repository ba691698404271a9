# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The report over a fleet."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible_collections.globalscope.redis_backup.plugins.module_utils._enforce.report import drift_report
from ansible_collections.globalscope.redis_backup.plugins.module_utils._table import WIDTH
from hypothesis import given
from hypothesis import strategies as st

SAVE = {"directive": "save", "wanted": "900 1 300 10", "running": "", "in_file": None}
DATABASES = {"directive": "databases", "wanted": "32", "running": "16", "in_file": "32"}
PENDING = {"restart_required": True, "restart_reasons": ["databases: running 16, redis.conf says 32"]}
OVERCOMMIT = {"name": "vm.overcommit_memory", "ok": False, "found": "0", "wanted": "1", "hint": "Set it."}


def item(name: str = "a", **over: Any) -> dict[str, Any]:
    """What the module says of one instance that is as wanted, and what else is changed in it."""
    found = {
        "redis_persistence_name": name,
        "changed": False,
        "drift": [],
        "restart_required": False,
        "restart_reasons": [],
        "restart_safe": True,
        "restart_refusals": [],
        "deferred": [],
        "preflight": [],
        "state": "running",
        "invocation": {"module_args": {"settings": {"requirepass": "s3cret"}}},
        "diff": {"before": "requirepass s3cret"},
    }
    return {**found, **over}


def host(*items: dict[str, Any], name: str = "h1", **over: Any) -> dict[str, Any]:
    return {"host": name, "active": True, "result": {"results": list(items)}, "restarts": None, **over}


def report(*hosts: dict[str, Any], **options: Any) -> dict[str, Any]:
    return drift_report(hosts, {"generated": "2026-11-22T23:51:41Z", **options})


def states(found: dict[str, Any]) -> list[list[str]]:
    return [[entry["state"] for entry in instance["drift"]] for instance in found["instances"]]


def test_all_as_wanted() -> None:
    found = report(host(item("a"), item("b")), host(item("c"), name="h2"), fail_on_drift=True)
    assert found["ok"] and not found["failures"]
    assert found["table"][0] == "2 hosts, 3 instances, 3 as wanted"
    assert "No directive drifts." in found["markdown"]


def test_one_that_is_down_is_not_as_wanted() -> None:
    found = report(host(item("a"), item("c", state="down")), fail_on_drift=True)
    assert not found["ok"] and found["failures"] == ["c is down."]
    assert found["table"][0] == "1 host, 2 instances, 1 as wanted, 1 down"
    assert not report(host(item("c", state="down")))["failures"]


def test_long_values_stand_below_the_table() -> None:
    limits = {"directive": "client-output-buffer-limit", "wanted": "normal 0 0 0 slave 1 1 1 pubsub 2 2 2"}
    limits.update(running="normal 0 0 0 slave 1 1 1 pubsub 3 3 3")
    found = report(host(item("a", drift=[{**limits, "in_file": None}])))
    assert found["table"][4:] == [
        "",
        "a  client-output-buffer-limit",
        "  wanted      normal 0 0 0 slave 1 1 1 pubsub 2 2 2",
        "  running     normal 0 0 0 slave 1 1 1 pubsub 3 3 3",
        "  redis.conf  -",
    ]


def test_a_failed_restart_tells_that_the_server_is_down() -> None:
    restarts = {"a": {"error": "Its restart failed: no. It is DOWN now.", "state": "down"}}
    found = report({**host(item("a", drift=[DATABASES], **PENDING)), "restarts": restarts})
    assert found["summary"]["down"] == 1 and found["instances"][0]["state"] == "down"
    assert "FAILED: Its restart failed: no. It is DOWN now." in "\n".join(found["table"])


def test_nothing_but_the_drift_gets_in() -> None:
    found = report(host(item(drift=[SAVE], password="s3cret"), item("b", failed=True, msg="no", drift=[SAVE])))
    assert "s3cret" not in json.dumps(found)


def test_drift_in_check_mode() -> None:
    found = report(host(item(drift=[SAVE, DATABASES], **PENDING), item("b")), check_mode=True)
    assert states(found) == [["drift", "needs a restart"], []]
    assert not found["ok"] and not found["failures"]
    assert found["table"] == [
        "1 host, 2 instances (check mode), 1 as wanted, 1 drifting in 2 directives, 1 to be restarted",
        "",
        "HOST  INSTANCE  DIRECTIVE  WANTED        RUNNING  REDIS.CONF  STATE",
        'h1    a         save       900 1 300 10  ""       -           drift',
        "h1    a         databases  32            16       32          needs a restart",
    ]
    assert '| h1 | a | `save` | `900 1 300 10` | `""` | `-` | drift |' in found["markdown"]


def test_drift_that_a_run_mended() -> None:
    found = report(host(item(drift=[SAVE], changed=True)), fail_on_drift=True)
    assert found["ok"] and states(found) == [["mended"]] and not found["failures"]
    assert found["table"][0] == "1 host, 1 instance, 0 as wanted, 1 mended"


@pytest.mark.parametrize(
    ("over", "state", "failure"),
    [
        ({"drift": [DATABASES], **PENDING}, "needs a restart", "a drifts: databases."),
        ({"drift": [{**SAVE, "directive": "dir"}], "deferred": ["dir"]}, "needs a stop", "a drifts: dir."),
        (PENDING, None, "a drifts: databases: running 16, redis.conf says 32."),
    ],
)
def test_drift_that_is_left(over: dict[str, Any], state: str | None, failure: str) -> None:
    found = report(host(item(**over)), fail_on_drift=True)
    assert states(found) == [[state] if state else []]
    assert (found["ok"], found["failures"]) == (False, [failure])
    assert report(host(item(**over)))["failures"] == []
    assert found["summary"]["drifting"] == 1


def test_a_restart_mends_or_fails() -> None:
    pending = item(drift=[DATABASES], changed=True, **PENDING)
    done = {"restarted": True, "restart_required": False, "restart_reasons": [], "deferred": []}
    found = report(host(pending, restarts={"a": done}), fail_on_drift=True)
    assert found["ok"] and states(found) == [["mended"]] and found["instances"][0]["restarted"]
    found = report(host(pending, restarts={"a": {"error": "Its restart failed.\nIt said no."}}), fail_on_drift=True)
    assert found["failures"] == ["a: Its restart failed. It said no."]
    assert states(found) == [["needs a restart"]]
    assert any("FAILED: Its restart failed. It said no." in line for line in found["table"])
    # What an earlier play did counts no more.
    assert report(host(item(drift=[SAVE]), restarts={"a": {"error": "old"}}))["ok"]


def test_a_restart_that_is_not_safe_is_told() -> None:
    found = report(host(item(drift=[DATABASES], **PENDING, restart_safe=False, restart_refusals=["nothing is saved"])))
    assert "h1 a  RESTART NOT SAFE: nothing is saved" in found["table"]


def test_an_instance_that_failed() -> None:
    found = report(host(item("a"), {"redis_persistence_name": "b", "failed": True, "msg": "b: wrong password."}))
    assert [instance["state"] for instance in found["instances"]] == ["running", "failed"]
    assert found["failures"] == ["b: wrong password."]
    assert "h1 b  FAILED: b: wrong password." in found["table"]
    assert (found["summary"]["failed"], found["summary"]["instances"]) == (1, 2)


def test_a_module_that_failed_after_it_had_looked() -> None:
    found = report(host(item("b", drift=[SAVE], failed=True, msg="the file is not writable")))
    assert states(found) == [["drift"]] and found["failures"] == ["b: the file is not writable"]


def test_hosts_that_said_nothing() -> None:
    silent = {"unreachable": True, "msg": "Task failed: ssh: no route", "redis_persistence_name": "a"}
    found = report(
        host(silent, name="dark"),
        host(name="later", result=None),
        host(name="broken", result=None, active=False),
        host(name="wrong", result={"failed": True, "msg": "two instances have the address x"}),
    )
    named = {instance["host"]: instance["state"] for instance in found["instances"]}
    assert named == {"dark": "unreachable", "later": "not visited", "broken": "failed", "wrong": "failed"}
    summary = found["summary"]
    assert (summary["unreachable_hosts"], summary["hosts_not_visited"], summary["failed"]) == (1, 1, 2)
    assert found["failures"][0] == "dark did not answer: ssh: no route" and len(found["failures"]) == 3
    assert "dark (all)  UNREACHABLE: ssh: no route" in found["table"] and "later  NOT VISITED" in found["table"]


def test_preflight() -> None:
    hosts = [host(item("a", preflight=[OVERCOMMIT, {**OVERCOMMIT, "ok": True}]), name=f"h{n}") for n in range(12)]
    found = report(*hosts)
    assert found["ok"] and not found["failures"] and found["summary"]["preflight_findings"] == 12
    told = [line for line in found["table"] if "PREFLIGHT" in line]
    assert len(told) == 1 and told[0].startswith("h0, h1, h2") and "h9 and 2 more" in told[0]
    assert report(hosts[0], preflight="fail")["failures"] == ["a: vm.overcommit_memory: found 0, wanted 1. Set it."]


WORDS = st.text(max_size=300)


@given(st.lists(st.tuples(WORDS, WORDS, st.none() | WORDS), min_size=1, max_size=4), WORDS, st.booleans())
def test_any_words_fit_the_screen_and_the_table(
    drift: list[tuple[str, str, str | None]], words: str, check_mode: bool
) -> None:
    """However long, and whatever is in them: lines of the screen's width, one row of the document a directive."""
    entries = [{"directive": d, "wanted": w, "running": w, "in_file": f} for d, w, f in drift]
    found = report(
        host(item(words, drift=entries, restart_refusals=[words], **PENDING), name=words or "h"), check_mode=check_mode
    )
    assert all(len(line) <= WIDTH and "\n" not in line for line in found["table"])
    rows = [line for line in found["markdown"].split("\n") if line.startswith("| ")]
    assert len(rows) == 1 + len(entries)
