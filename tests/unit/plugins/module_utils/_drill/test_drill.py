# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a drill chooses, what it makes of the looks of keys, and what a run of drills tells."""

from __future__ import annotations

import json

import pytest
from ansible_collections.globalscope.redis_backup.plugins.module_utils._drill.choose import (
    TURNS,
    Choice,
    Material,
    choose,
    next_store,
)
from ansible_collections.globalscope.redis_backup.plugins.module_utils._drill.forms import alike, form_of, forms_of
from ansible_collections.globalscope.redis_backup.plugins.module_utils._drill.limits import keep_to
from ansible_collections.globalscope.redis_backup.plugins.module_utils._drill.report import drill_report
from ansible_collections.globalscope.redis_backup.plugins.module_utils._drill.worth import why_foreign
from ansible_collections.globalscope.redis_backup.plugins.module_utils._repository.drills import parsed
from hypothesis import given
from hypothesis import strategies as st

EVERYTHING = Material("d", ("a", "b", "c"), ((10, 12), (100, 100)))


def record(choice: Choice, ok: bool = True) -> dict[str, object]:
    return {"pick": choice.pick, "label": choice.label or None, "ok": ok}


@given(st.lists(st.booleans(), min_size=9, max_size=9), st.integers())
def test_everything_has_its_turn_whatever_came_of_it(came_well: list[bool], seed: int) -> None:
    drilled: list[dict[str, object]] = []
    for ok in came_well:
        choice = choose(EVERYTHING, drilled, seed)
        assert choice is not None and choice == choose(EVERYTHING, drilled, seed)
        drilled.append(record(choice, ok))
    assert [each["pick"] for each in drilled] == list(TURNS) * 3


@given(st.integers())
def test_older_ones_come_first_that_were_not_found_good(seed: int) -> None:
    drilled: list[dict[str, object]] = [{"pick": "older", "label": "a", "ok": False}]
    seen = []
    for _round in range(3):
        choice = choose(EVERYTHING, drilled, seed, "older")
        assert choice is not None
        seen.append(choice.label)
        drilled.append(record(choice))
    assert sorted(seen) == ["a", "b", "c"]
    again = choose(EVERYTHING, drilled, seed, "older")
    assert again is not None and again.label in EVERYTHING.older


@given(st.integers())
def test_a_second_is_one_of_those_that_can_be_had(seed: int) -> None:
    choice = choose(EVERYTHING, [], seed, "moment")
    assert choice is not None and choice.second in (10, 11, 12, 100)


def test_what_is_not_there_has_no_turn() -> None:
    assert choose(Material(), [], 1) is None
    assert choose(Material("d"), [], 1, "older") is None
    assert choose(Material("d"), [{"pick": "newest"}], 1) == Choice("newest", "d")
    assert choose(Material(seconds=((5, 5),)), [], 1) == Choice("moment", second=5)


def test_repositories_take_turns() -> None:
    assert next_store(["a", "b"], []) == "a"
    assert next_store(["a", "b"], [{"repository": "a"}]) == "b"
    assert next_store(["a", "b"], [{"repository": "b"}, {"repository": "a"}]) == "b"
    assert next_store([], []) == ""


@pytest.mark.parametrize(
    ("key", "form"),
    [
        (b"user:1042:cart", b"user"),
        (b"user:7", b"user"),
        (b"session-9f86d081884c7d65", b"session"),
        (b"9f86d081884c7d65", b"#"),
        (b"{tag}:1", b"tag"),
        (b"invoice2026", b"invoice#"),
        (b"::", b"::"),
        (b"", b""),
    ],
)
def test_the_form_of_a_key(key: bytes, form: bytes) -> None:
    assert form_of(key) == form


def test_data_sets_are_told_apart_by_how_their_keys_look() -> None:
    users = forms_of([f"user:{n}".encode() for n in range(300)], "shop")
    others = forms_of([f"user:{n}".encode() for n in range(5000, 5200)] + [b"cart:1"], "shop")
    invoices = forms_of([f"invoice:{n}".encode() for n in range(300)], "shop")
    assert alike(users, others) and not alike(users, invoices)
    assert not set(users) & set(forms_of([f"user:{n}".encode() for n in range(300)], "other"))
    names = forms_of([chr(97 + n % 26).encode() * (n + 1) for n in range(500)], "shop")
    assert names == {} and forms_of([b"user:1"], "shop") == {}
    assert alike(names, users) and alike(users, names)


def test_foreign_data_is_named_until_a_human_accepts_it() -> None:
    users = forms_of([f"user:{n}".encode() for n in range(300)], "shop")
    invoices = forms_of([f"invoice:{n}".encode() for n in range(300)], "shop")
    drilled = [{"ok": True, "forms": users, "label": "1", "time": "2026-11-22T00:00:00Z"}, {"ok": False, "forms": {}}]
    assert "another instance's data" in why_foreign(invoices, "2", drilled)
    assert why_foreign(users, "2", drilled) == "" and why_foreign(invoices, "2", []) == ""
    assert why_foreign(invoices, "2", drilled, ["2"]) == "" and why_foreign(invoices, "3", drilled, ["2"]) == ""
    assert why_foreign(invoices, "1", drilled) == ""


def test_processors() -> None:
    assert keep_to([0, 1, 2, 3], 100) == [3] and keep_to([0, 1, 2, 3], 150) == [2, 3]
    assert keep_to([0, 1], 1) == [1] and keep_to([0, 1], 900) == [0, 1]


@given(st.binary())
def test_what_is_no_record_is_none(raw: bytes) -> None:
    assert parsed(raw) is None


def test_records() -> None:
    good = {"format": 1, "time": "2026-11-22T00:00:00Z", "pick": "newest", "instance": "shop"}
    assert parsed(json.dumps(good).encode()) == good
    for change in ({"format": 2}, {"format": "1"}, {"time": 1}, {"pick": None}):
        assert parsed(json.dumps({**good, **change}).encode()) is None


def test_what_a_run_tells() -> None:
    good = {"ok": True, "label": "l", "rto_seconds": 5.0, "rpo_seconds": 90.0, "rpo_target_seconds": 60.0}
    hosts = [
        {"host": "h1", "active": True, "results": [
            {"instance": "a", "drill": {**good, "target_met": True}},
            {"instance": "b", "drill": {**good, "target_met": False}},
            {"instance": "c", "drill": {"ok": False, "reason": "it is empty", "target_met": False}},
            {"instance": "d", "drill": None, "nothing_stored": True, "msg": "nothing there"},
            {"instance": "e", "drill": None, "nothing_stored": True, "msg": "nothing there"},
        ]},
        {"host": "h2", "active": False, "results": None},
        {"host": "h3", "active": True, "results": [{"instance": "f", "drill": None, "would": "would drill x"}]},
    ]  # fmt: skip
    groups = [{"shards": [{"primary": "a", "replicas": ["d"]}]}]
    found = drill_report(hosts, groups)
    said = {row["instance"]: (row["result"], row["failed"]) for row in found["rows"]}
    assert said == {
        "a": ("good", False),
        "b": ("target missed", False),
        "c": ("FAILED", True),
        "d": ("none", False),
        "e": ("FAILED", True),
        "h2": ("not reached", True),
        "f": ("would drill", False),
    }
    assert [each["instance"] for each in found["failures"]["h1"]] == ["c", "e"] and set(found["failures"]) == {"h1"}
    assert "1 min 30 s" in found["rows"][1]["says"] and "as a" in found["rows"][3]["says"]
    late = drill_report(hosts, groups, enforce=True)["failures"]["h1"]
    assert [each["instance"] for each in late] == ["b", "c", "e"]
