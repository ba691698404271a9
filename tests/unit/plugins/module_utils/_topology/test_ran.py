# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run of exports or verifications is told to have done."""

from __future__ import annotations

from typing import Any

from ansible_collections.globalscope.redis_backup.plugins.module_utils._topology.named import shards_of
from ansible_collections.globalscope.redis_backup.plugins.module_utils._topology.ran import run_report

COPY = {"label": "20261122T235141Z_rdb", "repository": "nas", "ok": True, "problems": [], "recorded": True, "keys": 9}
NOTHING = {**COPY, "label": None, "repository": None, "ok": False, "recorded": False, "problems": ["no backup of it."]}
MADE = {
    "label": "20261122T235141Z_users", "keys": 9, "stored_size": 5, "age_seconds": 1, "duration_s": 2.5,
    "encrypted": True, "failed": {},
}  # fmt: skip


def host(name: str, ran: dict[str, list[dict[str, Any]]], **more: Any) -> dict[str, Any]:
    return {"host": name, "active": True, "asked": list(ran), "ran": ran, **more}


def verified(*hosts: dict[str, Any], **more: Any) -> dict[str, Any]:
    return run_report("verify", hosts, timeout=20, variable="redis_backup_verify_timeout", **more)


def test_a_row_for_each_copy() -> None:
    bad = {**COPY, "repository": "cloud", "ok": False, "problems": ["it is damaged"]}
    unknown = {**bad, "recorded": False, "problems": ["no identity opens it"]}
    found = verified(host("h1", {"a": [{"failed": True, "results": [COPY, bad, unknown]}]}))
    assert [row["result"] for row in found["rows"]] == ["good", "NOT good", "no verdict"]
    assert found["rows"][1]["says"] == "20261122T235141Z_rdb in cloud: it is damaged"
    assert found["failures"] == {
        "h1": [f"a: {COPY['label']} in cloud: it is damaged", f"a: {COPY['label']} in cloud: no identity opens it"]
    }


def test_no_backup_of_its_own() -> None:
    """Where another of the shard was backed up, that is as it should be; elsewhere it is a failure."""
    hosts = [
        host("h1", {"primary": [{"failed": True, "results": [NOTHING]}]}),
        host("h2", {"copy": [{"results": [COPY]}], "other": [{"failed": True, "results": [NOTHING]}]}),
    ]
    found = verified(*hosts, shards=[["primary", "copy"], ["other"]])
    assert [row["result"] for row in found["rows"]] == ["none of its own", "good", "no verdict"]
    assert "those of copy hold the same data" in found["rows"][0]["says"]
    assert found["failures"] == {"h2": ["other: no backup of it."]}
    assert len(verified(*hosts)["failures"]) == 2


def test_what_hangs_and_what_is_away() -> None:
    late = {"failed": True, "timedout": {"period": 20}, "msg": "Timed out after 20 second(s)."}
    found = verified(
        host("h1", {"a": [late]}),
        host("h2", {}, asked=["b"], active=False),
        host("h3", {}, asked=None, active=False),
        host("h4", {"d": [{"failed": True, "msg": "d: the program is missing"}]}),
    )
    assert [(row["instance"], row["result"]) for row in found["rows"]] == [
        ("a", "TIMED OUT"),
        ("b", "UNREACHABLE"),
        ("h3", "UNREACHABLE"),
        ("d", "FAILED"),
    ]
    assert "did not end within 20 s (redis_backup_verify_timeout)" in found["rows"][0]["says"]
    assert found["failures"]["h4"] == ["d: the program is missing."]


def test_what_would_be_verified() -> None:
    found = verified(host("h1", {"a": [{"changed": True, "results": [], "actions": ["would verify x"]}]}))
    assert found["rows"][0]["result"] == "would be verified" and found["rows"][0]["says"] == "would verify x"
    assert not found["failures"]


def test_exports() -> None:
    asked = {"redis_backup_export": {"name": "users"}}
    ran = {
        "a": [{"changed": True, "export": {**MADE, "encrypted": False}}, {"changed": False, "export": MADE}],
        "b": [{"changed": True, "export": None, "exported": 7, **asked}, {"skipped": True}],
        "c": [{"failed": True, "msg": "c: nothing matches", **asked}],
        "d": [{"skipped": True}],
    }
    found = run_report("export", [host("h1", ran)])
    assert [row["result"] for row in found["rows"]] == ["exported", "young enough", "would be exported", "FAILED"]
    assert [row["label"] for row in found["rows"]] == [MADE["label"], MADE["label"], "users", "users"]
    assert found["rows"][0]["says"] == "NOT encrypted." and found["rows"][0]["size"] == 5
    assert found["remarks"] == ["Nothing was due for d."]
    assert found["failures"] == {"h1": ["c: nothing matches."]}


def test_shards_of_an_instance() -> None:
    groups = [
        {"shards": [{"primary": "a", "replicas": ["b"]}, {"primary": None, "replicas": ["c"]}, {"primary": None}]},
        {"kind": "sentinels", "sentinels": ["s"]},
    ]
    assert shards_of(groups, "c") == [["a", "b"], ["c"]]
    assert shards_of(groups, "s") == shards_of([], "s") == [["s"]]
